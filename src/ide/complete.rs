//! Completion: what can be written at a cursor, what fits the shapes there first. Works in half-typed code: the place comes
//! from the characters, the values from the last check.

use super::cursor::{Block, Call, Cursor, cursor};
use super::fits::{Tensor, fits, surface_takes, takes};
use super::goto::declared_of;
use super::names::Kind;
use super::signature::{self, Callee};
use super::{Analysis, library, settings, show};
use crate::check::{GENERATE_SETTINGS, SETTINGS, Seen};
use crate::syntax::ast::ItemKind;
use std::ops::Range;

/// What is proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompletionKind {
    Function,
    Layer,
    Operation,
    Optimizer,
    Local,
    Member,
    Argument,
    Constant,
    Size,
    Data,
    File,
    Folder,
    Setting,
    Type,
    Keyword,
    Snippet,
    Task,
}

/// One proposal.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    pub label: String,
    pub kind: CompletionKind,
    /// Its type or signature.
    pub detail: String,
    /// One line.
    pub docs: String,
    /// What replaces the word at the cursor, with `$1` and `$0` if `snippet`.
    pub insert: String,
    pub snippet: bool,
    /// What is replaced.
    pub range: Range<usize>,
    /// Lower comes first.
    pub rank: u8,
}

/// Names in a folder of the program's data, and whether each is a folder.
pub type ListFolder<'f> = &'f dyn Fn(&str) -> Vec<(String, bool)>;

struct Context<'a> {
    a: &'a Analysis,
    cursor: Cursor,
    offset: usize,
    out: Vec<Completion>,
}

/// What can be written at an offset, best first.
pub fn complete(a: &Analysis, offset: usize, list: ListFolder) -> Vec<Completion> {
    let cursor = cursor(a.text(), offset);
    if cursor.comment {
        return Vec::new();
    }
    let mut c = Context { a, cursor, offset, out: Vec::new() };
    c.all(list);
    let word = a.text().get(c.cursor.word.clone()).unwrap_or("").to_lowercase();
    let mut out = c.out;
    if !word.is_empty() {
        out.retain(|p| is_part(&word, &p.label.to_lowercase()));
    }
    out.sort_by(|x, y| (x.rank, &x.label).cmp(&(y.rank, &y.label)));
    out.dedup_by(|y, x| x.label == y.label && x.kind == y.kind);
    out
}

/// Whether the letters of a word stand in a label in this order, the first at the start of a part of it.
fn is_part(word: &str, label: &str) -> bool {
    let mut letters = label.chars();
    word.chars().all(|w| letters.any(|l| l == w))
        && (label.starts_with(&word[..1.min(word.len())]) || label.contains(word))
}

