//! Large matrix products by the vendor's library (cuBLASLt), where it is there. In: sizes and how both operands lie. Out: a product
//! that can be given to a stream, and so becomes a part of a step's graph.
//!
//! The library is asked for true `f32`, and for sums that are cut into parts only where those are joined in a fixed order. The
//! first of its proposals is taken, not the fastest of a trial: the same bits in every run. What it does not take, and all small
//! products, are tiles of our own ([`gemm`](super::gemm)).

use super::device::Device;
use super::ffi::ProductLibrary;
use super::find;
use crate::ops::DType;
use crate::plan::{BufferId, EpilogueWork, Operand, Work};
use std::ffi::{c_int, c_void};
use std::sync::Arc;

/// Multiplications from which on the library is asked.
const LARGE: usize = 1 << 22;
/// Rows, columns and terms at least.
const NARROW: usize = 16;
/// Bytes of scratch memory at most.
const SCRATCH: usize = 32 << 20;

// Numbers of the library's interface (cublasLt.h).
const F32: c_int = 0;
const COMPUTE_F32: c_int = 68;
const DESC_TRANS_A: c_int = 3;
const DESC_TRANS_B: c_int = 4;
const LAYOUT_BATCH: c_int = 5;
const LAYOUT_BATCH_STRIDE: c_int = 6;
const PREFER_SCRATCH: c_int = 1;
const PREFER_REDUCTION: c_int = 3;
const PREFER_ALIGNMENT: [c_int; 4] = [5, 6, 7, 8];
/// Sums in parts are joined in the type of the sum, in scratch memory.
const REDUCTION_IN_SCRATCH: u32 = 2;

/// The library, ready for a device.
pub struct Products {
    library: ProductLibrary,
    handle: *mut c_void,
    pub place: String,
}

impl Products {
    /// The library for the device that is current; none if it is not there or does not work with this driver.
    pub fn open() -> Option<Products> {
        let found = find::products()?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: the place for the answer is valid, and a device is current.
        let result = unsafe { (found.library.cublasLtCreate)(&mut handle) };
        (result == 0).then_some(Products { library: found.library, handle, place: found.place })
    }

    /// `130001` for 13.0.1.
    pub fn version(&self) -> usize {
        // SAFETY: without a condition.
        unsafe { (self.library.cublasLtGetVersion)() }
    }

    /// Gives the handle back.
    pub fn close(&mut self) {
        // SAFETY: made in `open`; set to null, so that it is destroyed once.
        unsafe {
            if !self.handle.is_null() {
                (self.library.cublasLtDestroy)(self.handle);
            }
        }
        self.handle = std::ptr::null_mut();
    }
}

/// How an operand lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Side {
    transposed: bool,
    /// Elements from one row (transposed: column) to the next.
    lead: usize,
    /// Elements from one matrix of the batch to the next.
    stride: usize,
}

/// A product of row-major matrices, `c[z] = a[z] b[z]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    batch: usize,
    m: usize,
    n: usize,
    k: usize,
    a: Side,
    b: Side,
    /// Whether rows of all three begin at multiples of 16 bytes, if the matrices do.
    pub aligned: bool,
}

/// A product that the library can have: its shape; both operands with the number of their first element, and the result; what
/// is to be done with the result.
pub type Suited<'w> = (Shape, [(BufferId, usize); 3], &'w Option<EpilogueWork>);

fn side(operand: &Operand, rows: usize, cols: usize, batch: usize) -> Option<Side> {
    let [z, row, col] = operand.strides[..] else { return None };
    let stride = if batch == 1 { 0 } else { usize::try_from(z).ok()? };
    let lead =
        |stride: i64, least: usize| usize::try_from(stride).ok().filter(|s| *s >= least && *s <= i32::MAX as usize);
    match (row, col) {
        (row, 1) => Some(Side { transposed: false, lead: lead(row, cols)?, stride }),
        (1, col) => Some(Side { transposed: true, lead: lead(col, rows)?, stride }),
        _ => None,
    }
}

