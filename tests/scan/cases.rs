//! Graphs with scans, and values for their fields.

use nnc::graph::{Graph, parse};
use nnc::interpreter::{Inputs, tensor};
use nnc::ops::{DType, Op};

pub struct Case {
    pub name: &'static str,
    pub graph: Graph<usize>,
    pub inputs: Inputs,
}

/// A plain recurrent layer: `h = tanh(h @ W + x @ U + b)`.
pub fn rnn(steps: usize) -> Graph<usize> {
    rnn_of(steps, 2, 3)
}

/// The same for a batch of so many rows, and as wide a carry.
pub fn rnn_of(steps: usize, rows: usize, wide: usize) -> Graph<usize> {
    graph(&format!(
        "%0 = field index=0 : f32[{rows}, {wide}]
%1 = field index=1 : f32[{steps}, {rows}, 4]
%2 = field index=2 : f32[{wide}, {wide}]
%3 = field index=3 : f32[4, {wide}]
%4 = field index=4 : f32[{wide}]
%5 = scan(%0, %1, %2, %3, %4) carries=1 scanned=1 count={steps} by=1 : f32[] {{
  %0 = parameter index=0 : f32[{rows}, {wide}]
  %1 = parameter index=1 : f32[{rows}, 4]
  %2 = parameter index=2 : f32[{wide}, {wide}]
  %3 = parameter index=3 : f32[4, {wide}]
  %4 = parameter index=4 : f32[{wide}]
  %5 = transpose(%2) perm=[1, 0] : f32[{wide}, {wide}]
  %6 = matmul(%0, %5) batch=0 : f32[{rows}, {wide}]
  %7 = matmul(%1, %3) batch=0 : f32[{rows}, {wide}]
  %8 = add(%6, %7) : f32[{rows}, {wide}]
  %9 = broadcast(%4) shape=[{rows}, {wide}] axes=[1] : f32[{rows}, {wide}]
  %10 = add(%8, %9) : f32[{rows}, {wide}]
  %11 = tanh(%10) : f32[{rows}, {wide}]
  value 0 = %11
  value 1 = %11
}}
%6 = scan_result(%5) index=0 : f32[{rows}, {wide}]
%7 = scan_result(%5) index=1 : f32[{steps}, {rows}, {wide}]
value 0 = %6
value 1 = %7
"
    ))
}

/// Each row of a step's carry has the sum over all rows in it.
pub fn meeting() -> Graph<usize> {
    graph(
        "%0 = field index=0 : f32[24, 3]
%1 = field index=1 : f32[5, 24, 3]
%2 = field index=2 : f32[3, 3]
%3 = scan(%0, %1, %2) carries=1 scanned=1 count=5 by=1 : f32[] {
  %0 = parameter index=0 : f32[24, 3]
  %1 = parameter index=1 : f32[24, 3]
  %2 = parameter index=2 : f32[3, 3]
  %3 = matmul(%0, %2) batch=0 : f32[24, 3]
  %4 = sum(%0) axes=[0] : f32[3]
  %5 = broadcast(%4) shape=[24, 3] axes=[1] : f32[24, 3]
  %6 = sub(%3, %5) : f32[24, 3]
  %7 = add(%6, %1) : f32[24, 3]
  %8 = tanh(%7) : f32[24, 3]
  value 0 = %8
  value 1 = %7
}
%4 = scan_result(%3) index=0 : f32[24, 3]
%5 = scan_result(%3) index=1 : f32[5, 24, 3]
value 0 = %4
value 1 = %5
",
    )
}

fn graph(text: &str) -> Graph<usize> {
    match parse(text) {
        Ok(graph) => graph,
        Err(error) => panic!("{error}\n{text}"),
    }
}

/// Two carries of which one is handed on as it is, values before and after the step, backwards.
const TWO: &str = "%0 = field index=0 : f32[3]
%1 = field index=1 : f32[3]
%2 = field index=2 : f32[4, 3]
%3 = field index=3 : f32[3]
%4 = scan(%0, %1, %2, %3) carries=2 scanned=1 count=4 by=-1 : f32[] {
  %0 = parameter index=0 : f32[3]
  %1 = parameter index=1 : f32[3]
  %2 = parameter index=2 : f32[3]
  %3 = parameter index=3 : f32[3]
  %4 = mul(%0, %3) : f32[3]
  %5 = add(%4, %2) : f32[3]
  %6 = mul(%5, %1) : f32[3]
  %7 = sin(%6) : f32[3]
  value 0 = %7
  value 1 = %0
  value 2 = %0
  value 3 = %6
}
%5 = scan_result(%4) index=0 : f32[3]
%6 = scan_result(%4) index=1 : f32[3]
%7 = scan_result(%4) index=2 : f32[4, 3]
%8 = scan_result(%4) index=3 : f32[4, 3]
%9 = mul(%7, %8) : f32[4, 3]
value 0 = %5
value 1 = %6
value 2 = %8
value 3 = %9
";

