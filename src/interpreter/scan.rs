//! Recurrences, step by step.

use ndarray::{Axis, IxDyn};

use super::{Fault, Inputs, Tensor, run_with};
use crate::ops::Scan;

/// All results of a scan: carries, then what its steps gave, stacked.
pub fn run(scan: &Scan<usize>, operands: Vec<Tensor>, inputs: &Inputs) -> Result<Vec<Tensor>, Fault> {
    let mut values = operands;
    let rest = values.split_off(scan.carries.min(values.len()));
    let (scanned, fixed) = rest.split_at(scan.scanned.min(rest.len()));
    let stacked = scan.body.outputs.iter().skip(scan.carries);
    let mut stacks: Vec<Tensor> = stacked
        .map(|output| {
            let mut shape = scan.body.ty(output.node).shape.clone();
            shape.insert(0, scan.count);
            Tensor::zeros(IxDyn(&shape))
        })
        .collect();
    for step in 0..scan.count {
        let place = if scan.reverse { scan.count - 1 - step } else { step };
        let slices = scanned.iter().map(|x| x.index_axis(Axis(0), place).to_owned().into_shared());
        let parameters: Vec<Tensor> = values.drain(..).chain(slices).chain(fixed.iter().cloned()).collect();
        let outputs = run_with(&scan.body, inputs, &parameters)?;
        for (i, (_, value)) in outputs.into_iter().enumerate() {
            match i.checked_sub(scan.carries) {
                None => values.push(value),
                Some(i) => stacks[i].index_axis_mut(Axis(0), place).assign(&value),
            }
        }
    }
    values.extend(stacks);
    Ok(values)
}
