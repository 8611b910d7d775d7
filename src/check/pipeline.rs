//! Data on its way to a step: in go a `data` item's source and bodies, out come the values of one sample, as a graph of
//! its own, and the fields that feed it.
//!
//! A body is ordinary code over one sample. What a step takes of it is mapped over the batch (see `vmap`) into the step's
//! own graph, so it is compiled, fused and differentiated like the rest. Only texts stay with whoever feeds the step: a
//! field that `tokens` makes is filled with numbers, and padded.

use super::context::{Bound, Checker, Facts, FieldFacts, ReasonKind, Res, Scope, Sheet};
use super::program::{FieldFrom, FieldUse};
use super::shapes::{Form, Place, TensorForm, form};
use super::values::{Axis, Callable, DataValue, TextValue, TokenizerValue, Ty, Value};
use crate::diag::{Diagnostic, codes, suggest};
use crate::dims::{Dim, Sym};
use crate::graph::{Graph, NodeId};
use crate::ops::{DType, Op};
use crate::source::Span;
use crate::syntax::ast::{DimExpr, Ident, Param};
use std::collections::BTreeSet;
use std::rc::Rc;

/// The fields of a task, numbered as they are first needed.
#[derive(Default)]
pub struct FeedFields {
    pub fields: Vec<FieldUse>,
    /// Those that the step names, which are fed even if nothing reads them.
    named: BTreeSet<usize>,
    /// True while the body of a `data` item is evaluated.
    sampling: bool,
    /// The source's texts.
    texts: Vec<String>,
    /// What tells the source from others.
    source: String,
}

impl FeedFields {
    /// The number of a field; a field that is filled with the same is the same.
    pub fn place(&mut self, field: FieldUse) -> usize {
        let same = |f: &FieldUse| match field.from {
            FieldFrom::Source | FieldFrom::Varying | FieldFrom::Alone => f.name == field.name && f.from == field.from,
            FieldFrom::Draw { .. } => f.shape == field.shape && f.from == field.from,
            _ => f.from == field.from,
        };
        if let Some(i) = self.fields.iter().position(same) {
            return i;
        }
        self.fields.push(field);
        self.fields.len() - 1
    }

    /// The fields that these graphs read and the step names, the graphs renumbered accordingly.
    pub fn used(self, graphs: &mut [&mut Graph<Dim>]) -> Vec<FieldUse> {
        let mut needed = self.named.clone();
        for node in graphs.iter().flat_map(|g| &g.nodes) {
            if let Op::Field(i) = node.op {
                needed.insert(i as usize);
            }
        }
        for i in needed.clone() {
            if let Some(FieldFrom::Length(of)) = self.fields.get(i).map(|f| &f.from) {
                needed.insert(*of);
            }
        }
        let place = |i: usize| needed.range(..i).count();
        for node in graphs.iter_mut().flat_map(|g| &mut g.nodes) {
            if let Op::Field(i) = &mut node.op {
                *i = place(*i as usize) as u32;
            }
        }
        let chosen = self.fields.into_iter().enumerate().filter(|(i, _)| needed.contains(i));
        chosen
            .map(|(_, mut field)| {
                if let FieldFrom::Length(of) = &mut field.from {
                    *of = place(*of);
                }
                field
            })
            .collect()
    }
}

/// One sample after its pipeline.
pub struct Sample {
    pub sheet: Sheet,
    pub scope: Scope,
}

impl Sample {
    pub fn value(&mut self, name: &str) -> Option<Value> {
        self.scope.local(name).map(|l| l.value.clone())
    }

    /// The names of all fields, each once.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for local in &self.scope.locals {
            if !names.contains(&local.name) {
                names.push(local.name.clone());
            }
        }
        names
    }

    /// The field that a node stands for; what stands in for a value with a fault is none.
    fn field_of(&self, node: NodeId) -> Option<usize> {
        match self.sheet.graph.node(node).op {
            Op::Field(i) if i != u32::MAX => Some(i as usize),
            _ => None,
        }
    }
}

