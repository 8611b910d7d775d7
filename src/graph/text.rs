//! The text form of graphs: one line a node, in order. What `--emit=graph` shows and what tests are written in.
//!
//! ```text
//! scope 1 = net.fc1
//! %0 = read var=3 : f32[784, 10]
//! %1 = field index=0 : f32[64, 784]
//! %2 = matmul(%1, %0) batch=0 : f32[64, 10] @0:120-133/1
//! value 0 = %2
//! ```
//!
//! The body of a scan follows its node in braces:
//!
//! ```text
//! %3 = scan(%0, %1) carries=1 scanned=1 count=5 by=-1 : f32[] {
//!   %0 = parameter index=0 : f32[8]
//!   %1 = parameter index=1 : f32[8]
//!   %2 = add(%0, %1) : f32[8]
//!   value 0 = %2
//! }
//! %4 = scan_result(%3) index=0 : f32[8]
//! ```
//!
//! `@file:start-end/scope` is a node's origin, if asked for. `#` starts a comment. [`parse`] reads what [`print`] and
//! [`print_with_origins`] write, and gives the same graph (without origins: all from nowhere, in the first scope).

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};
use std::str::FromStr;

use super::{Graph, NodeId, Origin, Output, OutputKind, TensorType};
use crate::ops::{self, Binary, Clock, Compare, Cumulative, DType, Op, Reduce, Scan, Unary, VarId, Window};
use crate::source::{FileId, Span};

/// The text of a graph.
pub fn print<D: Display>(graph: &Graph<D>) -> String {
    write_graph(graph, false)
}

/// The text of a graph, with the places that its nodes come from.
pub fn print_with_origins<D: Display>(graph: &Graph<D>) -> String {
    write_graph(graph, true)
}

fn write_graph<D: Display>(graph: &Graph<D>, origins: bool) -> String {
    let mut out = String::new();
    for (i, scope) in graph.scopes.iter().enumerate().skip(1) {
        let _ = writeln!(out, "scope {i} = {scope}");
    }
    write_nodes(&mut out, graph, origins, 0);
    out
}

fn write_nodes<D: Display>(out: &mut String, graph: &Graph<D>, origins: bool, depth: usize) {
    let indent = "  ".repeat(depth);
    for (i, node) in graph.nodes.iter().enumerate() {
        let _ = write!(out, "{indent}%{i} = {}", ops::def_of(&node.op).name);
        if !node.inputs.is_empty() {
            let inputs: Vec<String> = node.inputs.iter().map(|input| format!("%{}", input.0)).collect();
            let _ = write!(out, "({})", inputs.join(", "));
        }
        for (name, value) in attributes(&node.op) {
            let _ = write!(out, " {name}={value}");
        }
        let _ = write!(out, " : {}", node.ty);
        if origins {
            let Origin { span, scope } = node.origin;
            let _ = write!(out, " @{}:{}-{}/{scope}", span.file.0, span.start, span.end);
        }
        if let Op::Scan(scan) = &node.op {
            out.push_str(" {\n");
            write_nodes(out, &scan.body, origins, depth + 1);
            let _ = write!(out, "{indent}}}");
        }
        out.push('\n');
    }
    for output in &graph.outputs {
        let _ = match output.kind {
            OutputKind::Update(var) => writeln!(out, "{indent}update {} = %{}", var.0, output.node.0),
            OutputKind::Value(place) => writeln!(out, "{indent}value {place} = %{}", output.node.0),
        };
    }
}

fn list<T: Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(T::to_string).collect();
    format!("[{}]", items.join(", "))
}

fn clock_name(clock: Clock) -> &'static str {
    match clock {
        Clock::Step => "step",
        Clock::Epoch => "epoch",
        Clock::Steps => "steps",
        Clock::EpochSteps => "epoch_steps",
    }
}

