//! A run: one folder from config and data to predictions.
//!
//! [`Run::create`] makes the folder, or opens the one that is there when config and data are the same;
//! [`Run::fit`] trains its folds, going on where an earlier call ended; [`Run::predict`] predicts studies of any
//! data set with the mean of its folds. [`Run::open`] needs the folder alone.
//!
//! | in the folder | |
//! |---|---|
//! | `run.toml` | the whole [`RunConfig`]; `config.toml` repeats its training part |
//! | `data.json` | what the run was trained on: counts and a fingerprint |
//! | `folds.json` | which fold each study is in |
//! | `labels.csv` | the studies' labels, so that the run can be judged without its data |
//! | `prior.csv` | what is predicted for what is not shown |
//! | `cache/` | studies decoded for training; may be deleted |
//! | `fold-0/` … | history, events, checkpoints and out-of-fold table of each fold |
//! | `out_of_fold.csv`, `temperature.toml` | when all folds are trained |

mod config;
mod data;
mod error;
mod fit;
mod forecast;
mod log;
mod presets;
mod task;

use std::fs;
use std::path::{Path, PathBuf};

use tch::Device;

pub use config::{CropsTask, FoldConfig, ForecastConfig, Preset, RunConfig, TaskConfig, WholeStudyTask};
pub use data::{DataRecord, read_labels};
pub use error::RunError;
pub use fit::Fitted;
pub use forecast::{Forecast, OddStudy};
pub use log::EventLog;

use crate::data::DataSplit;
use crate::data::folds::Folds;
use crate::data::manifest::{Manifest, StudyRecord};
use crate::metric::{Graded, LabelTable, PredictionTable, Reference};
use crate::model::{LevelModel, SpineModel};
use crate::predict::{Temperature, read_predictions};
use crate::train::fold::Split as FoldSplit;
use crate::train::grader::{CropGrader, WholeStudy};
use crate::train::history::History;
use crate::train::{CrossValidation, TrainError, atomic};
use task::Task as _;

/// Pseudo-labels of the prior that stands in for what is not shown.
const PRIOR_PSEUDO_COUNT: f64 = 1.0;

/// A run in its folder.
#[derive(Debug, Clone)]
pub struct Run {
    folder: PathBuf,
    config: RunConfig,
    data: DataRecord,
    folds: Folds,
    labels: LabelTable,
    prior: Reference,
    crossed: CrossValidation,
    /// Empty when the run was opened from its folder alone.
    records: Vec<StudyRecord>,
}

impl Run {
    /// Makes a run over the labelled training studies of a data set, or opens the one that is in the folder.
    ///
    /// # Errors
    /// When the config is out of range, there are too few labelled studies, the folder holds a run with another
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
        if !folder.join("run.toml").exists() {
            let labels = data::labels_of(&records)?;
            let labelled: Vec<_> = records.iter().filter_map(|study| Some((study.id, study.labels?))).collect();
            let folds = Folds::new(&labelled, config.folds.count, config.folds.seed)?;
            fs::create_dir_all(folder).map_err(|source| RunError::file(folder, source))?;
            data.write(&folder.join("data.json"))?;
            folds.save(folder.join("folds.json"))?;
            data::write_labels(&folder.join("labels.csv"), &labels)?;
            data::write_prior(&folder.join("prior.csv"), &Reference::best_constant(&labels, PRIOR_PSEUDO_COUNT))?;
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
        Ok(Self { records, ..run })
    }

