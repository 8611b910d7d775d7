//! What this machine is: processor, cores, memory. Read from what the system tells; nothing here fails.

use std::collections::BTreeSet;

/// More threads than this are of no use for one step.
const MOST_THREADS: usize = 64;

/// Cores that this process may use.
pub fn available() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn cpuinfo() -> String {
    std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default()
}

/// The number of physical cores, where the system tells (Linux).
pub fn physical() -> Option<usize> {
    let text = cpuinfo();
    let cores: BTreeSet<(String, String)> =
        text.split("\n\n").filter_map(|block| Some((entry(block, "physical id")?, entry(block, "core id")?))).collect();
    (!cores.is_empty()).then_some(cores.len())
}

/// The threads that a run takes if it is not told: one a physical core.
pub fn default_threads() -> usize {
    let available = available();
    physical().map_or(available, |p| p.min(available)).clamp(1, MOST_THREADS)
}

/// `AMD EPYC …`
pub fn processor() -> Option<String> {
    let text = cpuinfo();
    entry(&text, "model name")
        .or_else(|| entry(&text, "CPU part").map(|p| format!("{} part {p}", std::env::consts::ARCH)))
}

/// Total and available memory in bytes (Linux).
pub fn memory() -> Option<(usize, usize)> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib = |key: &str| entry(&text, key)?.split_whitespace().next()?.parse::<usize>().ok();
    Some((kib("MemTotal")? * 1024, kib("MemAvailable")? * 1024))
}

/// The most memory that this process has had at once, in bytes (Linux).
pub fn peak_memory() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    Some(entry(&text, "VmHWM")?.split_whitespace().next()?.parse::<usize>().ok()? * 1024)
}

/// The value of `key : value`.
fn entry(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (k, v) = line.split_once(':')?;
        (k.trim() == key).then(|| v.trim().to_string())
    })
}

/// The vector extensions that were found at start.
pub fn features() -> Vec<&'static str> {
    let mut found = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! probe {
            ($($name:tt)*) => {
                $(if std::arch::is_x86_feature_detected!($name) { found.push($name); })*
            };
        }
        probe!("sse4.1" "sse4.2" "avx" "avx2" "fma" "f16c" "avx512f" "avx512bw" "avx512dq" "avx512vl" "avx512bf16" "avx512vnni");
    }
    #[cfg(target_arch = "aarch64")]
    {
        macro_rules! probe {
            ($($name:tt)*) => {
                $(if std::arch::is_aarch64_feature_detected!($name) { found.push($name); })*
            };
        }
        probe!("neon" "fp16" "bf16" "dotprod" "sve");
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_their_whole_key() {
        let text = "cpu cores : 4\nmodel name\t: X Y\nmodel : 3";
        assert_eq!(entry(text, "model").as_deref(), Some("3"));
        assert_eq!(entry(text, "model name").as_deref(), Some("X Y"));
        assert_eq!(entry(text, "cores"), None);
        assert!((1..=MOST_THREADS).contains(&default_threads()));
    }
}
