//! Text to code for a device. In: functions of CUDA C. Out: a CUBIN for each module, from the run-time compiler or from the cache on
//! disk.
//!
//! The cache has one file a module, named by a hash of everything that decides what comes out; the file begins with that text, so
//! that a collision is a miss. Files are written under another name and renamed, so that runs at the same time do not see halves;
//! the oldest go when the folder grows beyond `MOST`.

use super::ffi::CompilerLibrary;
use super::find;
use crate::codegen::cuda::{PRELUDE, Source};
use std::ffi::{CString, c_char, c_void};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The environment variable that names the cache's folder; `off` for none.
pub const CACHE: &str = "NNC_CUDA_CACHE";
/// Bytes of the cache.
const MOST: u64 = 256 << 20;
/// Functions of one module.
const MODULE: usize = 12;

/// The compiler, with what its results depend on.
pub struct Compiler {
    library: CompilerLibrary,
    pub place: String,
    pub version: (i32, i32),
}

/// Functions that are compiled together.
pub struct Module {
    pub text: String,
    /// How many functions, called `k0`, `k1` and so on.
    pub functions: usize,
}

/// What the compiler made.
pub struct Compiled {
    /// A CUBIN for the architecture, or, for one that the compiler does not know, PTX of the nearest that it does: the driver
    /// goes on from there.
    pub cubin: Vec<u8>,
    /// What it said; with `verbose` the registers and the spills of every function.
    pub log: String,
}

/// Texts of modules; function `i` of all is `k{i}`, in module `i / `[`module_size`].
pub fn modules(sources: &[Source]) -> Vec<Module> {
    let one = |(number, chunk): (usize, &[Source])| {
        let functions = chunk.iter().enumerate().map(|(i, s)| s.named(&format!("k{}", number * MODULE + i)));
        let text = std::iter::once(PRELUDE.to_string()).chain(functions).collect::<Vec<_>>().join("\n");
        Module { text, functions: chunk.len() }
    };
    sources.chunks(MODULE).enumerate().map(one).collect()
}

/// Functions of a module, but for the last.
pub fn module_size() -> usize {
    MODULE
}

impl Compiler {
    /// # Errors
    /// What is missing.
    pub fn open() -> Result<Compiler, String> {
        let found = find::compiler()?;
        let (mut major, mut minor) = (0, 0);
        // SAFETY: the places for the answers are valid.
        if unsafe { (found.library.nvrtcVersion)(&mut major, &mut minor) } != 0 {
            return Err(format!("{} does not say its version", found.place));
        }
        Ok(Compiler { library: found.library, place: found.place, version: (major, minor) })
    }

    /// The architectures that it knows.
    fn known(&self) -> Vec<i32> {
        let mut count = 0;
        // SAFETY: the place for the answer is valid.
        if unsafe { (self.library.nvrtcGetNumSupportedArchs)(&mut count) } != 0 {
            return Vec::new();
        }
        let mut list = vec![0; usize::try_from(count).unwrap_or(0)];
        // SAFETY: there is room for as many numbers as it said.
        if unsafe { (self.library.nvrtcGetSupportedArchs)(list.as_mut_ptr()) } != 0 {
            return Vec::new();
        }
        list
    }

    /// The options for an architecture, and whether they ask for PTX.
    fn options(&self, arch: i32) -> (Vec<String>, bool) {
        let known = self.known();
        let nearest = known.iter().copied().filter(|a| *a <= arch).max().filter(|a| *a != arch);
        let target = nearest.map_or(format!("sm_{arch}"), |nearest| format!("compute_{nearest}"));
        let list = vec![format!("--gpu-architecture={target}"), "--fmad=false".to_string(), "--std=c++17".to_string()];
        (list, nearest.is_some())
    }

    /// Compiles a text for an architecture (`90` for sm_90).
    ///
    /// # Errors
    /// What the compiler says.
    pub fn compile(&self, text: &str, arch: i32, verbose: bool) -> Result<Compiled, String> {
        let (mut options, ptx) = self.options(arch);
        if verbose {
            options.push("--ptxas-options=-v".to_string());
        }
        let options: Vec<CString> = options.into_iter().filter_map(|o| CString::new(o).ok()).collect();
        let pointers: Vec<*const c_char> = options.iter().map(|o| o.as_ptr()).collect();
        let text = CString::new(text).map_err(|_| "a text with a zero in it".to_string())?;
        let lib = &self.library;
        let mut program: *mut c_void = std::ptr::null_mut();
        let none = std::ptr::null();
        // SAFETY: all texts end with a zero and live through the calls; buffers are as large as the compiler says.
        unsafe {
            if (lib.nvrtcCreateProgram)(&mut program, text.as_ptr(), c"step.cu".as_ptr(), 0, none, none) != 0 {
                return Err("the CUDA compiler takes no program".to_string());
            }
            let result = (lib.nvrtcCompileProgram)(program, pointers.len() as i32, pointers.as_ptr());
            let mut size = 0;
            let mut log = Vec::new();
            if (lib.nvrtcGetProgramLogSize)(program, &mut size) == 0 {
                log = vec![0u8; size];
                (lib.nvrtcGetProgramLog)(program, log.as_mut_ptr().cast());
            }
            let log = String::from_utf8_lossy(&log).trim_end_matches('\0').trim().to_string();
            let mut cubin = Vec::new();
            let mut size = 0;
            if result == 0 && ptx && (lib.nvrtcGetPTXSize)(program, &mut size) == 0 {
                // Its last byte is the zero that ends it.
                cubin = vec![0u8; size];
                (lib.nvrtcGetPTX)(program, cubin.as_mut_ptr().cast());
            } else if result == 0 && (lib.nvrtcGetCUBINSize)(program, &mut size) == 0 {
                cubin = vec![0u8; size];
                (lib.nvrtcGetCUBIN)(program, cubin.as_mut_ptr().cast());
            }
            (lib.nvrtcDestroyProgram)(&mut program);
            match (result, cubin.is_empty()) {
                (0, false) => Ok(Compiled { cubin, log }),
                (0, true) => Err(format!("the CUDA compiler has no code for sm_{arch}: {log}")),
                (5, _) => {
                    let (major, minor) = self.version;
                    Err(format!("NVRTC {major}.{minor} does not know the architecture sm_{arch}: {log}"))
                }
                _ => Err(format!("the CUDA compiler fails: {log}")),
            }
        }
    }

