//! A program around an item, with everything drawn: sizes (0 and 1 among them), shapes that stretch, choices, numbers.

use std::collections::BTreeMap;

use nnc::engine::{VarTensor, bytes};
use nnc::ops::DType;
use nnc::syntax::ast::{BinaryOp, DimExpr, Expr, ExprKind, Param, TypeExpr, TypeKind};

use crate::declarations::{Item, tensor_type, words};
use crate::tables::{DOMAINS, FEWEST, GIVEN, ONLY, OTHERS, SEVERED, SIZES, STRETCHED};

/// A small generator of its own, so that failures repeat.
pub struct Random(pub u64);

impl Random {
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.unit() * n as f64) as usize
    }

    /// Far from 0, on either side: what a parameter begins with has no value that is special.
    pub fn signed(&mut self) -> f64 {
        (0.3 + self.unit()) * if self.below(2) == 0 { -1.0 } else { 1.0 }
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// How the gradients of a sample are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// `grad` in a task that predicts.
    Evaluation,
    /// `minimize` in a task that trains, where inputs are parameters too.
    Training,
}

pub struct Case {
    pub text: String,
    pub phase: Phase,
    /// Inputs by name.
    pub inputs: Vec<(String, VarTensor)>,
    /// Those of them whose gradients are asked for.
    pub floats: Vec<String>,
}

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

/// The sizes of a sample so far.
struct Sizes<'a> {
    item: &'a str,
    named: BTreeMap<String, usize>,
    rests: BTreeMap<String, Vec<usize>>,
    /// What shapes of different names are parts of.
    whole: Vec<usize>,
    /// Whether there are several.
    several: bool,
}

impl Sizes<'_> {
    fn named(&mut self, name: &str, random: &mut Random) -> usize {
        *self.named.entry(name.to_string()).or_insert_with(|| *random.of(&[0, 1, 1, 2, 2, 3, 3, 4, 5]))
    }

    /// A shape that stretches to the whole one: leading axes may be absent, and any axis of size 1.
    fn part(whole: &[usize], random: &mut Random) -> Vec<usize> {
        let absent = if random.below(3) == 0 { random.below(whole.len() + 1) } else { 0 };
        whole[absent..].iter().map(|n| if random.below(3) == 0 { 1 } else { *n }).collect()
    }

    fn rest(&mut self, name: &str, random: &mut Random) -> Vec<usize> {
        if let Some(known) = self.rests.get(name) {
            return known.clone();
        }
        let stretched = STRETCHED.iter().find(|s| s.0 == self.item && s.1 == name).map(|s| s.2);
        let drawn = if let Some(to) = stretched {
            let mut whole = Vec::new();
            for axis in to.split(' ') {
                match axis.strip_prefix("..") {
                    Some(rest) => whole.extend(self.rest(rest, random)),
                    None => whole.push(self.named(axis, random)),
                }
            }
            Self::part(&whole, random)
        } else if self.several && (!self.rests.is_empty() || random.below(3) == 0) {
            Self::part(&self.whole, random)
        } else {
            self.whole.clone()
        };
        self.rests.insert(name.to_string(), drawn.clone());
        drawn
    }

    fn shape(&mut self, dims: &[DimExpr], random: &mut Random) -> Option<Vec<usize>> {
        let mut shape = Vec::new();
        for dim in dims {
            match dim {
                DimExpr::Rest(rest, _) => shape.extend(self.rest(rest.as_ref().map_or("", |r| &r.name), random)),
                DimExpr::Size(expr) => {
                    let mut names = Vec::new();
                    names_in(expr, &mut names);
                    for name in names {
                        self.named(&name, random);
                    }
                    shape.push(size_of(expr, &self.named)?);
                }
            }
        }
        Some(shape)
    }
}

/// The value that a table has for a parameter of an item, if it must have one.
fn given(item: &str, param: &Param) -> Option<String> {
    let name = &param.name.name;
    let own = format!("{item}.{name}");
    let all = GIVEN.iter().filter(|_| param.default.is_none()).find(|g| g.0 == name);
    GIVEN.iter().find(|g| g.0 == own).or(all).map(|g| g.1.to_string())
}

