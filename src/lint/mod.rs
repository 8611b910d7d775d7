//! Lints: in goes a checked program, out come warnings of what can run but is rarely meant. They look at graphs and at
//! what was applied, not at text, so a `softmax` three calls away is still found.
//!
//! To add one: a file here with its `LINT`, its name in the list below, its code in `diag/codes.rs` with a page in
//! `docs/errors`, and `tests/ui/lints/NAME.nn`, which shows it where it must speak and where it must not.

mod allow;
mod attention;
mod course;
mod net;
mod optimizer;

pub use allow::{Levels, settle};

use crate::check::{Program, Task};
use crate::diag::{Code, Diagnostic};
use crate::source::{Sources, Span};
use crate::syntax::ast::TaskKind;
use net::Net;

/// What a lint looks at.
pub enum Look {
    /// Every training step, and every model on its own.
    Net(fn(&Net, &mut Vec<Diagnostic>)),
    /// Every task.
    Task(fn(&Context, &Task, &mut Vec<Diagnostic>)),
}

/// What lints of tasks look around in.
pub struct Context<'a> {
    pub program: &'a Program,
    sources: &'a Sources,
}

impl Context<'_> {
    /// True of what the standard library declares.
    pub fn is_library(&self, declared: Span) -> bool {
        self.sources.file(declared.file).builtin
    }
}

/// One lint.
pub struct Lint {
    pub code: &'static Code,
    pub look: Look,
}

macro_rules! lints {
    ($($name:ident)*) => {
        $(mod $name;)*
        /// Every lint.
        pub const LINTS: &[Lint] = &[$($name::LINT),*];
    };
}

lints! {
    softmax_before_loss
    scores_as_probabilities
    stacked_linear
    bias_before_norm
    dropout_on_output
    activation_on_output
    batch_of_one
    raw_pixels
    scaled_twice
    learning_rate
    schedule_length
    label_leak
    unused_column
    spare_classes
    validation_overlap
    sees_the_answer
    attention_scale
    decay_on_norms
    embedding_scale
    metric_in_training
    summed_loss
    padding_counted
    class_as_number
    softmax_of_one
    across_batch
    heavy_dropout
    dropout_before_norm
    idle_activation
    unstable_log
    coupled_decay
    patience_too_long
    batch_larger_than_data
    slow_average
    skipped_pixels
    unclipped_recurrence
    no_positions
}

/// What all lints have to say of a program without errors.
pub fn lint(program: &Program, sources: &Sources) -> Vec<Diagnostic> {
    let context = Context { program, sources };
    let mut found = Vec::new();
    let steps = program.tasks.iter().filter(|t| t.kind == TaskKind::Train);
    let mut nets: Vec<Net> =
        steps.filter_map(|task| Some(Net::new(task.train.as_ref()?, Some((program, task))))).collect();
    nets.extend(program.drafts.iter().map(|draft| Net::new(draft, None)));
    for lint in LINTS {
        match lint.look {
            Look::Net(look) => nets.iter().for_each(|net| look(net, &mut found)),
            Look::Task(look) => program.tasks.iter().for_each(|task| look(&context, task, &mut found)),
        }
    }
    found
}
