//! Arithmetic on indices: sums and multiples stay in the normal form (terms sorted, no zero strides).

use super::ir::{Bound, Index, LoopVar, Value};

impl Index {
    pub fn constant(offset: i64) -> Index {
        Index { offset, ..Index::default() }
    }

    pub fn var(var: LoopVar) -> Index {
        Index { terms: vec![(var, 1)], ..Index::default() }
    }

    /// A run-time `i32`.
    pub fn value(value: Value) -> Index {
        Index { values: vec![(value, 1)], ..Index::default() }
    }

    /// The number, if it is one.
    pub fn as_constant(&self) -> Option<i64> {
        (self.terms.is_empty() && self.values.is_empty()).then_some(self.offset)
    }

    pub fn scaled(&self, factor: i64) -> Index {
        if factor == 0 {
            return Index::default();
        }
        Index {
            offset: self.offset * factor,
            terms: self.terms.iter().map(|&(v, s)| (v, s * factor)).collect(),
            values: self.values.iter().map(|&(v, s)| (v, s * factor)).collect(),
        }
    }

    pub fn shifted(&self, by: i64) -> Index {
        Index { offset: self.offset + by, ..self.clone() }
    }

    pub fn plus(&self, other: &Index) -> Index {
        Index {
            offset: self.offset + other.offset,
            terms: merge(&self.terms, &other.terms),
            values: merge(&self.values, &other.values),
        }
    }

    /// The stride of a counter.
    pub fn stride(&self, var: LoopVar) -> i64 {
        self.terms.iter().find(|t| t.0 == var).map_or(0, |t| t.1)
    }

    /// Row-major place of an index tuple in a tensor of this shape.
    pub fn linear(tuple: &[Index], shape: &[usize]) -> Index {
        let mut sum = Index::default();
        let mut stride = 1;
        for (index, &size) in tuple.iter().zip(shape).rev() {
            sum = sum.plus(&index.scaled(stride));
            stride *= size as i64;
        }
        sum
    }
}

impl Bound {
    pub fn new(index: Index, limit: usize) -> Bound {
        Bound { index, limit: limit as i64 }
    }
}

fn merge<T: Copy + Ord>(a: &[(T, i64)], b: &[(T, i64)]) -> Vec<(T, i64)> {
    let mut all: Vec<(T, i64)> = a.iter().chain(b).copied().collect();
    all.sort_by_key(|t| t.0);
    let mut out: Vec<(T, i64)> = Vec::with_capacity(all.len());
    for (key, stride) in all {
        match out.last_mut() {
            Some(last) if last.0 == key => last.1 += stride,
            _ => out.push((key, stride)),
        }
    }
    out.retain(|t| t.1 != 0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_stay_normal() {
        let (i, j) = (Index::var(LoopVar(0)), Index::var(LoopVar(1)));
        let a = j.scaled(3).plus(&i).shifted(2);
        assert_eq!(a.to_string(), "i0 + 3*i1 + 2");
        assert_eq!(a.plus(&i.scaled(-1)).to_string(), "3*i1 + 2");
        assert_eq!(Index::linear(&[i, j, Index::constant(1)], &[2, 3, 4]).to_string(), "12*i0 + 4*i1 + 1");
    }
}
