//! What each of PyTorch's operations, layers and losses is called here, with its arguments.

use serde_json::Value;

use crate::case::Case;
use crate::program::Form;

/// The case in our language; none if there is nothing for it yet.
pub fn form(case: &Case) -> Option<Form> {
    elementwise(case)
        .or_else(|| along_axes(case))
        .or_else(|| shapes(case))
        .or_else(|| windows(case))
        .or_else(|| layers(case))
        .or_else(|| recurrent(case))
        .or_else(|| losses(case))
        .or_else(|| metrics(case))
}

fn elementwise(case: &Case) -> Option<Form> {
    let of = |name: &str| Form::of(format!("{name}(x)"));
    let with = |name: &str, args: &[(&str, &str)]| Form::of(format!("{name}(x{})", case.args(args)));
    match case.op.as_str() {
        "neg" => Form::of("-x"),
        op @ ("relu" | "relu6" | "sigmoid" | "tanh" | "silu" | "mish" | "softsign" | "selu" | "logsigmoid"
        | "hardsigmoid" | "hardswish" | "tanhshrink" | "exp" | "abs" | "sin" | "cos" | "square" | "erf"
        | "expm1" | "atan" | "sinh" | "floor" | "ceil" | "round" | "sign" | "trunc" | "log" | "sqrt"
        | "rsqrt" | "reciprocal" | "log1p" | "log2" | "cosh" | "tan" | "asin" | "acos" | "log10" | "exp2") => of(op),
        "leaky_relu" => with("leaky_relu", &[("negative_slope", "slope")]),
        op @ ("elu" | "celu") => with(op, &[("alpha", "alpha")]),
        "gelu" => with("gelu", &[("approximate", "approximate")]),
        "softplus" => with("softplus", &[("beta", "beta"), ("threshold", "threshold")]),
        "hardtanh" => with("hardtanh", &[("min_val", "low"), ("max_val", "high")]),
        op @ ("softshrink" | "hardshrink") => with(op, &[("lambd", "lambda")]),
        "threshold" => with("threshold", &[("threshold", "level"), ("value", "value")]),
        op @ ("clamp" | "clip_grad_value") => {
            let x = if op == "clamp" { "x" } else { "g" };
            let limit = case.text("value").map(|v| format!(", low: -{v}, high: {v}"));
            Form::of(format!(
                "clamp({x}{}{})",
                case.args(&[("min", "low"), ("max", "high")]),
                limit.unwrap_or_default()
            ))
        }
        "pow_scalar" => Form::of(format!("x ^ ({})", case.text("exponent")?)),
        "prelu" => Form::of("prelu(x, weight)"),
        "glu" => with("glu", &[("dim", "axis")]),
        op @ ("softmax" | "log_softmax" | "softmin") => with(op, &[("dim", "axis")]),
        op @ ("add" | "sub" | "mul" | "div" | "eq" | "ne" | "gt" | "ge" | "lt" | "le" | "logical_and"
        | "logical_or") => {
            let sign = match op {
                "add" => "+",
                "sub" => "-",
                "mul" => "*",
                "div" => "/",
                "eq" => "==",
                "ne" => "!=",
                "gt" => ">",
                "ge" => ">=",
                "lt" => "<",
                "le" => "<=",
                "logical_and" => "and",
                _ => "or",
            };
            Form::of(format!("a {sign} b"))
        }
        "pow" => Form::of("a ^ b"),
        op @ ("maximum" | "minimum" | "atan2" | "remainder" | "fmod" | "logical_xor") => {
            Form::of(format!("{op}(a, b)"))
        }
        "logical_not" => Form::of("not a"),
        "where" => Form::of("where(cond, a, b)"),
        "masked_fill" => Form::of(format!("masked_fill(x, mask, {})", case.text("value")?)),
        "lerp" => Form::of(format!("lerp(a, b, {})", case.text("weight")?)),
        "cast" => {
            let dtype = match case.word("to") {
                "bfloat16" => "bf16",
                "float16" => "f16",
                _ => return None,
            };
            Form::of(format!("f32({dtype}(x))"))
        }
        _ => None,
    }
}

