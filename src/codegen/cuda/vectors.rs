//! Elementwise work by four elements a thread. In: a large kernel whose iterations are threads and whose innermost counter steps
//! through neighbouring elements. Out: a function that loads and stores 16 bytes at a time.
//!
//! All buffers must begin at multiples of 16 bytes. The values are those of one element a thread, to the bit.

use super::digits::independent;
use super::emit::{Emitter, int_of, parameters};
use super::mapping::{Mapping, THREADS, Team, launch_bounds};
use super::{Grid, Source};
use crate::codegen::loops::{Access, BufferArg, Expr, Index, Kernel, LoopVar, Stmt};
use crate::ops::DType;
use std::fmt::Write;

/// Elements of a thread.
const LANES: usize = 4;
/// Fewer iterations are better spread over all threads that a device can have at a time.
const MANY: usize = 1 << 18;
/// More accesses by four keep too many registers.
const MOST_ACCESSES: usize = 10;
/// Longer bodies are bound by what they compute.
const MOST_STATEMENTS: usize = 60;

/// Accesses by four elements: of which buffer, where, and in which array its elements are meanwhile.
#[derive(Default)]
pub struct Wide {
    pub loads: Vec<(BufferArg, Index, String)>,
    pub stores: Vec<(BufferArg, Index, String)>,
}

impl Wide {
    fn name<'w>(list: &'w [(BufferArg, Index, String)], buffer: BufferArg, index: &Index) -> Option<&'w str> {
        list.iter().find(|l| l.0 == buffer && l.1 == *index).map(|l| l.2.as_str())
    }

    /// The array that has a load's elements.
    pub fn loaded(&self, buffer: BufferArg, index: &Index) -> Option<&str> {
        Wide::name(&self.loads, buffer, index)
    }

    /// The array that takes a store's elements.
    pub fn stored(&self, buffer: BufferArg, index: &Index) -> Option<&str> {
        Wide::name(&self.stores, buffer, index)
    }
}

/// Whether four iterations from a multiple of four on touch one multiple of 16 bytes.
fn whole(kernel: &Kernel, buffer: BufferArg, index: &Index, last: LoopVar) -> bool {
    let four = |s: i64| s % LANES as i64 == 0;
    kernel.buffers[buffer.0 as usize].dtype == DType::F32
        && index.values.is_empty()
        && index.stride(last) == 1
        && four(index.offset)
        && index.terms.iter().all(|&(v, s)| v == last || four(s))
}

/// The accesses of a straight body that can go by four; none if some access forbids it for all.
fn accesses(kernel: &Kernel, leaf: &[Stmt], last: LoopVar) -> Option<Wide> {
    let mut wide = Wide::default();
    // What is read and written must be so at one place, as the reads of four elements come before the writes.
    let mut places: Vec<(BufferArg, &Index)> = Vec::new();
    let mut stored: Vec<BufferArg> = Vec::new();
    let mut at_one_place = |buffer: BufferArg, index| {
        if kernel.buffers[buffer.0 as usize].access != Access::ReadWrite {
            return true;
        }
        places.push((buffer, index));
        places.iter().all(|p| p.0 != buffer || p.1 == index)
    };
    for stmt in leaf {
        match stmt {
            Stmt::Let { expr: Expr::Load { buffer, index, guard, .. }, .. } => {
                // What was just stored lies in no register.
                if !at_one_place(*buffer, index) || stored.contains(buffer) {
                    return None;
                }
                let known = wide.loads.iter().any(|l| l.0 == *buffer && l.1 == *index);
                if !known && guard.is_empty() && whole(kernel, *buffer, index, last) {
                    wide.loads.push((*buffer, index.clone(), format!("q{}", wide.loads.len())));
                }
            }
            Stmt::Let { .. } => {}
            Stmt::Store { buffer, index, guard, accumulate, .. } => {
                if *accumulate || !at_one_place(*buffer, index) || stored.contains(buffer) {
                    return None;
                }
                stored.push(*buffer);
                if guard.is_empty() && whole(kernel, *buffer, index, last) {
                    wide.stores.push((*buffer, index.clone(), format!("r{}", wide.stores.len())));
                }
            }
            Stmt::For { .. } | Stmt::Fold { .. } => return None,
        }
    }
    let count = wide.loads.len() + wide.stores.len();
    (!wide.stores.is_empty() && count <= MOST_ACCESSES).then_some(wide)
}

