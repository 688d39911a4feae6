use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::TrainError;
use crate::data::{StudyId, atomic};

/// The studies of one fold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoldSplit {
    /// The fold, from 0.
    pub fold: usize,
    /// Studies to train on.
    #[serde(with = "studies_as_text")]
    pub training: Vec<StudyId>,
    /// Studies that are predicted out of fold.
    #[serde(with = "studies_as_text")]
    pub validation: Vec<StudyId>,
}

/// Studies as decimal strings, as in `split.json`: numbers in JSON lose digits above 2⁵³ in many readers.
mod studies_as_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::data::StudyId;

    pub(super) fn serialize<S: Serializer>(studies: &[StudyId], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(studies.iter().map(ToString::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<StudyId>, D::Error> {
        let parse =
            |text: String| text.parse().map_err(|_| D::Error::custom(format!("study {text:?} is not a number")));
        Vec::<String>::deserialize(deserializer)?.into_iter().map(parse).collect()
    }
}

/// Writes the split, or checks that an existing file has the same content.
pub(super) fn same_split(path: &Path, split: &FoldSplit) -> Result<(), TrainError> {
    let file_error = |source| TrainError::File { path: path.to_owned(), source };
    let refused = |reason: String| TrainError::Checkpoint { path: path.to_owned(), reason };
    if path.exists() {
        let text = fs::read_to_string(path).map_err(file_error)?;
        let found: FoldSplit = serde_json::from_str(&text).map_err(|error| refused(error.to_string()))?;
        if found == *split {
            return Ok(());
        }
        let study = split.training.iter().chain(&split.validation).find(|study| {
            found.training.contains(study) != split.training.contains(study)
                || found.validation.contains(study) != split.validation.contains(study)
        });
        let study = study.map_or_else(|| "the order or number of studies".to_owned(), |study| format!("study {study}"));
        return Err(refused(format!("the folder contains a fold with another split; {study} differs")));
    }
    let text = serde_json::to_string(split).map_err(|error| refused(error.to_string()))?;
    atomic::write(path, text.as_bytes()).map_err(file_error)
}
