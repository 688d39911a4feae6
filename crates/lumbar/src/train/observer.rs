//! Events of a run, and the token that stops it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::history::EpochRecord;
use crate::data::StudyId;

/// Something that happened. Events come in order, from the thread that trains.
///
/// Written as JSON, times are in seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A stage of a run with several starts or continues.
    StageStarted {
        /// `localiser` or `grader`.
        stage: &'static str,
    },
    /// Studies are read and decoded, before the first fold.
    Preparing {
        /// Studies that are ready.
        done: usize,
        /// Of how many.
        total: usize,
    },
    /// Something of a study is missing or unreadable. Training continues without it.
    StudyWarning {
        /// The study.
        study: StudyId,
        /// What is missing or unreadable, in words.
        warning: String,
    },
    /// A fold starts or continues.
    FoldStarted {
        /// Which, from 0.
        fold: usize,
        /// Studies to train on.
        training: usize,
        /// Studies to validate with.
        validation: usize,
        /// Trained weights.
        parameters: i64,
        /// Steps of the optimizer in the whole fold.
        steps: u64,
    },
    /// The run continues from a checkpoint.
    Resumed {
        /// The checkpoint.
        path: PathBuf,
        /// Epochs that are complete.
        epoch: usize,
        /// Steps that are done.
        step: u64,
    },
    /// A checkpoint cannot be read; the one before is tried.
    CheckpointDamaged {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A step of the optimizer.
    Step {
        /// The epoch, from 0.
        epoch: usize,
        /// Steps done in the fold, this one included.
        step: u64,
        /// Steps of the fold.
        steps: u64,
        /// Loss of this step's batches.
        loss: f64,
        /// Length of the gradient before clipping.
        gradient_norm: f64,
        /// Learning rate.
        lr: f64,
        /// Studies in this step.
        studies: usize,
        /// Time spent waiting for batches.
        #[serde(rename = "data_s", serialize_with = "seconds")]
        data: Duration,
        /// Time of the whole step.
        #[serde(rename = "total_s", serialize_with = "seconds")]
        total: Duration,
    },
    /// A step that was skipped because its loss or gradient was not finite. Weights and buffers are unchanged.
    StepSkipped {
        /// The epoch, from 0.
        epoch: usize,
        /// Steps done in the fold.
        step: u64,
        /// `loss` or `gradient`.
        what: &'static str,
    },
    /// An epoch has ended and was validated.
    EpochEnded {
        /// The fold.
        fold: usize,
        /// What is written to the history.
        record: EpochRecord,
        /// Time of training.
        #[serde(rename = "training_s", serialize_with = "seconds")]
        training: Duration,
        /// Time of validation.
        #[serde(rename = "validation_s", serialize_with = "seconds")]
        validation: Duration,
    },
    /// A checkpoint is on the disk. It is written while training continues, so this may be some steps later.
    CheckpointSaved {
        /// The file.
        path: PathBuf,
        /// Bytes that were written: this file and the best checkpoints that were written with it.
        bytes: u64,
    },
    /// A checkpoint could not be written. Training continues, and earlier checkpoints are unchanged.
    CheckpointFailed {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No better validation score for as many epochs as the config allows.
    EarlyStop {
        /// The fold.
        fold: usize,
        /// The best epoch, from 0.
        best_epoch: usize,
    },
    /// A fold is complete.
    FoldEnded {
        /// The fold.
        fold: usize,
        /// The out-of-fold table.
        table: PathBuf,
    },
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

/// Receives the events. A closure `FnMut(&Event)` is one.
pub trait Observer {
    /// Called for each event.
    fn event(&mut self, event: &Event);
}

impl<F: FnMut(&Event)> Observer for F {
    fn event(&mut self, event: &Event) {
        self(event);
    }
}

/// Ignores all events.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _: &Event) {}
}

/// Asks a run to save and stop. A signal handler or a notebook's interrupt sets it; the run reads it after each step.
/// Clones share the flag.
#[derive(Debug, Clone, Default)]
pub struct StopToken(Arc<AtomicBool>);

impl StopToken {
    /// A token that has not been asked to stop.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A token on a flag that other code sets, such as a signal handler.
    #[must_use]
    pub fn of_flag(flag: Arc<AtomicBool>) -> Self {
        Self(flag)
    }

    /// Asks the run to stop.
    pub fn stop(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether [`StopToken::stop`] was called.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
