//! The registry of codes: `E01xx` syntax, `E02xx` names, `E03xx` shapes and dims, `E04xx` dtypes and tags, `E05xx`
//! gradients, `E06xx` data, `E07xx` training, `E08xx` memory and targets, `E09xx` files and the command line, `W1xxx`
//! warnings. A code is never used again for something else.
//!
//! To add one: a line in the table below and a page `docs/errors/<id>.md`, whose examples the tests run.

/// A kind of fault, with a stable identity.
#[derive(Debug, PartialEq)]
pub struct Code {
    /// `E0301`
    pub id: &'static str,
    /// `shape-mismatch`
    pub name: &'static str,
    /// The page that `nnc explain` prints.
    pub page: &'static str,
}

macro_rules! codes {
    ($($constant:ident $id:ident $name:literal;)*) => {
        $(pub const $constant: &Code = &Code {
            id: stringify!($id),
            name: $name,
            page: include_str!(concat!("../../docs/errors/", stringify!($id), ".md")),
        };)*
        /// Every code, in order.
        pub const ALL: &[&Code] = &[$($constant),*];
    };
}

codes! {
    SYNTAX E0101 "syntax";
    UNCLOSED E0102 "unclosed";
    FOREIGN_SYNTAX E0103 "foreign-syntax";
    NESTING E0104 "nesting";
    MISSING_PART E0105 "missing-part";
    UNKNOWN_NAME E0201 "unknown-name";
    DUPLICATE_NAME E0202 "duplicate-name";
    UNKNOWN_ARGUMENT E0203 "unknown-argument";
    MISSING_ARGUMENT E0204 "missing-argument";
    WRONG_KIND E0205 "wrong-kind";
    UNKNOWN_SETTING E0206 "unknown-setting";
    RECURSION E0207 "recursion";
    UNUSED E0208 "unused";
    NOT_SUPPORTED E0209 "not-supported";
    SHAPE_MISMATCH E0301 "shape-mismatch";
    RANK_MISMATCH E0302 "rank-mismatch";
    UNKNOWN_DIM E0303 "unknown-dim";
    UNDECIDED_DIM E0304 "undecided-dim";
    BAD_AXIS E0305 "bad-axis";
    BAD_SIZE E0306 "bad-size";
    BAD_PATTERN E0307 "bad-pattern";
    DTYPE_MISMATCH E0401 "dtype-mismatch";
    TAG_MISMATCH E0402 "tag-mismatch";
    NO_GRADIENT E0501 "no-gradient";
    NOT_A_SCALAR E0502 "not-a-scalar";
    DATA_MISSING E0601 "data-missing";
    DATA_FORMAT E0602 "data-format";
    DATA_VALUE E0603 "data-value";
    BAD_SETTING E0701 "bad-setting";
    NOT_FINITE E0702 "not-finite";
    RESUME E0703 "resume";
    BUDGET E0801 "budget";
    TARGET E0802 "target";
    FILE E0901 "file";
    CHECKPOINT E0902 "checkpoint";
    USAGE E0903 "usage";
    INTERNAL E0999 "internal";
    UNUSED_BINDING W1001 "unused-binding";
    CAPITAL W1002 "capital";
    DATA_UNCHECKED W1003 "data-unchecked";
    PROMPT W1004 "prompt";
    UNUSED_ALLOW W1005 "unused-allow";
    SOFTMAX_BEFORE_LOSS W1006 "softmax-before-loss";
    SCORES_AS_PROBABILITIES W1007 "scores-as-probabilities";
    STACKED_LINEAR W1008 "stacked-linear";
    BIAS_BEFORE_NORM W1009 "bias-before-norm";
    DROPOUT_ON_OUTPUT W1010 "dropout-on-output";
    ACTIVATION_ON_OUTPUT W1011 "activation-on-output";
    BATCH_OF_ONE W1012 "batch-of-one";
    RAW_PIXELS W1013 "raw-pixels";
    SCALED_TWICE W1014 "scaled-twice";
    LEARNING_RATE W1015 "learning-rate";
    SCHEDULE_LENGTH W1016 "schedule-length";
    LABEL_LEAK W1017 "label-leak";
    UNUSED_COLUMN W1018 "unused-column";
    SPARE_CLASSES W1019 "spare-classes";
    VALIDATION_OVERLAP W1020 "validation-overlap";
    SEES_THE_ANSWER W1021 "sees-the-answer";
    ATTENTION_SCALE W1022 "attention-scale";
    DECAY_ON_NORMS W1023 "decay-on-norms";
    EMBEDDING_SCALE W1024 "embedding-scale";
    METRIC_IN_TRAINING W1025 "metric-in-training";
    SUMMED_LOSS W1026 "summed-loss";
    PADDING_COUNTED W1027 "padding-counted";
    CLASS_AS_NUMBER W1028 "class-as-number";
    SOFTMAX_OF_ONE W1029 "softmax-of-one";
    ACROSS_BATCH W1030 "across-batch";
    HEAVY_DROPOUT W1031 "heavy-dropout";
    DROPOUT_BEFORE_NORM W1032 "dropout-before-norm";
    IDLE_ACTIVATION W1033 "idle-activation";
    UNSTABLE_LOG W1034 "unstable-log";
    COUPLED_DECAY W1035 "coupled-decay";
    PATIENCE_TOO_LONG W1036 "patience-too-long";
    BATCH_LARGER_THAN_DATA W1037 "batch-larger-than-data";
    SLOW_AVERAGE W1038 "slow-average";
    SKIPPED_PIXELS W1039 "skipped-pixels";
    UNCLIPPED_RECURRENCE W1040 "unclipped-recurrence";
    NO_POSITIONS W1041 "no-positions";
}

/// The code with this id (`E0301`) or name (`shape-mismatch`).
pub fn find(what: &str) -> Option<&'static Code> {
    ALL.iter().copied().find(|c| c.id.eq_ignore_ascii_case(what) || c.name == what)
}
