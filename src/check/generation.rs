//! Tasks that generate: which field grows, how long it may get, and whether the step gives the scores of its next token.
//! In goes the task's syntax, out comes a [`Generation`] beside the step's graph.
//!
//! The growing field is fed as the tokens so far; its length is a size of its own, known only while running. Of the
//! step's scores `logits[B, T, V]` those of the last place are computed.

use super::context::{Checker, Facts, Res, Scope};
use super::pipeline::as_tokenizer;
use super::program::{Choice, FieldFrom, FieldUse, Generation, Report, ReportKind, StepGraph};
use super::values::{DataValue, Tag, TextValue, TokenizerValue, Value};
use crate::diag::{Diagnostic, codes, suggest};
use crate::dims::{Dim, Sym};
use crate::ops::{DType, Op};
use crate::source::Span;
use crate::syntax::ast::{Expr, ExprKind, Ident, Relation, TaskDecl, TaskKind};
use std::rc::Rc;

/// The settings that a `generate` task may have, sorted.
pub const GENERATE_SETTINGS: &[&str] =
    &["beam", "data", "max_tokens", "output", "precision", "seed", "temperature", "top_k", "top_p"];

/// Tokens to add where nothing says how many.
const MAX_TOKENS: usize = 256;

/// The settings of a task of this kind.
pub fn settings_of(kind: TaskKind) -> &'static [&'static str] {
    if kind == TaskKind::Generate { GENERATE_SETTINGS } else { super::SETTINGS }
}

/// A field of tokens: what it is cut from, and how.
#[derive(Clone)]
struct TokenField {
    name: String,
    text: Option<TextValue>,
    /// The source's field, if the source itself cuts it.
    source: String,
    tokenizer: TokenizerValue,
    start: bool,
    end: bool,
    max: Option<usize>,
    /// The number of tokens, if it is known.
    vocab: Option<usize>,
}

/// What the task at hand says of its output, as far as it has been read.
#[derive(Default)]
pub struct Generating {
    /// `output = NAME`
    named: Option<Ident>,
    max_tokens: Option<usize>,
    temperature: Option<f64>,
    top_k: Option<usize>,
    top_p: Option<f64>,
    beam: Option<usize>,
    /// Settings that choose by chance, and that of beam search.
    drawing: Option<Span>,
    /// The field that grows, and its length.
    field: Option<(TokenField, Sym)>,
    /// The largest length that the net takes.
    limit: Option<i64>,
}

