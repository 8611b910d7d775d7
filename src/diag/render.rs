//! Renderers: a list of diagnostics as text for people (`human`, `short`); those for programs are in `machine`.

use super::machine;
use super::{Diagnostic, Severity};
use crate::source::{FileId, Sources, Span};
use codespan_reporting::diagnostic as cs;
use codespan_reporting::term;

/// How diagnostics are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// Source excerpts with labels.
    #[default]
    Human,
    /// `file:line:column: error[E0301]: headline`, one line each.
    Short,
    /// One JSON object a line; `docs/diagnostic.schema.json` describes it.
    Json,
    /// One SARIF 2.1.0 document.
    Sarif,
    /// Commands of GitHub's workflows, which show as annotations of the changed lines.
    Github,
}

impl Format {
    /// Whether programs read it: all of it goes to stdout, and nothing else does.
    pub fn is_for_programs(self) -> bool {
        matches!(self, Format::Json | Format::Sarif | Format::Github)
    }
}

/// At most this many diagnostics are printed in full.
const SHOWN: usize = 20;

/// The text of all diagnostics; `color` adds terminal escapes to the human form.
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, format: Format, color: bool) -> String {
    if format == Format::Sarif {
        let results = diagnostics.iter().map(|d| machine::sarif_result(d, sources)).collect();
        return machine::sarif(results);
    }
    let mut out = String::new();
    let shown = if format.is_for_programs() { diagnostics.len() } else { diagnostics.len().min(SHOWN) };
    for diagnostic in &diagnostics[..shown] {
        match format {
            Format::Human => out += &human(diagnostic, sources, color),
            Format::Short => out += &short(diagnostic, sources),
            Format::Json => out += &machine::json_line(diagnostic, sources),
            Format::Github => out += &machine::github(diagnostic, sources),
            Format::Sarif => {}
        }
    }
    if shown < diagnostics.len() {
        out += &format!("… and {} more\n", diagnostics.len() - shown);
    }
    out
}

pub(super) fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn short(d: &Diagnostic, sources: &Sources) -> String {
    let place = d.span().map_or(String::new(), |s| sources.place(s) + ": ");
    format!("{place}{}[{}]: {}\n", word(d.severity), d.code.id, d.headline)
}

/// Adapts [`Sources`] to what codespan-reporting reads.
struct Files<'a>(&'a Sources);

impl<'a> codespan_reporting::files::Files<'a> for Files<'a> {
    type FileId = FileId;
    type Name = &'a str;
    type Source = &'a str;

    fn name(&'a self, id: FileId) -> Result<&'a str, codespan_reporting::files::Error> {
        Ok(&self.0.file(id).name)
    }

    fn source(&'a self, id: FileId) -> Result<&'a str, codespan_reporting::files::Error> {
        Ok(&self.0.file(id).text)
    }

    fn line_index(&'a self, id: FileId, byte: usize) -> Result<usize, codespan_reporting::files::Error> {
        Ok(self.0.file(id).line_col(byte).0 - 1)
    }

    fn line_range(
        &'a self,
        id: FileId,
        line: usize,
    ) -> Result<std::ops::Range<usize>, codespan_reporting::files::Error> {
        self.0.file(id).line_range(line).ok_or(codespan_reporting::files::Error::LineTooLarge {
            given: line,
            max: self.0.file(id).line_count() - 1,
        })
    }
}

pub(super) fn human(d: &Diagnostic, sources: &Sources, color: bool) -> String {
    let mut labels = Vec::new();
    if let Some(primary) = &d.primary {
        labels.push(cs::Label::primary(primary.span.file, visible(primary.span, sources)).with_message(&primary.text));
    }
    labels.extend(
        d.secondary.iter().map(|l| cs::Label::secondary(l.span.file, visible(l.span, sources)).with_message(&l.text)),
    );
    let mut notes = d.notes.clone();
    notes.extend(d.trace.iter().map(|f| format!("{} ({})", f.text, sources.place(f.span))));
    notes.extend(d.help.iter().map(|h| format!("help: {h}")));
    notes.push(format!("`nnc explain {}` says more", d.code.id));
    let severity = match d.severity {
        Severity::Error => cs::Severity::Error,
        Severity::Warning => cs::Severity::Warning,
    };
    let shown = cs::Diagnostic::new(severity)
        .with_code(d.code.id)
        .with_message(&d.headline)
        .with_labels(labels)
        .with_notes(notes);
    let config = term::Config::default();
    let files = Files(sources);
    let written = if color {
        let mut buffer = term::termcolor::Buffer::ansi();
        term::emit_to_write_style(&mut buffer, &config, &files, &shown)
            .map(|()| String::from_utf8_lossy(buffer.as_slice()).into_owned())
    } else {
        term::emit_into_string(&config, &files, &shown)
    };
    written.unwrap_or_else(|_| short(d, sources))
}

/// A span that codespan can draw: inside the text, on character boundaries.
fn visible(span: Span, sources: &Sources) -> std::ops::Range<usize> {
    let text = &sources.file(span.file).text;
    let floor = |mut i: usize| {
        i = i.min(text.len());
        while !text.is_char_boundary(i) {
            i -= 1;
        }
        i
    };
    let start = floor(span.start as usize);
    start..floor(span.end as usize).max(start)
}
