//! What the page can ask: a function's name and a JSON object in, JSON out. Places are UTF-16 offsets, as in the page's editor.
//!
//! Every request holds the whole text; what was found for the last text is kept, so asking again about it costs nothing.

use nnc::check::{LIBRARY_FILES, Program, Task, VarKind};
use nnc::diag::{Diagnostic, Format, Severity, codes, render};
use nnc::driver::{self, Checked, Options};
use nnc::engine::Entry;
use nnc::engine::planned::{plan_entry, task_vars};
use nnc::ide::{self, Analysis, Costs, HintMode, Input, MAIN, Shift, Syntax};
use nnc::picture::{choose, make};
use nnc::plan::{report::report, var_layout};
use nnc::source::Sources;
use nnc::uses::Files;
use nnc::{data_facts::OpenFacts, fix, fmt};
use serde_json::{Value, json};
use std::io::{Error, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The text's name in messages.
const NAME: &str = "playground.nn";

/// Proposals of one completion, at most.
const MOST_PROPOSALS: usize = 300;

/// What was found for the last text.
#[derive(Default)]
pub struct Session {
    analysis: Option<Analysis>,
    costs: Option<(Arc<str>, Arc<Costs>)>,
    checked: Option<Checked>,
}

/// There are no other files.
struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _path: &Path) -> std::io::Result<String> {
        Err(Error::from(ErrorKind::NotFound))
    }
}

type Answer = Result<Value, String>;

/// The UTF-16 offsets of a text, both ways.
struct Places<'t> {
    text: &'t str,
    plain: bool,
}

impl Places<'_> {
    fn of(text: &str) -> Places<'_> {
        Places { text, plain: text.is_ascii() }
    }

    /// The byte of a UTF-16 offset; the text's end for what lies behind it.
    fn byte(&self, wide: usize) -> usize {
        if self.plain {
            return wide.min(self.text.len());
        }
        let mut at = 0;
        let found = self.text.char_indices().find(|(_, c)| {
            at += c.len_utf16();
            at > wide
        });
        found.map_or(self.text.len(), |(byte, _)| byte)
    }

    fn wide(&self, byte: usize) -> usize {
        if self.plain {
            return byte.min(self.text.len());
        }
        let before = self.text.get(..byte.min(self.text.len())).unwrap_or(self.text);
        before.encode_utf16().count()
    }

    fn range(&self, range: &Range<usize>) -> Value {
        json!([self.wide(range.start), self.wide(range.end)])
    }

    fn edits(&self, edits: &[(Range<usize>, String)]) -> Value {
        edits.iter().map(|(r, text)| json!({ "range": self.range(r), "text": text })).collect()
    }
}

fn string<'r>(request: &'r Value, name: &str) -> Option<&'r str> {
    request.get(name).and_then(Value::as_str)
}

fn number(request: &Value, name: &str) -> Option<usize> {
    request.get(name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok())
}

/// The text that a request is about.
fn text(request: &Value) -> Result<&str, String> {
    string(request, "text").ok_or_else(|| "a request needs `text`".to_string())
}

fn input<'a>(text: &str, folder: &'a Path, data: &'a OpenFacts) -> Input<'a> {
    Input { name: NAME, text: text.into(), folder, files: &NoFiles, data, cancelled: None }
}

impl Session {
    /// [`Session::call`] over bytes: a fault is an object with `error`.
    pub fn call_text(&mut self, name: &str, request: &[u8]) -> String {
        let request = serde_json::from_slice::<Value>(request).map_err(|e| e.to_string());
        let answer = request.and_then(|request| self.call(name, &request));
        answer.unwrap_or_else(|error| json!({ "error": error })).to_string()
    }

