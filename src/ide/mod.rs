//! What an editor asks of a program: pure queries over a text and what checking said of it. In goes an [`Analysis`] and an
//! offset, out comes data. Nothing here knows a protocol or touches a disk; whoever asks brings the files.
//!
//! A text's tree and names are read anew with every keystroke ([`Syntax`]); what checking found ([`Facts`]) may be of an
//! earlier text, and [`shift::Shift`] says where its places are now. So every query answers at once, also in half-typed code.

mod actions;
mod again;
mod complete;
mod costs;
mod cursor;
mod facts;
mod fits;
mod goto;
mod hints;
mod hover;
mod lens;
mod library;
mod links;
mod names;
mod outline;
mod rename;
mod settings;
mod shift;
mod show;
mod signature;
mod summary;
mod tokens;

pub use actions::{Action, actions};
pub use again::{Reach, check_again};
pub use complete::{Completion, CompletionKind, ListFolder, complete};
pub use costs::{Costs, TaskCosts, costs, forward_flops};
pub use facts::{Facts, Input, TaskFacts, check, item_name};
pub use goto::{Place, definition, highlights, references};
pub use hints::{Hint, HintMode, hints};
pub use hover::{Hover, documentation, hover};
pub use lens::{Lens, lenses};
pub use library::Library;
pub use links::{Linked, links};
pub use names::{Kind, Names, Symbol, Target};
pub use outline::{Fold, Outline, folds, outline, selections};
pub use rename::{Renamed, prepare_rename, rename};
pub use shift::{Edit, Shift};
pub use show::grouped;
pub use signature::{SignatureHelp, signature};
pub use summary::{Summary, SummaryRow, summaries};
pub use tokens::{TOKEN_KINDS, TOKEN_MODIFIERS, Token, tokens};

use crate::diag::Diagnostic;
use crate::source::{FileId, Span};
use crate::syntax::{self, ast::File};
use std::ops::Range;
use std::sync::Arc;

/// The file that is edited; the first of every check.
pub const MAIN: FileId = FileId(0);

/// A text, read.
#[derive(Clone, Debug)]
pub struct Syntax {
    pub text: Arc<str>,
    pub tree: Arc<File>,
    pub names: Arc<Names>,
    /// What could not be read.
    pub diagnostics: Vec<Diagnostic>,
}

impl Syntax {
    /// Reads a text: for every text, in linear time.
    pub fn of(text: impl Into<Arc<str>>) -> Syntax {
        let text = text.into();
        let (tree, diagnostics) = syntax::parse(&text, MAIN);
        Syntax::new(text, tree, diagnostics)
    }

    /// Reads a text of which this is an earlier state: the same as [`Syntax::of`], in the time that the edit takes.
    pub fn edited(&self, text: impl Into<Arc<str>>) -> Syntax {
        let text = text.into();
        match syntax::parse_again(&self.tree, &self.diagnostics, &self.text, &text, MAIN) {
            Some((tree, diagnostics)) => Syntax::new(text, tree, diagnostics),
            None => Syntax::of(text),
        }
    }

    fn new(text: Arc<str>, tree: File, diagnostics: Vec<Diagnostic>) -> Syntax {
        let names = Names::of(&tree);
        Syntax { text, tree: Arc::new(tree), names: Arc::new(names), diagnostics }
    }
}

/// A text with what is known of it.
#[derive(Clone)]
pub struct Analysis {
    pub syntax: Arc<Syntax>,
    pub facts: Arc<Facts>,
    /// From the text of the facts to the text at hand.
    pub shift: Arc<Shift>,
    /// What tasks cost, if that was asked for and is known.
    pub costs: Option<Arc<Costs>>,
}

impl Analysis {
    /// Reads and checks a text at once.
    pub fn new(input: &Input) -> Analysis {
        let syntax = Syntax::of(input.text.clone());
        let facts = check(input, &syntax);
        Analysis { syntax: Arc::new(syntax), facts: Arc::new(facts), shift: Arc::default(), costs: None }
    }

    pub fn text(&self) -> &str {
        &self.syntax.text
    }

    pub fn names(&self) -> &Names {
        &self.syntax.names
    }

    /// The text of a span of the file.
    pub fn of(&self, span: Span) -> &str {
        self.syntax.text.get(span.range()).unwrap_or("")
    }

    /// A place of the facts in the text at hand; none if it was edited away.
    pub fn now(&self, span: Span) -> Option<Range<usize>> {
        match span.file == MAIN {
            true => self.shift.forward(span.range()).filter(|r| r.end <= self.syntax.text.len()),
            false => None,
        }
    }

    /// A place of the text at hand in the facts.
    pub fn then(&self, range: Range<usize>) -> Option<Span> {
        self.shift.back(range).map(|r| Span::new(MAIN, r.start, r.end))
    }
}