/// No carry: a function of each slice; and a result that nothing uses.
const MAP: &str = "%0 = field index=0 : f32[5, 2, 3]
%1 = field index=1 : f32[3, 3]
%2 = scan(%0, %1) carries=0 scanned=1 count=5 by=1 : f32[] {
  %0 = parameter index=0 : f32[2, 3]
  %1 = parameter index=1 : f32[3, 3]
  %2 = matmul(%0, %1) batch=0 : f32[2, 3]
  %3 = exp(%2) : f32[2, 3]
  %4 = sum(%3) axes=[1] : f32[2]
  value 0 = %4
  value 1 = %3
}
%3 = scan_result(%2) index=0 : f32[5, 2]
value 0 = %3
";

/// A carry that is replaced without being read, one that only counts, and whole numbers.
const COUNT: &str = "%0 = field index=0 : f32[2]
%1 = field index=1 : f32[]
%2 = iota size=6 : i32[6]
%3 = field index=2 : f32[2]
%4 = const value=3.0 : i32[]
%5 = scan(%0, %1, %4, %2, %3) carries=3 scanned=1 count=6 by=1 : f32[] {
  %0 = parameter index=0 : f32[2]
  %1 = parameter index=1 : f32[]
  %2 = parameter index=2 : i32[]
  %3 = parameter index=3 : i32[]
  %4 = parameter index=4 : f32[2]
  %5 = add(%2, %3) : i32[]
  %6 = cast(%5) : f32[]
  %7 = const value=0.1 : f32[]
  %8 = mul(%6, %7) : f32[]
  %9 = mul(%8, %1) : f32[]
  %10 = broadcast(%9) shape=[2] axes=[] : f32[2]
  %11 = mul(%10, %4) : f32[2]
  %12 = cos(%8) : f32[]
  %13 = mul(%1, %12) : f32[]
  %14 = mul(%0, %0) : f32[2]
  value 0 = %11
  value 1 = %13
  value 2 = %5
  value 3 = %14
  value 4 = %2
}
%6 = scan_result(%5) index=0 : f32[2]
%7 = scan_result(%5) index=1 : f32[]
%8 = scan_result(%5) index=2 : i32[]
%9 = scan_result(%5) index=3 : f32[6, 2]
%10 = scan_result(%5) index=4 : i32[6]
value 0 = %6
value 1 = %7
value 2 = %8
value 3 = %9
value 4 = %10
";

/// A scan in a scan, the other way round, over what the outer one slices.
const NESTED: &str = "%0 = field index=0 : f32[2]
%1 = field index=1 : f32[3, 4, 2]
%2 = field index=2 : f32[2, 2]
%3 = scan(%0, %1, %2) carries=1 scanned=1 count=3 by=1 : f32[] {
  %0 = parameter index=0 : f32[2]
  %1 = parameter index=1 : f32[4, 2]
  %2 = parameter index=2 : f32[2, 2]
  %3 = const value=0.5 : f32[]
  %4 = broadcast(%3) shape=[2] axes=[] : f32[2]
  %5 = mul(%0, %4) : f32[2]
  %6 = scan(%5, %1, %2, %0) carries=1 scanned=1 count=4 by=-1 : f32[] {
    %0 = parameter index=0 : f32[2]
    %1 = parameter index=1 : f32[2]
    %2 = parameter index=2 : f32[2, 2]
    %3 = parameter index=3 : f32[2]
    %4 = add(%0, %1) : f32[2]
    %5 = reshape(%4) shape=[1, 2] : f32[1, 2]
    %6 = matmul(%5, %2) batch=0 : f32[1, 2]
    %7 = reshape(%6) shape=[2] : f32[2]
    %8 = tanh(%7) : f32[2]
    %9 = mul(%8, %3) : f32[2]
    value 0 = %8
    value 1 = %9
  }
  %7 = scan_result(%6) index=0 : f32[2]
  %8 = scan_result(%6) index=1 : f32[4, 2]
  %9 = sum(%8) axes=[0] : f32[2]
  %10 = add(%7, %9) : f32[2]
  value 0 = %10
  value 1 = %8
}
%4 = scan_result(%3) index=0 : f32[2]
%5 = scan_result(%3) index=1 : f32[3, 4, 2]
value 0 = %4
value 1 = %5
";

