//! Recurrent layers written with `scan` against PyTorch's, values and gradients, on both targets; where the reference
//! vectors are (see `tests/oracle.rs`).

use crate::programs::{Field, predict};
use nnc::engine::{Target, bytes};
use nnc::ops::DType;
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};

const CELLS: &str = "
fn rnn(x: f32[AXES], h0: f32[B, H], w: f32[H, D], u: f32[H, H], b: f32[H], d: f32[H], direction: int) -> f32[OUT] {
  scan x_t in x along T by direction with h = h0 {
    h = NONLINEARITY(linear(x_t, w, b) + linear(h, u, d))
    yield h
  }
}

fn gru(x: f32[AXES], h0: f32[B, H], w: f32[3 * H, D], u: f32[3 * H, H], b: f32[3 * H], d: f32[3 * H], direction: int) -> f32[OUT] {
  scan x_t in x along T by direction with h = h0 {
    (r, z, n)    = split(linear(x_t, w, b), 3, axis: -1)
    (hr, hz, hn) = split(linear(h, u, d), 3, axis: -1)
    n = tanh(n + sigmoid(r + hr) * hn)
    z = sigmoid(z + hz)
    h = (1 - z) * n + z * h
    yield h
  }
}

fn lstm(x: f32[AXES], h0: f32[B, H], c0: f32[B, H], w: f32[4 * H, D], u: f32[4 * H, H], b: f32[4 * H], d: f32[4 * H], direction: int) -> (f32[OUT], f32[OUT]) {
  scan x_t in x along T by direction with h = h0, c = c0 {
    (i, f, g, o) = split(linear(x_t, w, b) + linear(h, u, d), 4, axis: -1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)
    yield h, c
  }
}
";

fn directory() -> Option<PathBuf> {
    let given = std::env::var_os("NNC_ORACLE").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/oracle");
    given.into_iter().chain([beside]).find(|path| path.join("index.json").is_file())
}

struct Case {
    id: String,
    op: String,
    params: serde_json::Value,
    /// `in.x`, `out.y`, `ct.y`, `grad.x`
    tensors: Vec<(String, Vec<usize>, Vec<f64>)>,
}

impl Case {
    fn has(&self, name: &str) -> bool {
        self.tensors.iter().any(|t| t.0 == name)
    }

    fn named<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a [usize], &'a [f64])> {
        let strip = move |t: &'a (String, Vec<usize>, Vec<f64>)| {
            Some((t.0.strip_prefix(kind)?, t.1.as_slice(), t.2.as_slice()))
        };
        self.tensors.iter().filter_map(strip)
    }

    /// A program that computes the outputs, then the gradients.
    fn program(&self) -> (String, Vec<Field>, Vec<String>) {
        let flag = |name: &str| self.params[name].as_bool() == Some(true);
        let layers = self.params["num_layers"].as_u64().unwrap_or(1);
        let (first, both, lstm) = (flag("batch_first"), flag("bidirectional"), self.op == "lstm");
        let (axes, out) = if first { ("B, T, D", "B, T, H") } else { ("T, B, D", "T, B, H") };
        let nonlinearity = self.params["nonlinearity"].as_str().unwrap_or("tanh");
        let cells = CELLS.replace("AXES", axes).replace("OUT", out).replace("NONLINEARITY", nonlinearity);

        let mut fields = Vec::new();
        for (kind, prefix) in [("in.", ""), ("ct.", "ct_")] {
            for (name, shape, values) in self.named(kind) {
                let name = format!("{prefix}{name}");
                fields.push(Field { name, dtype: DType::F32, shape: shape.to_vec(), values: values.to_vec() });
            }
        }
        let mut body = String::new();
        let (mut input, mut last, mut last_c) = ("x".to_string(), Vec::new(), Vec::new());
        for layer in 0..layers {
            let mut parts = Vec::new();
            for (way, direction) in ["", "_reverse"].iter().zip(["1", "-1"]).take(1 + usize::from(both)) {
                let row = layer as usize * (1 + usize::from(both)) + parts.len();
                let name = format!("y_{layer}{way}");
                let weights = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"].map(|w| format!("{w}_l{layer}{way}"));
                let weights = weights.join(", ");
                let end = if direction == "1" { "-1" } else { "0" };
                let place = if first { format!("[:, {end}]") } else { format!("[{end}]") };
                if lstm {
                    body += &format!(
                        "    ({name}, c_{name}) = lstm({input}, h0[{row}], c0[{row}], {weights}, direction: {direction})\n"
                    );
                    last_c.push(format!("unsqueeze(c_{name}{place}, 0)"));
                } else {
                    let op = &self.op;
                    body += &format!("    {name} = {op}({input}, h0[{row}], {weights}, direction: {direction})\n");
                }
                last.push(format!("unsqueeze({name}{place}, 0)"));
                parts.push(name);
            }
            body += &format!("    y_{layer}_all = concat([{}], axis: -1)\n", parts.join(", "));
            input = format!("y_{layer}_all");
        }
        body += &format!("    y = {input}\n    h_n = concat([{}], axis: 0)\n", last.join(", "));
        let mut loss = "sum(y * ct_y) + sum(h_n * ct_h_n)".to_string();
        let mut values = vec!["y".to_string(), "h_n".to_string()];
        if lstm {
            body += &format!("    c_n = concat([{}], axis: 0)\n", last_c.join(", "));
            loss += " + sum(c_n * ct_c_n)";
            values.push("c_n".into());
        }
        body += &format!("    loss = {loss}\n");
        let mut names: Vec<String> = values.iter().map(|v| format!("out.{v}")).collect();
        for (name, _, _) in self.named("grad.") {
            values.push(format!("grad(loss, by: {name})"));
            names.push(format!("grad.{name}"));
        }
        let list: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
        let text = format!(
            "{cells}\npredict {{\n  data = given()\n  step({}) {{\n{body}    ({})\n  }}\n}}\n",
            list.join(", "),
            values.join(", ")
        );
        (text, fields, names)
    }
}

