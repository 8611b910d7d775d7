//! Variables between an engine and a checkpoint: by their path in the source, byte for byte.

use super::Result;
use crate::artifact::{Checkpoint, TensorRef, checkpoint};
use crate::check::{Program, Task, VarKind};
use crate::engine::{Engine, VarTensor};
use crate::ops::{DType, VarId};
use std::collections::BTreeMap;
use std::path::Path;

fn tensors(program: &Program, vars: &[VarId], engine: &dyn Engine) -> Vec<(String, VarTensor)> {
    vars.iter().map(|v| (program.var(*v).path.clone(), engine.var(*v))).collect()
}

/// Writes all variables of a task; false, and nothing is written, if one of them is not finite. With `averaged` the
/// running averages of parameters, where there are any, stand in the place of the parameters.
pub fn save(
    path: &Path,
    program: &Program,
    task: &Task,
    engine: &dyn Engine,
    metadata: &BTreeMap<String, String>,
    averaged: bool,
) -> Result<bool> {
    let mut tensors = tensors(program, &task.vars, engine);
    for (param, average) in task.averages.iter().filter(|_| averaged) {
        let path = &program.var(*param).path;
        tensors.iter_mut().filter(|(name, _)| name == path).for_each(|(_, t)| *t = engine.var(*average));
    }
    if !tensors.iter().all(|(_, t)| is_finite(t)) {
        return Ok(false);
    }
    let refs: Vec<TensorRef> =
        tensors.iter().map(|(name, t)| TensorRef { name, dtype: t.dtype, shape: &t.shape, bytes: &t.bytes }).collect();
    checkpoint::write(path, &refs, metadata)?;
    Ok(true)
}

/// Whether all floats of a tensor are finite: their exponent bits are not all ones.
fn is_finite(tensor: &VarTensor) -> bool {
    let bytes = &tensor.bytes;
    let all = |width: usize, mask: u64| {
        bytes.chunks_exact(width).all(|chunk| {
            let value = chunk.iter().rev().fold(0u64, |v, b| v << 8 | u64::from(*b));
            value & mask != mask
        })
    };
    match tensor.dtype {
        DType::F16 => all(2, 0x7C00),
        DType::BF16 => all(2, 0x7F80),
        DType::F32 => all(4, 0x7F80_0000),
        DType::F64 => all(8, 0x7FF0_0000_0000_0000),
        _ => true,
    }
}

/// Gives every variable of the task its value in the checkpoint, which must hold exactly these.
pub fn load_all(file: &Checkpoint, program: &Program, task: &Task, engine: &mut dyn Engine) -> Result<()> {
    let own = tensors(program, &task.vars, engine);
    file.check(own.iter().map(|(n, t)| (n.as_str(), t.dtype, t.shape.as_slice())), None)?;
    copy(file, program, &task.vars, engine);
    Ok(())
}

/// Gives the parameters and states of the task that belong to `owner` (a task of the program, by name; all if none) their
/// values in the checkpoint, which may hold more. Running averages in it stand for the parameters; states of metrics
/// start anew.
pub fn load_net(
    file: &Checkpoint,
    program: &Program,
    task: &Task,
    owner: Option<&str>,
    engine: &mut dyn Engine,
) -> Result<()> {
    let owned = |v: &VarId| {
        let var = program.var(*v);
        let is_owner = owner.is_none_or(|o| program.owner(*v).is_some_and(|t| t.name == o));
        is_owner && var.kind != VarKind::OptimizerState && !task.metrics.contains(v)
    };
    let vars: Vec<VarId> = task.vars.iter().copied().filter(owned).collect();
    let own = tensors(program, &vars, engine);
    let fits = |(name, t): &(String, VarTensor)| {
        file.get(name).is_some_and(|found| found.dtype == t.dtype && found.shape == t.shape)
    };
    if !own.iter().all(fits) {
        // The message lists what the file has besides; what belongs to the optimizer is not of interest.
        let is_other = |name: &str| {
            program.vars.iter().enumerate().any(|(i, v)| {
                v.path == name && (v.kind == VarKind::OptimizerState || task.metrics.contains(&VarId(i as u32)))
            })
        };
        let rest = file.tensors().filter(|t| is_other(t.name)).map(|t| (t.name, t.dtype, t.shape));
        let own = own.iter().map(|(n, t)| (n.as_str(), t.dtype, t.shape.as_slice()));
        file.check(own.chain(rest), None)?;
    }
    for v in vars {
        if let Some(value) = net_value(file, program, v) {
            engine.set_var(v, &value);
            let average = task.averages.iter().find(|(p, _)| *p == v);
            average.iter().for_each(|(_, a)| engine.set_var(*a, &value));
        }
    }
    Ok(())
}

/// The value of a variable of a trained net: its running average if the checkpoint has one.
pub fn net_value(file: &Checkpoint, program: &Program, v: VarId) -> Option<VarTensor> {
    let var = program.var(v);
    let averages = program.owner(v).map_or(&[][..], |t| &t.averages);
    let average = averages.iter().find(|(p, _)| *p == v).and_then(|(_, a)| file.get(&program.var(*a).path));
    let t = average.or_else(|| file.get(&var.path))?;
    Some(VarTensor { dtype: t.dtype, shape: t.shape.to_vec(), bytes: t.bytes.to_vec() })
}

fn copy(file: &Checkpoint, program: &Program, vars: &[VarId], engine: &mut dyn Engine) {
    for v in vars {
        if let Some(t) = file.get(&program.var(*v).path) {
            let value = VarTensor { dtype: t.dtype, shape: t.shape.to_vec(), bytes: t.bytes.to_vec() };
            engine.set_var(*v, &value);
        }
    }
}

/// The seed of the run that wrote a checkpoint.
pub fn seed_of(file: &Checkpoint) -> Option<u64> {
    file.metadata.get("nnc.seed")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finiteness_is_read_from_the_bits() {
        let f32s = |values: &[f32]| VarTensor {
            dtype: DType::F32,
            shape: vec![values.len()],
            bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        };
        assert!(is_finite(&f32s(&[0.0, -1.0, f32::MAX, f32::MIN_POSITIVE])));
        assert!(!is_finite(&f32s(&[0.0, f32::NAN])));
        assert!(!is_finite(&f32s(&[f32::NEG_INFINITY])));
        let bytes = vec![0xFF; 8];
        assert!(is_finite(&VarTensor { dtype: DType::I64, shape: vec![], bytes: bytes.clone() }));
        assert!(!is_finite(&VarTensor { dtype: DType::F64, shape: vec![], bytes }));
    }
}
