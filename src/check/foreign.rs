//! What people bring from PyTorch, Keras and NumPy, and how it is said here: one table for each kind of habit. Habits of
//! syntax are in `syntax/habits.rs`, settings in `check/tasks.rs`, arguments in `check/calls.rs`.

use super::context::{Checker, Res, Scope};
use super::values::Value;
use crate::diag::suggest::distance;
use crate::diag::{Diagnostic, Label, codes};
use crate::source::Span;
use crate::syntax::ast::{Arg, Expr, ExprKind};

/// Names: theirs, and ours or what to use instead.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("AveragePooling2D", "AvgPool2d"),
    ("BCELoss", "binary_nll"),
    ("BCEWithLogitsLoss", "binary_cross_entropy"),
    ("BatchNormalization", "BatchNorm2d"),
    ("Conv1D", "Conv1d"),
    ("Conv2D", "Conv2d"),
    ("Conv3D", "Conv3d"),
    ("CosineAnnealingLR", "cosine"),
    ("CrossEntropyLoss", "cross_entropy"),
    ("CTCLoss", "ctc"),
    ("DataLoader", "a source as the task's `data`, and its `batch`"),
    ("Dense", "Linear"),
    ("ELU", "elu"),
    ("Flatten", "flatten"),
    ("GELU", "gelu"),
    ("GRU", "Gru"),
    ("HuberLoss", "huber"),
    ("Identity", "identity"),
    ("Input", "the parameters of `forward`"),
    ("KLDivLoss", "kl_div"),
    ("L1Loss", "l1_loss"),
    ("LSTM", "Lstm"),
    ("LayerNormalization", "LayerNorm"),
    ("LeakyReLU", "leaky_relu"),
    ("LogSoftmax", "log_softmax"),
    ("MSELoss", "mse"),
    ("MaxPooling2D", "MaxPool2d"),
    ("Mish", "mish"),
    ("ModuleList", "a list, `[Linear(8), Linear(8)]`, or `repeat n { … }`"),
    ("MultiheadAttention", "MultiHeadAttention"),
    ("NLLLoss", "nll"),
    ("OneCycleLR", "one_cycle"),
    ("PReLU", "PRelu"),
    ("Parameter", "`param name: f32[…] = …`"),
    ("RMSNorm", "RmsNorm"),
    ("RMSprop", "RmsProp"),
    ("RNN", "Rnn"),
    ("ReLU", "relu"),
    ("ReLU6", "relu6"),
    ("Relu", "relu"),
    ("SELU", "selu"),
    ("SGD", "Sgd"),
    ("Sequential", "`seq { a; b }`"),
    ("SiLU", "silu"),
    ("Sigmoid", "sigmoid"),
    ("SmoothL1Loss", "smooth_l1"),
    ("Softmax", "softmax"),
    ("Softplus", "softplus"),
    ("StepLR", "step_decay"),
    ("Tanh", "tanh"),
    ("absolute", "abs"),
    ("amax", "max"),
    ("amin", "min"),
    ("arange", "range"),
    ("binary_cross_entropy_with_logits", "binary_cross_entropy"),
    ("bmm", "matmul"),
    ("cat", "concat"),
    ("chunk", "split"),
    ("clip", "clamp"),
    ("concatenate", "concat"),
    ("crossentropy", "cross_entropy"),
    ("dot", "matmul"),
    ("enumerate", "`repeat i in 0..n { … }`"),
    ("isinstance", "the kinds of parameters: `x: f32[B, D]`, `n: int`"),
    ("kl_divergence", "kl_div"),
    ("mean_squared_error", "mse"),
    ("mm", "matmul"),
    ("mse_loss", "mse"),
    ("mul", "*"),
    ("multiply", "*"),
    ("nll_loss", "nll"),
    ("optimizer", "`minimize LOSS` in the step, which takes gradients and moves parameters"),
    ("power", "pow"),
    ("print", "`report`, which logs a number: `report mean(x)`"),
    ("rand", "random"),
    ("randint", "random_int"),
    ("randn", "normal"),
    ("scaler", "`precision = bf16`, which needs no scaling"),
    ("scheduler", "a schedule as the rate: `Adam(lr: cosine(1e-3))`"),
    ("sparse_categorical_crossentropy", "cross_entropy"),
    ("super", "nothing: members are made without it"),
    ("swish", "silu"),
    ("topk", "top_k"),
    ("tqdm", "nothing: `nnc run` shows how far it is"),
    ("var", "variance"),
    ("view", "reshape"),
    ("zeros_", "0"),
    ("None", "none"),
    ("True", "true"),
    ("False", "false"),
];

