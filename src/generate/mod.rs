//! Generating: in go a checked task that generates, its engine with trained weights and a prompt, out comes text, token by
//! token. The same prompt and seed give the same text on any number of threads.
//!
//! [`prompt()`] turns what the command line gives into the step's fields; [`Writer`] runs the step on the tokens so far,
//! for new places only where that is possible; [`choose`] takes or draws the next token, [`beam`] searches.

pub mod beam;
pub mod choose;
pub mod prompt;

pub use prompt::{Input, InputKind, Prompt, inputs, prompt};

use crate::check::{FieldFrom, Generation, Task};
use crate::data::Vocabulary;
use crate::data::vocabulary::{END, PAD, START, UNKNOWN};
use crate::diag::{Diagnostic, codes};
use crate::engine::{ClockValues, Engine, Entry, StepInputs, bytes};
use choose::pick;
use std::sync::atomic::{AtomicBool, Ordering};

/// A value, or the diagnostic that says why there is none.
pub type Result<T> = std::result::Result<T, Box<Diagnostic>>;

/// How a text came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// At the end mark.
    Ended,
    /// After as many tokens as the task allows.
    Full,
    /// It was told to stop.
    Stopped,
}

/// Runs the step of a task that generates.
pub struct Writer<'a> {
    task: &'a Task,
    generation: &'a Generation,
    engine: &'a mut dyn Engine,
    vocabulary: &'a Vocabulary,
    seed: u64,
    /// The step's fields, those of the prompt and of what is computed once filled, each for every row.
    fields: Vec<Vec<u8>>,
    /// The sizes that differ from prompt to prompt, with a place for the growing one.
    lengths: Vec<usize>,
    growing: usize,
    rows: usize,
    /// The tokens whose places the engine keeps, and the most that it can keep; none where it keeps nothing.
    kept: Option<(Vec<i32>, usize)>,
}

/// New places that are computed together, as long as there are many: those of a prompt.
const TOGETHER: usize = 32;

