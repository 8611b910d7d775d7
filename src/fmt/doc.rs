//! Documents: text with the places where lines may end, and the printer that decides where they do (Wadler, "A prettier
//! printer", 2003; a group stays on one line if it fits).
//!
//! In: a [`Doc`]. Out: lines. Comments end their line, whatever stands around them: what follows one begins a new line.

/// The widest line, in characters, comments not counted.
pub const WIDTH: usize = 100;
/// Spaces a level.
const STEP: usize = 2;
/// Comments behind lines that stand below each other begin in one column, unless that moves one further than this.
const REACH: usize = 24;

#[derive(Clone, Debug)]
pub enum Doc {
    Text(String),
    /// A space, or the end of a line.
    Line,
    /// Nothing, or the end of a line.
    Soft,
    /// `; `, or the end of a line.
    Next,
    /// Nothing, or so many spaces: for columns, which one line has not.
    Pad(usize),
    /// The end of a line, always.
    Hard,
    /// An empty line.
    Empty,
    /// A comment behind what stands on the line.
    Trail(String),
    /// A comment of its own line.
    Lead(String),
    /// Lines that are kept as they are, from the left margin on.
    Verbatim(String),
    Indent(Box<Doc>),
    Concat(Vec<Doc>),
    /// What stands on one line if it fits, and if nothing in it ends a line.
    Group {
        doc: Box<Doc>,
        broken: bool,
    },
}

impl Doc {
    pub fn text(text: impl Into<String>) -> Doc {
        Doc::Text(text.into())
    }

    pub fn indent(doc: Doc) -> Doc {
        Doc::Indent(Box::new(doc))
    }

    /// A group; the comments above it and behind it stay outside, as they say nothing about what is between.
    pub fn group(mut doc: Doc, broken: bool) -> Doc {
        let (mut around, mut behind) = (Vec::new(), Vec::new());
        doc.take_leads(&mut around);
        doc.take_trails(&mut behind);
        let broken = broken || doc.ends_lines();
        let group = Doc::Group { doc: Box::new(doc), broken };
        if around.is_empty() && behind.is_empty() {
            return group;
        }
        around.push(group);
        around.extend(behind.into_iter().rev());
        Doc::Concat(around)
    }

    /// Moves the comments that it begins with; whether nothing is left.
    fn take_leads(&mut self, into: &mut Vec<Doc>) -> bool {
        match self {
            Doc::Lead(_) | Doc::Empty => into.push(std::mem::replace(self, Doc::Concat(Vec::new()))),
            Doc::Concat(docs) => {
                let empty = docs.iter_mut().map(|d| d.take_leads(into)).take_while(|e| *e).count();
                docs.drain(..empty);
            }
            _ => {}
        }
        matches!(self, Doc::Concat(docs) if docs.is_empty())
    }

    /// Moves the comments that it ends with, the last one first; whether nothing is left.
    fn take_trails(&mut self, into: &mut Vec<Doc>) -> bool {
        match self {
            Doc::Trail(_) => into.push(std::mem::replace(self, Doc::Concat(Vec::new()))),
            Doc::Concat(docs) => {
                let empty = docs.iter_mut().rev().map(|d| d.take_trails(into)).take_while(|e| *e).count();
                docs.truncate(docs.len() - empty);
            }
            Doc::Indent(doc) => return doc.take_trails(into),
            _ => {}
        }
        matches!(self, Doc::Concat(docs) if docs.is_empty())
    }

    /// Whether it cannot stand on one line.
    pub fn ends_lines(&self) -> bool {
        match self {
            Doc::Hard | Doc::Empty | Doc::Trail(_) | Doc::Lead(_) | Doc::Verbatim(_) => true,
            Doc::Text(_) | Doc::Line | Doc::Soft | Doc::Next | Doc::Pad(_) => false,
            Doc::Indent(doc) => doc.ends_lines(),
            Doc::Concat(docs) => docs.iter().any(Doc::ends_lines),
            Doc::Group { broken, .. } => *broken,
        }
    }

