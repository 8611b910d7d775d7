//! What the declarations do not say about an item: numbers that it needs, sizes that fit them, and what cannot be compared.

/// Values for what has no default, by name; by item and name also for what has one.
pub const GIVEN: &[(&str, &str)] = &[
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
    ("dropout", "0.3"),
    ("pass", "RnnPass(3)"),
    ("back", "RnnPass(3, direction: -1)"),
    ("normalize.mean", "[0.1, 0.2]"),
    ("normalize.std", "[0.5, 0.6]"),
    ("log_mel.bands", "2"),
    ("log_mel.window", "4"),
    ("log_mel.hop", "2"),
    ("TransformerEncoderLayer.hidden", "3"),
    ("TransformerDecoderLayer.hidden", "3"),
    ("embedding.padding", "none"),
    ("Embedding.padding", "none"),
    ("orthonormal.width", "5"),
    ("MobileCnn.width", "1"),
    ("MobileCnn.classes", "2"),
];

/// Other values than the default, tried now and then; a sample whose sizes do not fit is drawn again.
pub const OTHERS: &[(&str, &str)] = &[
    ("stride", "2"),
    ("padding", "1"),
    ("dilation", "2"),
    ("axis", "0"),
    ("axis", "1"),
    ("layers", "2"),
    ("direction", "-1"),
    ("divisor", "3"),
    ("diagonal", "1"),
    ("ignore", "0"),
    ("label_smoothing", "0.1"),
    ("p", "1"),
    ("p", "3"),
    ("margin", "0.3"),
    ("beta", "0.7"),
    ("gamma", "1.5"),
    ("low", "-0.4"),
    ("high", "0.6"),
    ("scale", "0.7"),
    ("temperature", "0.7"),
];

/// Sizes that an item's numbers demand.
pub const SIZES: &[(&str, &[(&str, usize)])] = &[
    ("normalize", &[("C", 2)]),
    ("pixel_shuffle", &[("C", 4)]),
    ("pixel_unshuffle", &[("H", 4), ("W", 2)]),
    ("random_crop", &[("H", 4), ("W", 5)]),
    ("cubic_tap", &[("N", 3)]),
    ("picked", &[("N", 4), ("R", 2), ("S", 3)]),
    ("log_mel", &[("N", 5)]),
    ("ctc", &[("T", 5), ("C", 3), ("S", 2)]),
    ("RecurrentLink", &[("N", 2), ("T", 2), ("H", 3)]),
    ("LstmLink", &[("N", 2), ("T", 2)]),
    ("Embedding", &[("count", 4)]),
    ("gru_step", &[("H", 2)]),
    ("rotary", &[("D", 4)]),
    ("top_k_accuracy", &[("C", 6)]),
    ("confusion_matrix", &[("C", 3)]),
    ("lstm_step", &[("H", 2)]),
    ("masked_step", &[("T", 2)]),
    ("MultiHeadAttention", &[("heads", 1)]),
    ("MobileCnn", &[("H", 8), ("W", 9)]),
];

/// A shape that stretches to these axes, and not to another shape: item, name, axes.
pub const STRETCHED: &[(&str, &str, &str)] = &[
    ("attention", "m", "..b T S"),
    ("attention", "n", "..b T S"),
    ("attention_weights", "m", "..b T S"),
    ("attention_weights", "n", "..b T S"),
    ("MultiHeadAttention", "m", "B heads T T"),
    ("TransformerEncoderLayer", "m", "B heads T T"),
    ("TransformerDecoderLayer", "m", "B heads T T"),
    ("TransformerDecoderLayer", "n", "B heads T S"),
];

/// Items whose inputs have so many elements, and why.
pub const FEWEST: &[(&str, usize, &str)] = &[
    ("BatchNorm1d", 1, "the statistics of nothing are not numbers"),
    ("BatchNorm2d", 1, "the statistics of nothing are not numbers"),
    ("BatchNorm3d", 1, "the statistics of nothing are not numbers"),
    ("BasicBlock", 1, "the statistics of nothing are not numbers"),
    ("Separable", 1, "the statistics of nothing are not numbers"),
    ("MobileCnn", 1, "the statistics of nothing are not numbers"),
    ("R2", 2, "one number has no variance to divide by"),
];

