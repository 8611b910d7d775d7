//! The stages between the graph and its kernels, text in, text out.

use nnc::autodiff::differentiate;
use nnc::graph::{Graph, parse, print, verify};
use nnc::opt::{cse, dce, optimise, simplify};

fn graph(text: &str) -> Graph<usize> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let graph = parse(&lines.join("\n")).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(verify(&graph), Ok(()), "{text}");
    graph
}

fn normal(text: &str) -> String {
    print(&graph(text))
}

/// For each rule: nodes over two fields `%0`, `%1` (f32[3, 4]) of which the last is the output, and what comes out of
/// all passes. Fields that are no longer needed are gone, so that numbers change.
const RULES: &[(&str, &str, &str)] = &[
    ("half-constant", "%2 = const value=0.1 : bf16[]", "%0 = const value=0.10009765625 : bf16[]"),
    (
        "fold-elementwise",
        "%2 = const value=2.0 : f32[]
         %3 = const value=3.0 : f32[]
         %4 = mul(%2, %3) : f32[]
         %5 = neg(%4) : f32[]
         %6 = lt(%5, %2) : bool[]
         %7 = cast(%6) : f32[]",
        "%0 = const value=1.0 : f32[]",
    ),
    (
        "fold-view",
        "%2 = const value=2.0 : f32[]
         %3 = broadcast(%2) shape=[2, 3] axes=[] : f32[2, 3]
         %4 = transpose(%3) perm=[1, 0] : f32[3, 2]
         %5 = slice(%4) start=[1, 0] size=[2, 2] step=[1, 1] : f32[2, 2]
         %6 = reshape(%5) shape=[4] : f32[4]",
        "%0 = const value=2.0 : f32[]
         %1 = broadcast(%0) shape=[4] axes=[] : f32[4]",
    ),
    (
        "fold-pad",
        "%2 = const value=2.0 : f32[]
         %3 = broadcast(%2) shape=[3] axes=[] : f32[3]
         %4 = pad(%3) low=[1] high=[0] value=2.0 : f32[4]",
        "%0 = const value=2.0 : f32[]
         %1 = broadcast(%0) shape=[4] axes=[] : f32[4]",
    ),
    (
        "fold-reduce",
        "%2 = const value=2.0 : f32[]
         %3 = broadcast(%2) shape=[3, 5] axes=[] : f32[3, 5]
         %4 = sum(%3) axes=[0, 1] : f32[]",
        "%0 = const value=30.0 : f32[]",
    ),
    (
        "neutral-element",
        "%2 = const value=1.0 : f32[]
         %3 = broadcast(%2) shape=[3, 4] axes=[] : f32[3, 4]
         %4 = const value=0.0 : f32[]
         %5 = broadcast(%4) shape=[3, 4] axes=[] : f32[3, 4]
         %6 = mul(%3, %0) : f32[3, 4]
         %7 = add(%6, %5) : f32[3, 4]
         %8 = sub(%7, %5) : f32[3, 4]
         %9 = div(%8, %3) : f32[3, 4]
         %10 = exp(%9) : f32[3, 4]",
        "%0 = field index=0 : f32[3, 4]
         %1 = exp(%0) : f32[3, 4]",
    ),
    (
        "integer-zero",
        "%2 = const value=0 : i32[]
         %3 = broadcast(%2) shape=[5] axes=[] : i32[5]
         %4 = iota size=5 : i32[5]
         %5 = mul(%4, %3) : i32[5]",
        "%0 = const value=0.0 : i32[]
         %1 = broadcast(%0) shape=[5] axes=[] : i32[5]",
    ),
    (
        "minus-one",
        "%2 = const value=-1.0 : f32[]
         %3 = broadcast(%2) shape=[3, 4] axes=[] : f32[3, 4]
         %4 = mul(%0, %3) : f32[3, 4]",
        "%0 = field index=0 : f32[3, 4]
         %1 = neg(%0) : f32[3, 4]",
    ),
    (
        "double-negation",
        "%2 = neg(%0) : f32[3, 4]
         %3 = neg(%2) : f32[3, 4]
         %4 = exp(%3) : f32[3, 4]",
        "%0 = field index=0 : f32[3, 4]
         %1 = exp(%0) : f32[3, 4]",
    ),
    (
        "add-of-negation",
        "%2 = neg(%0) : f32[3, 4]
         %3 = add(%2, %1) : f32[3, 4]",
        "%0 = field index=0 : f32[3, 4]
         %1 = field index=1 : f32[3, 4]
         %2 = sub(%1, %0) : f32[3, 4]",
    ),
    (
        "small-power",
        "%2 = const value=2.0 : f32[]
         %3 = broadcast(%2) shape=[3, 4] axes=[] : f32[3, 4]
         %4 = pow(%0, %3) : f32[3, 4]
         %5 = const value=0.5 : f32[]
         %6 = broadcast(%5) shape=[3, 4] axes=[] : f32[3, 4]
         %7 = pow(%4, %6) : f32[3, 4]",
        "%0 = field index=0 : f32[3, 4]
         %1 = mul(%0, %0) : f32[3, 4]
         %2 = sqrt(%1) : f32[3, 4]",
    ),
    (
        "known-choice",
        "%2 = lt(%0, %1) : bool[3, 4]
         %3 = not(%2) : bool[3, 4]
         %4 = select(%3, %0, %1) : f32[3, 4]
         %5 = select(%2, %4, %4) : f32[3, 4]",
        "%0 = field index=0 : f32[3, 4]
         %1 = field index=1 : f32[3, 4]
         %2 = lt(%0, %1) : bool[3, 4]
         %3 = select(%2, %1, %0) : f32[3, 4]",
    ),
    (
        "same-cast",
        "%2 = exp(%0) : f32[3, 4]
         %3 = cast(%2) : f32[3, 4]",
        "%0 = field index=0 : f32[3, 4]
         %1 = exp(%0) : f32[3, 4]",
    ),
    (
        "widened-cast",
        "%2 = exp(%0) : f32[3, 4]
         %3 = cast(%2) : f64[3, 4]
         %4 = cast(%3) : f16[3, 4]",
        "%0 = field index=0 : f32[3, 4]
         %1 = exp(%0) : f32[3, 4]
         %2 = cast(%1) : f16[3, 4]",
    ),
    (
        "stop-gradient",
        "%2 = stop_gradient(%0) : f32[3, 4]
         %3 = exp(%2) : f32[3, 4]",
        "%0 = field index=0 : f32[3, 4]
         %1 = exp(%0) : f32[3, 4]",
    ),
    (
        "sum-of-copies",
        "%2 = broadcast(%0) shape=[3, 7, 4] axes=[0, 2] : f32[3, 7, 4]
         %3 = sum(%2) axes=[1] : f32[3, 4]",
        "%0 = field index=0 : f32[3, 4]
         %1 = const value=7.0 : f32[]
         %2 = broadcast(%1) shape=[3, 4] axes=[] : f32[3, 4]
         %3 = mul(%0, %2) : f32[3, 4]",
    ),
    (
        "compute-before-broadcast",
        "%2 = clock of=step : f32[]
         %3 = broadcast(%2) shape=[3, 4] axes=[] : f32[3, 4]
         %4 = const value=2.0 : f32[]
         %5 = broadcast(%4) shape=[3, 4] axes=[] : f32[3, 4]
         %6 = mul(%3, %5) : f32[3, 4]
         %7 = exp(%6) : f32[3, 4]",
        "%0 = clock of=step : f32[]
         %1 = const value=2.0 : f32[]
         %2 = mul(%0, %1) : f32[]
         %3 = exp(%2) : f32[]
         %4 = broadcast(%3) shape=[3, 4] axes=[] : f32[3, 4]",
    ),
    (
        "same-shape",
        "%2 = transpose(%0) perm=[0, 1] : f32[3, 4]
         %3 = reshape(%2) shape=[3, 4] : f32[3, 4]
         %4 = broadcast(%3) shape=[3, 4] axes=[0, 1] : f32[3, 4]
         %5 = slice(%4) start=[0, 0] size=[3, 4] step=[1, 1] : f32[3, 4]
         %6 = pad(%5) low=[0, 0] high=[0, 0] value=1.0 : f32[3, 4]
         %7 = exp(%6) : f32[3, 4]",
        "%0 = field index=0 : f32[3, 4]
         %1 = exp(%0) : f32[3, 4]",
    ),
    (
        "transpose-of-transpose",
        "%2 = reshape(%0) shape=[2, 3, 2] : f32[2, 3, 2]
         %3 = transpose(%2) perm=[1, 2, 0] : f32[3, 2, 2]
         %4 = transpose(%3) perm=[1, 0, 2] : f32[2, 3, 2]",
        "%0 = field index=0 : f32[3, 4]
         %1 = reshape(%0) shape=[2, 3, 2] : f32[2, 3, 2]
         %2 = transpose(%1) perm=[2, 1, 0] : f32[2, 3, 2]",
    ),
    (
        "transpose-of-ones",
        "%2 = reshape(%0) shape=[3, 1, 4] : f32[3, 1, 4]
         %3 = transpose(%2) perm=[1, 0, 2] : f32[1, 3, 4]",
        "%0 = field index=0 : f32[3, 4]
         %1 = reshape(%0) shape=[1, 3, 4] : f32[1, 3, 4]",
    ),
    (
        "reshape-of-reshape",
        "%2 = reshape(%0) shape=[12] : f32[12]
         %3 = reshape(%2) shape=[2, 6] : f32[2, 6]",
        "%0 = field index=0 : f32[3, 4]
         %1 = reshape(%0) shape=[2, 6] : f32[2, 6]",
    ),
    (
        "broadcast-of-broadcast",
        "%2 = broadcast(%0) shape=[3, 1, 4] axes=[0, 2] : f32[3, 1, 4]
         %3 = broadcast(%2) shape=[2, 3, 5, 4] axes=[1, 2, 3] : f32[2, 3, 5, 4]",
        "%0 = field index=0 : f32[3, 4]
         %1 = broadcast(%0) shape=[2, 3, 5, 4] axes=[1, 3] : f32[2, 3, 5, 4]",
    ),
    (
        "broadcast-of-unsqueeze",
        "%2 = reshape(%0) shape=[3, 1, 4] : f32[3, 1, 4]
         %3 = broadcast(%2) shape=[3, 5, 4] axes=[0, 1, 2] : f32[3, 5, 4]",
        "%0 = field index=0 : f32[3, 4]
         %1 = broadcast(%0) shape=[3, 5, 4] axes=[0, 2] : f32[3, 5, 4]",
    ),
    (
        "slice-of-slice",
        "%2 = slice(%0) start=[2, 0] size=[3, 2] step=[-1, 2] : f32[3, 2]
         %3 = slice(%2) start=[1, 1] size=[2, 1] step=[1, 1] : f32[2, 1]",
        "%0 = field index=0 : f32[3, 4]
         %1 = slice(%0) start=[1, 2] size=[2, 1] step=[-1, 2] : f32[2, 1]",
    ),
    (
        "slice-of-pad",
        "%2 = exp(%0) : f32[3, 4]
         %3 = pad(%2) low=[1, 0] high=[0, 2] value=9.0 : f32[4, 6]
         %4 = slice(%3) start=[1, 0] size=[3, 4] step=[1, 1] : f32[3, 4]",
        "%0 = field index=0 : f32[3, 4]
         %1 = exp(%0) : f32[3, 4]",
    ),
    (
        "slice-of-concat",
        "%2 = concat(%0, %1) axis=0 : f32[6, 4]
         %3 = slice(%2) start=[4, 0] size=[2, 4] step=[1, 1] : f32[2, 4]",
        "%0 = field index=1 : f32[3, 4]
         %1 = slice(%0) start=[1, 0] size=[2, 4] step=[1, 1] : f32[2, 4]",
    ),
    (
        "concat-of-one",
        "%2 = exp(%0) : f32[3, 4]
         %3 = concat(%2) axis=0 : f32[3, 4]",
        "%0 = field index=0 : f32[3, 4]
         %1 = exp(%0) : f32[3, 4]",
    ),
    (
        "reduce-of-ones",
        "%2 = reshape(%0) shape=[3, 1, 4] : f32[3, 1, 4]
         %3 = max(%2) axes=[1] : f32[3, 4]
         %4 = exp(%3) : f32[3, 4]",
        "%0 = field index=0 : f32[3, 4]
         %1 = exp(%0) : f32[3, 4]",
    ),
];