/// The compile-time attributes of an operation that its name does not say.
fn attributes<D: Display>(op: &Op<D>) -> Vec<(&'static str, String)> {
    fn window<D: Display>(w: &Window<D>) -> Vec<(&'static str, String)> {
        vec![
            ("kernel", list(&w.kernel)),
            ("stride", list(&w.stride)),
            ("dilation", list(&w.dilation)),
            ("low", list(&w.pad_low)),
            ("high", list(&w.pad_high)),
        ]
    }
    match op {
        Op::Read(var) => vec![("var", var.0.to_string())],
        Op::Field(index) => vec![("index", index.to_string())],
        Op::Clock(clock) => vec![("of", clock_name(*clock).to_string())],
        Op::Const(value) => vec![("value", format!("{value:?}"))],
        Op::Literal(values) => {
            let values: Vec<String> = values.iter().map(|v| format!("{v:?}")).collect();
            vec![("values", list(&values))]
        }
        Op::Size { value } => vec![("value", value.to_string())],
        Op::Iota { size } => vec![("size", size.to_string())],
        Op::Uniform { shape, site } => vec![("shape", list(shape)), ("site", site.to_string())],
        Op::Broadcast { shape, axes } => vec![("shape", list(shape)), ("axes", list(axes))],
        Op::Transpose { perm } => vec![("perm", list(perm))],
        Op::Reshape { shape } => vec![("shape", list(shape))],
        Op::Slice { start, size, step } => {
            vec![("start", list(start)), ("size", list(size)), ("step", list(step))]
        }
        Op::Pad { low, high, value } => {
            vec![("low", list(low)), ("high", list(high)), ("value", format!("{value:?}"))]
        }
        Op::Concat { axis }
        | Op::ArgReduce { axis, .. }
        | Op::Take { axis }
        | Op::Pick { axis }
        | Op::UpdateSlice { axis } => {
            vec![("axis", axis.to_string())]
        }
        Op::Cumulate { axis, reverse, .. } => vec![("axis", axis.to_string()), ("reverse", reverse.to_string())],
        Op::ArgSort { axis, descending } => {
            vec![("axis", axis.to_string()), ("descending", descending.to_string())]
        }
        Op::ScatterAdd { axis, size } => vec![("axis", axis.to_string()), ("size", size.to_string())],
        Op::Reduce { axes, .. } => vec![("axes", list(axes))],
        Op::Matmul { batch } => vec![("batch", batch.to_string())],
        Op::Conv { window: w, groups } | Op::ConvWeightGrad { window: w, groups } => {
            let mut all = window(w);
            all.push(("groups", groups.to_string()));
            all
        }
        Op::ConvInputGrad { window: w, groups, size } => {
            let mut all = window(w);
            all.extend([("groups", groups.to_string()), ("size", list(size))]);
            all
        }
        Op::MaxPool { window: w } | Op::MaxPoolGrad { window: w } | Op::SumPool { window: w } => window(w),
        Op::SumPoolGrad { window: w, size } => {
            let mut all = window(w);
            all.push(("size", list(size)));
            all
        }
        Op::Scan(scan) => {
            let mut all = vec![
                ("carries", scan.carries.to_string()),
                ("scanned", scan.scanned.to_string()),
                ("count", scan.count.to_string()),
                ("by", if scan.reverse { "-1" } else { "1" }.to_string()),
            ];
            all.extend(scan.recompute.then(|| ("recompute", "true".to_string())));
            all
        }
        Op::ScanResult { index } => vec![("index", index.to_string())],
        Op::Parameter(index) => vec![("index", index.to_string())],
        Op::CustomGradient { inputs } => vec![("inputs", inputs.to_string())],
        Op::Key
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::Cast
        | Op::StopGradient
        | Op::Gradient => vec![],
    }
}

/// A line that is no part of a graph, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Counted from 1.
    pub line: usize,
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for ParseError {}

