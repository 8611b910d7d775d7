//! Printing. A reader that goes away (`nnc doc | head`) ends the process quietly.

use nnc::diag::{self, Diagnostic, Format};
pub use nnc::ide::grouped;
use nnc::source::Sources;
use std::io::{ErrorKind, IsTerminal, Write};

/// Writes to stdout.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(e) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        let code = if e.kind() == ErrorKind::BrokenPipe { 0 } else { super::Exit::Files as i32 };
        std::process::exit(code);
    }
}

/// Prints diagnostics: to stderr, or to stdout where a program reads them.
pub fn diagnostics(list: &[Diagnostic], sources: &Sources, format: Format) {
    if list.is_empty() {
        return;
    }
    if format.is_for_programs() {
        print(&diag::render(list, sources, format, false));
        return;
    }
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let color = std::io::stderr().is_terminal() && !no_color;
    let text = diag::render(list, sources, format, color);
    // If nobody reads it there is nobody to tell.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// `12 B`, `3.4 KiB`, `5.6 MiB`
pub fn bytes(n: usize) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `12`, `3.4 k`, `5.6 M`, `7.8 G`: a count of operations.
pub fn short_count(n: u64) -> String {
    const UNITS: [&str; 4] = ["k", "M", "G", "T"];
    let mut value = n as f64;
    let mut unit = None;
    while value >= 1000.0 && unit.is_none_or(|u| u + 1 < UNITS.len()) {
        value /= 1000.0;
        unit = Some(unit.map_or(0, |u| u + 1));
    }
    unit.map_or(n.to_string(), |u| format!("{value:.1} {}", UNITS[u]))
}

/// `350 ms`, `4.2 s`, `3 min 5 s`, `2 h 10 min`
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 60.0 => format!("{s:.1} s"),
        s if s < 3600.0 => format!("{} min {:.0} s", (s / 60.0) as u64, s % 60.0),
        s => format!("{} h {} min", (s / 3600.0) as u64, (s % 3600.0 / 60.0) as u64),
    }
}

/// A figure for people: four significant digits.
pub fn figure(value: f64) -> String {
    match value.abs() {
        a if !a.is_finite() || a == 0.0 => format!("{value}"),
        a if !(1e-3..1e5).contains(&a) => format!("{value:.3e}"),
        a if a < 10.0 => format!("{value:.4}"),
        a if a < 1000.0 => format!("{value:.2}"),
        _ => format!("{value:.0}"),
    }
}

/// Rows as a table: the first row is its head, columns in `left` are aligned left.
pub fn table(rows: &[Vec<String>], left: &[usize]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (c, width) in widths.iter().enumerate() {
            let cell = row.get(c).map_or("", String::as_str);
            let pad = " ".repeat(width - cell.chars().count());
            let (before, after) = if left.contains(&c) { ("", pad.as_str()) } else { (pad.as_str(), "") };
            line = line + if c > 0 { "  " } else { "" } + before + cell + after;
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [0, 999, 1000, 1_234_567].map(grouped).each_ref().map(|s| &s[..])
        );
        assert_eq!(["1023 B", "1.0 KiB", "1.5 MiB"], [1023, 1024, 3 << 19].map(bytes).each_ref().map(|s| &s[..]));
        assert_eq!(["999", "1.0 k", "2.5 M"], [999, 1000, 2_500_000].map(short_count).each_ref().map(|s| &s[..]));
        assert_eq!(duration(0.35), "350 ms");
        assert_eq!(duration(185.0), "3 min 5 s");
        assert_eq!(duration(7800.0), "2 h 10 min");
        assert_eq!(
            [figure(0.98765), figure(0.0), figure(12.345), figure(1e-9), figure(f64::NAN)],
            ["0.9877", "0", "12.35", "1.000e-9", "NaN"]
        );
    }

    #[test]
    fn tables_align() {
        let rows = [vec!["a".to_string(), "n".to_string()], vec!["long".to_string(), "10".to_string()]];
        assert_eq!(table(&rows, &[0]), "a      n\nlong  10\n");
    }
}
