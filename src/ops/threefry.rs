//! Threefry-2x32 with 20 rounds: the counter-based generator behind every draw (Salmon, Moraes, Dror and Shaw,
//! "Parallel random numbers: as easy as 1, 2, 3", 2011). In goes a key and a counter of two words each, out come two
//! words; the same input gives the same bits on every machine.

const ROTATIONS: [u32; 8] = [13, 15, 26, 6, 17, 29, 16, 24];
const PARITY: u32 = 0x1BD1_1BDA;

/// One block of the cipher.
pub fn threefry2x32(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    let schedule = [key[0], key[1], PARITY ^ key[0] ^ key[1]];
    let [mut x, mut y] = [counter[0].wrapping_add(schedule[0]), counter[1].wrapping_add(schedule[1])];
    for round in 0..20 {
        x = x.wrapping_add(y);
        y = y.rotate_left(ROTATIONS[round % 8]) ^ x;
        if round % 4 == 3 {
            let injection = round / 4 + 1;
            x = x.wrapping_add(schedule[injection % 3]);
            y = y.wrapping_add(schedule[(injection + 1) % 3]).wrapping_add(injection as u32);
        }
    }
    [x, y]
}

/// Element `index` of the draw at `site` under the key of the step (seed low, seed high, step low, step high): a
/// multiple of 2^-24 in [0, 1).
pub fn uniform(key: [u32; 4], site: u64, index: u32) -> f32 {
    let cipher_key = [key[0] ^ site as u32, key[1] ^ (site >> 32) as u32];
    let counter = [index, key[2].wrapping_add(0x9E37_79B9u32.wrapping_mul(key[3]))];
    (threefry2x32(cipher_key, counter)[0] >> 8) as f32 * 2f32.powi(-24)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers of the Random123 distribution for `threefry2x32` with 20 rounds.
    #[test]
    fn known_answers() {
        assert_eq!(threefry2x32([0, 0], [0, 0]), [0x6b20_0159, 0x99ba_4efe]);
        assert_eq!(threefry2x32([u32::MAX; 2], [u32::MAX; 2]), [0x1cb9_96fc, 0xbb00_2be7]);
        assert_eq!(threefry2x32([0x1319_8a2e, 0x0370_7344], [0x243f_6a88, 0x85a3_08d3]), [0xc492_3a9c, 0x483d_f7a0]);
    }

    #[test]
    fn draws_are_uniform_and_depend_on_everything() {
        let key = [1, 2, 3, 4];
        let draw = |key, site| (0..4096).map(|i| uniform(key, site, i)).collect::<Vec<f32>>();
        let base = draw(key, 7);
        assert!(base.iter().all(|v| (0.0..1.0).contains(v) && (v * 16_777_216.0).fract() == 0.0));
        let mean = base.iter().sum::<f32>() / 4096.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        for i in 0..4 {
            let mut other = key;
            other[i] += 1;
            assert_ne!(draw(other, 7), base);
        }
        assert_ne!(draw(key, 8), base);
        assert_ne!(draw(key, 7 << 32), base);
    }
}