/// What floats an item takes, or one of its parameters: from, to.
pub const DOMAINS: &[(&str, (f64, f64))] = &[
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
    ("cross_entropy.weight", (0.3, 2.0)),
    ("nll.weight", (0.3, 2.0)),
];

/// Inputs whose numbers are only these.
pub const ONLY: &[(&str, &[f64])] = &[
    ("hinge_embedding.target", &[-1.0, 1.0]),
    ("cosine_embedding.target", &[-1.0, 1.0]),
    ("cubic_tap.at", &[0.0, 1.0, 2.0]),
    ("cubic_tap.place", &[0.0, 1.0, 2.0]),
];

/// Inputs that get no gradient: item, input, why.
pub const SEVERED: &[(&str, &str, &str)] = &[
    ("distillation", "teacher", "the teacher gets no gradient"),
    ("hinge_embedding", "target", "it is compared with 1"),
    ("cosine_embedding", "target", "it is compared with 1"),
    ("picked", "row", "a place"),
    ("picked", "col", "a place"),
    ("cubic_tap", "at", "a place"),
    ("cubic_tap", "place", "a place"),
];

/// What cannot be compared: why, and which items; `Item (Phase)` is about that phase alone.
pub const NOT_COMPARED: &[(&str, &[&str])] = &[
    (
        "it moves the parameters by their gradients, and nothing is differentiated by it: its figures are compared with PyTorch's",
        &["Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Lion", "NAdam", "RAdam", "RmsProp", "Rprop", "Sgd"],
    ),
    (
        "a function of the clock, which has no gradient: its figures are compared with PyTorch's",
        &[
            "ReduceLROnPlateau",
            "cosine",
            "cosine_restarts",
            "exponential",
            "inverse_sqrt",
            "linear_decay",
            "linear_ramp",
            "multi_step",
            "noam",
            "one_cycle",
            "phase",
            "polynomial",
            "ramp",
            "step_decay",
        ],
    ),
    (
        "a function of a shape, or of numbers known while compiling",
        &[
            "causal_mask",
            "constant",
            "eye",
            "fan_in",
            "fan_out",
            "kaiming",
            "kaiming_normal",
            "kaiming_uniform",
            "lecun_normal",
            "linspace",
            "mel_filters",
            "normal",
            "orthogonal",
            "orthonormal",
            "parts",
            "per_channel",
            "permutation",
            "resampling",
            "sinusoidal",
            "sparse",
            "truncated_normal",
            "uniform",
            "uniform_fan",
            "xavier",
            "xavier_normal",
            "xavier_uniform",
        ],
    ),
    (
        "a function of truths or whole numbers",
        &["all", "any", "edit_distance", "EditDistance", "length_mask", "logical_xor", "one_hot"],
    ),
    ("its result is whole numbers", &["categorical", "ctc_greedy"]),
    ("it takes a net: what it adds to a loss is differentiated by `tests/forms/`", &["l1", "l2"]),
    (
        "it jumps, and has no slope between: E0501 says so",
        &[
            "F1",
            "Precision",
            "Recall",
            "RocAuc",
            "accuracy",
            "average_precision",
            "bernoulli",
            "confusion_matrix",
            "f1",
            "precision",
            "recall",
            "roc_auc",
            "sign",
            "top_k_accuracy",
            "trunc",
        ],
    ),
    ("it is random whatever it takes", &["normal_like"]),
    ("its states move in training only", &["Perplexity (Evaluation)", "R2 (Evaluation)"]),
];

/// Items that are too large for a test that is run often.
pub const TOO_LARGE: &[(&str, &str)] = &[(
    "ResNet18",
    "11 million parameters; it is made of layers that are compared, and its figures are compared with PyTorch's",
)];
