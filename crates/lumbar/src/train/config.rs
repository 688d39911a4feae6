//! Every setting of training. It is saved with the run, so that the run can be repeated from its folder alone.
//!
//! ```
//! use lumbar::train::TrainConfig;
//!
//! let config = TrainConfig::from_toml("epochs = 3\n[optimizer]\nlr = 3e-4\n", "run.toml")?;
//! assert_eq!((config.epochs, config.optimizer.lr, config.batch_size), (3, 3e-4, 8));
//!
//! let error = TrainConfig::from_toml("epoch = 3", "run.toml").unwrap_err().to_string();
//! assert!(error.contains("unknown field `epoch`, expected one of"), "{error}");
//! let error = TrainConfig::from_toml("epochs = 0", "run.toml").unwrap_err().to_string();
//! assert_eq!(error, "epochs is 0, expected a number from 1 to 10000");
//! # Ok::<(), lumbar::train::TrainError>(())
//! ```

use serde::{Deserialize, Serialize};

use super::TrainError;
use crate::config::check_range;
use crate::data::augment::MixConfig;
use crate::data::loader::LoaderConfig;

/// How one fold is trained.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `seed` | 0 | order of studies, augmentation, dropout | 0–2⁶³−1 |
/// | `epochs` | 10 | passes over the training studies | 1–10,000 |
/// | `batch_size` | 8 | studies a batch | 1–4,096 |
/// | `accumulate` | 1 | batches a step of the optimizer | 1–1,024 |
/// | `precision` | `float32` | of the forward pass; weights stay fp32 | `float32`, `bfloat16`, `float16` (its loss is scaled) |
/// | `clip_norm` | 1.0 | longest gradient; 0 turns clipping off | 0–1e6 |
/// | `ema_decay` | 0.0 | exponential moving average of the weights, used for validation; 0 turns it off | 0–0.999999 |
/// | `freeze_epochs` | 0 | first epochs in which only the head learns | 0–`epochs` |
/// | `early_stop` | 0 | epochs without a better validation score after which to stop; 0 never | 0–10,000 |
/// | `keep_best` | 1 | best checkpoints that are stored beside the last one | 1–100 |
/// | `checkpoint_seconds` | 30 | least time between two checkpoints: work since the last one is done again after a kill, with the same bits; 0 writes one after each step | 0–86,400 |
/// | `mix` | none | mixup and cutmix of the studies of a batch: see [`MixConfig`] | |
/// | `deterministic` | false | the same weights from the same seed on a GPU too, at some cost in speed; on a CPU they always are | |
/// | `loader` | see there | how batches are made ahead of their use: see [`LoaderConfig`] | |
/// | `scope` | `full` | `full`; `fast_dev_run`: one batch of training and one of validation; `overfit_one_batch`: every epoch is the same first batch, drawn the same | |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// Passes over the training studies.
    pub epochs: usize,
    /// Studies a batch.
    pub batch_size: usize,
    /// Batches a step of the optimizer.
    pub accumulate: usize,
    /// Of the forward pass.
    pub precision: Precision,
    /// Longest gradient.
    pub clip_norm: f64,
    /// Of the weights that validate.
    pub ema_decay: f64,
    /// First epochs in which only the head learns.
    pub freeze_epochs: usize,
    /// Patience in epochs.
    pub early_stop: usize,
    /// Best checkpoints that are stored.
    pub keep_best: usize,
    /// Least time between two checkpoints.
    pub checkpoint_seconds: u64,
    /// The same weights from the same seed on a GPU too.
    pub deterministic: bool,
    /// How much of a run is run.
    pub scope: Scope,
    /// AdamW.
    pub optimizer: OptimizerConfig,
    /// Learning rate over the steps.
    pub schedule: ScheduleConfig,
    /// How the studies of a batch are mixed.
    pub mix: MixConfig,
    /// How batches are made ahead of their use.
    pub loader: LoaderConfig,
}

/// Number format of the forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Single precision.
    Float32,
    /// Autocast to bfloat16; needs no scaling of the loss.
    Bfloat16,
    /// Autocast to fp16 with a loss that is scaled ([`LossScale`](super::loss_scale::LossScale)).
    Float16,
}

