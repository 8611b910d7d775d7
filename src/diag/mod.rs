//! Diagnostics as data.
//!
//! Every stage describes a fault as a [`Diagnostic`]: a stable [`Code`], a one-line headline, a primary label at the
//! place to edit, secondary labels where the contradicting facts come from, and at most one cure. Renderers
//! (`human`, `short`, `json`, `sarif`, `github`) turn it into text; nothing else prints.

pub mod codes;
mod machine;
mod render;
pub mod suggest;

pub use codes::Code;
pub use machine::{sarif, sarif_result};
pub use render::{Format, render};

use crate::source::Span;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

/// A place and what is to be said about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    pub span: Span,
    pub text: String,
}

/// A change of the source that cures the fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Fix {
    pub title: String,
    /// Replacements, in source order, not overlapping.
    pub edits: Vec<(Span, String)>,
    /// True if applying it blindly is safe.
    pub certain: bool,
}

/// One step of the way from an entry point to the fault: "in `fc1 = Linear(1000)`".
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub span: Span,
    pub text: String,
}

/// One fault or warning.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    pub code: &'static Code,
    pub severity: Severity,
    /// What is wrong, in one line: lower case, no full stop, at most 80 columns.
    pub headline: String,
    /// Absent for faults with no place in a source file (an unreadable command line, a full disk).
    pub primary: Option<Label>,
    pub secondary: Vec<Label>,
    pub notes: Vec<String>,
    /// The cure.
    pub help: Vec<String>,
    pub fixes: Vec<Fix>,
    pub trace: Vec<Frame>,
    /// The item whose check found it, by the place of its name; none where it is of no item.
    pub item: Option<Span>,
}

impl Diagnostic {
    pub fn error(code: &'static Code, span: Span, headline: impl Into<String>) -> Diagnostic {
        Diagnostic {
            code,
            severity: Severity::Error,
            headline: headline.into(),
            primary: Some(Label { span, text: String::new() }),
            secondary: Vec::new(),
            notes: Vec::new(),
            help: Vec::new(),
            fixes: Vec::new(),
            trace: Vec::new(),
            item: None,
        }
    }

    pub fn warning(code: &'static Code, span: Span, headline: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, span, headline) }
    }

    /// A fault with no place in a source file.
    pub fn placeless(code: &'static Code, headline: impl Into<String>) -> Diagnostic {
        let nowhere = Span { file: crate::source::FileId(0), start: 0, end: 0 };
        Diagnostic { primary: None, ..Diagnostic::error(code, nowhere, headline) }
    }

    /// The text at the primary place.
    pub fn label(mut self, text: impl Into<String>) -> Diagnostic {
        if let Some(primary) = &mut self.primary {
            primary.text = text.into();
        }
        self
    }

    /// A secondary place.
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.secondary.push(Label { span, text: text.into() });
        self
    }

    pub fn note(mut self, text: impl Into<String>) -> Diagnostic {
        self.notes.push(text.into());
        self
    }

    pub fn help(mut self, text: impl Into<String>) -> Diagnostic {
        self.help.push(text.into());
        self
    }

    pub fn fix(mut self, title: impl Into<String>, edits: Vec<(Span, String)>, certain: bool) -> Diagnostic {
        self.fixes.push(Fix { title: title.into(), edits, certain });
        self
    }

    /// The same with every place moved; none if one of them is no longer there.
    pub fn with_spans(mut self, to: &mut dyn FnMut(Span) -> Option<Span>) -> Option<Diagnostic> {
        for label in self.primary.iter_mut().chain(&mut self.secondary) {
            label.span = to(label.span)?;
        }
        for frame in &mut self.trace {
            frame.span = to(frame.span)?;
        }
        for (span, _) in self.fixes.iter_mut().flat_map(|f| &mut f.edits) {
            *span = to(*span)?;
        }
        if let Some(item) = &mut self.item {
            *item = to(*item)?;
        }
        Some(self)
    }

    pub fn span(&self) -> Option<Span> {
        self.primary.as_ref().map(|p| p.span)
    }
}

/// Sorts by place, drops repetitions (same code at the same place), and says whether any is an error.
pub fn tidy(diagnostics: &mut Vec<Diagnostic>) -> bool {
    diagnostics.sort_by_key(|d| (d.span(), d.severity));
    let mut said = std::collections::BTreeSet::new();
    diagnostics.retain(|d| {
        let placeless = d.span().is_none().then(|| d.headline.clone());
        said.insert((d.code.id, d.span(), placeless))
    });
    diagnostics.iter().any(|d| d.severity == Severity::Error)
}
