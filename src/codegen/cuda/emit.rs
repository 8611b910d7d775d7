//! Statements of the kernel IR as C. In: a kernel and how its iterations become threads. Out: the text of a function.
//!
//! Inside a team every thread computes the values that all of them need; folds and loops with independent iterations are dealt
//! out, and what is written to memory that the kernel also reads is followed by a barrier. Folds are joined in an order that
//! sizes fix.

use super::digits::independent;
use super::mapping::{Mapping, THREADS, Team, continued, extents, flat_extent, launch_bounds, map, only_loop};
use super::scalar;
use super::scatter::scatter;
use super::vectors::{Wide, by_four};
use super::{Grid, Source};
use crate::codegen::loops::scalar::fold_binary;
use crate::codegen::loops::{Access, Bound, BufferArg, Expr, FoldOp, Index, Kernel, LoopVar, Stmt, Value};
use crate::ops::DType;
use std::fmt::Write;

/// Folds up to here are computed by every thread of a team.
const SHORT: usize = 4;

/// The function of a kernel, and how it is launched; none if it has no iterations. `aligned`: every buffer begins at a multiple of
/// 16 bytes.
pub fn kernel(kernel: &Kernel, aligned: bool) -> Option<Source> {
    let extents = extents(kernel);
    let mapping = map(kernel, &extents);
    if mapping.total == 0 {
        return None;
    }
    if let Some(source) = scatter(kernel, &mapping, &extents) {
        return Some(source);
    }
    if aligned && let Some(source) = by_four(kernel, &mapping, &extents) {
        return Some(source);
    }
    let mut e = Emitter::new(kernel, extents, mapping.team);
    e.depth = 1;
    let grid = e.begin(&mapping);
    let chain: Vec<LoopVar> = mapping.chain.iter().map(|c| c.0).collect();
    match mapping.team {
        Team::Thread => e.serial(mapping.leaf),
        _ => e.shared_out(mapping.leaf, &chain),
    }
    let mut text = String::new();
    let _ =
        writeln!(text, "extern \"C\" __global__ void {} NAME({}) {{", launch_bounds(grid.threads), parameters(kernel));
    text += &e.head;
    text += &e.out;
    text += "}\n";
    Some(Source::new(text, grid))
}

/// One pointer a buffer.
pub fn parameters(kernel: &Kernel) -> String {
    let one = |(i, b): (usize, &crate::codegen::loops::BufferDecl)| {
        let ty = scalar::stored(b.dtype);
        match b.access {
            Access::Read => format!("const {ty}* __restrict__ b{i}"),
            Access::Write => format!("{ty}* __restrict__ b{i}"),
            Access::ReadWrite => format!("{ty}* b{i}"),
        }
    };
    kernel.buffers.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
}

pub struct Emitter<'k> {
    pub kernel: &'k Kernel,
    pub extents: Vec<usize>,
    team: Team,
    /// Declarations of shared memory.
    pub head: String,
    pub out: String,
    pub depth: usize,
    /// Buffers that are read or added to as well as written.
    hazards: Vec<bool>,
    names: usize,
    /// Loads of this buffer are of the value at hand.
    pub at_hand: Option<(BufferArg, String)>,
    /// Loads and stores that go by several elements, of which `j` is the one at hand.
    pub wide: Wide,
}

impl<'k> Emitter<'k> {
    pub fn new(kernel: &'k Kernel, extents: Vec<usize>, team: Team) -> Emitter<'k> {
        let hazards = kernel.buffers.iter().map(|b| b.access == Access::ReadWrite).collect();
        let (head, out) = (String::new(), String::new());
        Emitter { kernel, extents, team, head, out, depth: 0, hazards, names: 0, at_hand: None, wide: Wide::default() }
    }

    pub fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{}{text}", "  ".repeat(self.depth));
    }

    fn fresh(&mut self, stem: &str) -> String {
        self.names += 1;
        format!("{stem}{}", self.names)
    }

