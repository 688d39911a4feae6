//! The progress of a training run, in a cell's output.

use std::time::{Duration, Instant};

use lumbar::train::observer::{Event, Observer};
use lumbar_dicom::{counted, escaped};

/// The time between two lines within an epoch. Workbench shuts idle machines down, and new output is what it counts.
const INTERVAL: Duration = Duration::from_secs(10);

/// Prints a line for each fold, for its first and last epoch, and every ten seconds in between. Epochs are counted from
/// 1, as in figures.
///
/// ```
/// use lumbar::train::observer::{Event, Observer};
/// use lumbar_notebook::progress::ProgressPrinter;
///
/// let mut printer = ProgressPrinter::new();
/// printer.event(&Event::FoldStarted { fold: 0, training: 51, validation: 13, parameters: 4_000_000, steps: 70 });
/// assert_eq!(printer.printed(), 1);
/// ```
#[derive(Debug)]
pub struct ProgressPrinter {
    last: Instant,
    printed: usize,
    warnings: usize,
    /// The newest epoch, if it has not been printed.
    epoch: Option<String>,
}

impl Default for ProgressPrinter {
    fn default() -> Self {
        Self::new()
    }
}

impl ProgressPrinter {
    /// A printer that has printed nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { last: Instant::now(), printed: 0, warnings: 0, epoch: None }
    }

    /// The number of lines printed.
    #[must_use]
    pub const fn printed(&self) -> usize {
        self.printed
    }

    fn say(&mut self, text: &str) {
        self.last = Instant::now();
        self.printed += 1;
        // File names and the system's messages are part of it.
        println!("{}", escaped(text));
    }

    fn at(&mut self, text: impl FnOnce() -> String) {
        if self.last.elapsed() >= INTERVAL {
            self.say(&text());
        }
    }
}

impl Observer for ProgressPrinter {
    fn event(&mut self, event: &Event) {
        match event {
            Event::StageStarted { stage } => self.say(&format!("the {stage} is trained, or continued")),
            Event::Preparing { done, total } => self.at(|| format!("{done} of {} decoded", counted(*total, "study"))),
            Event::StudyWarning { .. } => self.warnings += 1,
            Event::FoldStarted { fold, training, validation, parameters, steps } => {
                if self.warnings > 0 {
                    let warnings = std::mem::take(&mut self.warnings);
                    let warnings = counted(warnings, "warning");
                    self.say(&format!("{warnings} about files of studies: the manifest lists them"));
                }
                let weights = *parameters as f64 / 1e6;
                self.say(&format!(
                    "fold {fold}: {} to train on, {validation} to validate with, {weights:.1} M weights, {}",
                    counted(*training, "study"),
                    counted(*steps as usize, "step")
                ));
            }
            Event::Resumed { epoch, step, .. } => {
                self.say(&format!("continues after {}, {}", counted(*epoch, "epoch"), counted(*step as usize, "step")));
            }
            Event::CheckpointDamaged { reason, .. } => {
                self.say(&format!("the newest checkpoint is damaged ({reason}); the one before it is tried"));
            }
            Event::Step { epoch, step, steps, loss, .. } => {
                self.at(|| format!("  epoch {}, step {step} of {steps}, loss {loss:.3}", epoch + 1));
            }
            Event::StepSkipped { epoch, step, what } => {
                self.say(&format!("  epoch {}, step {step} is skipped: its {what} is not finite", epoch + 1));
            }
            Event::EpochEnded { record, .. } => {
                let score = record.score().map_or_else(|| "none".to_owned(), |score| format!("{score:.3}"));
                let epoch = record.epoch + 1;
                let text = format!("epoch {epoch}: loss {:.3}, validation {score}", record.training_loss);
                if epoch == 1 || self.last.elapsed() >= INTERVAL {
                    self.say(&text);
                    self.epoch = None;
                } else {
                    self.epoch = Some(text);
                }
            }
            Event::CheckpointFailed { reason, .. } => {
                self.say(&format!("a checkpoint could not be written: {reason}; training continues"));
            }
            Event::EarlyStop { best_epoch, .. } => {
                self.say(&format!("stopped early: no better score since epoch {}", best_epoch + 1));
            }
            Event::FoldEnded { fold, .. } => {
                if let Some(epoch) = self.epoch.take() {
                    self.say(&epoch);
                }
                self.say(&format!("fold {fold} is complete"));
            }
            _ => {}
        }
    }
}
