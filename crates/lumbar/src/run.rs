//! A run: one folder from config and data to predictions.
//!
//! [`Run::create`] makes the folder, or opens an existing one if config and data are the same. [`Run::fit`] trains its
//! folds and continues where an earlier call stopped. [`Run::predict`] predicts studies of any data set with the mean of
//! its folds. [`Run::open`] needs the folder alone.
//!
//! | in the folder | |
//! |---|---|
//! | `run.toml` | the whole [`RunConfig`]; `config.toml` repeats its training part |
//! | `data.json` | what the run was trained on: counts and a fingerprint |
//! | `folds.json` | which fold each study is in |
//! | `labels.csv` | the studies' labels, so that the run can be scored without its data |
//! | `prior.csv` | what is predicted for targets that no image shows |
//! | `init.json` | the hash of the pretrained weights from which it starts, if there are any |
//! | `cache/` | studies decoded for training; may be deleted |
//! | `warnings.jsonl` | what was missing or unreadable in the studies' files |
//! | `fold-0/` … | history, events, checkpoints and out-of-fold table of each fold |
//! | `out_of_fold.csv`, `temperature.toml` | when all folds are trained |
//! | `domain.json` | the ranges of what was measured of the training studies, when all folds are trained |
//!
//! A run with a [`LocateStage`] has more:
//!
//! | in the folder | |
//! |---|---|
//! | `locate/` | the localiser's own run, trained first, on the same folds |
//! | `locate/annotated.csv` | the annotated points in patient mm |
//! | `locate/recess.json` | where recesses are beside canal and foramina, for each fold and for new studies |
//! | `locate/fold-0/points.csv` … | what the fold's localiser found in the fold's studies, not calibrated |
//! | `points.csv`, `reliability.json` | out-of-fold points with calibrated reliabilities, when all localisers are trained |

mod config;
mod data;
mod domain;
mod error;
mod fit;
mod init;
mod locate;
mod log;
mod predict;
mod synthetic;

use std::fs;
use std::path::{Path, PathBuf};

use tch::Device;

pub use config::{FoldConfig, LocateStage, RunConfig};
pub use data::DataRecord;
pub use error::RunError;
pub use fit::Fitted;
pub use log::EventLog;
pub use synthetic::SyntheticRun;

use crate::data::folds::Folds;
use crate::data::manifest::{Manifest, StudyRecord};
use crate::data::{DataSplit, StudyId, atomic};
use crate::metric::{ConstantBaseline, LabelTable, PredictionTable, read_labels, read_predictions, write_labels};
use crate::model::HubCache;
use crate::predict::Temperature;
use crate::tasks::grading::labels_of;
use crate::tasks::{GradingVisitor, Task};
use crate::train::fold::FoldSplit;
use crate::train::history::History;
use crate::train::{CrossValidation, TrainError};

/// A run in its folder.
#[derive(Debug, Clone)]
pub struct Run {
    folder: PathBuf,
    config: RunConfig,
    data: DataRecord,
    folds: Folds,
    labels: LabelTable,
    prior: ConstantBaseline,
    folds_of_run: CrossValidation,
    /// Empty when the run was opened from its folder alone.
    records: Vec<StudyRecord>,
    /// The cache with pretrained weights of the hub.
    hub: Option<HubCache>,
    /// The run of the localiser, if there is one.
    localiser: Option<Box<Run>>,
}

