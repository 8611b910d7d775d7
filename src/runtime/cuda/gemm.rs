//! Products of matrices as tiles: blocks of 16 x 16 threads keep a tile of the result in registers and pass both operands through
//! shared memory. In: sizes and how elements of the operands are found. Out: a kernel, or two where the sum over `k` is cut into
//! parts that are added up in order. Convolutions are such products too, of elements that are found in other ways.

use super::work::Call;
use crate::codegen::cuda::emit::{Emitter, parameters};
use crate::codegen::cuda::mapping::{THREADS, Team, extents, launch_bounds};
use crate::codegen::cuda::{Grid, Source, scalar};
use crate::codegen::loops::{BufferArg, Kernel, LoopVar, Stmt};
use crate::ops::DType;
use crate::plan::{BufferId, EpilogueWork, Operand, Schedule};
use std::fmt::Write;

/// Elements of `k` that a step takes through shared memory.
const DEPTH: usize = 16;
/// Blocks that keep a large device busy.
const BUSY: usize = 256;
/// Of the sum over `k`, a part is at least so long.
const PART: usize = 256;
/// Parts at most.
const MOST_PARTS: usize = 64;

/// An epilogue with more buffers keeps many addresses.
const MANY_BUFFERS: usize = 3;

/// One product: `out[z, row, col] = sum_k a[z, row, k] * b[z, k, col]`.
pub struct Gemm<'s> {
    pub dtype: DType,
    pub batch: usize,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a: Fetch,
    pub b: Fetch,
    pub inputs: [BufferId; 2],
    pub output: BufferId,
    /// Statements that define the epilogue's counters `i0`, `i1`, `i2` from `z`, `row` and `col`.
    pub place: String,
    /// Where the result goes, from those.
    pub out_index: String,
    pub epilogue: Option<(&'s Kernel, &'s [BufferId])>,
    pub workspace: Option<BufferId>,
}

/// How an operand's element is found.
pub struct Fetch {
    /// Statements that define `v` from `z`, `k`, and `row` or `col`, all inside the matrix.
    pub text: String,
    /// Whether elements that follow each other in `k` do so in memory.
    pub along_k: bool,
    /// Whether finding it takes so many registers that only a few are found at a time.
    pub by_few: bool,
}

/// Rows and columns of a block's tile, and parts of the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tiling {
    rows: usize,
    cols: usize,
    parts: usize,
    depth: usize,
}

fn tiling(dtype: DType, batch: usize, m: usize, n: usize, k: usize) -> Tiling {
    let largest = if dtype == DType::F64 { 64 } else { 128 };
    let fit = |n: usize| n.next_power_of_two().clamp(32, largest);
    let (mut rows, mut cols) = (fit(m), fit(n));
    let blocks = |rows: usize, cols: usize| batch * m.div_ceil(rows) * n.div_ceil(cols);
    while blocks(rows, cols) < BUSY / 2 && rows.max(cols) > 64 {
        if rows >= cols { rows /= 2 } else { cols /= 2 }
    }
    let wanted = BUSY / blocks(rows, cols).max(1);
    let parts = wanted.min(k / PART).clamp(1, MOST_PARTS);
    // Whole steps of the loop.
    let depth = k.div_ceil(parts).next_multiple_of(DEPTH);
    Tiling { rows, cols, parts: k.div_ceil(depth.max(1)).max(1), depth }
}

/// Bytes of scratch memory for the parts of a sum.
pub fn scratch(dtype: DType, batch: usize, m: usize, n: usize, k: usize) -> usize {
    match tiling(dtype, batch, m, n, k).parts {
        1 => 0,
        parts => parts * batch * m * n * dtype.bytes(),
    }
}

/// A matrix product over views.
pub struct Product<'a> {
    pub dtype: DType,
    pub batch: usize,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a: &'a Operand,
    pub b: &'a Operand,
    pub c: BufferId,
    pub epilogue: &'a Option<EpilogueWork>,
    pub workspace: Option<BufferId>,
}

/// The kernels of a matrix product over views.
pub fn matmul(schedule: &Schedule, p: &Product) -> Result<Vec<Call>, String> {
    let fetch = |operand: &Operand, name: &str, counters: [&str; 3], k: usize| -> Result<Fetch, String> {
        let [batch, first, second] = operand.strides[..] else {
            return Err(format!("a matrix with strides {:?}", operand.strides));
        };
        let reach: usize = schedule.buffers.get(operand.buffer.0 as usize).map_or(0, |b| b.len);
        let wide = if reach > i32::MAX as usize { "ll" } else { "" };
        let ty = scalar::register(p.dtype);
        let text = format!(
            "const {ty} v = {name}[{}{wide} + {batch}{wide} * {} + {first}{wide} * {} + {second}{wide} * {}];",
            operand.offset, counters[0], counters[1], counters[2]
        );
        Ok(Fetch { text, along_k: [batch, first, second][k] == 1, by_few: false })
    };
    let int = if p.batch * p.m * p.n > i32::MAX as usize { "(nn_i64)" } else { "" };
    Gemm {
        dtype: p.dtype,
        batch: p.batch,
        m: p.m,
        n: p.n,
        k: p.k,
        a: fetch(p.a, "a", ["z", "row", "k"], 2)?,
        b: fetch(p.b, "b", ["z", "k", "col"], 1)?,
        inputs: [p.a.buffer, p.b.buffer],
        output: p.c,
        place: "const int i0 = z, i1 = row, i2 = col;".to_string(),
        out_index: format!("({int}i0 * {} + i1) * {} + i2", p.m, p.n),
        epilogue: epilogue(schedule, p.epilogue)?,
        workspace: p.workspace,
    }
    .calls()
}

