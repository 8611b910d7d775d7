//! The text form of kernels, as shown in `ir`: `Display` prints it, [`parse`] reads it back to an equal kernel.

use super::ir::*;
use crate::ops::{DType, Reduce};
use std::fmt::{self, Write};

pub use super::parse::parse;

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "kernel {}(", self.name)?;
        for (i, b) in self.buffers.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}b{i}: {}[{}] {}", b.dtype, b.len, access_name(b.access))?;
        }
        f.write_str(") {\n")?;
        let mut text = String::new();
        block(&mut text, self, &self.body, 1)?;
        f.write_str(&text)?;
        f.write_str("}\n")
    }
}

pub(super) fn access_name(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::Write => "write",
        Access::ReadWrite => "readwrite",
    }
}

pub(super) fn kind_name(kind: LoopKind) -> &'static str {
    match kind {
        LoopKind::Parallel => "parallel",
        LoopKind::Serial => "serial",
        LoopKind::Vector => "vector",
    }
}

pub(super) fn fold_name(op: FoldOp) -> &'static str {
    match op {
        FoldOp::Reduce(r) => Reduce::name(r),
        FoldOp::ArgMax => "argmax",
        FoldOp::ArgMin => "argmin",
    }
}

fn block(out: &mut String, kernel: &Kernel, body: &[Stmt], depth: usize) -> fmt::Result {
    let pad = "  ".repeat(depth);
    for stmt in body {
        out.push_str(&pad);
        match stmt {
            Stmt::Let { value, expr } => {
                write!(out, "%{} = ", value.0)?;
                let dtype = |v: &Value| kernel.values.get(v.0 as usize).map_or("?", |d| DType::name(*d));
                let own = dtype(value);
                match expr {
                    Expr::Const(v) => write!(out, "const.{own} {}", Number(*v))?,
                    Expr::Load { buffer, index, guard, otherwise } => {
                        write!(out, "load b{}[{index}]", buffer.0)?;
                        bounds(out, guard)?;
                        if !guard.is_empty() {
                            write!(out, " else {}", Number(*otherwise))?;
                        }
                    }
                    Expr::Unary(op, a) => write!(out, "{}.{own} %{}", op.name(), a.0)?,
                    Expr::Binary(op, a, b) => write!(out, "{}.{own} %{}, %{}", op.name(), a.0, b.0)?,
                    Expr::Compare(op, a, b) => write!(out, "{}.{} %{}, %{}", op.name(), dtype(a), a.0, b.0)?,
                    Expr::Select(c, a, b) => write!(out, "select.{own} %{}, %{}, %{}", c.0, a.0, b.0)?,
                    Expr::Cast(a) => write!(out, "cast.{own} %{}", a.0)?,
                    Expr::Counter(index) => write!(out, "counter {index}")?,
                }
                out.push('\n');
            }
            Stmt::For { var, extent, kind, body } => {
                writeln!(out, "{} i{} in 0..{extent} {{", kind_name(*kind), var.0)?;
                block(out, kernel, body, depth + 1)?;
                writeln!(out, "{pad}}}")?;
            }
            Stmt::Fold { value, op, var, extent, vector, body, yields } => {
                let vector = if *vector { " vector" } else { "" };
                writeln!(out, "%{} = fold {}{vector} i{} in 0..{extent} {{", value.0, fold_name(*op), var.0)?;
                block(out, kernel, body, depth + 1)?;
                writeln!(out, "{pad}  yield %{}\n{pad}}}", yields.0)?;
            }
            Stmt::Store { buffer, index, value, guard, accumulate } => {
                let verb = if *accumulate { "add" } else { "store" };
                write!(out, "{verb} b{}[{index}], %{}", buffer.0, value.0)?;
                bounds(out, guard)?;
                out.push('\n');
            }
        }
    }
    Ok(())
}

fn bounds(out: &mut String, guard: &[Bound]) -> fmt::Result {
    for (i, b) in guard.iter().enumerate() {
        write!(out, "{}{} in 0..{}", if i == 0 { " if " } else { ", " }, b.index, b.limit)?;
    }
    Ok(())
}

struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let a = self.0.abs();
        if a != 0.0 && a.is_finite() && !(1e-5..1e15).contains(&a) {
            write!(f, "{:e}", self.0)
        } else {
            write!(f, "{}", self.0)
        }
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut first = true;
        let mut term = |f: &mut fmt::Formatter, stride: i64, name: String| {
            let sign = match (first, stride < 0) {
                (true, false) => "",
                (true, true) => "-",
                (false, false) => " + ",
                (false, true) => " - ",
            };
            first = false;
            match (stride.unsigned_abs(), name.is_empty()) {
                (n, true) => write!(f, "{sign}{n}"),
                (1, false) => write!(f, "{sign}{name}"),
                (n, false) => write!(f, "{sign}{n}*{name}"),
            }
        };
        for &(v, s) in &self.terms {
            term(f, s, format!("i{}", v.0))?;
        }
        for &(v, s) in &self.values {
            term(f, s, format!("%{}", v.0))?;
        }
        if self.offset != 0 || self.terms.is_empty() && self.values.is_empty() {
            term(f, self.offset, String::new())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codegen::loops::{self, BufferData};

    const BIAS_RELU: &str = "kernel bias_relu(b0: f32[640] read, b1: f32[10] read, b2: f32[640] write) {
  parallel i0 in 0..64 {
    vector i1 in 0..10 {
      %0 = load b0[10*i0 + i1]
      %1 = load b1[i1]
      %2 = add.f32 %0, %1
      %3 = const.f32 0
      %4 = max.f32 %2, %3
      store b2[10*i0 + i1], %4
    }
  }
}
";

    const ALL: &str = "kernel all(b0: f32[40] read, b1: i32[4] read, b2: f32[40] write, b3: bool[1] readwrite) {
  serial i0 in 0..4 {
    %0 = load b1[i0]
    %1 = load b0[10*%0 - 3] if 10*%0 - 3 in 0..40, i0 in 0..3 else -inf
    %2 = fold sum vector i1 in 0..10 {
      %3 = load b0[10*i0 + i1]
      yield %3
    }
    %4 = lt.f32 %1, %2
    %5 = const.f32 1e-7
    %6 = select.f32 %4, %1, %5
    %7 = counter -2*i0 + 9
    %8 = cast.f32 %7
    %9 = pow.f32 %8, %6
    %10 = neg.f32 %9
    store b2[i0], %10
    add b2[i0], %2 if i0 - 1 in 0..2
    store b3[0], %4
  }
}
";

    #[test]
    fn text_round_trips() {
        for text in [BIAS_RELU, ALL] {
            let kernel = parse(text).unwrap();
            assert_eq!(kernel.to_string(), text);
            assert_eq!(parse(&kernel.to_string()).unwrap(), kernel);
            loops::verify(&kernel).unwrap();
        }
    }

    #[test]
    fn parse_says_where_it_stops() {
        let bad = BIAS_RELU.replace("max.f32", "mix.f32");
        assert_eq!(parse(&bad).unwrap_err(), "line 8: unknown operation `mix`");
        assert!(parse("kernel a(").is_err());
    }

    #[test]
    fn interpreter_runs_text() {
        let kernel = parse(BIAS_RELU).unwrap();
        let x: Vec<f32> = (0..640).map(|i| i as f32 - 320.0).collect();
        let bias: Vec<f32> = (0..10).map(|i| i as f32 * 0.5).collect();
        let mut buffers = [BufferData::from_f32(&x), BufferData::from_f32(&bias), BufferData::zeros(DType::F32, 640)];
        loops::run(&kernel, &mut buffers).unwrap();
        let expected: Vec<f32> = (0..640).map(|i| (x[i] + bias[i % 10]).max(0.0)).collect();
        assert_eq!(buffers[2].to_f32(), expected);
    }

    #[test]
    fn interpreter_folds_in_lanes() {
        let text = "kernel s(b0: f32[33] read, b1: f32[1] write) {
  %0 = fold sum vector i0 in 0..33 {
    %1 = load b0[i0]
    yield %1
  }
  store b1[0], %0
}
";
        // One large number: only lane order decides what is lost beside it.
        let mut x = vec![1.0f32; 33];
        x[0] = 16777216.0;
        let mut buffers = [BufferData::from_f32(&x), BufferData::zeros(DType::F32, 1)];
        loops::run(&parse(text).unwrap(), &mut buffers).unwrap();
        assert_eq!(buffers[1].to_f32(), [16777216.0 + 30.0]);
    }
}
