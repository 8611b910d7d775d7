//! Steps that compute new places only: for nets whose places do not look ahead they give what the whole step gives, in f64,
//! place by place and several at once; for all others there is none.

use nnc::build::{Sizes, build_step};
use nnc::check::Task;
use nnc::driver::{self, Options};
use nnc::graph::{Graph, OutputKind, print, verify};
use nnc::interpreter::{Inputs, Interpreter, Tensor, tensor};
use nnc::ops::{Op, VarId};
use nnc::{opt, stages};
use std::path::PathBuf;
use std::sync::OnceLock;

const LENGTH: usize = 7;

/// A program whose net has this body, and which generates.
fn program(body: &str) -> String {
    let members = [
        ("wpe(", "wpe  = Embedding(32, 12)"),
        ("qkv(", "qkv  = Linear(36)"),
        ("|> fc", "fc   = seq { Linear(12); relu; Linear(12) }"),
    ];
    let used = members.iter().filter(|(call, _)| body.contains(call));
    let members: String = used.map(|(_, line)| format!("  {line}\n")).collect();
    format!(
        r#"
model Net(vocab: int) {{
  wte  = Embedding(vocab, 12)
{members}  head = Linear(vocab)
  forward(token: i32[B, T]) -> logits[B, T, vocab] where T <= 32 {{
    x = wte(token)
{body}
  }}
}}
data letters = text("letters.txt", tokenizer: characters(), window: 8)
train {{
  data      = letters
  batch     = 4
  steps     = 1
  net       = Net(data.vocab)
  optimizer = Sgd(lr: 0.1)
  step(token, next) {{ minimize cross_entropy(net(token), next) }}
}}
generate write {{
  data       = letters
  net        = train.net
  max_tokens = 4
  step(token) {{ net(token) }}
}}
"#
    )
}

fn checked(body: &str) -> driver::Checked {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("nnc-incremental-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("letters.txt"), "abcdefg\n".repeat(20)).expect("a file");
        folder
    });
    let options = Options { data_root: Some(folder.clone()), ..Options::default() };
    let checked = driver::check_text("net.nn", program(body), folder, &options);
    let said: Vec<String> = checked.diagnostics.iter().map(|d| d.headline.clone()).collect();
    assert!(!checked.has_errors(), "{body}\n{}", said.join("\n"));
    checked
}

fn task(checked: &driver::Checked) -> &Task {
    checked.program.task("write").expect("the task")
}

/// Numbers without a pattern, between -1 and 1.
fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / (1u64 << 23) as f64 - 1.0
        })
        .collect()
}

fn of(shape: &[usize], elements: Vec<f64>) -> Tensor {
    tensor(shape, elements).expect("a tensor")
}

fn value(graph: &Graph<usize>, inputs: &Inputs) -> Tensor {
    let mut results = Interpreter::run(graph, inputs).expect("a step");
    results.swap_remove(results.iter().position(|r| r.0 == OutputKind::Value(0)).expect("a value")).1
}

fn whole(task: &Task, batch: usize) -> Graph<usize> {
    let all = task.generation.as_ref().and_then(|g| g.all.as_ref()).expect("scores of all places");
    build_step(all, &Sizes::with(task, batch, &[LENGTH])).expect("a graph")
}

/// Values of the variables that a graph reads.
fn values(graph: &Graph<usize>) -> Inputs {
    let mut inputs = Inputs::default();
    for node in &graph.nodes {
        if let Op::Read(var) = node.op {
            let elements = numbers(node.ty.elements(), u64::from(var.0) + 5);
            inputs.vars.insert(var, of(&node.ty.shape, elements));
        }
    }
    inputs
}

#[track_caller]
fn agrees(body: &str, least_kept: usize) {
    let checked = checked(body);
    let task = task(&checked);
    let first = checked.program.vars.len() as u32;
    for (batch, steps) in [(1, vec![1; LENGTH]), (2, vec![1; LENGTH]), (1, vec![4, 1, 2]), (2, vec![3, 3, 1])] {
        let graph = whole(task, batch);
        let token: Vec<f64> = (0..batch * LENGTH).map(|i| ((i * 5 + i / LENGTH) % 8) as f64).collect();
        let mut inputs = values(&graph);
        inputs.fields = vec![of(&[batch, LENGTH], token.clone())];
        let wanted = value(&graph, &inputs);
        let mut kept: Vec<Tensor> = Vec::new();
        let mut start = 0;
        for count in steps {
            let found = stages::extension(task, count, batch, &[LENGTH], first, &mut Vec::new()).expect("builds");
            let found = found.unwrap_or_else(|| panic!("no extension of\n{}", print(&opt::dce(graph.clone()))));
            verify(&found.graph).expect("a sound graph");
            assert!(found.kept.len() >= least_kept, "{} are kept", found.kept.len());
            if kept.is_empty() {
                kept = found.kept.iter().map(|ty| of(&ty.shape, vec![0.0; ty.elements()])).collect();
            }
            let rows = (0..batch).flat_map(|b| token[b * LENGTH + start..][..count].to_vec()).collect();
            inputs.fields = vec![of(&[batch, count], rows), of(&[], vec![start as f64])];
            for (i, tensor) in kept.iter().enumerate() {
                inputs.vars.insert(VarId(first + i as u32), tensor.clone());
            }
            for (kind, result) in Interpreter::run(&found.graph, &inputs).expect("a step") {
                match kind {
                    OutputKind::Update(var) => kept[(var.0 - first) as usize] = result,
                    OutputKind::Value(_) => {
                        let part = ndarray::Slice::from(start..start + count);
                        let part = wanted.slice_axis(ndarray::Axis(1), part);
                        assert_eq!(result.shape(), part.shape());
                        for (a, b) in result.iter().zip(part.iter()) {
                            assert!((a - b).abs() < 1e-12 * b.abs().max(1.0), "{a} is not {b}, from place {start}");
                        }
                    }
                }
            }
            start += count;
        }
    }
}

