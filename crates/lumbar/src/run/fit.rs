//! Training the folds of a run.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use tch::Device;

use super::{EventLog, Run, RunError};
use crate::data::StudyId;
use crate::data::atomic;
use crate::data::found_points::FoundPoints;
use crate::data::loader::panic_message;
use crate::data::manifest::StudyRecord;
use crate::metric::PredictionTable;
use crate::predict::Temperature;
use crate::tasks::{Task, TaskError, TaskVisitor};
use crate::train::Objective;
use crate::train::checkpoint::CheckpointFolder;
use crate::train::config::Scope;
use crate::train::fold::{FoldOutcome, load_weights};
use crate::train::network::Network;
use crate::train::observer::{Event, Observer, StopToken};

/// How [`Run::fit`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fitted {
    /// Stopped on request. Everything is saved, and the same call continues.
    Stopped,
    /// The folds that were asked for are trained; others are not yet.
    Partly,
    /// All folds are trained and merged; if the task grades, the temperatures are fitted.
    Complete,
    /// The config's scope is less than full: nothing was saved.
    Tried,
}

impl Run {
    /// Trains one fold, or all that are not trained yet, in sequence. Continues where an earlier call stopped.
    ///
    /// The observer receives every event, and each fold's folder gets them as `events.jsonl`.
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
        // a missing or unfitting weight file is an error before anything is decoded or trained
        self.config.task.visit(CheckInit(self))?;
        if let Some(localiser) = &self.localiser {
            observer.event(&Event::StageStarted { stage: "localiser" });
            match localiser.fit(fold, device, stop, observer)? {
                Fitted::Complete => self.write_points()?,
                Fitted::Partly => {}
                outcome @ (Fitted::Stopped | Fitted::Tried) => return Ok(outcome),
            }
            observer.event(&Event::StageStarted { stage: "grader" });
        }
        let missing = self.missing_folds();
        let wanted: Vec<usize> = folds.into_iter().filter(|fold| missing.contains(fold)).collect();
        if !wanted.is_empty() {
            let fit = FitFolds { run: self, folds: &wanted, device, stop, observer };
            let outcome = self.config.task.visit(fit)?;
            if outcome == Fitted::Stopped {
                return Ok(outcome);
            }
        }
        if self.config.train.scope != Scope::Full {
            return Ok(Fitted::Tried);
        }
        if !self.missing_folds().is_empty() {
            return Ok(Fitted::Partly);
        }
        if !self.config.task.grades() {
            self.config.task.visit(Merge(self))?;
            return Ok(Fitted::Complete);
        }
        let graded = self.folds_of_run.merge::<PredictionTable>()?;
        self.write_domain(stop)?;
        if stop.is_stopped() {
            return Ok(Fitted::Stopped);
        }
        let temperature = Temperature::fit_where_it_gains(&self.labels, &graded, |study| self.fold_of(study))?;
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
        let pretrained = self.pretrained(task)?;
        let Some(dataset) = self.decoded(task, None, stop, observer)? else { return Ok(Fitted::Stopped) };
        let dataset = Arc::new(dataset);
        for &fold in folds {
            let mut validation = Arc::clone(&dataset);
            if self.localiser.is_some() {
                let found = self.fold_points(fold)?;
                match self.decoded(task, Some(&found), stop, observer)? {
                    Some(at_found_points) => validation = Arc::new(at_found_points),
                    None => return Ok(Fitted::Stopped),
                }
            }
            let folder = self.fold_folder(fold);
            fs::create_dir_all(&folder).map_err(|error| RunError::file(&folder, error))?;
            let mut log = EventLog::append(&folder.join("events.jsonl"));
            let mut both = |event: &Event| {
                log.event(event);
                observer.event(event);
            };
            let seed = self.config.train.seed.wrapping_mul(1_000).wrapping_add(fold as u64);
            let network = task.network(Some(seed), pretrained.as_ref(), device)?;
            let split = self.split(fold)?;
            task.start(&network, &self.labels, &split.training)?;
            let objective = task.objective(&dataset, &self.labels, &split.training, device)?;
            let datasets = [&dataset, &validation];
            let outcome = self.folds_of_run.fit_fold(fold, &network, datasets, &objective, device, stop, &mut both)?;
            let stopped = matches!(outcome, FoldOutcome::Stopped);
            if stopped || (stop.is_stopped() && fold != folds[folds.len() - 1]) {
                return Ok(Fitted::Stopped);
            }
        }
        Ok(Fitted::Partly)
    }

    /// Decodes the run's studies, or those with found points at these points, and reports progress; `None` if stopped
    /// on request.
    fn decoded<T: Task>(
        &self,
        task: &T,
        found: Option<&FoundPoints>,
        stop: &StopToken,
        observer: &mut dyn Observer,
    ) -> Result<Option<T::Dataset>, RunError> {
        let name = self.config.task.name();
        let name = if found.is_some() { format!("{name}-found") } else { name.to_owned() };
        let cache: PathBuf = self.folder.join("cache").join(name);
        let is_wanted = |record: &&StudyRecord| found.is_none_or(|found| found.get(record.id).is_some());
        let records: Vec<&StudyRecord> = self.records.iter().filter(is_wanted).collect();
        let dataset = std::thread::scope(|scope| {
            let (sender, progress) = channel();
            let (records, cache) = (&records, &cache);
            let opening = scope.spawn(move || {
                let forward = Forward { sender, stop: stop.clone() };
                match found {
                    Some(found) => task.open_at(records, found, Some(cache), &forward),
                    None => task.open(records, Some(cache), &forward),
                }
            });
            for (done, total) in progress {
                observer.event(&Event::Preparing { done, total });
            }
            opening.join().map_err(|panic| RunError::DecodePanic { message: panic_message(&*panic).to_owned() })
        })?;
        let dataset = match dataset {
            Err(TaskError::Stopped) => return Ok(None),
            _ if stop.is_stopped() => return Ok(None),
            dataset => dataset?,
        };
        // told once: what is found in a study's files is the same at other points
        if found.is_none() {
            let warnings = records.iter().map(|record| (record.id, T::warnings(&dataset, record.id)));
            let warnings: Vec<(StudyId, Vec<String>)> = warnings.filter(|(_, words)| !words.is_empty()).collect();
            self.write_warnings(&warnings)?;
            for (study, words) in warnings {
                words.into_iter().for_each(|warning| observer.event(&Event::StudyWarning { study, warning }));
            }
        }
        Ok(Some(dataset))
    }

    /// Writes what was missing or unreadable in the run's studies, a line of JSON for each such study.
    fn write_warnings(&self, warnings: &[(StudyId, Vec<String>)]) -> Result<(), RunError> {
        let path = self.folder.join("warnings.jsonl");
        let line = |(study, words): &(StudyId, Vec<String>)| {
            format!("{}\n", serde_json::json!({ "study": study.to_string(), "warnings": words }))
        };
        let text: String = warnings.iter().map(line).collect();
        atomic::write(&path, text.as_bytes()).map_err(|source| RunError::file(&path, source))
    }

    /// Loads the trained weights of a fold into a network.
    pub(super) fn trained<N: Network>(&self, fold: usize, network: N) -> Result<N, RunError> {
        self.split(fold)?;
        let missing = || crate::train::TrainError::MissingFolds { missing: vec![fold], total: self.fold_count() };
        let folder = self.fold_folder(fold).join("checkpoints");
        if !folder.exists() {
            return Err(missing().into());
        }
        let newest = CheckpointFolder::open(&folder)?.newest()?.ok_or_else(missing)?;
        load_weights(&network, &newest.checkpoint)?;
        Ok(network)
    }
}