/// The function of a kernel of this form; none if it is of another.
pub fn by_four(kernel: &Kernel, mapping: &Mapping, extents: &[usize]) -> Option<Source> {
    let &(last, extent) = mapping.chain.last()?;
    let fits = mapping.team == Team::Thread
        && mapping.total >= MANY
        && mapping.total < (i32::MAX - 4096) as usize
        && extent.is_multiple_of(LANES)
        && mapping.leaf.len() <= MOST_STATEMENTS
        && independent(kernel, mapping.leaf, last, &[], extents);
    if !fits {
        return None;
    }
    let wide = accesses(kernel, mapping.leaf, last)?;
    let (loads, stores) = (wide.loads.clone(), wide.stores.clone());
    let mut e = Emitter::new(kernel, extents.to_vec(), Team::Thread);
    e.depth = 1;
    let threads = mapping.total / LANES;
    e.line(&format!("const int at = (int)blockIdx.x * {THREADS} + (int)threadIdx.x;"));
    if !threads.is_multiple_of(THREADS) {
        e.line(&format!("if (at >= {threads}) return;"));
    }
    let mut chain = mapping.chain.clone();
    if let Some(innermost) = chain.last_mut() {
        innermost.1 = extent / LANES;
    }
    e.counters(&chain, "at");
    mapping.before.iter().for_each(|before| e.serial(before));
    let counter = format!("i{}", last.0);
    let int = int_of(extent);
    e.line(&format!("const {int} first = {LANES} * {counter};"));
    e.line("{");
    e.nested(|e| {
        e.line(&format!("const {int} {counter} = first;"));
        for (buffer, index, name) in &loads {
            let at = e.index(index);
            e.line(&format!(
                "alignas(16) float {name}[{LANES}]; *(nn_f4*){name} = *(const nn_f4*)(b{} + ({at}));",
                buffer.0
            ));
        }
        for (_, _, name) in &stores {
            e.line(&format!("alignas(16) float {name}[{LANES}];"));
        }
        e.line("#pragma unroll");
        e.line(&format!("for (int j = 0; j < {LANES}; j += 1) {{"));
        e.wide = wide;
        e.nested(|e| {
            e.line(&format!("const {int} {counter} = first + j;"));
            e.serial(mapping.leaf);
        });
        e.wide = Wide::default();
        e.line("}");
        for (buffer, index, name) in &stores {
            let at = e.index(index);
            e.line(&format!("*(nn_f4*)(b{} + ({at})) = *(const nn_f4*){name};", buffer.0));
        }
    });
    e.line("}");
    let mut text = String::new();
    let _ = writeln!(text, "extern \"C\" __global__ void {} NAME({}) {{", launch_bounds(THREADS), parameters(kernel));
    text += &e.out;
    text += "}\n";
    Some(Source::new(text, Grid { blocks: threads.div_ceil(THREADS), threads: THREADS }))
}

#[cfg(test)]
mod tests {
    use crate::codegen::cuda;
    use crate::codegen::loops::text::parse;

    fn of(body: &str) -> (String, String) {
        let head = "kernel k(b0: f32[1048576] read, b1: f32[1048576] readwrite, b2: f32[1048576] write)";
        let kernel = parse(&format!("{head} {{\n{body}\n}}\n")).unwrap();
        crate::codegen::loops::verify(&kernel).unwrap();
        let text = |aligned| cuda::kernel(&kernel, aligned).unwrap().text().to_string();
        (text(true), text(false))
    }

    #[test]
    fn neighbours_go_by_four() {
        let (text, plain) = of("serial i0 in 0..1024 { vector i1 in 0..1024 {
            %0 = load b0[1024*i0 + i1] %1 = load b0[i0] %2 = add.f32 %0, %1 store b2[1024*i0 + i1], %2 } }");
        assert!(text.contains("*(nn_f4*)q0 = *(const nn_f4*)(b0 + (1024 * i0 + i1));"), "{text}");
        assert!(text.contains("const float v1 = b0[i0];"), "{text}");
        assert!(text.contains("*(nn_f4*)(b2 + (1024 * i0 + i1)) = *(const nn_f4*)r0;"), "{text}");
        assert!(!plain.contains("nn_f4"), "{plain}");
    }

    #[test]
    fn others_do_not() {
        // One off, across, what another iteration reads, too little.
        for body in [
            "vector i0 in 0..1048572 { %0 = load b0[i0] store b2[i0 + 1], %0 }",
            "serial i0 in 0..1024 { vector i1 in 0..1024 { %0 = load b0[1024*i0 + i1] store b2[i0 + 1024*i1], %0 } }",
            "vector i0 in 0..4096 { %0 = load b0[i0] store b2[i0], %0 }",
        ] {
            assert!(!of(body).0.contains("nn_f4"), "{body}");
        }
    }
}
