//! What a data set holds beside fields of numbers: texts, and lists of numbers of any length that texts became.

use super::vocabulary::Vocabulary;
use std::sync::Arc;

/// One text for every sample.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    pub name: String,
    content: String,
    /// Where the text of each sample ends in `content`.
    ends: Vec<usize>,
}

impl Texts {
    pub fn new(name: impl Into<String>) -> Texts {
        Texts { name: name.into(), ..Texts::default() }
    }

    /// Appends the text of the next sample.
    pub fn push(&mut self, text: &str) {
        self.content.push_str(text);
        self.ends.push(self.content.len());
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The text of a sample; empty if there is no such sample.
    pub fn get(&self, row: usize) -> &str {
        let start = row.checked_sub(1).map_or(0, |before| self.ends.get(before).copied().unwrap_or(0));
        self.ends.get(row).map_or("", |end| &self.content[start..*end])
    }
}

/// A list of numbers for every sample, each of its own length, made from texts.
#[derive(Clone, Debug)]
pub struct Ragged {
    /// What asks for it: see the data set it stands in.
    pub key: String,
    pub vocabulary: Arc<Vocabulary>,
    values: Vec<i32>,
    ends: Vec<usize>,
}

impl Ragged {
    pub fn new(key: String, vocabulary: Arc<Vocabulary>) -> Ragged {
        Ragged { key, vocabulary, values: Vec::new(), ends: Vec::new() }
    }

    /// Appends the next sample: `marks` before and behind the numbers of `text`.
    pub fn push(&mut self, text: &str, before: Option<i32>, behind: Option<i32>) {
        self.values.extend(before);
        self.vocabulary.encode(text, &mut self.values);
        self.values.extend(behind);
        self.ends.push(self.values.len());
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The numbers of a sample.
    pub fn get(&self, row: usize) -> &[i32] {
        let start = row.checked_sub(1).map_or(0, |before| self.ends.get(before).copied().unwrap_or(0));
        self.ends.get(row).map_or(&[], |end| &self.values[start..*end])
    }
}
