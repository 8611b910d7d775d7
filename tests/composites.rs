//! Functions and layers of the standard library, from their own declarations: their arguments are drawn with random sizes, 0 and 1
//! among them, and their gradients compared with finite differences, in f64 on the interpreter.

use std::collections::BTreeMap;
use std::path::Path;

use nnc::check::LIBRARY_FILES;
use nnc::driver::{self, Options};
use nnc::engine::{ClockValues, Engine, Entry, StepInputs, Target, VarTensor, bytes};
use nnc::ops::{DType, VarId};
use nnc::source::FileId;
use nnc::syntax;
use nnc::syntax::ast::{BinaryOp, DimExpr, Expr, ExprKind, ItemKind, Param, TypeExpr, TypeKind};

/// A small generator of its own, so that failures repeat.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, n: usize) -> usize {
        (self.unit() * n as f64) as usize
    }
}

/// A function, or a layer with its hyper-parameters.
struct Item {
    name: String,
    params: Vec<Param>,
    hypers: Option<Vec<Param>>,
    result: Option<TypeExpr>,
}

fn items() -> Vec<Item> {
    let mut all = Vec::new();
    for (_, text) in LIBRARY_FILES {
        let (file, _) = syntax::parse(text, FileId(0));
        for item in file.items {
            match item.kind {
                ItemKind::Fn(f) => {
                    all.push(Item { name: f.name.name, params: f.params, hypers: None, result: f.result });
                }
                ItemKind::Layer(l) => {
                    if let Some(forward) = l.forward {
                        let hypers = Some(l.params);
                        all.push(Item { name: l.name.name, params: forward.params, hypers, result: forward.result });
                    }
                }
                _ => {}
            }
        }
    }
    all
}

/// Values for what has no default, by name, or by item and name. Where an item needs sizes that fit its numbers, those too.
const GIVEN: &[(&str, &str)] = &[
    ("kernel", "2"),
    ("out", "2"),
    ("factor", "2"),
    ("size", "3"),
    ("k", "2"),
    ("heads", "1"),
    ("groups", "1"),
    ("hidden", "3"),
    ("width", "2"),
    ("height", "2"),
    ("count", "4"),
    ("context", "8"),
    ("level", "0.1"),
    ("value", "0.5"),
    ("weight", "0.3"),
    ("window", "4"),
    ("hop", "2"),
    ("rate", "400"),
    ("n", "3"),
    ("p", "0.5"),
    ("bias", "true"),
    ("bidirectional", "true"),
    ("dropout", "0"),
    ("pass", "RnnPass(3)"),
    ("back", "RnnPass(3, direction: -1)"),
    ("normalize.mean", "[0.1, 0.2]"),
    ("normalize.std", "[0.5, 0.6]"),
    ("log_mel.bands", "2"),
];

/// Sizes that an item's numbers demand.
const SIZES: &[(&str, &[(&str, usize)])] = &[
    ("normalize", &[("C", 2)]),
    ("pixel_shuffle", &[("C", 4)]),
    ("pixel_unshuffle", &[("H", 4), ("W", 2)]),
    ("random_crop", &[("H", 4), ("W", 5)]),
    ("cubic_tap", &[("N", 3)]),
    ("picked", &[("N", 4), ("R", 2), ("S", 3)]),
    ("log_mel", &[("N", 5)]),
    ("ctc", &[("T", 5), ("C", 3), ("S", 2)]),
    ("RecurrentLink", &[("N", 2), ("T", 2)]),
    ("LstmLink", &[("N", 2), ("T", 2)]),
    ("Embedding", &[("count", 4)]),
    ("gru_step", &[("H", 2)]),
    ("rotary", &[("D", 4)]),
    ("top_k_accuracy", &[("C", 6)]),
    ("confusion_matrix", &[("C", 3)]),
    ("lstm_step", &[("H", 2)]),
];

/// What floats an item takes: from, to.
const DOMAINS: &[(&str, (f64, f64))] = &[
    ("rsqrt", (0.3, 2.0)),
    ("reciprocal", (0.3, 2.0)),
    ("log1p", (-0.5, 2.0)),
    ("log2", (0.3, 2.0)),
    ("log10", (0.3, 2.0)),
    ("asin", (-0.8, 0.8)),
    ("acos", (-0.8, 0.8)),
    ("inverse_erf", (-0.8, 0.8)),
    ("binary_nll", (0.2, 0.8)),
    ("gaussian_nll", (0.2, 1.5)),
    ("poisson_nll", (0.2, 1.5)),
    ("kl_div", (0.2, 0.8)),
    ("cubic_tap", (0.2, 0.8)),
    ("fmod", (0.3, 2.0)),
    ("picked", (0.0, 1.0)),
];

