//! Right operands that are packed ahead, for products that meet the same one many times: the steps of a recurrence.
//! In: a view of B. Out: its panels one after the other, each over the whole depth, which the driver reads in place.
//! Invariant: the sums have the bits that they have without.

use super::drive::{PackB, Plan, Shared};
use super::gemm::{Epilogue, Matmul, Way};
use super::isa::{Isa, Kernel, Work, with_kernel};
use super::pack::{Operand, Parts};
use super::tile::GROUP;
use crate::runtime::threads::Pool;

/// Panels of a batch of products, in the order of [`Matmul::pack`].
struct Packed {
    at: *const f32,
    groups: usize,
    depth: usize,
}

// SAFETY: only a pointer to memory that nobody writes meanwhile.
unsafe impl Sync for Packed {}

impl PackB for Packed {
    unsafe fn pack<K: Kernel>(&self, _: usize, _: usize, _: usize, _: usize, _: *mut f32, _: usize) {
        unreachable!("an operand that is packed already")
    }

    #[inline(always)]
    fn in_place(&self, batch: usize, group: usize, groups: usize) -> Option<(*const f32, usize)> {
        let before = (batch * self.groups + group) * GROUP * self.depth;
        Some((self.at.wrapping_add(before), groups * GROUP))
    }
}

impl Way {
    /// The same with a right operand that is packed already.
    fn packed(self) -> Way {
        match self {
            Way::Vector(gemv) => Way::Vector(gemv),
            Way::Tiles(plan) => Way::Tiles(plan.packed()),
            Way::Split(parts, plan) => Way::Split(parts, plan.packed()),
        }
    }
}

impl Matmul {
    /// Bytes of scratch that [`Matmul::run_packed`] needs with a pool of `threads`.
    pub fn workspace_packed(&self, threads: usize) -> usize {
        self.workspace_packed_with(Isa::best(), threads)
    }

    /// [`Matmul::workspace_packed`] for [`Matmul::run_packed_with`].
    pub fn workspace_packed_with(&self, isa: Isa, threads: usize) -> usize {
        self.scratch(&self.way(isa).packed(), threads)
    }

    /// Bytes of a right operand that is packed ahead; 0 if this product has no use for one.
    pub fn packed_bytes(&self) -> usize {
        self.packed_bytes_with(Isa::best())
    }

    /// [`Matmul::packed_bytes`] for [`Matmul::pack_with`].
    pub fn packed_bytes_with(&self, isa: Isa) -> usize {
        let (Way::Tiles(plan) | Way::Split(_, plan)) = self.way(isa).packed() else { return 0 };
        let (_, groups, depth) = plan.right();
        plan.batch() * groups * GROUP * depth * size_of::<f32>()
    }

    /// Packs the right operand for [`Matmul::run_packed`] of products with as many columns and as deep.
    ///
    /// # Safety
    /// `b` is readable as the shape says; `to` is aligned to 64 bytes and writable for [`Matmul::packed_bytes`] bytes.
    pub unsafe fn pack(&self, pool: &Pool, b: *const f32, to: *mut u8) {
        // SAFETY: promised by the caller.
        unsafe { self.pack_with(Isa::best(), pool, b, to) }
    }

    /// [`Matmul::pack`] with a chosen instruction set.
    ///
    /// # Safety
    /// As for [`Matmul::pack`], with [`Matmul::packed_bytes_with`] bytes.
    pub unsafe fn pack_with(&self, isa: Isa, pool: &Pool, b: *const f32, to: *mut u8) {
        let b = Operand { at: b, view: self.b, columns: self.n };
        let to = Shared(to.cast::<f32>());
        match self.way(isa) {
            Way::Vector(_) => {}
            Way::Tiles(plan) => panels(isa, pool, &plan, &b, to),
            Way::Split(parts, plan) => panels(isa, pool, &plan, &Parts::new(b, self.k, parts), to),
        }
    }

    /// [`Matmul::run`] with a right operand that [`Matmul::pack`] has packed.
    ///
    /// # Safety
    /// As for [`Matmul::run`], with [`Matmul::workspace_packed`] bytes; [`Matmul::packed_bytes`] is not 0.
    pub unsafe fn run_packed(
        &self,
        pool: &Pool,
        a: *const f32,
        packed: *const u8,
        c: *mut f32,
        workspace: *mut u8,
        epilogue: Option<Epilogue>,
    ) {
        // SAFETY: promised by the caller.
        unsafe { self.run_packed_with(Isa::best(), pool, a, packed, c, workspace, epilogue) }
    }

    /// [`Matmul::run_packed`] with a chosen instruction set.
    ///
    /// # Safety
    /// As for [`Matmul::run_packed`].
    #[expect(clippy::too_many_arguments, reason = "the operands of one call")]
    pub unsafe fn run_packed_with(
        &self,
        isa: Isa,
        pool: &Pool,
        a: *const f32,
        packed: *const u8,
        c: *mut f32,
        workspace: *mut u8,
        epilogue: Option<Epilogue>,
    ) {
        let (c, scratch) = (self.result(c, epilogue), workspace.cast());
        let right = |plan: &Plan| {
            let (_, groups, depth) = plan.right();
            Packed { at: packed.cast(), groups, depth }
        };
        // SAFETY: promised by the caller.
        unsafe {
            match self.way(isa).packed() {
                Way::Vector(_) => unreachable!("a product that does not pack"),
                Way::Tiles(plan) => self.tiles(pool, &plan, a, &right(&plan), &c, scratch),
                Way::Split(parts, plan) => self.split(pool, parts, &plan, a, &right(&plan), &c, scratch),
            }
        }
    }
}

/// Packs all panels of all products.
fn panels<B: PackB>(isa: Isa, pool: &Pool, plan: &Plan, b: &B, to: Shared<f32>) {
    let (wide, groups, depth) = plan.right();
    let panels = groups.div_ceil(wide);
    pool.run(plan.batch() * panels, &|piece| {
        let (batch, first) = (piece / panels, piece % panels * wide);
        let groups = (groups - first).min(wide);
        // Where `Packed` finds the panel.
        let to = to.get().wrapping_add((batch * plan.right().1 + first) * GROUP * depth);
        // SAFETY: `Isa` exists only where its features do; the pieces are distinct parts of the room.
        unsafe { with_kernel!(isa, K => K::enter(Panel { b, batch, first, groups, depth, to })) }
    });
}

struct Panel<'a, B> {
    b: &'a B,
    batch: usize,
    first: usize,
    groups: usize,
    depth: usize,
    to: *mut f32,
}

impl<B: PackB> Work for Panel<'_, B> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<K: Kernel>(self) {
        let step = self.groups * GROUP;
        for group in 0..self.groups {
            // SAFETY: promised by the caller of `Matmul::pack`.
            unsafe {
                let to = self.to.add(group * GROUP);
                self.b.pack::<K>(self.batch, self.first + group, 0, self.depth, to, step);
            }
        }
    }
}