/// Sends the progress of the decoding threads to the thread of the observer.
struct Forward {
    sender: Sender<(usize, usize)>,
    stop: StopToken,
}

impl lumbar_dicom::ReadProgress for Forward {
    fn progress(&self, done: usize, total: usize) {
        // the receiver was dropped if the run has failed
        let _ = self.sender.send((done, total));
    }

    fn is_cancelled(&self) -> bool {
        self.stop.is_stopped()
    }
}

/// [`Run::fit_folds`] for the task of a config.
struct FitFolds<'a> {
    run: &'a Run,
    folds: &'a [usize],
    device: Device,
    stop: &'a StopToken,
    observer: &'a mut dyn Observer,
}

impl TaskVisitor for FitFolds<'_> {
    type Output = Result<Fitted, RunError>;

    fn visit<T: Task>(self, task: &T) -> Self::Output {
        self.run.fit_folds(task, self.folds, self.device, self.stop, self.observer)
    }
}

/// Loads the pretrained weights that the config names, if any, into a network that is then dropped.
struct CheckInit<'a>(&'a Run);

impl TaskVisitor for CheckInit<'_> {
    type Output = Result<(), RunError>;

    fn visit<T: Task>(self, task: &T) -> Self::Output {
        if let Some(pretrained) = self.0.pretrained(task)? {
            task.network(None, Some(&pretrained), Device::Cpu)?;
        }
        Ok(())
    }
}

/// Merges the folds' tables, whatever they hold.
struct Merge<'a>(&'a Run);

impl TaskVisitor for Merge<'_> {
    type Output = Result<(), RunError>;

    fn visit<T: Task>(self, _: &T) -> Self::Output {
        self.0.folds_of_run.merge::<<T::Objective as Objective>::Table>()?;
        Ok(())
    }
}