/// Whose derived gradient is not the slope, on purpose or by nature, with the reason.
const OTHERWISE: &[(&str, &str)] = &[
    ("distillation", "the teacher gets no gradient"),
    ("bernoulli", "a draw jumps"),
    ("R2", "its state moves as a metric only"),
    ("roc_auc", "labels that do not occur divide by 0"),
    ("average_precision", "labels that do not occur divide by 0"),
];

fn size_of(expr: &Expr, sizes: &BTreeMap<String, usize>) -> Option<usize> {
    match &expr.kind {
        ExprKind::Int(n, None) => usize::try_from(*n).ok(),
        ExprKind::Name(name) => sizes.get(name).copied(),
        ExprKind::Binary { op, left, right, .. } => {
            let (a, b) = (size_of(left, sizes)?, size_of(right, sizes)?);
            match op {
                BinaryOp::Add => Some(a + b),
                BinaryOp::Mul => Some(a * b),
                BinaryOp::Sub => a.checked_sub(b),
                BinaryOp::Div => a.checked_div(b),
                _ => None,
            }
        }
        _ => None,
    }
}

fn names_in(expr: &Expr, names: &mut Vec<String>) {
    match &expr.kind {
        ExprKind::Name(name) if !names.contains(name) => names.push(name.clone()),
        ExprKind::Binary { left, right, .. } => {
            names_in(left, names);
            names_in(right, names);
        }
        _ => {}
    }
}

/// The dtype that a declared tensor has here: every float is f64.
fn tensor_type(ty: &TypeExpr) -> Option<(DType, &[DimExpr])> {
    let TypeKind::Named { base, dims: Some(dims), .. } = &ty.kind else {
        return matches!(&ty.kind, TypeKind::Named { base, .. } if base.name == "f32").then_some((DType::F64, &[]));
    };
    match base.name.as_str() {
        "f32" | "logits" | "probs" | "log_probs" => Some((DType::F64, dims)),
        "i32" => Some((DType::I32, dims)),
        "bool" => Some((DType::Bool, dims)),
        _ => None,
    }
}

struct Case {
    text: String,
    /// Inputs by name.
    inputs: Vec<(String, VarTensor)>,
    floats: Vec<String>,
}

fn given(item: &str, param: &str) -> Option<String> {
    let own = format!("{item}.{param}");
    GIVEN.iter().find(|g| g.0 == own).or_else(|| GIVEN.iter().find(|g| g.0 == param)).map(|g| g.1.to_string())
}

