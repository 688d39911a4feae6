use std::path::Path;

use serde::{Deserialize, Serialize};

use super::RunError;
use crate::config::{ConfigError, check_range};
use crate::model::Init;
use crate::predict::PredictConfig;
use crate::tasks::locate::{LocateTask, SyntheticStudies};
use crate::tasks::{Preset, Task as _, TaskConfig};
use crate::train::config::differences;
use crate::train::{TrainConfig, TrainError};

/// Everything that a run needs beside its data; saved in its folder as `run.toml`.
///
/// | field | default | purpose |
/// |---|---|---|
/// | `task` | needed | what is trained on what: `[task.whole_study]` or `[task.crops]` |
/// | `folds` | 5, seed 0 | how studies are split: see [`FoldConfig`] |
/// | `train` | see there | how each fold is trained: see [`TrainConfig`] |
/// | `predict` | see there | how studies are predicted afterwards: see [`PredictConfig`] |
/// | `locate` | none | finds the points that the grader looks at: see [`LocateStage`] |
/// | `synthetic` | none | studies that are drawn in memory: see [`SyntheticStudies`] |
///
/// ```
/// use lumbar::run::RunConfig;
/// use lumbar::tasks::Preset;
///
/// let mut config = RunConfig::preset(Preset::Channels);
/// config.set("train.epochs", "3")?;
/// config.set("task.whole_study.spine.architecture", "resnet18d")?;
/// assert_eq!(config.train.epochs, 3);
/// assert_eq!(RunConfig::from_toml(&config.to_toml()?, "run.toml")?, config);
/// let error = config.set("train.epoch", "3").unwrap_err().to_string();
/// assert!(error.contains("unknown field `epoch`"), "{error}");
/// # Ok::<(), lumbar::run::RunError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// What is trained on what.
    pub task: TaskConfig,
    /// How studies are split.
    #[serde(default)]
    pub folds: FoldConfig,
    /// How each fold is trained.
    #[serde(default)]
    pub train: TrainConfig,
    /// How studies are predicted afterwards.
    #[serde(default)]
    pub predict: PredictConfig,
    /// Finds the points that the grader looks at. Without it, the grader looks at annotated points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locate: Option<LocateStage>,
    /// Trains a localiser on studies that are drawn in memory, see [`SyntheticRun`](super::SyntheticRun).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<SyntheticStudies>,
}

/// The localiser of a run: trained first, on the same folds.
///
/// | field | default | purpose |
/// |---|---|---|
/// | `task` | see there | the localiser: see [`LocateTask`] |
/// | `train` | those of its preset | how each of its folds is trained: see [`TrainConfig`] |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocateStage {
    /// The localiser.
    pub task: LocateTask,
    /// How each of its folds is trained.
    pub train: TrainConfig,
}

impl Default for LocateStage {
    fn default() -> Self {
        let (task, train) = LocateTask::preset();
        Self { task, train }
    }
}

impl LocateStage {
    /// The localiser of the preset `real`: images of 1 mm, and fewer epochs over more studies.
    #[must_use]
    pub fn real() -> Self {
        let mut stage = Self::default();
        // the shipped localiser sees 2 mm
        stage.task.init = Init::Scratch;
        let source = &mut stage.task.source;
        (source.pixel_mm, source.width_px, source.height_px) = (1.0, 224, 320);
        (stage.train.epochs, stage.train.batch_size, stage.train.ema_decay) = (8, 4, 0.998);
        stage.train.optimizer.lr = 1.5e-3;
        stage
    }
}

/// How studies are split into folds.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `count` | 5 | folds | 2–100 |
/// | `seed` | 0 | decides between equally good splits | 0–2⁶³−1 |
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FoldConfig {
    /// Folds.
    pub count: usize,
    /// Decides between equally good splits.
    pub seed: u64,
}

impl Default for FoldConfig {
    fn default() -> Self {
        Self { count: 5, seed: 0 }
    }
}

