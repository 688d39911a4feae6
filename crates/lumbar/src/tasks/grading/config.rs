use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, check_range};

/// What is minimised: the score's parts.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `any_severe` | 1.0 | weight of the any-severe part beside the three groups; 0 leaves it out | 0–10 |
/// | `class_weights` | 1, 2, 4 | of normal/mild, moderate, severe; the score's | 1e-3–1,000 |
/// | `label_smoothing` | 0.0 | share of the label spread over the severities | 0–0.5 |
/// | `neighbour_smoothing` | 0.0 | share of the label given to the severities next to it: readers differ by one step | 0–0.5 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossConfig {
    /// Weight of the any-severe part.
    pub any_severe: f64,
    /// Weight of each severity.
    pub class_weights: [f64; 3],
    /// Share of the label that is spread.
    pub label_smoothing: f64,
    /// Share of the label that its neighbours get.
    pub neighbour_smoothing: f64,
}

impl Default for LossConfig {
    fn default() -> Self {
        Self { any_severe: 1.0, class_weights: [1.0, 2.0, 4.0], label_smoothing: 0.0, neighbour_smoothing: 0.0 }
    }
}

impl LossConfig {
    /// # Errors
    /// The first field that is out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_range("loss.any_severe", self.any_severe, 0.0, 10.0)?;
        for weight in self.class_weights {
            check_range("loss.class_weights", weight, 1e-3, 1e3)?;
        }
        check_range("loss.label_smoothing", self.label_smoothing, 0.0, 0.5)?;
        check_range("loss.neighbour_smoothing", self.neighbour_smoothing, 0.0, 0.5)
    }
}
