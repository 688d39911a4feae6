//! Training the folds of a run.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};

use tch::Device;

use super::task::Task;
use super::{EventLog, Run, RunError, TaskConfig};
use crate::data::manifest::StudyRecord;
use crate::metric::Graded;
use crate::predict::Temperature;
use crate::train::atomic;
use crate::train::checkpoint::Store;
use crate::train::config::Extent;
use crate::train::fold::{FoldOutcome, load_weights};
use crate::train::network::Network;
use crate::train::observer::{Event, Observer, StopToken};

/// How [`Run::fit`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fitted {
    /// Asked to stop; what was reached is saved and the same call goes on.
    Stopped,
    /// The folds that were asked for are trained; others are not yet.
    Partly,
    /// All folds are trained and merged, the temperatures are fitted.
    Complete,
    /// The config's extent is less than full: nothing was kept.
    Tried,
}

impl Run {
    /// Trains one fold, or all that are not trained yet, in sequence; goes on where an earlier call ended.
    ///
    /// The observer is told everything, and each fold's folder gets it as `events.jsonl`.
    ///
    /// # Errors
    /// When there is no such fold, the run was opened without its data, or training fails.
    pub fn fit(
        &self,
        fold: Option<usize>,
        device: Device,
        stop: &StopToken,
        observer: &mut dyn Observer,
    ) -> Result<Fitted, RunError> {
        let folds = match fold {
            Some(fold) => {
                self.split(fold)?;
                vec![fold]
            }
            None => (0..self.fold_count()).collect(),
        };
        if self.records.is_empty() {
            return Err(RunError::NoData { folder: self.folder.clone() });
        }
        let missing = self.missing_folds();
        let wanted: Vec<usize> = folds.into_iter().filter(|fold| missing.contains(fold)).collect();
        if !wanted.is_empty() {
            let outcome = match &self.config.task {
                TaskConfig::WholeStudy(task) => self.fit_folds(task, &wanted, device, stop, observer)?,
                TaskConfig::Crops(task) => self.fit_folds(task, &wanted, device, stop, observer)?,
            };
            if outcome == Fitted::Stopped {
                return Ok(outcome);
            }
        }
        if self.config.train.extent != Extent::Full {
            return Ok(Fitted::Tried);
        }
        if !self.missing_folds().is_empty() {
            return Ok(Fitted::Partly);
        }
        let temperature = Temperature::fit(&Graded::join(&self.labels, &self.crossed.merge()?)?);
        let path = self.folder.join("temperature.toml");
        let text = toml::to_string(&temperature).map_err(|error| RunError::format(&path, error))?;
        atomic::write(&path, text.as_bytes()).map_err(|source| RunError::file(&path, source))?;
        Ok(Fitted::Complete)
    }

    fn fit_folds<T: Task>(
        &self,
        task: &T,
        folds: &[usize],
        device: Device,
        stop: &StopToken,
        observer: &mut dyn Observer,
    ) -> Result<Fitted, RunError> {
        let Some(source) = self.training_source(task, device, stop, observer)? else { return Ok(Fitted::Stopped) };
        for &fold in folds {
            let folder = self.fold_folder(fold);
            fs::create_dir_all(&folder).map_err(|error| RunError::file(&folder, error))?;
            let mut log = EventLog::append(&folder.join("events.jsonl"));
            let mut both = |event: &Event| {
                log.event(event);
                observer.event(event);
            };
            let seed = self.config.train.seed.wrapping_mul(1_000).wrapping_add(fold as u64);
            let network = task.network(Some(seed), device)?;
            let outcome = self.crossed.fit_fold(fold, &network, &source, device, stop, &mut both)?;
            if outcome == FoldOutcome::Stopped || (stop.is_stopped() && fold != folds[folds.len() - 1]) {
                return Ok(Fitted::Stopped);
            }
        }
        Ok(Fitted::Partly)
    }

    /// Opens the run's studies, telling how far it is; none when asked to stop.
    fn training_source<T: Task>(
        &self,
        task: &T,
        device: Device,
        stop: &StopToken,
        observer: &mut dyn Observer,
    ) -> Result<Option<T::Source>, RunError> {
        let cache: PathBuf = self.folder.join("cache").join(self.config.task.name());
        let records: Vec<&StudyRecord> = self.records.iter().collect();
        let source = std::thread::scope(|scope| {
            let (sender, progress) = channel();
            let (records, cache) = (&records, &cache);
            let opening = scope.spawn(move || {
                let forward = Forward { sender, stop: stop.clone() };
                task.open(records, Some(cache), device, &forward)
            });
            for (done, total) in progress {
                observer.event(&Event::Preparing { done, total });
            }
            opening.join().map_err(|_| RunError::ThreadGone)?
        });
        if stop.is_stopped() {
            return Ok(None);
        }
        let source = source?;
        for study in self.labels.studies() {
            for what in T::oddities(&source, study) {
                observer.event(&Event::StudyOdd { study: study.clone(), what });
            }
        }
        Ok(Some(source))
    }

    /// Puts the trained weights of a fold into a network.
    pub(super) fn trained<N: Network>(&self, fold: usize, network: N) -> Result<N, RunError> {
        self.split(fold)?;
        let missing = || crate::train::TrainError::MissingFolds { missing: vec![fold], total: self.fold_count() };
        let folder = self.fold_folder(fold).join("checkpoints");
        if !folder.exists() {
            return Err(missing().into());
        }
        let newest = Store::open(&folder)?.newest()?.ok_or_else(missing)?;
        load_weights(&network, &newest.checkpoint)?;
        Ok(network)
    }
}

/// Progress of the decoding threads, to the thread that tells the observer.
struct Forward {
    sender: Sender<(usize, usize)>,
    stop: StopToken,
}

impl lumbar_dicom::ReadProgress for Forward {
    fn progress(&self, done: usize, total: usize) {
        // nobody listens any more: the run failed already
        let _ = self.sender.send((done, total));
    }

    fn is_cancelled(&self) -> bool {
        self.stop.is_stopped()
    }
}