/// How much of a run is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All of it.
    Full,
    /// One batch of training, one of validation: does everything fit together?
    FastDevRun,
    /// The first batch over and over: can the network learn at all?
    OverfitOneBatch,
}

/// AdamW (Loshchilov and Hutter 2019); vectors and scalars (biases, normalisation) are not decayed.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `lr` | 1e-3 | largest learning rate | 1e-9–10 |
/// | `weight_decay` | 0.01 | of matrices and kernels | 0–10 |
/// | `beta1` | 0.9 | memory of the gradient | 0–0.9999 |
/// | `beta2` | 0.999 | memory of its square | 0–0.999999 |
/// | `eps` | 1e-8 | added to the root of the square | 1e-12–1e-2 |
/// | `layer_decay` | 1.0 | factor of the learning rate for each layer further from the head; 1 treats all alike | 0.1–1 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// Largest learning rate.
    pub lr: f64,
    /// Of matrices and kernels.
    pub weight_decay: f64,
    /// Memory of the gradient.
    pub beta1: f64,
    /// Memory of its square.
    pub beta2: f64,
    /// Added to the root.
    pub eps: f64,
    /// Factor a layer.
    pub layer_decay: f64,
}

/// Shape of the learning rate over a run.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `kind` | `warmup_cosine` | `constant`, `warmup_cosine`, `one_cycle` | |
/// | `warmup` | 0.1 | share of the steps that rise | 0–0.9 |
/// | `start` | 0.04 | factor of the first step (one cycle: 1/25) | 1e-6–1 |
/// | `end` | 0.01 | factor of the last step (one cycle: of the first step's, 1e-4 in torch) | 0–1 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleConfig {
    /// Which curve.
    pub kind: ScheduleKind,
    /// Share of the steps that rise.
    pub warmup: f64,
    /// Factor of the first step.
    pub start: f64,
    /// Factor at the end.
    pub end: f64,
}

/// Curves of the learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleKind {
    /// Always the largest.
    Constant,
    /// A straight line up, half a cosine down.
    WarmupCosine,
    /// Half a cosine up, half a cosine down (Smith 2018; torch's `OneCycleLR`).
    OneCycle,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            epochs: 10,
            batch_size: 8,
            accumulate: 1,
            precision: Precision::Float32,
            clip_norm: 1.0,
            ema_decay: 0.0,
            freeze_epochs: 0,
            early_stop: 0,
            keep_best: 1,
            checkpoint_seconds: 30,
            deterministic: false,
            scope: Scope::Full,
            optimizer: OptimizerConfig::default(),
            schedule: ScheduleConfig::default(),
            mix: MixConfig::default(),
            loader: LoaderConfig::default(),
        }
    }
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self { lr: 1e-3, weight_decay: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, layer_decay: 1.0 }
    }
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self { kind: ScheduleKind::WarmupCosine, warmup: 0.1, start: 0.04, end: 0.01 }
    }
}