    /// The width of its text on one line, without the comments above and behind it; none if it cannot stand on one.
    pub fn bare_width(mut self) -> Option<usize> {
        self.take_leads(&mut Vec::new());
        self.take_trails(&mut Vec::new());
        self.width()
    }

    /// Its width on one line; none if it cannot stand on one.
    pub fn width(&self) -> Option<usize> {
        match self {
            Doc::Text(text) => Some(text.chars().count()),
            Doc::Line => Some(1),
            Doc::Next => Some(2),
            Doc::Soft | Doc::Pad(_) => Some(0),
            Doc::Hard | Doc::Empty | Doc::Trail(_) | Doc::Lead(_) | Doc::Verbatim(_) => None,
            Doc::Indent(doc) => doc.width(),
            Doc::Concat(docs) => docs.iter().map(Doc::width).sum(),
            Doc::Group { doc, broken } => doc.width().filter(|_| !broken),
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Flat,
    Broken,
}

/// A line, and the comment behind it.
#[derive(Default)]
struct Row {
    text: String,
    comment: Option<String>,
}

struct Printer {
    rows: Vec<Row>,
    row: Row,
    /// Columns at which the row begins; blanks are written when something follows.
    indent: usize,
    column: usize,
    /// A comment was written: only a new line may follow.
    ended: bool,
}

impl Printer {
    fn newline(&mut self, indent: usize) {
        let mut row = std::mem::take(&mut self.row);
        row.text.truncate(row.text.trim_end().len());
        self.rows.push(row);
        (self.indent, self.column, self.ended) = (indent, indent, false);
    }

    fn is_fresh(&self) -> bool {
        self.row.text.is_empty() && self.row.comment.is_none()
    }

    fn write(&mut self, text: &str, indent: usize) {
        if text.is_empty() {
            return;
        }
        if self.ended {
            self.newline(indent);
        }
        if self.row.text.is_empty() {
            // Blanks begin no line.
            let text = text.trim_start();
            self.row.text = " ".repeat(self.indent) + text;
            self.column = self.indent + text.chars().count();
        } else {
            self.row.text += text;
            self.column += text.chars().count();
        }
    }
}

/// Prints a document. The text ends with a line end, unless it is empty.
pub fn print(doc: &Doc) -> String {
    let mut out = Printer { rows: Vec::new(), row: Row::default(), indent: 0, column: 0, ended: false };
    let mut stack = vec![(0, Mode::Broken, doc)];
    while let Some((indent, mode, doc)) = stack.pop() {
        match doc {
            Doc::Text(text) => out.write(text, indent),
            Doc::Line if mode == Mode::Flat => out.write(" ", indent),
            Doc::Next if mode == Mode::Flat => out.write("; ", indent),
            Doc::Soft | Doc::Pad(_) if mode == Mode::Flat => {}
            Doc::Pad(width) => out.write(&" ".repeat(*width), indent),
            Doc::Line | Doc::Soft | Doc::Next | Doc::Hard => {
                // After a comment of its own the line has ended already.
                out.newline(indent);
            }
            Doc::Empty => {
                if !out.is_fresh() {
                    out.newline(indent);
                }
                if out.rows.last().is_some_and(|r| !r.text.is_empty() || r.comment.is_some()) {
                    out.rows.push(Row::default());
                }
                out.indent = indent;
            }
            Doc::Trail(text) => {
                if out.row.comment.is_some() || out.row.text.is_empty() {
                    if !out.is_fresh() {
                        out.newline(indent);
                    }
                    out.write(text, indent);
                } else {
                    out.row.comment = Some(text.clone());
                }
                out.ended = true;
            }
            Doc::Lead(text) => {
                if !out.is_fresh() {
                    out.newline(indent);
                }
                out.indent = indent;
                out.write(text, indent);
                out.ended = true;
            }
            Doc::Verbatim(text) => {
                if !out.is_fresh() {
                    out.newline(indent);
                }
                let mut lines = text.split('\n').peekable();
                while let Some(line) = lines.next() {
                    out.row.text = line.to_string();
                    if lines.peek().is_some() {
                        // Not `newline`: blanks at the end of such a line may be part of something.
                        out.rows.push(std::mem::take(&mut out.row));
                    }
                }
                (out.column, out.ended) = (WIDTH, false);
            }
            Doc::Indent(doc) => stack.push((indent + STEP, mode, doc)),
            Doc::Concat(docs) => stack.extend(docs.iter().rev().map(|d| (indent, mode, d))),
            Doc::Group { doc, broken } => {
                let column = if out.ended { indent } else { out.column.max(out.indent) };
                let flat = !broken && (mode == Mode::Flat || fits(doc, &stack, WIDTH.saturating_sub(column)));
                stack.push((indent, if flat { Mode::Flat } else { Mode::Broken }, doc));
            }
        }
    }
    if !out.is_fresh() {
        out.newline(0);
    }
    finish(out.rows)
}

/// Whether `doc` on one line, and what follows it up to the next place where a line may end, fits into `room`.
fn fits(doc: &Doc, rest: &[(usize, Mode, &Doc)], room: usize) -> bool {
    let mut room = room as isize;
    let mut stack = vec![(Mode::Flat, doc)];
    let mut below = rest.len();
    while room >= 0 {
        let (mode, doc) = match stack.pop() {
            Some(next) => next,
            None if below == 0 => return true,
            None => {
                below -= 1;
                (rest[below].1, rest[below].2)
            }
        };
        match doc {
            Doc::Text(text) => room -= text.chars().count() as isize,
            Doc::Line if mode == Mode::Flat => room -= 1,
            Doc::Next if mode == Mode::Flat => room -= 2,
            Doc::Soft | Doc::Pad(_) if mode == Mode::Flat => {}
            Doc::Pad(width) => room -= *width as isize,
            Doc::Indent(doc) => stack.push((mode, doc)),
            Doc::Concat(docs) => stack.extend(docs.iter().rev().map(|d| (mode, d))),
            Doc::Group { doc, broken } => stack.push((if *broken { Mode::Broken } else { mode }, doc)),
            _ => return true,
        }
    }
    false
}

/// Joins the lines, with the comments behind them in columns.
fn finish(rows: Vec<Row>) -> String {
    let mut out = String::new();
    let widths: Vec<usize> = rows.iter().map(|r| r.text.chars().count()).collect();
    let mut at = 0;
    while at < rows.len() {
        let mut to = at;
        let (mut least, mut most) = (widths[at], widths[at]);
        while to < rows.len() && rows[to].comment.is_some() {
            (least, most) = (least.min(widths[to]), most.max(widths[to]));
            if most - least > REACH {
                break;
            }
            to += 1;
        }
        let to = to.max(at + 1);
        let column = widths[at..to].iter().max().copied().unwrap_or(0) + 2;
        for (row, width) in rows[at..to].iter().zip(&widths[at..to]) {
            out += &row.text;
            if let Some(comment) = &row.comment {
                out.extend(std::iter::repeat_n(' ', column - width));
                out += comment;
            }
            out.push('\n');
        }
        at = to;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &[&str]) -> Doc {
        let mut inner = vec![Doc::Soft];
        for (i, word) in words.iter().enumerate() {
            inner.push(Doc::text(*word));
            if i + 1 < words.len() {
                inner.extend([Doc::text(","), Doc::Line]);
            }
        }
        Doc::group(
            Doc::Concat(vec![Doc::text("f("), Doc::indent(Doc::Concat(inner)), Doc::Soft, Doc::text(")")]),
            false,
        )
    }

    #[test]
    fn a_group_that_fits_stands_on_one_line() {
        assert_eq!(print(&list(&["a", "b"])), "f(a, b)\n");
        let long = "x".repeat(60);
        assert_eq!(print(&list(&[&long, &long])), format!("f(\n  {long},\n  {long}\n)\n"));
    }

    #[test]
    fn comments_end_their_line_and_stand_in_a_column() {
        let rows = [("a", "// 1"), ("bcd", "// 2")];
        let rows = rows.map(|(text, c)| Doc::Concat(vec![Doc::text(text), Doc::Trail(c.into())]));
        assert_eq!(print(&Doc::Concat(rows.to_vec())), "a    // 1\nbcd  // 2\n");
    }
}
