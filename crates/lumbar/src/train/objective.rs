use std::path::Path;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tch::Tensor;

use super::TrainError;
use crate::data::StudyId;
use crate::data::augment::Mix;
use crate::data::loader::Tensors;

/// What a task optimises, what it predicts of a study, and how predictions are scored. The trainer knows nothing else
/// about a task: neither the shape of a network's output nor what a label is.
pub trait Objective {
    /// Labels and masks of a batch, as the task's data set makes them.
    type Truth: Tensors;
    /// Predictions of studies, as in a fold's `out_of_fold.csv`.
    type Table: OutOfFold;

    /// The loss of a batch: a scalar with a gradient.
    ///
    /// # Errors
    /// When shapes do not fit together.
    fn loss(&self, output: &Tensor, truth: &Self::Truth) -> Result<Tensor, TrainError>;

    /// The truth of the studies with which a batch is mixed, in place of each study's own. Called only where
    /// [`TrainConfig::mix`](super::TrainConfig) mixes.
    ///
    /// # Errors
    /// When truths cannot be mixed, which is the default.
    fn partners(&self, truth: &Self::Truth, mix: &Mix) -> Result<Self::Truth, TrainError> {
        let _ = (truth, mix);
        Err(TrainError::NotMixable { what: "truth" })
    }

    /// Adds the predictions of a batch to a table, from the network's output in evaluation mode.
    ///
    /// # Errors
    /// When shapes do not fit together or the table has a study already.
    fn predict(
        &self,
        table: &mut Self::Table,
        studies: &[StudyId],
        output: &Tensor,
        truth: &Self::Truth,
    ) -> Result<(), TrainError>;

    /// The score of predicted studies, lower is better; `None` if too few cells are labelled.
    ///
    /// # Errors
    /// When predictions and labels do not fit together.
    fn score(&self, table: &Self::Table) -> Result<Option<ValidationScore>, TrainError>;
}

/// Predictions of studies that can be written, read and merged.
pub trait OutOfFold: Default {
    /// Writes the table, so that reading gives the same bits.
    ///
    /// # Errors
    /// When the file cannot be written; an existing file is then unchanged.
    fn write(&self, path: &Path) -> Result<(), TrainError>;

    /// Reads what [`OutOfFold::write`] wrote.
    ///
    /// # Errors
    /// When the file cannot be read or is not a table.
    fn read(path: &Path) -> Result<Self, TrainError>;

    /// Adds one study of another table; false if the other table does not have it.
    ///
    /// # Errors
    /// When this table has the study already.
    fn add(&mut self, study: StudyId, from: &Self) -> Result<bool, TrainError>;
}

/// A validation score: named parts, whose plain mean is the score. Lower is better.
///
/// As JSON it is an object of its parts, in their order.
///
/// ```
/// use lumbar::train::ValidationScore;
///
/// let score = ValidationScore::new([("spinal", 0.5), ("foraminal", 1.0)]);
/// assert_eq!(score.total(), 0.75);
/// assert_eq!(score.part("foraminal"), Some(1.0));
/// assert_eq!(serde_json::to_string(&score)?, r#"{"spinal":0.5,"foraminal":1.0}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ValidationScore {
    parts: Vec<(String, f64)>,
}

impl ValidationScore {
    /// A score of these parts.
    #[must_use]
    pub fn new<'a>(parts: impl IntoIterator<Item = (&'a str, f64)>) -> Self {
        Self { parts: parts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect() }
    }

    /// Names and values of its parts.
    pub fn parts(&self) -> impl Iterator<Item = (&str, f64)> {
        self.parts.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// A part by its name.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<f64> {
        self.parts().find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// The score: the plain mean of its parts.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.parts.iter().map(|(_, value)| value).sum::<f64>() / self.parts.len() as f64
    }
}

impl Serialize for ValidationScore {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.parts.len()))?;
        for (name, value) in &self.parts {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for ValidationScore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;

        impl<'de> Visitor<'de> for Parts {
            type Value = ValidationScore;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object of named numbers")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<ValidationScore, M::Error> {
                let mut parts = Vec::new();
                while let Some(part) = map.next_entry()? {
                    parts.push(part);
                }
                Ok(ValidationScore { parts })
            }
        }

        deserializer.deserialize_map(Parts)
    }
}
