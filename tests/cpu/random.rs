//! Random kernels.

use super::support::*;
use nnc::codegen::cpu::{self, Entry};
use nnc::codegen::loops::{BufferData, Kernel};
use nnc::ops::{Compare, DType};

/// One buffer of each to read, and one to write.
const ALL: [DType; 6] = [DType::F32, DType::I32, DType::U8, DType::Bool, DType::F16, DType::BF16];
/// Those of which lanes of 32 bits are made without rounding.
const PLAIN: [DType; 4] = [DType::F32, DType::I32, DType::U8, DType::Bool];

/// Writes random kernels: nested loops, straight-line bodies of all operations that are exact, folds, guards.
struct Writer {
    random: Random,
    buffers: &'static [DType],
    text: String,
    values: Vec<(u32, DType)>,
    next: u32,
    counters: Vec<(u32, usize)>,
    counters_used: u32,
    stored: [bool; 9],
}

impl Writer {
    const SIZE: usize = 5000;

    fn value(&mut self, dtype: DType) -> Option<u32> {
        let fitting: Vec<u32> = self.values.iter().filter(|v| v.1 == dtype).map(|v| v.0).collect();
        (!fitting.is_empty()).then(|| fitting[self.random.below(fitting.len())])
    }

    /// An index inside a buffer of [`Writer::SIZE`] elements, and its terms.
    fn index(&mut self) -> String {
        let mut index = String::new();
        let mut low = 0i64;
        for (i, extent) in self.counters.clone() {
            let stride = [0, 1, 1, 1, 2, 7, -1, -3][self.random.below(8)];
            if stride != 0 {
                low += (stride * (extent as i64 - 1)).min(0);
                index += &match (index.is_empty(), stride < 0) {
                    (true, _) => format!("{stride}*i{i}"),
                    (_, true) => format!(" - {}*i{i}", -stride),
                    _ => format!(" + {stride}*i{i}"),
                };
            }
        }
        let offset = self.random.below(9) as i64 - low;
        if index.is_empty() { format!("{offset}") } else { format!("{index} + {offset}") }
    }

    fn guard(&mut self) -> Option<String> {
        if self.random.below(3) > 0 || self.counters.is_empty() {
            return None;
        }
        let (i, extent) = self.counters[self.random.below(self.counters.len())];
        let shift = self.random.below(4);
        let mut guard = format!("i{i} - {shift} in 0..{}", self.random.below(extent + 2));
        if self.random.below(2) == 0 {
            let (j, other) = self.counters[self.random.below(self.counters.len())];
            guard += &format!(", 2*i{j} in 0..{}", self.random.below(2 * other + 1));
        }
        Some(guard)
    }

    fn assign(&mut self, dtype: DType, expr: String) -> u32 {
        let n = self.next;
        self.next += 1;
        self.text += &format!("%{n} = {expr}\n");
        self.values.push((n, dtype));
        n
    }

    fn load(&mut self, dtype: DType) -> u32 {
        let buffer = self.buffers.iter().position(|d| *d == dtype).unwrap();
        let index = self.index();
        let mut expr = format!("load b{buffer}[{index}]");
        if let Some(guard) = self.guard() {
            expr += &format!(" if {guard} else {}", self.random.below(2));
        }
        self.assign(dtype, expr)
    }

    fn dtype(&mut self) -> DType {
        let n = self.random.below(self.buffers.len() + 1);
        self.buffers.get(n).copied().unwrap_or(DType::F32)
    }

    fn operand(&mut self, dtype: DType) -> u32 {
        match self.value(dtype) {
            Some(v) if self.random.below(5) > 0 => v,
            _ if self.random.below(4) == 0 => {
                let number = self.random.below(4);
                self.assign(dtype, format!("const.{dtype} {number}"))
            }
            _ => self.load(dtype),
        }
    }

    fn statement(&mut self) {
        let dtype = self.dtype();
        match self.random.below(10) {
            0 | 1 => {
                self.load(dtype);
            }
            2 => {
                let from = self.dtype();
                let a = self.operand(from);
                self.assign(dtype, format!("cast.{dtype} %{a}"));
            }
            3 => {
                let (c, a, b) = (self.operand(DType::Bool), self.operand(dtype), self.operand(dtype));
                self.assign(dtype, format!("select.{dtype} %{c}, %{a}, %{b}"));
            }
            4 => {
                let (a, b) = (self.operand(dtype), self.operand(dtype));
                let op = Compare::ALL[self.random.below(6)].name();
                self.assign(DType::Bool, format!("{op}.{dtype} %{a}, %{b}"));
            }
            5 if !self.counters.is_empty() => {
                let index = self.index();
                self.assign(DType::I32, format!("counter {index}"));
            }
            6 => {
                let a = self.operand(dtype);
                let op = match dtype {
                    d if d.is_float() => ["neg", "abs", "floor", "ceil", "round", "sqrt"][self.random.below(6)],
                    DType::Bool => "not",
                    _ => ["neg", "abs", "not"][self.random.below(3)],
                };
                self.assign(dtype, format!("{op}.{dtype} %{a}"));
            }
            _ => {
                let (a, b) = (self.operand(dtype), self.operand(dtype));
                let op = match dtype {
                    d if d.is_float() => ["add", "sub", "mul", "div", "max", "min"][self.random.below(6)],
                    DType::Bool => ["and", "or", "xor", "max", "min"][self.random.below(5)],
                    _ => ["add", "sub", "mul", "div", "rem", "max", "min", "and", "or", "xor", "shl", "shr"]
                        [self.random.below(12)],
                };
                self.assign(dtype, format!("{op}.{dtype} %{a}, %{b}"));
            }
        }
    }