/// The value of a parameter that is not a tensor: given, or, now and then, another one than its default.
fn chosen(item: &str, param: &Param, random: &mut Random) -> Result<Option<String>, String> {
    if let Some(value) = given(item, param) {
        return Ok(Some(value));
    }
    let name = &param.name.name;
    if param.default.is_none() {
        return Err(format!("no value for `{name}`"));
    }
    let others: Vec<&str> = OTHERS.iter().filter(|o| o.0 == name).map(|o| o.1).collect();
    let words = param.ty.as_ref().map(words).unwrap_or_default();
    Ok(match random.below(4) {
        0 if !others.is_empty() => Some(random.of(&others).to_string()),
        0 | 1 if words.len() > 1 => Some(random.of(&words).clone()),
        _ => None,
    })
}

/// The hyper-parameters that are sizes, and what recurrent layers compute of theirs.
fn numbers(item: &Item, chosen: &[(String, String)]) -> BTreeMap<String, usize> {
    let mut numbers = BTreeMap::new();
    for hyper in item.hypers.iter().flatten() {
        if let Some(ExprKind::Int(n, None)) = hyper.default.as_ref().map(|d| &d.kind) {
            numbers.insert(hyper.name.name.clone(), *n as usize);
        }
        if hyper.name.name == "bidirectional" {
            let both = chosen.iter().any(|(n, v)| n == "bidirectional" && v == "true");
            numbers.insert("ways".into(), if both { 2 } else { 1 });
        }
    }
    numbers.extend(chosen.iter().filter_map(|(n, v)| Some((n.clone(), v.parse().ok()?))));
    numbers
}

/// How many values an item's result has, if it does not declare them.
fn count_of_results(item: &Item, called: &str) -> Option<usize> {
    let whole = called.contains("return_state: true");
    match item.name.as_str() {
        "RecurrentLink" | "lstm_step" => Some(2),
        "LstmLink" => Some(3),
        "Rnn" | "Gru" if whole => Some(2),
        "Lstm" if whole => Some(3),
        _ => match item.result.as_ref().map(|r| &r.kind) {
            Some(TypeKind::Tuple(parts)) => Some(parts.len()),
            _ => None,
        },
    }
}