fn load(directory: &Path) -> Vec<Case> {
    let index = std::fs::read_to_string(directory.join("index.json")).expect("an index");
    let index: serde_json::Value = serde_json::from_str(&index).expect("JSON");
    let list = index.as_array().or_else(|| index["cases"].as_array()).expect("a list of cases");
    let mut cases = Vec::new();
    for entry in list {
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_string();
        if !["rnn", "gru", "lstm"].contains(&text("op").as_str()) {
            continue;
        }
        let bytes = std::fs::read(directory.join(text("file"))).expect("the case's file");
        let file = SafeTensors::deserialize(&bytes).expect("tensors");
        let values = |view: &safetensors::tensor::TensorView| bytes::to_f64(DType::F32, view.data());
        let mut tensors: Vec<_> =
            file.tensors().iter().map(|(n, v)| (n.clone(), v.shape().to_vec(), values(v))).collect();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        let case = Case { id: text("id"), op: text("op"), params: entry["params"].clone(), tensors };
        assert!(case.has("in.x"), "{}", case.id);
        cases.push(case);
    }
    cases
}

#[test]
fn recurrent_layers_agree_with_pytorch() {
    let Some(directory) = directory() else {
        println!("skipped: no reference vectors; set NNC_ORACLE to their folder");
        return;
    };
    let cases = load(&directory);
    assert!(!cases.is_empty());
    for case in &cases {
        let (text, fields, names) = case.program();
        for (target, forward, backward) in [(Target::Interpreter, 1e-6, 1e-6), (Target::Cpu, 1e-5, 1e-4)] {
            let found = predict(&text, &fields, target, 1);
            assert_eq!(found.len(), names.len(), "{}\n{text}", case.id);
            for (name, (values, _)) in names.iter().zip(&found) {
                let wanted = &case.tensors.iter().find(|t| t.0 == *name).expect("a reference").2;
                let tolerance = if name.starts_with("out") { forward } else { backward };
                assert_eq!(values.len(), wanted.len(), "{}: {name}", case.id);
                for (a, b) in values.iter().zip(wanted) {
                    let fits = (a - b).abs() <= tolerance * (1.0 + b.abs());
                    assert!(fits, "{} on {target:?}: {name}: {a}, PyTorch {b}", case.id);
                }
            }
            if target == Target::Cpu {
                let two = predict(&text, &fields, target, 2);
                assert!(found.iter().zip(&two).all(|(a, b)| a.1 == b.1), "{}: threads change the result", case.id);
            }
        }
    }
    println!("{} cases", cases.len());
}
