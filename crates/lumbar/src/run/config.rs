use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::RunError;
use crate::model::{LevelConfig, SpineConfig};
use crate::train::crop_source::CropSourceConfig;
use crate::train::study_source::StudySourceConfig;
use crate::train::{TrainConfig, TrainError, config};

/// Everything that a run needs beside its data; saved in its folder as `run.toml`.
///
/// | field | default | purpose |
/// |---|---|---|
/// | `task` | needed | what is trained on what: `[task.whole_study]` or `[task.crops]` |
/// | `folds` | 5, seed 0 | how studies are split: see [`FoldConfig`] |
/// | `train` | see there | how each fold is trained: see [`TrainConfig`] |
/// | `predict` | see there | how studies are predicted afterwards: see [`ForecastConfig`] |
///
/// ```
/// use lumbar::run::{Preset, RunConfig};
///
/// let mut config = RunConfig::preset(Preset::WholeStudy);
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
    pub predict: ForecastConfig,
}

/// What is trained on what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TaskConfig {
    /// One network from all slices of a study to all its targets.
    WholeStudy(WholeStudyTask),
    /// A network for each plane, from crops around the annotated points.
    Crops(CropsTask),
}

impl TaskConfig {
    /// `whole_study` or `crops`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::WholeStudy(_) => "whole_study",
            Self::Crops(_) => "crops",
        }
    }
}

/// The seed's baseline.
///
/// | field | default | purpose |
/// |---|---|---|
/// | `spine` | EfficientNet-B0, 10 + 10 + 10 slices | the network: see [`SpineConfig`] |
/// | `source` | 96 px | what it looks at: see [`StudySourceConfig`] |
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WholeStudyTask {
    /// The network.
    pub spine: SpineConfig,
    /// What it looks at.
    pub source: StudySourceConfig,
}

/// The crop grader.
///
/// | field | default | purpose |
/// |---|---|---|
/// | `level` | EfficientNet-B0 | the network of each of the three planes: see [`LevelConfig`] |
/// | `source` | 50 mm, 96 px, 5 slices | what it looks at: see [`CropSourceConfig`] |
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CropsTask {
    /// The network of each plane.
    pub level: LevelConfig,
    /// What it looks at.
    pub source: CropSourceConfig,
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

/// How studies are predicted with a trained run. The temperatures come from the run's out-of-fold predictions.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `batch_size` | 8 | studies a batch | 1–4,096 |
/// | `flip` | true | also predict each study mirrored, left and right swapped back, and take the mean | |
/// | `temperature` | true | scale each condition group's probabilities as fits the out-of-fold predictions best | |
/// | `folded` | true | batch norms folded into convolutions: quicker, the same within 1e-4 of the logits' greatest magnitude | |
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ForecastConfig {
    /// Studies a batch.
    pub batch_size: usize,
    /// Mean of the study and its mirror image.
    pub flip: bool,
    /// Scale probabilities.
    pub temperature: bool,
    /// Fold batch norms.
    pub folded: bool,
}

impl Default for ForecastConfig {
    fn default() -> Self {
        Self { batch_size: 8, flip: true, temperature: true, folded: true }
    }
}

/// Configs that are known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// The whole-study baseline.
    WholeStudy,
    /// The crop grader.
    Crops,
}

impl Preset {
    /// Both.
    pub const ALL: [Self; 2] = [Self::WholeStudy, Self::Crops];

    /// `whole-study` or `crops`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WholeStudy => "whole-study",
            Self::Crops => "crops",
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for Preset {
    type Err = RunError;

    fn from_str(name: &str) -> Result<Self, RunError> {
        let found = Self::ALL.into_iter().find(|preset| preset.name() == name);
        found.ok_or_else(|| RunError::UnknownPreset { found: name.to_owned() })
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

    /// The config as text, every field spelled out.
    ///
    /// # Errors
    /// When a value has no spelling in TOML (a seed above 2⁶³−1).
    pub fn to_toml(&self) -> Result<String, RunError> {
        let refused = |error: toml::ser::Error| TrainError::ConfigText {
            origin: "the config".to_owned(),
            reason: error.to_string(),
        };
        Ok(toml::to_string(self).map_err(refused)?)
    }

    /// Changes one field by its path: `train.optimizer.lr`, `3e-4`. A value that is no TOML is taken as text.
    ///
    /// # Errors
    /// When there is no such field or the value does not fit; the config is then as it was.
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
        match &self.task {
            TaskConfig::WholeStudy(task) => {
                task.spine.check()?;
                task.source.check().map_err(RunError::Source)?;
            }
            TaskConfig::Crops(task) => {
                task.level.check()?;
                task.source.check().map_err(RunError::Source)?;
            }
        }
        config::within("folds.count", self.folds.count, 2..=100, "2–100")?;
        config::within("folds.seed", self.folds.seed, 0..=i64::MAX as u64, "0–2⁶³−1")?;
        config::within("predict.batch_size", self.predict.batch_size, 1..=4_096, "1–4,096")?;
        Ok(self.train.check()?)
    }

    /// Each field in which `other` differs, with both values.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        config::differences(self, other)
    }

    /// A named config: pictures and epochs small enough for five folds of 64 studies in minutes on two cores.
    #[must_use]
    pub fn preset(preset: Preset) -> Self {
        match preset {
            Preset::WholeStudy => super::presets::whole_study(),
            Preset::Crops => super::presets::crops(),
        }
    }
}