impl Checker<'_> {
    /// Evaluates the bodies of a data set over the fields of one sample.
    pub fn sample(&mut self, data: &DataValue, facts: &Facts) -> Sample {
        let outer = std::mem::take(&mut self.sheet);
        let path = self.scope_path;
        let was_sampling = std::mem::replace(&mut self.feed.sampling, true);
        self.feed.texts.clone_from(&facts.texts);
        self.feed.source = format!("{}@{:?}", data.source, data.span);
        let mut scope = Scope::new(data.span.file);
        for field in &facts.fields {
            let number = self.source_place(data, facts, field);
            let node = self.field_node(number, data.span);
            scope.bind(&field.name, Value::Tensor(node), data.span);
        }
        for text in &facts.texts {
            // What is a class too is both; `tokens` asks for the text.
            if scope.local(text).is_none() {
                scope.bind(text, Value::Text(Rc::new(TextValue::Field(text.clone()))), data.span);
            }
        }
        for body in &data.bodies {
            scope.file = body.name.span.file;
            self.scope_path = 0;
            self.enter_path(&format!("data {}", body.name.name));
            if let Some(block) = &body.body {
                self.eval_block(block, &mut scope, false);
            }
        }
        self.scope_path = path;
        self.feed.sampling = was_sampling;
        Sample { sheet: std::mem::replace(&mut self.sheet, outer), scope }
    }

    /// Looks at a data set that no task takes.
    pub fn unused_data(&mut self, name: &str, span: Span) {
        self.calls.clear();
        self.active.clear();
        self.training = Some(true);
        self.sheet = Sheet::default();
        let mut scope = Scope::new(span.file);
        let Some(Value::Data(data)) = self.name_value(name, span, &mut scope) else { return };
        match self.data.facts(&data) {
            Ok(facts) if facts.warning.is_none() => drop(self.sample_apart(&data, &facts)),
            Ok(_) => {}
            Err(fault) => self.report(*fault),
        }
    }

    /// A field of one sample in the graph at hand.
    fn field_node(&mut self, number: usize, span: Span) -> NodeId {
        let (dtype, shape) = (self.feed.fields[number].dtype, self.feed.fields[number].shape.clone());
        let axes = shape.into_iter().map(|size| self.data_axis(size, span)).collect();
        self.node(Op::Field(number as u32), Vec::new(), Ty { dtype, axes, tag: None, weak: false }, span)
    }

    fn data_axis(&mut self, size: Dim, span: Span) -> Axis {
        let why = self.reason(span, &size, ReasonKind::Data, vec![]);
        Axis { size, why }
    }

    /// Binds a step's parameters to the fields of the data.
    pub fn step_fields(
        &mut self,
        params: &[Param],
        data: Option<&Rc<DataValue>>,
        facts: Option<&Facts>,
        batch: &Option<Sym>,
        has_data: bool,
        scope: &mut Scope,
    ) {
        if let Some(b) = batch {
            let span = params.first().map_or(Span::new(scope.file, 0, 0), |p| p.span);
            let why = self.data_axis(Dim::from(b.clone()), span).why;
            scope.dims.insert("B".into(), Bound { size: Dim::from(b.clone()), why });
        }
        let known = facts.is_some_and(|f| !f.fields.is_empty() || !f.texts.is_empty());
        let mut sample = match (data, facts) {
            (Some(data), Some(facts)) if known && !data.bodies.is_empty() => Some(self.sample(data, facts)),
            _ => None,
        };
        for param in params {
            let name = &param.name;
            let growing = self.growing_field(&name.name, name.span, batch);
            let value = match &mut sample {
                _ if growing.is_some() => growing,
                Some(sample) => match sample.value(&name.name) {
                    Some(Value::Tensor(node)) => match sample.field_of(node) {
                        Some(number) => Some(self.batched_field(number, name.span, batch)),
                        None => match self.alone(sample, node, name) {
                            Some(Some(number)) => Some(self.batched_field(number, name.span, batch)),
                            Some(None) => Some(Value::Poison),
                            None => self.mapped(sample, node, batch, name.span).or(Some(Value::Poison)),
                        },
                    },
                    Some(Value::Text(_)) => Some(self.text_taken(name)),
                    other => other,
                },
                None => data.zip(facts).and_then(|(d, f)| self.plain_field(name, d, f, batch)),
            };
            let value = match value {
                Some(value) => value,
                None => match self.length_field(name, data.zip(facts), &mut sample, batch) {
                    Some(value) => value,
                    None => {
                        if known || !has_data {
                            let names = match (&sample, facts) {
                                (Some(sample), _) => sample.names(),
                                (None, Some(facts)) => facts.fields.iter().map(|f| f.name.clone()).collect(),
                                (None, None) => Vec::new(),
                            };
                            self.no_field(name, &names, has_data);
                            Value::Poison
                        } else {
                            self.written_field(param, batch, scope).unwrap_or(Value::Poison)
                        }
                    }
                },
            };
            if let Value::Tensor(node) = &value {
                let ty = self.ty(*node).clone();
                if let Some(declared) = &param.ty
                    && let Form::Tensor(form) = form(declared)
                {
                    let text = format!("the field `{}`", name.name);
                    let place = Place { span: declared.span, what: &text };
                    self.match_tensor(&form, &ty, scope, place);
                }
                scope.bind(&name.name, value, name.span);
                if let Some(local) = scope.local(&name.name) {
                    local.checked = true;
                }
            } else {
                scope.bind(&name.name, value, name.span);
            }
        }
    }

    /// A field of absent data of which nothing is known but the type that the step writes.
    fn written_field(&mut self, param: &Param, batch: &Option<Sym>, scope: &Scope) -> Option<Value> {
        let Form::Tensor(TensorForm { dtype, dims, .. }) = form(param.ty.as_ref()?) else { return None };
        // The batch axis is not the sample's.
        let dims = if batch.is_some() { dims.get(1..)? } else { dims };
        let mut shape = Vec::new();
        for dim in dims {
            let DimExpr::Size(expr) = dim else { return None };
            let mut open = Vec::new();
            shape.push(self.dim_of(expr, scope, &mut open)?);
        }
        let (name, span) = (param.name.name.clone(), param.name.span);
        let field = FieldUse { name, dtype, shape, classes: None, from: FieldFrom::Source, below: None };
        let number = self.feed.place(field);
        Some(self.batched_field(number, span, batch))
    }

    /// A field of a source without a pipeline.
    fn plain_field(&mut self, name: &Ident, data: &DataValue, facts: &Facts, batch: &Option<Sym>) -> Option<Value> {
        let Some(field) = facts.fields.iter().find(|f| f.name == name.name) else {
            let is_text = facts.texts.contains(&name.name);
            return is_text.then(|| self.text_taken(name));
        };
        let number = self.source_place(data, facts, field);
        Some(self.batched_field(number, name.span, batch))
    }

    /// The place of a field of the source.
    fn source_place(&mut self, data: &DataValue, facts: &Facts, field: &FieldFacts) -> usize {
        let shape = self.field_shape(data, field);
        let from = if field.varying { FieldFrom::Varying } else { FieldFrom::Source };
        let (name, dtype) = (field.name.clone(), field.dtype);
        // Tokens are below the size of their vocabulary, as labels are below the number of classes.
        let vocabulary = facts.vocabularies.iter().find(|(n, _)| *n == name).and_then(|(_, size)| *size);
        let classes = field.classes.or(vocabulary);
        self.feed.place(FieldUse { classes, ..FieldUse::new(name, dtype, shape, from) })
    }

    /// The sizes of a source's field; those that only the files tell are names.
    fn field_shape(&mut self, data: &DataValue, field: &FieldFacts) -> Vec<Dim> {
        let mut shape = Vec::new();
        for (axis, size) in field.shape.iter().enumerate() {
            shape.push(match (size, field.sizes.get(axis)) {
                (Some(n), _) => Dim::from(*n),
                (None, Some(name)) if !name.is_empty() => {
                    Dim::from(self.unknown_of(data, name, name, field.varying && axis == 0))
                }
                (None, _) => {
                    let what = format!("{}.{axis}", field.name);
                    Dim::from(self.unknown_of(data, &what, &field.name.to_uppercase(), field.varying && axis == 0))
                }
            });
        }
        shape
    }

    /// A number that only the files of a data set tell, or that differs from sample to sample: whoever asks gets the same
    /// name.
    fn unknown_of(&mut self, data: &DataValue, what: &str, shown: &str, varies: bool) -> Sym {
        let key = format!("{}@{:?} {what}", data.source, data.span);
        if let Some((sym, _)) = self.unknown.get(&key) {
            return sym.clone();
        }
        let sym = self.fresh(shown);
        self.unknown.insert(key, (sym.clone(), varies));
        sym
    }

    /// A number of the data, if it is known, else a name for it.
    fn number_of(&mut self, data: &DataValue, known: Option<usize>, what: &str, shown: &str) -> Value {
        match known {
            Some(n) => Value::int(n),
            None => Value::int(Dim::from(self.unknown_of(data, what, shown, false))),
        }
    }

    /// A field as the step sees it: with the batch axis.
    pub fn batched_field(&mut self, number: usize, span: Span, batch: &Option<Sym>) -> Value {
        self.feed.named.insert(number);
        Value::Tensor(self.fed(number, span, batch))
    }

    /// The node of a field with the batch axis.
    pub fn fed(&mut self, number: usize, span: Span, batch: &Option<Sym>) -> NodeId {
        let field = self.feed.fields[number].clone();
        let sizes = batch.iter().map(|b| Dim::from(b.clone())).chain(field.shape);
        let axes: Vec<Axis> = sizes.map(|size| self.data_axis(size, span)).collect();
        let ty = Ty { dtype: field.dtype, axes, tag: None, weak: false };
        self.node(Op::Field(number as u32), Vec::new(), ty, span)
    }

    /// `NAME_length`: how many elements of a field's first axis are not padding.
    fn length_field(
        &mut self,
        name: &Ident,
        data: Option<(&Rc<DataValue>, &Facts)>,
        sample: &mut Option<Sample>,
        batch: &Option<Sym>,
    ) -> Option<Value> {
        let of = name.name.strip_suffix("_length")?;
        let Some(sample) = sample else {
            let (data, facts) = data?;
            let field = facts.fields.iter().find(|f| f.name == of && f.varying)?;
            let number = self.source_place(data, facts, field);
            let number = self.length_of(number);
            return Some(self.batched_field(number, name.span, batch));
        };
        let Some(Value::Tensor(node)) = sample.value(of) else { return None };
        let first = sample.sheet.tys[node.index()].axes.first()?.size.clone();
        let of = match sample.field_of(node) {
            Some(number) => Some(number),
            None => match self.alone(sample, node, &Ident { name: of.into(), span: name.span }) {
                Some(number) => number,
                None => {
                    self.feed.fields.iter().position(|f| f.varying().is_some_and(|s| Dim::from(s.clone()) == first))
                }
            },
        }?;
        let field = &self.feed.fields[of];
        if field.varying().is_none() && !matches!(field.from, FieldFrom::Tokens { .. }) {
            return None;
        }
        let number = self.length_of(of);
        Some(self.batched_field(number, name.span, batch))
    }

    /// The field that a body makes of each sample by itself, if it works along an axis that varies in the source; none if
    /// it can be mapped over the batch, and none in the place of the number if that is a fault.
    fn alone(&mut self, sample: &Sample, node: NodeId, name: &Ident) -> Option<Res<usize>> {
        if !self.works_along_varying(sample, node) {
            return None;
        }
        let ty = sample.sheet.tys[node.index()].clone();
        let mut shape = Vec::new();
        for (i, axis) in ty.axes.iter().enumerate() {
            if !self.varies(&axis.size) || i == 0 && axis.size.as_sym().is_some() {
                shape.push(axis.size.clone());
            } else if i == 0 {
                // What the same formula makes of the same field has the same length.
                let key = format!("varying {} of {}", axis.size, self.feed.source);
                let sym = match self.unknown.get(&key) {
                    Some((sym, _)) => sym.clone(),
                    None => self.fresh(&name.name.to_uppercase()),
                };
                self.unknown.insert(key, (sym.clone(), true));
                shape.push(Dim::from(sym));
            } else {
                let what = format!("`{}` varies along axis {i}", name.name);
                let d = Diagnostic::error(codes::NOT_SUPPORTED, name.span, what).label(format!("one sample is {ty}"));
                return Some(self.fail(d.help("put that axis first: only the first axis of a field is padded")));
            }
        }
        let (name, dtype) = (name.name.clone(), ty.dtype);
        Some(Some(self.feed.place(FieldUse::new(name, dtype, shape, FieldFrom::Alone))))
    }

    /// True if a size contains the length of a source's field that differs from sample to sample.
    pub fn varies(&self, size: &Dim) -> bool {
        let mut found = false;
        size.visit(&mut |s| found |= self.unknown.values().any(|(u, varies)| u == s && *varies));
        found
    }

    /// The companion of a field.
    pub fn length_of(&mut self, of: usize) -> usize {
        let name = format!("{}_length", self.feed.fields[of].name);
        self.feed.place(FieldUse::new(name, DType::I32, Vec::new(), FieldFrom::Length(of)))
    }

    fn text_taken(&mut self, name: &Ident) -> Value {
        let n = &name.name;
        self.report(
            Diagnostic::error(codes::WRONG_KIND, name.span, format!("`{n}` is a text, a step takes numbers"))
                .label("a text of the source")
                .help(format!("make numbers of it: `data NAME = SOURCE {{ token = {n} |> tokens(words(8000)) }}`")),
        );
        Value::Poison
    }

    fn no_field(&mut self, name: &Ident, names: &[String], has_data: bool) {
        let meant = suggest::nearest(&name.name, names.iter().map(String::as_str));
        let headline = match has_data {
            true => format!("the data has no field `{}`", name.name),
            false => format!("`{}` would come from the data, but the task has none", name.name),
        };
        let fault = Diagnostic::error(codes::UNKNOWN_NAME, name.span, headline)
            .label("a step's parameters are fields of the data");
        self.report(match meant {
            Some(m) => fault.help(format!("did you mean `{m}`?")),
            None if has_data => fault.help(format!("its fields are {}", names.join(", "))),
            None => fault.help("add `data = …` to the task"),
        });
    }

    /// `characters()`, `words(n)`, …
    pub fn tokenizer(&mut self, name: &str, args: &[Value], span: Span) -> Res<Value> {
        let made = match (name, args.first()) {
            ("characters", _) => TokenizerValue::Characters,
            ("words", Some(n)) => match n.number().filter(|n| n.fract() == 0.0 && *n > 4.0) {
                Some(n) => TokenizerValue::Words(n as usize),
                None if matches!(n, Value::UnknownNumber | Value::Int(..)) && n.number().is_none() => {
                    return Some(Value::Unknown);
                }
                None => {
                    let fault = Diagnostic::error(
                        codes::BAD_SETTING,
                        span,
                        format!("`words` takes a number of tokens, not {}", n.kind()),
                    );
                    return self.fail(fault.help("four are padding and marks: `words(8000)` keeps 7996 words"));
                }
            },
            (_, Some(Value::Str(path))) if name == "bpe" => TokenizerValue::Bpe(path.clone()),
            (_, Some(Value::Str(path))) => TokenizerValue::WordPiece(path.clone()),
            (_, other) => {
                let is = other.map_or("nothing".to_string(), Value::kind);
                let fault = Diagnostic::error(codes::WRONG_KIND, span, format!("`{name}` takes a file, not {is}"));
                return self.fail(fault.help(format!("`{name}(\"vocab.txt\")`")));
            }
        };
        Some(Value::Tokenizer(Rc::new(made)))
    }

    /// `tokens(text, tokenizer, max, start, end)`: a text as numbers, of a length that differs from sample to sample.
    pub fn tokens(&mut self, args: Vec<Value>, span: Span) -> Res<Value> {
        let text = match &args[0] {
            Value::Text(text) => TextValue::clone(text),
            // A class of few values: its text.
            Value::Tensor(node)
                if self.feed.sampling && self.source_field(*node).is_some_and(|n| self.feed.texts.contains(&n)) =>
            {
                TextValue::Field(self.source_field(*node)?)
            }
            other => {
                let is = self.describe(other);
                return self.fail(
                    Diagnostic::error(codes::WRONG_KIND, span, format!("`tokens` takes a text, not {is}"))
                        .label("texts are fields of a source of text")
                        .help(
                            "for instance `text` of `labelled_lines`, or a column of `tsv(…, columns: [\"english\"])`",
                        ),
                );
            }
        };
        let Some(tokenizer) = as_tokenizer(&args[1]) else {
            let is = self.describe(&args[1]);
            return self.fail(
                Diagnostic::error(codes::WRONG_KIND, span, format!("`tokens` takes a tokenizer, not {is}"))
                    .help("`characters()` or `words(8000)`"),
            );
        };
        let flag = |value: &Value| match value {
            Value::None => Some(false),
            Value::Bool(b) => Some(*b),
            _ => None,
        };
        let (Some(start), Some(end)) = (flag(&args[3]), flag(&args[4])) else {
            let what = "`start` and `end` of `tokens` are true or false";
            return self.fail(Diagnostic::error(codes::WRONG_KIND, span, what).help("`start: true` adds a mark"));
        };
        let marks = usize::from(start) + usize::from(end);
        let max = match &args[2] {
            Value::None => None,
            value => match value.number().filter(|n| n.fract() == 0.0 && *n > marks as f64) {
                Some(n) => Some(n as usize),
                None => {
                    let what = format!("`max` of `tokens` is {}", value.kind());
                    let fault = Diagnostic::error(codes::BAD_SETTING, span, what);
                    return self.fail(fault.help(format!("give a whole number above {marks}")));
                }
            },
        };
        if !self.feed.sampling {
            let fault = Diagnostic::error(codes::WRONG_KIND, span, "`tokens` belongs in the body of a `data` item");
            return self.fail(fault.help("`data NAME = SOURCE { token = text |> tokens(characters()) }`"));
        }
        let name = format!("{text} |> {tokenizer}");
        let from = FieldFrom::Tokens { text, tokenizer, max, start, end };
        let size = match max {
            Some(n) => Dim::from(n),
            None => Dim::from(self.fresh("T")),
        };
        let number = self.feed.place(FieldUse::new(name, DType::I32, vec![size], from));
        Some(Value::Tensor(self.field_node(number, span)))
    }

    /// The source's field that a node of one sample stands for.
    fn source_field(&self, node: NodeId) -> Option<String> {
        let Op::Field(i) = self.sheet.graph.node(node).op else { return None };
        let field = self.feed.fields.get(i as usize)?;
        (field.from == FieldFrom::Source).then(|| field.name.clone())
    }

    /// `names[label]`: the text of a list that a label names.
    pub fn choose_text(&mut self, items: &[Value], index: NodeId, span: Span) -> Res<Value> {
        let texts: Option<Vec<String>> =
            items.iter().map(|v| if let Value::Str(s) = v { Some(s.clone()) } else { None }).collect();
        let field = if self.feed.sampling { self.source_field(index) } else { None };
        if let (Some(texts), Some(field)) = (texts, field) {
            return Some(Value::Text(Rc::new(TextValue::Choice(texts, field))));
        }
        let is = self.ty(index).to_string();
        self.fail(
            Diagnostic::error(codes::WRONG_KIND, span, "a list is indexed with a number known while compiling")
                .label(format!("this is {is}"))
                .help("in the body of a `data` item a label may choose from a list of texts"),
        )
    }

    /// `vector([0.5, 1.0])`: numbers known while compiling as `f32[n]`.
    pub fn vector(&mut self, list: &Value, span: Span) -> Res<Value> {
        let items = self.list(list, span)?;
        if items.iter().any(|v| matches!(v, Value::UnknownNumber) || v.is_silent()) {
            return Some(Value::Unknown);
        }
        let numbers: Option<Vec<f64>> = items.iter().map(Value::number).collect();
        let Some(numbers) = numbers else {
            let fault = Diagnostic::error(codes::WRONG_KIND, span, "`vector` takes numbers known while compiling");
            return self.fail(fault.help("`concat` puts tensors together"));
        };
        let axis = self.written(span, Dim::from(numbers.len()));
        let ty = Ty { dtype: DType::F32, axes: vec![axis], tag: None, weak: false };
        Some(Value::Tensor(self.node(Op::Literal(numbers), Vec::new(), ty, span)))
    }

    /// `data.classes`, `data.count`, `data.vocab`, `data.FIELD`
    pub fn data_field(&mut self, data: &Rc<DataValue>, name: &Ident) -> Res<Value> {
        let facts = match self.data.facts(data) {
            Ok(facts) => facts,
            Err(fault) => return self.fail(*fault),
        };
        match name.name.as_str() {
            "classes" => match facts.fields.iter().find_map(|f| f.classes) {
                known if known.is_some() || facts.warning.is_some() => {
                    Some(self.number_of(data, known, "classes", "classes"))
                }
                _ => self.fail(
                    Diagnostic::error(codes::UNKNOWN_NAME, name.span, "this data has no classes")
                        .label("none of its fields is a label"),
                ),
            },
            "count" => Some(self.number_of(data, facts.count, "count", "count")),
            "vocab" | "tokenizer" | "pad" if !facts.vocabularies.is_empty() => {
                let field = facts.vocabularies[0].0.clone();
                self.field_fact(data, &field, name)
            }
            other => {
                let mut names = self.sample_apart(data, &facts).names();
                if names.iter().any(|n| n == other) {
                    return Some(Value::DataField(data.clone(), other.into()));
                }
                names.extend(["classes", "count", "vocab"].map(String::from));
                let fault = Diagnostic::error(codes::UNKNOWN_NAME, name.span, format!("a data set has no `{other}`"));
                let fault = match suggest::nearest(other, names.iter().map(String::as_str)) {
                    Some(m) => fault.help(format!("did you mean `{m}`?")),
                    None if other == "vocab" => fault.help("name the field: `data.source.vocab`"),
                    None => fault.help("it has `classes`, `count`, `vocab` and its fields"),
                };
                self.fail(fault)
            }
        }
    }

    /// A sample that leaves no trace.
    pub fn sample_apart(&mut self, data: &DataValue, facts: &Facts) -> Sample {
        let feed = std::mem::take(&mut self.feed);
        let draws = self.draws.clone();
        let sample = self.sample(data, facts);
        let made = std::mem::replace(&mut self.feed, feed);
        self.draws = draws;
        let mut sample = sample;
        // Numbers of fields mean those of this feed; the caller asks for names and texts only.
        self.apart = made.fields;
        sample.sheet.current.clear();
        sample
    }

    /// `data.FIELD.vocab`, `.tokenizer`, `.pad`, `.classes`
    pub fn field_fact(&mut self, data: &Rc<DataValue>, field: &str, name: &Ident) -> Res<Value> {
        let facts = match self.data.facts(data) {
            Ok(facts) => facts,
            Err(fault) => return self.fail(*fault),
        };
        let mut sample = self.sample_apart(data, &facts);
        let tokens = match sample.value(field) {
            Some(Value::Tensor(node)) => text_behind(&sample.sheet.graph, &self.apart, node),
            _ => None,
        };
        let own = facts.vocabularies.iter().find(|(n, _)| n == field).map(|(_, size)| *size);
        match (name.name.as_str(), tokens, own) {
            ("vocab", Some((text, tokenizer)), _) => match self.data.vocabulary(data, &text, &tokenizer) {
                Ok(size) => Some(self.number_of(data, size, &format!("vocab of {text} |> {tokenizer}"), "vocab")),
                Err(fault) => self.fail(*fault),
            },
            ("vocab", None, Some(size)) => Some(self.number_of(data, size, &format!("vocab of {field}"), "vocab")),
            ("tokenizer", Some((_, tokenizer)), _) => Some(Value::Tokenizer(Rc::new(tokenizer))),
            ("tokenizer", None, Some(_)) => {
                let given = data.args.iter().find_map(|g| as_tokenizer(&g.value));
                Some(Value::Tokenizer(Rc::new(given.unwrap_or(TokenizerValue::Characters))))
            }
            ("pad", tokens, own) if tokens.is_some() || own.is_some() => Some(Value::int(0i64)),
            ("classes", ..) if facts.fields.iter().any(|f| f.name == field && f.classes.is_some()) => {
                let classes = facts.fields.iter().find(|f| f.name == field).and_then(|f| f.classes);
                classes.map(Value::int)
            }
            (other, tokens, own) => {
                let what = format!("the field `{field}` has no `{other}`");
                let fault = Diagnostic::error(codes::UNKNOWN_NAME, name.span, what);
                self.fail(match tokens.is_some() || own.is_some() {
                    true => fault.help("it has `vocab`, `tokenizer` and `pad`"),
                    false => fault.help("`vocab`, `tokenizer` and `pad` are of fields that `tokens` made"),
                })
            }
        }
    }
}

/// The text and tokenizer behind a node of one sample.
fn text_behind(graph: &Graph<Dim>, fields: &[FieldUse], node: NodeId) -> Option<(TextValue, TokenizerValue)> {
    let node = graph.node(node);
    if let Op::Field(i) = node.op
        && let Some(FieldFrom::Tokens { text, tokenizer, .. }) = fields.get(i as usize).map(|f| &f.from)
    {
        return Some((text.clone(), tokenizer.clone()));
    }
    node.inputs.iter().find_map(|i| text_behind(graph, fields, *i))
}

/// A tokenizer, or the name of one that needs no arguments.
pub fn as_tokenizer(value: &Value) -> Option<TokenizerValue> {
    match value {
        Value::Tokenizer(t) => Some(TokenizerValue::clone(t)),
        Value::Stage(s) if s.given.is_empty() && matches!(s.callable, Callable::Special("characters")) => {
            Some(TokenizerValue::Characters)
        }
        _ => None,
    }
}
