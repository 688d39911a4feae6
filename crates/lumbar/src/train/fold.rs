//! One fold: from a split to an out-of-fold table, resumed where a run before ended.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use super::checkpoint::{Best, CODE_VERSION, Checkpoint, State, Store, Sums};
use super::config::Extent;
use super::epoch::{Ended, Loop, Progress};
use super::history::{EpochRecord, History};
use super::lock::Lock;
use super::loss::Loss;
use super::network::{Network, Source};
use super::observer::{Event, Observer, StopToken};
use super::optimizer::{MOMENTS, Optimizer};
use super::schedule::Schedule;
use super::tensorboard::EventWriter;
use super::writer::Writer;
use super::{TrainConfig, TrainError, atomic, plan};
use crate::metric::{Graded, MetricError, PredictionTable, Reference, Score, score};
use crate::predict::{read_predictions, write_predictions};

/// Pseudo-labels of the prior that stands in for cells that are not shown.
const PRIOR_PSEUDO_COUNT: f64 = 1.0;

/// The studies of one fold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Which fold, from 0.
    pub fold: usize,
    /// Studies to train on.
    pub training: Vec<String>,
    /// Studies that are predicted out of fold.
    pub validation: Vec<String>,
}

/// How a fold ended.
#[derive(Debug, Clone, PartialEq)]
pub enum FoldOutcome {
    /// Trained to its end: the predictions of its validation studies, by the weights of the last epoch (their
    /// moving average where there is one). The best epoch is not picked by them, so they are honest.
    Complete(PredictionTable),
    /// Asked to stop; a checkpoint lies on the disk and the same call goes on.
    Stopped,
}

/// Trains one fold in `folder`: from the start, or from where the newest checkpoint there ended.
///
/// The folder gets `split.json`, `history.jsonl`, `checkpoints/`, TensorBoard's event files and at the end
/// `out_of_fold.csv`; where that is already there, it is read and nothing is trained.
///
/// # Errors
/// When the split is empty, the folder holds another run or is being trained by another process, a batch cannot be made, the loss stays non-finite
/// or nothing can be saved at the end.
#[allow(clippy::too_many_arguments, reason = "each is a thing of its own; a struct would only rename them")]
pub fn fit<N: Network, S: Source<N::Inputs>>(
    network: &N,
    source: &S,
    split: &Split,
    config: &TrainConfig,
    device: Device,
    folder: &Path,
    stop: &StopToken,
    observer: &mut dyn Observer,
) -> Result<FoldOutcome, TrainError> {
    config.check()?;
    if split.training.is_empty() || split.validation.is_empty() {
        return Err(TrainError::Nothing("a fold needs studies to train on and studies to validate with"));
    }
    let table = folder.join("out_of_fold.csv");
    if table.exists() {
        same_split(&folder.join("split.json"), split)?;
        let table = read_predictions(&table)
            .map_err(|error| TrainError::Checkpoint { path: table, reason: error.to_string() })?;
        return Ok(FoldOutcome::Complete(table));
    }
    let _lock = Lock::take(folder)?;
    let store = Store::open(&folder.join("checkpoints"))?;
    store.tidy()?;
    same_split(&folder.join("split.json"), split)?;
    let mut fold = Fold::start(network, source, split, config, device, folder, store, stop)?;
    fold.resume(observer)?;
    fold.run(observer)
}

struct Fold<'a, N: Network, S> {
    cycle: Loop<'a, N, S>,
    split: &'a Split,
    folder: PathBuf,
    writer: Writer,
    optimizer: Optimizer,
    progress: Progress,
    best: Vec<Best>,
    history: History,
    /// A checkpoint of the complete fold lies on the disk, or nothing but that is left to do.
    is_finished: bool,
    prior: Reference,
    events: Option<EventWriter>,
}

impl<'a, N: Network, S: Source<N::Inputs>> Fold<'a, N, S> {
    #[allow(clippy::too_many_arguments, reason = "see fit")]
    fn start(
        network: &'a N,
        source: &'a S,
        split: &'a Split,
        config: &'a TrainConfig,
        device: Device,
        folder: &Path,
        store: Store,
        stop: &'a StopToken,
    ) -> Result<Self, TrainError> {
        let batches = plan::training(config, &split.training, 0).batches.len();
        let steps = (batches.div_ceil(config.accumulate) * epochs(config)) as u64;
        let known = source.labels().filter(|study| split.training.iter().any(|other| other == study));
        Ok(Self {
            cycle: Loop {
                network,
                source,
                config,
                loss: Loss::new(&config.loss, device)?,
                schedule: Schedule::new(&config.schedule, steps),
                steps,
                fold: split.fold,
                stop,
            },
            split,
            folder: folder.to_owned(),
            writer: Writer::new(store),
            optimizer: Optimizer::new(network.parameters(), &config.optimizer, config.clip_norm, config.ema_decay)?,
            progress: Progress::default(),
            best: Vec::new(),
            history: History::default(),
            is_finished: false,
            prior: Reference::best_constant(&known, PRIOR_PSEUDO_COUNT),
            events: None,
        })
    }