/// The kernel and arguments of an epilogue.
pub fn epilogue<'s>(
    schedule: &'s Schedule,
    work: &'s Option<EpilogueWork>,
) -> Result<Option<(&'s Kernel, &'s [BufferId])>, String> {
    let Some(work) = work else { return Ok(None) };
    let kernel = schedule.kernels.get(work.kernel).ok_or("an epilogue without a kernel")?;
    Ok(Some((kernel, &work.args)))
}

/// The statements of a nest of three loops, each once, as if the counters were given.
fn flattened<'k>(body: &'k [Stmt], into: &mut Vec<&'k Stmt>, vars: &mut Vec<LoopVar>) {
    for stmt in body {
        match stmt {
            Stmt::For { var, body, .. } => {
                vars.push(*var);
                flattened(body, into, vars);
            }
            other => into.push(other),
        }
    }
}

impl Gemm<'_> {
    /// The kernels, with their arguments.
    pub fn calls(&self) -> Result<Vec<Call>, String> {
        let t = tiling(self.dtype, self.batch, self.m, self.n, self.k);
        if self.batch * self.m * self.n == 0 {
            return Ok(Vec::new());
        }
        let (ending, params, args) = self.ending()?;
        let ty = scalar::stored(self.dtype);
        let inputs = format!("const {ty}* __restrict__ a, const {ty}* __restrict__ b");
        let blocks = self.batch * self.m.div_ceil(t.rows) * self.n.div_ceil(t.cols);
        let grid = Grid { blocks: blocks * t.parts, threads: THREADS };
        if t.parts == 1 {
            let text = self.tiles(&t, &format!("{inputs}, {params}"), &ending);
            return Ok(vec![Call::new(Source::new(text, grid), [&self.inputs[..], &args[..]].concat())]);
        }
        let workspace = self.workspace.ok_or("a product without room for its parts")?;
        let size = self.batch * self.m * self.n;
        let part = format!("ws[(((nn_i64)part * {} + z) * {} + row) * {} + col] = v;\n", self.batch, self.m, self.n);
        let first = self.tiles(&t, &format!("{inputs}, {ty}* __restrict__ ws"), &part);
        let bounds = launch_bounds(THREADS);
        let mut sum = format!("extern \"C\" __global__ void {bounds} NAME(const {ty}* __restrict__ ws, {params}) {{\n");
        let _ = writeln!(
            sum,
            "  const nn_i64 at = (nn_i64)blockIdx.x * {THREADS} + (int)threadIdx.x;\n  if (at >= {size}) return;"
        );
        let _ = writeln!(
            sum,
            "  const int col = (int)(at % {}), row = (int)(at / {} % {}), z = (int)(at / {});",
            self.n,
            self.n,
            self.m,
            self.m * self.n
        );
        let _ = writeln!(sum, "  {} v = ws[at];", scalar::register(self.dtype));
        let _ = writeln!(sum, "  for (int part = 1; part < {}; part += 1) v = v + ws[at + part * {size}ll];", t.parts);
        let _ = writeln!(sum, "{ending}}}");
        let second = Source::new(sum, Grid { blocks: size.div_ceil(THREADS), threads: THREADS });
        Ok(vec![
            Call::new(Source::new(first, grid), [&self.inputs[..], &[workspace]].concat()),
            Call::new(second, [&[workspace], &args[..]].concat()),
        ])
    }

    /// What becomes of an element `v` of the result at `z`, `row`, `col`; the parameters for that, and their arguments.
    fn ending(&self) -> Result<(String, String, Vec<BufferId>), String> {
        let Some((kernel, args)) = self.epilogue else {
            let params = format!("{}* __restrict__ c", scalar::stored(self.dtype));
            return Ok((format!("{}\nc[{}] = v;\n", self.place, self.out_index), params, vec![self.output]));
        };
        let mut stmts = Vec::new();
        let mut vars = Vec::new();
        flattened(&kernel.body, &mut stmts, &mut vars);
        let at = args.iter().position(|a| *a == self.output).ok_or("an epilogue that does not read the product")?;
        if vars.len() != 3 || vars.iter().enumerate().any(|(i, v)| v.0 as usize != i) {
            return Err("an epilogue that is not three loops".to_string());
        }
        let mut e = Emitter::new(kernel, extents(kernel), Team::Thread);
        e.at_hand = Some((BufferArg(at as u32), "v".to_string()));
        let list: Vec<Stmt> = stmts.into_iter().cloned().collect();
        e.serial(&list);
        Ok((format!("{}\n{}", self.place, e.out), parameters(kernel), args.to_vec()))
    }

    fn tiles(&self, t: &Tiling, params: &str, ending: &str) -> String {
        let ty = scalar::register(self.dtype);
        let f = if self.dtype == DType::F64 { "" } else { "f" };
        let (tm, tn) = (t.rows / 16, t.cols / 16);
        let (m, n, k) = (self.m, self.n, self.k);
        let across = n.div_ceil(t.cols);
        // Elements that are found by arithmetic, with an end that reads many buffers, need all the registers that there are.
        let hungry = self.a.by_few && self.epilogue.is_some_and(|e| e.1.len() > MANY_BUFFERS) && tm * tn >= 64;
        let bounds = if hungry { format!("__launch_bounds__({THREADS})") } else { launch_bounds(THREADS) };
        let mut s = format!("extern \"C\" __global__ void {bounds} NAME({params}) {{\n");
        let _ = writeln!(s, "  __shared__ {ty} sa[{DEPTH}][{}];", t.rows + 1);
        let _ = writeln!(s, "  __shared__ {ty} sb[{DEPTH}][{}];", t.cols + 1);
        let _ = writeln!(s, "  const int tx = (int)threadIdx.x & 15, ty = (int)threadIdx.x >> 4;");
        let _ = writeln!(s, "  const int tile = (int)(blockIdx.x / {});", t.parts);
        let _ = writeln!(s, "  const int part = (int)(blockIdx.x % {}), begin = part * {};", t.parts, t.depth);
        let _ = writeln!(s, "  const int z = tile / {};", across * m.div_ceil(t.rows));
        let _ = writeln!(
            s,
            "  const int col0 = tile % {across} * {}, row0 = tile / {across} % {} * {};",
            t.cols,
            m.div_ceil(t.rows),
            t.rows
        );
        let _ = writeln!(s, "  const int end = nn_min(begin + {}, {k});", t.depth);
        let _ = writeln!(s, "  {ty} acc[{tm}][{tn}];");
        let _ = writeln!(
            s,
            "  #pragma unroll\n  for (int i = 0; i < {tm}; i += 1)\n  #pragma unroll\n  for (int j = 0; j < {tn}; j += 1) acc[i][j] = 0;"
        );
        let _ = writeln!(s, "  for (int k0 = begin; k0 < end; k0 += {DEPTH}) {{");
        let mut load = |name: &str, var: &str, first: &str, size: usize, limit: usize, fetch: &Fetch| {
            let few = if fetch.by_few && tm * tn >= 64 { " 2" } else { "" };
            let _ = writeln!(
                s,
                "    #pragma unroll{few}\n    for (int e = (int)threadIdx.x; e < {}; e += {THREADS}) {{",
                size * DEPTH
            );
            let (x, y) = match fetch.along_k {
                true => (format!("e / {DEPTH}"), format!("e % {DEPTH}")),
                false => (format!("e % {size}"), format!("e / {size}")),
            };
            let _ = writeln!(s, "      const int x = {x}, y = {y}, {var} = {first} + x, k = k0 + y;");
            let _ = writeln!(s, "      {ty} w = 0;");
            let _ = writeln!(s, "      if ({var} < {limit} && k < end) {{ {} w = v; }}", fetch.text);
            let _ = writeln!(s, "      {name}[y][x] = w;\n    }}");
        };
        load("sa", "row", "row0", t.rows, m, &self.a);
        load("sb", "col", "col0", t.cols, n, &self.b);
        let _ = writeln!(s, "    __syncthreads();");
        let _ = writeln!(s, "    #pragma unroll\n    for (int y = 0; y < {DEPTH}; y += 1) {{");
        let _ = writeln!(s, "      {ty} ra[{tm}], rb[{tn}];");
        let _ =
            writeln!(s, "      #pragma unroll\n      for (int i = 0; i < {tm}; i += 1) ra[i] = sa[y][ty + 16 * i];");
        let _ =
            writeln!(s, "      #pragma unroll\n      for (int j = 0; j < {tn}; j += 1) rb[j] = sb[y][tx + 16 * j];");
        let _ = writeln!(
            s,
            "      #pragma unroll\n      for (int i = 0; i < {tm}; i += 1)\n      #pragma unroll\n      for (int j = 0; j < {tn}; j += 1) acc[i][j] = fma{f}(ra[i], rb[j], acc[i][j]);"
        );
        let _ = writeln!(s, "    }}\n    __syncthreads();\n  }}");
        let _ = writeln!(
            s,
            "  #pragma unroll\n  for (int i = 0; i < {tm}; i += 1)\n  #pragma unroll\n  for (int j = 0; j < {tn}; j += 1) {{"
        );
        let _ = writeln!(s, "    const int row = row0 + ty + 16 * i, col = col0 + tx + 16 * j;");
        let _ = writeln!(s, "    if (row < {m} && col < {n}) {{\n      const {ty} v = acc[i][j];");
        let _ = writeln!(s, "{ending}    }}\n  }}\n}}");
        s
    }
}
