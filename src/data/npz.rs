//! `npz(path)`: a zip file of NumPy arrays, stored or deflated, one field an array. In goes the file, out come the same
//! fields as from `npy`; arrays that are stored unpacked in a large file stay mapped.

use super::dataset::{Bytes, OpenedData};
use super::files::{self, Found};
use super::npy::Arrays;
use super::table::identifier;
use super::{Call, Kind, Parameter, Result, SourceInfo, VALIDATE};
use std::io::Read;
use std::ops::Range;
use std::path::Path;

pub const INFO: SourceInfo = SourceInfo {
    name: "npz",
    doc: "NumPy arrays from one .npz file; the first axis is the samples",
    fields: "one for each array, by its name; whole numbers with one axis: i32 label",
    example: "npz(\"data/set.npz\", validate: 0.2)",
    parameters: &[Parameter { name: "path", kind: Kind::Path, default: None, doc: "the .npz file" }, VALIDATE],
    many_files: false,
    declared: |_| None,
    facts: |call, root| Ok(open(call, root)?.facts()),
    open,
};

fn open(call: &Call, root: &Path) -> Result<OpenedData> {
    let file = files::find(root, call.text("path").unwrap_or_default(), call.span_of("path"))?;
    let bytes = file.bytes()?;
    let mut arrays = Arrays::default();
    for member in members(&file, &bytes)? {
        let Some(stem) = member.name.strip_suffix(".npy") else {
            let d = file.bad(format!("`{}` in it is not an array", files::shorten(&member.name)));
            return Err(Box::new(d.help("write the file with `numpy.savez`")));
        };
        let (content, range) = member.content(&file, &bytes)?;
        arrays.push(&file, &identifier(stem), content, range)?;
    }
    arrays.finish(call)
}

/// One file of the zip.
struct Member {
    name: String,
    flags: u64,
    method: u64,
    crc: u32,
    packed: usize,
    unpacked: usize,
    /// Where its local header is.
    offset: usize,
}

fn number(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    Some(bytes.get(at..at.checked_add(len)?)?.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)))
}

/// The zip's directory: the record at the file's end says where it is (APPNOTE 6.3.3, sections 4.3.12 to 4.3.16).
fn members(file: &Found, bytes: &[u8]) -> Result<Vec<Member>> {
    if bytes.is_empty() {
        return Err(Box::new(file.bad("the file is empty").help("copy or write it again")));
    }
    if !bytes.starts_with(b"PK") {
        let d = file.bad("not a .npz file").note(format!("it starts with {:02x?}", &bytes[..bytes.len().min(4)]));
        return Err(Box::new(match bytes.starts_with(b"\x93NUMPY") {
            true => d.help("this is a single array: read it with `npy`"),
            false => d.help("write it with `numpy.savez`"),
        }));
    }
    let cut = || Box::new(file.bad("the file is truncated or damaged: its directory is missing").help("copy it again"));
    let tail = bytes.len().saturating_sub(22 + 0xffff);
    let end = bytes[tail..].windows(4).rposition(|w| w == b"PK\x05\x06").ok_or_else(cut)? + tail;
    let mut count = number(bytes, end + 10, 2).ok_or_else(cut)?;
    let mut at = number(bytes, end + 16, 4).ok_or_else(cut)?;
    if count == 0xffff || at == 0xffff_ffff {
        let locator = end.checked_sub(20).ok_or_else(cut)?;
        let big = number(bytes, locator + 8, 8).and_then(|n| usize::try_from(n).ok()).ok_or_else(cut)?;
        if bytes.get(locator..locator + 4) != Some(b"PK\x06\x07") {
            return Err(cut());
        }
        count = number(bytes, big.saturating_add(32), 8).ok_or_else(cut)?;
        at = number(bytes, big.saturating_add(48), 8).ok_or_else(cut)?;
    }
    let mut at = usize::try_from(at).map_err(|_| cut())?;
    let mut members = Vec::new();
    for _ in 0..count {
        let (member, next) = member(bytes, at).ok_or_else(cut)?;
        members.push(member);
        at = next;
    }
    if members.is_empty() {
        return Err(Box::new(file.bad("there are no arrays in it").help("write it with `numpy.savez`")));
    }
    Ok(members)
}

