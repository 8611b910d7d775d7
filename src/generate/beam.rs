//! Beam search: in go the scores of the next token of some texts, out comes the text with the highest mean
//! log-probability of a token that is found.
//!
//! As in Hugging Face's `generate` with `length_penalty` 1 and `early_stopping` false: in every step the `2 * beam` best
//! continuations of all texts are looked at. One that ends is kept if it is among the best `beam`, with the sum of its
//! log-probabilities over the number of its new tokens, the end mark counted; the best `beam` others go on. The search
//! is over when `beam` ended texts are kept and the best sum, over the tokens so far, is no better than the worst of them.

use super::choose::{log_probs, ranked};
use super::{Ending, Result};
use crate::check::Choice;

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// With the prompt, and with the end mark if it ended.
    pub tokens: Vec<i32>,
    /// The mean log-probability of its new tokens.
    pub score: f64,
    pub ending: Ending,
}

/// Continues `prompt`. `scores` gives those of the next token of each text, or none if it was told to stop.
pub fn search(
    choice: &Choice,
    end: Option<i32>,
    prompt: &[i32],
    mut scores: impl FnMut(&[Vec<i32>]) -> Result<Option<Vec<Vec<f64>>>>,
) -> Result<Found> {
    let beam = choice.beam;
    let mut running = vec![(prompt.to_vec(), 0.0)];
    let mut ended: Vec<Found> = Vec::new();
    let mut stopped = false;
    for step in 1..=choice.max_tokens {
        let texts: Vec<Vec<i32>> = running.iter().map(|(t, _)| t.clone()).collect();
        let Some(found) = scores(&texts)? else {
            stopped = true;
            break;
        };
        // The best continuations of all texts: sum, text, token.
        let mut all: Vec<(f64, usize, usize)> = Vec::new();
        for (text, scores) in found.iter().enumerate() {
            let probs = log_probs(scores);
            all.extend(ranked(scores).into_iter().take(2 * beam).map(|t| (running[text].1 + probs[t], text, t)));
        }
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        all.truncate(2 * beam);
        let best = all.first().map_or(f64::NEG_INFINITY, |c| c.0);
        let mut next = Vec::new();
        for (rank, (sum, text, token)) in all.into_iter().enumerate() {
            let mut tokens = texts[text].clone();
            tokens.push(token as i32);
            if Some(token as i32) != end {
                next.push((tokens, sum));
            } else if rank < beam {
                keep(&mut ended, Found { tokens, score: sum / step as f64, ending: Ending::Ended }, beam);
            }
            if next.len() == beam {
                break;
            }
        }
        running = next;
        let worst = ended.last().map_or(f64::NEG_INFINITY, |f| f.score);
        if running.is_empty() || ended.len() == beam && worst >= best / step as f64 {
            running.clear();
            break;
        }
    }
    let ending = if stopped { Ending::Stopped } else { Ending::Full };
    for (tokens, sum) in running {
        let new = tokens.len() - prompt.len();
        keep(&mut ended, Found { tokens, score: sum / new.max(1) as f64, ending }, beam);
    }
    let none = Found { tokens: prompt.to_vec(), score: 0.0, ending };
    let first = ended.into_iter().next().unwrap_or(none);
    Ok(if stopped { Found { ending, ..first } } else { first })
}

/// Keeps the best `most`, the best one first.
fn keep(ended: &mut Vec<Found>, found: Found, most: usize) {
    let at = ended.iter().position(|f| f.score < found.score).unwrap_or(ended.len());
    ended.insert(at, found);
    ended.truncate(most);
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: i32 = 2;

    fn choice(beam: usize, max_tokens: usize) -> Choice {
        Choice { max_tokens, temperature: 0.0, top_k: None, top_p: None, beam }
    }

    /// Greedy falls for token 0, behind which everything is equally likely; token 1 is sure of the end mark.
    fn trap(rows: &[Vec<i32>]) -> Result<Option<Vec<Vec<f64>>>> {
        let of = |row: &Vec<i32>| match row.last() {
            Some(9) => [0.6f64, 0.4, 0.0],
            Some(1) => [0.05, 0.05, 0.9],
            _ => [0.34, 0.33, 0.33],
        };
        Ok(Some(rows.iter().map(|r| of(r).iter().map(|p| p.ln()).collect()).collect()))
    }

    #[test]
    fn a_beam_finds_what_greedy_misses() {
        let found = search(&choice(2, 6), Some(END), &[9], trap).expect("finds");
        assert_eq!(found.tokens, [9, 1, END]);
        assert_eq!(found.ending, Ending::Ended);
        let wanted = (0.4f64.ln() + 0.9f64.ln()) / 2.0;
        assert!((found.score - wanted).abs() < 1e-12);
        let greedy = search(&choice(1, 6), Some(END), &[9], trap).expect("finds");
        assert_eq!(greedy.tokens[..2], [9, 0]);
    }

    #[test]
    fn a_wide_beam_finds_the_best_of_all() {
        // Scores of a token after another, of a fixed table; every text of up to five tokens is tried.
        let table = |from: i32| -> Vec<f64> {
            (0..4).map(|to| f64::from((from * 7 + to * 5 + from * to) % 11) / 3.0).collect::<Vec<f64>>()
        };
        let scores = |rows: &[Vec<i32>]| Ok(Some(rows.iter().map(|r| table(r[r.len() - 1])).collect()));
        let mut best = (f64::NEG_INFINITY, Vec::new());
        let mut open = vec![(vec![3], 0.0)];
        for step in 1..=5 {
            for (text, sum) in std::mem::take(&mut open) {
                for (to, p) in log_probs(&table(text[text.len() - 1])).into_iter().enumerate() {
                    let next: Vec<i32> = text.iter().copied().chain([to as i32]).collect();
                    let whole = to as i32 == END || step == 5;
                    if whole && (sum + p) / f64::from(step) > best.0 {
                        best = ((sum + p) / f64::from(step), next.clone());
                    }
                    if to as i32 != END {
                        open.push((next, sum + p));
                    }
                }
            }
        }
        let found = search(&choice(200, 5), Some(END), &[3], scores).expect("finds");
        assert_eq!(found.tokens, best.1);
        assert!((found.score - best.0).abs() < 1e-12);
    }

    #[test]
    fn a_beam_of_one_is_greedy() {
        let mut greedy = vec![9];
        let choice = choice(1, 6);
        while greedy.len() < 7 && greedy.last() != Some(&END) {
            let rows = trap(std::slice::from_ref(&greedy)).expect("scores").expect("scores");
            greedy.push(super::super::choose::pick(&rows[0], &choice, 0, 0));
        }
        assert_eq!(search(&choice, Some(END), &[9], trap).expect("finds").tokens, greedy);
    }

    #[test]
    fn it_stops_when_told() {
        let mut left = 2;
        let found = search(&choice(3, 50), Some(END), &[9], |rows| {
            left -= 1;
            if left < 0 { Ok(None) } else { trap(rows) }
        });
        assert_eq!(found.expect("stops").ending, Ending::Stopped);
    }
}
