//! Sums at places that are known only at run time (gradients of embeddings), as a warp a place. In: a kernel that zeroes its result
//! and then adds to it, one row after the other. Out: a function in which each warp looks through all indices for those of its own
//! place and adds their rows up in order: the same sums as one thread would make, without atomics.

use super::emit::{Emitter, parameters};
use super::mapping::{Mapping, THREADS, Team, launch_bounds, only_loop};
use super::scalar;
use super::{Grid, Source};
use crate::codegen::loops::{Expr, Index, Kernel, LoopVar, Stmt, Value};
use crate::ops::Binary;
use std::fmt::Write;

/// Fewer rows are added one after the other.
const FEW: usize = 64;
/// Elements of a row that a lane keeps.
const EACH: usize = 8;

/// A nest of this form.
struct Scatter<'k> {
    /// Loops over the indices.
    rows: Vec<(LoopVar, usize)>,
    /// Statements between them, and before the loop over columns.
    before: Vec<&'k Stmt>,
    column: Option<(LoopVar, usize)>,
    /// Statements for each element.
    each: &'k [Stmt],
    target: Value,
    limit: usize,
    index: &'k Index,
    value: Value,
    buffer: u32,
}

/// The buffer that a nest fills with zeros.
fn zeroes(stmt: &Stmt, lets: &[&Stmt]) -> Option<u32> {
    let zero = |v: Value, lets: &[&Stmt]| {
        lets.iter().any(|s| matches!(s, Stmt::Let { value, expr: Expr::Const(0.0) } if *value == v))
    };
    let Stmt::For { body, .. } = stmt else { return None };
    let inner: Vec<&Stmt> = lets.iter().copied().chain(body.iter()).collect();
    match body.split_last()? {
        (last @ Stmt::For { .. }, _) => zeroes(last, &inner),
        (Stmt::Store { buffer, value, guard, accumulate: false, .. }, before) => {
            let plain = guard.is_empty() && before.iter().all(|s| matches!(s, Stmt::Let { .. }));
            (plain && zero(*value, &inner)).then_some(buffer.0)
        }
        _ => None,
    }
}

fn recognised<'k>(leaf: &'k [Stmt]) -> Option<Scatter<'k>> {
    let plain = |s: &Stmt| matches!(s, Stmt::Let { .. });
    let (Stmt::For { var, extent, body, .. }, first) = leaf.split_last()? else { return None };
    let clears = first.iter().position(|s| !plain(s))?;
    if !first[clears + 1..].iter().all(plain) {
        return None;
    }
    let lets: Vec<&Stmt> = first.iter().filter(|s| plain(s)).collect();
    let cleared = zeroes(&first[clears], &lets)?;
    let mut rows = vec![(*var, *extent)];
    let mut before: Vec<&Stmt> = lets;
    let mut body = body.as_slice();
    // The loop over columns is the last one that the stored index has a term of.
    let (column, each) = loop {
        match only_loop(body) {
            Some((first, var, extent, _, inner)) => {
                before.extend(first);
                let stored = inner.iter().any(|s| matches!(s, Stmt::Store { index, .. } if index.stride(var) != 0));
                if stored {
                    break (Some((var, extent)), inner);
                }
                rows.push((var, extent));
                body = inner;
            }
            None => break (None, body),
        }
    };
    let (Stmt::Store { buffer, index, value, guard, accumulate: true }, lets) = each.split_last()? else { return None };
    let [bound] = guard.as_slice() else { return None };
    let ([(target, 1)], [(same, _)]) = (bound.index.values.as_slice(), index.values.as_slice()) else { return None };
    let fits = target == same
        && bound.index.terms.is_empty()
        && bound.index.offset == 0
        && rows.iter().all(|r| index.stride(r.0) == 0)
        && buffer.0 == cleared
        && lets.iter().all(plain)
        && column.is_none_or(|c| index.stride(c.0) == 1);
    // The result is not looked at.
    let reads = |s: &&Stmt| matches!(s, Stmt::Let { expr: Expr::Load { buffer: b, .. }, .. } if b == buffer);
    let known = before.iter().any(|s| matches!(s, Stmt::Let { value, .. } if value == target));
    if !fits || !known || before.iter().copied().chain(lets).any(|s| reads(&s)) {
        return None;
    }
    let limit = usize::try_from(bound.limit).ok()?;
    Some(Scatter { rows, before, column, each: lets, target: *target, limit, index, value: *value, buffer: buffer.0 })
}

