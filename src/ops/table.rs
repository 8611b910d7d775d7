//! Finding records: by operation, by the name that programs call; and inference for graphs of numbers.

use std::sync::LazyLock;

use super::def::{OpDef, ShapeFault, Surface};
use super::op::Op;
use super::types::{Binary, Compare, Reduce, Unary};
use super::{conv, custom, elementwise, index, leaf, matmul, movement, order, pool, random, reduce, scan};
use crate::dims::Dim;
use crate::graph::TensorType;

/// Every record, leaves first.
pub static TABLE: LazyLock<Vec<&'static OpDef>> = LazyLock::new(|| {
    let mut table: Vec<&'static OpDef> = vec![
        &leaf::READ,
        &leaf::FIELD,
        &leaf::CLOCK,
        &leaf::KEY,
        &leaf::CONST,
        &leaf::SIZE,
        &leaf::LITERAL,
        &leaf::IOTA,
        &random::UNIFORM,
    ];
    table.extend(&elementwise::UNARY);
    table.extend(&elementwise::BINARY);
    table.extend(&elementwise::COMPARE);
    table.extend([&elementwise::SELECT, &elementwise::CAST, &elementwise::STOP_GRADIENT]);
    table.extend([&movement::BROADCAST, &movement::TRANSPOSE, &movement::RESHAPE]);
    table.extend([&movement::SLICE, &movement::PAD, &movement::CONCAT]);
    table.extend(&reduce::REDUCE);
    table.extend([&reduce::ARGMAX, &reduce::ARGMIN]);
    table.extend(&order::CUMULATE);
    table.push(&order::ARGSORT);
    table.extend([&index::TAKE, &index::SCATTER_ADD, &index::PICK, &index::UPDATE_SLICE]);
    table.extend([&matmul::MATMUL, &conv::CONV_OP, &conv::CONV_INPUT_GRAD, &conv::CONV_WEIGHT_GRAD]);
    table.extend([&pool::MAX_POOL, &pool::MAX_POOL_GRAD, &pool::SUM_POOL, &pool::SUM_POOL_GRAD]);
    table.extend([&scan::SCAN, &scan::SCAN_RESULT, &scan::PARAMETER]);
    table.push(&elementwise::GRADIENT);
    table
});

/// The record of an operation.
pub fn def_of<D>(op: &Op<D>) -> &'static OpDef {
    match op {
        Op::Read(_) => &leaf::READ,
        Op::Field(_) => &leaf::FIELD,
        Op::Clock(_) => &leaf::CLOCK,
        Op::Key => &leaf::KEY,
        Op::Const(_) => &leaf::CONST,
        Op::Size { .. } => &leaf::SIZE,
        Op::Literal(_) => &leaf::LITERAL,
        Op::Iota { .. } => &leaf::IOTA,
        Op::Unary(u) => &elementwise::UNARY[*u as usize],
        Op::Binary(b) => &elementwise::BINARY[*b as usize],
        Op::Compare(c) => &elementwise::COMPARE[*c as usize],
        Op::Select => &elementwise::SELECT,
        Op::Cast => &elementwise::CAST,
        Op::StopGradient => &elementwise::STOP_GRADIENT,
        Op::Uniform { .. } => &random::UNIFORM,
        Op::Broadcast { .. } => &movement::BROADCAST,
        Op::Transpose { .. } => &movement::TRANSPOSE,
        Op::Reshape { .. } => &movement::RESHAPE,
        Op::Slice { .. } => &movement::SLICE,
        Op::Pad { .. } => &movement::PAD,
        Op::Concat { .. } => &movement::CONCAT,
        Op::Reduce { op, .. } => &reduce::REDUCE[*op as usize],
        Op::ArgReduce { max: true, .. } => &reduce::ARGMAX,
        Op::ArgReduce { max: false, .. } => &reduce::ARGMIN,
        Op::Cumulate { op, .. } => &order::CUMULATE[*op as usize],
        Op::ArgSort { .. } => &order::ARGSORT,
        Op::Take { .. } => &index::TAKE,
        Op::ScatterAdd { .. } => &index::SCATTER_ADD,
        Op::Pick { .. } => &index::PICK,
        Op::UpdateSlice { .. } => &index::UPDATE_SLICE,
        Op::Matmul { .. } => &matmul::MATMUL,
        Op::Conv { .. } => &conv::CONV_OP,
        Op::ConvInputGrad { .. } => &conv::CONV_INPUT_GRAD,
        Op::ConvWeightGrad { .. } => &conv::CONV_WEIGHT_GRAD,
        Op::MaxPool { .. } => &pool::MAX_POOL,
        Op::MaxPoolGrad { .. } => &pool::MAX_POOL_GRAD,
        Op::SumPool { .. } => &pool::SUM_POOL,
        Op::SumPoolGrad { .. } => &pool::SUM_POOL_GRAD,
        Op::Scan(_) => &scan::SCAN,
        Op::ScanResult { .. } => &scan::SCAN_RESULT,
        Op::Parameter(_) => &scan::PARAMETER,
        Op::Gradient => &elementwise::GRADIENT,
        Op::CustomGradient { .. } => &custom::CUSTOM_GRADIENT,
    }
}

