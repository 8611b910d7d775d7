//! `save VALUE to "file"`: in a `predict` step, a result that is written as a file of its kind.

use super::context::{Checker, Res, Scope};
use super::program::{Report, ReportKind};
use super::shapes::Place;
use super::values::Value;
use crate::diag::{Diagnostic, codes, suggest};
use crate::ops::DType;
use crate::source::Span;
use crate::syntax::ast::{Expr, Param};

/// Extensions that can be written.
const EXTENSIONS: [&str; 5] = ["png", "npy", "csv", "json", "safetensors"];

impl Checker<'_> {
    /// The value of a task's parameter, which must be of the kind that it declares.
    pub fn task_param(&mut self, task: &str, param: &Param, value: &Expr, scope: &mut Scope) -> Res<Value> {
        let result = self.eval(value, scope)?;
        let Some(ty) = &param.ty else { return Some(result) };
        let text = format!("parameter `{}` of `{task}`", param.name.name);
        self.fit(result, ty, Place { span: value.span, what: &text }, scope)
    }

    pub fn save(&mut self, value: &Expr, to: &Expr, span: Span, scope: &mut Scope) -> Res<()> {
        let (result, file) = (self.eval(value, scope), self.eval(to, scope));
        if !self.step.as_ref().is_some_and(|s| s.predicts) || !self.calls.is_empty() {
            return self.fail(
                Diagnostic::error(codes::WRONG_KIND, span, "`save` belongs in the `step` of a `predict` task")
                    .help("checkpoints of a net that trains are written by themselves"),
            );
        }
        let file = match file? {
            Value::Str(file) => file,
            v if v.is_silent() => return None,
            v => {
                let fault = Diagnostic::error(codes::WRONG_KIND, to.span, format!("{} is not a file's name", v.kind()));
                return self.fail(fault.help("write `save image to \"image.png\"`"));
            }
        };
        let node = match self.present(result?, value.span) {
            Value::Tensor(node) => node,
            v if v.is_silent() => return None,
            v => self.number_node(&v, DType::F32, value.span)?,
        };
        let extension = file.rsplit_once('.').map_or("", |(_, e)| e);
        if !EXTENSIONS.contains(&extension) {
            let what = format!("a file \"{file}\" cannot be written");
            let fault = Diagnostic::error(codes::BAD_SETTING, to.span, what).label("its ending says what it is");
            return self.fail(match suggest::nearest(extension, EXTENSIONS) {
                Some(meant) => fault.help(format!("did you mean `.{meant}`?")),
                None => fault.help("it may end in .png, .npy, .csv, .json or .safetensors"),
            });
        }
        let ty = self.ty(node).clone();
        if extension == "png" {
            let channels = match ty.rank() {
                2 => Some(1),
                3 => ty.axes[0].size.number().or(Some(1)),
                _ => None,
            };
            if ty.dtype != DType::F32 || !matches!(channels, Some(1 | 3)) {
                let fault = Diagnostic::error(codes::RANK_MISMATCH, value.span, format!("{ty} is not a picture"));
                let fault = fault.label("a picture is f32[H, W], f32[1, H, W] or f32[3, H, W], from 0 to 1");
                return self.fail(match ty.rank() {
                    4 => fault.help("put several beside one another: `grid(x, columns: 8)`"),
                    _ => fault.help("bring the channels to the front"),
                });
            }
        }
        if extension == "csv" && ty.rank() > 2 {
            let fault = Diagnostic::error(codes::RANK_MISMATCH, value.span, format!("{ty} is not a table"));
            return self.fail(fault.help("a table has one or two axes; .npy takes any number"));
        }
        if let Some(step) = &mut self.step {
            if let Some((first, _)) = step.reports.iter().find(|(r, _)| r.kind == ReportKind::Saved && r.name == file) {
                let first = first.span;
                let fault = Diagnostic::error(codes::DUPLICATE_NAME, to.span, format!("\"{file}\" is written twice"));
                return self.fail(fault.also(first, "first here").help("give each its own name"));
            }
            step.reports.push((Report { name: file, kind: ReportKind::Saved, span: to.span }, node));
        }
        Some(())
    }
}
