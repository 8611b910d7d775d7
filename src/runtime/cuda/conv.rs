//! Convolutions and their gradients as products of matrices whose elements are found where they lie, without a copy. In: the
//! geometry. Out: the kernels of [`gemm`](super::gemm), one product a group of channels.
//!
//! | pass | rows | columns | sum over |
//! | --- | --- | --- | --- |
//! | forward | output channels | images and places of the output | input channels, window |
//! | input gradient | input channels | images and places of the input | output channels, window |
//! | weight gradient | output channels | input channels, window | images and places of the output |

use super::gemm::{Fetch, Gemm, epilogue, scratch};
use super::work::Call;
use crate::codegen::cuda::scalar;
use crate::ops::DType;
use crate::plan::{BufferId, ConvPass, ConvShape, EpilogueWork, Schedule};

/// A convolution or one of its gradients, as a plan has it.
pub struct Convolution<'a> {
    pub dtype: DType,
    pub pass: ConvPass,
    pub shape: &'a ConvShape,
    pub inputs: [BufferId; 2],
    pub output: BufferId,
    pub epilogue: &'a Option<EpilogueWork>,
    pub workspace: Option<BufferId>,
}

/// Rows, columns and the length of the sum.
fn sizes(pass: ConvPass, s: &ConvShape) -> [usize; 3] {
    let [oh, ow] = s.out_size();
    let (ic, oc) = (s.in_channels / s.groups, s.out_channels / s.groups);
    let window = s.window.kernel[0] * s.window.kernel[1];
    match pass {
        ConvPass::Forward => [oc, s.batch * oh * ow, ic * window],
        ConvPass::InputGrad => [ic, s.batch * s.size[0] * s.size[1], oc * window],
        ConvPass::WeightGrad => [oc, ic * window, s.batch * oh * ow],
    }
}

/// Bytes of scratch memory.
pub fn conv_scratch(dtype: DType, pass: ConvPass, shape: &ConvShape) -> usize {
    if shape.groups == 0 {
        return 0;
    }
    let [m, n, k] = sizes(pass, shape);
    scratch(dtype, shape.groups, m, n, k)
}

/// The kernels of a convolution.
pub fn conv(schedule: &Schedule, c: &Convolution) -> Result<Vec<Call>, String> {
    let (s, w) = (c.shape, &c.shape.window);
    let lists = [&w.kernel, &w.stride, &w.dilation, &w.pad_low];
    if s.groups == 0 || lists.iter().any(|l| l.len() != 2) || lists[..3].iter().any(|l| l.contains(&0)) {
        return Err("a convolution that is not over two axes".to_string());
    }
    let [oh, ow] = s.out_size();
    let [ih, iw] = s.size;
    let (ic, oc) = (s.in_channels / s.groups, s.out_channels / s.groups);
    let (kh, kw) = (w.kernel[0], w.kernel[1]);
    let (channels_in, channels_out) = (s.in_channels, s.out_channels);
    let [m, n, k] = sizes(c.pass, s);
    let ty = scalar::register(c.dtype);
    let ([sy, sx], [dy, dx], [py, px]) =
        ([w.stride[0], w.stride[1]], [w.dilation[0], w.dilation[1]], [w.pad_low[0], w.pad_low[1]]);
    let (plane_in, plane_out, window) = (ih * iw, oh * ow, kh * kw);
    let wide = |elements: usize| if elements > i32::MAX as usize { "(nn_i64)" } else { "" };
    let (big_in, big_out) = (wide(s.batch * channels_in * plane_in), wide(s.batch * channels_out * plane_out));
    // An element of the input that place `p` of the output sees through place (ky, kx) of the window.
    let seen = |name: &str| {
        format!(
            "const int iy = p / {ow} * {sy} + ky * {dy} - {py}, ix = p % {ow} * {sx} + kx * {dx} - {px}; {ty} v = 0;
        if ((nn_u32)iy < {ih}u && (nn_u32)ix < {iw}u) v = {name}[(({big_in}image * {channels_in} + z * {ic} + c) * {ih} + iy) * {iw} + ix];"
        )
    };
    let window_of = |number: &str| {
        format!("const int c = {number} / {window}, ky = {number} % {window} / {kw}, kx = {number} % {kw};")
    };
    let (a, b, place, out_index) = match c.pass {
        ConvPass::Forward => (
            Fetch { text: format!("const {ty} v = b[(z * {oc} + row) * {k} + k];"), along_k: true, by_few: true },
            Fetch {
                text: format!("const int image = col / {plane_out}, p = col % {plane_out}; {} {}", window_of("k"), seen("a")),
                along_k: false,
                by_few: true,
            },
            format!("const int i0 = col / {plane_out}, i1 = z * {oc} + row, i2 = col % {plane_out};"),
            format!("({big_out}i0 * {channels_out} + i1) * {plane_out} + i2"),
        ),
        ConvPass::InputGrad => (
            Fetch {
                text: format!("const {ty} v = b[((z * {oc} + k / {window}) * {ic} + row) * {window} + k % {window}];"),
                along_k: true,
                by_few: true,
            },
            Fetch {
                text: format!(
                    "{} const int image = col / {plane_in}, y = col % {plane_in} / {iw} + {py} - ky * {dy}, x = col % {iw} + {px} - kx * {dx}; {ty} v = 0;
        if (y >= 0 && x >= 0 && y % {sy} == 0 && x % {sx} == 0 && y / {sy} < {oh} && x / {sx} < {ow})
          v = a[(({big_out}image * {channels_out} + z * {oc} + c) * {oh} + y / {sy}) * {ow} + x / {sx}];",
                    window_of("k")
                ),
                along_k: false,
                by_few: true,
            },
            format!("const int i0 = col / {plane_in}, i1 = z * {ic} + row, i2 = col % {plane_in};"),
            format!("({big_in}i0 * {channels_in} + i1) * {plane_in} + i2"),
        ),
        ConvPass::WeightGrad => (
            Fetch {
                text: format!(
                    "const {ty} v = b[({big_out}(k / {plane_out}) * {channels_out} + z * {oc} + row) * {plane_out} + k % {plane_out}];"
                ),
                along_k: true,
                by_few: true,
            },
            Fetch {
                text: format!("const int image = k / {plane_out}, p = k % {plane_out}; {} {}", window_of("col"), seen("a")),
                along_k: true,
                by_few: true,
            },
            "const int i0 = z, i1 = row, i2 = col;".to_string(),
            format!("(i0 * {oc} + i1) * {n} + i2"),
        ),
    };
    Gemm {
        dtype: c.dtype,
        batch: s.groups,
        m,
        n,
        k,
        a,
        b,
        // Forward: x, weight; input gradient: dy, weight; weight gradient: x, dy. The filter or dy is the left factor.
        inputs: c.inputs,
        output: c.output,
        place,
        out_index,
        epilogue: epilogue(schedule, c.epilogue)?,
        workspace: c.workspace,
    }
    .calls()
}