const FIELDS: &str = "%0 = field index=0 : f32[3, 4]\n%1 = field index=1 : f32[3, 4]\n";

fn last_is_output(nodes: &str) -> String {
    let last = nodes.lines().last().and_then(|line| line.trim().split(' ').next()).unwrap_or("%0");
    format!("{nodes}\nvalue 0 = {last}")
}

#[test]
fn every_rule_does_its_work() {
    for (name, before, after) in RULES {
        let found = print(&optimise(graph(&last_is_output(&format!("{FIELDS}{before}")))));
        assert_eq!(found, normal(&last_is_output(after)), "{name}");
    }
    let tested: Vec<&str> = RULES.iter().map(|(name, ..)| *name).collect();
    let known: Vec<&str> = simplify::rules().map(|rule| rule.name).collect();
    assert_eq!(tested, known, "the rules that are tested, and those that there are");
}

#[test]
fn rules_do_not_touch_what_may_be_nan() {
    let text = last_is_output(&format!(
        "{FIELDS}%2 = const value=0.0 : f32[]
         %3 = broadcast(%2) shape=[3, 4] axes=[] : f32[3, 4]
         %4 = mul(%0, %3) : f32[3, 4]
         %5 = sub(%1, %1) : f32[3, 4]
         %6 = div(%1, %1) : f32[3, 4]
         %7 = add(%4, %5) : f32[3, 4]
         %8 = add(%7, %6) : f32[3, 4]"
    ));
    assert_eq!(optimise(graph(&text)).nodes.len(), 9);
}

