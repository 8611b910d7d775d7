//! The next token: in go its scores, out comes the most likely one, or one drawn. Draws are keyed by the seed and the
//! token's place, so nothing that happened before but the text itself matters.
//!
//! In this order, as in Hugging Face's `generate`: scores are divided by the temperature, the `top_k` largest stay, of
//! those the smallest number whose probabilities add up to `top_p`. Equal scores go by the tokens' numbers.

use crate::check::Choice;
use crate::ops::threefry;

/// What tells these draws from all others under the same seed.
const SITE: u64 = 0x6765_6e65_7261_7465;

/// Logarithms of the probabilities that scores stand for.
pub fn log_probs(scores: &[f64]) -> Vec<f64> {
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|s| (s - most).exp()).sum();
    scores.iter().map(|s| s - most - sum.ln()).collect()
}

/// The places of scores from the largest to the smallest, those that cannot be left out.
pub fn ranked(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).filter(|i| scores[*i] > f64::NEG_INFINITY).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
    order
}

/// The next token, at this place of the text that is generated.
pub fn pick(scores: &[f64], choice: &Choice, seed: u64, position: usize) -> i32 {
    let mut order = ranked(scores);
    let Some(&first) = order.first() else { return 0 };
    if choice.temperature == 0.0 || order.len() == 1 {
        return first as i32;
    }
    order.truncate(choice.top_k.unwrap_or(usize::MAX).max(1));
    let kept: Vec<f64> = order.iter().map(|i| scores[*i] / choice.temperature).collect();
    let mut probs: Vec<f64> = log_probs(&kept).into_iter().map(f64::exp).collect();
    if let Some(top_p) = choice.top_p {
        let mut sum = 0.0;
        let needed = probs.iter().position(|p| {
            sum += p;
            sum >= top_p
        });
        probs.truncate(needed.map_or(probs.len(), |n| n + 1));
    }
    let position = position as u64;
    let key = [seed as u32, (seed >> 32) as u32, position as u32, (position >> 32) as u32];
    // Two words of 24 bits: fine enough for the largest vocabulary.
    let (high, low) = (threefry::uniform(key, SITE, 0), threefry::uniform(key, SITE, 1));
    let drawn = (f64::from(high) + f64::from(low) / f64::from(1 << 24)) * probs.iter().sum::<f64>();
    let mut sum = 0.0;
    let hit = probs.iter().position(|p| {
        sum += p;
        drawn < sum
    });
    order[hit.unwrap_or(probs.len() - 1)] as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(temperature: f64, top_k: Option<usize>, top_p: Option<f64>) -> Choice {
        Choice { max_tokens: 1, temperature, top_k, top_p, beam: 1 }
    }

    fn drawn(scores: &[f64], choice: &Choice) -> Vec<f64> {
        let mut counts = vec![0.0; scores.len()];
        (0..20_000).for_each(|i| counts[pick(scores, choice, 7, i) as usize] += 1.0 / 20_000.0);
        counts
    }

    #[test]
    fn greedy_takes_the_largest_and_of_equals_the_first() {
        assert_eq!(pick(&[0.0, 3.0, 3.0], &choice(0.0, None, None), 0, 0), 1);
        assert_eq!(pick(&[f64::NEG_INFINITY, -3.0], &choice(1.0, None, None), 0, 0), 1);
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let scores: Vec<f64> = [0.5f64, 0.2, 0.3].iter().map(|p| p.ln()).collect();
        for (choice, wanted) in [
            (choice(1.0, None, None), [0.5, 0.2, 0.3]),
            (choice(0.5, None, None), [0.25 / 0.38, 0.04 / 0.38, 0.09 / 0.38]),
            (choice(1.0, Some(2), None), [0.625, 0.0, 0.375]),
            (choice(1.0, None, Some(0.7)), [0.625, 0.0, 0.375]),
            (choice(1.0, None, Some(0.4)), [1.0, 0.0, 0.0]),
        ] {
            let found = drawn(&scores, &choice);
            assert!(found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 0.015), "{choice:?}: {found:?}");
        }
    }

    #[test]
    fn draws_depend_on_seed_and_place_alone() {
        let scores = vec![0.0; 50];
        let choice = choice(1.0, None, None);
        let of = |seed, position| pick(&scores, &choice, seed, position);
        assert_eq!(of(1, 5), of(1, 5));
        assert_ne!((0..8).map(|i| of(1, i)).collect::<Vec<_>>(), (0..8).map(|i| of(2, i)).collect::<Vec<_>>());
        assert_ne!(of(1, 0), of(1, 1));
    }
}
