//! Shuffling without a generator's state: in go a count, a seed and a stream number, out comes a permutation that can be
//! evaluated at any place. The values are part of nnc's promise (one seed, one result) and are pinned by tests.

/// Rounds of the Feistel network; eight would do, ten cost nothing that is felt.
const ROUNDS: u64 = 10;

/// An odd constant with well mixed bits (2^64 divided by the golden ratio).
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection on 64 bits in which each bit depends on all.
pub fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// A pseudo-random permutation of `0..count`: a Feistel network over the next power of two, walked until the value is
/// inside (Black and Rogaway 2002).
#[derive(Clone, Copy, Debug)]
pub struct Permutation {
    count: u64,
    key: u64,
    right_bits: u32,
    left_mask: u64,
    right_mask: u64,
}

impl Permutation {
    /// The permutation of `0..count` that belongs to `seed` and `stream` (an epoch, or a purpose).
    pub fn new(count: usize, seed: u64, stream: u64) -> Permutation {
        let count = count as u64;
        let bits = count.max(4).next_power_of_two().trailing_zeros();
        let (left_bits, right_bits) = (bits / 2, bits - bits / 2);
        let key = mix(mix(seed.wrapping_add(GOLDEN)).wrapping_add(mix(stream.wrapping_mul(GOLDEN) ^ GOLDEN)));
        Permutation { count, key, right_bits, left_mask: (1 << left_bits) - 1, right_mask: (1 << right_bits) - 1 }
    }

    /// Where `index` goes; `index` must be below the count.
    pub fn at(&self, index: usize) -> usize {
        debug_assert!((index as u64) < self.count);
        let mut value = index as u64;
        loop {
            value = self.network(value);
            if value < self.count {
                return value as usize;
            }
        }
    }

    /// A bijection on `0..2^bits`: each round replaces one half by itself plus a hash of the other.
    fn network(&self, value: u64) -> u64 {
        let mut left = value >> self.right_bits;
        let mut right = value & self.right_mask;
        for round in 0..ROUNDS {
            let salt = self.key.wrapping_add(round.wrapping_mul(GOLDEN));
            if round % 2 == 0 {
                left = (left ^ (mix(salt ^ right) >> 32)) & self.left_mask;
            } else {
                right = (right ^ (mix(salt ^ left) >> 32)) & self.right_mask;
            }
        }
        left << self.right_bits | right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_permutation_of_every_count() {
        for count in [1, 2, 3, 4, 5, 7, 8, 9, 31, 64, 150, 1797, 4096, 10_001] {
            let shuffled = Permutation::new(count, 7, 3);
            let mut seen: Vec<usize> = (0..count).map(|i| shuffled.at(i)).collect();
            seen.sort_unstable();
            assert!(seen.iter().enumerate().all(|(i, &v)| i == v), "count {count}");
        }
    }

    /// Every value turns up at the first place about equally often over many streams.
    #[test]
    fn places_are_even() {
        let count = 10;
        let mut hits = vec![0usize; count];
        for stream in 0..10_000 {
            hits[Permutation::new(count, 1, stream).at(0)] += 1;
        }
        assert!(hits.iter().all(|&h| (850..1150).contains(&h)), "{hits:?}");
    }

    #[test]
    fn seeds_and_streams_differ() {
        let order = |seed, stream| {
            let shuffled = Permutation::new(1000, seed, stream);
            (0..1000).map(|i| shuffled.at(i)).collect::<Vec<_>>()
        };
        assert_ne!(order(0, 0), order(1, 0));
        assert_ne!(order(0, 0), order(0, 1));
        assert_ne!(order(0, 1), order(1, 0));
        assert_eq!(order(5, 9), order(5, 9));
    }
}