fn along_axes(case: &Case) -> Option<Form> {
    let axis = case.text("dim").map(|d| format!(", axis: {d}"));
    let axis_text = axis.clone().unwrap_or_default();
    let kept = |call: String| match case.flag("keepdim") {
        true => Form::of(format!("keep({call}, x{axis_text})")),
        false => Form::of(call),
    };
    match case.op.as_str() {
        op @ ("sum" | "mean" | "max" | "min" | "prod") => kept(format!("{op}(x{axis_text})")),
        "var_unbiased" => kept(format!("variance(x{axis_text}, unbiased: true)")),
        "var_biased" => kept(format!("variance(x{axis_text})")),
        "std_unbiased" => kept(format!("std(x{axis_text}, unbiased: true)")),
        "std_biased" => kept(format!("std(x{axis_text})")),
        "logsumexp" => kept(format!("logsumexp(x{})", axis.unwrap_or(", axis: none".into()))),
        "norm_l2" => kept(format!("norm(x{axis_text})")),
        "norm_l1" => kept(format!("norm(x{axis_text}, p: 1)")),
        op @ ("argmax" | "argmin") if case.params["dim"].is_null() => {
            let flat = format!("{op}(flatten(x, from: 0))");
            match case.flag("keepdim") {
                true => Form::of(format!("reshape({flat}, {:?})", vec![1; case.rank("x")])),
                false => Form::of(flat),
            }
        }
        op @ ("argmax" | "argmin") => kept(format!("{op}(x{axis_text})")),
        op @ ("cumsum" | "cumprod" | "logcumsumexp") => Form::of(format!("{op}(x{axis_text})")),
        op @ ("topk" | "sort") => {
            let call = if op == "sort" {
                format!("sort(x{axis_text}, descending: {})", case.flag("descending"))
            } else {
                format!("top_k(x, {}{axis_text}, largest: {})", case.text("k")?, case.flag("largest"))
            };
            let form = Form::default().line(format!("made = {call}"));
            Some(form.and("values", "made.values").and("indices", "made.indices"))
        }
        "normalize" => Form::of(format!("unit(x{})", case.args(&[("dim", "axis"), ("p", "p"), ("eps", "eps")]))),
        "cosine_similarity" => {
            Form::of(format!("cosine_similarity(a, b{})", case.args(&[("dim", "axis"), ("eps", "eps")])))
        }
        "one_hot" => Form::of(format!("one_hot(ids, {})", case.text("num_classes")?)),
        "gather" => Form::of(format!("take_along({}, index{axis_text})", part(case, "x", case.shape("index"))?)),
        op @ ("scatter_add" | "scatter") => scattered(case, op),
        "index_select" => Form::of(format!("take(x, index{axis_text})")),
        _ => None,
    }
}

/// `x` cut to these sizes on every axis but the case's own.
fn part(case: &Case, x: &str, sizes: &[usize]) -> Option<String> {
    let shape = case.shape("x");
    let own = case.int("dim")?.rem_euclid(shape.len() as i64) as usize;
    let cut = (0..shape.len()).any(|a| a != own && sizes[a] < shape[a]);
    let ranges: Vec<String> =
        (0..shape.len()).map(|a| format!("0:{}", if a == own { shape[a] } else { sizes[a] })).collect();
    Some(if cut { format!("{x}[{}]", ranges.join(", ")) } else { x.to_string() })
}

/// The index may be smaller than `x` there: then that part of `x` is changed and joined with the rest. What it names may be
/// larger than `src`, too.
fn scattered(case: &Case, op: &str) -> Option<Form> {
    let (shape, index) = (case.shape("x"), case.shape("index"));
    let own = case.int("dim")?.rem_euclid(shape.len() as i64) as usize;
    let ranges: Vec<String> = index.iter().map(|n| format!("0:{n}")).collect();
    let src = if case.shape("src") == index { "src".into() } else { format!("src[{}]", ranges.join(", ")) };
    let mut made = format!("{op}({}, index, {src}, axis: {own})", part(case, "x", index)?);
    let mut so_far: Vec<usize> = (0..shape.len()).map(|a| if a == own { shape[a] } else { index[a] }).collect();
    for axis in 0..shape.len() {
        if so_far[axis] < shape[axis] {
            let range = |a: usize| match a == axis {
                true => format!("{}:{}", so_far[a], shape[a]),
                false => format!("0:{}", so_far[a]),
            };
            let ranges: Vec<String> = (0..shape.len()).map(range).collect();
            made = format!("concat([{made}, x[{}]], axis: {axis})", ranges.join(", "));
            so_far[axis] = shape[axis];
        }
    }
    Form::of(made)
}

