//! Where places of an earlier text are in a later one: in go the edits between them, out come offsets both ways.

use std::ops::Range;

/// A replacement: the bytes that went away, and how many came.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    pub range: Range<usize>,
    pub len: usize,
}

/// The edits from one text to another, each in terms of the text that the ones before it made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shift {
    edits: Vec<Edit>,
}

impl Shift {
    pub fn push(&mut self, edit: Edit) {
        self.edits.push(edit);
    }

    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    pub fn edits(&self) -> &[Edit] {
        &self.edits
    }

    pub fn len(&self) -> usize {
        self.edits.len()
    }

    /// The edits from the `n`-th on.
    pub fn since(&self, n: usize) -> Shift {
        Shift { edits: self.edits.get(n..).unwrap_or_default().to_vec() }
    }

    /// Where an earlier range is now; none if an edit changed something in it. An edit at its border leaves it as it is.
    pub fn forward(&self, range: Range<usize>) -> Option<Range<usize>> {
        let Range { mut start, mut end } = range;
        for edit in &self.edits {
            let after = |at: usize| at - (edit.range.end - edit.range.start) + edit.len;
            if edit.range.start >= end {
                continue;
            }
            if edit.range.end > start {
                return None;
            }
            (start, end) = (after(start), after(end));
        }
        Some(start..end)
    }

    /// Where a range was earlier; none if it is new.
    pub fn back(&self, range: Range<usize>) -> Option<Range<usize>> {
        let Range { mut start, mut end } = range;
        for edit in self.edits.iter().rev() {
            let came = edit.range.start..edit.range.start + edit.len;
            if came.start >= end {
                continue;
            }
            if came.end > start {
                return None;
            }
            let before = |at: usize| at - edit.len + (edit.range.end - edit.range.start);
            (start, end) = (before(start), before(end));
        }
        Some(start..end)
    }

    /// The edits that turn one text into the other, as one: what is common at both ends stays.
    pub fn between(old: &str, new: &str) -> Shift {
        if old == new {
            return Shift::default();
        }
        let (a, b) = (old.as_bytes(), new.as_bytes());
        let head = a.iter().zip(b).take_while(|(x, y)| x == y).count();
        let most = a.len().min(b.len()) - head;
        let tail = a.iter().rev().zip(b.iter().rev()).take(most).take_while(|(x, y)| x == y).count();
        Shift { edits: vec![Edit { range: head..a.len() - tail, len: b.len() - tail - head }] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_move_with_edits() {
        let shift = Shift::between("abc def ghi", "abc XY def ghi");
        assert_eq!(shift.forward(0..3), Some(0..3));
        assert_eq!(shift.forward(4..7), Some(7..10));
        assert_eq!(shift.back(7..10), Some(4..7));
        assert_eq!(shift.back(4..6), None);
        let cut = Shift::between("abc def ghi", "abc ghi");
        assert_eq!(cut.forward(8..11), Some(4..7));
        assert_eq!(cut.forward(2..9), None);
        let mut two = cut.clone();
        two.push(Edit { range: 0..0, len: 2 });
        assert_eq!(two.forward(8..11), Some(6..9));
        assert_eq!(two.back(6..9), Some(8..11));
    }

    #[test]
    fn one_keystroke_is_one_edit() {
        assert_eq!(Shift::between("aab", "aaab").edits, [Edit { range: 2..2, len: 1 }]);
        assert!(Shift::between("x", "x").is_empty());
    }
}
