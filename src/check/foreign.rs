//! Names that people bring from PyTorch, Keras and NumPy, and what they are called here.

use crate::diag::suggest::distance;

const OTHER_NAMES: &[(&str, &str)] = &[
    ("BCELoss", "binary_cross_entropy"),
    ("BCEWithLogitsLoss", "binary_cross_entropy"),
    ("BatchNormalization", "BatchNorm2d"),
    ("Conv2D", "Conv2d"),
    ("CrossEntropyLoss", "cross_entropy"),
    ("Dense", "Linear"),
    ("Flatten", "flatten"),
    ("GELU", "gelu"),
    ("LSTM", "Lstm"),
    ("LayerNormalization", "LayerNorm"),
    ("MSELoss", "mse"),
    ("MaxPooling2D", "MaxPool2d"),
    ("AveragePooling2D", "AvgPool2d"),
    ("RMSprop", "RmsProp"),
    ("ReLU", "relu"),
    ("Relu", "relu"),
    ("SGD", "Sgd"),
    ("Sigmoid", "sigmoid"),
    ("Softmax", "softmax"),
    ("Tanh", "tanh"),
    ("amax", "max"),
    ("amin", "min"),
    ("arange", "range"),
    ("cat", "concat"),
    ("concatenate", "concat"),
    ("crossentropy", "cross_entropy"),
    ("matmul", "@"),
    ("mean_squared_error", "mse"),
    ("mse_loss", "mse"),
    ("mul", "*"),
    ("np", "the functions of the prelude, without a prefix"),
    ("nn", "the layers of the prelude, without a prefix"),
    ("F", "the functions of the prelude, without a prefix"),
    ("torch", "the functions of the prelude, without a prefix"),
    ("var", "variance"),
    ("view", "reshape"),
    ("None", "none"),
    ("True", "true"),
    ("False", "false"),
];

/// Our name for a name of another library.
pub fn other_name(name: &str) -> Option<&'static str> {
    OTHER_NAMES.iter().find(|(theirs, _)| *theirs == name).map(|&(_, ours)| ours)
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
