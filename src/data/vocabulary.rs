//! Texts and numbers: in go texts, out come the tokens that occur in them, each with a number, and from then on texts as
//! lists of numbers and back.
//!
//! Number 0 is padding, 1 and 2 mark a text's start and end, 3 stands for what is not in the vocabulary; the tokens
//! follow by falling count, equals by their characters' order. The numbers depend on the texts alone.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// The number of padding.
pub const PAD: i32 = 0;
/// The mark before the first token.
pub const START: i32 = 1;
/// The mark behind the last token.
pub const END: i32 = 2;
/// A token that is not in the vocabulary.
pub const UNKNOWN: i32 = 3;
/// The first token's number.
const FIRST: usize = 4;

/// How a text is cut.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tokenizer {
    /// Every character is a token.
    Characters,
    /// Words (letters and digits, with the apostrophes among them) and single other marks; of all of them the most
    /// frequent, so that with the four numbers of [`PAD`] to [`UNKNOWN`] there are at most `most`.
    Words { most: usize },
    /// The subwords of a WordPiece vocabulary file. Declared, not there yet.
    WordPiece { path: String },
    /// Byte pairs by their merges in a file. Declared, not there yet.
    Bpe { path: String },
}

impl Tokenizer {
    /// The call in the language.
    pub fn text(&self) -> String {
        match self {
            Tokenizer::Characters => "characters()".to_string(),
            Tokenizer::Words { most } => format!("words({most})"),
            Tokenizer::WordPiece { path } => format!("wordpiece(\"{path}\")"),
            Tokenizer::Bpe { path } => format!("bpe(\"{path}\")"),
        }
    }

    /// Whether texts can be cut with it today.
    pub fn is_there(&self) -> bool {
        matches!(self, Tokenizer::Characters | Tokenizer::Words { .. })
    }
}

/// Calls `each` with the pieces of a text, in order.
fn pieces<'t>(tokenizer: &Tokenizer, text: &'t str, mut each: impl FnMut(&'t str)) {
    if *tokenizer == Tokenizer::Characters {
        for (at, c) in text.char_indices() {
            each(&text[at..at + c.len_utf8()]);
        }
        return;
    }
    let mut word: Option<usize> = None;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let joins = matches!(c, '\'' | '’') && word.is_some() && chars.peek().is_some_and(|(_, n)| n.is_alphanumeric());
        if c.is_alphanumeric() || joins {
            word.get_or_insert(at);
            continue;
        }
        if let Some(start) = word.take() {
            each(&text[start..at]);
        }
        if !c.is_whitespace() {
            each(&text[at..at + c.len_utf8()]);
        }
    }
    if let Some(start) = word {
        each(&text[start..]);
    }
}

/// The numbers of tokens.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    tokenizer: Tokenizer,
    /// From [`FIRST`] on.
    tokens: Vec<String>,
    lookup: HashMap<String, i32>,
    /// The numbers of the tokens of one ASCII character.
    ascii: [i32; 128],
}

impl PartialEq for Vocabulary {
    fn eq(&self, other: &Vocabulary) -> bool {
        self.tokenizer == other.tokenizer && self.tokens == other.tokens
    }
}

