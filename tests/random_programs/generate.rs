//! Texts of random programs: a model over the digits with random members and a random body, and a step that trains it.
//! A tame program is right by construction; a wild one also has operations whose operands were drawn without a look at
//! their shapes, so that the checker has something to refuse.

use std::fmt::Write;

/// An axis as the generator knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    Batch,
    Of(usize),
}

/// A float local with its shape.
#[derive(Clone, Debug)]
struct Local {
    name: String,
    shape: Vec<Axis>,
    used: bool,
}

pub struct Generator {
    state: u64,
    wild: bool,
    items: String,
    members: String,
    body: String,
    locals: Vec<Local>,
    names: usize,
}

/// What an operation makes: its text and its shape.
type Made = Option<(String, Vec<Axis>)>;

const UNARY: [&str; 24] = [
    "relu(X)",
    "tanh(X)",
    "sigmoid(X)",
    "gelu(X)",
    "silu(X)",
    "softplus(X)",
    "mish(X)",
    "abs(X)",
    "sin(X)",
    "cos(X)",
    "erf(X)",
    "atan(X)",
    "exp(tanh(X))",
    "log(abs(X) + 1)",
    "sqrt(X * X + 1)",
    "tanh(X) ^ 2",
    "leaky_relu(X, 0.1)",
    "elu(X)",
    "clamp(X, low: -0.8, high: 0.9)",
    "-X",
    "0.5 * X + 0.25",
    "X / (1 + abs(X))",
    "(tanh(X) |> square |> sqrt) * X",
    "where(X > 0.1, X, 0.3 * X)",
];

/// The text of a random program.
pub fn program(seed: u64, wild: bool) -> String {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    state |= 1;
    let generator = Generator {
        state,
        wild,
        items: String::new(),
        members: String::new(),
        body: String::new(),
        locals: Vec::new(),
        names: 0,
    };
    generator.write()
}

