//! Positions: lines and columns in the client's units on one side, byte offsets on the other. Total: a position that is not
//! in the text gives the nearest that is.

use line_index::{LineCol, LineIndex, TextSize, WideEncoding, WideLineCol};
use lsp_types::{Position, Range as LspRange};
use std::ops::Range;

/// What a column counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Utf8,
    Utf16,
    Utf32,
}

impl Encoding {
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Utf8 => "utf-8",
            Encoding::Utf16 => "utf-16",
            Encoding::Utf32 => "utf-32",
        }
    }

    /// The first of the client's that is cheap, else UTF-16, which every client has.
    pub fn negotiate(offered: &[String]) -> Encoding {
        match offered.iter().any(|o| o == "utf-8") {
            true => Encoding::Utf8,
            false if offered.iter().any(|o| o == "utf-16") || offered.is_empty() => Encoding::Utf16,
            false if offered.iter().any(|o| o == "utf-32") => Encoding::Utf32,
            false => Encoding::Utf16,
        }
    }
}

/// A text's lines.
#[derive(Debug)]
pub struct Lines {
    index: LineIndex,
    encoding: Encoding,
}

impl Lines {
    pub fn new(text: &str, encoding: Encoding) -> Lines {
        Lines { index: LineIndex::new(text), encoding }
    }

    /// The byte offset of a position.
    pub fn offset(&self, text: &str, at: Position) -> usize {
        let Some(line) = self.index.line(at.line) else { return text.len() };
        let start = usize::from(line.start());
        let end = usize::from(line.end()).min(text.len());
        let content = text.get(start..end).unwrap_or("");
        let content = content.strip_suffix('\n').map_or(content, |c| c.strip_suffix('\r').unwrap_or(c));
        let wide = |encoding| {
            let wide = WideLineCol { line: at.line, col: at.character };
            self.index.to_utf8(encoding, wide).map_or(content.len(), |c| c.col as usize)
        };
        let column = match self.encoding {
            Encoding::Utf8 => at.character as usize,
            // A column beyond the end means the end.
            Encoding::Utf16 if at.character as usize >= content.encode_utf16().count() => content.len(),
            Encoding::Utf16 => wide(WideEncoding::Utf16),
            Encoding::Utf32 if at.character as usize >= content.chars().count() => content.len(),
            Encoding::Utf32 => wide(WideEncoding::Utf32),
        };
        let mut column = column.min(content.len());
        while !content.is_char_boundary(column) {
            column -= 1;
        }
        start + column
    }

    /// The position of a byte offset.
    pub fn position(&self, text: &str, offset: usize) -> Position {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let Some(at) = self.index.try_line_col(TextSize::new(offset as u32)) else {
            return Position { line: 0, character: 0 };
        };
        let wide = |encoding| {
            let wide = self.index.to_wide(encoding, LineCol { line: at.line, col: at.col });
            wide.map_or(at.col, |w| w.col)
        };
        let character = match self.encoding {
            Encoding::Utf8 => at.col,
            Encoding::Utf16 => wide(WideEncoding::Utf16),
            Encoding::Utf32 => wide(WideEncoding::Utf32),
        };
        Position { line: at.line, character }
    }

    pub fn range(&self, text: &str, range: Range<usize>) -> LspRange {
        LspRange { start: self.position(text, range.start), end: self.position(text, range.end) }
    }

    pub fn bytes(&self, text: &str, range: LspRange) -> Range<usize> {
        let (start, end) = (self.offset(text, range.start), self.offset(text, range.end));
        start.min(end)..end.max(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offset_survives_the_way_there_and_back() {
        let text = "a = 1 // \u{1f600} \u{e9}\r\n\u{4f60}\u{597d} x\n\n\u{1f600}";
        for encoding in [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32] {
            let lines = Lines::new(text, encoding);
            for (offset, c) in text.char_indices() {
                // Between the two characters of a line break there is no position.
                if c == '\n' && text[..offset].ends_with('\r') {
                    continue;
                }
                let at = lines.position(text, offset);
                assert_eq!(lines.offset(text, at), offset, "{encoding:?} {offset}");
            }
            assert_eq!(lines.offset(text, Position { line: 99, character: 0 }), text.len());
            assert_eq!(lines.offset(text, Position { line: 0, character: 999 }), text.find('\r').unwrap());
        }
        let lines = Lines::new(text, Encoding::Utf16);
        assert_eq!(lines.position(text, text.find('\u{e9}').unwrap()), Position { line: 0, character: 12 });
    }

    #[test]
    fn the_clients_encodings_are_taken_as_they_come() {
        assert_eq!(Encoding::negotiate(&[]), Encoding::Utf16);
        assert_eq!(Encoding::negotiate(&["utf-16".into(), "utf-8".into()]), Encoding::Utf8);
        assert_eq!(Encoding::negotiate(&["utf-32".into()]), Encoding::Utf32);
    }
}