/// A program with the item, with sizes and values drawn; none if it takes no floats or something unknown.
fn case(item: &Item, random: &mut Random) -> Result<Case, String> {
    let mut sizes: BTreeMap<String, usize> = BTreeMap::new();
    for hyper in item.hypers.iter().flatten() {
        if let Some(n) = given(&item.name, &hyper.name.name).and_then(|t| t.parse().ok()) {
            sizes.insert(hyper.name.name.clone(), n);
        }
    }
    let fixed = SIZES.iter().find(|s| s.0 == item.name).map_or(&[][..], |s| s.1);
    sizes.extend(fixed.iter().map(|(n, size)| (n.to_string(), *size)));
    let mut rests: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let (low, high) = DOMAINS.iter().find(|d| d.0 == item.name).map_or((-1.5, 1.5), |d| d.1);
    let (mut inputs, mut floats, mut args) = (Vec::new(), Vec::new(), Vec::new());
    let mut declared = String::new();
    let mut flat: Vec<(String, &TypeExpr)> = Vec::new();
    for param in item.params.iter().filter(|p| p.default.is_none()) {
        let name = &param.name.name;
        match param.ty.as_ref().map(|t| &t.kind) {
            Some(TypeKind::Tuple(parts)) => {
                let names: Vec<String> = (0..parts.len()).map(|i| format!("in_{name}_{i}")).collect();
                args.push(format!("({})", names.join(", ")));
                flat.extend(names.into_iter().zip(parts));
            }
            _ => match param.ty.as_ref().filter(|t| tensor_type(t).is_some()) {
                Some(ty) => {
                    args.push(format!("in_{name}"));
                    flat.push((format!("in_{name}"), ty));
                }
                None => args.push(given(&item.name, name).ok_or(format!("no value for `{name}`"))?),
            },
        }
    }
    // All sizes first, so that indices know how many there are.
    let mut shaped = Vec::new();
    for (name, ty) in flat {
        let (dtype, dims) = tensor_type(ty).ok_or("a tuple of something else")?;
        let mut shape = Vec::new();
        for dim in dims {
            match dim {
                DimExpr::Rest(rest, _) => {
                    let rest = rest.as_ref().map_or("", |r| &r.name).to_string();
                    let drawn: Vec<usize> = (0..random.below(3)).map(|_| [0, 1, 2, 3][random.below(4)]).collect();
                    shape.extend(rests.entry(rest).or_insert(drawn).clone());
                }
                DimExpr::Size(expr) => {
                    let mut names = Vec::new();
                    names_in(expr, &mut names);
                    for name in names {
                        let drawn = [0, 1, 1, 2, 2, 3, 3, 4, 5][random.below(9)];
                        sizes.entry(name).or_insert(drawn);
                    }
                    shape.push(size_of(expr, &sizes).ok_or("a size that is not known")?);
                }
            }
        }
        shaped.push((name, dtype, shape));
    }
    for (name, dtype, shape) in shaped {
        let count: usize = shape.iter().product();
        let bound = ["C", "count"].iter().find_map(|n| sizes.get(*n).copied()).unwrap_or(2);
        if dtype == DType::I32 && count > 0 && bound == 0 {
            return Err("nothing to name".into());
        }
        let values: Vec<f64> = (0..count)
            .map(|_| match dtype {
                DType::F64 => low + (high - low) * random.unit(),
                DType::I32 => random.below(bound) as f64,
                _ => random.below(2) as f64,
            })
            .collect();
        let text: Vec<String> = shape.iter().map(usize::to_string).collect();
        let first = if dtype == DType::Bool { "false" } else { "0" };
        declared += &format!("  state {name}: {dtype}[{}] = {first}\n", text.join(", "));
        if dtype == DType::F64 {
            floats.push(name.clone());
        }
        let bytes = bytes::from_f64(dtype, values.into_iter());
        inputs.push((name, VarTensor { dtype, shape, bytes }));
    }
    let mut called = item.name.clone();
    if let Some(hypers) = &item.hypers {
        let mut set = Vec::new();
        for hyper in hypers.iter().filter(|h| h.default.is_none()) {
            let name = &hyper.name.name;
            set.push(format!("{name}: {}", given(&item.name, name).ok_or(format!("no value for `{name}`"))?));
        }
        declared += &format!("  body = {}({})\n", item.name, set.join(", "));
        called = "body".into();
    }
    let parts = match item.result.as_ref().map(|r| &r.kind) {
        Some(TypeKind::Tuple(parts)) => (0..parts.len()).map(|i| format!("made[{i}]")).collect(),
        _ if matches!(item.name.as_str(), "RecurrentLink" | "lstm_step") => vec!["made[0]".into(), "made[1]".into()],
        _ if item.name == "LstmLink" => vec!["made[0]".into(), "made[1]".into(), "made[2]".into()],
        _ => vec!["made".to_string()],
    };
    let terms: Vec<String> = parts.iter().map(|p| format!("sum(sin(1.1 * {p} + 0.3))")).collect();
    let slopes: Vec<String> = floats.iter().map(|f| format!(", grad(total, by: {f})")).collect();
    let text = format!(
        "model Case {{\n{declared}  forward() {{\n    made = {called}({})\n    total = {}\n    (total{})\n  }}\n}}\n\n\
         predict {{\n  net = Case()\n  step() {{ net() }}\n}}\n",
        args.join(", "),
        terms.join(" + "),
        slopes.concat()
    );
    Ok(Case { text, inputs, floats })
}

enum Verdict {
    Fine,
    /// Nothing to compare, and why.
    Empty(String),
    Wrong(String),
}