impl Context<'_> {
    fn add(&mut self, label: &str, kind: CompletionKind, detail: &str, docs: &str, rank: u8) -> &mut Completion {
        let docs = docs.trim().lines().next().unwrap_or("").to_string();
        let at = self.out.len();
        self.out.push(Completion {
            label: label.to_string(),
            kind,
            detail: detail.to_string(),
            docs,
            insert: label.to_string(),
            snippet: false,
            range: self.cursor.word.clone(),
            rank,
        });
        &mut self.out[at]
    }

    fn snippet(&mut self, label: &str, docs: &str, insert: &str, rank: u8) {
        let made = self.add(label, CompletionKind::Snippet, "", docs, rank);
        made.insert = insert.to_string();
        made.snippet = true;
    }

    fn all(&mut self, list: ListFolder) {
        if let Some(text) = self.cursor.text.clone() {
            return self.strings(text, list);
        }
        if self.cursor.field.is_some() {
            return self.fields();
        }
        if self.cursor.ty {
            return self.types();
        }
        if self.cursor.sizes {
            return self.names(&[Kind::Dim, Kind::Hyper, Kind::Const], 0);
        }
        let declares = self.cursor.calls.first().and_then(|c| c.declares.clone());
        match declares.as_deref() {
            Some("step") => return self.data_fields(),
            Some(_) => return,
            None => {}
        }
        if self.cursor.block == Block::Use {
            return;
        }
        if self.cursor.begins {
            match self.cursor.block.clone() {
                Block::File => return self.items(),
                Block::Layer => return self.members(),
                Block::Optimizer => {
                    self.snippet("state", "A state of each parameter.", "state ${1:m} = ${0:0}", 0);
                    return self.snippet("update", "The rule.", "update(p, g) {\n  $0\n}", 0);
                }
                Block::Task(kind) => return self.task(&kind),
                Block::Chain => return self.links(),
                Block::Code | Block::Use => self.statements(),
            }
        }
        if self.cursor.pipe.is_some() {
            return self.stages();
        }
        if let Some(call) = self.cursor.calls.first().cloned() {
            self.arguments(&call);
        }
        self.values();
    }

    // ---- places ----

    /// Files in strings of data sources and `from`.
    fn strings(&mut self, text: Range<usize>, list: ListFolder) {
        let written = self.a.text().get(text.clone()).unwrap_or("").to_string();
        let (folder, _) = written.rsplit_once('/').unwrap_or(("", ""));
        let start = text.start + if folder.is_empty() && !written.starts_with('/') { 0 } else { folder.len() + 1 };
        for (name, is_folder) in list(folder) {
            let kind = if is_folder { CompletionKind::Folder } else { CompletionKind::File };
            let useful = ["csv", "tsv", "npy", "npz", "gz", "txt", "safetensors", "json", "idx"];
            let rank = match name.rsplit('.').next() {
                _ if is_folder => 1,
                Some(ending) if useful.contains(&ending) => 0,
                _ => 3,
            };
            let label = if is_folder { format!("{name}/") } else { name };
            let range = start.min(self.offset)..self.offset;
            let made = self.add(&label, kind, "", "", rank);
            made.range = range;
        }
        self.cursor.word = start.min(self.offset)..self.offset;
    }

    /// What stands behind a dot.
    fn fields(&mut self) {
        let Some(base) = self.cursor.field.clone() else { return };
        let a = self.a;
        if a.text().get(base.clone()) == Some("data") {
            self.add("classes", CompletionKind::Size, "int", "The number of classes of the label.", 0);
            self.add("count", CompletionKind::Size, "int", "The number of samples to train on.", 0);
        }
        let mut seen: Vec<Seen> = a.sights(base.clone()).iter().map(|s| Seen::clone(&s.seen)).collect();
        if seen.is_empty()
            && let Some(number) = self.visible(a.text().get(base.clone()).unwrap_or(""))
        {
            seen.extend(a.seen(a.names().symbols[number].span).iter().map(|s| Seen::clone(&s.seen)));
        }
        for seen in &seen {
            if let Seen::Layer { links, decl: None, .. } = seen {
                for (name, link) in links.iter().filter(|(n, _)| !n.starts_with(|c: char| c.is_ascii_digit())) {
                    self.add(name, CompletionKind::Member, &show::value(link), "", 0);
                }
            }
            let Some(declared) = declared_of(a, seen) else { continue };
            let Some(layer) = declared.layer() else { continue };
            for member in &layer.members {
                let text = declared.text(a, member.span).lines().next().unwrap_or("").to_string();
                self.add(&member.name.name, CompletionKind::Member, &text, &member.docs, 0);
            }
        }
    }

    fn types(&mut self) {
        for dtype in library::DTYPES {
            let made = self.add(dtype, CompletionKind::Type, "a tensor", "", if *dtype == "f32" { 0 } else { 1 });
            made.insert = format!("{dtype}[$0]");
            made.snippet = true;
        }
        for tag in ["logits", "probs", "log_probs"] {
            let made = self.add(tag, CompletionKind::Type, "an f32 tensor with this meaning", "", 1);
            made.insert = format!("{tag}[$0]");
            made.snippet = true;
        }
        for kind in ["int", "float", "bool", "string", "fn", "layer", "rate", "clock"] {
            self.add(kind, CompletionKind::Type, "known while compiling", "", 2);
        }
    }

    /// Fields of the task's data, in the parameters of its step.
    fn data_fields(&mut self) {
        let Some(call) = self.cursor.calls.first() else { return };
        let at = call.callee.start;
        let a = self.a;
        let task = a.syntax.tree.items.iter().find(|i| i.span.range().contains(&at));
        let Some(ItemKind::Task(decl)) = task.map(|t| &t.kind) else { return };
        let Some(then) = a.then(decl.word.range()) else { return };
        for field in a.facts.sights.fields.get(&then).into_iter().flatten() {
            let sizes: Vec<String> = std::iter::once("B".to_string())
                .chain(field.shape.iter().map(|n| n.map_or("?".into(), |n| n.to_string())))
                .collect();
            let detail = match field.dtype {
                Some(dtype) => format!("{dtype}[{}]", sizes.join(", ")),
                None => "a text".to_string(),
            };
            let docs = field.classes.map_or(String::new(), |n| format!("{n} classes"));
            self.add(&field.name, CompletionKind::Local, &detail, &docs, 0);
        }
    }

    fn items(&mut self) {
        let model = "model ${1:Net}(classes: int = ${2:10}) {\n  output = Linear(classes)\n\n  forward(${3:x}: f32[B, ${4:D}]) -> logits[B, classes] {\n    ${3:x} |> output$0\n  }\n}";
        let layer = "layer ${1:Block}(width: int) {\n  fc = Linear(width)\n\n  forward(x: f32[.., D]) -> f32[.., width] {\n    x |> fc$0\n  }\n}";
        let train = "train {\n  data      = ${1:digits(validate: 0.2)}\n  batch     = ${2:64}\n  epochs    = ${3:10}\n  net       = ${4:Net()}\n  optimizer = ${5:AdamW(lr: 1e-3)}\n\n  step(${6:image, label}) {\n    scores = net(${7:image})\n    minimize cross_entropy(scores, label)\n    report   accuracy(scores, label)$0\n  }\n}";
        self.snippet("model", "A layer that stands alone.", model, 0);
        self.snippet("layer", "A part of a net.", layer, 0);
        self.snippet("train", "A task that trains.", train, 0);
        self.snippet("fn", "A function.", "fn ${1:name}(x: f32[${2:B, D}]) -> f32[${2:B, D}] {\n  $0\n}", 0);
        self.snippet("evaluate", "A task that measures.", "evaluate {\n  data  = ${1:digits()}\n  batch = 64\n  net   = ${2:train.net}\n\n  step(image, label) {\n    report accuracy(net(image), label)$0\n  }\n}", 1);
        self.snippet("predict", "A task that predicts.", "predict {\n  data  = ${1:digits()}\n  batch = 64\n  net   = ${2:train.net}\n\n  step(image) { softmax(net(image))$0 }\n}", 1);
        self.snippet(
            "optimizer",
            "A rule that moves parameters.",
            "optimizer ${1:Name}(lr: rate = 1e-3) {\n  state m = 0\n  update(p, g) {\n    $0\n  }\n}",
            2,
        );
        self.snippet("const", "A value known while compiling.", "const ${1:width} = ${0:128}", 1);
        self.snippet("data", "A name for a data source.", "data ${1:name} = ${0:digits()}", 1);
        self.snippet("use", "Names of another file.", "use ${1:file}.${0:Name}", 1);
    }

    fn members(&mut self) {
        self.snippet("param", "A learned parameter.", "param ${1:weight}: f32[${2:width}] = ${0:0}", 1);
        self.snippet("state", "A state that steps move.", "state ${1:count}: f32[] = ${0:0}", 2);
        self.snippet(
            "forward",
            "What the layer computes.",
            "forward(${1:x}: f32[${2:B, D}]) -> f32[${3:B, D}] {\n  $0\n}",
            0,
        );
    }

    /// Links of a chain: layers to be made, and functions that leave out their first argument.
    fn links(&mut self) {
        self.recipes(0);
        self.functions(None, 1);
        self.snippet("repeat", "So many copies.", "repeat ${1:3} {\n  $0\n}", 2);
    }

    fn task(&mut self, kind: &str) {
        let names = if kind == "generate" { GENERATE_SETTINGS } else { SETTINGS };
        let a = self.a;
        let around = a.syntax.tree.items.iter().find(|i| i.span.range().contains(&self.offset));
        let own = around.map_or("", |i| a.of(i.span));
        let given: Vec<String> =
            own.lines().filter_map(|l| l.split_once('=').map(|(n, _)| n.trim().to_string())).collect();
        for name in names.iter().filter(|n| !given.iter().any(|g| g == *n)) {
            let Some((example, docs)) = settings::docs(name) else { continue };
            let made = self.add(name, CompletionKind::Setting, &format!("{name} = {example}"), docs, 1);
            made.insert = format!("{name} = ${{1:{}}}", example.replace('}', "\\}"));
            made.snippet = true;
        }
        self.snippet("step", "What one step does.", "step(${1:image, label}) {\n  $0\n}", 0);
        self.snippet("freeze", "Parameters that do not move.", "freeze ${0:net.body}", 2);
        self.snippet("load", "First values from a file.", "load ${1:net} from \"${0:weights.safetensors}\"", 2);
    }

    fn statements(&mut self) {
        let in_step = self.cursor.calls.is_empty()
            && self.a.syntax.tree.items.iter().any(|i| {
                matches!(i.kind, ItemKind::Task(_))
                    && i.span.start as usize <= self.offset
                    && self.offset <= i.span.end as usize
            });
        if in_step {
            self.snippet("minimize", "The loss.", "minimize ${0:cross_entropy(scores, label)}", 1);
            self.snippet("report", "A figure.", "report ${0:accuracy(scores, label)}", 1);
        }
        self.snippet("if", "Decides while compiling.", "if ${1:condition} {\n  $0\n}", 3);
        self.snippet("repeat", "Writes its statements so many times.", "repeat ${1:i} in 0..${2:n} {\n  $0\n}", 3);
    }

    /// Behind `|>`: what takes the value that stands before it.
    fn stages(&mut self) {
        let value = self.cursor.pipe.and_then(|end| self.value_before(end));
        self.functions(value.as_ref(), 1);
    }

    fn arguments(&mut self, call: &Call) {
        let Some(callee) = signature::callee(self.a, call) else { return };
        if call.name.is_some() {
            return self.words(call, &callee);
        }
        let skipped = call.position + usize::from(call.piped);
        for (i, (name, text)) in callee.params.iter().enumerate() {
            let placed = i < skipped && call.given.is_empty();
            if placed || call.given.contains(name) {
                continue;
            }
            let made = self.add(&format!("{name}:"), CompletionKind::Argument, text, "", 1);
            made.insert = format!("{name}: ");
        }
    }

    /// `same` and `valid` of `padding: int | same | valid`.
    fn words(&mut self, call: &Call, callee: &Callee) {
        let Some((_, text)) = callee.params.iter().find(|(n, _)| Some(n) == call.name.as_ref()) else { return };
        let Some((_, ty)) = text.split_once(':') else { return };
        let ty = ty.split('=').next().unwrap_or(ty);
        if ty.contains('|') {
            for word in ty
                .split('|')
                .map(str::trim)
                .filter(|w| !w.is_empty() && w.chars().all(|c| c.is_alphanumeric() || c == '_'))
            {
                if !["int", "float", "string", "fn"].contains(&word) {
                    self.add(word, CompletionKind::Keyword, text, "", 0);
                }
            }
        }
        if ty.trim() == "bool" {
            self.add("true", CompletionKind::Keyword, text, "", 0);
            self.add("false", CompletionKind::Keyword, text, "", 0);
        }
        if ty.trim() == "rate" {
            self.module("schedules", 0);
        }
    }

    /// Wherever a value can stand.
    fn values(&mut self) {
        let in_layer = self.cursor.block == Block::Layer;
        let in_task = matches!(self.cursor.block, Block::Task(_));
        match self.cursor.binds.as_deref() {
            Some("optimizer") if in_task && self.cursor.calls.is_empty() => {
                let all = library::get().items().filter(|(_, i)| matches!(i.item.kind, ItemKind::Optimizer(_)));
                for (name, item) in all {
                    let rank = if matches!(name, "AdamW" | "Adam" | "Sgd") { 0 } else { 1 };
                    let made = self.add(name, CompletionKind::Optimizer, "", &item.item.docs, rank);
                    made.insert = format!("{name}(lr: ${{1:1e-3}})$0");
                    made.snippet = true;
                }
                return self.names(&[Kind::Optimizer], 0);
            }
            Some("data") if in_task && self.cursor.calls.is_empty() => {
                for entry in library::get().entries().filter(|e| e.group == "data sources") {
                    let made = self.add(&entry.name, CompletionKind::Data, &entry.signature, &entry.docs, 1);
                    made.insert = format!("{}($0)", entry.name);
                    made.snippet = true;
                }
                return self.names(&[Kind::Data], 0);
            }
            _ => {}
        }
        if (in_layer || in_task) && self.cursor.calls.is_empty() {
            self.recipes(1);
            self.snippet("seq", "A chain of layers and functions.", "seq {\n  $0\n}", 1);
            self.snippet("repeat", "So many copies.", "repeat ${1:3} {\n  $0\n}", 2);
        }
        self.locals();
        if !in_layer {
            self.functions(None, 4);
        } else {
            self.module("initializers", 3);
            self.names(&[Kind::Function], 4);
        }
        for (word, docs) in library::WORDS {
            self.add(word, CompletionKind::Keyword, "", docs, 6);
        }
        if in_task {
            self.names(&[Kind::Task], 2);
        }
    }

    // ---- kinds of names ----

    fn visible(&self, name: &str) -> Option<usize> {
        let names = self.a.names();
        names.visible(self.offset).filter(|n| names.symbols[*n].name == name).last()
    }

    /// Names of these kinds that can be seen.
    fn names(&mut self, kinds: &[Kind], rank: u8) {
        let a = self.a;
        for number in a.names().visible(self.offset) {
            let symbol = &a.names().symbols[number];
            if kinds.contains(&symbol.kind) {
                let detail = a.seen(symbol.span).first().map_or(String::new(), |s| show::value(&s.seen));
                self.add(
                    symbol.name.trim_start_matches('.'),
                    completion_kind(symbol.kind),
                    &detail,
                    &symbol.docs,
                    rank,
                );
            }
        }
    }

    /// Locals, members, sizes and constants; where an argument is written, those that fit it first.
    fn locals(&mut self) {
        let a = self.a;
        let wanted = self.cursor.calls.first().and_then(|call| self.wanted(call));
        for number in a.names().visible(self.offset) {
            let symbol = &a.names().symbols[number];
            if symbol.kind.is_item() && symbol.kind != Kind::Const || symbol.kind == Kind::Setting {
                continue;
            }
            let sight = a.seen(symbol.span).last();
            let detail = sight.map_or(String::new(), |s| show::value(&s.seen));
            let tensor = sight.and_then(|s| tensor_of(&s.seen));
            let mut rank = match symbol.kind {
                Kind::Local | Kind::Parameter | Kind::Field => 1,
                Kind::Member | Kind::Weight | Kind::State | Kind::Binding => 2,
                _ => 3,
            };
            if let Some(ty) = &wanted {
                match tensor.as_ref().map(|t| fits(t, ty)) {
                    Some(Some(true)) => rank = 0,
                    Some(Some(false)) => rank = 5,
                    _ => rank = rank.max(2),
                }
            }
            self.add(symbol.name.trim_start_matches('.'), completion_kind(symbol.kind), &detail, &symbol.docs, rank);
        }
    }

    /// The type of the argument at the cursor.
    fn wanted(&self, call: &Call) -> Option<crate::syntax::ast::TypeExpr> {
        let span = crate::source::Span::new(super::MAIN, call.callee.start, call.callee.end);
        let declared = super::goto::callee_at(self.a, span).or_else(|| {
            let word = self.a.text().get(call.callee.clone())?;
            let item = library::get().item(word)?;
            Some(item.declared())
        })?;
        let params = declared.params();
        let param = match &call.name {
            Some(name) => params.iter().find(|p| p.name.name == *name),
            None => params.get(call.position + usize::from(call.piped)),
        };
        param?.ty.clone()
    }

    /// Layers to be made.
    fn recipes(&mut self, rank: u8) {
        let a = self.a;
        for (name, item) in library::get().items() {
            if let ItemKind::Layer(layer) = &item.item.kind {
                let docs = item.item.docs.clone();
                let needed: Vec<&str> =
                    layer.params.iter().filter(|p| p.default.is_none()).map(|p| p.name.name.as_str()).collect();
                let common = ["Linear", "Conv2d", "Dropout", "LayerNorm", "BatchNorm2d", "Embedding"];
                let rank = rank + u8::from(!common.contains(&name));
                let made = self.add(name, CompletionKind::Layer, &format!("std.{}", item.module), &docs, rank);
                (made.insert, made.snippet) = call_snippet(name, needed.len());
            }
        }
        for number in a.names().visible(self.offset) {
            let symbol = &a.names().symbols[number];
            if matches!(symbol.kind, Kind::Layer | Kind::Model) {
                let made = self.add(&symbol.name, CompletionKind::Layer, "", &symbol.docs, rank);
                (made.insert, made.snippet) = call_snippet(&symbol.name, 1);
            }
        }
    }

    /// Functions and operations; those that take the value first, others not at all.
    fn functions(&mut self, value: Option<&Tensor>, rank: u8) {
        let a = self.a;
        let keep = |verdict: Option<bool>| match (value, verdict) {
            (None, _) => Some(rank),
            (Some(_), Some(true)) => Some(rank),
            (Some(_), None) => Some(rank + 1),
            (Some(_), Some(false)) => None,
        };
        let piped = self.cursor.pipe.is_some() || self.cursor.block == Block::Chain;
        for (name, item) in library::get().items() {
            let ItemKind::Fn(decl) = &item.item.kind else { continue };
            let declared = item.declared();
            let verdict = value.map_or(Some(true), |v| takes(v, &declared));
            let Some(rank) = keep(verdict) else { continue };
            let needed = decl.params.iter().filter(|p| p.default.is_none()).count();
            let result = decl.result.as_ref().map_or(String::new(), |t| format!(" -> {}", declared.text(a, t.span)));
            let detail = format!("std.{}{result}", item.module);
            let often = matches!(item.module, "activations" | "losses" | "math");
            let made = self.add(name, CompletionKind::Function, &detail, &item.item.docs, rank + u8::from(!often));
            (made.insert, made.snippet) = stage_snippet(name, needed, piped);
        }
        for entry in library::get().entries().filter(|e| e.group == "operations" || e.group == "built in") {
            let surface = library::get().surface(&entry.name);
            let verdict = match (value, surface) {
                (Some(value), Some(surface)) => surface_takes(value, surface),
                (Some(_), None) => None,
                (None, _) => Some(true),
            };
            let Some(rank) = keep(verdict) else { continue };
            let needed = match surface {
                Some(s) => s.params.iter().filter(|p| p.default == crate::ops::ArgDefault::Required).count(),
                None => 2,
            };
            let made = self.add(&entry.name, CompletionKind::Operation, &entry.signature, &entry.docs, rank + 1);
            (made.insert, made.snippet) = stage_snippet(&entry.name, needed, piped);
        }
        for number in a.names().visible(self.offset) {
            let symbol = &a.names().symbols[number];
            let callee = match symbol.kind {
                Kind::Function => super::goto::callee_at(a, symbol.span),
                Kind::Member | Kind::Binding => super::goto::callee_at(a, symbol.span).filter(|d| d.made),
                _ => None,
            };
            let chain = a.seen(symbol.span).iter().any(|s| matches!(*s.seen, Seen::Layer { decl: None, .. }));
            let Some(callee) = callee else {
                if chain && value.is_some() {
                    self.add(&symbol.name, CompletionKind::Member, "a chain", &symbol.docs, 0);
                }
                continue;
            };
            let verdict = value.map_or(Some(true), |v| takes(v, &callee));
            let Some(_) = keep(verdict) else { continue };
            let needed = callee.params().iter().filter(|p| p.default.is_none()).count();
            let kind = if callee.made { CompletionKind::Member } else { CompletionKind::Function };
            let signature = signature::of_declared(a, &callee);
            let made =
                self.add(&symbol.name, kind, &format!("{}{}", signature.name, signature.result), &symbol.docs, 0);
            if callee.made || symbol.kind == Kind::Function {
                (made.insert, made.snippet) = stage_snippet(&symbol.name, needed, piped);
            }
        }
    }

    /// Functions of a module of the library.
    fn module(&mut self, module: &str, rank: u8) {
        for (name, item) in library::get().items().filter(|(_, i)| i.module == module) {
            let made = self.add(name, CompletionKind::Function, &format!("std.{module}"), &item.item.docs, rank);
            made.insert = format!("{name}($0)");
            made.snippet = true;
        }
    }

    /// The tensor that an expression ending at an offset gives.
    fn value_before(&self, end: usize) -> Option<Tensor> {
        let a = self.a;
        let mut best: Option<(usize, Tensor)> = None;
        for (span, sights) in &a.facts.sights.values {
            let Some(range) = a.now(*span).filter(|r| r.end == end) else { continue };
            let Some(tensor) = sights.iter().find_map(|s| tensor_of(&s.seen)) else { continue };
            if best.as_ref().is_none_or(|(start, _)| range.start < *start) {
                best = Some((range.start, tensor));
            }
        }
        if let Some((_, tensor)) = best {
            return Some(tensor);
        }
        // New text: a name that was known before.
        let word = a.text().get(..end)?;
        let start = word.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |i| i + 1);
        let number = self.visible(&word[start..])?;
        a.seen(a.names().symbols[number].span).iter().find_map(|s| tensor_of(&s.seen))
    }
}

