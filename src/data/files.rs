//! Finding and reading files: in go a root and the name that the program gives, out come bytes, unpacked if the file is
//! gzip. Every failure is a diagnostic at the call's span that names the file and what was tried.

use super::Result;
use super::dataset::Bytes;
use crate::diag::{Diagnostic, codes};
use crate::runtime::mapped_file::MappedFile;
use crate::source::Span;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Plain files of at least this size are mapped, smaller ones are read.
const MAPPED_FROM: u64 = 1 << 20;

/// A file that exists.
#[derive(Clone, Debug)]
pub struct Found {
    pub path: PathBuf,
    /// The last part of the path, for headlines.
    pub name: String,
    pub span: Span,
}

/// Where `name` may be: below the root, and, if it starts with `data/`, below the root without that (so that
/// `--data DIR` may name the data folder itself).
pub fn places(root: &Path, name: &str) -> Vec<PathBuf> {
    let mut places = vec![root.join(name)];
    if let Some(rest) = name.strip_prefix("data/") {
        places.push(root.join(rest));
    }
    places
}

/// Finds a file by the name that the program gives.
pub fn find(root: &Path, name: &str, span: Span) -> Result<Found> {
    find_any(&places(root, name), name, span)
}

/// The first of these paths that is a file; `name` is what the program calls it.
pub fn find_any(paths: &[PathBuf], name: &str, span: Span) -> Result<Found> {
    for path in paths {
        if path.is_file() {
            return Ok(Found { path: path.clone(), name: last_part(path), span });
        }
    }
    Err(Box::new(missing(paths, name, span)))
}

/// The last part of a path, for headlines.
pub fn last_part(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned())
}

fn missing(paths: &[PathBuf], name: &str, span: Span) -> Diagnostic {
    let d = Diagnostic::error(codes::DATA_MISSING, span, format!("there is no file \"{}\"", shorten(name)));
    let looked: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    let d = d.note(format!("looked for {}", looked.join("\nand for "))).label("this source reads it");
    if let Some(folder) = paths.iter().find(|p| p.is_dir()) {
        return d.note(format!("{} is a folder", folder.display())).help("name a file in it");
    }
    let beside = |path: &PathBuf| {
        let mut packed = path.clone().into_os_string();
        packed.push(".gz");
        let packed = PathBuf::from(packed);
        packed.is_file().then(|| last_part(&packed))
    };
    match paths.iter().find_map(beside) {
        Some(packed) => d.help(format!("there is \"{packed}\": write its name, it is unpacked while reading")),
        None => d.help("put the file there, or name the folder that holds the data with `--data DIR`"),
    }
}

/// The end of a name that is too long for a headline.
pub fn shorten(name: &str) -> String {
    let count = name.chars().count();
    if count <= 50 { name.to_string() } else { format!("…{}", name.chars().skip(count - 49).collect::<String>()) }
}

impl Found {
    /// A fault of the form of this file.
    pub fn bad(&self, what: impl AsRef<str>) -> Diagnostic {
        self.fault(codes::DATA_FORMAT, what.as_ref())
    }

    /// A fault of a value in this file.
    pub fn bad_value(&self, what: impl AsRef<str>) -> Diagnostic {
        self.fault(codes::DATA_VALUE, what.as_ref())
    }

    fn fault(&self, code: &'static codes::Code, what: &str) -> Diagnostic {
        Diagnostic::error(code, self.span, format!("{}: {what}", shorten(&self.name)))
            .label("while reading this source")
            .note(format!("the file is {}", self.path.display()))
    }

    /// A failure of the system.
    fn unreadable(&self, error: &io::Error) -> Diagnostic {
        Diagnostic::error(codes::DATA_MISSING, self.span, format!("{} cannot be read", shorten(&self.name)))
            .label("this source reads it")
            .note(format!("{}: {error}", self.path.display()))
            .help("check the file's permissions and the disk")
    }

    fn is_packed(&self) -> Result<bool> {
        let mut magic = [0; 2];
        let mut file = File::open(&self.path).map_err(|e| Box::new(self.unreadable(&e)))?;
        let got = read_up_to(&mut file, &mut magic).map_err(|e| Box::new(self.unreadable(&e)))?;
        let packed = got == 2 && magic == [0x1f, 0x8b];
        if !packed && self.path.extension().is_some_and(|e| e == "gz") {
            if got == 0 {
                return Err(Box::new(self.bad("the file is empty").help("download or copy it again")));
            }
            let d = self.bad("not a gzip file, though its name ends in .gz");
            let d = d.note(format!("its first bytes are {:02x?}, gzip starts with [1f, 8b]", &magic[..got]));
            return Err(Box::new(d.help("download it again, or rename it if it is not packed")));
        }
        Ok(packed)
    }

    /// The file's content from the start, unpacked, as a stream.
    fn stream(&self) -> Result<Box<dyn Read>> {
        let packed = self.is_packed()?;
        let file = File::open(&self.path).map_err(|e| Box::new(self.unreadable(&e)))?;
        let file = io::BufReader::with_capacity(1 << 16, file);
        Ok(if packed { Box::new(flate2::bufread::MultiGzDecoder::new(file)) } else { Box::new(file) })
    }

    /// The first `count` bytes, or fewer if there are not that many.
    pub fn head(&self, count: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        let got = read_up_to(&mut *self.stream()?, &mut bytes).map_err(|e| Box::new(self.broken(&e, 0)))?;
        bytes.truncate(got);
        Ok(bytes)
    }

    /// The whole content: mapped if it is plain and large, else in memory.
    pub fn bytes(&self) -> Result<Bytes> {
        let packed = self.is_packed()?;
        let system = |e: io::Error| Box::new(self.unreadable(&e));
        if !packed && std::fs::metadata(&self.path).map_err(system)?.len() >= MAPPED_FROM {
            return Ok(Bytes::Mapped(Arc::new(MappedFile::open(&self.path).map_err(system)?)));
        }
        let mut bytes = Vec::new();
        let read = self.stream()?.read_to_end(&mut bytes);
        read.map_err(|e| Box::new(self.broken(&e, bytes.len())))?;
        Ok(Bytes::Owned(bytes))
    }

    /// A packed stream that breaks off, or a failure of the system.
    fn broken(&self, error: &io::Error, got: usize) -> Diagnostic {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self
                .bad("the packed file ends too early")
                .note(format!("{got} bytes could be unpacked before the end"))
                .help("copy or download it again"),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => self
                .bad("the packed file is damaged")
                .note(format!("{got} bytes could be unpacked before the damage: {error}"))
                .help("copy or download it again"),
            _ => self.unreadable(error),
        }
    }
}

/// Fills as much of `buffer` as there is to read.
fn read_up_to(from: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match from.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(got)
}