#[test]
fn equal_nodes_are_one_and_the_unneeded_are_gone() {
    let text = "
        %0 = field index=0 : f32[3]
        %1 = key : i32[4]
        %2 = uniform(%1) shape=[3] site=5 : f32[3]
        %3 = add(%0, %2) : f32[3]
        %4 = uniform(%1) shape=[3] site=5 : f32[3]
        %5 = uniform(%1) shape=[3] site=6 : f32[3]
        %6 = add(%4, %0) : f32[3]
        %7 = sub(%3, %5) : f32[3]
        %8 = sub(%5, %6) : f32[3]
        %9 = exp(%7) : f32[3]
        value 0 = %7
        value 1 = %8";
    let (merged, gone) = cse(graph(text));
    assert_eq!(gone, 2);
    let after = "
        %0 = field index=0 : f32[3]
        %1 = key : i32[4]
        %2 = uniform(%1) shape=[3] site=5 : f32[3]
        %3 = add(%0, %2) : f32[3]
        %4 = uniform(%1) shape=[3] site=6 : f32[3]
        %5 = sub(%3, %4) : f32[3]
        %6 = sub(%4, %3) : f32[3]
        value 0 = %5
        value 1 = %6";
    assert_eq!(print(&dce(merged)), normal(after));
}

#[test]
fn the_gradient_of_a_linear_layer() {
    let text = "
        scope 1 = net
        %0 = read var=0 : f32[4, 2]
        %1 = field index=0 : f32[3, 4]
        %2 = matmul(%1, %0) batch=0 : f32[3, 2] @0:5-9/1
        %3 = sum(%2) axes=[0, 1] : f32[]
        %4 = gradient(%3, %0) : f32[4, 2]
        value 0 = %3
        update 0 = %4";
    let derived = differentiate(graph(text)).expect("there are rules");
    let product = derived.nodes.iter().rfind(|node| node.ty.shape == [4, 2]).expect("the gradient");
    assert_eq!(product.origin, graph(text).nodes[2].origin, "it comes from where the product comes from");
    let after = "
        scope 1 = net
        %0 = read var=0 : f32[4, 2]
        %1 = field index=0 : f32[3, 4]
        %2 = matmul(%1, %0) batch=0 : f32[3, 2]
        %3 = sum(%2) axes=[0, 1] : f32[]
        %4 = const value=1.0 : f32[]
        %5 = broadcast(%4) shape=[3, 2] axes=[] : f32[3, 2]
        %6 = transpose(%1) perm=[1, 0] : f32[4, 3]
        %7 = matmul(%6, %5) batch=0 : f32[4, 2]
        value 0 = %3
        update 0 = %7";
    assert_eq!(print(&optimise(derived)), normal(after));
}