/// Reads a graph. Operands must exist; everything else is [`verify`](super::verify)'s.
pub fn parse(text: &str) -> Result<Graph<usize>, ParseError> {
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.split('#').next().unwrap_or("").trim()));
    let lines: Vec<(usize, &str)> = lines.filter(|(_, line)| !line.is_empty()).collect();
    let mut graph = Graph::default();
    let mut at = 0;
    parse_lines(&lines, &mut at, &mut graph, 0)?;
    Ok(graph)
}

/// Scans inside scans that a text may have.
const DEEPEST: usize = 64;

/// Reads lines into the graph, up to the brace that ends it or to the end of the text.
fn parse_lines(
    lines: &[(usize, &str)],
    at: &mut usize,
    graph: &mut Graph<usize>,
    depth: usize,
) -> Result<(), ParseError> {
    while let Some(&(number, line)) = lines.get(*at) {
        let fail = |message: String| ParseError { line: number, message };
        *at += 1;
        if line == "}" {
            return if depth > 0 { Ok(()) } else { Err(fail("`}` ends nothing".to_string())) };
        }
        let (line, body) = match line.strip_suffix('{') {
            Some(_) if depth == DEEPEST => return Err(fail("too many scans inside each other".to_string())),
            Some(head) => {
                let mut body = Graph { scopes: graph.scopes.clone(), ..Graph::default() };
                parse_lines(lines, at, &mut body, depth + 1)?;
                (head.trim(), Some(body))
            }
            None => (line, None),
        };
        parse_line(line, body, graph).map_err(fail)?;
    }
    match (depth, lines.last()) {
        (1.., Some(last)) => Err(ParseError { line: last.0, message: "`}` is missing".to_string() }),
        _ => Ok(()),
    }
}

fn parse_line(line: &str, body: Option<Graph<usize>>, graph: &mut Graph<usize>) -> Result<(), String> {
    let (left, right) = line.split_once('=').ok_or("`=` is missing")?;
    let (left, right) = (left.trim(), right.trim());
    if let Some(number) = left.strip_prefix('%') {
        if number.parse() != Ok(graph.nodes.len()) {
            return Err(format!("node %{} must come next, not {left}", graph.nodes.len()));
        }
        return parse_node(right, body, graph);
    }
    let (what, number) = left.split_once(' ').ok_or_else(|| format!("`{left}` is no line of a graph"))?;
    let number: u32 = parse_number(number)?;
    let kind = match what {
        "scope" if number as usize == graph.scopes.len() => {
            graph.scopes.push(right.to_string());
            return Ok(());
        }
        "scope" => return Err(format!("scope {} must come next", graph.scopes.len())),
        "update" => OutputKind::Update(VarId(number)),
        "value" => OutputKind::Value(number),
        _ => return Err(format!("`{what}` is no line of a graph")),
    };
    let node = parse_id(right, graph)?;
    graph.outputs.push(Output { kind, node });
    Ok(())
}

fn parse_number<T: FromStr>(text: &str) -> Result<T, String> {
    text.trim().parse().map_err(|_| format!("`{}` is no number that fits here", text.trim()))
}

fn parse_id(text: &str, graph: &Graph<usize>) -> Result<NodeId, String> {
    let number = text.trim().strip_prefix('%').ok_or_else(|| format!("`{text}` is no node"))?;
    let id = NodeId(parse_number(number)?);
    if id.index() < graph.nodes.len() { Ok(id) } else { Err(format!("there is no node %{} yet", id.0)) }
}

fn parse_list<T: FromStr>(text: &str) -> Result<Vec<T>, String> {
    let inner = text.trim().strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let inner = inner.ok_or_else(|| format!("`{text}` is no list"))?;
    if inner.trim().is_empty() {
        return Ok(Vec::new());
    }
    inner.split(',').map(parse_number).collect()
}