impl<'a> Writer<'a> {
    /// Computes what a prompt needs once.
    ///
    /// # Errors
    /// A task that does not generate, or a graph that does not compile.
    pub fn new(task: &'a Task, engine: &'a mut dyn Engine, prompt: &'a Prompt, seed: u64) -> Result<Writer<'a>> {
        let Some(generation) = &task.generation else {
            let what = format!("`{}` is not a task that generates", task.name);
            return Err(Box::new(Diagnostic::error(codes::USAGE, task.span, what)));
        };
        let rows = generation.choice.beam;
        let mut fields: Vec<Vec<u8>> = prompt.fields.iter().map(|one| one.repeat(rows)).collect();
        fields.resize(task.fields.len(), Vec::new());
        let mut widths = prompt.lengths.iter();
        let (mut lengths, mut growing) = (Vec::new(), 0);
        for (i, (field, _)) in task.varying().enumerate() {
            if task.fields[field].from == FieldFrom::Growing {
                growing = i;
                lengths.push(1);
            } else {
                lengths.push(widths.next().copied().unwrap_or(0));
            }
        }
        let vocabulary = &prompt.vocabulary;
        let mut writer =
            Writer { task, generation, engine, vocabulary, seed, fields, lengths, growing, rows, kept: None };
        if generation.once.is_some() {
            let clock = ClockValues::default();
            let inputs = StepInputs { fields: &writer.fields, lengths: &writer.lengths, clock, seed };
            writer.engine.run(Entry::Once, rows, &inputs)?;
            for (i, field) in task.fields.iter().enumerate() {
                let FieldFrom::Once(k) = field.from else { continue };
                let value = writer.engine.value(k as usize);
                writer.fields[i] = match value.dtype == field.dtype {
                    true => value.bytes,
                    false => bytes::from_f64(field.dtype, bytes::to_f64(value.dtype, &value.bytes).into_iter()),
                };
            }
        }
        writer.keep(prompt.tokens.len())?;
        Ok(writer)
    }

    /// Lets the engine keep what it computes of each place, if it can, for a text that begins with so many tokens.
    fn keep(&mut self, begin: usize) -> Result<()> {
        let most = (begin + self.generation.choice.max_tokens).next_multiple_of(64);
        let most = self.shown(most);
        // The rows of a search change places.
        if self.rows != 1 || most < 2 {
            return Ok(());
        }
        self.lengths[self.growing] = most;
        if self.engine.extend(1, self.rows, &self.lengths)? {
            self.kept = Some((Vec::new(), most));
        }
        Ok(())
    }

    /// The scores after the last of these tokens, computed for those places that the engine does not keep yet.
    fn extended(&mut self, row: &[i32], mut kept: Vec<i32>, most: usize) -> Result<(Vec<f64>, Vec<i32>)> {
        self.lengths[self.growing] = most;
        // What does not go on as it did begins anew; the last place is computed in any case.
        let same = kept.iter().zip(row).take_while(|(a, b)| a == b).count();
        kept.truncate(same.min(row.len() - 1));
        let (mut fields, mut scores) = (self.fields.clone(), Vec::new());
        while kept.len() < row.len() {
            let left = row.len() - kept.len();
            let count = if left > TOGETHER / 4 && most >= TOGETHER { TOGETHER } else { 1 };
            self.engine.extend(count, self.rows, &self.lengths)?;
            // Places after the last token are written again before anything looks at them.
            let start = kept.len().min(most - count);
            let tokens = (start..start + count).map(|i| row.get(i).or(row.last()).copied().unwrap_or(PAD));
            fields.truncate(self.task.fields.len());
            fields[self.generation.output] = tokens.flat_map(i32::to_ne_bytes).collect();
            fields.push((start as i32).to_ne_bytes().to_vec());
            let clock = ClockValues::default();
            let inputs = StepInputs { fields: &fields, lengths: &self.lengths, clock, seed: self.seed };
            let entry = Entry::Extend(count as u32);
            self.engine.run(entry, self.rows, &inputs)?;
            let end = row.len().min(start + count);
            kept.extend(&row[kept.len()..end]);
            let value = self.engine.value(0);
            let all = bytes::to_f64(value.dtype, &value.bytes);
            let width = all.len() / count;
            scores = all[(end - 1 - start) * width..(end - start) * width].to_vec();
            if let Some(why) = fault(&scores, self.engine, self.task, (entry, self.rows), &inputs) {
                return Err(why);
            }
        }
        Ok((scores, kept))
    }

    /// The tokens that the net is shown of so many: the last ones, if it cannot take all.
    pub fn shown(&self, count: usize) -> usize {
        self.generation.limit.map_or(count, |l| count.min(l))
    }

    /// The scores of the token that follows each of these rows, which are all of one length, at least 1.
    pub fn scores(&mut self, rows: &[Vec<i32>]) -> Result<Vec<Vec<f64>>> {
        let Some(first) = rows.first() else { return Ok(Vec::new()) };
        if let Some((kept, most)) = self.kept.take_if(|(_, most)| first.len() <= *most) {
            let (scores, kept) = self.extended(first, kept, most)?;
            self.kept = Some((kept, most));
            return Ok(vec![self.possible(scores)]);
        }
        let length = self.shown(first.len());
        self.lengths[self.growing] = length;
        for (i, field) in self.task.fields.iter().enumerate() {
            let is_length = matches!(field.from, FieldFrom::Length(of) if of == self.generation.output);
            if i != self.generation.output && !is_length {
                continue;
            }
            let buffer = &mut self.fields[i];
            buffer.clear();
            // Fewer texts than rows: the last one stands for the rest.
            for row in (0..self.rows).filter_map(|r| rows.get(r).or(rows.last())) {
                match is_length {
                    true => buffer.extend_from_slice(&(length as i32).to_ne_bytes()),
                    false => row[row.len() - length..].iter().for_each(|t| buffer.extend_from_slice(&t.to_ne_bytes())),
                }
            }
        }
        let clock = ClockValues::default();
        let inputs = StepInputs { fields: &self.fields, lengths: &self.lengths, clock, seed: self.seed };
        self.engine.run(Entry::Eval, self.rows, &inputs)?;
        let value = self.engine.value(0);
        let all = bytes::to_f64(value.dtype, &value.bytes);
        let width = all.len() / self.rows.max(1);
        if let Some(why) = fault(&all[..width * rows.len()], self.engine, self.task, (Entry::Eval, self.rows), &inputs)
        {
            return Err(why);
        }
        let out: Vec<Vec<f64>> = all.chunks_exact(width).take(rows.len()).map(<[f64]>::to_vec).collect();
        Ok(out.into_iter().map(|row| self.possible(row)).collect())
    }

    /// Scores where what is never text cannot be chosen: padding, the start mark, what is not in the vocabulary, and the
    /// end mark, unless texts end with one.
    fn possible(&self, mut scores: Vec<f64>) -> Vec<f64> {
        let known = self.vocabulary.size();
        let kept = if self.generation.end { END } else { PAD };
        for (i, score) in scores.iter_mut().enumerate() {
            let is_mark = [PAD, START, END, UNKNOWN].contains(&(i as i32)) && (i as i32 != kept || kept == PAD);
            if is_mark || i >= known {
                *score = f64::NEG_INFINITY;
            }
        }
        scores
    }

    /// Continues `tokens` in place, and calls `each` after every token that is certain: after each one, or with beam search
    /// once at the end.
    pub fn write(&mut self, tokens: &mut Vec<i32>, stop: &AtomicBool, mut each: impl FnMut(&[i32])) -> Result<Ending> {
        let choice = self.generation.choice.clone();
        let end = self.generation.end.then_some(END);
        if choice.beam > 1 {
            let found = beam::search(&choice, end, tokens, |rows| match stop.load(Ordering::Relaxed) {
                true => Ok(None),
                false => self.scores(rows).map(Some),
            })?;
            *tokens = found.tokens;
            each(tokens);
            return Ok(found.ending);
        }
        for position in 0..choice.max_tokens {
            if stop.load(Ordering::Relaxed) {
                return Ok(Ending::Stopped);
            }
            let scores = self.scores(std::slice::from_ref(tokens))?;
            let next = pick(&scores[0], &choice, self.seed, position);
            tokens.push(next);
            if Some(next) == end {
                return Ok(Ending::Ended);
            }
            each(tokens);
        }
        Ok(Ending::Full)
    }
}

/// Why scores cannot be chosen from.
fn fault(
    scores: &[f64],
    engine: &mut dyn Engine,
    task: &Task,
    (entry, rows): (Entry, usize),
    inputs: &StepInputs,
) -> Option<Box<Diagnostic>> {
    if scores.is_empty() {
        let what = "the step gave no scores";
        return Some(Box::new(Diagnostic::error(codes::INTERNAL, task.span, what)));
    }
    if !scores.iter().any(|s| s.is_nan() || *s == f64::INFINITY) {
        return None;
    }
    if let Some(why) = engine.explain_not_finite(entry, rows, inputs) {
        return Some(Box::new(why));
    }
    let what = "the scores of the next token are not finite";
    let d = Diagnostic::error(codes::NOT_FINITE, task.span, what);
    Some(Box::new(d.help("train the net again, or take another checkpoint with `--weights`")))
}