fn verdict(case: &Case) -> Verdict {
    let checked = driver::check_text("case.nn", case.text.clone(), Path::new(""), &Options::default());
    if checked.has_errors() {
        let said: Vec<String> = checked.diagnostics.iter().map(|d| format!("{} {}", d.code.id, d.headline)).collect();
        return Verdict::Empty(said.join("; "));
    }
    let mut engine = match driver::engine(&checked, "predict", Target::Interpreter, 1) {
        Ok(engine) => engine,
        Err(fault) => return Verdict::Wrong(fault.headline.clone()),
    };
    if let Err(fault) = engine.initialise(0) {
        return Verdict::Wrong(fault.headline.clone());
    }
    let var = |name: &str| {
        let path = format!("net.{name}");
        checked.program.vars.iter().position(|v| v.path == path).map(|i| VarId(i as u32))
    };
    let used = |id: &VarId| checked.program.tasks.iter().any(|t| t.vars.contains(id));
    for (name, value) in &case.inputs {
        if let Some(id) = var(name).filter(used) {
            engine.set_var(id, value);
        }
    }
    let step = |engine: &mut dyn Engine| {
        let clock = ClockValues { step: 0, steps: 1, epoch_steps: 1, ..ClockValues::default() };
        engine.run(Entry::Eval, 0, &StepInputs { fields: &[], lengths: &[], clock, seed: 1 })
    };
    let read = |engine: &dyn Engine, i: usize| {
        let value = engine.value(i);
        bytes::to_f64(value.dtype, &value.bytes)
    };
    if let Err(fault) = step(&mut *engine) {
        return Verdict::Wrong(format!("{} {:?}", fault.headline, fault.notes));
    }
    if !read(&*engine, 0)[0].is_finite() {
        return Verdict::Empty("the result is not finite".into());
    }
    let derived: Vec<Vec<f64>> = (0..case.floats.len()).map(|i| read(&*engine, i + 1)).collect();
    for (name, slopes) in case.floats.iter().zip(&derived) {
        let Some((id, (_, value))) = var(name).filter(used).zip(case.inputs.iter().find(|(n, _)| n == name)) else {
            continue;
        };
        let values = bytes::to_f64(value.dtype, &value.bytes);
        for place in (0..values.len()).step_by(values.len().div_ceil(5).max(1)) {
            let mut at = |by: f64| {
                let mut moved = values.clone();
                moved[place] += by;
                let bytes = bytes::from_f64(value.dtype, moved.into_iter());
                engine.set_var(id, &VarTensor { bytes, ..value.clone() });
                step(&mut *engine).map(|()| read(&*engine, 0)[0])
            };
            let (Ok(above), Ok(below)) = (at(1e-7), at(-1e-7)) else { return Verdict::Wrong("a step failed".into()) };
            let measured = (above - below) / 2e-7;
            if (measured - slopes[place]).abs() > 1e-5 * (1.0 + measured.abs()) {
                let what = format!("by `{name}` at {place}: derived {}, measured {measured}", slopes[place]);
                return Verdict::Wrong(what);
            }
        }
        engine.set_var(id, value);
    }
    Verdict::Fine
}

#[test]
fn gradients_of_the_library_agree_with_differences() {
    let samples: u64 = std::env::var("NNC_SAMPLES").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    // So many that could be compared are enough of an item.
    let enough = samples.div_ceil(4);
    let only = std::env::var("NNC_ONLY").ok();
    let (mut wrong, mut never, mut fine) = (Vec::new(), Vec::new(), 0);
    for (number, item) in items().iter().enumerate() {
        let whole = |t: &TypeExpr| tensor_type(t).is_some_and(|(d, _)| d != DType::F64);
        let about_floats = item.params.iter().any(|p| {
            p.default.is_none()
                && p.ty.as_ref().is_some_and(|t| {
                    tensor_type(t).is_some_and(|(d, _)| d == DType::F64) || matches!(t.kind, TypeKind::Tuple(_))
                })
        });
        if !about_floats
            || item.result.as_ref().is_some_and(whole)
            || OTHERWISE.iter().any(|o| o.0 == item.name)
            || only.as_ref().is_some_and(|o| *o != item.name)
        {
            continue;
        }
        let mut reason = String::new();
        let mut some = 0;
        for sample in 0..samples {
            if some >= enough {
                break;
            }
            let mut random = Random(1000 * number as u64 + sample);
            match case(item, &mut random).map(|case| (verdict(&case), case)) {
                Err(why) | Ok((Verdict::Empty(why), _)) => reason = why,
                Ok((Verdict::Fine, _)) => {
                    some += 1;
                    fine += 1;
                }
                Ok((Verdict::Wrong(why), case)) => wrong.push(format!("{}: {why}\n{}", item.name, case.text)),
            }
        }
        // What has no gradient at all is told so while checking.
        if some == 0 && !reason.contains("E05") {
            never.push(format!("{}: {reason}", item.name));
        }
    }
    eprintln!("{fine} samples agree");
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(never.is_empty(), "no sample of these could be compared:\n{}", never.join("\n"));
}