/// Whether a launch is a product for the library.
pub fn suited(work: &Work) -> Option<Suited<'_>> {
    let Work::Matmul { dtype: DType::F32, batch, m, n, k, a, b, c, epilogue, .. } = work else { return None };
    let (batch, m, n, k) = (*batch, *m, *n, *k);
    if m.min(n).min(k) < NARROW || batch.checked_mul(m)?.checked_mul(n)?.checked_mul(k)? < LARGE {
        return None;
    }
    let (left, right) = (side(a, m, k, batch)?, side(b, k, n, batch)?);
    let whole = |n: usize| n.is_multiple_of(4);
    let aligned = [left.stride, right.stride, left.lead, right.lead, n, m * n].into_iter().all(whole);
    let shape = Shape { batch, m, n, k, a: left, b: right, aligned };
    Some((shape, [(a.buffer, a.offset), (b.buffer, b.offset), (*c, 0)], epilogue))
}

/// An algorithm of the library; it says nothing of what is inside.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Algorithm([u64; 8]);

/// A proposal of the library.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Proposal {
    algorithm: Algorithm,
    scratch: usize,
    state: c_int,
    waves: f32,
    reserved: [c_int; 4],
}

/// A product as the library is told of it.
pub struct Product {
    device: Arc<Device>,
    description: *mut c_void,
    /// Of the left and right factor and the result, as the library sees them: the other way round, and by columns.
    layouts: [*mut c_void; 3],
    algorithm: Algorithm,
    pub scratch: usize,
}

impl Product {
    /// Tells the library; none if it has no way to compute this.
    pub fn new(device: &Arc<Device>, shape: &Shape) -> Option<Product> {
        let products = device.products.as_ref()?;
        let lib = &products.library;
        let (description, layouts) = (std::ptr::null_mut(), [std::ptr::null_mut(); 3]);
        let mut product =
            Product { device: device.clone(), description, layouts, algorithm: Algorithm([0; 8]), scratch: 0 };
        product.describe(lib, shape)?;
        let found = product.ask(products, if shape.aligned { 16 } else { 4 })?;
        product.algorithm = found.algorithm;
        product.scratch = found.scratch;
        Some(product)
    }

    fn describe(&mut self, lib: &ProductLibrary, shape: &Shape) -> Option<()> {
        let Shape { batch, m, n, k, a, b, .. } = *shape;
        // Row-major matrices are their own transposes by columns, and c' = b' a'.
        let result = Side { transposed: false, lead: n, stride: if batch == 1 { 0 } else { m * n } };
        let by_columns = |side: Side, rows: usize, cols: usize| match side.transposed {
            false => (cols, rows, side),
            true => (rows, cols, side),
        };
        // SAFETY: places for answers are valid, and attributes are given with their sizes; `drop` destroys what is made.
        unsafe {
            (lib.cublasLtMatmulDescCreate)(&mut self.description, COMPUTE_F32, F32).eq(&0).then_some(())?;
            for (attribute, side) in [(DESC_TRANS_A, b), (DESC_TRANS_B, a)] {
                let value = c_int::from(side.transposed);
                let at = std::ptr::from_ref(&value).cast();
                let set = (lib.cublasLtMatmulDescSetAttribute)(self.description, attribute, at, size_of::<c_int>());
                (set == 0).then_some(())?;
            }
            let sides = [by_columns(b, k, n), by_columns(a, m, k), by_columns(result, m, n)];
            for (layout, (rows, cols, side)) in self.layouts.iter_mut().zip(sides) {
                let made = (lib.cublasLtMatrixLayoutCreate)(layout, F32, rows as u64, cols as u64, side.lead as i64);
                (made == 0).then_some(())?;
                let (count, stride) = (batch as c_int, side.stride as i64);
                let set = lib.cublasLtMatrixLayoutSetAttribute;
                let count = set(*layout, LAYOUT_BATCH, std::ptr::from_ref(&count).cast(), size_of::<c_int>());
                let stride = set(*layout, LAYOUT_BATCH_STRIDE, std::ptr::from_ref(&stride).cast(), size_of::<i64>());
                (count == 0 && stride == 0).then_some(())?;
            }
        }
        Some(())
    }