impl Vocabulary {
    /// The tokens of these texts.
    pub fn fit<'t>(tokenizer: &Tokenizer, texts: impl Iterator<Item = &'t str>) -> Vocabulary {
        let mut counts: HashMap<&str, u64> = HashMap::new();
        let mut ascii = [0u64; 128];
        for text in texts {
            pieces(tokenizer, text, |piece| match piece.as_bytes() {
                [byte] if byte.is_ascii() => ascii[*byte as usize] += 1,
                _ => *counts.entry(piece).or_default() += 1,
            });
        }
        let one: Vec<String> = (0..128u8).map(|b| char::from(b).to_string()).collect();
        let mut order: Vec<(&str, u64)> = counts.into_iter().collect();
        order.extend(one.iter().zip(ascii).filter(|(_, n)| *n > 0).map(|(s, n)| (s.as_str(), n)));
        order.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        if let Tokenizer::Words { most } = tokenizer {
            order.truncate(most.saturating_sub(FIRST));
        }
        Vocabulary::new(tokenizer.clone(), order.into_iter().map(|(piece, _)| piece.to_string()).collect())
    }

    /// The vocabulary of these tokens, in the order of their numbers.
    pub fn new(tokenizer: Tokenizer, tokens: Vec<String>) -> Vocabulary {
        let mut lookup = HashMap::new();
        let mut ascii = [UNKNOWN; 128];
        for (i, token) in tokens.iter().enumerate() {
            let number = (FIRST + i) as i32;
            match token.as_bytes() {
                [byte] if byte.is_ascii() => ascii[*byte as usize] = number,
                _ => drop(lookup.insert(token.clone(), number)),
            }
        }
        Vocabulary { tokenizer, tokens, lookup, ascii }
    }

    /// How many numbers there are, the four special ones among them.
    pub fn size(&self) -> usize {
        FIRST + self.tokens.len()
    }

    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The number of a token.
    fn number(&self, piece: &str) -> i32 {
        match piece.as_bytes() {
            [byte] if byte.is_ascii() => self.ascii[*byte as usize],
            _ => self.lookup.get(piece).copied().unwrap_or(UNKNOWN),
        }
    }

    /// Appends the numbers of a text.
    pub fn encode(&self, text: &str, out: &mut Vec<i32>) {
        pieces(&self.tokenizer, text, |piece| out.push(self.number(piece)));
    }

    /// The pieces of a text that have no number of their own, each once, in order.
    pub fn unknown<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let mut found = Vec::new();
        pieces(&self.tokenizer, text, |piece| {
            if self.number(piece) == UNKNOWN && !found.contains(&piece) {
                found.push(piece);
            }
        });
        found
    }

    /// The token of a number; none for padding, marks and numbers that there are not.
    pub fn token(&self, number: i32) -> Option<&str> {
        match usize::try_from(number).ok()? {
            n if n == UNKNOWN as usize => Some("\u{FFFD}"),
            n => self.tokens.get(n.checked_sub(FIRST)?).map(String::as_str),
        }
    }

    /// The text of numbers up to the end mark: characters side by side; words with blanks between them, but not before
    /// a mark that closes.
    pub fn decode(&self, numbers: &[i32]) -> String {
        let mut text = String::new();
        for token in numbers.iter().take_while(|n| **n != END).filter_map(|n| self.token(*n)) {
            let closes = token.len() == 1 && ".,;:!?)]}%'".contains(token);
            let opened = text.ends_with(['(', '[', '{']);
            if self.tokenizer != Tokenizer::Characters && !text.is_empty() && !closes && !opened {
                text.push(' ');
            }
            text.push_str(token);
        }
        text
    }

    /// As it is kept with a run.
    pub fn to_json(&self) -> String {
        let kind = Cow::from(self.tokenizer.text());
        let all: BTreeMap<&str, serde_json::Value> =
            BTreeMap::from([("tokenizer", kind.into()), ("tokens", self.tokens.clone().into())]);
        serde_json::to_string(&all).unwrap_or_default()
    }

    /// Reads what [`Vocabulary::to_json`] wrote; none if it is of another tokenizer or damaged.
    pub fn from_json(tokenizer: &Tokenizer, text: &str) -> Option<Vocabulary> {
        let all: serde_json::Value = serde_json::from_str(text).ok()?;
        if all.get("tokenizer")?.as_str()? != tokenizer.text() {
            return None;
        }
        let tokens = all.get("tokens")?.as_array()?;
        let tokens: Option<Vec<String>> = tokens.iter().map(|t| t.as_str().map(str::to_string)).collect();
        Some(Vocabulary::new(tokenizer.clone(), tokens?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(vocabulary: &Vocabulary, text: &str) -> Vec<i32> {
        let mut out = Vec::new();
        vocabulary.encode(text, &mut out);
        out
    }

    #[test]
    fn numbers_go_by_falling_count_then_by_the_alphabet() {
        let v = Vocabulary::fit(&Tokenizer::Characters, ["bbba", "cé"].into_iter());
        assert_eq!(v.size(), 8);
        assert_eq!(encoded(&v, "bacéz"), [4, 5, 6, 7, UNKNOWN]);
        assert_eq!(v.decode(&[START, 5, 4, 7, END, 4]), "abé");
    }

    #[test]
    fn words_keep_their_apostrophes_and_the_most_frequent() {
        let words = Tokenizer::Words { most: 7 };
        let v = Vocabulary::fit(&words, ["Don't go, don't. go", "go."].into_iter());
        assert_eq!(v.size(), 7);
        assert_eq!(encoded(&v, "go . , Don't 'x'"), [4, 5, 6, 3, 3, 3, 3]);
        assert_eq!(v.decode(&encoded(&v, "go, go.")), "go, go.");
        let mut all = Vec::new();
        pieces(&words, "l'été d’or 'a' x2", |p| all.push(p));
        assert_eq!(all, ["l'été", "d’or", "'", "a", "'", "x2"]);
    }

    #[test]
    fn is_kept_and_read_again() {
        let words = Tokenizer::Words { most: 100 };
        let v = Vocabulary::fit(&words, ["\"a\" été a"].into_iter());
        assert_eq!(Vocabulary::from_json(&words, &v.to_json()), Some(v.clone()));
        assert_eq!(Vocabulary::from_json(&Tokenizer::Characters, &v.to_json()), None);
        assert_eq!(Vocabulary::from_json(&words, "{}"), None);
    }
}