    /// Answers a request.
    ///
    /// # Errors
    /// A function that is not there, or a request that lacks something, in a line.
    pub fn call(&mut self, name: &str, request: &Value) -> Answer {
        match name {
            "version" => Ok(json!({ "version": env!("CARGO_PKG_VERSION") })),
            "explain" => explain(request),
            "document" => Ok(json!(ide::documentation(string(request, "name").unwrap_or("")))),
            "source" => source(request),
            "format" => format(text(request)?),
            "fix" => fix_all(text(request)?),
            "look" => self.look(request),
            "hover" => self.hover(request),
            "complete" => self.complete(request),
            "signature" => self.signature(request),
            "definition" => self.definition(request),
            "highlights" => self.highlights(request),
            "rename" => self.rename(request),
            "actions" => self.actions(request),
            "costs" => self.work_out_costs(request),
            "picture" => self.picture(request),
            "summary" => self.summary(request),
            "plan" => self.plan(request),
            other => Err(format!("there is no function `{other}`")),
        }
    }

    /// The text, read and checked.
    fn analysis(&mut self, text: &str) -> &Analysis {
        let known = self.analysis.take().filter(|a| a.text() == text);
        let mut analysis = known.unwrap_or_else(|| {
            let data = OpenFacts::new(PathBuf::new());
            Analysis::new(&input(text, Path::new(""), &data))
        });
        analysis.costs = self.costs.as_ref().filter(|(of, _)| &**of == text).map(|(_, costs)| costs.clone());
        self.analysis.insert(analysis)
    }

    /// The text, read, with what was found for the one before: what is asked while typing is answered at once.
    fn quick(&mut self, text: &str) -> Analysis {
        match &self.analysis {
            Some(known) if known.text() != text => Analysis {
                syntax: Arc::new(Syntax::of(text)),
                facts: known.facts.clone(),
                shift: Arc::new(Shift::between(&known.facts.text, text)),
                costs: None,
            },
            _ => self.analysis(text).clone(),
        }
    }

    fn checked(&mut self, text: &str) -> &Checked {
        let known = self.checked.take().filter(|c| &*c.sources.file(c.file).text == text);
        let check = || driver::check_text(NAME, text.to_string(), Path::new(""), &Options::default());
        self.checked.insert(known.unwrap_or_else(check))
    }

    /// The program, if it has no mistakes.
    fn program(&mut self, text: &str) -> Result<&Checked, String> {
        let checked = self.checked(text);
        match checked.diagnostics.iter().filter(|d| d.severity == Severity::Error).count() {
            0 => Ok(checked),
            1 => Err("the program has a mistake".to_string()),
            n => Err(format!("the program has {n} mistakes")),
        }
    }

    /// All that the editor shows by itself: mistakes, shapes, colours, folds, lenses.
    fn look(&mut self, request: &Value) -> Answer {
        let mode = match string(request, "hints") {
            Some("off") => HintMode::Off,
            Some("values") => HintMode::Values,
            Some("both") => HintMode::Both,
            _ => HintMode::Names,
        };
        let a = self.analysis(text(request)?);
        let (places, whole) = (Places::of(a.text()), 0..a.text().len());
        let hints = ide::hints(a, whole.clone(), mode).into_iter();
        let hints = hints.map(|h| json!({ "at": places.wide(h.offset), "label": h.label, "insert": h.insert }));
        let tokens = ide::tokens(a, whole).into_iter().map(|t| {
            let kind = ide::TOKEN_KINDS.get(t.kind as usize);
            let bits = ide::TOKEN_MODIFIERS.iter().enumerate().filter(|(bit, _)| t.modifiers & (1 << bit) != 0);
            let modifiers: Vec<&str> = bits.map(|(_, name)| *name).collect();
            json!({ "range": places.range(&t.range), "kind": kind, "modifiers": modifiers })
        });
        let folds = ide::folds(&a.syntax).into_iter();
        let folds = folds.map(|f| json!({ "range": places.range(&f.range), "comment": f.comment }));
        let diagnostics = a.facts.diagnostics.iter().map(|d| diagnostic(d, &a.facts.sources, &places));
        let lenses = ide::lenses(a).into_iter().filter(|l| l.command.is_none());
        let lenses = lenses.map(|l| json!({ "range": places.range(&l.range), "title": l.title }));
        Ok(json!({
            "diagnostics": diagnostics.collect::<Vec<_>>(),
            "hints": hints.collect::<Vec<_>>(),
            "tokens": tokens.collect::<Vec<_>>(),
            "folds": folds.collect::<Vec<_>>(),
            "lenses": lenses.collect::<Vec<_>>(),
        }))
    }

