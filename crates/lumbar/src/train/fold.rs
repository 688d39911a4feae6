//! One fold: from a split to an out-of-fold table, resumed where an earlier call stopped.

mod split;
mod weights;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tch::{Device, Tensor};

use super::checkpoint::{Best, CODE_VERSION, Checkpoint, CheckpointFolder, State, Sums};
use super::config::Scope;
use super::epoch::{Ended, Loop, Progress};
use super::history::{EpochRecord, History};
use super::lock::Lock;
use super::network::Network;
use super::objective::{Objective, OutOfFold as _};
use super::observer::{Event, Observer, StopToken};
use super::optimizer::Optimizer;
use super::schedule::Schedule;
use super::tensorboard::EventWriter;
use super::writer::Writer;
use super::{TrainConfig, TrainError, plan};
use crate::data::loader::Dataset;
pub use split::FoldSplit;
use split::same_split;
pub use weights::load_weights;
use weights::{load_buffers, tensors_of};

/// How a fold ended.
#[derive(Debug, Clone, PartialEq)]
pub enum FoldOutcome<T> {
    /// Trained to its end: the predictions of its validation studies, by the weights of the last epoch (their
    /// moving average if the config has one). The epoch is not chosen by the scores of these studies, so that the predictions are unbiased.
    Complete(T),
    /// Stopped on request. A checkpoint is on the disk, and the same call continues from it.
    Stopped,
}

/// What is trained, on what, in which folder.
#[derive(Debug)]
pub struct FoldJob<'a, N, D, O> {
    /// The network; its weights are trained in place.
    pub network: &'a N,
    /// Makes the batches that are trained on.
    pub dataset: &'a Arc<D>,
    /// Makes the batches of validation studies: `dataset`, or one that sees them as new studies are seen.
    pub validation: &'a Arc<D>,
    /// What is optimised.
    pub objective: &'a O,
    /// Training and validation studies.
    pub split: &'a FoldSplit,
    /// The training's settings.
    pub config: &'a TrainConfig,
    /// Where the network's weights are.
    pub device: Device,
    /// The fold's folder.
    pub folder: &'a Path,
}

impl<N, D, O> FoldJob<'_, N, D, O>
where
    N: Network,
    O: Objective,
    D: Dataset<Inputs = N::Inputs, Truth = O::Truth>,
{
    /// Trains the fold: from the start, or from the newest checkpoint in its folder.
    ///
    /// The folder gets `split.json`, `history.jsonl`, `checkpoints/`, TensorBoard's event files and at the end
    /// `out_of_fold.csv`. If that table exists, it is read and nothing is trained.
    ///
    /// # Errors
    /// When the split is empty, the folder contains another run or is being trained by another process, a batch cannot
    /// be made, the loss stays non-finite or nothing can be saved at the end.
    pub fn fit(&self, stop: &StopToken, observer: &mut dyn Observer) -> Result<FoldOutcome<O::Table>, TrainError> {
        self.config.check()?;
        if self.split.training.is_empty() || self.split.validation.is_empty() {
            return Err(TrainError::Nothing("a fold needs studies to train on and studies to validate with"));
        }
        let table = self.folder.join("out_of_fold.csv");
        let split = self.folder.join("split.json");
        if table.exists() {
            same_split(&split, self.split)?;
            return Ok(FoldOutcome::Complete(O::Table::read(&table)?));
        }
        let _lock = Lock::take(self.folder)?;
        let checkpoints = CheckpointFolder::open(&self.folder.join("checkpoints"))?;
        checkpoints.remove_partial()?;
        same_split(&split, self.split)?;
        let _deterministic =
            self.config.deterministic.then(|| torch_ext::determinism::enforce(self.device)).transpose()?;
        let mut fold = Fold::start(self, checkpoints, stop)?;
        fold.resume(observer)?;
        fold.run(observer)
    }
}

struct Fold<'a, N, D, O> {
    cycle: Loop<'a, N, D, O>,
    validation: &'a Arc<D>,
    split: &'a FoldSplit,
    folder: PathBuf,
    writer: Writer,
    optimizer: Optimizer,
    progress: Progress,
    best: Vec<Best>,
    history: History,
    /// A checkpoint of the complete fold is on the disk, or only that is left to do.
    is_finished: bool,
    events: Option<EventWriter>,
}