    /// The counters of the chain from the place in the grid, and the statements between its loops.
    fn begin(&mut self, mapping: &Mapping) -> Grid {
        let (per_block, threads) = match mapping.team {
            Team::Thread => (THREADS, THREADS),
            Team::Warp => (THREADS / 32, THREADS),
            Team::Block(threads) => (1, threads),
            Team::Column(slices) => (32, 32 * slices),
        };
        let per_block =
            per_block.min(mapping.total.next_multiple_of(if mapping.team == Team::Thread { 32 } else { 1 }));
        let threads = match mapping.team {
            Team::Thread => per_block,
            Team::Warp => per_block * 32,
            Team::Column(_) | Team::Block(_) => threads,
        };
        let int = if mapping.total + threads < i32::MAX as usize { "int" } else { "nn_i64" };
        let (place, lane) = match mapping.team {
            Team::Thread => (format!("({int})blockIdx.x * {per_block} + (int)threadIdx.x"), None),
            Team::Warp => {
                (format!("({int})blockIdx.x * {per_block} + (int)(threadIdx.x >> 5)"), Some("threadIdx.x & 31"))
            }
            Team::Block(_) => (format!("({int})blockIdx.x"), Some("threadIdx.x")),
            Team::Column(_) => (format!("({int})blockIdx.x * 32 + (int)(threadIdx.x & 31)"), Some("threadIdx.x >> 5")),
        };
        let columns = matches!(mapping.team, Team::Column(_));
        let place = if columns { format!("nn_min({place}, ({int}){})", mapping.total - 1) } else { place };
        self.line(&format!("const {int} at = {place};"));
        if columns {
            // Those past the end help to fold, and store nothing.
            let place = format!("({int})blockIdx.x * 32 + (int)(threadIdx.x & 31)");
            self.line(&format!("const bool inside = {place} < {};", mapping.total));
        } else if !mapping.total.is_multiple_of(per_block) {
            self.line(&format!("if (at >= {}) return;", mapping.total));
        }
        if let Some(lane) = lane {
            self.line(&format!("const int lane = (int)({lane});"));
        }
        self.counters(&mapping.chain, "at");
        mapping.before.iter().for_each(|before| self.serial(before));
        Grid { blocks: mapping.total.div_ceil(per_block), threads }
    }

    /// Declares counters as the digits of a number.
    pub fn counters(&mut self, vars: &[(LoopVar, usize)], number: &str) {
        let mut below: usize = vars.iter().map(|v| v.1).product();
        for (i, &(var, extent)) in vars.iter().enumerate() {
            below /= extent.max(1);
            let mut text = number.to_string();
            if below > 1 {
                text = format!("{text} / {below}");
            }
            if i > 0 {
                text = format!("{text} % {extent}");
            }
            let int = int_of(extent);
            self.line(&format!("const {int} i{} = ({int})({text});", var.0));
        }
    }

    fn stride(&self) -> usize {
        match self.team {
            Team::Thread => 1,
            Team::Warp => 32,
            Team::Block(threads) => threads,
            Team::Column(slices) => slices,
        }
    }

    fn barrier(&mut self) {
        match self.team {
            Team::Thread => {}
            Team::Warp => self.line("__syncwarp();"),
            Team::Block(_) | Team::Column(_) => self.line("__syncthreads();"),
        }
    }

    fn writes_hazard(&self, stmt: &Stmt) -> bool {
        match stmt {
            Stmt::Store { buffer, .. } => self.hazards[buffer.0 as usize],
            Stmt::For { body, .. } => body.iter().any(|s| self.writes_hazard(s)),
            _ => false,
        }
    }

    /// Whether a block has anything that several threads can share.
    fn shares(&self, body: &[Stmt], fixed: &[LoopVar]) -> bool {
        body.iter().any(|s| match s {
            Stmt::Fold { .. } => flat_extent(s) > SHORT,
            Stmt::For { var, body, .. } => {
                independent(self.kernel, body, *var, fixed, &self.extents)
                    || self.shares(body, &[fixed, &[*var]].concat())
            }
            _ => false,
        })
    }

    /// Statements that all threads of a team come to. `fixed` are the counters around.
    fn shared_out(&mut self, body: &[Stmt], fixed: &[LoopVar]) {
        for stmt in body {
            let hazard = self.writes_hazard(stmt);
            match stmt {
                Stmt::Let { value, expr } => self.assign(*value, expr),
                Stmt::Fold { .. } if flat_extent(stmt) <= SHORT => self.serial(std::slice::from_ref(stmt)),
                Stmt::Fold { .. } => self.shared_fold(stmt),
                Stmt::Store { .. } => {
                    if hazard {
                        self.barrier();
                    }
                    let first = if matches!(self.team, Team::Column(_)) { "lane == 0 && inside" } else { "lane == 0" };
                    self.line(&format!("if ({first}) {{"));
                    self.nested(|e| e.serial(std::slice::from_ref(stmt)));
                    self.line("}");
                    if hazard {
                        self.barrier();
                    }
                }
                Stmt::For { var, extent, body, .. } => {
                    if hazard {
                        self.barrier();
                    }
                    if independent(self.kernel, body, *var, fixed, &self.extents) {
                        self.dealt_out(*var, *extent, body, fixed);
                    } else if self.shares(body, &[fixed, &[*var]].concat()) {
                        let int = int_of(*extent);
                        let i = format!("i{}", var.0);
                        self.line(&format!("for ({int} {i} = 0; {i} < {extent}; {i} += 1) {{"));
                        self.nested(|e| e.shared_out(body, &[fixed, &[*var]].concat()));
                        self.line("}");
                    } else {
                        self.line("if (lane == 0) {");
                        self.nested(|e| e.serial(std::slice::from_ref(stmt)));
                        self.line("}");
                    }
                    if hazard {
                        self.barrier();
                    }
                }
            }
        }
    }

