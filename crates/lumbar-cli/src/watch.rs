//! The progress of a training run: a bar on a terminal, lines elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use lumbar::data::StudyId;
use lumbar::train::observer::{Event, Observer};
use lumbar_dicom::counted;

/// The time between two lines within an epoch.
const INTERVAL: Duration = Duration::from_secs(10);

/// Shows events on standard error.
pub(crate) struct Watch {
    bar: Option<ProgressBar>,
    last: Instant,
    fold: usize,
    waited: Duration,
    worked: Duration,
    /// Number of warnings by study.
    warnings: BTreeMap<StudyId, usize>,
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
            warnings: BTreeMap::new(),
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => log_line!("{text}"),
        }
    }

    /// Moves the bar, or prints a line if the last one is long ago.
    fn at(&mut self, done: u64, total: u64, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(text.to_owned());
        } else if self.last.elapsed() >= INTERVAL {
            self.last = Instant::now();
            log_line!("{done} of {total} {text}");
        }
    }
}

impl Observer for Watch {
    fn event(&mut self, event: &Event) {
        let fold = self.fold;
        match event {
            Event::StageStarted { stage } => self.line(&format!("the {stage} is trained, or continued")),
            Event::Preparing { done, total } => self.at(*done as u64, *total as u64, "studies decoded"),
            Event::StudyWarning { study, .. } => *self.warnings.entry(*study).or_default() += 1,
            Event::FoldStarted { fold, training, validation, parameters, steps } => {
                if !self.warnings.is_empty() {
                    let some = self.warnings.keys().take(5).map(ToString::to_string).collect::<Vec<_>>().join(", ");
                    let more = if self.warnings.len() > 5 { ", …" } else { "" };
                    self.line(&format!(
                        "warning: files are missing or unreadable in {}: {some}{more}; the reasons are in warnings.jsonl",
                        counted(self.warnings.len(), "study")
                    ));
                    self.warnings.clear();
                }
                self.fold = *fold;
                self.line(&format!(
                    "fold {fold}: {} to train on, {validation} to validate with, {:.1} M weights, {}",
                    counted(*training, "study"),
                    *parameters as f64 / 1e6,
                    counted(*steps as usize, "step")
                ));
            }
            Event::Resumed { path, epoch, step } => {
                self.line(&format!("fold {fold}: continues after epoch {epoch}, step {step}, from {}", path.display()));
            }
            Event::CheckpointDamaged { path, reason } => {
                self.line(&format!(
                    "fold {fold}: {} is damaged ({reason}); the one before it is tried",
                    path.display()
                ));
            }
            Event::Step { epoch, step, steps, loss, data, total, .. } => {
                self.waited += *data;
                self.worked += *total;
                let share = 100.0 * self.waited.as_secs_f64() / self.worked.as_secs_f64().max(1e-9);
                let text = format!("steps, fold {fold}, epoch {epoch}, loss {loss:.4}, {share:.0}% waiting for data");
                self.at(*step, *steps, &text);
            }
            Event::StepSkipped { epoch, step, what } => {
                self.line(&format!("fold {fold}, epoch {epoch}, step {step} is skipped: its {what} is not finite"));
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
                self.line(&format!(
                    "fold {fold}: {} could not be written: {reason}; training continues",
                    path.display()
                ));
            }
            Event::EarlyStop { best_epoch, .. } => {
                self.line(&format!("fold {fold}: stopped early, no better score since epoch {best_epoch}"));
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
