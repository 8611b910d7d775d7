//! Writing a file so that it is whole or not there: in goes what to write, out comes the file under its name, only after
//! its bytes are on the disk. Also the words for what a file system refuses.

use super::Result;
use crate::diag::{Diagnostic, codes};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes `path` through `<path>.tmp-<process>`, which is synced, renamed, and its folder synced. After a failure the
/// old file is as it was.
pub fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".tmp-{}", std::process::id()));
    let temporary = PathBuf::from(name);
    let written = (|| {
        let mut writer = BufWriter::with_capacity(1 << 20, File::create(&temporary)?);
        write(&mut writer)?;
        writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&temporary, path)?;
        sync_folder(path)
    })();
    written.map_err(|e| {
        // Best effort: the failure that matters is the one that is reported.
        let _ = std::fs::remove_file(&temporary);
        Box::new(refused("write", path, &e))
    })
}

/// Puts the renaming itself on the disk. Where folders cannot be synced (not on Unix), the renaming must do.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// The diagnostic for a file that the system does not let us `verb` (read, write, create).
pub fn refused(verb: &str, path: &Path, error: &io::Error) -> Diagnostic {
    let name = path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
    let name: String = name.chars().take(40).collect();
    let (why, help) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ("the disk is full", "free some space, or put the run elsewhere with `--run-dir DIR`")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ("it is not permitted", "give yourself the right to do so, or use another place with `--run-dir DIR`")
        }
        io::ErrorKind::NotFound => ("there is no such file or folder", "check the path"),
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            ("a file is in the way", "move that file, or use another place with `--run-dir DIR`")
        }
        _ => ("the system refused it", "check the disk and the path"),
    };
    Diagnostic::placeless(codes::FILE, format!("cannot {verb} {name}: {why}"))
        .note(format!("{}: {error}", path.display()))
        .help(help)
}