impl Run {
    /// Makes a run over the labelled training studies of a data set, or opens the run in the folder.
    ///
    /// # Errors
    /// When the config is out of range, there are too few labelled studies, the folder contains a run with another
    /// config ([`TrainError::OtherConfig`], field by field) or on other data ([`RunError::OtherData`]), or
    /// cannot be written.
    pub fn create(folder: &Path, config: &RunConfig, manifest: &Manifest) -> Result<Self, RunError> {
        config.check()?;
        let records: Vec<StudyRecord> =
            manifest.of(DataSplit::Train).filter(|study| study.labels.is_some()).cloned().collect();
        if records.is_empty() {
            return Err(RunError::NothingLabelled { folder: manifest.folder().to_owned() });
        }
        let data = DataRecord::of(manifest.folder(), &records)?;
        let localiser = |config: &RunConfig| {
            let config = config.of_localiser()?;
            Some(Self::create(&folder.join("locate"), &config, manifest).map(Box::new))
        };
        if !folder.join("run.toml").exists() {
            localiser(config).transpose()?;
            let labels = labels_of(&records)?;
            let labelled: Vec<_> = records.iter().filter_map(|study| Some((study.id, study.labels?))).collect();
            let folds = Folds::new(&labelled, config.folds.count, config.folds.seed)?;
            fs::create_dir_all(folder).map_err(|source| RunError::file(folder, source))?;
            data.write(&folder.join("data.json"))?;
            folds.save(folder.join("folds.json"))?;
            write_labels(&folder.join("labels.csv"), &labels)?;
            data::write_prior(&folder.join("prior.csv"), &ConstantBaseline::best(&labels))?;
            // last: with it the folder is a run
            let path = folder.join("run.toml");
            atomic::write(&path, config.to_toml()?.as_bytes()).map_err(|source| RunError::file(&path, source))?;
        }
        let run = Self::open(folder)?;
        let differences = config.differences(&run.config);
        if !differences.is_empty() {
            return Err(TrainError::OtherConfig { folder: folder.to_owned(), differences }.into());
        }
        let differences = data.differences(&run.data);
        if !differences.is_empty() {
            return Err(RunError::OtherData { folder: folder.to_owned(), differences });
        }
        let localiser = localiser(config).transpose()?;
        Ok(Self { records, localiser, ..run })
    }

    /// Opens a run from its folder alone: to predict, to score, to report.
    ///
    /// # Errors
    /// When the folder contains no run, or one of its files is missing or damaged.
    pub fn open(folder: &Path) -> Result<Self, RunError> {
        let path = folder.join("run.toml");
        if !path.exists() {
            return Err(RunError::NoRun { folder: folder.to_owned() });
        }
        let config = RunConfig::read(&path)?;
        let folds = Folds::load(folder.join("folds.json"))?;
        let mut studies = Vec::new();
        for fold in 0..config.folds.count {
            studies.push(folds.split(fold)?.1.to_vec());
        }
        let folds_of_run = CrossValidation::open(folder, &config.train, studies)?;
        let localiser = config.locate.as_ref().map(|_| Self::open(&folder.join("locate")).map(Box::new)).transpose()?;
        Ok(Self {
            data: DataRecord::read(&folder.join("data.json"))?,
            labels: read_labels(&folder.join("labels.csv"))?,
            prior: data::read_prior(&folder.join("prior.csv"))?,
            folder: folder.to_owned(),
            config,
            folds,
            folds_of_run,
            records: Vec::new(),
            hub: None,
            localiser,
        })
    }