    fn hover(&mut self, request: &Value) -> Answer {
        let a = self.analysis(text(request)?);
        let places = Places::of(a.text());
        let found = ide::hover(a, places.byte(number(request, "at").unwrap_or(0)));
        Ok(json!(found.map(|h| json!({ "range": places.range(&h.range), "markdown": h.text }))))
    }

    fn complete(&mut self, request: &Value) -> Answer {
        let a = self.quick(text(request)?);
        let places = Places::of(a.text());
        let found = ide::complete(&a, places.byte(number(request, "at").unwrap_or(0)), &|_| Vec::new());
        let all = found.into_iter().take(MOST_PROPOSALS).map(|c| {
            json!({
                "label": c.label, "kind": format!("{:?}", c.kind).to_lowercase(), "detail": c.detail, "docs": c.docs,
                "insert": c.insert, "snippet": c.snippet, "range": places.range(&c.range),
            })
        });
        Ok(Value::Array(all.collect()))
    }

    fn signature(&mut self, request: &Value) -> Answer {
        let a = self.quick(text(request)?);
        let found = ide::signature(&a, Places::of(a.text()).byte(number(request, "at").unwrap_or(0)));
        Ok(json!(found.map(|help| {
            let label = Places::of(&help.label);
            let params: Vec<Value> = help.params.iter().map(|p| label.range(p)).collect();
            json!({ "label": help.label, "params": params, "active": help.active, "docs": help.docs })
        })))
    }

    fn definition(&mut self, request: &Value) -> Answer {
        let a = self.analysis(text(request)?);
        let places = Places::of(a.text());
        Ok(match ide::definition(a, places.byte(number(request, "at").unwrap_or(0))) {
            Some(ide::Place::Here(range)) => json!({ "range": places.range(&range) }),
            Some(ide::Place::Std(module, range)) => {
                let text = LIBRARY_FILES.iter().find(|(name, _)| *name == module).map_or("", |(_, text)| *text);
                json!({ "module": module, "range": Places::of(text).range(&range) })
            }
            _ => Value::Null,
        })
    }

    fn highlights(&mut self, request: &Value) -> Answer {
        let a = self.quick(text(request)?);
        let places = Places::of(a.text());
        let all = ide::highlights(&a, places.byte(number(request, "at").unwrap_or(0)));
        Ok(all.iter().map(|(r, binds)| json!({ "range": places.range(r), "binds": binds })).collect())
    }

    fn rename(&mut self, request: &Value) -> Answer {
        let a = self.analysis(text(request)?);
        let places = Places::of(a.text());
        let at = places.byte(number(request, "at").unwrap_or(0));
        let Some(to) = string(request, "to") else {
            let range = ide::prepare_rename(a, at)?;
            return Ok(json!({ "range": places.range(&range) }));
        };
        let renamed = ide::rename(a, at, to)?;
        Ok(json!({ "edits": places.edits(&renamed.edits), "warning": renamed.warning }))
    }

    fn actions(&mut self, request: &Value) -> Answer {
        let a = self.analysis(text(request)?);
        let places = Places::of(a.text());
        let from = places.byte(number(request, "from").unwrap_or(0));
        let to = places.byte(number(request, "to").unwrap_or(0)).max(from);
        let all = ide::actions(a, from..to).into_iter().map(|action| {
            json!({
                "title": action.title, "edits": places.edits(&action.edits),
                "certain": action.certain, "cures": action.cures,
            })
        });
        Ok(Value::Array(all.collect()))
    }

    /// What tasks cost, for hovers and lenses: asked for when nobody types.
    fn work_out_costs(&mut self, request: &Value) -> Answer {
        let text = text(request)?;
        let threads = number(request, "threads").unwrap_or(1);
        let data = OpenFacts::new(PathBuf::new());
        let syntax = self.analysis(text).syntax.clone();
        let costs = ide::costs(&input(text, Path::new(""), &data), &syntax, threads);
        let tasks: Vec<Value> =
            costs.tasks.iter().map(|t| json!({ "task": t.name, "flops": t.flops_below(""), "peak": t.peak })).collect();
        self.costs = Some((text.into(), Arc::new(costs)));
        Ok(Value::Array(tasks))
    }