/// PyTorch's axes of one letter each, with blanks between them. A pattern without a result has the letters that occur once,
/// sorted.
fn spread(pattern: &str) -> String {
    let mut out = String::new();
    let mut pattern = pattern.to_string();
    if !pattern.contains("->") {
        let mut once: Vec<char> = pattern.chars().filter(|c| c.is_alphabetic()).collect();
        once.sort_unstable();
        once.retain(|c| pattern.matches(*c).count() == 1);
        let rest = if pattern.contains("...") { "..." } else { "" };
        pattern = format!("{pattern}->{rest}{}", String::from_iter(once));
    }
    for c in pattern.chars() {
        match c {
            ',' => out += ", ",
            '-' => out += " -",
            '>' => out += "> ",
            ' ' => {}
            // `...` is `..` here.
            '.' if out.ends_with("..") => out.push(' '),
            '.' => out.push('.'),
            letter => {
                out.push(letter);
                out.push(' ');
            }
        }
    }
    out
}

/// All inputs x0, x1, …, in order.
fn list(case: &Case) -> String {
    let names: Vec<String> = (0..).map(|i| format!("x{i}")).take_while(|n| case.has(n)).collect();
    names.join(", ")
}

fn shapes(case: &Case) -> Option<Form> {
    let ints = |name: &str| -> Option<Vec<i64>> { case.params[name].as_array()?.iter().map(Value::as_i64).collect() };
    let axis = case.text("dim").map(|d| format!(", axis: {d}")).unwrap_or_default();
    match case.op.as_str() {
        "matmul" => Form::of("a @ b"),
        "einsum" => Form::of(format!("einsum(\"{}\", {})", spread(case.word("equation")), list(case))),
        "concat" => Form::of(format!("concat([{}]{axis})", list(case))),
        "stack" => Form::of(format!("stack([{}]{axis})", list(case))),
        "split" => {
            let count = ints("sizes")?.len();
            let mut form = Form::default().line(format!("made = split(x, {}{axis})", case.text("sizes")?));
            for i in 0..count {
                form = form.and(&format!("y{i}"), format!("made[{i}]"));
            }
            Some(form)
        }
        "pad" => {
            let pairs = ints("pad")?;
            let rank = case.rank("x");
            // A negative amount cuts off.
            let cut: Vec<String> = (0..rank)
                .map(|axis| {
                    let amount = |side: usize| pairs.get(2 * (rank - 1 - axis) + side).copied().unwrap_or(0).min(0);
                    let end = case.shape("x")[axis] as i64 + amount(1);
                    format!("{}:{end}", -amount(0))
                })
                .collect();
            let x = if pairs.iter().any(|n| *n < 0) { format!("x[{}]", cut.join(", ")) } else { "x".into() };
            let pairs: Vec<i64> = pairs.into_iter().map(|n| n.max(0)).collect();
            let (mut low, mut high) = (vec![0; rank], vec![0; rank]);
            for (i, amount) in pairs.iter().enumerate() {
                let side = if i % 2 == 0 { &mut low } else { &mut high };
                side[rank - 1 - i / 2] = *amount;
            }
            let mode = case.args(&[("value", "value"), ("mode", "mode")]);
            Form::of(format!("pad({x}, {low:?}, {high:?}{mode})"))
        }
        "transpose" => {
            let mut axes: Vec<i64> = (0..case.rank("x") as i64).collect();
            let swap = ints("dims")?;
            let at = |i: usize| swap[i].rem_euclid(axes.len() as i64) as usize;
            let (a, b) = (at(0), at(1));
            axes.swap(a, b);
            Form::of(format!("permute(x, {axes:?})"))
        }
        "permute" => Form::of(format!("permute(x, {})", case.text("dims")?)),
        "reshape" => {
            // A -1 is worked out by the reader.
            let total: usize = case.shape("x").iter().product();
            let shape = ints("shape")?;
            let known: i64 = shape.iter().filter(|n| **n >= 0).product();
            let shape: Vec<i64> = shape.iter().map(|n| if *n < 0 { total as i64 / known } else { *n }).collect();
            Form::of(format!("reshape(x, {shape:?})"))
        }
        "flatten" if case.int("end_dim").unwrap_or(-1) == -1 => {
            Form::of(format!("flatten(x, from: {})", case.text("start_dim").unwrap_or("0".into())))
        }
        "flatten" => {
            let shape = case.shape("x");
            let at = |name: &str| Some(case.int(name)?.rem_euclid(shape.len() as i64) as usize);
            let (from, to) = (at("start_dim").unwrap_or(0), at("end_dim")?);
            let merged: usize = shape[from..=to].iter().product();
            let shape = [&shape[..from], &[merged], &shape[to + 1..]].concat();
            Form::of(format!("reshape(x, {shape:?})"))
        }
        "squeeze_unsqueeze" => {
            Form::of(format!("x |> squeeze({}) |> unsqueeze({})", case.text("squeeze")?, case.text("unsqueeze")?))
        }
        "expand" => {
            let (own, mut shape) = (case.shape("x"), ints("shape")?);
            let new = shape.len() - own.len();
            for (i, size) in shape.iter_mut().enumerate().filter(|(_, n)| **n < 0) {
                *size = own[i - new] as i64;
            }
            Form::of(format!("expand(x, {shape:?})"))
        }
        "repeat" => Form::of(format!("tile(x, {})", case.text("repeats")?)),
        "flip" => Form::of(format!("flip(x, axis: {})", case.text("dims")?)),
        // Without axes the flat tensor is rolled.
        "roll" if case.params["dims"].is_null() || ints("dims").is_some_and(|d| d.is_empty()) => {
            let (shift, shape) = (case.int("shifts").or_else(|| Some(ints("shifts")?[0]))?, case.shape("x"));
            Form::of(format!("reshape(roll(flatten(x, from: 0), {shift}, axis: 0), {shape:?})"))
        }
        "roll" => {
            let both = |name: &str| ints(name).or_else(|| Some(vec![case.int(name)?]));
            let all = both("shifts")?.into_iter().zip(both("dims")?);
            Form::of(all.fold("x".to_string(), |x, (shift, axis)| format!("roll({x}, {shift}, axis: {axis})")))
        }
        "slice" => Form::of(format!("x[{}]", case.word("index").replace("...", ".."))),
        op @ ("tril" | "triu") => Form::of(format!("{op}(x{})", case.args(&[("diagonal", "diagonal")]))),
        "unfold" => {
            let args = [("stride", "stride"), ("padding", "padding"), ("dilation", "dilation")];
            Form::of(format!("unfold(x, {}{})", case.text("kernel_size")?, case.args(&args)))
        }
        "pixel_shuffle" => Form::of(format!("pixel_shuffle(x, {})", case.text("upscale")?)),
        "interpolate" => {
            let args = case
                .args(&[("mode", "mode"), ("align_corners", "align_corners")])
                .replace("nearest-exact", "nearest_exact");
            Form::of(format!("interpolate(x, {}{args})", case.text("size")?))
        }
        _ => None,
    }
}