fn parse_node(text: &str, body: Option<Graph<usize>>, graph: &mut Graph<usize>) -> Result<(), String> {
    let (head, tail) = text.split_once(" : ").ok_or("` : type` is missing")?;
    let (ty, origin) = match tail.split_once('@') {
        Some((ty, origin)) => (ty, parse_origin(origin)?),
        None => (tail, Origin::NOWHERE),
    };
    let (dtype, shape) = ty.trim().split_at(ty.trim().find('[').ok_or("the type has no shape")?);
    let dtype = DType::from_name(dtype).ok_or_else(|| format!("`{dtype}` is no dtype"))?;
    let ty = TensorType::new(dtype, parse_list(shape)?);
    let end = head.find([' ', '(']).unwrap_or(head.len());
    let (name, mut rest) = head.split_at(end);
    let mut inputs = Vec::new();
    if let Some(after) = rest.strip_prefix('(') {
        let (list, after) = after.split_once(')').ok_or("`)` is missing")?;
        inputs = list.split(',').map(|id| parse_id(id, graph)).collect::<Result<_, _>>()?;
        rest = after;
    }
    let attributes = Attributes::parse(rest)?;
    let op = match (name, body) {
        ("scan", Some(body)) => parse_scan(&attributes, body)?,
        ("scan", None) => return Err("the body is missing".to_string()),
        (_, Some(_)) => return Err(format!("`{name}` has no body")),
        (_, None) => parse_op(name, &attributes)?,
    };
    graph.push(op, inputs, ty, origin);
    Ok(())
}

fn parse_origin(text: &str) -> Result<Origin, String> {
    let parts: Vec<&str> = text.trim().split([':', '-', '/']).collect();
    let [file, start, end, scope] = parts[..] else { return Err(format!("`@{text}` is no origin")) };
    let span = Span { file: FileId(parse_number(file)?), start: parse_number(start)?, end: parse_number(end)? };
    Ok(Origin { span, scope: parse_number(scope)? })
}

struct Attributes<'t>(BTreeMap<&'t str, &'t str>);

impl<'t> Attributes<'t> {
    fn parse(mut text: &'t str) -> Result<Attributes<'t>, String> {
        let mut found = BTreeMap::new();
        loop {
            text = text.trim_start();
            if text.is_empty() {
                return Ok(Attributes(found));
            }
            let (name, rest) = text.split_once('=').ok_or_else(|| format!("`{text}` is no attribute"))?;
            let end = match rest.starts_with('[') {
                true => rest.find(']').ok_or("`]` is missing")? + 1,
                false => rest.find(' ').unwrap_or(rest.len()),
            };
            found.insert(name, &rest[..end]);
            text = &rest[end..];
        }
    }

    fn get(&self, name: &str) -> Result<&'t str, String> {
        self.0.get(name).copied().ok_or_else(|| format!("`{name}=` is missing"))
    }

    fn one<T: FromStr>(&self, name: &str) -> Result<T, String> {
        parse_number(self.get(name)?)
    }

    fn list<T: FromStr>(&self, name: &str) -> Result<Vec<T>, String> {
        parse_list(self.get(name)?)
    }

    fn window(&self) -> Result<Window<usize>, String> {
        Ok(Window {
            kernel: self.list("kernel")?,
            stride: self.list("stride")?,
            dilation: self.list("dilation")?,
            pad_low: self.list("low")?,
            pad_high: self.list("high")?,
        })
    }
}

fn parse_scan(a: &Attributes, body: Graph<usize>) -> Result<Op<usize>, String> {
    let reverse = match a.get("by")? {
        "1" => false,
        "-1" => true,
        other => return Err(format!("a scan by {other}")),
    };
    let (carries, scanned, count) = (a.one("carries")?, a.one("scanned")?, a.one("count")?);
    let recompute = a.get("recompute").is_ok_and(|word| word == "true");
    Ok(Op::Scan(Box::new(Scan { body, count, reverse, carries, scanned, recompute })))
}