#[test]
fn graphs_with_gradients_are_left_alone() {
    let text = "
        %0 = field index=0 : f32[]
        %1 = const value=1.0 : f32[]
        %2 = mul(%0, %1) : f32[]
        %3 = exp(%0) : f32[]
        %4 = gradient(%3, %2) : f32[]
        value 0 = %4";
    assert_eq!(optimise(graph(text)), graph(text));
}

#[test]
fn broken_texts_and_graphs_are_named() {
    for (text, line, what) in [
        ("%0 = field index=0 : f32[3]\n%1 = exp(%2) : f32[3]", 2, "no node %2"),
        ("%0 = exponential : f32[3]", 1, "no operation `exponential`"),
        ("%1 = key : i32[4]", 1, "%0 must come next"),
        ("%0 = field : f32[3]", 1, "`index=` is missing"),
        ("%0 = field index=0", 1, "type"),
        ("%0 = field index=0 : f33[3]", 1, "`f33` is no dtype"),
        ("value 0", 1, "`=` is missing"),
    ] {
        let error = parse(text).expect_err(text);
        assert_eq!(error.line, line, "{text}");
        assert!(error.message.contains(what), "{error}");
    }
    for (text, what) in [
        ("%0 = field index=0 : f32[3]\n%1 = exp(%0) : f32[4]", "%1 = exp"),
        ("%0 = field index=0 : f32[3]\n%1 = exp(%0, %0) : f32[3]", "1 operand wanted"),
        ("%0 = field index=0 : i32[3]\n%1 = exp(%0) : i32[3]", "a float"),
        ("%0 = read var=1 : f32[3]\n%1 = const value=1.0 : f32[]\nupdate 1 = %1", "variable 1 is f32[3]"),
        ("%0 = key : i32[4]\nvalue 0 = %0\nvalue 0 = %0", "given twice"),
    ] {
        let broken = parse(text).expect("it can be read");
        let why = verify(&broken).expect_err(text);
        assert!(why.contains(what), "{why}");
    }
}