/// The bias of a convolution, put along the channels.
fn biased(case: &Case, call: String) -> Option<Form> {
    match case.has("bias") {
        true => Some(Form::default().line(format!("made = {call}")).and("y", "made + along(bias, made)")),
        false => Form::of(call),
    }
}

fn windows(case: &Case) -> Option<Form> {
    const CONV: [(&str, &str); 5] = [
        ("stride", "stride"),
        ("padding", "padding"),
        ("dilation", "dilation"),
        ("groups", "groups"),
        ("output_padding", "output_padding"),
    ];
    const POOL: [(&str, &str); 6] = [
        ("stride", "stride"),
        ("padding", "padding"),
        ("dilation", "dilation"),
        ("ceil_mode", "ceil_mode"),
        ("count_include_pad", "count_include_pad"),
        ("divisor_override", "divisor"),
    ];
    match case.op.as_str() {
        op @ ("conv1d" | "conv2d" | "conv3d" | "conv_transpose1d" | "conv_transpose2d" | "conv_transpose3d") => {
            biased(case, format!("{op}(x, weight{})", case.args(&CONV)))
        }
        op @ ("max_pool1d" | "max_pool2d" | "max_pool3d" | "avg_pool1d" | "avg_pool2d" | "avg_pool3d") => {
            Form::of(format!("{op}(x, {}{})", case.text("kernel_size")?, case.args(&POOL)))
        }
        op @ ("adaptive_avg_pool1d" | "adaptive_avg_pool2d" | "adaptive_max_pool2d" | "adaptive_max_pool1d") => {
            // A size that is left open stays as it is.
            let own = case.shape("x");
            let size = match case.params["output_size"].as_array() {
                Some(sizes) => {
                    let from = own.len() - sizes.len();
                    let open = |(i, n): (usize, &Value)| n.as_i64().unwrap_or(own[from + i] as i64);
                    let sizes: Vec<i64> = sizes.iter().enumerate().map(open).collect();
                    if sizes.len() == 1 { sizes[0].to_string() } else { format!("{sizes:?}") }
                }
                None => case.text("output_size")?,
            };
            Form::of(format!("{op}(x, {size})"))
        }
        _ => None,
    }
}

