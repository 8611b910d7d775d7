//! Memory of a run: all variables in one allocation, everything else of a step in another. In: sizes. Out: zeroed memory
//! aligned to 64 bytes, freed when dropped. Several executables (a full batch, a partial one, evaluation) share both.

use memmap2::{MmapMut, MmapOptions};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::ops::VarId;
use crate::plan::VarLayout;

/// Alignment of every buffer.
pub const ALIGN: usize = 64;

/// Bytes of a large page of memory, and from how many on an allocation asks for such pages.
const PAGE: usize = 2 << 20;
const LARGE: usize = 2 * PAGE;

/// One zeroed allocation.
pub(super) struct Block {
    memory: Memory,
    /// Where what is used of it begins: a multiple of [`ALIGN`].
    at: NonNull<u8>,
    len: usize,
}

/// What owns the memory.
enum Memory {
    Allocated(NonNull<u8>),
    /// In large pages, where the system has them: with small ones, a step that goes through many buffers spends a tenth of
    /// its time on finding pages.
    Mapped {
        _pages: MmapMut,
    },
}

// SAFETY: it owns its memory; access goes through `&` and `&mut` as for a `Vec<u8>`.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    pub fn new(len: usize) -> Block {
        if len >= LARGE
            && let Some(mapped) = Block::mapped(len)
        {
            return mapped;
        }
        let layout = Self::layout(len);
        // SAFETY: the layout is not empty.
        let Some(start) = NonNull::new(unsafe { alloc_zeroed(layout) }) else { handle_alloc_error(layout) };
        // SAFETY: the layout has room for the distance to the next multiple.
        let at = unsafe { start.add(start.align_offset(ALIGN)) };
        Block { memory: Memory::Allocated(start), at, len }
    }

    /// From the system at once, from the next large page on.
    fn mapped(len: usize) -> Option<Block> {
        let mut pages = MmapOptions::new().len(len.checked_add(PAGE)?).map_anon().ok()?;
        #[cfg(target_os = "linux")]
        let _ = pages.advise(memmap2::Advice::HugePage);
        let start = NonNull::new(pages.as_mut_ptr())?;
        // SAFETY: the mapping has room for the distance to the next multiple.
        let at = unsafe { start.add(start.align_offset(PAGE)) };
        Some(Block { memory: Memory::Mapped { _pages: pages }, at, len })
    }

    /// Aligned as little as the system does by itself: it then gives pages that are zero without writing to them.
    fn layout(len: usize) -> Layout {
        let layout = Layout::from_size_align(len.max(1).saturating_add(ALIGN), 16);
        // More than `isize::MAX` bytes are no allocation on any machine.
        layout.unwrap_or_else(|_| handle_alloc_error(Layout::new::<u8>()))
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn pointer(&self) -> *mut u8 {
        self.at.as_ptr()
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the allocation has `len` bytes, all initialised.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr(), self.len) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Memory::Allocated(start) = self.memory {
            // SAFETY: allocated in `new` with this layout.
            unsafe { dealloc(start.as_ptr(), Self::layout(self.len)) }
        }
    }
}

/// The bytes of a step's intermediate values, of its inputs and of its results.
pub struct Arena {
    pub(super) block: Block,
}

impl Arena {
    /// Exactly this many bytes: the largest `arena_bytes` of the plans that share it.
    pub fn new(bytes: usize) -> Arena {
        Arena { block: Block::new(bytes) }
    }

    pub fn bytes(&self) -> usize {
        self.block.len()
    }
}

/// See [`VarMemory::version`].
fn next_version() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// The bytes of all variables, zero at first.
pub struct VarMemory {
    pub(super) block: Block,
    offsets: Vec<usize>,
    /// What each variable's value was called when it changed last: no two values of the process have the same number.
    versions: Vec<u64>,
}

impl VarMemory {
    pub fn new(layout: &VarLayout) -> VarMemory {
        let versions = vec![next_version(); layout.offsets.len()];
        VarMemory { block: Block::new(layout.bytes), offsets: layout.offsets.clone(), versions }
    }

    pub fn bytes(&self) -> usize {
        self.block.len()
    }

    /// The first `len` bytes of a variable (the caller knows its type); none if it does not exist or lies outside.
    pub fn read(&self, var: VarId, len: usize) -> Option<&[u8]> {
        let at = *self.offsets.get(var.0 as usize)?;
        self.block.bytes().get(at..at.checked_add(len)?)
    }

    /// As [`read`](VarMemory::read), to write.
    pub fn write(&mut self, var: VarId, len: usize) -> Option<&mut [u8]> {
        let at = *self.offsets.get(var.0 as usize)?;
        self.changed(var);
        self.block.bytes_mut().get_mut(at..at.checked_add(len)?)
    }

    /// A variable is not what it was.
    pub(super) fn changed(&mut self, var: VarId) {
        if let Some(version) = self.versions.get_mut(var.0 as usize) {
            *version = next_version();
        }
    }

    /// A number that differs after every change of a variable, and from memory to memory; never 0.
    pub(super) fn version(&self, var: VarId) -> u64 {
        self.versions.get(var.0 as usize).copied().unwrap_or_else(next_version)
    }

    /// Takes over all variables of another memory of the same layout: to go back to before a step.
    pub fn copy_from(&mut self, other: &VarMemory) {
        let len = self.bytes().min(other.bytes());
        self.versions.fill(next_version());
        self.block.bytes_mut()[..len].copy_from_slice(&other.block.bytes()[..len]);
    }
}

impl Clone for VarMemory {
    fn clone(&self) -> VarMemory {
        let mut copy = VarMemory {
            block: Block::new(self.bytes()),
            offsets: self.offsets.clone(),
            versions: self.versions.clone(),
        };
        copy.copy_from(self);
        copy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_by_their_place() {
        let layout = VarLayout { offsets: vec![0, 64], bytes: 128 };
        let mut memory = VarMemory::new(&layout);
        memory.write(VarId(1), 4).unwrap().copy_from_slice(&[1, 2, 3, 4]);
        assert_eq!(memory.block.pointer() as usize % ALIGN, 0);
        assert_eq!(&memory.block.bytes()[64..68], &[1, 2, 3, 4]);
        assert_eq!(memory.read(VarId(0), 8).unwrap(), &[0; 8]);
        assert!(memory.read(VarId(1), 65).is_none());
        assert!(memory.read(VarId(2), 1).is_none());
        let copy = memory.clone();
        memory.write(VarId(1), 1).unwrap()[0] = 9;
        assert_eq!(copy.read(VarId(1), 1).unwrap(), &[1]);
        memory.copy_from(&copy);
        assert_eq!(memory.read(VarId(1), 1).unwrap(), &[1]);
    }

    #[test]
    fn large_memory_is_zero_and_aligned() {
        let mut block = Block::new(LARGE + 1);
        assert_eq!(block.pointer() as usize % ALIGN, 0);
        assert!(block.bytes().iter().all(|b| *b == 0));
        block.bytes_mut()[LARGE] = 7;
        assert_eq!(block.bytes()[LARGE], 7);
    }
}