    /// Sets the cache in which pretrained weights of the hub are looked up. Without one, only files can be named.
    #[must_use]
    pub fn with_hub(self, hub: Option<HubCache>) -> Self {
        Self { hub, ..self }
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its config.
    #[must_use]
    pub const fn config(&self) -> &RunConfig {
        &self.config
    }

    /// What it was trained on.
    #[must_use]
    pub const fn data(&self) -> &DataRecord {
        &self.data
    }

    /// The run of its localiser; `None` if it grades at annotated points.
    #[must_use]
    pub fn localiser(&self) -> Option<&Self> {
        self.localiser.as_deref()
    }

    /// Which fold each study is in.
    #[must_use]
    pub const fn folds(&self) -> &Folds {
        &self.folds
    }

    /// The labels of its studies.
    #[must_use]
    pub const fn labels(&self) -> &LabelTable {
        &self.labels
    }

    /// What is predicted for targets that no image shows: the best constant of its labels.
    #[must_use]
    pub const fn prior(&self) -> &ConstantBaseline {
        &self.prior
    }

    /// How many folds there are.
    #[must_use]
    pub fn fold_count(&self) -> usize {
        self.folds_of_run.fold_count()
    }

    /// The folder of a fold's files.
    #[must_use]
    pub fn fold_folder(&self, fold: usize) -> PathBuf {
        self.folds_of_run.fold_folder(fold)
    }

    /// The studies of a fold.
    ///
    /// # Errors
    /// When there is no such fold.
    pub fn split(&self, fold: usize) -> Result<FoldSplit, RunError> {
        self.folds_of_run.split(fold).ok_or(RunError::NoSuchFold { fold, count: self.fold_count() })
    }

    /// The fold in which a study is predicted; `None` for a study of another data set.
    #[must_use]
    pub fn fold_of(&self, study: StudyId) -> Option<usize> {
        self.folds.of(study)
    }

    /// The folds whose training has not ended.
    #[must_use]
    pub fn missing_folds(&self) -> Vec<usize> {
        (0..self.fold_count()).filter(|&fold| !self.fold_folder(fold).join("out_of_fold.csv").exists()).collect()
    }

    /// The results of each epoch of a fold; empty before its first epoch ends.
    ///
    /// # Errors
    /// When there is no such fold or its history cannot be read.
    pub fn history(&self, fold: usize) -> Result<History, RunError> {
        self.split(fold)?;
        let path = self.fold_folder(fold).join("history.jsonl");
        if path.exists() { Ok(History::read(&path)?) } else { Ok(History::default()) }
    }

    /// The out-of-fold predictions of all its studies, not scaled and without mirror images. In a run with a localiser
    /// they are grades at found points, mixed with the prior by the points' reliabilities.
    ///
    /// # Errors
    /// [`TrainError::MissingFolds`] names the folds that are not trained to their end.
    pub fn out_of_fold(&self) -> Result<PredictionTable, RunError> {
        self.mixed(self.graded_out_of_fold()?)
    }

    /// The out-of-fold grades, not mixed.
    fn graded_out_of_fold(&self) -> Result<PredictionTable, RunError> {
        let path = self.folder.join("out_of_fold.csv");
        if path.exists() { Ok(read_predictions(&path)?) } else { Ok(self.folds_of_run.merge()?) }
    }

    /// The out-of-fold predictions, each fold at the temperatures that fit the other folds best: an unbiased estimate
    /// of what scaling gains.
    ///
    /// # Errors
    /// Those of [`Run::out_of_fold`].
    pub fn out_of_fold_scaled(&self) -> Result<PredictionTable, RunError> {
        let graded = self.graded_out_of_fold()?;
        self.mixed(Temperature::out_of_fold(&self.labels, &graded, |study| self.fold_of(study))?)
    }

    /// The temperatures that fit the out-of-fold predictions best, 1 for a group in which temperatures of the other folds
    /// gain nothing. [`Run::predict`] scales by them.
    ///
    /// # Errors
    /// Those of [`Run::out_of_fold`], and when the file cannot be read.
    pub fn temperature(&self) -> Result<Temperature, RunError> {
        let path = self.folder.join("temperature.toml");
        if !path.exists() {
            let graded = self.graded_out_of_fold()?;
            return Ok(Temperature::fit_where_it_gains(&self.labels, &graded, |study| self.fold_of(study))?);
        }
        let text = fs::read_to_string(&path).map_err(|source| RunError::file(&path, source))?;
        toml::from_str(&text).map_err(|error| RunError::format(&path, error.to_string().trim_end()))
    }

    /// The trained network of a fold.
    ///
    /// ```no_run
    /// use lumbar::run::Run;
    /// use lumbar::tasks::crops::CropsTask;
    ///
    /// let run = Run::open("runs/crops".as_ref())?;
    /// let grader = run.network::<CropsTask>(0, tch::Device::Cpu)?;
    /// # let _ = grader.canal;
    /// # Ok::<(), lumbar::run::RunError>(())
    /// ```
    ///
    /// # Errors
    /// When the run is of another task, there is no such fold, or it has no checkpoint.
    pub fn network<T: Task>(&self, fold: usize, device: Device) -> Result<T::Network, RunError> {
        let task: &T = self.config.task.get().ok_or_else(|| self.other_task(std::any::type_name::<T>()))?;
        self.trained(fold, task.network(None, None, device)?)
    }

    /// Runs a visitor with the run's task.
    ///
    /// # Errors
    /// When the task does not grade studies.
    pub(crate) fn visit_grading<V: GradingVisitor>(&self, visitor: V) -> Result<V::Output, RunError> {
        self.config.task.visit_grading(visitor).map_err(|_| self.other_task("a task that grades studies"))
    }

    const fn other_task(&self, expected: &'static str) -> RunError {
        RunError::OtherTask { found: self.config.task.name(), expected }
    }
}