/// Neighbours differ in one attribute only.
#[test]
fn nodes_that_differ_in_anything_stay_two() {
    let text = "
        %0 = field index=0 : f32[4, 4]
        %1 = field index=1 : f32[4, 4]
        %2 = read var=0 : f32[4]
        %3 = read var=1 : f32[4]
        %4 = iota size=4 : i32[4]
        %5 = slice(%0) start=[1, 0] size=[2, 1] step=[1, 1] : f32[2, 1]
        %6 = slice(%0) start=[1, 0] size=[2, 1] step=[2, 1] : f32[2, 1]
        %7 = slice(%0) start=[1, 0] size=[2, 1] step=[-1, 1] : f32[2, 1]
        %8 = slice(%0) start=[0, 1] size=[2, 1] step=[1, 1] : f32[2, 1]
        %9 = broadcast(%2) shape=[4, 4] axes=[0] : f32[4, 4]
        %10 = broadcast(%2) shape=[4, 4] axes=[1] : f32[4, 4]
        %11 = transpose(%0) perm=[1, 0] : f32[4, 4]
        %12 = transpose(%0) perm=[0, 1] : f32[4, 4]
        %13 = pad(%0) low=[1, 0] high=[0, 1] value=0.0 : f32[5, 5]
        %14 = pad(%0) low=[0, 1] high=[1, 0] value=0.0 : f32[5, 5]
        %15 = pad(%0) low=[1, 0] high=[0, 1] value=1.0 : f32[5, 5]
        %16 = sum(%0) axes=[0] : f32[4]
        %17 = sum(%0) axes=[1] : f32[4]
        %18 = prod(%0) axes=[1] : f32[4]
        %19 = argmax(%0) axis=0 : i32[4]
        %20 = argmax(%0) axis=1 : i32[4]
        %21 = argmin(%0) axis=1 : i32[4]
        %22 = take(%0, %4) axis=0 : f32[4, 4]
        %23 = take(%0, %4) axis=1 : f32[4, 4]
        %24 = scatter_add(%0, %4) axis=0 size=4 : f32[4, 4]
        %25 = scatter_add(%0, %4) axis=1 size=4 : f32[4, 4]
        %26 = pick(%0, %4) axis=0 : f32[4]
        %27 = pick(%0, %4) axis=1 : f32[4]
        %28 = concat(%0, %1) axis=0 : f32[8, 4]
        %29 = concat(%1, %0) axis=0 : f32[8, 4]
        %30 = concat(%0, %1) axis=1 : f32[4, 8]
        %31 = const value=1.0 : f32[]
        %32 = const value=1.0 : f64[]
        %33 = const value=2.0 : f32[]
        %34 = literal values=[1.0, 2.0] : f32[2]
        %35 = literal values=[1.0, 3.0] : f32[2]
        %36 = clock of=step : f32[]
        %37 = clock of=epoch : f32[]
        %38 = clock of=steps : f32[]
        %39 = clock of=epoch_steps : f32[]
        %40 = sub(%0, %1) : f32[4, 4]
        %41 = sub(%1, %0) : f32[4, 4]
        %42 = lt(%0, %1) : bool[4, 4]
        %43 = lt(%1, %0) : bool[4, 4]
        %44 = cast(%0) : f64[4, 4]
        %45 = cast(%0) : f16[4, 4]
        %46 = sum_pool(%0) kernel=[2] stride=[1] dilation=[1] low=[0] high=[1] : f32[4, 4]
        %47 = sum_pool(%0) kernel=[2] stride=[1] dilation=[1] low=[1] high=[0] : f32[4, 4]
        %48 = max_pool(%0) kernel=[2] stride=[1] dilation=[1] low=[1] high=[0] : f32[4, 4]
        %49 = reshape(%0) shape=[2, 8] : f32[2, 8]
        %50 = reshape(%0) shape=[8, 2] : f32[8, 2]
        %51 = key : i32[4]
        %52 = uniform(%51) shape=[2] site=1 : f32[2]
        %53 = uniform(%51) shape=[2] site=2 : f32[2]
        %54 = matmul(%0, %1) batch=0 : f32[4, 4]
        %55 = matmul(%1, %0) batch=0 : f32[4, 4]";
    assert_eq!(cse(graph(text)).1, 0);
    // The same once more, as new nodes over the old: all of them are known.
    let mut twice = graph(text);
    for node in graph(text).nodes {
        twice.push(node.op, node.inputs, node.ty, node.origin);
    }
    assert_eq!(cse(twice).1, 56);
}