    /// Opens a run from its folder alone: to predict, to judge, to report.
    ///
    /// # Errors
    /// When the folder holds no run, or a file of it is missing or not what was written.
    pub fn open(folder: &Path) -> Result<Self, RunError> {
        let path = folder.join("run.toml");
        if !path.exists() {
            return Err(RunError::NoRun { folder: folder.to_owned() });
        }
        let config = RunConfig::read(&path)?;
        let folds = Folds::load(folder.join("folds.json"))?;
        let mut studies = Vec::new();
        for fold in 0..config.folds.count {
            studies.push(folds.split(fold)?.1.iter().map(ToString::to_string).collect());
        }
        let crossed = CrossValidation::open(folder, &config.train, studies)?;
        Ok(Self {
            data: DataRecord::read(&folder.join("data.json"))?,
            labels: read_labels(&folder.join("labels.csv"))?,
            prior: data::read_prior(&folder.join("prior.csv"))?,
            folder: folder.to_owned(),
            config,
            folds,
            crossed,
            records: Vec::new(),
        })
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

    /// What is predicted for what is not shown: the best constant of its labels.
    #[must_use]
    pub const fn prior(&self) -> &Reference {
        &self.prior
    }

    /// How many folds there are.
    #[must_use]
    pub fn fold_count(&self) -> usize {
        self.crossed.fold_count()
    }

    /// Where a fold keeps its files.
    #[must_use]
    pub fn fold_folder(&self, fold: usize) -> PathBuf {
        self.crossed.fold_folder(fold)
    }

    /// The studies of a fold.
    ///
    /// # Errors
    /// When there is no such fold.
    pub fn split(&self, fold: usize) -> Result<FoldSplit, RunError> {
        self.crossed.split(fold).ok_or(RunError::NoSuchFold { fold, count: self.fold_count() })
    }

    /// The fold in which a study is predicted, by its name.
    #[must_use]
    pub fn fold_of(&self, study: &str) -> Option<usize> {
        self.folds.of(study.parse().ok()?)
    }

    /// The folds that are not trained to their end.
    #[must_use]
    pub fn missing_folds(&self) -> Vec<usize> {
        (0..self.fold_count()).filter(|&fold| !self.fold_folder(fold).join("out_of_fold.csv").exists()).collect()
    }

    /// What each epoch of a fold came to; empty before its first epoch.
    ///
    /// # Errors
    /// When there is no such fold or its history cannot be read.
    pub fn history(&self, fold: usize) -> Result<History, RunError> {
        self.split(fold)?;
        let path = self.fold_folder(fold).join("history.jsonl");
        if path.exists() { Ok(History::read(&path)?) } else { Ok(History::default()) }
    }

    /// The out-of-fold predictions of all its studies, as they were trained: not scaled, without flips.
    ///
    /// # Errors
    /// [`TrainError::MissingFolds`] names the folds that are not trained to their end.
    pub fn out_of_fold(&self) -> Result<PredictionTable, RunError> {
        let path = self.folder.join("out_of_fold.csv");
        if path.exists() { Ok(read_predictions(&path)?) } else { Ok(self.crossed.merge()?) }
    }

    /// The out-of-fold predictions, each fold at the temperatures that fit the other folds best: what scaling
    /// brings, honestly.
    ///
    /// # Errors
    /// Those of [`Run::out_of_fold`].
    pub fn out_of_fold_scaled(&self) -> Result<PredictionTable, RunError> {
        Ok(Temperature::out_of_fold(&self.labels, &self.out_of_fold()?, |study| self.fold_of(study))?)
    }

    /// The temperatures that fit the out-of-fold predictions best: they scale what [`Run::predict`] gives.
    ///
    /// # Errors
    /// Those of [`Run::out_of_fold`], and when the file cannot be read.
    pub fn temperature(&self) -> Result<Temperature, RunError> {
        let path = self.folder.join("temperature.toml");
        if !path.exists() {
            return Ok(Temperature::fit(&Graded::join(&self.labels, &self.out_of_fold()?)?));
        }
        let text = fs::read_to_string(&path).map_err(|source| RunError::file(&path, source))?;
        toml::from_str(&text).map_err(|error| RunError::format(&path, error.to_string().trim_end()))
    }

    /// The trained network of a fold of a whole-study run.
    ///
    /// # Errors
    /// When the run is of another task, there is no such fold, or it has no checkpoint.
    pub fn whole_study_network(&self, fold: usize, device: Device) -> Result<WholeStudy<SpineModel>, RunError> {
        let TaskConfig::WholeStudy(task) = &self.config.task else { return Err(self.other_task("whole_study")) };
        self.trained(fold, task.network(None, device)?)
    }

    /// The trained networks of a fold of a crop run.
    ///
    /// # Errors
    /// When the run is of another task, there is no such fold, or it has no checkpoint.
    pub fn crop_network(&self, fold: usize, device: Device) -> Result<CropGrader<LevelModel>, RunError> {
        let TaskConfig::Crops(task) = &self.config.task else { return Err(self.other_task("crops")) };
        self.trained(fold, task.network(None, device)?)
    }

    const fn other_task(&self, expected: &'static str) -> RunError {
        RunError::OtherTask { found: self.config.task.name(), expected }
    }
}