/// Names that libraries stand under elsewhere.
const LIBRARIES: &[&str] = &["F", "jnp", "keras", "layers", "nn", "np", "numpy", "optim", "tf", "torch"];

/// Of layers that elsewhere are told what comes in: which positional argument that is. Here it is inferred.
const TOLD: &[(&str, usize, usize)] = &[
    ("Linear", 0, 2),
    ("Conv1d", 0, 3),
    ("Conv2d", 0, 3),
    ("Conv3d", 0, 3),
    ("ConvTranspose1d", 0, 3),
    ("ConvTranspose2d", 0, 3),
    ("ConvTranspose3d", 0, 3),
    ("BatchNorm1d", 0, 1),
    ("BatchNorm2d", 0, 1),
    ("BatchNorm3d", 0, 1),
    ("LayerNorm", 0, 1),
    ("RmsNorm", 0, 1),
    ("GroupNorm", 1, 2),
    ("Gru", 0, 2),
    ("Lstm", 0, 2),
    ("Rnn", 0, 2),
];

/// Methods and attributes of tensors. `{x}` is the tensor, `{a}` what stands in the parentheses.
const OF_TENSORS: &[(&str, &str)] = &[
    ("T", "transpose({x})"),
    ("backward", "minimize {x}"),
    ("bool", "{x} != 0"),
    ("chunk", "split({x}, {a})"),
    ("clone", "{x}"),
    ("contiguous", "{x}"),
    ("cpu", "{x}"),
    ("cuda", "{x}"),
    ("detach", "stop_gradient({x})"),
    ("dim", "rank({x})"),
    ("double", "f64({x})"),
    ("expand", "expand({x}, [{a}])"),
    ("float", "f32({x})"),
    ("half", "f16({x})"),
    ("int", "i32({x})"),
    ("item", "{x}"),
    ("long", "i32({x})"),
    ("masked_fill", "masked_fill({x}, {a})"),
    ("mm", "{x} @ {a}"),
    ("matmul", "{x} @ {a}"),
    ("bmm", "{x} @ {a}"),
    ("mul", "{x} * {a}"),
    ("add", "{x} + {a}"),
    ("ndim", "rank({x})"),
    ("numpy", "{x}"),
    ("permute", "permute({x}, [{a}])"),
    ("pow", "{x} ^ {a}"),
    ("repeat", "tile({x}, [{a}])"),
    ("requires_grad_", "{x}"),
    ("reshape", "reshape({x}, [{a}])"),
    ("shape", "size({x}, axis: 0)"),
    ("size", "size({x}, {a})"),
    ("t", "transpose({x})"),
    ("to", "{x}"),
    ("view", "reshape({x}, [{a}])"),
];

/// What people call on a net, an optimizer or a loss to drive a training, and what does it here.
const OF_LAYERS: &[(&str, &str)] = &[
    ("add", "write `seq { a; b }`"),
    ("apply", "say how parameters start where they are declared: `Linear(8, init: kaiming)`"),
    ("compile", "write a `train { … }` task with an `optimizer` and a `step`"),
    ("cpu", "take it out: `nnc run --target` says where it runs"),
    ("cuda", "take it out: `nnc run --target` says where it runs"),
    ("eval", "take it out: `training` is false in evaluation by itself"),
    ("fit", "write a `train { … }` task; `nnc run FILE` runs it"),
    ("forward", "apply it: `net(x)`"),
    ("load_state_dict", "write `load net from \"file.safetensors\"` in the task"),
    ("named_parameters", "write a selection: `net.*.weight`"),
    ("parameters", "take it out: an optimizer finds what the loss depends on"),
    ("predict", "write a `predict { … }` task"),
    ("state_dict", "take it out: the folder of a run keeps all parameters"),
    ("step", "write `minimize LOSS`, which takes gradients and moves parameters"),
    ("to", "take it out: `nnc run --target` says where it runs"),
    ("train", "take it out: `training` is true in a training step by itself"),
    ("zero_grad", "write `minimize LOSS`, which takes gradients and moves parameters"),
];