impl<'a, N, D, O> Fold<'a, N, D, O>
where
    N: Network,
    O: Objective,
    D: Dataset<Inputs = N::Inputs, Truth = O::Truth>,
{
    fn start(
        job: &FoldJob<'a, N, D, O>,
        checkpoints: CheckpointFolder,
        stop: &'a StopToken,
    ) -> Result<Self, TrainError> {
        let FoldJob { network, dataset, validation, objective, split, config, device, folder } = *job;
        let batches = plan::training(config, &split.training, 0).batches.len();
        let steps = (batches.div_ceil(config.accumulate) * epochs(config)) as u64;
        Ok(Self {
            cycle: Loop {
                network,
                dataset,
                objective,
                config,
                device,
                schedule: Schedule::new(&config.schedule, steps),
                steps,
                fold: split.fold,
                stop,
            },
            validation,
            split,
            folder: folder.to_owned(),
            writer: Writer::new(checkpoints, Duration::from_secs(config.checkpoint_seconds)),
            optimizer: Optimizer::new(network.parameters(), &config.optimizer, config.clip_norm, config.ema_decay)?,
            progress: Progress::default(),
            best: Vec::new(),
            history: History::default(),
            is_finished: false,
            events: None,
        })
    }

    /// Continues from the newest checkpoint that can be read, if there is one.
    fn resume(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        observer.event(&Event::FoldStarted {
            fold: self.split.fold,
            training: self.split.training.len(),
            validation: self.split.validation.len(),
            parameters: self.optimizer.weight_count(),
            steps: self.cycle.steps,
        });
        if let Some(newest) = self.writer.checkpoints().newest()? {
            for (path, reason) in newest.damaged {
                observer.event(&Event::CheckpointDamaged { path, reason });
            }
            self.restore(&newest.checkpoint)?;
            let (checkpoints, state) = (self.writer.checkpoints(), &newest.checkpoint.state);
            checkpoints.remove_unwanted(state, &newest.path)?;
            let Progress { epoch, step, .. } = self.progress;
            observer.event(&Event::Resumed { path: newest.path, epoch, step });
        }
        self.history.write(&self.folder.join("history.jsonl"))?;
        let file_error = |source| TrainError::File { path: self.folder.clone(), source };
        self.events = Some(EventWriter::create(&self.folder).map_err(file_error)?);
        Ok(())
    }

    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        let state = &checkpoint.state;
        let differences = self.cycle.config.differences(&state.config);
        if !differences.is_empty() {
            return Err(TrainError::OtherConfig { folder: self.folder.clone(), differences });
        }
        let tensor = |name: &str| checkpoint.tensor(name);
        if state.finished {
            self.optimizer.restore_trained(&state.places, state.optimizer_step, tensor)?;
        } else {
            self.optimizer.restore(&state.places, state.optimizer_step, tensor)?;
        }
        load_buffers(self.cycle.network, checkpoint)?;
        self.progress = Progress {
            epoch: state.epoch,
            step_in_epoch: state.step_in_epoch,
            step: state.step,
            sums: state.sums,
            scale: state.loss_scale,
        };
        self.best.clone_from(&state.best);
        self.history.clone_from(&state.history);
        self.is_finished = state.finished;
        Ok(())
    }

    fn run(mut self, observer: &mut dyn Observer) -> Result<FoldOutcome<O::Table>, TrainError> {
        let config = self.cycle.config;
        let mut predicted = None;
        while !self.is_finished && !self.is_over() {
            let frozen = self.progress.epoch < config.freeze_epochs;
            self.optimizer.freeze_above(frozen.then_some(0))?;
            let started = Instant::now();
            if self.train(observer)? == Ended::Stopped {
                self.save_or_fail(observer)?;
                return Ok(FoldOutcome::Stopped);
            }
            let training = started.elapsed();
            let started = Instant::now();
            let table = self.validate()?;
            let record = self.close_epoch(&table)?;
            predicted = Some(table);
            let fold = self.split.fold;
            observer.event(&Event::EpochEnded { fold, record, training, validation: started.elapsed() });
            if self.is_over() {
                break;
            }
            if self.cycle.stop.is_stopped() {
                self.save_or_fail(observer)?;
                return Ok(FoldOutcome::Stopped);
            }
            if self.writer.is_due() {
                self.save(observer);
            }
        }
        if let Some(best_epoch) = self.exhausted_patience() {
            observer.event(&Event::EarlyStop { fold: self.split.fold, best_epoch });
        }
        let table = match predicted {
            Some(table) => table,
            None => self.validate()?,
        };
        self.writer.finish(observer);
        if config.scope == Scope::Full {
            if !self.is_finished {
                // from here on nothing is trained: a call after a kill only writes the table
                self.is_finished = true;
                self.save(observer);
                self.finish_or_fail(observer)?;
            }
            let path = self.folder.join("out_of_fold.csv");
            table.write(&path)?;
            observer.event(&Event::FoldEnded { fold: self.split.fold, table: path });
        }
        Ok(FoldOutcome::Complete(table))
    }

    fn train(&mut self, observer: &mut dyn Observer) -> Result<Ended, TrainError> {
        let Self { cycle, split, writer, optimizer, progress, best, history, events, .. } = self;
        let network = cycle.network;
        let mut watch = |event: &Event| {
            if let (Event::Step { step, loss, lr, .. }, Some(events)) = (event, events.as_mut()) {
                // the curves are not needed to resume: a full disk must not end the run
                let _ = events.scalar("loss/step", *step, *loss).and_then(|()| events.scalar("lr", *step, *lr));
            }
            observer.event(event);
        };
        cycle.train(&split.training, optimizer, progress, &mut watch, |optimizer, progress, observer| {
            writer.poll(observer);
            if cycle.config.scope == Scope::Full && writer.is_due() {
                let state = state_of(cycle, optimizer, progress, best, history, false);
                writer.save(state, &tensors_of(network, optimizer, false), observer);
            }
            Ok(())
        })
    }

    /// Predicts the validation studies, with the averaged weights if there are any.
    fn validate(&mut self) -> Result<O::Table, TrainError> {
        self.optimizer.swap_average()?;
        let schedule = self.cycle.schedule.clone();
        let validation = Loop { dataset: self.validation, schedule, ..self.cycle };
        let table = validation.predict(&self.split.validation);
        self.optimizer.swap_average()?;
        table
    }

    fn close_epoch(&mut self, table: &O::Table) -> Result<EpochRecord, TrainError> {
        let (training_loss, gradient_norm) = self.progress.sums.means();
        let validation = self.cycle.objective.score(table)?;
        let record = EpochRecord {
            epoch: self.progress.epoch,
            step: self.progress.step,
            lr: self.cycle.config.optimizer.lr * self.cycle.schedule.factor(self.progress.step.saturating_sub(1)),
            training_loss,
            gradient_norm,
            skipped_steps: self.progress.sums.skipped,
            validation,
        };
        if let Some(score) = record.score() {
            self.best.push(Best { epoch: record.epoch, score: score.to_bits() });
            self.best.sort_by(|left, right| left.score().total_cmp(&right.score()).then(left.epoch.cmp(&right.epoch)));
            self.best.truncate(self.cycle.config.keep_best);
        }
        let is_best = self.best.iter().any(|best| best.epoch == record.epoch);
        self.history.push(&record);
        self.progress = Progress { epoch: record.epoch + 1, step_in_epoch: 0, sums: Sums::default(), ..self.progress };
        if is_best && self.cycle.config.scope == Scope::Full {
            let Self { cycle, optimizer, progress, best, history, .. } = &*self;
            let state = state_of(cycle, optimizer, progress, best, history, true);
            let tensors = tensors_of(cycle.network, optimizer, true);
            self.writer.add_best(state, &tensors)?;
        }
        self.history.write(&self.folder.join("history.jsonl"))?;
        self.draw(&record);
        Ok(record)
    }

    fn draw(&mut self, record: &EpochRecord) {
        let Some(events) = &mut self.events else { return };
        let mut curves =
            vec![("loss/epoch".to_owned(), record.training_loss), ("gradient_norm".to_owned(), record.gradient_norm)];
        if let Some(score) = &record.validation {
            curves.push(("validation/score".to_owned(), score.total()));
            curves.extend(score.parts().map(|(name, value)| (format!("validation/{name}"), value)));
        }
        for (tag, value) in curves {
            // as above
            let _ = events.scalar(&tag, record.step, value);
        }
    }

    /// Whether there is no epoch left to train.
    fn is_over(&self) -> bool {
        self.progress.epoch >= epochs(self.cycle.config) || self.exhausted_patience().is_some()
    }

    /// The best epoch, if it is further back than the config's patience and there are epochs left.
    fn exhausted_patience(&self) -> Option<usize> {
        let (config, at) = (self.cycle.config, &self.progress);
        let best = self.best.first().filter(|_| config.early_stop > 0)?.epoch;
        let over = at.step_in_epoch == 0 && at.epoch > best + config.early_stop && at.epoch < epochs(config);
        over.then_some(best)
    }

    /// Starts to write a checkpoint. A run of less than full scope writes none.
    fn save(&mut self, observer: &mut dyn Observer) {
        if self.cycle.config.scope == Scope::Full {
            self.writer.save(self.state(), &self.tensors(), observer);
        }
    }

    /// Waits until the checkpoint in progress is on the disk, and saves once more if that failed.
    fn finish_or_fail(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        if self.writer.finish(observer) { Ok(()) } else { self.save_or_fail(observer) }
    }

    fn save_or_fail(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        self.writer.save_or_fail(&self.state(), &self.tensors(), observer)
    }

    fn state(&self) -> State {
        let Self { cycle, optimizer, progress, best, history, is_finished, .. } = self;
        state_of(cycle, optimizer, progress, best, history, *is_finished)
    }

    fn tensors(&self) -> Vec<(String, Tensor)> {
        tensors_of(self.cycle.network, &self.optimizer, self.is_finished)
    }
}

fn epochs(config: &TrainConfig) -> usize {
    if config.scope == Scope::FastDevRun { 1 } else { config.epochs }
}

fn state_of<N: Network, D, O>(
    cycle: &Loop<'_, N, D, O>,
    optimizer: &Optimizer,
    progress: &Progress,
    best: &[Best],
    history: &History,
    finished: bool,
) -> State {
    State {
        code_version: CODE_VERSION.to_owned(),
        config: cycle.config.clone(),
        fold: cycle.fold,
        epoch: progress.epoch,
        step_in_epoch: progress.step_in_epoch,
        optimizer_step: optimizer.step_count(),
        step: progress.step,
        sums: progress.sums,
        loss_scale: progress.scale,
        best: best.to_vec(),
        history: history.clone(),
        places: optimizer.places().to_vec(),
        buffers: cycle.network.buffers().into_iter().map(|(name, _)| name).collect(),
        finished,
    }
}
