//! Random draws as scalar operations: Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as
//! 1, 2, 3", 2011). In: the key's four words and the element's number. Out: its uniform `f32` in [0, 1).

use crate::codegen::loops::Value;
use crate::codegen::loops::builder::Builder;
use crate::ops::{Binary, DType};

const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
const PARITY: u32 = 0x1BD1_1BDA;
const GOLDEN: u32 = 0x9E37_79B9;

/// `key` = seed low, seed high, step low, step high.
pub fn uniform(b: &mut Builder, key: [Value; 4], site: u64, element: Value) -> Value {
    let word = |b: &mut Builder, w: u32| b.constant(w as i32 as f64, DType::I32);
    let (low, high) = (word(b, site as u32), word(b, (site >> 32) as u32));
    let k0 = b.binary(Binary::Xor, key[0], low);
    let k1 = b.binary(Binary::Xor, key[1], high);
    let parity = word(b, PARITY);
    let k2 = b.binary(Binary::Xor, k0, k1);
    let k2 = b.binary(Binary::Xor, k2, parity);
    let keys = [k0, k1, k2];
    let golden = word(b, GOLDEN);
    let step = b.binary(Binary::Mul, key[3], golden);
    let step = b.binary(Binary::Add, key[2], step);
    let mut x = b.binary(Binary::Add, element, k0);
    let mut y = b.binary(Binary::Add, step, k1);
    for group in 0..5usize {
        for rotation in ROTATIONS[group % 2] {
            x = b.binary(Binary::Add, x, y);
            let (left, right) = (word(b, rotation), word(b, 32 - rotation));
            let up = b.binary(Binary::Shl, y, left);
            let down = b.binary(Binary::Shr, y, right);
            let turned = b.binary(Binary::Or, up, down);
            y = b.binary(Binary::Xor, turned, x);
        }
        let number = word(b, group as u32 + 1);
        let second = b.binary(Binary::Add, keys[(group + 2) % 3], number);
        x = b.binary(Binary::Add, x, keys[(group + 1) % 3]);
        y = b.binary(Binary::Add, y, second);
    }
    let eight = word(b, 8);
    let bits = b.binary(Binary::Shr, x, eight);
    let number = b.cast(bits, DType::F32);
    let unit = b.constant(1.0 / (1 << 24) as f64, DType::F32);
    b.binary(Binary::Mul, number, unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codegen::loops::{Access, BufferData, Index, run};

    /// Known answers of the Random123 distribution: counter, key, first word.
    #[test]
    fn known_answers() {
        for (counter, key, word) in [
            ([0u32, 0], [0u32, 0], 0x6b20_0159u32),
            ([u32::MAX, u32::MAX], [u32::MAX, u32::MAX], 0x1cb9_96fc),
            ([0x243f_6a88, 0x85a3_08d3], [0x1319_8a2e, 0x0370_7344], 0xc492_3a9c),
        ] {
            let mut b = Builder::new();
            let out = b.buffer(DType::F32, 1, Access::Write);
            let word_of = |b: &mut Builder, w: u32| b.constant(w as i32 as f64, DType::I32);
            let words = [key[0], key[1], counter[1], 0].map(|w| word_of(&mut b, w));
            let element = word_of(&mut b, counter[0]);
            let value = uniform(&mut b, words, 0, element);
            b.store(out, &Index::default(), value, &[], false);
            let mut buffers = [BufferData::zeros(DType::F32, 1)];
            run(&b.finish("draw"), &mut buffers).unwrap();
            assert_eq!(buffers[0].to_f32()[0], (word >> 8) as f32 / (1 << 24) as f32);
        }
    }
}
