//! Runs a kernel slowly and exactly as [`super::ir`] defines it: the judge of every back end. In: a kernel and one array
//! for each of its buffers. Out: the arrays, changed. A load or store outside a buffer is an error, never a crash.

use super::ir::*;
use super::scalar::{self, Scalar};
use crate::ops::{Binary, DType, half};

/// The elements of one buffer, as the machine stores them (little endian).
#[derive(Clone, Debug, PartialEq)]
pub struct BufferData {
    pub dtype: DType,
    pub bytes: Vec<u8>,
}

impl BufferData {
    pub fn zeros(dtype: DType, len: usize) -> BufferData {
        BufferData { dtype, bytes: vec![0; len * dtype.bytes()] }
    }

    pub fn from_f32(values: &[f32]) -> BufferData {
        BufferData { dtype: DType::F32, bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect() }
    }

    pub fn from_i32(values: &[i32]) -> BufferData {
        BufferData { dtype: DType::I32, bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect() }
    }

    /// Numbers rounded to the dtype.
    pub fn from_f64(dtype: DType, values: &[f64]) -> BufferData {
        let mut data = BufferData::zeros(dtype, values.len());
        for (i, &v) in values.iter().enumerate() {
            data.set(i, Scalar::Float(v).cast(dtype));
        }
        data
    }

    pub fn to_f64(&self) -> Vec<f64> {
        (0..self.len()).map(|i| self.get(i).float()).collect()
    }

    pub fn to_f32(&self) -> Vec<f32> {
        (0..self.len()).map(|i| self.get(i).float() as f32).collect()
    }

    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.bytes()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The element; `index` must be less than [`len`](BufferData::len).
    pub fn get(&self, index: usize) -> Scalar {
        fn take<const N: usize>(bytes: &[u8], index: usize) -> [u8; N] {
            let mut out = [0; N];
            out.copy_from_slice(&bytes[index * N..][..N]);
            out
        }
        let b = &self.bytes;
        match self.dtype {
            DType::Bool => Scalar::Int((b[index] != 0) as i64),
            DType::U8 => Scalar::Int(b[index] as i64),
            DType::I8 => Scalar::Int(b[index] as i8 as i64),
            DType::I32 => Scalar::Int(i32::from_le_bytes(take(b, index)) as i64),
            DType::I64 => Scalar::Int(i64::from_le_bytes(take(b, index))),
            d @ (DType::F16 | DType::BF16) => Scalar::Float(half::number(u16::from_le_bytes(take(b, index)), d)),
            DType::F32 => Scalar::Float(f32::from_le_bytes(take(b, index)) as f64),
            DType::F64 => Scalar::Float(f64::from_le_bytes(take(b, index))),
        }
    }

    /// Writes an element; `index` must be less than [`len`](BufferData::len).
    pub fn set(&mut self, index: usize, value: Scalar) {
        let n = self.dtype.bytes();
        let to = &mut self.bytes[index * n..][..n];
        match self.dtype {
            DType::Bool => to[0] = value.is_true() as u8,
            DType::U8 | DType::I8 => to[0] = value.int() as u8,
            DType::I32 => to.copy_from_slice(&(value.int() as i32).to_le_bytes()),
            DType::I64 => to.copy_from_slice(&value.int().to_le_bytes()),
            d @ (DType::F16 | DType::BF16) => to.copy_from_slice(&half::bits(value.float(), d).to_le_bytes()),
            DType::F32 => to.copy_from_slice(&(value.float() as f32).to_le_bytes()),
            DType::F64 => to.copy_from_slice(&value.float().to_le_bytes()),
        }
    }
}

/// Runs the kernel over its buffers, in order of its arguments. The kernel should have passed
/// [`verify`](super::verify); the error says which access left its buffer, or which buffer does not fit.
pub fn run(kernel: &Kernel, buffers: &mut [BufferData]) -> Result<(), String> {
    if buffers.len() != kernel.buffers.len() {
        return Err(format!("{} buffers for {} arguments", buffers.len(), kernel.buffers.len()));
    }
    for (i, (data, decl)) in buffers.iter().zip(&kernel.buffers).enumerate() {
        if data.dtype != decl.dtype || data.len() != decl.len {
            return Err(format!("b{i} is {}[{}], not {}[{}]", data.dtype, data.len(), decl.dtype, decl.len));
        }
    }
    let mut machine = Machine {
        kernel,
        buffers,
        values: vec![Scalar::Int(0); kernel.values.len()],
        counters: vec![0; kernel.loops as usize],
    };
    machine.block(&kernel.body)
}

struct Machine<'a> {
    kernel: &'a Kernel,
    buffers: &'a mut [BufferData],
    values: Vec<Scalar>,
    counters: Vec<i64>,
}