/// Arguments: theirs, and ours.
const ARGUMENTS: &[(&str, &str)] = &[
    ("attn_mask", "mask"),
    ("dim", "axis"),
    ("dropout_rate", "p"),
    ("embed_dim", "width"),
    ("embedding_dim", "width"),
    ("epsilon", "eps"),
    ("filter_size", "kernel"),
    ("filters", "out"),
    ("hidden_dim", "hidden"),
    ("hidden_size", "hidden"),
    ("ignore_index", "ignore"),
    ("in_channels", "in"),
    ("in_features", "in"),
    ("input_dim", "in"),
    ("is_causal", "causal"),
    ("kernel_initializer", "init"),
    ("kernel_size", "kernel"),
    ("ksize", "kernel"),
    ("learning_rate", "lr"),
    ("n_heads", "heads"),
    ("negative_slope", "slope"),
    ("num_embeddings", "count"),
    ("num_groups", "groups"),
    ("num_heads", "heads"),
    ("num_layers", "layers"),
    ("out_channels", "out"),
    ("out_features", "out"),
    ("padding_idx", "padding"),
    ("pool_size", "kernel"),
    ("prob", "p"),
    ("rate", "p"),
    ("reduction", "reduce"),
    ("strides", "stride"),
    ("units", "out"),
    ("use_bias", "bias"),
    ("weight_init", "init"),
];

/// Our name for an argument of another library's.
pub fn other_argument(name: &str) -> Option<&'static str> {
    ARGUMENTS.iter().find(|(theirs, _)| *theirs == name).map(|&(_, ours)| ours)
}

/// Our name for a name of another library.
pub fn other_name(name: &str) -> Option<&'static str> {
    OTHER_NAMES.iter().find(|(theirs, _)| *theirs == name).map(|&(_, ours)| ours)
}

/// True of a name that ours can simply take the place of: arguments are the same, or inferred.
pub fn is_called_alike(name: &str) -> bool {
    let others = ["view", "var", "topk", "rand", "randn", "randint", "clip", "chunk", "power", "zeros_", "multiply"];
    other_name(name).is_some() && !others.contains(&name) && !name.ends_with("Loss") && !name.ends_with("LR")
}

/// What does here what a method of a net does elsewhere.
pub fn of_layers(name: &str) -> Option<&'static str> {
    OF_LAYERS.iter().find(|(theirs, _)| *theirs == name).map(|&(_, cure)| cure)
}

/// What is written here for `x.name(args)`, and whether that is surely the same.
pub fn of_tensors(name: &str, x: &str, args: &[String]) -> Option<(String, bool)> {
    let list = args.join(", ");
    let rest = |a: &String| a == "-1" || a.ends_with(".size(0)") || a.ends_with(".shape[0]");
    if matches!(name, "view" | "reshape") && args.len() == 2 && args.iter().any(rest) {
        return Some((format!("flatten({x})"), true));
    }
    let form = OF_TENSORS.iter().find(|(theirs, _)| *theirs == name).map(|&(_, ours)| ours)?;
    let moved =
        matches!(name, "clone" | "contiguous" | "cpu" | "cuda" | "detach" | "double" | "float" | "int" | "long");
    let sure =
        moved && args.is_empty() || matches!(name, "permute" | "mm" | "matmul" | "t" | "T") && !list.contains(':');
    Some((form.replace("{x}", x).replace("{a}", &list), sure))
}

/// True if `meant` is so near to `name` that checking may go on as if it stood there.
pub fn surely(name: &str, meant: &str) -> bool {
    if other_name(name) == Some(meant) {
        return true;
    }
    // `fc1` is not a slip of the pen for `fc2`, nor `Conv1d` for the function `conv1d`.
    let letters = |s: &str| s.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    let numbered = letters(name) == letters(meant) && name.len() == meant.len();
    let capital = |s: &str| s.starts_with(|c: char| c.is_uppercase());
    if numbered && !name.eq_ignore_ascii_case(meant) || capital(name) && !capital(meant) {
        return false;
    }
    match distance(name, meant) {
        0 => true,
        1 => name.len() > 2,
        2 => name.len() > 7,
        _ => false,
    }
}