/// A program with the item, with sizes and values drawn; an error if something about it is not known. Gradients are asked for by
/// all inputs that get one, or by the `only` one.
pub fn case(item: &Item, phase: Phase, only: Option<&str>, random: &mut Random) -> Result<Case, String> {
    let mut hypers = Vec::new();
    for hyper in item.hypers.iter().flatten() {
        if let Some(value) = chosen(&item.name, hyper, random)? {
            hypers.push((hyper.name.name.clone(), value));
        }
    }
    let rests: Vec<&str> = item.params.iter().flat_map(rests_of).collect();
    let mut sizes = Sizes {
        item: &item.name,
        named: numbers(item, &hypers),
        rests: BTreeMap::new(),
        whole: (0..random.below(4)).map(|_| *random.of(&[0, 1, 2, 3, 3])).collect(),
        several: rests.iter().any(|r| *r != rests[0]),
    };
    let fixed = SIZES.iter().find(|s| s.0 == item.name).map_or(&[][..], |s| s.1);
    sizes.named.extend(fixed.iter().map(|(n, size)| (n.to_string(), *size)));
    let mut args = Vec::new();
    let mut flat: Vec<(String, &TypeExpr)> = Vec::new();
    for param in &item.params {
        let name = &param.name.name;
        let label = if param.default.is_some() { format!("{name}: ") } else { String::new() };
        match param.ty.as_ref().map(|t| (t, &t.kind)) {
            Some((_, TypeKind::Tuple(parts))) => {
                let names: Vec<String> = (0..parts.len()).map(|i| format!("in_{name}_{i}")).collect();
                args.push(format!("{label}({})", names.join(", ")));
                flat.extend(names.into_iter().zip(parts));
            }
            Some((ty, _)) if tensor_type(ty).is_some() => {
                if param.default.is_none() || random.below(2) == 0 {
                    args.push(format!("{label}in_{name}"));
                    flat.push((format!("in_{name}"), ty));
                }
            }
            _ => {
                if let Some(value) = chosen(&item.name, param, random)? {
                    args.push(format!("{label}{value}"));
                }
            }
        }
    }
    // All sizes first, so that indices know how many there are.
    let mut shaped = Vec::new();
    for (name, ty) in flat {
        let (dtype, dims) = tensor_type(ty).ok_or("a tuple of something else")?;
        shaped.push((name, dtype, sizes.shape(dims, random).ok_or("a size that is not known")?));
    }
    let (mut inputs, mut floats, mut declared) = (Vec::new(), Vec::new(), String::new());
    for (name, dtype, shape) in shaped {
        let count: usize = shape.iter().product();
        if FEWEST.iter().any(|f| f.0 == item.name && count < f.1) {
            return Err("too few elements".into());
        }
        let value = values(item, &name, dtype, &shape, &sizes.named, random)?;
        let severed = SEVERED.iter().any(|s| s.0 == item.name && format!("in_{}", s.1) == name);
        let asked = only.map_or(!severed, |only| name == format!("in_{only}"));
        let moves = dtype == DType::F64 && asked;
        let word = if moves && phase == Phase::Training { "param" } else { "state" };
        let text: Vec<String> = shape.iter().map(usize::to_string).collect();
        let first = if dtype == DType::Bool { "false" } else { "0" };
        declared += &format!("  {word} {name}: {dtype}[{}] = {first}\n", text.join(", "));
        if moves {
            floats.push(name.clone());
        }
        inputs.push((name, value));
    }
    let mut called = item.name.clone();
    let mut all = String::new();
    if item.hypers.is_some() {
        let set: Vec<String> = hypers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        all = set.join(", ");
        declared += &format!("  body = {}({all})\n", item.name);
        called = "body".into();
    }
    let parts = match count_of_results(item, &all) {
        Some(count) => (0..count).map(|i| format!("made[{i}]")).collect(),
        None => vec!["made".to_string()],
    };
    let terms: Vec<String> = parts.iter().map(|p| format!("sum(sin(1.1 * {p} + 0.3))")).collect();
    let slopes: Vec<String> = floats.iter().map(|f| format!(", grad(total, by: {f})")).collect();
    let (value, task) = match phase {
        Phase::Evaluation => {
            (format!("(total{})", slopes.concat()), "predict {\n  net = Case()\n  step() { net() }\n}\n")
        }
        Phase::Training => ("total".to_string(), TRAINING),
    };
    let text = format!(
        "model Case {{\n{declared}  forward() {{\n    made = {called}({})\n    total = {}\n    {value}\n  }}\n}}\n\n{task}",
        args.join(", "),
        terms.join(" + "),
    );
    Ok(Case { text, phase, inputs, floats })
}

/// A task that moves nothing and keeps the gradients.
const TRAINING: &str = "optimizer Slope() {
  state slope = 0
  update(p, g) {
    slope = g
    p
  }
}

train {
  steps     = 1
  net       = Case()
  optimizer = Slope()
  step() { minimize net() }
}
";

fn rests_of(param: &Param) -> Vec<&str> {
    let Some((_, dims)) = param.ty.as_ref().and_then(tensor_type) else { return Vec::new() };
    let rests = dims.iter().filter_map(|d| match d {
        DimExpr::Rest(name, _) => Some(name.as_ref().map_or("", |n| &n.name)),
        DimExpr::Size(_) => None,
    });
    rests.collect()
}

fn values(
    item: &Item,
    name: &str,
    dtype: DType,
    shape: &[usize],
    sizes: &BTreeMap<String, usize>,
    random: &mut Random,
) -> Result<VarTensor, String> {
    let own = format!("{}.{}", item.name, name.trim_start_matches("in_"));
    let domain = DOMAINS.iter().find(|d| d.0 == own).or_else(|| DOMAINS.iter().find(|d| d.0 == item.name));
    let (low, high) = domain.map_or((-1.5, 1.5), |d| d.1);
    let count: usize = shape.iter().product();
    let bound = ["C", "count"].iter().find_map(|n| sizes.get(*n).copied()).unwrap_or(2);
    if dtype == DType::I32 && count > 0 && bound == 0 {
        return Err("nothing to name".into());
    }
    let values: Vec<f64> = (0..count)
        .map(|_| match dtype {
            DType::F64 => match ONLY.iter().find(|o| o.0 == own) {
                Some((_, numbers)) => *random.of(numbers),
                None => low + (high - low) * random.unit(),
            },
            DType::I32 => random.below(bound) as f64,
            _ => random.below(2) as f64,
        })
        .collect();
    Ok(VarTensor { dtype, shape: shape.to_vec(), bytes: bytes::from_f64(dtype, values.into_iter()) })
}