impl Machine<'_> {
    fn index(&self, index: &Index) -> i64 {
        let counters: i64 = index.terms.iter().map(|&(v, s)| s * self.counters[v.0 as usize]).sum();
        let values: i64 = index.values.iter().map(|&(v, s)| s * self.values[v.0 as usize].int()).sum();
        index.offset + counters + values
    }

    fn holds(&self, guard: &[Bound]) -> bool {
        guard.iter().all(|b| (0..b.limit).contains(&self.index(&b.index)))
    }

    /// The element's place, if it is inside.
    fn place(&self, buffer: BufferArg, index: &Index) -> Result<usize, String> {
        let at = self.index(index);
        let len = self.buffers[buffer.0 as usize].len();
        usize::try_from(at)
            .ok()
            .filter(|&i| i < len)
            .ok_or_else(|| format!("{}: element {at} of b{} with {len} elements", self.kernel.name, buffer.0))
    }

    fn block(&mut self, body: &[Stmt]) -> Result<(), String> {
        for stmt in body {
            match stmt {
                Stmt::Let { value, expr } => {
                    let dtype = self.kernel.values[value.0 as usize];
                    self.values[value.0 as usize] = self.expr(expr, dtype)?;
                }
                Stmt::For { var, extent, body, .. } => {
                    for i in 0..*extent {
                        self.counters[var.0 as usize] = i as i64;
                        self.block(body)?;
                    }
                }
                Stmt::Fold { value, op, var, extent, vector, body, yields } => {
                    let result = self.fold(*op, *var, *extent, *vector, body, *yields)?;
                    self.values[value.0 as usize] = result;
                }
                Stmt::Store { buffer, index, value, guard, accumulate } => {
                    if !self.holds(guard) {
                        continue;
                    }
                    let at = self.place(*buffer, index)?;
                    let mut v = self.values[value.0 as usize];
                    let data = &mut self.buffers[buffer.0 as usize];
                    if *accumulate {
                        v = scalar::binary(Binary::Add, data.get(at), v, data.dtype);
                    }
                    data.set(at, v);
                }
            }
        }
        Ok(())
    }

    fn fold(
        &mut self,
        op: FoldOp,
        var: LoopVar,
        extent: usize,
        vector: bool,
        body: &[Stmt],
        yields: Value,
    ) -> Result<Scalar, String> {
        let dtype = self.kernel.values[yields.0 as usize];
        let item = |m: &mut Self, i: usize| -> Result<Scalar, String> {
            m.counters[var.0 as usize] = i as i64;
            m.block(body)?;
            Ok(m.values[yields.0 as usize])
        };
        let reduce = match op {
            FoldOp::Reduce(reduce) => reduce,
            FoldOp::ArgMax | FoldOp::ArgMin => {
                let mut best: Option<(usize, f64, i64)> = None;
                for i in 0..extent {
                    let v = item(self, i)?;
                    let (f, n) = (v.float(), v.int());
                    let wins = best.is_none_or(|(_, bf, bn)| {
                        if dtype.is_float() {
                            !bf.is_nan() && (f.is_nan() || if op == FoldOp::ArgMax { f > bf } else { f < bf })
                        } else if op == FoldOp::ArgMax {
                            n > bn
                        } else {
                            n < bn
                        }
                    });
                    if wins {
                        best = Some((i, f, n));
                    }
                }
                return Ok(Scalar::Int(best.map_or(0, |b| b.0 as i64)));
            }
        };
        let (start, join) = (scalar::fold_start(reduce, dtype), scalar::fold_binary(reduce));
        if !vector {
            let mut sum = start;
            for i in 0..extent {
                let v = item(self, i)?;
                sum = scalar::binary(join, sum, v, dtype);
            }
            return Ok(sum);
        }
        let mut lanes = [start; 16];
        for i in 0..extent {
            let v = item(self, i)?;
            lanes[i % 16] = scalar::binary(join, lanes[i % 16], v, dtype);
        }
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                lanes[i] = scalar::binary(join, lanes[i], lanes[i + half], dtype);
            }
        }
        Ok(lanes[0])
    }

    fn expr(&self, expr: &Expr, dtype: DType) -> Result<Scalar, String> {
        let value = |v: &Value| self.values[v.0 as usize];
        Ok(match expr {
            Expr::Const(v) => Scalar::Float(*v).cast(dtype),
            Expr::Load { buffer, index, guard, otherwise } => {
                if !self.holds(guard) {
                    return Ok(Scalar::Float(*otherwise).cast(dtype));
                }
                self.buffers[buffer.0 as usize].get(self.place(*buffer, index)?)
            }
            Expr::Unary(op, a) => scalar::unary(*op, value(a), dtype),
            Expr::Binary(op, a, b) => scalar::binary(*op, value(a), value(b), dtype),
            Expr::Compare(op, a, b) => scalar::compare(*op, value(a), value(b)),
            Expr::Select(c, a, b) => value(if value(c).is_true() { a } else { b }),
            Expr::Cast(a) => value(a).cast(dtype),
            Expr::Counter(index) => Scalar::Int(scalar::wrap(self.index(index), DType::I32)),
        })
    }
}