impl Generator {
    fn draw(&mut self, below: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        ((self.state >> 33) % below as u64) as usize
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.draw(from.len())]
    }

    fn name(&mut self, letter: char) -> String {
        self.names += 1;
        format!("{letter}{}", self.names)
    }

    fn bind(&mut self, text: &str, shape: Vec<Axis>) {
        let name = self.name('v');
        // Now and then the type is written down, and so checked.
        let ty = if self.draw(4) == 0 && !self.wild { format!(": f32{}", written(&shape)) } else { String::new() };
        let _ = writeln!(self.body, "    {name}{ty} = {text}");
        self.locals.push(Local { name, shape, used: false });
    }

    fn member(&mut self, text: &str) -> String {
        let name = self.name('m');
        let _ = writeln!(self.members, "  {name} = {text}");
        name
    }

    /// A local: more often one that nothing has used yet.
    fn operand(&mut self) -> usize {
        let unused: Vec<usize> = (0..self.locals.len()).filter(|i| !self.locals[*i].used).collect();
        if !unused.is_empty() && self.draw(3) > 0 { *self.pick(&unused) } else { self.draw(self.locals.len()) }
    }

    fn with_shape(&mut self, shape: &[Axis]) -> Option<String> {
        let fit: Vec<usize> = (0..self.locals.len()).filter(|i| self.wild || self.locals[*i].shape == shape).collect();
        let chosen = if self.wild && self.draw(3) > 0 {
            let same: Vec<usize> = fit.iter().copied().filter(|i| self.locals[*i].shape == shape).collect();
            *same.get(self.draw(same.len().max(1)))?
        } else {
            *fit.get(self.draw(fit.len().max(1)))?
        };
        self.locals[chosen].used = true;
        Some(self.locals[chosen].name.clone())
    }

    fn write(mut self) -> String {
        let image = vec![Axis::Batch, Axis::Of(1), Axis::Of(8), Axis::Of(8)];
        self.locals.push(Local { name: "image".into(), shape: image, used: true });
        self.bind("image |> flatten", vec![Axis::Batch, Axis::Of(64)]);
        self.bind("squeeze(image, 1)[:, 0:6]", vec![Axis::Batch, Axis::Of(6), Axis::Of(8)]);
        let count = 4 + self.draw(14);
        let mut made = 0;
        for _ in 0..10 * count {
            if made == count {
                break;
            }
            let at = self.operand();
            let Local { name, shape, .. } = self.locals[at].clone();
            let size: usize = shape.iter().map(|a| if let Axis::Of(n) = a { *n } else { 4 }).product();
            if size > 4000 {
                continue;
            }
            if let Some((text, out)) = self.operation(&name, &shape) {
                self.locals[at].used = true;
                self.bind(&text, out);
                made += 1;
            }
        }
        self.finish()
    }

    fn finish(mut self) -> String {
        let ends: Vec<String> = self.locals.iter().filter(|l| !l.used).map(|l| l.name.clone()).collect();
        let head = self.member("Linear(10)");
        let first = self.locals.iter().find(|l| l.shape == [Axis::Batch, Axis::Of(64)]).expect("it is made first");
        let mut loss = format!("cross_entropy({head}({}), label)", first.name);
        for end in ends {
            // Bounded, with a gradient everywhere.
            let _ = write!(loss, "\n    + mean(softsign({end}))");
        }
        format!(
            "{}model Net {{\n{}\n  forward(image: f32[B, 1, 8, 8], label: i32[B]) -> f32 {{\n{}    {loss}\n  }}\n}}\n\n\
             train {{\n  data = digits(validate: 0.2)\n  batch = 5\n  net = Net()\n  optimizer = Sgd(lr: 0.5)\n  \
             step(image, label) {{ minimize net(image, label) }}\n}}\n",
            self.items, self.members, self.body
        )
    }

    fn operation(&mut self, x: &str, shape: &[Axis]) -> Made {
        match self.draw(20) {
            0..3 => self.elementwise(x, shape),
            3..5 => self.pairwise(x, shape),
            5..8 => self.reduction(x, shape),
            8..12 => self.movement(x, shape),
            12..15 => self.layer(x, shape),
            15 => self.product(x, shape),
            16 => self.indexing(x, shape),
            17 => self.parameter(x, shape),
            18 => self.function(x, shape),
            _ => self.recurrence(x, shape),
        }
    }

    fn elementwise(&mut self, x: &str, shape: &[Axis]) -> Made {
        let form = *self.pick(&UNARY);
        Some((form.replace('X', x), shape.to_vec()))
    }

    fn pairwise(&mut self, x: &str, shape: &[Axis]) -> Made {
        let y = self.with_shape(shape)?;
        let forms = [
            "X + Y",
            "X - 0.5 * Y",
            "tanh(X) * Y",
            "X / (Y * Y + 1)",
            "maximum(X, Y)",
            "minimum(X, 0.5 * Y)",
            "where(X > Y, X, 0.5 * Y)",
            "stop_gradient(Y) + X * 0.5 + Y",
            "lerp(X, Y, 0.3)",
        ];
        let form = *self.pick(&forms);
        Some((form.replace('X', x).replace('Y', &y), shape.to_vec()))
    }

    fn axis(&mut self, shape: &[Axis]) -> Option<(usize, String)> {
        if shape.is_empty() {
            return None;
        }
        let axis = self.draw(shape.len());
        let text = if self.draw(2) == 0 { format!("{axis}") } else { format!("-{}", shape.len() - axis) };
        Some((axis, text))
    }

    fn reduction(&mut self, x: &str, shape: &[Axis]) -> Made {
        let (axis, text) = self.axis(shape)?;
        let kept = ["softmax", "log_softmax", "cumsum", "standardize", "layer_norm"];
        let gone = ["sum", "mean", "max", "min", "logsumexp", "variance", "norm"];
        match self.draw(4) {
            0 => Some((format!("{}({x}, axis: {text})", self.pick(&kept)), shape.to_vec())),
            1 => {
                let f = *self.pick(&["mean", "max", "logsumexp"]);
                Some((format!("{x} - unsqueeze({f}({x}, axis: {axis}), {axis})"), shape.to_vec()))
            }
            _ => {
                let mut out = shape.to_vec();
                out.remove(axis);
                Some((format!("{}({x}, axis: {text})", self.pick(&gone)), out))
            }
        }
    }

    fn movement(&mut self, x: &str, shape: &[Axis]) -> Made {
        let (axis, text) = self.axis(shape)?;
        let Axis::Of(n) = shape[axis] else { return self.turned(x, shape) };
        let with = |size: usize| {
            let mut out = shape.to_vec();
            out[axis] = Axis::Of(size);
            out
        };
        let before = ":, ".repeat(axis);
        match self.draw(11) {
            0 if n > 1 => {
                let from = self.draw(n - 1);
                Some((format!("{x}[{before}{from}:{n}]"), with(n - from)))
            }
            1 if n > 2 => Some((format!("{x}[{before}::2]"), with(n.div_ceil(2)))),
            2 => {
                let i = self.draw(n);
                let mut out = shape.to_vec();
                out.remove(axis);
                let index = if self.draw(2) == 0 { format!("{i}") } else { format!("-{}", n - i) };
                Some((format!("{x}[{before}{index}]"), out))
            }
            3 => Some((format!("flip({x}, {text})"), shape.to_vec())),
            4 => Some((format!("roll({x}, {}, {text})", self.draw(4)), shape.to_vec())),
            5 => {
                let y = self.with_shape(shape)?;
                Some((format!("concat([{x}, {y}], axis: {text})"), with(2 * n)))
            }
            6 => {
                let y = self.with_shape(shape)?;
                let mut out = shape.to_vec();
                out.insert(axis, Axis::Of(2));
                Some((format!("stack([{x}, {y}], axis: {axis})"), out))
            }
            7 => {
                let (low, high) = (self.draw(3), self.draw(3));
                let list = |k: usize| {
                    let each: Vec<String> =
                        (0..shape.len()).map(|i| if i == axis { k } else { 0 }.to_string()).collect();
                    format!("[{}]", each.join(", "))
                };
                Some((format!("pad({x}, {}, {}, value: 0.5)", list(low), list(high)), with(n + low + high)))
            }
            8 if n % 2 == 0 => {
                let (a, b) = (self.name('a'), self.name('b'));
                let _ = writeln!(self.body, "    ({a}, {b}) = split({x}, 2, axis: {text})");
                self.locals.push(Local { name: a, shape: with(n / 2), used: false });
                self.locals.push(Local { name: b, shape: with(n / 2), used: false });
                None
            }
            9 => {
                let mut out = shape.to_vec();
                out.insert(axis, Axis::Of(1));
                Some((format!("unsqueeze({x}, {axis})"), out))
            }
            _ => self.turned(x, shape),
        }
    }

    fn turned(&mut self, x: &str, shape: &[Axis]) -> Made {
        let rank = shape.len();
        match self.draw(3) {
            0 if rank >= 2 => {
                let mut out = shape.to_vec();
                out.swap(rank - 1, rank - 2);
                Some((format!("transpose({x})"), out))
            }
            1 if rank == 3 && shape[0] == Axis::Batch => {
                let (Axis::Of(a), Axis::Of(b)) = (shape[1], shape[2]) else { return None };
                if b.is_multiple_of(2) && self.draw(2) == 0 {
                    let out = vec![Axis::Batch, Axis::Of(2), Axis::Of(a), Axis::Of(b / 2)];
                    return Some((format!("rearrange({x}, \"b t (h d) -> b h t d\", h: 2)"), out));
                }
                Some((format!("flatten({x})"), vec![Axis::Batch, Axis::Of(a * b)]))
            }
            _ if rank >= 2 => {
                let mut order: Vec<usize> = (0..rank).collect();
                for i in (1..rank).rev() {
                    let j = self.draw(i + 1);
                    order.swap(i, j);
                }
                let out = order.iter().map(|i| shape[*i]).collect();
                let list: Vec<String> = order.iter().map(usize::to_string).collect();
                Some((format!("permute({x}, [{}])", list.join(", ")), out))
            }
            _ => None,
        }
    }

    fn layer(&mut self, x: &str, shape: &[Axis]) -> Made {
        let with_last = |n: usize| {
            let mut out = shape.to_vec();
            *out.last_mut().expect("a last axis") = Axis::Of(n);
            out
        };
        let width = 2 + self.draw(6);
        match shape {
            [Axis::Batch, Axis::Of(c), Axis::Of(h), Axis::Of(w)] if *h >= 3 && *w >= 3 && self.draw(3) > 0 => {
                match self.draw(4) {
                    0 => {
                        let m = self.member(&format!("Conv2d({width}, kernel: 3, padding: same)"));
                        Some((format!("{m}({x})"), vec![Axis::Batch, Axis::Of(width), Axis::Of(*h), Axis::Of(*w)]))
                    }
                    1 => {
                        let m = self.member(&format!("Conv2d({width}, kernel: 3, stride: 2, padding: 1)"));
                        let half = |n: usize| Axis::Of((n - 1) / 2 + 1);
                        Some((format!("{m}({x})"), vec![Axis::Batch, Axis::Of(width), half(*h), half(*w)]))
                    }
                    2 => {
                        let out = vec![Axis::Batch, Axis::Of(*c), Axis::Of(h / 2), Axis::Of(w / 2)];
                        let pool = *self.pick(&["MaxPool2d(2)", "AvgPool2d(2)"]);
                        Some((format!("{x} |> {pool}"), out))
                    }
                    _ => {
                        let m = self.member("BatchNorm2d()");
                        Some((format!("{m}({x})"), shape.to_vec()))
                    }
                }
            }
            [Axis::Batch, Axis::Of(c), Axis::Of(l)] if *l >= 3 && self.draw(2) > 0 => match self.draw(4) {
                0 => {
                    let m = self.member(&format!("Conv1d({width}, kernel: 3)"));
                    Some((format!("{m}({x})"), vec![Axis::Batch, Axis::Of(width), Axis::Of(l - 2)]))
                }
                1 => {
                    let y = self.with_shape(shape)?;
                    let causal = self.draw(2) == 0;
                    Some((format!("attention({x}, {y}, {y}, causal: {causal})"), shape.to_vec()))
                }
                2 if l.is_multiple_of(2) => {
                    let m = self.member("MultiHeadAttention(2)");
                    Some((format!("{m}({x})"), shape.to_vec()))
                }
                _ => {
                    let m = self.member(&format!("GroupNorm({c})"));
                    Some((format!("{m}({x})"), shape.to_vec()))
                }
            },
            [.., Axis::Of(d)] if shape.len() >= 2 && shape[0] == Axis::Batch => match self.draw(6) {
                0 => {
                    let m = self.member(&format!("seq {{ Linear({width}); relu; Dropout(0.2); Linear({d}) }}"));
                    Some((format!("{m}({x})"), shape.to_vec()))
                }
                1 => {
                    let m = self.member(&format!("repeat 2 {{ seq {{ Linear({d}); tanh }} }}"));
                    Some((format!("{x} |> {m}"), shape.to_vec()))
                }
                2 if *d > 1 => {
                    let norm = *self.pick(&["LayerNorm()", "RmsNorm()"]);
                    let m = self.member(norm);
                    Some((format!("{m}({x})"), shape.to_vec()))
                }
                3 => {
                    let m = self.member("Dropout(0.3)");
                    Some((format!("{m}({x})"), shape.to_vec()))
                }
                _ => {
                    let bias = self.draw(2) == 0;
                    let m = self.member(&format!("Linear({width}, bias: {bias})"));
                    Some((format!("{x} |> {m}"), with_last(width)))
                }
            },
            _ => None,
        }
    }

    fn product(&mut self, x: &str, shape: &[Axis]) -> Made {
        match shape {
            [a, b] => {
                let y = self.with_shape(shape)?;
                Some(match self.draw(3) {
                    0 => (format!("{x} @ transpose({y})"), vec![*a, *a]),
                    1 => (format!("transpose({x}) @ {y}"), vec![*b, *b]),
                    _ => (format!("einsum(\"i j, i j -> i\", {x}, {y})"), vec![*a]),
                })
            }
            [a, b, c] => {
                let y = self.with_shape(shape)?;
                Some(match self.draw(3) {
                    0 => (format!("einsum(\"b i d, b j d -> b i j\", {x}, {y})"), vec![*a, *b, *b]),
                    1 => (format!("{x} @ transpose({y})"), vec![*a, *b, *b]),
                    _ => (format!("einsum(\"b i d, b i e -> d e\", {x}, {y})"), vec![*c, *c]),
                })
            }
            _ => None,
        }
    }

    fn indexing(&mut self, x: &str, shape: &[Axis]) -> Made {
        let (axis, text) = self.axis(shape)?;
        let Axis::Of(n) = shape[axis] else { return None };
        match self.draw(5) {
            0 if axis + 1 == shape.len() => {
                let mut out = shape.to_vec();
                out.push(Axis::Of(n));
                out.remove(axis);
                Some((format!("one_hot(argmax({x}, axis: {text}), {n}) * {x}"), out))
            }
            1 if axis + 1 == shape.len() && n > 1 => {
                let k = 1 + self.draw(n - 1);
                let mut out = shape.to_vec();
                out[axis] = Axis::Of(k);
                Some((format!("top_k({x}, {k}).values"), out))
            }
            2 if n > 1 => {
                let mut out = shape.to_vec();
                out.remove(axis);
                Some((format!("gather({x}, argmin({x}, axis: {text}), axis: {text})"), out))
            }
            3 if axis == 0 => {
                let mut out = shape.to_vec();
                out[0] = Axis::Of(3);
                Some((format!("{x}[tensor([0, {}, 0])]", n - 1), out))
            }
            4 if shape == [Axis::Batch, shape[1 % shape.len()]] => {
                let m = self.member("Embedding(10, 6)");
                Some((format!("concat([{x}, {m}(label)], axis: -1)"), vec![Axis::Batch, Axis::Of(n + 6)]))
            }
            _ => None,
        }
    }

    fn parameter(&mut self, x: &str, shape: &[Axis]) -> Made {
        let Some(Axis::Of(n)) = shape.last() else { return None };
        let name = self.name('p');
        let _ = writeln!(self.members, "  param {name}: f32[{n}] = normal(std: 0.5)");
        let form = *self.pick(&["X * P", "X + P", "tanh(X - P)", "X * sum(P * P)"]);
        Some((form.replace('X', x).replace('P', &name), shape.to_vec()))
    }

    fn function(&mut self, x: &str, shape: &[Axis]) -> Made {
        let name = self.name('f');
        let (first, second) = (*self.pick(&UNARY), *self.pick(&UNARY));
        let (first, second) = (first.replace('X', "x"), second.replace('X', "y"));
        let own = if self.draw(3) == 0 { " gradient(d) { d * 0.5 + x * 0.1 }" } else { "" };
        let _ = writeln!(self.items, "fn {name}(x: f32[..s]) -> f32[..s] {{\n  y = {first}\n  {second}\n}}{own}\n");
        Some((format!("{x} |> {name}"), shape.to_vec()))
    }

    fn recurrence(&mut self, x: &str, shape: &[Axis]) -> Made {
        let [Axis::Batch, Axis::Of(t), Axis::Of(_)] = shape else { return None };
        let name = self.name('R');
        let by = if self.draw(3) == 0 { " by -1" } else { "" };
        let whole = self.draw(2) == 0;
        let width = 2 + self.draw(4);
        let (out, last) = if whole { ("f32[B, T, width]", "yield h") } else { ("f32[B, width]", "") };
        let _ = writeln!(
            self.items,
            "layer {name}(width: int) {{\n  a = Linear(width)\n  b = Linear(width)\n\n  forward(x: f32[B, T, D]) -> {out} {{\n    \
             scan x_t in x along T{by} with h = zeros([B, width]) {{\n      h = tanh(a(x_t) + b(h))\n      {last}\n    }}\n  }}\n}}\n"
        );
        let m = self.member(&format!("{name}({width})"));
        let out =
            if whole { vec![Axis::Batch, Axis::Of(*t), Axis::Of(width)] } else { vec![Axis::Batch, Axis::Of(width)] };
        Some((format!("{m}({x})"), out))
    }
}

fn written(shape: &[Axis]) -> String {
    let axes: Vec<String> =
        shape.iter().map(|a| if let Axis::Of(n) = a { n.to_string() } else { "B".into() }).collect();
    format!("[{}]", axes.join(", "))
}
