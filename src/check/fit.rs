//! Values against declared types: what fits a tensor type, a kind or a choice of them, and what is said if it does not.

use super::calls::KINDS;
use super::context::{Checker, Res, Scope};
use super::shapes::{Form, Place, form};
use super::values::{Tag, Value};
use crate::diag::{Diagnostic, codes, suggest};
use crate::ops::DType;
use crate::source::Span;
use crate::syntax::ast::{TypeExpr, TypeKind};

impl Checker<'_> {
    /// Makes a value fit a declared type, binding its dims.
    pub fn fit(&mut self, value: Value, ty: &TypeExpr, place: Place, scope: &mut Scope) -> Res<Value> {
        if value.is_silent() {
            return Some(value);
        }
        if let TypeKind::Choice(options) = &ty.kind {
            return self.fit_choice(value, options, place, scope);
        }
        match (&ty.kind, form(ty)) {
            (TypeKind::Tuple(parts), _) => match value {
                Value::Tuple(items) if items.len() == parts.len() => {
                    let fitted: Option<Vec<Value>> =
                        items.into_iter().zip(parts).map(|(v, t)| self.fit(v, t, place, scope)).collect();
                    Some(Value::Tuple(fitted?))
                }
                v => self.wrong_kind(v, &format!("a tuple of {}", parts.len()), place),
            },
            (TypeKind::List(item), _) => match value {
                Value::List(items) => {
                    let fitted: Option<Vec<Value>> =
                        items.into_iter().map(|v| self.fit(v, item, place, scope)).collect();
                    Some(Value::List(fitted?))
                }
                v => self.wrong_kind(v, "a list", place),
            },
            (_, Form::Tensor(form)) => match value {
                Value::Tensor(node) => {
                    let ty = self.ty(node).clone();
                    self.subject = Some(node);
                    let matched = self.match_tensor(&form, &ty, scope, place);
                    self.subject = None;
                    matched.map(|()| Value::Tensor(node))
                }
                // Number literals and truth values fit any shape.
                Value::Int(..) | Value::UnknownNumber if form.dtype != DType::Bool => Some(value),
                Value::Float(_) if form.dtype.is_float() => Some(value),
                Value::Bool(_) if form.dtype == DType::Bool => Some(value),
                v => {
                    let wanted = format!("{} tensor", form.tag.map_or(form.dtype.name(), Tag::name));
                    // `f32` is read "eff thirty-two".
                    let article = if wanted.starts_with(['f', 'i']) { "an" } else { "a" };
                    self.wrong_kind(v, &format!("{article} {wanted}"), place)
                }
            },
            (_, Form::Kind(kind)) if kind.name == "parameters" => self.as_parameters(value, place.span),
            (_, Form::Kind(kind)) => self.fit_kind(value, &kind.name.clone(), kind.span, place),
            _ => Some(value),
        }
    }

    fn fit_choice(&mut self, value: Value, options: &[TypeExpr], place: Place, scope: &mut Scope) -> Res<Value> {
        for option in options {
            let TypeKind::Named { base, dims: None, .. } = &option.kind else {
                if let (TypeKind::List(_), Value::List(_)) = (&option.kind, &value) {
                    return self.fit(value, option, place, scope);
                }
                continue;
            };
            let fits = match (base.name.as_str(), &value) {
                ("none", Value::None) | ("int", Value::Int(..)) | ("bool", Value::Bool(_)) => true,
                ("fn", Value::Stage(_) | Value::Layer(_)) | ("string", Value::Str(_)) => true,
                ("float", Value::Float(_) | Value::Int(..)) | (_, Value::UnknownNumber) => true,
                ("float", v) if self.is_late_number(v) => true,
                ("duration", Value::Quantity(..) | Value::Int(..) | Value::Float(_)) => true,
                (word, Value::Str(s)) => word == s,
                _ => false,
            };
            if fits {
                return Some(value);
            }
        }
        // A tensor type among them decides about tensors; else none fits.
        if let Some(tensor) = options.iter().find(|o| matches!(form(o), Form::Tensor(_)))
            && !matches!(value, Value::None)
        {
            return self.fit(value, tensor, place, scope);
        }
        if matches!(value, Value::None) && options.iter().any(|o| self.sources.text(o.span) == "none") {
            return Some(value);
        }
        let list: Vec<&str> = options.iter().map(|o| self.sources.text(o.span)).collect();
        let wanted = list.join(" or ");
        self.wrong_kind(value, &wanted, place)
    }

    fn fit_kind(&mut self, value: Value, kind: &str, kind_span: Span, place: Place) -> Res<Value> {
        let fits = match kind {
            "int" => matches!(value, Value::Int(..) | Value::UnknownNumber | Value::None),
            "float" => {
                matches!(value, Value::Int(..) | Value::Float(_) | Value::UnknownNumber | Value::None)
                    || self.is_late_number(&value)
            }
            "bool" => matches!(value, Value::Bool(_)),
            "string" => matches!(value, Value::Str(_)),
            "fn" => matches!(value, Value::Stage(_) | Value::Layer(_) | Value::Int(..) | Value::Float(_) | Value::None),
            "rate" => matches!(
                value,
                Value::Stage(_)
                    | Value::Recipe(_)
                    | Value::Int(..)
                    | Value::Float(_)
                    | Value::UnknownNumber
                    | Value::Tensor(_)
            ),
            "layer" => matches!(value, Value::Recipe(_) | Value::Layer(_) | Value::Stage(_)),
            "clock" => matches!(value, Value::Clock),
            "duration" => {
                matches!(
                    value,
                    Value::Quantity(..) | Value::Int(..) | Value::Float(_) | Value::UnknownNumber | Value::Tensor(_)
                )
            }
            "parameters" => true,
            _ => return self.not_a_type(kind, kind_span, false),
        };
        if fits {
            return Some(value);
        }
        let wanted = match kind {
            "int" => "a whole number",
            "float" => "a number",
            "bool" => "true or false",
            "string" => "a string",
            "fn" => "a function",
            "rate" => "a number or a schedule",
            "layer" => "a layer",
            "duration" => "a number of steps or epochs",
            _ => "the clock",
        };
        self.wrong_kind(value, wanted, place)
    }

    /// A number that is computed from sizes or the clock, and known only while running.
    fn is_late_number(&self, value: &Value) -> bool {
        matches!(value, Value::Tensor(node) if self.ty(*node).weak && self.ty(*node).rank() == 0)
    }

    /// `what[…]` or `what` where a type is needed.
    pub fn not_a_type<T>(&mut self, what: &str, span: Span, tensor: bool) -> Res<T> {
        let dtypes = DType::ALL.iter().map(|d| d.name()).chain(["logits", "probs", "log_probs"]);
        let kinds = KINDS.iter().copied().filter(|_| !tensor);
        let alias = match what {
            "Tensor" | "float32" | "tensor" | "Float" => Some("f32"),
            "float64" | "double" => Some("f64"),
            "float16" | "half" => Some("f16"),
            "bfloat16" => Some("bf16"),
            "int32" | "long" | "int64" => Some("i32"),
            "float" if tensor => Some("f32"),
            "int" if tensor => Some("i32"),
            "str" => Some("string"),
            _ => None,
        };
        let meant = alias.or_else(|| suggest::nearest(what, dtypes.chain(kinds)));
        let mut fault = Diagnostic::error(codes::UNKNOWN_NAME, span, format!("`{what}` is not a type"))
            .label(if tensor { "not a dtype or tag" } else { "not a dtype, tag or kind" });
        fault = match meant {
            Some(meant) => fault.help(format!("did you mean `{meant}`?")).fix(
                format!("write `{meant}`"),
                vec![(span, meant.to_string())],
                alias.is_some(),
            ),
            None => fault.help("types are f32[…], i32[…], bool[…], logits[…], and int, float, bool, string, fn, layer"),
        };
        self.fail(fault)
    }

    pub fn wrong_kind<T>(&mut self, value: Value, wanted: &str, place: Place) -> Res<T> {
        let is = match &value {
            Value::Tensor(node) => self.ty(*node).to_string(),
            other => other.kind(),
        };
        let code = match value {
            Value::Float(_) | Value::Bool(_) => codes::DTYPE_MISMATCH,
            _ => codes::WRONG_KIND,
        };
        let article = if wanted.starts_with(['a', 't']) { "" } else { "one of " };
        let help = match wanted {
            "a whole number" => "write a whole number without quotes, for instance `3`",
            "a number" => "write a number without quotes, for instance `0.1`",
            "true or false" => "write `true` or `false`",
            "a string" => "write it in quotes",
            "a function" => "name a function, for instance `relu`",
            "a number or a schedule" => "write a number, or a schedule such as `cosine(1e-3)`",
            "a layer" => "name a layer, for instance `Linear`",
            "a list" | "a list of sizes" => "write it in brackets, for instance `[2, 3]`",
            _ if wanted.ends_with("tensor") && matches!(value, Value::List(_)) => {
                "`tensor([…])` makes one of numbers, `full([sizes], value)` one of a shape"
            }
            _ => "pass another value",
        };
        self.fail(
            Diagnostic::error(code, place.span, format!("{} is {is}, not {wanted}", place.what))
                .label(format!("{article}{wanted} is needed here"))
                .help(help),
        )
    }
}
