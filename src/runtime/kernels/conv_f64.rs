//! Convolution and its gradients in double precision, by plain loops: for gradient checks and `precision = f64`, not for
//! speed. Raw pointers and the shape come in, the finished tensor goes out. Invariant: every element is summed in one
//! order, whatever the number of threads.

use super::conv::Conv2d;
use super::drive::Shared;
use crate::runtime::threads::Pool;

/// What lies under a tap: the element `at` of a map, if it is not padding.
fn under(place: usize, stride: usize, tap: usize, dilation: usize, pad: usize, size: usize) -> Option<usize> {
    (place * stride + tap * dilation).checked_sub(pad).filter(|at| *at < size)
}

impl Conv2d {
    fn inputs_a_group(&self) -> usize {
        self.in_channels / self.groups
    }

    fn outputs_a_group(&self) -> usize {
        self.out_channels / self.groups
    }

    /// Calls `see(tap, place in a map of the input, place in a map of the output)` for each pair that meets.
    fn each_pair(&self, mut see: impl FnMut(usize, usize, usize)) {
        let out = self.out_size();
        for kh in 0..self.kernel[0] {
            for kw in 0..self.kernel[1] {
                for oh in 0..out[0] {
                    let at = under(oh, self.stride[0], kh, self.dilation[0], self.pad_low[0], self.in_size[0]);
                    let Some(h) = at else { continue };
                    for ow in 0..out[1] {
                        let at = under(ow, self.stride[1], kw, self.dilation[1], self.pad_low[1], self.in_size[1]);
                        let Some(w) = at else { continue };
                        see(kh * self.kernel[1] + kw, h * self.in_size[1] + w, oh * out[1] + ow);
                    }
                }
            }
        }
    }

    /// `y = x * weight`.
    ///
    /// # Safety
    /// The pointers are to tensors of this shape, which nobody else writes, and `y` overlaps neither of the others.
    pub unsafe fn forward_f64(&self, pool: &Pool, x: *const f64, weight: *const f64, y: *mut f64) {
        let (x, weight, y) = (Shared(x.cast_mut()), Shared(weight.cast_mut()), Shared(y));
        let (plane, places) = (self.in_size[0] * self.in_size[1], self.out_size().iter().product::<usize>());
        let (inputs, taps) = (self.inputs_a_group(), self.taps());
        pool.run(self.batch * self.out_channels, &|piece| {
            let (sample, channel) = (piece / self.out_channels, piece % self.out_channels);
            let first = sample * self.in_channels + channel / self.outputs_a_group() * inputs;
            // SAFETY: promised by the caller; each piece writes its own map of the result.
            unsafe {
                let y = std::slice::from_raw_parts_mut(y.get().add(piece * places), places);
                y.fill(0.0);
                for input in 0..inputs {
                    let x = std::slice::from_raw_parts(x.get().add((first + input) * plane), plane);
                    let weight = std::slice::from_raw_parts(weight.get().add((channel * inputs + input) * taps), taps);
                    self.each_pair(|tap, from, to| y[to] += weight[tap] * x[from]);
                }
            }
        });
    }

    /// The gradient of `x`, given that of `y`.
    ///
    /// # Safety
    /// As for [`Conv2d::forward_f64`].
    pub unsafe fn input_grad_f64(&self, pool: &Pool, dy: *const f64, weight: *const f64, dx: *mut f64) {
        let (dy, weight, dx) = (Shared(dy.cast_mut()), Shared(weight.cast_mut()), Shared(dx));
        let (plane, places) = (self.in_size[0] * self.in_size[1], self.out_size().iter().product::<usize>());
        let (inputs, outputs, taps) = (self.inputs_a_group(), self.outputs_a_group(), self.taps());
        pool.run(self.batch * self.in_channels, &|piece| {
            let (sample, channel) = (piece / self.in_channels, piece % self.in_channels);
            let (group, input) = (channel / inputs, channel % inputs);
            // SAFETY: promised by the caller; each piece writes its own map of the result.
            unsafe {
                let dx = std::slice::from_raw_parts_mut(dx.get().add(piece * plane), plane);
                dx.fill(0.0);
                for output in group * outputs..(group + 1) * outputs {
                    let at = (sample * self.out_channels + output) * places;
                    let dy = std::slice::from_raw_parts(dy.get().add(at), places);
                    let weight = std::slice::from_raw_parts(weight.get().add((output * inputs + input) * taps), taps);
                    self.each_pair(|tap, to, from| dx[to] += weight[tap] * dy[from]);
                }
            }
        });
    }

    /// The gradient of the weight, given `x` and the gradient of `y`.
    ///
    /// # Safety
    /// As for [`Conv2d::forward_f64`].
    pub unsafe fn weight_grad_f64(&self, pool: &Pool, x: *const f64, dy: *const f64, dw: *mut f64) {
        let (x, dy, dw) = (Shared(x.cast_mut()), Shared(dy.cast_mut()), Shared(dw));
        let (plane, places) = (self.in_size[0] * self.in_size[1], self.out_size().iter().product::<usize>());
        let (inputs, outputs, taps) = (self.inputs_a_group(), self.outputs_a_group(), self.taps());
        pool.run(self.out_channels * inputs, &|piece| {
            let (output, input) = (piece / inputs, piece % inputs);
            let channel = output / outputs * inputs + input;
            // SAFETY: promised by the caller; each piece writes the taps of its own pair of channels.
            unsafe {
                let dw = std::slice::from_raw_parts_mut(dw.get().add(piece * taps), taps);
                dw.fill(0.0);
                for sample in 0..self.batch {
                    let at = (sample * self.in_channels + channel) * plane;
                    let x = std::slice::from_raw_parts(x.get().add(at), plane);
                    let at = (sample * self.out_channels + output) * places;
                    let dy = std::slice::from_raw_parts(dy.get().add(at), places);
                    self.each_pair(|tap, from, to| dw[tap] += x[from] * dy[to]);
                }
            }
        });
    }
}