    pub fn nested(&mut self, f: impl FnOnce(&mut Self)) {
        self.depth += 1;
        f(self);
        self.depth -= 1;
    }

    /// A loop, with those directly inside, whose iterations go round the team.
    fn dealt_out(&mut self, var: LoopVar, extent: usize, body: &[Stmt], fixed: &[LoopVar]) {
        let mut vars = vec![(var, extent)];
        let (mut before, mut leaf) = (Vec::new(), body);
        while let Some((first, var, extent, _, inner)) = only_loop(leaf) {
            if !independent(self.kernel, inner, var, fixed, &self.extents) {
                break;
            }
            vars.push((var, extent));
            before.push(first);
            leaf = inner;
        }
        let total: usize = vars.iter().map(|v| v.1).product();
        let n = self.fresh("n");
        let int = int_of(total);
        self.line(&format!("for ({int} {n} = lane; {n} < {total}; {n} += {}) {{", self.stride()));
        self.nested(|e| {
            e.counters(&vars, &n);
            before.iter().for_each(|b| e.serial(b));
            e.serial(leaf);
        });
        self.line("}");
    }

    /// A fold whose elements go round the team, joined at the end.
    fn shared_fold(&mut self, stmt: &Stmt) {
        let Stmt::Fold { value, op, .. } = stmt else { return };
        let mut vars = Vec::new();
        let mut layers: Vec<&[Stmt]> = Vec::new();
        let mut at = stmt;
        let yields = loop {
            let Stmt::Fold { var, extent, body, yields, .. } = at else { return };
            vars.push((*var, *extent));
            match continued(at) {
                Some(inner) => {
                    layers.push(&body[..body.len() - 1]);
                    at = inner;
                }
                None => {
                    layers.push(body);
                    break *yields;
                }
            }
        };
        let dtype = self.kernel.values[yields.0 as usize];
        let total: usize = vars.iter().map(|v| v.1).product();
        let v = format!("v{}", value.0);
        let n = self.fresh("n");
        let int = int_of(total);
        let (register, stride) = (scalar::register(dtype), self.stride());
        let y = format!("v{}", yields.0);
        match op {
            FoldOp::Reduce(op) => self.line(&format!("{register} {v} = {};", scalar::start(*op, dtype))),
            _ => {
                self.line(&format!("{register} m{} = {};", value.0, scalar::constant(0.0, dtype)));
                self.line(&format!("int {v} = -1;"));
            }
        }
        self.line(&format!("for ({int} {n} = lane; {n} < {total}; {n} += {stride}) {{"));
        self.nested(|e| {
            e.counters(&vars, &n);
            layers.iter().for_each(|l| e.serial(l));
            e.join(*op, *value, dtype, &y, &n);
        });
        self.line("}");
        self.join_lanes(*op, *value, dtype);
        if !matches!(op, FoldOp::Reduce(_)) {
            self.line(&format!("{v} = nn_max({v}, 0);"));
        }
    }

    /// Takes one more element into a fold; of those that look for a place, its number too.
    fn join(&mut self, op: FoldOp, value: Value, dtype: DType, element: &str, place: &str) {
        let v = format!("v{}", value.0);
        let wins = match op {
            FoldOp::Reduce(op) => {
                let joined = scalar::binary(fold_binary(op), &v, element, dtype);
                return self.line(&format!("{v} = {joined};"));
            }
            FoldOp::ArgMax => "nn_wins_max",
            FoldOp::ArgMin => "nn_wins_min",
        };
        let m = format!("m{}", value.0);
        // Bools compare as whole numbers.
        let number = if dtype == DType::Bool { "(int)" } else { "" };
        self.line(&format!("if ({wins}({number}{element}, (int)({place}), {number}{m}, {v})) {{ {m} = {element}; {v} = (int)({place}); }}"));
    }