#[track_caller]
fn refused(body: &str) {
    let checked = checked(body);
    let found = stages::extension(task(&checked), 1, 1, &[LENGTH], 99, &mut Vec::new()).expect("builds");
    assert!(found.is_none(), "{body}\n{}", found.map_or(String::new(), |f| print(&f.graph)));
}

#[test]
fn places_alone_keep_nothing() {
    agrees("    x + wpe(range(T)) |> fc |> head", 0);
    agrees("    head(cumsum(x, axis: 2) + softmax(x))", 0);
    agrees("    y = pad(x, [0, 0, 1], [0, 0, 2])\n    head(y[:, :, 1:13])", 0);
}

#[test]
fn causal_attention_keeps_keys_and_values() {
    let one =
        "    (q, k, v) = split(qkv(x + wpe(range(T))), 3)\n    x + attention(q, k, v, causal: true) |> fc |> head";
    agrees(one, 2);
    let heads = "    (q, k, v) = qkv(x) |> rearrange(\"b t (three h d) -> three b h t d\", three: 3, h: 4)
    head(x + rearrange(attention(q, k, v, causal: true), \"b h t d -> b t (h d)\"))";
    agrees(heads, 2);
    let two = "    (q, k, v) = split(qkv(x), 3)
    y = x + attention(q, k, v, causal: true)
    (q2, k2, v2) = split(qkv(y), 3)
    head(y + attention(q2, k2, v2, causal: true))";
    agrees(two, 4);
}

#[test]
fn masks_in_other_forms() {
    let start = "    (q, k, v) = split(qkv(x), 3)\n    scores = q @ transpose(k)\n";
    let sum = "where(causal_mask(T, T), 0.0, -1e30)";
    agrees(&format!("{start}    head(softmax(scores + {sum}) @ v)"), 2);
    // A window over the last places.
    let near = "range(T) > unsqueeze(range(T), -1) - 3";
    agrees(
        &format!("{start}    m = causal_mask(T, T) and ({near})\n    head(softmax(where(m, scores, -1e30)) @ v)"),
        2,
    );
    // Weights that are not exponentials.
    agrees(&format!("{start}    head(where(causal_mask(T, T), sigmoid(scores), 0.0) @ v)"), 2);
    // What is looked at depends on what is there.
    let seen = "    m = causal_mask(T, T) and unsqueeze(token != 3, 1)\n";
    agrees(&format!("{start}{seen}    head(where(m, sigmoid(scores), 0.0) @ v)"), 2);
    let before = "range(T) < unsqueeze(range(T), -1) + 1";
    agrees(&format!("{start}    head(softmax(where({before}, scores, -1e30)) @ v)"), 2);
    // Rows and columns the other way around.
    let turned = "    scores = k @ transpose(q)\n    m = transpose(causal_mask(T, T))\n    w = softmax(where(m, scores, -1e30), axis: 1)";
    agrees(&format!("    (q, k, v) = split(qkv(x), 3)\n{turned}\n    head(transpose(w) @ v)"), 2);
}

#[test]
fn a_place_that_looks_ahead_is_never_cut() {
    let start = "    (q, k, v) = split(qkv(x), 3)\n    scores = q @ transpose(k)\n";
    refused("    (q, k, v) = split(qkv(x), 3)\n    head(x + attention(q, k, v))");
    refused(&format!("{start}    head(softmax(where(transpose(causal_mask(T, T)), scores, -1e30)) @ v)"));
    // Where nothing is seen all weights are equal, those of later places too.
    let seen = "    m = causal_mask(T, T) and unsqueeze(token != 3, 1)\n";
    refused(&format!("{start}{seen}    head(softmax(where(m, scores, -1e30)) @ v)"));
    let both = "where(causal_mask(T, T), where(unsqueeze(token != 3, 1), scores, -1e30), -1e30)";
    refused(&format!("{start}    head(softmax({both}) @ v)"));
    refused(&format!("{start}    head(softmax(where(unsqueeze(range(T), -1) > range(T), scores, -1e30)) @ v)"));
    // One place ahead.
    let next = "unsqueeze(range(T) + 1, -1) >= range(T)";
    refused(&format!("{start}    head(softmax(where({next}, scores, -1e30)) @ v)"));
    // Not low enough to be 0.
    refused(&format!("{start}    head(softmax(where(causal_mask(T, T), scores, -10.0)) @ v)"));
    // Low, but not an exponential.
    refused(&format!("{start}    head(where(causal_mask(T, T), scores, -1e30) @ v)"));
    // The mask holds for `or` only where nothing else lets through.
    let or = "causal_mask(T, T) or unsqueeze(token == 3, 1)";
    refused(&format!("{start}    head(softmax(where({or}, scores, -1e30)) @ v)"));
    refused("    head(x + unsqueeze(mean(x, axis: 1), 1))");
    refused("    head(cumsum(x, axis: 1))");
    refused("    head(flip(x, axis: 1))");
    refused("    head(x[:, ::-1])");
    refused("    head(x - max(x))");
}