    /// Goes on from the newest checkpoint that can be read, if there is one.
    fn resume(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        observer.event(&Event::FoldStarted {
            fold: self.split.fold,
            training: self.split.training.len(),
            validation: self.split.validation.len(),
            parameters: self.optimizer.weight_count(),
            steps: self.cycle.steps,
        });
        if let Some(newest) = self.writer.store().newest()? {
            for (path, reason) in newest.damaged {
                observer.event(&Event::CheckpointDamaged { path, reason });
            }
            self.take_over(&newest.checkpoint)?;
            let (store, state) = (self.writer.store(), &newest.checkpoint.state);
            if state.finished {
                store.finish(state, &newest.path)?;
            } else {
                store.keep_best(state, &newest.path)?;
            }
            let Progress { epoch, step, .. } = self.progress;
            observer.event(&Event::Resumed { path: newest.path, epoch, step });
        }
        self.history.write(&self.folder.join("history.jsonl"))?;
        let file_error = |source| TrainError::File { path: self.folder.clone(), source };
        self.events = Some(EventWriter::create(&self.folder).map_err(file_error)?);
        Ok(())
    }

    fn take_over(&mut self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
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

    fn run(mut self, observer: &mut dyn Observer) -> Result<FoldOutcome, TrainError> {
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
            self.save(observer);
            if self.cycle.stop.is_stopped() {
                self.settle_or_fail(observer)?;
                return Ok(FoldOutcome::Stopped);
            }
        }
        if let Some(best_epoch) = self.without_patience() {
            observer.event(&Event::EarlyStop { fold: self.split.fold, best_epoch });
        }
        let table = match predicted {
            Some(table) => table,
            None => self.validate()?,
        };
        self.writer.settle(observer);
        if config.extent == Extent::Full {
            if !self.is_finished {
                // from here on nothing is trained: a call after a kill only makes the table
                self.is_finished = true;
                self.save(observer);
                self.settle_or_fail(observer)?;
            }
            let path = self.folder.join("out_of_fold.csv");
            write_predictions(&path, &table)
                .map_err(|error| TrainError::Checkpoint { path: path.clone(), reason: error.to_string() })?;
            observer.event(&Event::FoldEnded { fold: self.split.fold, table: path });
        }
        Ok(FoldOutcome::Complete(table))
    }

    fn train(&mut self, observer: &mut dyn Observer) -> Result<Ended, TrainError> {
        let Self { cycle, split, writer, optimizer, progress, best, history, events, .. } = self;
        let every = cycle.config.checkpoint_steps;
        let network = cycle.network;
        let mut watch = |event: &Event| {
            if let (Event::Step { step, loss, lr, .. }, Some(events)) = (event, events.as_mut()) {
                // curves for the eye: a full disk must not end the run
                let _ = events.scalar("loss/step", *step, *loss).and_then(|()| events.scalar("lr", *step, *lr));
            }
            observer.event(event);
        };
        cycle.train(&split.training, optimizer, progress, &mut watch, |optimizer, progress, observer| {
            writer.poll(observer);
            if every > 0 && progress.step % every == 0 {
                let state = state_of(cycle, optimizer, progress, best, history, false);
                writer.save(state, &tensors_of(network, optimizer, false), observer);
            }
            Ok(())
        })
    }

    /// Predicts the validation studies with the averaged weights, where there are some.
    fn validate(&mut self) -> Result<PredictionTable, TrainError> {
        self.optimizer.swap_average()?;
        let table = self.cycle.predict(&self.split.validation, &self.prior);
        self.optimizer.swap_average()?;
        table
    }

    fn close_epoch(&mut self, table: &PredictionTable) -> Result<EpochRecord, TrainError> {
        let (training_loss, gradient_norm) = self.progress.sums.means();
        let labels = self.cycle.source.labels().filter(|study| table.get(study).is_some());
        let validation = match score(&Graded::join(&labels, table)?) {
            Ok(score) => Some(score),
            Err(MetricError::NothingLabelled { .. }) => None,
            Err(error) => return Err(error.into()),
        };
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
        self.history.push(&record);
        self.progress = Progress { epoch: record.epoch + 1, step_in_epoch: 0, sums: Sums::default(), ..self.progress };
        self.history.write(&self.folder.join("history.jsonl"))?;
        self.draw(&record);
        Ok(record)
    }

    fn draw(&mut self, record: &EpochRecord) {
        let Some(events) = &mut self.events else { return };
        let mut curves = vec![("loss/epoch", record.training_loss), ("gradient_norm", record.gradient_norm)];
        if let Some(score) = &record.validation {
            curves.push(("validation/score", score.total()));
            let names =
                ["validation/spinal", "validation/foraminal", "validation/subarticular", "validation/any_severe"];
            debug_assert_eq!(names.len(), Score::PARTS.len());
            curves.extend(names.into_iter().zip(score.parts()));
        }
        for (tag, value) in curves {
            // as above
            let _ = events.scalar(tag, record.step, value);
        }
    }