    /// The library's first proposal.
    fn ask(&self, products: &Products, alignment: u32) -> Option<Proposal> {
        let lib = &products.library;
        let mut found = Proposal { algorithm: Algorithm([0; 8]), scratch: 0, state: 0, waves: 0.0, reserved: [0; 4] };
        let (mut preference, mut count) = (std::ptr::null_mut(), 0);
        let [a, b, c] = self.layouts;
        // SAFETY: places for answers are valid, attributes are given with their sizes, and the preference is destroyed here.
        let asked = unsafe {
            if (lib.cublasLtMatmulPreferenceCreate)(&mut preference) != 0 {
                return None;
            }
            let set = |attribute: c_int, value: *const c_void, bytes: usize| {
                (lib.cublasLtMatmulPreferenceSetAttribute)(preference, attribute, value, bytes) == 0
            };
            let scratch = std::ptr::from_ref(&SCRATCH).cast();
            let mut good = set(PREFER_SCRATCH, scratch, size_of::<usize>());
            good &= set(PREFER_REDUCTION, std::ptr::from_ref(&REDUCTION_IN_SCRATCH).cast(), size_of::<u32>());
            for attribute in PREFER_ALIGNMENT {
                good &= set(attribute, std::ptr::from_ref(&alignment).cast(), size_of::<u32>());
            }
            let result = (lib.cublasLtMatmulAlgoGetHeuristic)(
                products.handle,
                self.description,
                a,
                b,
                c,
                c,
                preference,
                1,
                &mut found,
                &mut count,
            );
            (lib.cublasLtMatmulPreferenceDestroy)(preference);
            good && result == 0
        };
        (asked && count > 0 && found.state == 0 && found.scratch <= SCRATCH).then_some(found)
    }

    /// Gives the product of the matrices at `a` and `b` to the device's stream; the result goes to `c`.
    ///
    /// # Errors
    /// What the library does not take.
    ///
    /// # Safety
    /// The addresses are of memory of the device as large as the shape says, `scratch` of as many bytes as `self.scratch`.
    pub unsafe fn launch(&self, [a, b, c]: [u64; 3], scratch: u64) -> Result<(), String> {
        let Some(products) = &self.device.products else { return Err("there is no library of products".to_string()) };
        let (one, zero) = (1.0f32, 0.0f32);
        let [left, right, result] = self.layouts;
        let at = |address: u64| address as *const c_void;
        // SAFETY: described by `new`; the caller answers for the addresses.
        let given = unsafe {
            (products.library.cublasLtMatmul)(
                products.handle,
                self.description,
                std::ptr::from_ref(&one).cast(),
                at(b),
                left,
                at(a),
                right,
                std::ptr::from_ref(&zero).cast(),
                at(c),
                result,
                at(c).cast_mut(),
                result,
                &self.algorithm,
                at(scratch).cast_mut(),
                self.scratch,
                self.device.stream.cast(),
            )
        };
        if given == 0 { Ok(()) } else { Err(format!("cuBLASLt does not take a product: status {given}")) }
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        let Some(products) = &self.device.products else { return };
        // SAFETY: made by `describe`, destroyed once; null where it was not made.
        unsafe {
            for layout in self.layouts.into_iter().filter(|l| !l.is_null()) {
                (products.library.cublasLtMatrixLayoutDestroy)(layout);
            }
            if !self.description.is_null() {
                (products.library.cublasLtMatmulDescDestroy)(self.description);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_lie_by_rows_or_by_columns() {
        let operand = |strides: [i64; 3]| Operand { buffer: BufferId(0), offset: 0, strides: strides.to_vec() };
        let rows = side(&operand([600, 30, 1]), 20, 30, 2);
        assert_eq!(rows, Some(Side { transposed: false, lead: 30, stride: 600 }));
        let columns = side(&operand([0, 1, 24]), 20, 30, 1);
        assert_eq!(columns, Some(Side { transposed: true, lead: 24, stride: 0 }));
        // Rows that overlap, a step between elements, an axis turned round.
        for strides in [[0, 29, 1], [0, 60, 2], [0, -30, 1], [-600, 30, 1]] {
            assert_eq!(side(&operand(strides), 20, 30, 2), None, "{strides:?}");
        }
    }
}