/// The weights of a norm, as far as there are any.
fn weights(case: &Case) -> String {
    ["weight", "bias"].into_iter().filter(|n| case.has(n)).map(|n| format!(", {n}: {n}")).collect()
}

/// The axes that a norm goes over.
fn last_axes(case: &Case) -> Option<String> {
    let axes: Vec<i64> = (1..=case.params["normalized_shape"].as_array()?.len() as i64).map(|i| -i).collect();
    Some(format!("{axes:?}"))
}

/// `Rnn`, `Lstm`, `Gru` with first and last states.
fn recurrent(case: &Case) -> Option<Form> {
    let kind = match case.op.as_str() {
        "rnn" => "Rnn",
        "lstm" => "Lstm",
        "gru" => "Gru",
        _ => return None,
    };
    let args = [("num_layers", "layers"), ("bidirectional", "bidirectional"), ("bias", "bias")];
    let args = case.args(&args) + &case.args(&[("nonlinearity", "activation")]);
    let layer = format!("{kind}({}{args}, return_state: true)", case.text("hidden_size")?);
    // Time comes first there, unless said otherwise; without a batch there is one axis less.
    let turn = match (case.rank("x"), case.flag("batch_first")) {
        (2, _) => ["\"t d -> 1 t d\"", "\"1 t d -> t d\"", "\"n d -> n 1 d\"", "\"n 1 d -> n d\""],
        (_, true) => [""; 4],
        (_, false) => ["\"t b d -> b t d\"", "\"b t d -> t b d\"", "", ""],
    };
    let moved = |x: &str, pattern: &str| match pattern {
        "" => x.to_string(),
        pattern => format!("rearrange({x}, {pattern})"),
    };
    let mut given = format!("x: {}", moved("x", turn[0]));
    for state in ["h0", "c0"].into_iter().filter(|s| case.has(s)) {
        given += &format!(", {state}: {}", moved(state, turn[2]));
    }
    let mut form = Form::layer(case, layer, &given)?;
    form.lines.push(format!("made = body({given})"));
    form.outputs[0].1 = moved("made[0]", turn[1]);
    for (place, state) in (1..).zip(["h_n", "c_n"]).filter(|(_, s)| case.tensors.contains_key(&format!("out.{s}"))) {
        form = form.and(state, moved(&format!("made[{place}]"), turn[3]));
    }
    Some(form)
}