    fn fold(&mut self, vector: bool, depth: usize) {
        let (counter, extent) = (self.next_counter(), [1, 3, 4, 9, 16, 21, 70][self.random.below(7)]);
        let extent = if depth > 0 { extent.min(4) } else { extent };
        let n = self.next;
        self.next += 1;
        let known = self.values.len();
        let outer = std::mem::take(&mut self.text);
        self.counters.push((counter, extent));
        for _ in 0..1 + self.random.below(6) {
            self.statement();
        }
        if !vector && depth == 0 && self.random.below(2) == 0 {
            self.fold(false, 1);
        }
        let dtype = match self.dtype() {
            DType::Bool => DType::F32,
            dtype => dtype,
        };
        let yields = self.operand(dtype);
        self.counters.pop();
        let body = std::mem::replace(&mut self.text, outer);
        let op = match self.random.below(6) {
            4 if !vector => "argmax",
            5 if !vector => "argmin",
            i => ["sum", "max", "min", "prod"][i % 4],
        };
        let kind = if vector { " vector" } else { "" };
        self.text += &format!("%{n} = fold {op}{kind} i{counter} in 0..{extent} {{\n{body}yield %{yields}\n}}\n");
        self.values.truncate(known);
        self.values.push((n, if op.starts_with("arg") { DType::I32 } else { dtype }));
    }

    fn next_counter(&mut self) -> u32 {
        self.counters_used += 1;
        self.counters_used - 1
    }

    /// The result goes to distinct places: an index of all counters, in row-major order.
    fn store(&mut self) {
        let dtype = self.dtype();
        // Iterations stay independent: one store a buffer.
        if std::mem::replace(&mut self.stored[dtype as usize], true) {
            return;
        }
        let value = self.operand(dtype);
        let buffer = self.buffers.len() + self.buffers.iter().position(|d| *d == dtype).unwrap();
        let mut stride = 1;
        let mut terms = Vec::new();
        for (i, extent) in self.counters.iter().rev() {
            terms.push(format!("{stride}*i{i}"));
            stride *= extent;
        }
        terms.reverse();
        let verb = if dtype != DType::Bool && self.random.below(3) == 0 { "add" } else { "store" };
        let guard = self.guard().map_or(String::new(), |g| format!(" if {g}"));
        self.text += &format!("{verb} b{buffer}[{} + {}], %{value}{guard}\n", terms.join(" + "), self.random.below(5));
    }

    fn kernel(seed: u64, buffers: &'static [DType]) -> Kernel {
        let mut w = Writer {
            random: Random(seed),
            buffers,
            text: String::new(),
            values: Vec::new(),
            next: 0,
            counters: Vec::new(),
            counters_used: 0,
            stored: [false; 9],
        };
        let size = Self::SIZE;
        let mut header = String::new();
        for (i, d) in buffers.iter().chain(buffers).enumerate() {
            let access = if i < buffers.len() { "read" } else { "readwrite" };
            header += &format!("b{i}: {d}[{size}] {access}, ");
        }
        let mut ends = 0;
        if w.random.below(3) > 0 {
            let extent = 1 + w.random.below(6);
            let counter = w.next_counter();
            w.counters.push((counter, extent));
            w.text += &format!("{} i{counter} in 0..{extent} {{\n", ["parallel", "serial"][w.random.below(2)]);
            ends += 1;
            for _ in 0..w.random.below(4) {
                w.statement();
            }
            if w.random.below(2) == 0 {
                w.fold(true, 0);
            }
        }
        let extent = [1, 2, 3, 4, 5, 8, 13, 16, 30][w.random.below(9)];
        let counter = w.next_counter();
        w.counters.push((counter, extent));
        let kind = ["vector", "vector", "vector", "serial"][w.random.below(4)];
        w.text += &format!("{kind} i{counter} in 0..{extent} {{\n");
        ends += 1;
        for _ in 0..2 + w.random.below(12) {
            w.statement();
        }
        if w.random.below(3) == 0 {
            let vector = kind == "serial" && w.random.below(2) == 0;
            w.fold(vector, 0);
            w.statement();
        }
        for _ in 0..1 + w.random.below(2) {
            w.store();
        }
        let text = format!("kernel random({}) {{\n{}{}}}\n", header.trim_end_matches(", "), w.text, "}\n".repeat(ends));
        parse(&text)
    }
}

fn kernels(count: u64, buffers: &'static [DType]) -> Vec<(Kernel, Vec<BufferData>, f64)> {
    (0..count)
        .map(|seed| {
            let kernel = Writer::kernel(seed * 1000, buffers);
            let mut random = Random(seed);
            let data = kernel.buffers.iter().map(|b| random.data(b.dtype, b.len)).collect();
            (kernel, data, 0.0)
        })
        .collect()
}

/// Where the machine has AVX-512, plain kernels are made of it, but for those with places of bytes that are not neighbours,
/// divisions of integers, and lanes that store to one place.
#[test]
fn plain_kernels_have_wide_vectors() {
    let [wide, narrow] = targets();
    let list: Vec<Kernel> = kernels(400, &PLAIN).into_iter().map(|k| k.0).collect();
    assert_eq!(compile(&narrow, &list).wide(), 0);
    let mut refused = std::collections::BTreeMap::new();
    for why in list.iter().filter_map(|k| cpu::why_narrow(k, Entry::Range)) {
        *refused.entry(why).or_insert(0) += 1;
    }
    let made = list.len() - refused.values().sum::<usize>();
    assert!(made > list.len() / 8, "{made} of {}: {refused:#?}", list.len());
    let count = compile(&wide, &list).wide();
    assert!(count == made || count == 0, "{count} of {made}");
}

#[test]
fn random_kernels() {
    check_all(kernels(400, &ALL));
}

#[test]
fn random_kernels_of_plain_dtypes() {
    check_all(kernels(800, &PLAIN));
}
