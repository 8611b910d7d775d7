//! What a run shows while it goes on: a bar on a terminal, else one line a window of figures and a sign of life now and
//! then. Only here does a run meet the clock.

use super::output::{self, duration, figure};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nnc::diag::Format;
use nnc::source::Sources;
use nnc::train::{Averages, Course, News, Observer};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Without a terminal a line comes at least this often.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// The bar's text changes at most this often.
const REDRAW: Duration = Duration::from_millis(100);

pub struct Progress<'a> {
    sources: &'a Sources,
    format: Format,
    quiet: bool,
    verbose: bool,
    /// When the process started.
    started: Instant,
    pub first_step: Option<Duration>,
    bar: Option<ProgressBar>,
    course: Option<Course>,
    /// When the first step of this process began, and how many steps had been done.
    began: (Instant, u64),
    window: Window,
    last_shown: Instant,
    /// The line of the training figures, until its validation is there.
    line: String,
    validating: bool,
    /// Batches of the validation at hand: finished, and all.
    validation: (usize, usize),
}

/// The window that is running.
struct Window {
    since: Instant,
    samples: usize,
}

impl<'a> Progress<'a> {
    pub fn new(sources: &'a Sources, format: Format, quiet: bool, verbose: bool, started: Instant) -> Progress<'a> {
        let now = Instant::now();
        let on_terminal = std::io::stderr().is_terminal() && std::io::stdout().is_terminal();
        let bar = (on_terminal && !quiet).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            let style = ProgressStyle::with_template("{bar:24.cyan/dim} {pos}/{len} {wide_msg}");
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar
        });
        Progress {
            sources,
            format,
            quiet,
            verbose,
            started,
            first_step: None,
            bar,
            course: None,
            began: (now, 0),
            window: Window { since: now, samples: 0 },
            last_shown: now,
            line: String::new(),
            validating: false,
            validation: (0, 0),
        }
    }

    /// Takes the bar away; what is not printed yet is.
    pub fn finish(&mut self) {
        self.flush();
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn print(&mut self, line: &str) {
        self.last_shown = Instant::now();
        if self.quiet {
            return;
        }
        let text = format!("{line}\n");
        match &self.bar {
            Some(bar) => bar.suspend(|| output::print(&text)),
            None => output::print(&text),
        }
    }

    fn flush(&mut self) {
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.print(&line);
        }
    }

    /// Seconds until the end, by the pace of this process.
    fn left(&self, done: u64) -> f64 {
        let Some(course) = &self.course else { return 0.0 };
        let steps = done.saturating_sub(self.began.1).max(1);
        self.began.0.elapsed().as_secs_f64() / steps as f64 * course.steps.saturating_sub(done) as f64
    }

    /// `epoch  3/20` or `step  250/1000`
    fn place(&self, done: u64) -> String {
        let Some(course) = &self.course else { return String::new() };
        let (word, at, of) = match course.has_epochs {
            true => ("epoch", course.epoch_number(done), course.epochs()),
            false => ("step", done, course.steps),
        };
        format!("{word} {at:>width$}/{of}", width = of.to_string().len())
    }

    fn pace(&self) -> String {
        let rate = self.window.samples as f64 / self.window.since.elapsed().as_secs_f64().max(1e-9);
        let what = if self.course.is_some_and(|c| c.has_epochs) { "samples/s" } else { "steps/s" };
        format!("{} {what}", output::grouped(rate as u64))
    }

    fn step(&mut self, done: u64, samples: usize, names: &[&str], averages: &Averages) {
        if self.first_step.is_none() {
            let took = self.started.elapsed();
            self.first_step = Some(took);
            if self.verbose {
                let line = format!("first step finished {} after the start", duration(took.as_secs_f64()));
                self.print(&line);
            }
        }
        self.window.samples += samples;
        let wait = if self.bar.is_some() { REDRAW } else { SIGN_OF_LIFE };
        if self.quiet || self.last_shown.elapsed() < wait {
            return;
        }
        let left = format!("{} left", duration(self.left(done)));
        let text = [figures(names, averages), self.pace(), left].join(" · ");
        match &self.bar {
            Some(bar) => {
                let course = self.course.as_ref();
                bar.set_position(course.map_or(done, |c| (done - 1) % c.window + 1));
                bar.set_message(format!("{} · {text}", self.place(done)));
                self.last_shown = Instant::now();
            }
            None => {
                let of = self.course.map_or(0, |c| c.steps);
                let line = format!("{} · step {done}/{of} · {text}", self.place(done));
                self.print(&line);
            }
        }
    }
}

/// `loss 0.1234 · accuracy 0.9712`
pub fn figures(names: &[&str], averages: &Averages) -> String {
    let one = |(i, name): (usize, &&str)| format!("{name} {}", figure(averages.get(i)));
    names.iter().enumerate().map(one).collect::<Vec<_>>().join("  ")
}

impl Observer for Progress<'_> {
    fn tell(&mut self, news: News) {
        match news {
            News::Ready { course, from } => {
                self.course = Some(*course);
                self.began = (Instant::now(), from);
                self.window = Window { since: Instant::now(), samples: 0 };
                if let Some(bar) = &self.bar {
                    bar.set_length(course.window.min(course.steps));
                }
            }
            News::Step { done, samples, names, averages } => self.step(done, samples, names, averages),
            News::Figures { done, names, averages } => {
                self.flush();
                self.line = format!("{}  {}", self.place(done), figures(names, averages));
                if !self.validating {
                    self.line = format!("{}  ({})", self.line, self.pace());
                    self.flush();
                }
                self.window = Window { since: Instant::now(), samples: 0 };
            }
            News::Validating { batches } => {
                self.validating = true;
                self.validation = (0, batches);
            }
            News::ValidatedBatch => {
                self.validation.0 += 1;
                let (done, all) = self.validation;
                let wait = if self.bar.is_some() { REDRAW } else { SIGN_OF_LIFE };
                if self.last_shown.elapsed() >= wait {
                    match &self.bar {
                        Some(bar) => {
                            bar.set_message(format!("validating: batch {done} of {all}"));
                            self.last_shown = Instant::now();
                        }
                        None => self.print(&format!("validating: batch {done} of {all}")),
                    }
                }
            }
            News::Validated { done, names, averages, best } => {
                self.validating = false;
                let mark = if best { "  *" } else { "" };
                if self.line.is_empty() {
                    self.line = format!("{}, step {done}", self.place(done));
                }
                self.line = format!("{}  |  validation {}{mark}", self.line, figures(names, averages));
                self.flush();
            }
            // The pace is that of steps alone.
            News::Saved if self.window.samples == 0 => self.window.since = Instant::now(),
            News::Saved => {}
            News::Warning(d) => output::diagnostics(std::slice::from_ref(d), self.sources, self.format),
            News::Replaying { steps } => {
                self.flush();
                if steps > 0 && !self.quiet {
                    let line = format!("the loss is not finite: running {steps} steps again to find the cause");
                    self.print(&line);
                }
            }
        }
    }
}
