//! Kernels that walk along one axis: running folds and sorting. Lanes are independent of each other and go to threads.

use super::lower_eval::{Eval, Refine};
use super::lower_nests::{close_outer, open_all};
use crate::codegen::loops::{Bound, BufferArg, FoldOp, Index, LoopKind, Value};
use crate::graph::NodeId;
use crate::ops::{Binary, Compare, Cumulative, DType, Reduce, Unary};

type Result<T> = std::result::Result<T, Refine>;

/// The loops over all axes but one: the index tuple with a gap at that axis, and how many loops there are.
fn open_others(eval: &mut Eval, shape: &[usize], axis: usize) -> Result<(Vec<Index>, usize)> {
    let mut sizes = shape.to_vec();
    sizes[axis] = 1;
    open_all(eval, &sizes)
}

fn with(at: &[Index], axis: usize, index: &Index) -> Vec<Index> {
    let mut at = at.to_vec();
    at[axis] = index.clone();
    at
}

/// Each element from the one before it, which the same iteration of the outer loops has stored.
pub fn cumulate(eval: &mut Eval, id: NodeId, out: BufferArg, op: Cumulative, axis: usize, reverse: bool) -> Result<()> {
    let x = eval.graph().node(id).inputs[0];
    let shape = eval.graph().ty(id).shape.clone();
    let n = shape[axis];
    let (at, outer) = open_others(eval, &shape, axis)?;
    let i = Index::var(eval.open(n, None)?);
    let place = |i: &Index| if reverse { i.scaled(-1).shifted(n as i64 - 1) } else { i.clone() };
    let here = with(&at, axis, &place(&i));
    let value = eval.value(x, &here)?;
    let last = i.shifted(-1);
    let before = Index::linear(&with(&at, axis, &place(&last)), &shape);
    let neutral = match op {
        Cumulative::Sum => 0.0,
        Cumulative::Prod => 1.0,
        Cumulative::LogSumExp => f64::NEG_INFINITY,
        // The first element is its own extreme; whole numbers have no infinity.
        Cumulative::Max | Cumulative::Min => 0.0,
    };
    let b = &mut eval.builder;
    let so_far = b.load(out, &before, &[Bound::new(last, n)], neutral);
    let joined = match op {
        Cumulative::Max | Cumulative::Min => {
            let extreme = if op == Cumulative::Max { Binary::Max } else { Binary::Min };
            let place = b.counter(&i);
            let dtype = b.dtype(place);
            let zero = b.constant(0.0, dtype);
            let first = b.compare(Compare::Eq, place, zero);
            let so_far = b.select(first, value, so_far);
            b.binary(extreme, so_far, value)
        }
        Cumulative::Sum => b.binary(Binary::Add, so_far, value),
        Cumulative::Prod => b.binary(Binary::Mul, so_far, value),
        Cumulative::LogSumExp => {
            let dtype = b.dtype(value);
            let (zero, one) = (b.constant(0.0, dtype), b.constant(1.0, dtype));
            let larger = b.binary(Binary::Max, so_far, value);
            let difference = b.binary(Binary::Sub, so_far, value);
            // Of two infinities too.
            let equal = b.compare(Compare::Eq, so_far, value);
            let difference = b.select(equal, zero, difference);
            let difference = b.unary(Unary::Abs, difference);
            let share = b.unary(Unary::Neg, difference);
            let share = b.unary(Unary::Exp, share);
            let sum = b.binary(Binary::Add, one, share);
            let log = b.unary(Unary::Log, sum);
            b.binary(Binary::Add, larger, log)
        }
    };
    b.store(out, &Index::linear(&here, &shape), joined, &[], false);
    b.close_for(LoopKind::Serial);
    close_outer(eval, outer);
    Ok(())
}

/// The rank of an element is the number of those that come before it: n^2 comparisons, each exact, in any order.
pub fn argsort(eval: &mut Eval, id: NodeId, out: BufferArg, axis: usize, descending: bool) -> Result<()> {
    let x = eval.graph().node(id).inputs[0];
    let shape = eval.graph().ty(id).shape.clone();
    let n = shape[axis];
    let (at, outer) = open_others(eval, &shape, axis)?;
    let i = Index::var(eval.open(n, None)?);
    let own = eval.value(x, &with(&at, axis, &i))?;
    let j = Index::var(eval.open(n, None)?);
    let other = eval.value(x, &with(&at, axis, &j))?;
    let b = &mut eval.builder;
    let (wins, ties) = comes_before(b, other, own, descending);
    let (own_place, other_place) = (b.counter(&i), b.counter(&j));
    let earlier = b.compare(Compare::Lt, other_place, own_place);
    let ties = b.binary(Binary::And, ties, earlier);
    let before = b.binary(Binary::Or, wins, ties);
    let before = b.cast(before, DType::I32);
    let rank = Index::value(b.close_fold(FoldOp::Reduce(Reduce::Sum), false, before));
    let place = Index::linear(&with(&at, axis, &rank), &shape);
    let value = b.counter(&i);
    b.store(out, &place, value, &[Bound::new(rank, n)], false);
    b.close_for(LoopKind::Serial);
    close_outer(eval, outer);
    Ok(())
}

/// Whether `a` comes before `b`, and whether they are equal; NaN is the largest.
fn comes_before(
    builder: &mut crate::codegen::loops::builder::Builder,
    a: Value,
    b: Value,
    descending: bool,
) -> (Value, Value) {
    let order = if descending { Compare::Gt } else { Compare::Lt };
    let (wins, ties) = (builder.compare(order, a, b), builder.compare(Compare::Eq, a, b));
    if !builder.dtype(a).is_float() {
        return (wins, ties);
    }
    let (a_nan, b_nan) = (builder.compare(Compare::Ne, a, a), builder.compare(Compare::Ne, b, b));
    let (first, last) = if descending { (a_nan, b_nan) } else { (b_nan, a_nan) };
    let last = builder.unary(Unary::Not, last);
    let by_nan = builder.binary(Binary::And, first, last);
    let both = builder.binary(Binary::And, a_nan, b_nan);
    (builder.binary(Binary::Or, wins, by_nan), builder.binary(Binary::Or, ties, both))
}
