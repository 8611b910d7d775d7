//! Convolution with weights that are prepared ahead: for those that stay the same from call to call. In: the weights. Out: what
//! is kept of them, in the order that the kernels read it in, and with it the tables of the windows. Invariant: what is
//! kept depends on the shape, the instruction set and the weights only.

use super::conv::{Conv2d, chunks, empty, padded_bytes, plan};
use super::gemm::Epilogue;
use super::isa::Isa;
use super::winograd::Winograd;
use super::winograd_tiles::Given;
use crate::runtime::threads::Pool;

impl Conv2d {
    /// Bytes that [`Conv2d::keep`] fills; 0 where nothing is computed.
    pub fn kept_bytes(&self) -> usize {
        self.kept_bytes_with(Isa::best())
    }

    /// [`Conv2d::kept_bytes`] for [`Conv2d::keep_with`].
    pub fn kept_bytes_with(&self, isa: Isa) -> usize {
        let windows = self.windows_forward();
        if empty(&windows, self.out_channels) {
            return 0;
        }
        match Winograd::new(isa, &windows, self.out_channels, Given::Kept) {
            Some(winograd) => winograd.kept_bytes(),
            None => {
                let plan = plan(isa, &windows, self.out_channels, windows.chunk().min(windows.images));
                windows.table_bytes() + plan.kept_floats() * size_of::<f32>()
            }
        }
    }

    /// Bytes of scratch that [`Conv2d::forward_kept`] needs with a pool of `threads`.
    pub fn workspace_kept(&self, threads: usize) -> usize {
        self.workspace_kept_with(Isa::best(), threads)
    }

    /// [`Conv2d::workspace_kept`] for [`Conv2d::forward_kept_with`].
    pub fn workspace_kept_with(&self, isa: Isa, threads: usize) -> usize {
        let windows = self.windows_forward();
        if empty(&windows, self.out_channels) {
            return 0;
        }
        match Winograd::new(isa, &windows, self.out_channels, Given::Kept) {
            Some(winograd) => winograd.workspace_kept(threads),
            None => {
                let floats = |images| plan(isa, &windows, self.out_channels, images).kept().workspace(threads);
                padded_bytes(&windows, floats)
            }
        }
    }

    /// Prepares the weights for [`Conv2d::forward_kept`].
    ///
    /// # Safety
    /// `w` is readable as the shape says; `to` is aligned to 64 bytes and writable for [`Conv2d::kept_bytes`] bytes.
    pub unsafe fn keep(&self, pool: &Pool, w: *const f32, to: *mut u8) {
        // SAFETY: promised by the caller.
        unsafe { self.keep_with(Isa::best(), pool, w, to) }
    }

    /// [`Conv2d::keep`] with a chosen instruction set.
    ///
    /// # Safety
    /// As for [`Conv2d::keep`], with [`Conv2d::kept_bytes_with`] bytes.
    pub unsafe fn keep_with(&self, isa: Isa, pool: &Pool, w: *const f32, to: *mut u8) {
        let windows = self.windows_forward();
        if empty(&windows, self.out_channels) {
            return;
        }
        // SAFETY: promised by the caller; the memory holds the tables and then the strips.
        unsafe {
            match Winograd::new(isa, &windows, self.out_channels, Given::Kept) {
                Some(winograd) => winograd.keep(pool, self.winograd_weights(w), to),
                None => {
                    windows.tables(to);
                    let plan = plan(isa, &windows, self.out_channels, windows.chunk().min(windows.images)).kept();
                    plan.prepare(pool, &self.weights(w), to.add(windows.table_bytes()).cast());
                }
            }
        }
    }

    /// [`Conv2d::forward`] with weights that [`Conv2d::keep`] has prepared.
    ///
    /// # Safety
    /// As for [`Conv2d::forward`], with [`Conv2d::workspace_kept`] bytes; `kept` is what [`Conv2d::keep`] has filled.
    pub unsafe fn forward_kept(
        &self,
        pool: &Pool,
        x: *const f32,
        kept: *const u8,
        y: *mut f32,
        workspace: *mut u8,
        epilogue: Option<Epilogue>,
    ) {
        // SAFETY: promised by the caller.
        unsafe { self.forward_kept_with(Isa::best(), pool, x, kept, y, workspace, epilogue) }
    }

    /// [`Conv2d::forward_kept`] with a chosen instruction set.
    ///
    /// # Safety
    /// As for [`Conv2d::forward_kept`].
    #[expect(clippy::too_many_arguments, reason = "the operands of one call")]
    pub unsafe fn forward_kept_with(
        &self,
        isa: Isa,
        pool: &Pool,
        x: *const f32,
        kept: *const u8,
        y: *mut f32,
        workspace: *mut u8,
        epilogue: Option<Epilogue>,
    ) {
        let windows = self.windows_forward();
        if empty(&windows, self.out_channels) {
            return;
        }
        if let Some(winograd) = Winograd::new(isa, &windows, self.out_channels, Given::Kept) {
            // SAFETY: promised by the caller.
            return unsafe { winograd.run_kept(pool, kept, x, y, workspace, epilogue) };
        }
        // Its memory is not read: all strips are kept.
        let weights = self.weights(std::ptr::null());
        // SAFETY: promised by the caller; the scratch holds the padded chunk, then what the plan needs.
        unsafe {
            let columns = windows.columns(kept, workspace.cast());
            let (strips, scratch) = (kept.add(windows.table_bytes()).cast(), workspace.add(windows.bytes()[2]).cast());
            chunks(isa, pool, &windows, &columns, x, y, self.out_channels, None, epilogue, |images, maps| {
                let plan = plan(isa, &windows, self.out_channels, images).kept();
                plan.compute_kept(pool, &weights, strips, &columns, maps, scratch);
            });
        }
    }
}