    /// Code for every module, from the cache where it is there; compiled by as many threads as there are cores.
    ///
    /// # Errors
    /// What the compiler says.
    pub fn code(&self, modules: &[Module], arch: i32) -> Result<Vec<Vec<u8>>, String> {
        let cache = cache_folder();
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(module) = modules.get(i) else { return done };
                done.push((i, self.cached(&module.text, arch, cache.as_deref())));
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(modules.len());
        let mut all = std::thread::scope(|scope| {
            let threads: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut all = work();
            all.extend(threads.into_iter().flat_map(|t| t.join().unwrap_or_default()));
            all
        });
        all.sort_by_key(|d| d.0);
        if all.len() != modules.len() {
            return Err("a thread of the CUDA compiler is gone".to_string());
        }
        all.into_iter().map(|d| d.1).collect()
    }

    fn cached(&self, text: &str, arch: i32, cache: Option<&Path>) -> Result<Vec<u8>, String> {
        let Some(folder) = cache else { return self.compile(text, arch, false).map(|c| c.cubin) };
        let key = format!("{} {:?} {}\n{text}", self.place, self.version, self.options(arch).0.join(" "));
        let path = folder.join(format!("{:016x}{:016x}.cubin", hash(&key, 0), hash(&key, 1)));
        if let Some(cubin) = read(&path, &key) {
            return Ok(cubin);
        }
        let cubin = self.compile(text, arch, false)?.cubin;
        // A cache that cannot be written is none.
        let _ = write(folder, &path, &key, &cubin);
        Ok(cubin)
    }
}

/// FNV-1a, from one of two starts.
fn hash(text: &str, which: u64) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325u64 ^ which.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    text.bytes().fold(start, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

fn cache_folder() -> Option<PathBuf> {
    match std::env::var_os(CACHE) {
        Some(name) if name == "off" => return None,
        Some(folder) => return Some(PathBuf::from(folder)),
        None => {}
    }
    let home = || std::env::var_os("HOME").map(|h| Path::new(&h).join(".cache"));
    Some(std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home)?.join("nnc").join("cuda"))
}

fn read(path: &Path, key: &str) -> Option<Vec<u8>> {
    let bytes = std::fs::read(path).ok()?;
    let len = usize::try_from(u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?)).ok()?;
    let end = 8usize.checked_add(len)?;
    let same = bytes.get(8..end)? == key.as_bytes();
    let cubin = bytes.get(end..)?;
    (same && !cubin.is_empty()).then(|| cubin.to_vec())
}

fn write(folder: &Path, path: &Path, key: &str, cubin: &[u8]) -> std::io::Result<()> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    std::fs::create_dir_all(folder)?;
    let own = format!("{}-{}.part", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let part = folder.join(own);
    let bytes = [&(key.len() as u64).to_le_bytes()[..], key.as_bytes(), cubin].concat();
    std::fs::write(&part, bytes)?;
    std::fs::rename(&part, path)?;
    bound(folder)
}

/// Drops the oldest files until the folder is small enough.
fn bound(folder: &Path) -> std::io::Result<()> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)?.flatten() {
        let about = entry.metadata()?;
        if about.is_file() {
            files.push((about.modified()?, entry.path(), about.len()));
        }
    }
    let mut total: u64 = files.iter().map(|f| f.2).sum();
    files.sort();
    for (_, path, len) in files {
        if total <= MOST {
            break;
        }
        std::fs::remove_file(path)?;
        total -= len;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cached_is_what_was_written() {
        let folder = std::env::temp_dir().join(format!("nnc-cuda-cache-{}", std::process::id()));
        let path = folder.join("a.cubin");
        write(&folder, &path, "key", b"code").unwrap();
        assert_eq!(read(&path, "key"), Some(b"code".to_vec()));
        assert_eq!(read(&path, "another key"), None);
        std::fs::write(&path, [200, 0, 0, 0, 0, 0, 0, 0, 1]).unwrap();
        assert_eq!(read(&path, "key"), None);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