    fn join_lanes(&mut self, op: FoldOp, value: Value, dtype: DType) {
        let register = scalar::register(dtype);
        let (v, m) = (format!("v{}", value.0), format!("m{}", value.0));
        let arg = !matches!(op, FoldOp::Reduce(_));
        let lane_type = if dtype == DType::Bool { "int" } else { register };
        if !matches!(self.team, Team::Column(_)) {
            let bit = self.fresh("bit");
            self.line(&format!("for (int {bit} = 16; {bit} > 0; {bit} >>= 1) {{"));
            self.nested(|e| {
                let of = |x: &str| format!("nn_lane_xor(({lane_type}){x}, {bit})");
                if arg {
                    e.line(&format!("const {register} o = {}; const int p = nn_lane_xor({v}, {bit});", of(&m)));
                    e.join(op, value, dtype, "o", "p");
                } else {
                    e.line(&format!("const {register} o = {};", of(&v)));
                    e.join(op, value, dtype, "o", "0");
                }
            });
            self.line("}");
        }
        let (cells, parts, cell, part): (usize, usize, String, String) = match self.team {
            Team::Block(threads) if threads > 32 => (threads / 32, threads / 32, "threadIdx.x >> 5".into(), "w".into()),
            Team::Column(slices) => (32 * slices, slices, "threadIdx.x".into(), "w * 32 + (threadIdx.x & 31)".into()),
            _ => return,
        };
        let s = self.fresh("s");
        let _ = writeln!(self.head, "  __shared__ {lane_type} {s}[{cells}];");
        if arg {
            let _ = writeln!(self.head, "  __shared__ int {s}p[{cells}];");
        }
        let mut keep = format!("{s}[{cell}] = {};", if arg { &m } else { &v });
        if arg {
            let _ = write!(keep, " {s}p[{cell}] = {v};");
        }
        let one = matches!(self.team, Team::Block(_));
        self.line(&if one { format!("if ((threadIdx.x & 31) == 0) {{ {keep} }}") } else { keep });
        self.line("__syncthreads();");
        let first = part.replace('w', "0");
        if arg {
            self.line(&format!("{m} = {s}[{first}]; {v} = {s}p[{first}];"));
        } else {
            self.line(&format!("{v} = {s}[{first}];"));
        }
        self.line(&format!("for (int w = 1; w < {parts}; w += 1) {{"));
        self.nested(|e| {
            if arg {
                e.line(&format!("const {register} o = {s}[{part}]; const int p = {s}p[{part}];"));
                e.join(op, value, dtype, "o", "p");
            } else {
                e.line(&format!("const {register} o = {s}[{part}];"));
                e.join(op, value, dtype, "o", "0");
            }
        });
        self.line("}");
        self.line("__syncthreads();");
    }

    /// Statements that one thread runs.
    pub fn serial(&mut self, body: &[Stmt]) {
        for stmt in body {
            match stmt {
                Stmt::Let { value, expr } => self.assign(*value, expr),
                Stmt::For { var, extent, body, .. } => {
                    let (int, i) = (int_of(*extent), format!("i{}", var.0));
                    self.line(&format!("for ({int} {i} = 0; {i} < {extent}; {i} += 1) {{"));
                    self.nested(|e| e.serial(body));
                    self.line("}");
                }
                Stmt::Fold { value, op, var, extent, body, yields, .. } => {
                    let dtype = self.kernel.values[yields.0 as usize];
                    let (int, i, v) = (int_of(*extent), format!("i{}", var.0), format!("v{}", value.0));
                    let register = scalar::register(dtype);
                    match op {
                        FoldOp::Reduce(op) => self.line(&format!("{register} {v} = {};", scalar::start(*op, dtype))),
                        _ => {
                            let zero = scalar::constant(0.0, dtype);
                            self.line(&format!("{register} m{} = {zero}; int {v} = -1;", value.0));
                        }
                    }
                    self.line(&format!("for ({int} {i} = 0; {i} < {extent}; {i} += 1) {{"));
                    self.nested(|e| {
                        e.serial(body);
                        e.join(*op, *value, dtype, &format!("v{}", yields.0), &i);
                    });
                    self.line("}");
                    if !matches!(op, FoldOp::Reduce(_)) {
                        self.line(&format!("{v} = nn_max({v}, 0);"));
                    }
                }
                Stmt::Store { buffer, index, value, .. } if self.wide.stored(*buffer, index).is_some() => {
                    let name = self.wide.stored(*buffer, index).unwrap_or_default().to_string();
                    self.line(&format!("{name}[j] = v{};", value.0));
                }
                Stmt::Store { buffer, index, value, guard, accumulate } => {
                    let dtype = self.kernel.buffers[buffer.0 as usize].dtype;
                    let place = format!("b{}[{}]", buffer.0, self.index(index));
                    let mut text = format!("v{}", value.0);
                    if *accumulate {
                        let old = scalar::loaded(dtype, &place);
                        text = scalar::binary(crate::ops::Binary::Add, &old, &text, dtype);
                        text = format!("({text})");
                    }
                    let mut line = format!("{place} = {};", scalar::to_store(dtype, &text));
                    if !guard.is_empty() {
                        line = format!("if ({}) {line}", self.guard(guard));
                    }
                    self.line(&line);
                }
            }
        }
    }