fn parse_op(name: &str, a: &Attributes) -> Result<Op<usize>, String> {
    // Scalar families are found by the names of their records.
    let named = |op: Op<usize>| ops::def_of(&op).name == name;
    if let Some(u) = Unary::ALL.iter().find(|u| named(Op::Unary(**u))) {
        return Ok(Op::Unary(*u));
    }
    if let Some(b) = Binary::ALL.iter().find(|b| named(Op::Binary(**b))) {
        return Ok(Op::Binary(*b));
    }
    if let Some(c) = Compare::ALL.iter().find(|c| named(Op::Compare(**c))) {
        return Ok(Op::Compare(*c));
    }
    if let Some(op) = Reduce::from_name(name) {
        return Ok(Op::Reduce { op, axes: a.list("axes")? });
    }
    if let Some(op) = Cumulative::from_name(name) {
        return Ok(Op::Cumulate { op, axis: a.one("axis")?, reverse: a.get("reverse")? == "true" });
    }
    Ok(match name {
        "read" => Op::Read(VarId(a.one("var")?)),
        "field" => Op::Field(a.one("index")?),
        "clock" => {
            let of = a.get("of")?;
            let all = [Clock::Step, Clock::Epoch, Clock::Steps, Clock::EpochSteps];
            Op::Clock(*all.iter().find(|c| clock_name(**c) == of).ok_or_else(|| format!("no clock `{of}`"))?)
        }
        "key" => Op::Key,
        "const" => Op::Const(a.one("value")?),
        "literal" => Op::Literal(a.list("values")?),
        "size_of" => Op::Size { value: a.one("value")? },
        "iota" => Op::Iota { size: a.one("size")? },
        "select" => Op::Select,
        "cast" => Op::Cast,
        "stop_gradient" => Op::StopGradient,
        "uniform" => Op::Uniform { shape: a.list("shape")?, site: a.one("site")? },
        "broadcast" => Op::Broadcast { shape: a.list("shape")?, axes: a.list("axes")? },
        "transpose" => Op::Transpose { perm: a.list("perm")? },
        "reshape" => Op::Reshape { shape: a.list("shape")? },
        "slice" => Op::Slice { start: a.list("start")?, size: a.list("size")?, step: a.list("step")? },
        "pad" => Op::Pad { low: a.list("low")?, high: a.list("high")?, value: a.one("value")? },
        "concat" => Op::Concat { axis: a.one("axis")? },
        "argmax" => Op::ArgReduce { max: true, axis: a.one("axis")? },
        "argmin" => Op::ArgReduce { max: false, axis: a.one("axis")? },
        "argsort" => Op::ArgSort { axis: a.one("axis")?, descending: a.get("descending")? == "true" },
        "update_slice" => Op::UpdateSlice { axis: a.one("axis")? },
        "take" => Op::Take { axis: a.one("axis")? },
        "scatter_add" => Op::ScatterAdd { axis: a.one("axis")?, size: a.one("size")? },
        "pick" => Op::Pick { axis: a.one("axis")? },
        "matmul" => Op::Matmul { batch: a.one("batch")? },
        "conv" => Op::Conv { window: a.window()?, groups: a.one("groups")? },
        "conv_input_grad" => Op::ConvInputGrad { window: a.window()?, groups: a.one("groups")?, size: a.list("size")? },
        "conv_weight_grad" => Op::ConvWeightGrad { window: a.window()?, groups: a.one("groups")? },
        "max_pool" => Op::MaxPool { window: a.window()? },
        "max_pool_grad" => Op::MaxPoolGrad { window: a.window()? },
        "sum_pool" => Op::SumPool { window: a.window()? },
        "sum_pool_grad" => Op::SumPoolGrad { window: a.window()?, size: a.list("size")? },
        "scan_result" => Op::ScanResult { index: a.one("index")? },
        "parameter" => Op::Parameter(a.one("index")?),
        "gradient" => Op::Gradient,
        "custom_gradient" => Op::CustomGradient { inputs: a.one("inputs")? },
        _ => return Err(format!("there is no operation `{name}`")),
    })
}