    /// Whether no epoch is left to train.
    fn is_over(&self) -> bool {
        self.progress.epoch >= epochs(self.cycle.config) || self.without_patience().is_some()
    }

    /// The best epoch, when it lies further back than the config's patience and there are epochs left.
    fn without_patience(&self) -> Option<usize> {
        let (config, at) = (self.cycle.config, &self.progress);
        let best = self.best.first().filter(|_| config.early_stop > 0)?.epoch;
        let over = at.step_in_epoch == 0 && at.epoch > best + config.early_stop && at.epoch < epochs(config);
        over.then_some(best)
    }

    /// Begins to write a checkpoint; a run that is only tried keeps none.
    fn save(&mut self, observer: &mut dyn Observer) {
        if self.cycle.config.extent == Extent::Full {
            self.writer.save(self.state(), &self.tensors(), observer);
        }
    }

    /// Waits until the checkpoint that was just begun lies on the disk; tries once more where it does not.
    fn settle_or_fail(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        if self.writer.settle(observer) { Ok(()) } else { self.save_or_fail(observer) }
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
    if config.extent == Extent::FastDevRun { 1 } else { config.epochs }
}

fn state_of<N: Network, S>(
    cycle: &Loop<'_, N, S>,
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

/// What a checkpoint holds; that of a finished fold no means of gradients.
fn tensors_of<N: Network>(network: &N, optimizer: &Optimizer, finished: bool) -> Vec<(String, Tensor)> {
    let state = optimizer.state().into_iter().filter(|(name, _)| !finished || !MOMENTS.contains(name));
    let state = state.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()));
    let buffers = network.buffers().into_iter().map(|(name, tensor)| (format!("buffer.{name}"), tensor));
    state.chain(buffers).collect()
}

fn load_buffers<N: Network>(network: &N, checkpoint: &Checkpoint) -> Result<(), TrainError> {
    for (name, mut buffer) in network.buffers() {
        let saved = checkpoint
            .tensor(&format!("buffer.{name}"))
            .filter(|saved| saved.size() == buffer.size() && saved.kind() == buffer.kind())
            .ok_or_else(|| TrainError::OtherNetwork(format!("buffer {name} is missing or of another shape")))?;
        tch::no_grad(|| buffer.f_copy_(&saved))?;
    }
    Ok(())
}

/// Puts a checkpoint's weights into a network: the moving average where there is one.
///
/// # Errors
/// [`TrainError::OtherNetwork`] when the network has other parameters or buffers.
pub fn load_weights<N: Network>(network: &N, checkpoint: &Checkpoint) -> Result<(), TrainError> {
    let flat = checkpoint
        .tensor("average")
        .or_else(|| checkpoint.tensor("weights"))
        .ok_or_else(|| TrainError::OtherNetwork("it holds no weights".to_owned()))?;
    let parameters = network.parameters();
    let places = &checkpoint.state.places;
    if let Some(place) = places.iter().find(|place| parameters.iter().all(|own| own.name != place.name)) {
        return Err(TrainError::OtherNetwork(format!("the network has no parameter {}", place.name)));
    }
    for mut parameter in parameters {
        let name = &parameter.name;
        let place = places.iter().find(|place| place.name == *name && place.shape == parameter.tensor.size());
        let place = place.ok_or_else(|| {
            TrainError::OtherNetwork(format!("{name} {:?} is missing or of another shape", parameter.tensor.size()))
        })?;
        let saved = flat.f_as_strided(&place.shape, &place.stride, place.offset)?;
        tch::no_grad(|| parameter.tensor.f_copy_(&saved))?;
    }
    load_buffers(network, checkpoint)
}

/// Writes the split, or checks that the one that is there is the same.
fn same_split(path: &Path, split: &Split) -> Result<(), TrainError> {
    let file_error = |source| TrainError::File { path: path.to_owned(), source };
    let refused = |reason: String| TrainError::Checkpoint { path: path.to_owned(), reason };
    if path.exists() {
        let text = fs::read_to_string(path).map_err(file_error)?;
        let found: Split = serde_json::from_str(&text).map_err(|error| refused(error.to_string()))?;
        if found == *split {
            return Ok(());
        }
        let study = split.training.iter().chain(&split.validation).find(|study| {
            found.training.contains(study) != split.training.contains(study)
                || found.validation.contains(study) != split.validation.contains(study)
        });
        let study = study.map_or_else(|| "the order or number of studies".to_owned(), |study| format!("study {study}"));
        return Err(refused(format!("the folder holds a fold with another split; {study} differs")));
    }
    let text = serde_json::to_string(split).map_err(|error| refused(error.to_string()))?;
    atomic::write(path, text.as_bytes()).map_err(file_error)
}
