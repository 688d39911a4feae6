//! A training run as lines of text in a cell's output.

use std::time::{Duration, Instant};

use lumbar::train::observer::{Event, Observer};

/// Lines within an epoch come this far apart. Workbench ends idle machines, and new output is what it counts.
const QUIET: Duration = Duration::from_secs(10);

/// Prints what happens in a run: a line a fold and an epoch, and one every ten seconds in between.
///
/// ```
/// use lumbar::train::observer::{Event, Observer};
/// use lumbar_notebook::lines::Lines;
///
/// let mut lines = Lines::new();
/// lines.event(&Event::FoldStarted { fold: 0, training: 51, validation: 13, parameters: 4_000_000, steps: 70 });
/// assert_eq!(lines.printed(), 1);
/// ```
#[derive(Debug)]
pub struct Lines {
    last: Instant,
    printed: usize,
    odd: usize,
}

impl Default for Lines {
    fn default() -> Self {
        Self::new()
    }
}

impl Lines {
    /// Nothing printed yet.
    #[must_use]
    pub fn new() -> Self {
        Self { last: Instant::now(), printed: 0, odd: 0 }
    }

    /// How many lines were printed.
    #[must_use]
    pub const fn printed(&self) -> usize {
        self.printed
    }

    fn say(&mut self, text: &str) {
        self.last = Instant::now();
        self.printed += 1;
        println!("{text}");
    }

    fn at(&mut self, text: impl FnOnce() -> String) {
        if self.last.elapsed() >= QUIET {
            self.say(&text());
        }
    }
}

impl Observer for Lines {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Preparing { done, total } => self.at(|| format!("{done} of {total} studies decoded")),
            Event::StudyOdd { .. } => self.odd += 1,
            Event::FoldStarted { fold, training, validation, parameters, steps } => {
                if self.odd > 0 {
                    let odd = std::mem::take(&mut self.odd);
                    self.say(&format!("{odd} things were odd about the studies' files: the manifest lists them"));
                }
                let weights = *parameters as f64 / 1e6;
                self.say(&format!(
                    "fold {fold}: {training} studies to train on, {validation} to validate with, {weights:.1} M weights, \
                     {steps} steps"
                ));
            }
            Event::Resumed { epoch, step, .. } => self.say(&format!("goes on after {epoch} epochs, {step} steps")),
            Event::CheckpointDamaged { reason, .. } => {
                self.say(&format!("the newest checkpoint is damaged ({reason}); the one before is tried"));
            }
            Event::Step { epoch, step, steps, loss, .. } => {
                self.at(|| format!("  epoch {epoch}, step {step} of {steps}, loss {loss:.3}"));
            }
            Event::StepSkipped { epoch, step, what } => {
                self.say(&format!("  epoch {epoch}, step {step} is left out: its {what} is not finite"));
            }
            Event::EpochEnded { record, .. } => {
                let score = record.score().map_or_else(|| "none".to_owned(), |score| format!("{score:.3}"));
                self.say(&format!("epoch {}: loss {:.3}, validation {score}", record.epoch, record.training_loss));
            }
            Event::CheckpointFailed { reason, .. } => {
                self.say(&format!("a checkpoint could not be written: {reason}; training goes on"));
            }
            Event::EarlyStop { best_epoch, .. } => {
                self.say(&format!("nothing better since epoch {best_epoch}: stopped early"));
            }
            Event::FoldEnded { fold, .. } => self.say(&format!("fold {fold} is complete")),
            _ => {}
        }
    }
}