/// `torch.nn.Linear`: the library's name, and the last one.
fn path(expr: &Expr) -> Option<(&str, &str)> {
    let ExprKind::Field { base, name } = &expr.kind else { return None };
    let mut root = base.as_ref();
    while let ExprKind::Field { base, .. } = &root.kind {
        root = base;
    }
    match &root.kind {
        ExprKind::Name(library) if LIBRARIES.contains(&library.as_str()) => Some((library, &name.name)),
        _ => None,
    }
}

/// How many leading arguments of a call elsewhere say what is inferred here: the place of one, if it is written.
fn told(ours: &str, args: &[Arg]) -> Option<usize> {
    let &(_, place, from) = TOLD.iter().find(|t| t.0 == ours)?;
    let positional = args.iter().take_while(|a| a.name.is_none()).count();
    (positional >= from).then_some(place)
}

impl Checker<'_> {
    /// `nn.Linear(64, 10)`, where nothing is called `nn`: reported once for a file, with what is written here. Gives our value
    /// and the arguments that are left; none if it is no such path.
    pub fn of_library(&mut self, callee: &Expr, args: &[Arg], scope: &mut Scope) -> Option<Res<(Value, Vec<Arg>)>> {
        let (library, last) = path(callee)?;
        if self.resolves(library, scope) {
            return None;
        }
        let ours = other_name(last).unwrap_or(last).to_string();
        let word = ours.chars().all(|c| c.is_alphanumeric() || c == '_');
        if !word || !self.resolves(&ours, scope) {
            let fault = Diagnostic::error(
                codes::UNKNOWN_NAME,
                callee.span,
                format!("`{}` is not known here", self.sources.text(callee.span)),
            );
            let help = match other_name(last) {
                Some(other) => format!("use {other}"),
                None => "the library's names stand without a prefix; `nnc doc` lists them".into(),
            };
            return Some(self.fail(fault.label("a name of another library").help(help)));
        }
        let mut left = args.to_vec();
        let mut edits = vec![(callee.span, ours.clone())];
        if let Some(place) = told(&ours, args) {
            let gone = left.remove(place);
            // With the comma behind it, or before it.
            let span = match (args.get(place + 1), place.checked_sub(1).and_then(|p| args.get(p))) {
                (Some(next), _) => Span { end: next.span.start, ..gone.span },
                (None, Some(before)) => Span { start: before.span.end, ..gone.span },
                (None, None) => gone.span,
            };
            edits.push((span, String::new()));
        }
        self.without_prefix(library, callee.span, &ours, edits);
        self.sheet.hurt = true;
        self.meant.insert(ours.clone());
        Some(self.name_value(&ours, callee.span, scope).map(|value| (value, left)))
    }

    /// Says once for a file that our names have no prefix; further places join the first.
    fn without_prefix(&mut self, library: &str, span: Span, ours: &str, edits: Vec<(Span, String)>) {
        let headline = format!("names of the library stand without `{library}.`");
        let first =
            self.found.iter_mut().find(|d| d.headline == headline && d.span().is_some_and(|s| s.file == span.file));
        let Some(first) = first else {
            let fault = Diagnostic::error(codes::UNKNOWN_NAME, span, headline)
                .label(format!("`{ours}` here"))
                .help(format!("write `{ours}`; what comes in is inferred"))
                .fix("write it as nn does", edits, true);
            return self.report(fault);
        };
        let all = &mut first.fixes[0].edits;
        if all.iter().any(|(s, _)| *s == span) {
            return;
        }
        all.extend(edits);
        if first.secondary.len() < 4 {
            first.secondary.push(Label { span, text: format!("`{ours}` here") });
        }
    }

    /// True if the name means something here.
    fn resolves(&mut self, name: &str, scope: &mut Scope) -> bool {
        if scope.locals.iter().any(|l| l.name == name && !matches!(l.value, Value::Poison))
            || self.has_member(scope, name)
        {
            return true;
        }
        self.named(name, scope.file).is_some() || self.prelude_has(name)
    }
}
