//! Where sizes come from: the chain of reasons behind an axis, as labels and words.

use super::context::{Checker, ReasonKind};
use super::shapes::Place;
use super::values::{Axis, Why};
use crate::diag::{Diagnostic, codes};
use crate::dims::Dim;
use crate::source::Span;

/// Hops shown for one size.
const HOPS: usize = 4;

impl Checker<'_> {
    /// `8192 = 128 * 8 * 8` where the size is a product, else just the size.
    pub fn size_text(&self, size: &Dim, why: Why) -> String {
        let reason = &self.reasons[why.0 as usize];
        let text = self.sources.text(reason.span);
        match reason.kind {
            ReasonKind::Product if reason.size == *size && size.number().is_some() => {
                let factors: Vec<String> =
                    reason.parents.iter().map(|p| self.reasons[p.0 as usize].size.to_string()).collect();
                format!("{size} = {}", factors.join(" * "))
            }
            // `128 * 7 * 7` as the user wrote it.
            ReasonKind::Written
                if reason.size == *size
                    && !self.is_builtin(reason.span)
                    && size.number().is_some()
                    && text.contains(['*', '+', '/', '-'])
                    && !text.contains(['=', '(', '\n'])
                    && text.len() < 40 =>
            {
                format!("{size} = {text}")
            }
            _ => size.to_string(),
        }
    }

    /// The places that made a size what it is, nearest first.
    pub fn chain(&self, why: Why) -> Vec<(Span, String)> {
        let mut hops = Vec::new();
        self.collect_chain(why, &mut hops);
        hops.truncate(HOPS + 1);
        hops
    }

    fn collect_chain(&self, why: Why, hops: &mut Vec<(Span, String)>) {
        let reason = &self.reasons[why.0 as usize];
        if hops.len() > HOPS || hops.iter().any(|(s, _)| *s == reason.span) {
            return;
        }
        match &reason.kind {
            ReasonKind::Product => {
                let (spans, sizes): (Vec<Span>, Vec<String>) = reason
                    .parents
                    .iter()
                    .map(|p| &self.reasons[p.0 as usize])
                    .filter(|r| r.kind == ReasonKind::Data)
                    .map(|r| (r.span, r.size.to_string()))
                    .unzip();
                if spans.len() == reason.parents.len() && spans.windows(2).all(|w| w[0] == w[1]) {
                    hops.push((spans[0], format!("the data has {} here", sizes.join(" * "))));
                    return;
                }
                // The factors that something made are worth a story; two of the same story are one.
                for parent in &reason.parents {
                    if matches!(self.reasons[parent.0 as usize].kind, ReasonKind::Made(_)) {
                        return self.collect_chain(*parent, hops);
                    }
                }
                for parent in &reason.parents {
                    self.collect_chain(*parent, hops);
                }
            }
            ReasonKind::Made(what) => {
                let from = reason.parents.first().map(|p| self.reasons[p.0 as usize].size.to_string());
                let text = match from {
                    Some(from) => format!("{what} makes {} of {from}", reason.size),
                    None => format!("{what} makes it {}", reason.size),
                };
                hops.push((reason.span, text));
                if let Some(parent) = reason.parents.first() {
                    self.collect_chain(*parent, hops);
                }
            }
            ReasonKind::Written if !self.is_builtin(reason.span) => {
                hops.push((reason.span, format!("{} is declared here", reason.size)));
            }
            ReasonKind::Data => hops.push((reason.span, format!("the data has {} here", reason.size))),
            ReasonKind::Written => {
                for parent in &reason.parents {
                    self.collect_chain(*parent, hops);
                }
            }
        }
    }

    pub(super) fn explain_mismatch(
        &mut self,
        declared: &Axis,
        arrives: &Axis,
        place: Place,
        name: Option<&str>,
    ) -> Diagnostic {
        let (has, wants) = (self.size_text(&arrives.size, arrives.why), self.size_text(&declared.size, declared.why));
        let undecided = !declared.size.contradicts(&arrives.size);
        let code = if undecided { codes::UNDECIDED_DIM } else { codes::SHAPE_MISMATCH };
        let origin = self.reasons[declared.why.0 as usize].span;
        let written = matches!(self.reasons[declared.why.0 as usize].kind, ReasonKind::Written);
        // A size that the user wrote for inference to check is what there is to edit.
        let hyper = written && !self.is_builtin(origin) && self.is_hyper_argument(origin);
        let user_call = self.calls.last().map(|c| self.blame(c.span));
        let call = user_call.filter(|_| hyper).unwrap_or_else(|| self.blame(place.span));
        let headline = match self.calls.last().filter(|_| hyper) {
            Some(frame) => {
                let one = |text: &str, many: &str| if text == "1" { String::new() } else { many.to_string() };
                let (values, arrive) = (one(&wants, "s"), if has == "1" { "arrives" } else { "arrive" });
                format!("{} takes {wants} value{values} but {has} {arrive}", frame.text)
            }
            None => format!("{} has size {has}, not {wants}", place.what),
        };
        let mut fault = if hyper {
            Diagnostic::error(code, origin, headline)
                .label(format!("{wants} declared here"))
                .also(call, format!("{has} {} here", if has == "1" { "arrives" } else { "arrive" }))
        } else {
            let mut fault = Diagnostic::error(code, call, headline).label(format!("this axis is {has}"));
            if origin != call && !self.is_builtin(origin) {
                let what = match name {
                    Some(n) if n != wants => format!("`{n}` is {wants} here"),
                    _ => format!("{wants} is declared here"),
                };
                fault = fault.also(origin, what);
            }
            fault
        };
        let mut seen = vec![call, origin];
        for (span, text) in self.chain(arrives.why) {
            let span = self.blame(span);
            if !self.is_builtin(span) && !seen.contains(&span) {
                seen.push(span);
                fault = fault.also(span, text);
            }
        }
        if undecided {
            fault = fault
                .note("the two are not the same for every value of their names")
                .help("give both the same name, or say in `where` what one is");
        } else if hyper {
            let number = has.split(" = ").last().unwrap_or(&has).to_string();
            fault = fault.help(format!("write `{number}`, or leave it out: it is inferred")).fix(
                format!("write {number}"),
                vec![(origin, number)],
                false,
            );
        } else if declared.size.number() == Some(1) || arrives.size.number() == Some(1) {
            fault = fault.help("`squeeze(x, axis)` drops an axis of size 1, `unsqueeze(x, axis)` adds one");
        } else {
            fault = fault.help("change one of the two places above, so that the sizes agree");
        }
        fault
    }

    /// True if the span is an argument of a layer that was made (`in: 128 * 7 * 7`).
    fn is_hyper_argument(&self, span: Span) -> bool {
        self.instances.iter().any(|i| i.hypers.iter().any(|h| h.span == span) && i.span.contains(span.start as usize))
    }
}