/// The operation behind a prelude function.
pub fn surface(name: &str) -> Option<(&'static OpDef, &'static Surface)> {
    TABLE.iter().find_map(|def| Some((*def, def.surfaces.iter().find(|s| s.name == name)?)))
}

/// The type of the result. For `Const`, `Literal` and `Cast` the dtype is f32 unless the node says otherwise; for
/// `Read`, `Field`, `Parameter` and `ScanResult` there is no answer: [`admits`] says whether a node's own type is right.
pub fn infer(op: &Op<Dim>, inputs: &[TensorType<Dim>]) -> Result<TensorType<Dim>, ShapeFault> {
    (def_of(op).infer)(op, inputs)
}

/// [`infer`] where all sizes are numbers.
pub fn infer_concrete(op: &Op<usize>, inputs: &[TensorType<usize>]) -> Result<TensorType<usize>, ShapeFault> {
    let (op, inputs) = as_dims(op, inputs)?;
    let ty = infer(&op, &inputs)?;
    let mut shape = Vec::with_capacity(ty.rank());
    for d in &ty.shape {
        match d.number().and_then(|n| usize::try_from(n).ok()) {
            Some(n) => shape.push(n),
            None => return Err(ShapeFault::Attribute(format!("a size of {d}"))),
        }
    }
    Ok(TensorType::new(ty.dtype, shape))
}

/// Whether a node of this operation and these operands may have this type.
pub fn admits(op: &Op<usize>, inputs: &[TensorType<usize>], ty: &TensorType<usize>) -> Result<(), ShapeFault> {
    match (op, inputs) {
        (Op::Read(_) | Op::Field(_) | Op::Parameter(_), []) | (Op::ScanResult { .. }, [_]) => return Ok(()),
        _ => {}
    }
    let inferred = infer_concrete(op, inputs)?;
    let own_dtype = matches!(op, Op::Const(_) | Op::Size { .. } | Op::Literal(_) | Op::Cast);
    if inferred.shape != ty.shape || (inferred.dtype != ty.dtype && !own_dtype) {
        return Err(ShapeFault::Attribute(format!("the type is {inferred}, the node says {ty}")));
    }
    Ok(())
}

fn as_dims(op: &Op<usize>, inputs: &[TensorType<usize>]) -> Result<(Op<Dim>, Vec<TensorType<Dim>>), ShapeFault> {
    let op = op.try_map(&mut |n: &usize| Ok::<Dim, ShapeFault>(Dim::from(*n)))?;
    let types =
        inputs.iter().map(|ty| TensorType::new(ty.dtype, ty.shape.iter().map(|n| Dim::from(*n)).collect())).collect();
    Ok((op, types))
}

/// Where the variants of a family stand in their array is their discriminant.
const _: () = {
    assert!(Unary::ALL.len() == 13 && Binary::ALL.len() == 14 && Compare::ALL.len() == 6 && Reduce::ALL.len() == 4);
};