impl Checker<'_> {
    /// Reads a setting that only tasks that generate have; false if it is none.
    pub fn generation_setting(&mut self, name: &Ident, value: &Expr, scope: &mut Scope) -> bool {
        if self.forms.generating.is_none() {
            return false;
        }
        if name.name == "output" {
            match &value.kind {
                ExprKind::Name(field) => {
                    let named = Ident { name: field.clone(), span: value.span };
                    self.forms.generating.iter_mut().for_each(|g| g.named = Some(named.clone()));
                }
                _ => {
                    let fault =
                        Diagnostic::error(codes::BAD_SETTING, value.span, "`output` is not a field of the data");
                    self.report(
                        fault
                            .label("the name of the field that grows is needed here")
                            .help("for instance `output = target`"),
                    );
                }
            }
            return true;
        }
        if !["beam", "max_tokens", "temperature", "top_k", "top_p"].contains(&name.name.as_str()) {
            return false;
        }
        let Some(found) = self.eval(value, scope) else { return true };
        if found.is_silent() || matches!(found, Value::UnknownNumber) {
            return true;
        }
        let number = found.number();
        let count = number.filter(|n| *n >= 1.0 && n.fract() == 0.0).map(|n| n as usize);
        let (wanted, help, right) = match name.name.as_str() {
            "temperature" => ("a number from 0 on", "`0` takes the most likely token, `1` draws as the net says", {
                number.is_some_and(|n| n >= 0.0)
            }),
            "top_p" => {
                ("a number above 0, at most 1", "for instance `0.9`", { number.is_some_and(|n| n > 0.0 && n <= 1.0) })
            }
            "beam" => ("a whole number from 1 to 256", "`1` is no beam search", count.is_some_and(|n| n <= 256)),
            _ => ("a whole number above 0", "write a whole number, for instance `50`", count.is_some()),
        };
        if !right {
            let what = format!("`{}` is {}, not {wanted}", name.name, found.kind());
            let fault = Diagnostic::error(codes::BAD_SETTING, value.span, what);
            self.report(fault.label(format!("{wanted} is needed here")).help(help));
            return true;
        }
        let Some(g) = &mut self.forms.generating else { return true };
        match name.name.as_str() {
            "beam" => g.beam = count,
            "max_tokens" => g.max_tokens = count,
            "temperature" => g.temperature = number,
            "top_k" => g.top_k = count,
            _ => g.top_p = number,
        }
        let draws = match name.name.as_str() {
            "top_k" => count != Some(1),
            "top_p" => true,
            "temperature" => number != Some(0.0),
            _ => false,
        };
        if draws {
            g.drawing.get_or_insert(name.span);
        }
        true
    }

    /// Decides which field grows; gives the number of texts that grow side by side.
    pub fn generated(
        &mut self,
        decl: &TaskDecl,
        data: Option<&Rc<DataValue>>,
        facts: Option<&Facts>,
        has_data: bool,
    ) -> usize {
        let Some(g) = &self.forms.generating else { return 1 };
        let (named, drawing, beam) = (g.named.clone(), g.drawing, g.beam.unwrap_or(1));
        if let (Some(span), 2..) = (drawing, beam) {
            let fault = Diagnostic::error(codes::BAD_SETTING, span, "this has no effect on a beam search")
                .label(format!("this is for drawing, but `beam` is {beam}"));
            self.report(fault.help("remove it, or set `beam = 1`"));
        }
        let Some(step) = &decl.step else { return beam };
        let (Some(data), Some(facts)) = (data, facts) else {
            if !has_data {
                let name = decl.name.as_ref().map_or("generate", |n| &n.name);
                let fault = Diagnostic::error(codes::MISSING_PART, decl.word, format!("`{name}` has no `data`"));
                let fault = fault.label("its tokenizers are those of the data");
                self.report(fault.help("add `data = …`, the data set that the net was trained with"));
            }
            return beam;
        };
        if facts.fields.is_empty() && facts.texts.is_empty() {
            return beam;
        }
        let tokens = self.token_fields(data, facts);
        let taken: Vec<&TokenField> =
            tokens.iter().filter(|f| step.params.iter().any(|p| p.name.name == f.name)).collect();
        let names = |of: &[&TokenField]| of.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join(", ");
        let found = match (&named, taken.as_slice()) {
            (Some(named), _) => match taken.iter().find(|f| f.name == named.name) {
                Some(field) => Some((*field).clone()),
                None => {
                    let is_taken = step.params.iter().any(|p| p.name.name == named.name);
                    let what = match is_taken {
                        true => format!("the field `{}` is not tokens of a text", named.name),
                        false => format!("`output` names `{}`, which `step` does not take", named.name),
                    };
                    let fault = Diagnostic::error(codes::BAD_SETTING, named.span, what);
                    let fault = fault.label("the field that grows").also(step.span, "the step that takes it");
                    let meant = suggest::nearest(&named.name, taken.iter().map(|f| f.name.as_str()));
                    self.report(match (meant, taken.as_slice()) {
                        (Some(meant), _) => fault.help(format!("did you mean `{meant}`?")),
                        (None, []) => fault.help("let `step` take a field that `tokens` made"),
                        (None, taken) => fault.help(format!("the fields of tokens here are {}", names(taken))),
                    });
                    None
                }
            },
            (None, [field]) => Some((*field).clone()),
            (None, []) => {
                let known =
                    |name: &str| facts.fields.iter().any(|f| f.name == name) || facts.texts.iter().any(|t| t == name);
                // A field that there is not is said where it is taken.
                if step.params.iter().all(|p| known(&p.name.name)) {
                    let all: Vec<&TokenField> = tokens.iter().collect();
                    let fault = Diagnostic::error(codes::MISSING_PART, step.span, "no field of this step can grow");
                    let fault = fault.label("a field of tokens is what is generated");
                    self.report(match all.as_slice() {
                        [] => fault.help("make tokens of a text: `data NAME = SOURCE { token = text |> tokens(…) }`"),
                        all => fault.help(format!("the data's fields of tokens are {}", names(all))),
                    });
                }
                None
            }
            (None, [first, ..]) => {
                let fault = Diagnostic::error(codes::MISSING_PART, step.span, "which field grows is not said");
                let fault = fault.label(format!("fields of tokens: {}", names(&taken)));
                self.report(fault.help(format!("add `output = {}`", taken.last().unwrap_or(first).name)));
                None
            }
        };
        if let Some(field) = found {
            let length = self.fresh("T");
            let limit = field.max.map(|n| n as i64);
            if let Some(g) = &mut self.forms.generating {
                g.limit = limit;
                g.field = Some((field, length));
            }
        }
        beam
    }

    /// The fields of a data set that are tokens of a text, as it stands.
    fn token_fields(&mut self, data: &Rc<DataValue>, facts: &Facts) -> Vec<TokenField> {
        let mut sample = self.sample_apart(data, facts);
        let mut all = Vec::new();
        for name in sample.names() {
            let Some(Value::Tensor(node)) = sample.value(&name) else { continue };
            let Op::Field(number) = sample.sheet.graph.node(node).op else { continue };
            let Some(field) = self.apart.get(number as usize) else { continue };
            match &field.from {
                FieldFrom::Tokens { text, tokenizer, max, start, end } => {
                    let vocab = self.data.vocabulary(data, text, tokenizer).ok().flatten();
                    let (tokenizer, text) = (tokenizer.clone(), Some(text.clone()));
                    let source = String::new();
                    all.push(TokenField { name, text, source, tokenizer, start: *start, end: *end, max: *max, vocab });
                }
                FieldFrom::Source => {
                    let Some((_, vocab)) = facts.vocabularies.iter().find(|(n, _)| *n == field.name) else { continue };
                    let given = data.args.iter().find_map(|g| as_tokenizer(&g.value));
                    let tokenizer = given.unwrap_or(TokenizerValue::Characters);
                    let (source, start, end, max) = (field.name.clone(), false, false, None);
                    all.push(TokenField { name, text: None, source, tokenizer, start, end, max, vocab: *vocab });
                }
                _ => {}
            }
        }
        all
    }

    /// The growing field, or its length, if that is what a step takes here.
    pub fn growing_field(&mut self, name: &str, span: Span, batch: &Option<Sym>) -> Option<Value> {
        let (field, length) = self.forms.generating.as_ref()?.field.as_ref()?;
        let is_length = name.strip_suffix("_length") == Some(field.name.as_str());
        if name != field.name && !is_length {
            return None;
        }
        let shape = vec![Dim::from(length.clone())];
        let made = FieldUse::new(field.name.clone(), DType::I32, shape, FieldFrom::Growing);
        let mut number = self.feed.place(made);
        if is_length {
            number = self.length_of(number);
        }
        Some(self.batched_field(number, span, batch))
    }

    /// Notes what a bound (`where T <= context`) says of the growing field's length.
    pub fn growing_limit(&mut self, relation: Relation, left: &Dim, right: &Dim) {
        let Some(g) = &mut self.forms.generating else { return };
        let Some((_, length)) = &g.field else { return };
        let length = Dim::from(length.clone());
        // `small <= large`: how far the rest of it is below.
        let (small, large) = match relation {
            Relation::Le | Relation::Lt => (left, right),
            Relation::Ge | Relation::Gt => (right, left),
            Relation::Eq | Relation::Define => return,
        };
        let Some(room) = large.sub(&small.sub(&length)).number() else { return };
        let strict = i64::from(matches!(relation, Relation::Lt | Relation::Gt));
        let most = room - strict;
        g.limit = Some(g.limit.map_or(most, |l| l.min(most)));
    }

    /// Takes a step's value as the scores of the next token.
    pub fn next_token(&mut self, value: Res<Value>, span: Span, batch: Option<&Sym>) {
        let Some(value) = value else { return };
        let Some((field, length)) = self.forms.generating.as_ref().and_then(|g| g.field.clone()) else { return };
        if value.is_silent() {
            return;
        }
        let (name, size) = (&field.name, field.vocab.map_or("V".to_string(), |n| n.to_string()));
        let wanted = format!("logits[B, T, {size}]");
        let node = match self.present(value, span) {
            Value::Tensor(node) => node,
            v if v.is_silent() => return,
            v => {
                let what = format!("the step gives {}, not {wanted}", v.kind());
                let fault = Diagnostic::error(codes::WRONG_KIND, span, what);
                let fault = fault.label(format!("the scores of the next token of `{name}` are needed at its end"));
                self.report(fault.help("end the step with what the net says: `net(token)`"));
                return;
            }
        };
        let ty = self.ty(node).clone();
        let sizes: Vec<&Dim> = ty.axes.iter().map(|a| &a.size).collect();
        let (batch, t) = (batch.map(|b| Dim::from(b.clone())), Dim::from(length));
        let leads = match sizes.as_slice() {
            [first, _] => Some(*first) == batch.as_ref(),
            [first, second, _] => Some(*first) == batch.as_ref() && **second == t,
            _ => false,
        };
        let fits = match (sizes.last().and_then(|s| s.number()), field.vocab) {
            (Some(is), Some(wanted)) => is == wanted as i64,
            _ => true,
        };
        if !leads || !fits || ty.dtype != DType::F32 {
            let other_length = matches!(sizes.as_slice(), [b, s, _] if Some(*b) == batch.as_ref() && **s != t);
            let headline = match other_length && (fits || !leads) {
                true => format!("axis 1 of {ty} is not the length of `{name}`"),
                false => format!("the step gives {ty}, not {wanted}"),
            };
            let fault = Diagnostic::error(codes::SHAPE_MISMATCH, span, headline);
            self.report(match (leads, fits) {
                (true, false) => fault
                    .label(format!("the vocabulary of `{name}` has {size} tokens"))
                    .help("give the net the size of that vocabulary: `data.FIELD.vocab`"),
                _ if other_length => fault
                    .label("this is the value of the step")
                    .help(format!("the scores of the token that follows each place of `{name}` are needed")),
                _ => fault
                    .label(format!("the scores of the token that follows each place of `{name}` are needed"))
                    .help("`logits[B, V]`, of the token that follows the last place, will do as well"),
            });
            return;
        }
        if matches!(ty.tag, Some(Tag::Probs)) {
            let fault = Diagnostic::error(codes::TAG_MISMATCH, span, format!("the step gives {ty}, not {wanted}"));
            let fault = fault.label("`generate` makes probabilities of scores itself");
            self.report(fault.help("leave out the `softmax`"));
            return;
        }
        if let Some(step) = &mut self.step {
            let report = Report { name: field.name.clone(), kind: ReportKind::Prediction, span };
            step.reports.push((report, node));
        }
    }

    /// What the task says, once its step is made; parts of the step may move out of it.
    pub fn generation(
        &mut self,
        eval: &mut StepGraph,
        fields: &mut Vec<FieldUse>,
        batch: Option<&Sym>,
    ) -> Option<Generation> {
        let g = self.forms.generating.take()?;
        let (field, length) = g.field?;
        let output = fields.iter().position(|f| f.from == FieldFrom::Growing)?;
        let drawn = g.top_k.is_some() || g.top_p.is_some();
        let choice = Choice {
            max_tokens: g.max_tokens.unwrap_or(MAX_TOKENS),
            temperature: g.temperature.unwrap_or(if drawn { 1.0 } else { 0.0 }),
            top_k: g.top_k,
            top_p: g.top_p,
            beam: g.beam.unwrap_or(1),
        };
        let once = super::once::split(eval, fields, &length, batch);
        let scores = eval.graph.outputs.first().map(|o| o.node);
        let mut all = None;
        if let Some(node) = scores.filter(|n| eval.graph.ty(*n).rank() == 3) {
            all = Some(eval.clone());
            let last = super::last::place(&mut eval.graph, node, 1, &length);
            eval.graph.outputs[0].node = last;
            eval.graph = super::once::needed(&eval.graph);
        }
        let TokenField { text, source, tokenizer, start, end, .. } = field;
        let limit = g.limit.map(|n| n.max(1) as usize);
        Some(Generation { output, text, source, tokenizer, start, end, limit, choice, once, all })
    }
}
