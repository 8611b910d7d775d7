//! Pictures of another size: in go bytes of one channel, out come bytes of the size asked for. A triangle filter that
//! widens when it shrinks (Pillow's BILINEAR), along each axis, rounded once at the end.

/// For each place of the result: where its inputs begin, and their weights, which add up to 1.
fn taps(from: usize, to: usize) -> Vec<(usize, Vec<f32>)> {
    let scale = from as f32 / to as f32;
    let reach = scale.max(1.0);
    let tap = |i: usize| {
        let center = (i as f32 + 0.5) * scale;
        let start = (center - reach).round().max(0.0) as usize;
        let end = ((center + reach).round() as usize).clamp(start + 1, from);
        let weight = |j: usize| (1.0 - ((j as f32 + 0.5 - center) / reach).abs()).max(0.0);
        let weights: Vec<f32> = (start..end).map(weight).collect();
        let sum: f32 = weights.iter().sum();
        (start, weights.iter().map(|w| w / sum).collect())
    };
    (0..to).map(tap).collect()
}

/// Square pictures of `from` x `from` bytes, one after the other, as pictures of `to` x `to`.
pub fn squares(pictures: &[u8], from: usize, to: usize) -> Vec<u8> {
    let taps = taps(from, to);
    let mut wide = vec![0f32; from * to];
    let mut out = Vec::with_capacity(pictures.len() / (from * from).max(1) * to * to);
    let mut line = vec![0f32; to];
    for picture in pictures.chunks_exact(from * from) {
        for (row, wide) in picture.chunks_exact(from).zip(wide.chunks_exact_mut(to)) {
            for ((start, weights), value) in taps.iter().zip(wide) {
                *value = weights.iter().zip(&row[*start..]).map(|(w, &p)| w * f32::from(p)).sum();
            }
        }
        for (start, weights) in &taps {
            line.fill(0.0);
            for (weight, wide) in weights.iter().zip(wide.chunks_exact(to).skip(*start)) {
                line.iter_mut().zip(wide).for_each(|(l, v)| *l += weight * v);
            }
            out.extend(line.iter().map(|v| v.round() as u8));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_it_must() {
        let picture: Vec<u8> = (0..16).map(|i| i * 16).collect();
        assert_eq!(squares(&picture, 4, 4), picture);
        assert_eq!(squares(&[77; 9], 3, 8), [77; 64]);
        assert_eq!(squares(&[0, 0, 0, 200, 100, 100, 100, 100], 2, 1), [50, 100]);
    }

    /// The figures of Pillow 13's `Image.resize((n, n), Image.BILINEAR)`.
    #[test]
    fn matches_pillow() {
        let grown = squares(&[0, 40, 80, 200], 2, 4);
        assert_eq!(grown, [0, 10, 30, 40, 20, 35, 65, 80, 60, 85, 135, 160, 80, 110, 170, 200]);
        let ramp: Vec<u8> = (0..49).map(|i| (i * 5 % 251) as u8).collect();
        assert_eq!(squares(&ramp, 7, 3), [34, 45, 56, 109, 120, 131, 184, 195, 206]);
    }
}