/// Two scans, one over the other's results, and what a field becomes twice on the way.
const CHAIN: &str = "%0 = field index=0 : f32[4, 3]
%1 = field index=1 : f32[3]
%2 = scan(%1, %0) carries=1 scanned=1 count=4 by=1 : f32[] {
  %0 = parameter index=0 : f32[3]
  %1 = parameter index=1 : f32[3]
  %2 = mul(%0, %1) : f32[3]
  %3 = add(%2, %1) : f32[3]
  value 0 = %3
  value 1 = %3
}
%3 = scan_result(%2) index=1 : f32[4, 3]
%4 = scan_result(%2) index=0 : f32[3]
%5 = scan(%4, %3, %0, %1) carries=1 scanned=2 count=4 by=-1 : f32[] {
  %0 = parameter index=0 : f32[3]
  %1 = parameter index=1 : f32[3]
  %2 = parameter index=2 : f32[3]
  %3 = parameter index=3 : f32[3]
  %4 = mul(%1, %2) : f32[3]
  %5 = sub(%0, %4) : f32[3]
  %6 = mul(%5, %3) : f32[3]
  value 0 = %6
}
%6 = scan_result(%5) index=0 : f32[3]
value 0 = %6
value 1 = %3
";

/// Draws: a key for each step.
const DRAW: &str = "%0 = field index=0 : f32[5]
%1 = key : i32[4]
%2 = broadcast(%1) shape=[3, 4] axes=[1] : i32[3, 4]
%3 = iota size=3 : i32[3]
%4 = broadcast(%3) shape=[3, 4] axes=[0] : i32[3, 4]
%5 = add(%2, %4) : i32[3, 4]
%6 = scan(%0, %5) carries=1 scanned=1 count=3 by=1 : f32[] {
  %0 = parameter index=0 : f32[5]
  %1 = parameter index=1 : i32[4]
  %2 = uniform(%1) shape=[5] site=77 : f32[5]
  %3 = const value=0.5 : f32[]
  %4 = broadcast(%3) shape=[5] axes=[] : f32[5]
  %5 = lt(%2, %4) : bool[5]
  %6 = sin(%0) : f32[5]
  %7 = select(%5, %6, %0) : f32[5]
  value 0 = %7
  value 1 = %2
}
%7 = scan_result(%6) index=0 : f32[5]
%8 = scan_result(%6) index=1 : f32[3, 5]
value 0 = %7
value 1 = %8
";

pub fn cases() -> Vec<Case> {
    let texts = [("two", TWO), ("map", MAP), ("count", COUNT), ("nested", NESTED), ("chain", CHAIN), ("draw", DRAW)];
    let fixed = texts.into_iter().map(|(name, text)| (name, graph(text)));
    let sizes = [("rnn", 5), ("rnn of one step", 1), ("rnn of no step", 0)];
    let mut all: Vec<_> = fixed.chain(sizes.map(|(name, steps)| (name, rnn(steps)))).collect();
    all.push(("rnn of many rows", rnn_of(4, 64, 64)));
    all.push(("rows that meet", meeting()));
    for (name, graph) in
        [("rnn that recomputes", rnn(4)), ("two that recompute", graph(TWO)), ("nested, recomputing", graph(NESTED))]
    {
        all.push((name, recomputing(graph)));
    }
    all.into_iter().map(|(name, graph)| Case { name, inputs: inputs(&graph), graph }).collect()
}

/// The graph with scans that compute again what their gradients need.
fn recomputing(mut graph: Graph<usize>) -> Graph<usize> {
    for node in &mut graph.nodes {
        if let Op::Scan(scan) = &mut node.op {
            scan.recompute = true;
            scan.body = recomputing(std::mem::take(&mut scan.body));
        }
    }
    graph
}

/// Different numbers for every field.
fn inputs(graph: &Graph<usize>) -> Inputs {
    let mut fields = Vec::new();
    for node in &graph.nodes {
        if let Op::Field(index) = node.op {
            assert_eq!((index as usize, node.ty.dtype), (fields.len(), DType::F32));
            let value = |i: usize| f64::from(((i * 37 + 11 * index as usize + 5) % 23) as f32 / 23.0 - 0.4);
            let values = (0..node.ty.elements()).map(value).collect();
            fields.push(tensor(&node.ty.shape, values).expect("they fit"));
        }
    }
    Inputs { fields, key: [5, 6, 7, 8], ..Inputs::default() }
}
