//! A file as read-only memory: in goes a path, out comes a byte slice that the system pages in on demand. The slice is
//! never written; a file that another process cuts short while it is mapped ends the process (SIGBUS), as everywhere.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

/// A whole file, mapped read-only.
#[derive(Debug)]
pub struct MappedFile(memmap2::Mmap);

impl MappedFile {
    /// Maps the file at `path`. An empty file gives an empty slice.
    pub fn open(path: &Path) -> io::Result<MappedFile> {
        let file = File::open(path)?;
        // SAFETY: the mapping is read-only and we never write the file, so the slice does not change under us through
        // this process. Data files are documented as not to be changed while a run reads them.
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Ok(MappedFile(map))
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