fn layers(case: &Case) -> Option<Form> {
    match case.op.as_str() {
        "linear" => {
            let out = case.shape("weight").first()?;
            Form::layer(case, format!("Linear({out}, bias: {})", case.has("bias")), "x")
        }
        "bilinear" => Form::of(format!("bilinear(x1, x2, weight{})", if case.has("bias") { ", bias" } else { "" })),
        // The layer `SwiGlu` keeps the same three weights as sub-layers.
        "swiglu" => Form::of("linear(silu(linear(x, w1)) * linear(x, w3), w2)"),
        "batch_norm" => {
            let layer =
                ["BatchNorm1d", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d"].get(case.rank("x").checked_sub(2)?)?;
            let args = case.args(&[("eps", "eps"), ("momentum", "momentum")]);
            Form::layer(case, format!("{layer}(affine: {}{args})", case.has("weight")), "x")
        }
        "layer_norm" if case.params["normalized_shape"].as_array()?.len() == 1 => {
            let (weight, bias) = (case.has("weight"), case.has("bias"));
            let args = case.args(&[("eps", "eps")]);
            Form::layer(case, format!("LayerNorm(affine: {weight}, bias: {bias}{args})"), "x")
        }
        "layer_norm" => Form::of(format!(
            "layer_norm(x{}, axis: {}{})",
            weights(case),
            last_axes(case)?,
            case.args(&[("eps", "eps")])
        )),
        "rms_norm" => {
            // Without a number PyTorch takes the smallest step from 1 of the dtype that it computes in.
            let eps = case.text("eps").unwrap_or("2.220446049250313e-16".into());
            match case.params["normalized_shape"].as_array()?.len() {
                1 => Form::layer(case, format!("RmsNorm(affine: {}, eps: {eps})", case.has("weight")), "x"),
                _ => Form::of(format!("rms_norm(x{}, axis: {}, eps: {eps})", weights(case), last_axes(case)?)),
            }
        }
        "group_norm" => {
            let args = format!("affine: {}{}", case.has("weight"), case.args(&[("eps", "eps")]));
            Form::layer(case, format!("GroupNorm({}, {args})", case.text("num_groups")?), "x")
        }
        "instance_norm" => Form::of(format!("instance_norm(x{}{})", weights(case), case.args(&[("eps", "eps")]))),
        "local_response_norm" => {
            let args = case.args(&[("alpha", "alpha"), ("beta", "beta"), ("k", "k")]);
            Form::of(format!("local_response_norm(x, {}{args})", case.text("size")?))
        }
        "dropout_eval" => Form::of(format!("x |> Dropout({})", case.text("p")?)),
        "dropout_with_mask" => Form::of(format!("where(mask, x / (1 - {}), 0)", case.text("p")?)),
        "embedding" => {
            let [count, width] = case.shape("weight") else { return None };
            let args = case.args(&[("padding_idx", "padding")]);
            Form::layer(case, format!("Embedding({count}, {width}{args})"), "ids")
        }
        "scaled_dot_product_attention" => {
            let masks: String = ["mask", "attn_mask", "bias"]
                .into_iter()
                .filter_map(|name| Some((name, case.input(name)?)))
                .map(|(name, mask)| match mask.dtype {
                    nnc::ops::DType::Bool => format!(", mask: {name}"),
                    _ => format!(", bias: {name}"),
                })
                .collect();
            let mask = masks.as_str();
            let grouped = case.rank("q") == 4;
            let (own, shared) = (case.shape("q")[1], case.shape("k")[1]);
            let each = |name: &str| match own == shared || !grouped {
                true => name.to_string(),
                false => format!("repeat_each({name}, {}, axis: 1)", own / shared),
            };
            let args = case.args(&[("is_causal", "causal"), ("scale", "scale")]);
            Form::of(format!("attention(q, {}, {}{mask}{args})", each("k"), each("v")))
        }
        "multi_head_attention" => {
            let mut given = "x".to_string();
            if case.has("kv") {
                given += ", kv";
            }
            if case.has("key_padding_mask") {
                given += ", mask: rearrange(not key_padding_mask, \"b s -> b 1 1 s\")";
            }
            given += &case.args(&[("causal", "causal")]);
            let layer = format!("MultiHeadAttention({}, bias: {})", case.text("num_heads")?, case.has("in_proj_bias"));
            let mut form = Form::layer(case, layer, &given)?;
            // The attention's weights are a result there, too: made once more from the layer's parameters.
            form.lines.push(format!("made = body({given})"));
            form.outputs[0].1 = "made".into();
            let keys = if case.has("kv") { "kv" } else { "x" };
            form.lines.push("(wq, wk, wv) = split(body.in_proj_weight, 3, axis: 0)".into());
            let bias = case.has("in_proj_bias");
            if bias {
                form.lines.push("(bq, bk, bv) = split(body.in_proj_bias, 3, axis: 0)".into());
            }
            let (bq, bk) = if bias { (", bq", ", bk") } else { ("", "") };
            let heads = format!("h: {}", case.text("num_heads")?);
            form.lines.push(format!("q = rearrange(linear(x, wq{bq}), \"b t (h d) -> b h t d\", {heads})"));
            form.lines.push(format!("k = rearrange(linear({keys}, wk{bk}), \"b t (h d) -> b h t d\", {heads})"));
            let rest =
                given.split_once(", ").map_or("", |(_, rest)| rest).trim_start_matches("kv").trim_start_matches(", ");
            let rest = if rest.is_empty() { String::new() } else { format!(", {rest}") };
            Some(form.and("attn", format!("attention_weights(q, k{rest})")))
        }
        "transformer_encoder_layer" => {
            let args = [("dim_feedforward", "hidden"), ("activation", "activation"), ("layer_norm_eps", "eps")];
            let layer = format!(
                "TransformerEncoderLayer({}{}, norm_first: {}, dropout: 0)",
                case.text("nhead")?,
                case.args(&args),
                case.flag("norm_first")
            );
            Form::layer(case, layer, &format!("x, causal: {}", case.flag("causal")))
        }
        "transformer_decoder_layer" => {
            let args = [("dim_feedforward", "hidden"), ("activation", "activation"), ("layer_norm_eps", "eps")];
            let layer = format!(
                "TransformerDecoderLayer({}{}, norm_first: {}, dropout: 0)",
                case.text("nhead")?,
                case.args(&args),
                case.flag("norm_first")
            );
            Form::layer(case, layer, &format!("tgt, memory, causal: {}", case.flag("causal_self_attention")))
        }
        "sinusoidal_positions" => Form::of(format!("sinusoidal({}, {})", case.text("length")?, case.text("dim")?)),
        "rope" => {
            let interleaved = case.word("style") == "interleaved";
            Form::of(format!("rotary(x{}, interleaved: {interleaved})", case.args(&[("base", "base")])))
        }
        _ => None,
    }
}

/// Those of these inputs that the case has, as named arguments.
fn own_tensors(case: &Case, names: &[&str]) -> String {
    names.iter().filter(|n| case.has(n)).map(|n| format!(", {n}: {n}")).collect()
}

fn losses(case: &Case) -> Option<Form> {
    // A sign may be a whole number there.
    let whole = case.input("target").is_some_and(|t| t.dtype == nnc::ops::DType::I32);
    let sign = if whole { "f32(target)" } else { "target" };
    let reduce = match case.word("reduction") {
        "" => String::new(),
        "batchmean" => ", reduce: batch_mean".into(),
        word => format!(", reduce: {word}"),
    };
    let of =
        |name: &str, args: &[(&str, &str)]| Form::loss(format!("{name}(input, target{}{reduce})", case.args(args)));
    match case.op.as_str() {
        "cross_entropy" | "cross_entropy_soft_targets" | "nll_loss" | "focal_loss" => {
            let scores = if case.op == "nll_loss" { "logp" } else { "logits" };
            let rank = case.rank(scores);
            // The classes stand on axis 1 there, on the last here.
            let order: Vec<usize> = [0].into_iter().chain(2..rank).chain([1]).collect();
            let turned = if rank > 2 { format!("permute({scores}, {order:?})") } else { scores.to_string() };
            let args =
                case.args(&[("label_smoothing", "label_smoothing"), ("ignore_index", "ignore"), ("gamma", "gamma")]);
            let weight = if case.has("weight") { ", weight: weight" } else { "" };
            let name = match case.op.as_str() {
                "cross_entropy" => "cross_entropy",
                "nll_loss" => "nll",
                "focal_loss" => "focal_loss",
                _ => "soft_cross_entropy",
            };
            Form::loss(format!("{name}({turned}, target{args}{weight}{reduce})"))
        }
        "mse_loss" => of("mse", &[]),
        "l1_loss" => of("l1_loss", &[]),
        "smooth_l1_loss" => of("smooth_l1", &[("beta", "beta")]),
        "huber_loss" => of("huber", &[("delta", "delta")]),
        "binary_cross_entropy" => {
            Form::loss(format!("binary_nll(input, target{}{reduce})", own_tensors(case, &["weight"])))
        }
        "binary_cross_entropy_with_logits" => {
            let tensors = own_tensors(case, &["weight", "pos_weight"]);
            let number =
                if case.has("pos_weight") { String::new() } else { case.args(&[("pos_weight", "pos_weight")]) };
            Form::loss(format!("binary_cross_entropy(input, target{tensors}{number}{reduce})"))
        }
        "ctc_loss" => {
            let args = case.args(&[("blank", "blank"), ("zero_infinity", "zero_infinity")]);
            let (scores, text) = match case.rank("logits") {
                2 => ("\"t c -> 1 t c\"", "reshape(target, [1, size(target)])"),
                _ => ("\"t b c -> b t c\"", "target"),
            };
            let lengths = |name: &str| if case.rank(name) == 0 { format!("reshape({name}, [1])") } else { name.into() };
            let (long, short) = (lengths("input_lengths"), lengths("target_lengths"));
            Form::loss(format!("ctc(rearrange(logits, {scores}), {long}, {text}, {short}{args}{reduce})"))
        }
        "kl_div" => of("kl_div", &[("log_target", "log_target")]),
        "distillation_kl" => {
            Form::loss(format!("distillation(student, teacher{})", case.args(&[("T", "temperature")])))
        }
        "poisson_nll_loss" => of("poisson_nll", &[("log_input", "log_input"), ("full", "full"), ("eps", "eps")]),
        "hinge_embedding_loss" => {
            Form::loss(format!("hinge_embedding(input, {sign}{}{reduce})", case.args(&[("margin", "margin")])))
        }
        "gaussian_nll_loss" => Form::loss(format!(
            "gaussian_nll(input, target, var{}{reduce})",
            case.args(&[("full", "full"), ("eps", "eps")])
        )),
        "cosine_embedding_loss" => {
            Form::loss(format!("cosine_embedding(a, b, {sign}{}{reduce})", case.args(&[("margin", "margin")])))
        }
        "triplet_margin_loss" => {
            let args = case.args(&[("margin", "margin"), ("p", "p"), ("eps", "eps"), ("swap", "swap")]);
            Form::loss(format!("triplet_margin(anchor, positive, negative{args}{reduce})"))
        }
        "margin_ranking_loss" => {
            Form::loss(format!("margin_ranking(a, b, {sign}{}{reduce})", case.args(&[("margin", "margin")])))
        }
        "info_nce" => {
            Form::loss(format!("info_nce(a, b{})", case.args(&[("tau", "temperature"), ("symmetric", "symmetric")])))
        }
        "vae_kl" => Form::loss("kl_normal(mu, logvar)"),
        _ => None,
    }
}

fn metrics(case: &Case) -> Option<Form> {
    match case.op.as_str() {
        "metrics_classification" => {
            let call = |name: &str| format!("{name}(logits, target)");
            Some(
                Form::default()
                    .and("accuracy", call("accuracy"))
                    .and("macro_precision", call("precision"))
                    .and("macro_recall", call("recall"))
                    .and("macro_f1", call("f1"))
                    .and("top2", "top_k_accuracy(logits, target, k: 2)")
                    .and("log_loss", call("cross_entropy"))
                    .and("confusion", call("confusion_matrix")),
            )
        }
        "metrics_regression" => {
            let call = |name: &str| format!("{name}(pred, target)");
            Some(
                Form::default()
                    .and("mse", call("mse"))
                    .and("mae", call("mae"))
                    .and("r2", call("r2"))
                    .and("mape", call("mape")),
            )
        }
        "metrics_binary" => {
            let call = |name: &str| format!("{name}(score, target)");
            Some(Form::default().and("roc_auc", call("roc_auc")).and("average_precision", call("average_precision")))
        }
        _ => None,
    }
}