    /// The picture that `nnc graph` writes, as SVG and as a page that folds.
    fn picture(&mut self, request: &Value) -> Answer {
        let checked = self.program(text(request)?)?;
        let (program, sources) = (&checked.program, &checked.sources);
        let drawn = match string(request, "what") {
            Some(name) => choose::named(program, sources, name),
            None => choose::usual(program, sources),
        };
        let drawn = drawn.ok_or("the program has no model and no task to draw")?;
        let picture = make(&drawn, sources);
        Ok(json!({
            "title": picture.title, "names": choose::names(program),
            "svg": picture.svg(), "html": picture.html(), "dot": picture.dot(),
        }))
    }

    /// The rows of `nnc summary`.
    fn summary(&mut self, request: &Value) -> Answer {
        let checked = self.program(text(request)?)?;
        let all = ide::summaries(&checked.program).into_iter().map(|s| {
            let rows = s.rows.iter().map(|r| {
                json!({
                    "path": r.path, "depth": r.depth, "layer": r.layer, "output": r.output,
                    "parameters": r.parameters, "flops": r.flops,
                })
            });
            let totals = s.totals.iter().map(|(kind, values, bytes)| {
                let kind = match kind {
                    VarKind::Param => "parameters",
                    VarKind::State => "state",
                    VarKind::OptimizerState => "optimizer's state",
                };
                json!({ "kind": kind, "values": values, "bytes": bytes })
            });
            let (rows, totals): (Vec<_>, Vec<_>) = (rows.collect(), totals.collect());
            json!({ "name": s.name, "task": s.task, "rows": rows, "totals": totals })
        });
        Ok(Value::Array(all.collect()))
    }

    /// The memory of a task's step, as `nnc plan` says it, with the lines that it comes from.
    fn plan(&mut self, request: &Value) -> Answer {
        let checked = self.program(text(request)?)?;
        let program = &checked.program;
        let names: Vec<&str> = program.tasks.iter().map(|t| t.name.as_str()).collect();
        let task = match string(request, "task") {
            Some(name) => program.task(name).ok_or_else(|| format!("the program has no task `{name}`"))?,
            None => program
                .tasks
                .iter()
                .find(|t| t.train.is_some())
                .or(program.tasks.first())
                .ok_or("the program has no task: add `train { … }`")?,
        };
        let threads = number(request, "threads").unwrap_or(1).max(1);
        let entries: &[Entry] = if task.train.is_some() { &[Entry::Train, Entry::Eval] } else { &[Entry::Eval] };
        let entry = if string(request, "entry") == Some("eval") { Entry::Eval } else { entries[0] };
        planned(checked, task, entry, entries, threads).map(|mut out| {
            out["tasks"] = json!(names);
            out["task"] = json!(task.name);
            out["batch"] = json!(task.settings.batch);
            out["entry"] = json!(if entry == Entry::Train { "train" } else { "eval" });
            out["entries"] = json!(if task.train.is_some() { vec!["train", "eval"] } else { vec!["eval"] });
            out["variables"] = json!(variables(program, task));
            out
        })
    }
}

/// Bytes of a task's variables by kind.
fn variables(program: &Program, task: &Task) -> Value {
    let Ok(types) = task_vars(program, task) else { return Value::Null };
    let of = |kind: VarKind| -> usize {
        let vars = task.vars.iter().filter(|v| program.var(**v).kind == kind);
        vars.filter_map(|v| types.get(v.0 as usize)).map(|ty| ty.bytes()).sum()
    };
    json!({ "parameters": of(VarKind::Param), "state": of(VarKind::State), "optimizer": of(VarKind::OptimizerState) })
}

