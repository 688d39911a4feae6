//! Training a localiser on studies that are drawn in memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::Device;

use super::init::pretrained;
use super::{EventLog, Fitted, RunConfig, RunError};
use crate::anatomy::Target;
use crate::data::StudyId;
use crate::data::atomic;
use crate::data::found_points::{FoundPoint, FoundPoints, PointOrigin};
use crate::data::recess::RecessModel;
use crate::predict::{LocaliserFile, PointReliability, PointReport};
use crate::tasks::locate::{LocateSource, LocateTask, Locating, SyntheticStudies};
use crate::tasks::{Task as _, TaskError};
use crate::train::TrainError;
use crate::train::checkpoint::CheckpointFolder;
use crate::train::config::Scope;
use crate::train::fold::{FoldJob, FoldOutcome, FoldSplit, load_weights};
use crate::train::observer::{Event, Observer, StopToken};

/// A folder in which a localiser is trained on synthetic studies, without any data on the disk.
///
/// | in the folder | |
/// |---|---|
/// | `run.toml` | the whole [`RunConfig`] |
/// | `fold-0/` | history, events, checkpoints and the points found in the validation studies |
/// | `reliability.json` | errors of these points and how well their reliabilities are calibrated |
/// | `domain.json` | the ranges of what was measured of drawn studies: see [`DomainSummary`](crate::data::domain::DomainSummary) |
/// | `localiser.safetensors` | what was trained, in one file: see [`LocaliserFile`] |
///
/// Each epoch draws its own studies. An interrupted training continues to the same weights, bit for bit.
#[derive(Debug, Clone)]
pub struct SyntheticRun {
    folder: PathBuf,
    config: RunConfig,
    task: LocateTask,
    studies: SyntheticStudies,
}

impl SyntheticRun {
    /// Makes the folder, or opens an existing one if its config is the same.
    ///
    /// # Errors
    /// When the config is out of range or not one of synthetic studies, the folder contains a run with another config,
    /// or cannot be written.
    pub fn create(folder: &Path, config: &RunConfig) -> Result<Self, RunError> {
        config.check()?;
        let task = config.task.get::<LocateTask>().cloned();
        let (Some(task), Some(studies)) = (task, config.synthetic.clone()) else {
            return Err(RunError::OtherTask { found: config.task.name(), expected: "locate, with synthetic studies" });
        };
        let path = folder.join("run.toml");
        if path.exists() {
            let differences = config.differences(&RunConfig::read(&path)?);
            if !differences.is_empty() {
                return Err(TrainError::OtherConfig { folder: folder.to_owned(), differences }.into());
            }
        } else {
            fs::create_dir_all(folder).map_err(|source| RunError::file(folder, source))?;
            atomic::write(&path, config.to_toml()?.as_bytes()).map_err(|source| RunError::file(&path, source))?;
        }
        Ok(Self { folder: folder.to_owned(), config: config.clone(), task, studies })
    }

    /// Where [`SyntheticRun::fit`] writes what it trained.
    #[must_use]
    pub fn localiser_path(&self) -> PathBuf {
        self.folder.join("localiser.safetensors")
    }

    /// Trains, or continues where an earlier call stopped, and writes the localiser's file.
    ///
    /// # Errors
    /// When training fails or nothing can be saved.
    pub fn fit(&self, device: Device, stop: &StopToken, observer: &mut dyn Observer) -> Result<Fitted, RunError> {
        let train = &self.config.train;
        let source = Arc::new(LocateSource::synthetic(&self.studies, &self.task.source, train.seed)?);
        let objective = Locating::new(source.points().clone());
        let (training, validation) = self.studies.split();
        let split = FoldSplit { fold: 0, training, validation };
        let folder = self.folder.join("fold-0");
        fs::create_dir_all(&folder).map_err(|error| RunError::file(&folder, error))?;
        let mut log = EventLog::append(&folder.join("events.jsonl"));
        let mut both = |event: &Event| {
            log.event(event);
            observer.event(event);
        };
        let pretrained = pretrained(&self.folder, &self.task, None)?;
        let network = self.task.network(Some(train.seed), pretrained.as_ref(), device)?;
        let job = FoldJob {
            network: &network,
            dataset: &source,
            validation: &source,
            objective: &objective,
            split: &split,
            config: train,
            device,
            folder: &folder,
        };
        let found = match job.fit(stop, &mut both)? {
            FoldOutcome::Stopped => return Ok(Fitted::Stopped),
            FoldOutcome::Complete(_) if train.scope != Scope::Full => return Ok(Fitted::Tried),
            FoldOutcome::Complete(found) => found,
        };
        self.write_localiser(&found, &source, &folder)?;
        Ok(Fitted::Complete)
    }

    fn write_localiser(&self, found: &FoundPoints, source: &LocateSource, fold: &Path) -> Result<(), RunError> {
        let exact = exact(source)?;
        let reliability = PointReliability::fit(found, &exact);
        let recess = RecessModel::fit(exact.iter().map(|(_, points)| points));
        let missing = || TrainError::MissingFolds { missing: vec![0], total: 1 };
        let newest = CheckpointFolder::open(&fold.join("checkpoints"))?.newest()?.ok_or_else(missing)?;
        let network = self.task.network(None, None, Device::Cpu)?;
        load_weights(&network, &newest.checkpoint)?;
        let mut calibrated = FoundPoints::new();
        found.iter().try_for_each(|(study, points)| calibrated.insert(study, reliability.apply(points)))?;
        let path = self.folder.join("reliability.json");
        let text = serde_json::to_string_pretty(&PointReport::new(&calibrated, &exact))
            .map_err(|error| RunError::format(&path, error))?;
        atomic::write(&path, text.as_bytes()).map_err(|source| RunError::file(&path, source))?;
        let domain = self.studies.domain(&self.task.source, self.config.train.seed);
        let domain = domain.map_err(|error| RunError::Task(TaskError::Data(error)))?;
        let path = self.folder.join("domain.json");
        let text = serde_json::to_string_pretty(&domain).map_err(|error| RunError::format(&path, error))?;
        atomic::write(&path, text.as_bytes()).map_err(|source| RunError::file(&path, source))?;
        let file = LocaliserFile {
            task: self.task.clone(),
            networks: vec![network],
            recess,
            reliability,
            trained_by: self.config.to_toml()?,
        };
        Ok(file.write(&self.localiser_path())?)
    }
}

/// The exact points of the validation studies.
fn exact(source: &LocateSource) -> Result<FoundPoints, RunError> {
    let mut studies: Vec<(&StudyId, _)> = source.points().iter().collect();
    studies.sort_by_key(|(study, _)| **study);
    let mut table = FoundPoints::new();
    for (study, points) in studies {
        let point = |target: Target| {
            let position_mm = points[target.index()]?;
            Some(FoundPoint { position_mm, reliability: 1.0, origin: PointOrigin::Sagittal })
        };
        table.insert(*study, Target::ALL.map(point))?;
    }
    Ok(table)
}
