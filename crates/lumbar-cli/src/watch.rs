//! What a training run shows: a bar on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use lumbar::train::observer::{Event, Observer};

/// Plain lines within an epoch come this far apart.
const QUIET: Duration = Duration::from_secs(10);

/// Shows events on standard error.
pub(crate) struct Watch {
    bar: Option<ProgressBar>,
    last: Instant,
    fold: usize,
    waited: Duration,
    worked: Duration,
    /// Oddities of studies, counted by study.
    odd: BTreeMap<String, usize>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}, {eta} left");
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self {
            bar,
            last: Instant::now(),
            fold: 0,
            waited: Duration::ZERO,
            worked: Duration::ZERO,
            odd: BTreeMap::new(),
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }

    /// Moves the bar, or prints a line when the last one is long ago.
    fn at(&mut self, done: u64, total: u64, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(text.to_owned());
        } else if self.last.elapsed() >= QUIET {
            self.last = Instant::now();
            eprintln!("{done} of {total} {text}");
        }
    }
}

impl Observer for Watch {
    fn event(&mut self, event: &Event) {
        let fold = self.fold;
        match event {
            Event::Preparing { done, total } => self.at(*done as u64, *total as u64, "studies decoded"),
            Event::StudyOdd { study, .. } => *self.odd.entry(study.clone()).or_default() += 1,
            Event::FoldStarted { fold, training, validation, parameters, steps } => {
                if !self.odd.is_empty() {
                    let some = self.odd.keys().take(5).cloned().collect::<Vec<_>>().join(", ");
                    let more = if self.odd.len() > 5 { ", …" } else { "" };
                    self.line(&format!(
                        "something is missing or unreadable in {} studies: {some}{more}",
                        self.odd.len()
                    ));
                    self.odd.clear();
                }
                self.fold = *fold;
                self.line(&format!(
                    "fold {fold}: {training} studies to train on, {validation} to validate with, {:.1} M weights, {steps} steps",
                    *parameters as f64 / 1e6
                ));
            }
            Event::Resumed { path, epoch, step } => {
                self.line(&format!("fold {fold}: goes on after epoch {epoch}, step {step}, from {}", path.display()));
            }
            Event::CheckpointDamaged { path, reason } => {
                self.line(&format!("fold {fold}: {} is damaged ({reason}); the one before is tried", path.display()));
            }
            Event::Step { epoch, step, steps, loss, data, total, .. } => {
                self.waited += *data;
                self.worked += *total;
                let share = 100.0 * self.waited.as_secs_f64() / self.worked.as_secs_f64().max(1e-9);
                let text = format!("steps, fold {fold}, epoch {epoch}, loss {loss:.4}, {share:.0}% waiting for data");
                self.at(*step, *steps, &text);
            }
            Event::StepSkipped { epoch, step, what } => {
                self.line(&format!("fold {fold}, epoch {epoch}, step {step} is left out: its {what} is not finite"));
            }
            Event::EpochEnded { fold, record, training, validation } => {
                let score = record.score().map_or_else(|| "no score".to_owned(), |score| format!("score {score:.4}"));
                self.line(&format!(
                    "fold {fold}, epoch {}: loss {:.4}, {score}, {:.1} s of training, {:.1} s of validation",
                    record.epoch,
                    record.training_loss,
                    training.as_secs_f64(),
                    validation.as_secs_f64()
                ));
                (self.waited, self.worked, self.last) = (Duration::ZERO, Duration::ZERO, Instant::now());
            }
            Event::CheckpointFailed { path, reason } => {
                self.line(&format!("fold {fold}: {} could not be written: {reason}; training goes on", path.display()));
            }
            Event::EarlyStop { best_epoch, .. } => {
                self.line(&format!("fold {fold}: nothing better since epoch {best_epoch}, stopped early"));
            }
            Event::FoldEnded { table, .. } => {
                self.line(&format!("fold {fold}: done, {}", table.display()));
            }
            _ => {}
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