fn tensor_of(seen: &Seen) -> Option<Tensor> {
    match seen {
        Seen::Tensor { ty, tag } => Some(Tensor { ty: ty.clone(), tag: *tag }),
        _ => None,
    }
}

fn completion_kind(kind: Kind) -> CompletionKind {
    match kind {
        Kind::Const => CompletionKind::Constant,
        Kind::Function => CompletionKind::Function,
        Kind::Layer | Kind::Model => CompletionKind::Layer,
        Kind::Optimizer => CompletionKind::Optimizer,
        Kind::Data => CompletionKind::Data,
        Kind::Task => CompletionKind::Task,
        Kind::Dim | Kind::Hyper => CompletionKind::Size,
        Kind::Member | Kind::Weight | Kind::State | Kind::Binding => CompletionKind::Member,
        Kind::Setting => CompletionKind::Setting,
        Kind::Local | Kind::Parameter | Kind::Field => CompletionKind::Local,
    }
}

fn call_snippet(name: &str, needed: usize) -> (String, bool) {
    match needed {
        0 => (format!("{name}()"), false),
        _ => (format!("{name}($0)"), true),
    }
}

/// A call; as a stage it leaves out its first argument, and the parentheses where nothing else is needed.
fn stage_snippet(name: &str, needed: usize, piped: bool) -> (String, bool) {
    match (piped, needed) {
        (true, 0 | 1) => (name.to_string(), false),
        (false, 0) => (format!("{name}()"), false),
        _ => (format!("{name}($0)"), true),
    }
}