impl RunConfig {
    /// Reads and checks a config; fields that are not there have their defaults, except `task`. `origin` names
    /// the text's file in errors.
    ///
    /// # Errors
    /// A field that does not exist, a value of another type or outside its range.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self, RunError> {
        let refused = |error: toml::de::Error| TrainError::ConfigText {
            origin: origin.to_owned(),
            reason: error.to_string().trim_end().to_owned(),
        };
        let config: Self = toml::from_str(text).map_err(refused)?;
        config.check()?;
        Ok(config)
    }

    /// Reads and checks a config's file.
    ///
    /// # Errors
    /// When it cannot be read, and those of [`RunConfig::from_toml`].
    pub fn read(path: &Path) -> Result<Self, RunError> {
        let text = std::fs::read_to_string(path).map_err(|source| RunError::file(path, source))?;
        Self::from_toml(&text, &path.display().to_string())
    }

    /// The config as TOML with every field.
    ///
    /// # Errors
    /// When TOML cannot express a value (a seed above 2⁶³−1).
    pub fn to_toml(&self) -> Result<String, RunError> {
        let refused = |error: toml::ser::Error| TrainError::ConfigText {
            origin: "the config".to_owned(),
            reason: error.to_string(),
        };
        Ok(toml::to_string(self).map_err(refused)?)
    }

    /// Changes one field by its path: `train.optimizer.lr`, `3e-4`. A value that is not TOML is read as text.
    ///
    /// # Errors
    /// When there is no such field or the value does not fit; the config is then unchanged.
    pub fn set(&mut self, path: &str, value: &str) -> Result<(), RunError> {
        let origin = format!("{path} = {value}");
        let mut config: toml::Table =
            toml::from_str(&self.to_toml()?).map_err(|error| RunError::setting(&origin, &error))?;
        let parsed = toml::from_str::<toml::Table>(&format!("value = {value}")).ok();
        let parsed = parsed.and_then(|mut table| table.remove("value"));
        let parsed = parsed.unwrap_or_else(|| toml::Value::String(value.to_owned()));
        let mut names: Vec<&str> = path.split('.').collect();
        let last = names.pop().unwrap_or_default();
        let mut table = &mut config;
        for name in names {
            let inner = table.entry(name).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            let toml::Value::Table(inner) = inner else {
                let reason = format!("{name} is a value and has no fields");
                return Err(TrainError::ConfigText { origin, reason }.into());
            };
            table = inner;
        }
        table.insert(last.to_owned(), parsed);
        let changed: Self = config.try_into().map_err(|error| RunError::setting(&origin, &error))?;
        changed.check()?;
        *self = changed;
        Ok(())
    }

    /// # Errors
    /// The first field that is out of its range.
    pub fn check(&self) -> Result<(), RunError> {
        self.task.check()?;
        check_range("folds.count", self.folds.count, 2, 100)?;
        check_range("folds.seed", self.folds.seed, 0, i64::MAX as u64)?;
        self.predict.check()?;
        if let Some(stage) = &self.locate {
            if !matches!(self.task, TaskConfig::Crops(_)) {
                return Err(ConfigError::new(
                    "locate",
                    "a localiser",
                    format!("none: {} does not look at points", self.task.name()),
                )
                .into());
            }
            stage.task.check()?;
            stage.train.check()?;
        }
        if let Some(studies) = &self.synthetic {
            if !matches!(self.task, TaskConfig::Locate(_)) {
                let expected = format!("none: {} is not trained on drawn studies", self.task.name());
                return Err(ConfigError::new("synthetic", "drawn studies", expected).into());
            }
            studies.check()?;
        }
        Ok(self.train.check()?)
    }

    /// Each field in which `other` differs, with both values. The loader's settings change no result and are not
    /// compared.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut other = other.clone();
        other.train.loader = self.train.loader;
        if let (Some(stage), Some(own)) = (&mut other.locate, &self.locate) {
            stage.train.loader = own.train.loader;
        }
        differences(self, &other)
    }

    /// A named config: images and epochs small enough for five folds of 64 studies in minutes on two cores, except
    /// [`Preset::Real`], which is for a GPU.
    #[must_use]
    pub fn preset(preset: Preset) -> Self {
        let (task, train) = preset.config();
        let locate = match preset {
            Preset::Full => Some(LocateStage::default()),
            Preset::Real => Some(LocateStage::real()),
            _ => None,
        };
        let synthetic = (preset == Preset::Synthetic).then(SyntheticStudies::default);
        Self { task, folds: FoldConfig::default(), train, predict: PredictConfig::default(), locate, synthetic }
    }

    /// The config of the localiser's own run; `None` without a localiser.
    #[must_use]
    pub(super) fn of_localiser(&self) -> Option<Self> {
        let LocateStage { task, train } = self.locate.clone()?;
        let (folds, predict) = (self.folds.clone(), self.predict.clone());
        Some(Self { task: TaskConfig::Locate(task), folds, train, predict, locate: None, synthetic: None })
    }
}