impl TrainConfig {
    /// Reads and checks a config; fields that are not there have their defaults. `origin` names the text's
    /// file in errors.
    ///
    /// # Errors
    /// A field that does not exist, a value of another type or outside its range.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self, TrainError> {
        let refused = |error: toml::de::Error| TrainError::ConfigText {
            origin: origin.to_owned(),
            reason: error.to_string().trim_end().to_owned(),
        };
        let config: Self = toml::from_str(text).map_err(refused)?;
        config.check()?;
        Ok(config)
    }

    /// The config as TOML with every field.
    ///
    /// # Errors
    /// When TOML cannot express a value (a seed above 2⁶³−1).
    pub fn to_toml(&self) -> Result<String, TrainError> {
        toml::to_string(self)
            .map_err(|error| TrainError::ConfigText { origin: "the config".to_owned(), reason: error.to_string() })
    }

    /// # Errors
    /// The first field that is out of its range.
    pub fn check(&self) -> Result<(), TrainError> {
        let Self { optimizer, schedule, .. } = self;
        check_range("seed", self.seed, 0, i64::MAX as u64)?;
        check_range("epochs", self.epochs, 1, 10_000)?;
        check_range("batch_size", self.batch_size, 1, 4_096)?;
        check_range("accumulate", self.accumulate, 1, 1_024)?;
        check_range("clip_norm", self.clip_norm, 0.0, 1e6)?;
        check_range("ema_decay", self.ema_decay, 0.0, 0.999_999)?;
        check_range("freeze_epochs", self.freeze_epochs, 0, self.epochs)?;
        check_range("early_stop", self.early_stop, 0, 10_000)?;
        check_range("keep_best", self.keep_best, 1, 100)?;
        check_range("checkpoint_seconds", self.checkpoint_seconds, 0, 86_400)?;
        check_range("optimizer.lr", optimizer.lr, 1e-9, 10.0)?;
        check_range("optimizer.weight_decay", optimizer.weight_decay, 0.0, 10.0)?;
        check_range("optimizer.beta1", optimizer.beta1, 0.0, 0.9999)?;
        check_range("optimizer.beta2", optimizer.beta2, 0.0, 0.999_999)?;
        check_range("optimizer.eps", optimizer.eps, 1e-12, 1e-2)?;
        check_range("optimizer.layer_decay", optimizer.layer_decay, 0.1, 1.0)?;
        check_range("schedule.warmup", schedule.warmup, 0.0, 0.9)?;
        check_range("schedule.start", schedule.start, 1e-6, 1.0)?;
        check_range("schedule.end", schedule.end, 0.0, 1.0)?;
        self.loader.check()?;
        Ok(self.mix.check()?)
    }

    /// Each field in which `other` differs, with both values: `optimizer.lr is 0.001 there and 0.002 here`. The
    /// loader's settings and the time between checkpoints change no result and are not compared.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let Self { loader, checkpoint_seconds, .. } = *self;
        differences(self, &Self { loader, checkpoint_seconds, ..other.clone() })
    }
}

/// Each field in which two configs of one kind differ.
pub(crate) fn differences<T: Serialize>(here: &T, there: &T) -> Vec<String> {
    let value = |config| serde_json::to_value(config).expect("a config of numbers and names has a JSON form");
    let mut found = Vec::new();
    compare("", &value(here), &value(there), &mut found);
    found
}

fn compare(name: &str, here: &serde_json::Value, there: &serde_json::Value, found: &mut Vec<String>) {
    match (here, there) {
        (serde_json::Value::Object(here), serde_json::Value::Object(there)) => {
            // one variant of an enum here, another one there
            if let Some((own, _)) = here.iter().find(|(field, _)| !there.contains_key(*field)) {
                let other = there.keys().next().map_or("", String::as_str);
                found.push(format!("{name} is {other} there and {own} here"));
                return;
            }
            for (field, value) in here {
                let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                compare(&name, value, &there[field], found);
            }
        }
        _ if here != there => found.push(format!("{name} is {there} there and {here} here")),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_range_and_survive_their_text() {
        let config = TrainConfig { seed: 7, ema_decay: 0.999, ..TrainConfig::default() };
        config.check().unwrap();
        let text = config.to_toml().unwrap();
        assert_eq!(TrainConfig::from_toml(&text, "config.toml").unwrap(), config);
        assert_eq!(TrainConfig::from_toml("", "empty").unwrap(), TrainConfig::default());
    }

    #[test]
    fn not_a_number_is_out_of_every_range() {
        let mut config = TrainConfig::default();
        config.optimizer.lr = f64::NAN;
        assert_eq!(
            config.check().unwrap_err().to_string(),
            "optimizer.lr is NaN, expected a number from 0.000000001 to 10"
        );
    }

    #[test]
    fn a_misspelt_field_is_named_with_its_line() {
        let error = TrainConfig::from_toml("epochs = 2\n[optimizer]\nlearning_rate = 1.0\n", "run.toml").unwrap_err();
        let error = error.to_string();
        assert!(error.contains("run.toml") && error.contains("line 3") && error.contains("`learning_rate`"), "{error}");
    }

    #[test]
    fn configs_differ_field_by_field() {
        let here = TrainConfig::default();
        let mut there = here.clone();
        there.optimizer.lr = 0.5;
        there.epochs = 11;
        assert_eq!(
            here.differences(&there),
            ["epochs is 11 there and 10 here", "optimizer.lr is 0.5 there and 0.001 here"]
        );
        assert!(here.differences(&here).is_empty());
    }
}
