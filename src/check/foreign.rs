//! Names that people bring from PyTorch, Keras and NumPy, and what they are called here.

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