fn planned(checked: &Checked, task: &Task, entry: Entry, entries: &[Entry], threads: usize) -> Answer {
    let program = &checked.program;
    let told = |d: Box<Diagnostic>| d.headline.clone();
    driver::whole_task(checked, &task.name).map_err(told)?;
    let batch = task.settings.batch.unwrap_or(0);
    let (mut arena, mut kept) = (0, 0);
    let mut shown = None;
    for this in entries {
        let plan = plan_entry(program, task, *this, batch, threads).map_err(told)?;
        arena = arena.max(plan.arena_bytes);
        kept += plan.kept_bytes;
        if *this == entry {
            shown = Some(plan);
        }
    }
    let plan = shown.ok_or("the task has no such step")?;
    let mut found = report(&plan, &checked.sources);
    found.name_variables(program, task);
    let mut out = found.json();
    // Rows are sorted alike: the largest first, buffers of one size in the plan's order.
    let text = &checked.sources.file(checked.file).text;
    let places = Places::of(text);
    let mut order: Vec<_> = plan.schedule.buffers.iter().collect();
    order.sort_by_key(|b| std::cmp::Reverse(b.bytes()));
    if let Some(rows) = out.get_mut("buffers").and_then(Value::as_array_mut) {
        for (row, buffer) in rows.iter_mut().zip(order) {
            row["arena"] = json!(buffer.kind.in_arena());
            if buffer.origin.span.file == MAIN {
                row["range"] = places.range(&buffer.origin.span.range());
            }
        }
    }
    let variables = var_layout(&task_vars(program, task).map_err(told)?).bytes;
    out["var_bytes"] = json!(variables);
    out["arena_of_all"] = json!(arena);
    out["kept"] = json!(kept);
    out["total"] = json!(variables + arena + kept);
    Ok(out)
}

/// A message with its places, labels, cures.
fn diagnostic(d: &Diagnostic, sources: &Sources, places: &Places) -> Value {
    let here = |span: nnc::source::Span| (span.file == MAIN).then(|| places.range(&span.range()));
    let label = |l: &nnc::diag::Label| json!({ "range": here(l.span), "place": sources.place(l.span), "text": l.text });
    let fixes = d.fixes.iter().filter(|f| f.edits.iter().all(|(s, _)| s.file == MAIN)).map(|f| {
        let edits: Vec<_> = f.edits.iter().map(|(s, text)| (s.range(), text.clone())).collect();
        json!({ "title": f.title, "certain": f.certain, "edits": places.edits(&edits) })
    });
    // What only a disk could answer is no fault of the text.
    let told = match d.severity {
        Severity::Error => "error",
        Severity::Warning if d.code == codes::DATA_UNCHECKED => "info",
        Severity::Warning => "warning",
    };
    json!({
        "code": d.code.id, "name": d.code.name, "severity": told, "headline": d.headline,
        "primary": d.primary.as_ref().map(label),
        "secondary": d.secondary.iter().map(label).collect::<Vec<_>>(),
        "notes": d.notes, "help": d.help, "fixes": fixes.collect::<Vec<_>>(),
        "trace": d.trace.iter().map(|f| json!({ "range": here(f.span), "text": f.text })).collect::<Vec<_>>(),
        "rendered": render(std::slice::from_ref(d), sources, Format::Human, false),
    })
}

fn explain(request: &Value) -> Answer {
    let what = string(request, "code").unwrap_or("");
    let code = codes::find(what).ok_or_else(|| format!("there is no code `{what}`"))?;
    Ok(json!({ "id": code.id, "name": code.name, "page": code.page }))
}

/// A module of the standard library.
fn source(request: &Value) -> Answer {
    let module = string(request, "module").unwrap_or("");
    let found = LIBRARY_FILES.iter().find(|(name, _)| *name == module);
    found.map(|(_, text)| json!({ "text": text })).ok_or_else(|| format!("there is no module `{module}`"))
}

fn format(text: &str) -> Answer {
    let formatted = fmt::format(text).map_err(|d| d.headline)?;
    Ok(json!({ "text": formatted.text, "unread": formatted.unread.len() }))
}

fn fix_all(text: &str) -> Answer {
    let fixed = fix::fix_text(NAME, text.to_string(), Path::new(""), &Options::default());
    Ok(json!({ "text": fixed.text, "titles": fixed.titles }))
}