/// The function of a kernel of this form; none if it is of another.
pub fn scatter(kernel: &Kernel, mapping: &Mapping, extents: &[usize]) -> Option<Source> {
    let s = recognised(mapping.leaf)?;
    let count: usize = s.rows.iter().map(|r| r.1).product();
    if count < FEW || count > i32::MAX as usize || mapping.before.iter().any(|b| !b.is_empty()) {
        return None;
    }
    let columns = s.column.map_or(1, |c| c.1);
    let pieces = columns.div_ceil(32 * EACH);
    let each = columns.min(32 * EACH).div_ceil(32);
    let warps = mapping.total * s.limit * pieces;
    if warps == 0 || warps > (i32::MAX - 4096) as usize {
        return None;
    }
    let dtype = kernel.buffers[s.buffer as usize].dtype;
    let register = scalar::register(dtype);
    let mut e = Emitter::new(kernel, extents.to_vec(), Team::Thread);
    e.depth = 1;
    let per_block = THREADS / 32;
    e.line(&format!(
        "const int at = (int)blockIdx.x * {per_block} + (int)(threadIdx.x >> 5), lane = (int)(threadIdx.x & 31);"
    ));
    e.line(&format!("if (at >= {warps}) return;"));
    e.line(&format!("const int place = at / {pieces} % {}, first = at % {pieces} * {};", s.limit, 32 * EACH));
    e.line(&format!("const int outer = at / {};", pieces * s.limit));
    e.counters(&mapping.chain, "outer");
    e.line(&format!("{register} acc[{each}];"));
    e.line(&format!(
        "#pragma unroll\n  for (int j = 0; j < {each}; j += 1) acc[j] = {};",
        scalar::constant(0.0, dtype)
    ));
    e.line(&format!("for (int n0 = 0; n0 < {count}; n0 += 32) {{"));
    e.nested(|e| {
        e.line("bool hit = false;");
        e.line(&format!("if (n0 + lane < {count}) {{"));
        e.nested(|e| {
            e.line("const int n = n0 + lane;");
            e.counters(&s.rows, "n");
            s.before.iter().for_each(|stmt| e.serial(std::slice::from_ref(stmt)));
            e.line(&format!("hit = v{} == place;", s.target.0));
        });
        e.line("}");
        e.line("nn_u32 hits = __ballot_sync(0xffffffffu, hit);");
        e.line("while (hits) {");
        e.nested(|e| {
            e.line("const int n = n0 + __ffs((int)hits) - 1;");
            e.line("hits &= hits - 1;");
            e.counters(&s.rows, "n");
            s.before.iter().for_each(|stmt| e.serial(std::slice::from_ref(stmt)));
            e.line(&format!("#pragma unroll\n      for (int j = 0; j < {each}; j += 1) {{"));
            e.nested(|e| {
                e.line("const int col = first + lane + 32 * j;");
                e.line(&format!("if (col < {columns}) {{"));
                e.nested(|e| {
                    if let Some((var, _)) = s.column {
                        e.line(&format!("const int i{} = col;", var.0));
                    }
                    e.serial(s.each);
                    let sum = scalar::binary(Binary::Add, "acc[j]", &format!("v{}", s.value.0), dtype);
                    e.line(&format!("acc[j] = {sum};"));
                });
                e.line("}");
            });
            e.line("}");
        });
        e.line("}");
    });
    e.line("}");
    e.line(&format!("const int v{} = place;", s.target.0));
    e.line(&format!("#pragma unroll\n  for (int j = 0; j < {each}; j += 1) {{"));
    e.nested(|e| {
        e.line("const int col = first + lane + 32 * j;");
        if let Some((var, _)) = s.column {
            e.line(&format!("const int i{} = col;", var.0));
        }
        let place = e.index(s.index);
        let stored = scalar::to_store(dtype, "acc[j]");
        e.line(&format!("if (col < {columns}) b{}[{place}] = {stored};", s.buffer));
    });
    e.line("}");
    let mut text = String::new();
    let _ = writeln!(text, "extern \"C\" __global__ void {} NAME({}) {{", launch_bounds(THREADS), parameters(kernel));
    text += &e.out;
    text += "}\n";
    Some(Source::new(text, Grid { blocks: warps.div_ceil(per_block), threads: THREADS }))
}