    fn assign(&mut self, value: Value, expr: &Expr) {
        let dtype = self.kernel.values[value.0 as usize];
        let of = |v: &Value| format!("v{}", v.0);
        let kind = |v: &Value| self.kernel.values[v.0 as usize];
        let text = match expr {
            Expr::Const(v) => scalar::constant(*v, dtype),
            Expr::Load { buffer, .. } if self.at_hand.as_ref().is_some_and(|a| a.0 == *buffer) => {
                self.at_hand.as_ref().map_or(String::new(), |a| a.1.clone())
            }
            Expr::Load { buffer, index, guard, .. }
                if guard.is_empty() && self.wide.loaded(*buffer, index).is_some() =>
            {
                format!("{}[j]", self.wide.loaded(*buffer, index).unwrap_or_default())
            }
            Expr::Load { buffer, index, guard, otherwise } => {
                let element = format!("b{}[{}]", buffer.0, self.index(index));
                let text = scalar::loaded(dtype, &element);
                match guard.is_empty() {
                    true => text,
                    false => format!("{} ? {text} : {}", self.guard(guard), scalar::constant(*otherwise, dtype)),
                }
            }
            Expr::Unary(op, a) => scalar::unary(*op, &of(a), dtype),
            Expr::Binary(op, a, b) => scalar::binary(*op, &of(a), &of(b), dtype),
            Expr::Compare(op, a, b) => scalar::compare(*op, &of(a), &of(b)),
            Expr::Select(c, a, b) => format!("{} ? {} : {}", of(c), of(a), of(b)),
            Expr::Cast(a) => scalar::cast(&of(a), kind(a), dtype),
            Expr::Counter(index) => format!("(int)({})", self.index(index)),
        };
        self.line(&format!("const {} v{} = {text};", scalar::register(dtype), value.0));
    }

    /// Whether an index needs 64 bits.
    fn is_wide(&self, index: &Index) -> bool {
        let reach: i128 = index
            .terms
            .iter()
            .map(|&(v, s)| i128::from(s.unsigned_abs()) * self.extents[v.0 as usize] as i128)
            .sum::<i128>()
            + i128::from(index.offset.unsigned_abs());
        !index.values.is_empty() || reach > i128::from(i32::MAX)
    }

    pub fn index(&self, index: &Index) -> String {
        self.sum(index, self.is_wide(index))
    }

    fn sum(&self, index: &Index, wide: bool) -> String {
        let suffix = if wide { "ll" } else { "" };
        let named = |name: String, s: i64| match s {
            1 if wide => format!("(nn_i64){name}"),
            1 => name,
            s => format!("{s}{suffix} * {name}"),
        };
        let terms = index.terms.iter().map(|&(v, s)| named(format!("i{}", v.0), s));
        let values = index.values.iter().map(|&(v, s)| named(format!("v{}", v.0), s));
        let mut parts: Vec<String> = terms.chain(values).collect();
        if index.offset != 0 || parts.is_empty() {
            parts.push(format!("{}{suffix}", index.offset));
        }
        parts.join(" + ")
    }

    fn guard(&self, guard: &[Bound]) -> String {
        let one = |b: &Bound| match self.is_wide(&b.index) || b.limit > i64::from(i32::MAX) {
            true => format!("(nn_u64)({}) < {}ull", self.sum(&b.index, true), b.limit.max(0)),
            false => format!("(nn_u32)({}) < {}u", self.sum(&b.index, false), b.limit.max(0)),
        };
        format!("({})", guard.iter().map(one).collect::<Vec<_>>().join(" && "))
    }
}

pub fn int_of(extent: usize) -> &'static str {
    if extent < (i32::MAX - 4096) as usize { "int" } else { "nn_i64" }
}