/// The directory's entry at `at`, and where the next one is.
fn member(bytes: &[u8], at: usize) -> Option<(Member, usize)> {
    let entry = bytes.get(at..)?;
    if !entry.starts_with(b"PK\x01\x02") {
        return None;
    }
    let field = |at, len| number(entry, at, len);
    let [name, extra, comment] = [28, 30, 32].map(|at| field(at, 2).map(|n| n as usize));
    let (name, extra, comment) = (name?, extra?, comment?);
    // Sizes that do not fit 32 bits are in the extra field 1, in this order, and only those.
    let mut wide = [field(24, 4)?, field(20, 4)?, field(42, 4)?];
    let extras = entry.get(46 + name..46 + name + extra)?;
    let mut i = 0;
    while let (Some(id), Some(len)) = (number(extras, i, 2), number(extras, i + 2, 2)) {
        if id == 1 {
            let mut from = i + 4;
            for value in wide.iter_mut().filter(|v| **v == 0xffff_ffff) {
                *value = number(extras, from, 8)?;
                from += 8;
            }
        }
        i += 4 + len as usize;
    }
    let [unpacked, packed, offset] = wide.map(usize::try_from);
    let member = Member {
        name: String::from_utf8_lossy(entry.get(46..46 + name)?).into_owned(),
        flags: field(8, 2)?,
        method: field(10, 2)?,
        crc: field(16, 4)? as u32,
        packed: packed.ok()?,
        unpacked: unpacked.ok()?,
        offset: offset.ok()?,
    };
    Some((member, at + 46 + name + extra + comment))
}

impl Member {
    /// The member's bytes, verified.
    fn content(&self, file: &Found, zip: &Bytes) -> Result<(Bytes, Range<usize>)> {
        let name = files::shorten(&self.name);
        let damaged = |why: &str| {
            let d = file.bad(format!("`{name}` in it is damaged or cut short"));
            Box::new(d.note(why.to_string()).help("copy or write the file again"))
        };
        if self.flags & 1 != 0 {
            return Err(Box::new(file.bad(format!("`{name}` in it is encrypted")).help("write it without a password")));
        }
        let lens = [26, 28].map(|at| self.offset.checked_add(at).and_then(|at| number(zip, at, 2)));
        let [Some(name_len), Some(extra_len)] = lens else { return Err(damaged("its header is past the file's end")) };
        let start = self.offset + 30 + name_len as usize + extra_len as usize;
        let range = start..start.checked_add(self.packed).ok_or_else(|| damaged("its size is impossible"))?;
        let packed = zip.get(range.clone()).ok_or_else(|| damaged("its bytes go past the file's end"))?;
        let (bytes, range) = match self.method {
            0 => match zip {
                Bytes::Mapped(_) => (zip.clone(), range),
                Bytes::Owned(_) | Bytes::Shared(_) => (Bytes::Owned(packed.to_vec()), 0..packed.len()),
            },
            8 => {
                let mut unpacked = Vec::new();
                let limit = self.unpacked as u64 + 1;
                let read = flate2::bufread::DeflateDecoder::new(packed).take(limit).read_to_end(&mut unpacked);
                read.map_err(|e| damaged(&e.to_string()))?;
                let all = 0..unpacked.len();
                (Bytes::Owned(unpacked), all)
            }
            method => {
                let d = file.bad(format!("`{name}` in it is packed by method {method}"));
                return Err(Box::new(d.help("write it with `numpy.savez` or `numpy.savez_compressed`")));
            }
        };
        if range.len() != self.unpacked {
            return Err(damaged(&format!("it has {} bytes, the directory says {}", range.len(), self.unpacked)));
        }
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[range.clone()]);
        if crc.sum() != self.crc {
            return Err(damaged("its checksum is wrong"));
        }
        Ok((bytes, range))
    }
}
