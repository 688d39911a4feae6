//! The results of each epoch: a line of JSON, the same bits for the same run. It contains no times; those are in the
//! events.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{TrainError, ValidationScore};
use crate::data::atomic;

/// One epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochRecord {
    /// From 0.
    pub epoch: usize,
    /// Steps of the optimizer done when it ended.
    pub step: u64,
    /// Learning rate of its last step.
    pub lr: f64,
    /// Mean training loss over its batches.
    pub training_loss: f64,
    /// Mean length of the gradient before clipping.
    pub gradient_norm: f64,
    /// Steps that were skipped because their loss or gradient was not finite.
    pub skipped_steps: u64,
    /// Score of the validation studies; `None` if too little of them is labelled.
    pub validation: Option<ValidationScore>,
}

impl EpochRecord {
    /// The validation score, if there is one.
    #[must_use]
    pub fn score(&self) -> Option<f64> {
        self.validation.as_ref().map(ValidationScore::total)
    }
}

/// The epochs of a fold, as the lines in which they were written, so that a resumed run's file has the same bits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History {
    lines: Vec<String>,
}

impl History {
    /// Adds an epoch.
    pub fn push(&mut self, record: &EpochRecord) {
        self.lines.push(serde_json::to_string(record).expect("a record of numbers has a JSON form"));
    }

    /// How many epochs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are no epochs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The epochs. A number may differ from the written one in its last bit.
    ///
    /// # Errors
    /// When a line is not a record.
    pub fn records(&self) -> Result<Vec<EpochRecord>, TrainError> {
        let parse = |(place, line): (usize, &String)| {
            serde_json::from_str(line).map_err(|error| TrainError::ConfigText {
                origin: format!("history, line {}", place + 1),
                reason: error.to_string(),
            })
        };
        self.lines.iter().enumerate().map(parse).collect()
    }

    /// Writes the lines, replacing the file.
    ///
    /// # Errors
    /// When the file cannot be written; an existing file is then unchanged.
    pub fn write(&self, path: &Path) -> Result<(), TrainError> {
        let text: String = self.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        atomic::write(path, text.as_bytes()).map_err(|source| TrainError::File { path: path.to_owned(), source })
    }

    /// Reads the lines.
    ///
    /// # Errors
    /// When the file cannot be read or a line is not a record.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| TrainError::File { path: path.to_owned(), source })?;
        let history = Self { lines: text.lines().map(str::to_owned).collect() };
        history.records()?;
        Ok(history)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        let mut history = History::default();
        for epoch in 0..3 {
            let validation = ValidationScore::new([("spinal", 0.5), ("foraminal", 0.25), ("other", 1.5)]);
            history.push(&EpochRecord {
                epoch,
                step: 7,
                lr: 1e-3,
                training_loss: 1.0 / 3.0,
                gradient_norm: 0.1,
                skipped_steps: 0,
                validation: (epoch > 0).then_some(validation),
            });
        }
        history.write(&path).unwrap();
        let read = History::read(&path).unwrap();
        assert_eq!(read, history);
        assert_eq!(read.records().unwrap()[2].score(), Some(0.75));
        assert_eq!(read.records().unwrap()[0].score(), None);
        std::fs::write(&path, "{\"epoch\": 1}\n").unwrap();
        assert!(History::read(&path).unwrap_err().to_string().starts_with("history, line 1: missing field"));
    }
}
