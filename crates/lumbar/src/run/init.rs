//! The pretrained weights from which a run starts.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Run, RunError};
use crate::data::atomic;
use crate::model::{HubCache, Init, PretrainedWeights};
use crate::tasks::Task;

/// The content of `init.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InitRecord {
    /// As the config names it.
    init: Init,
    /// Of the weight file.
    sha256: String,
}

impl Run {
    /// The pretrained weights of its task: see [`pretrained`].
    pub(super) fn pretrained<T: Task>(&self, task: &T) -> Result<Option<PretrainedWeights>, RunError> {
        pretrained(&self.folder, task, self.hub.as_ref())
    }
}

/// Reads the pretrained weights that the config names; `None` for a run from scratch. The first call records the
/// file's hash, and later ones refuse another file: all folds start from the same weights.
pub(super) fn pretrained<T: Task>(
    folder: &Path,
    task: &T,
    hub: Option<&HubCache>,
) -> Result<Option<PretrainedWeights>, RunError> {
    let init = task.init();
    let path = folder.join("init.json");
    let recorded: Option<InitRecord> = if path.exists() {
        let text = fs::read_to_string(&path).map_err(|source| RunError::file(&path, source))?;
        Some(serde_json::from_str(&text).map_err(|error| RunError::format(&path, error))?)
    } else {
        None
    };
    let expected = recorded.as_ref().map(|record| record.sha256.as_str());
    let weights = match (init, T::shipped()) {
        (Init::Shipped, Some(bytes)) => {
            Some(PretrainedWeights::shipped(bytes, "the localiser that is part of the library", expected)?)
        }
        _ => PretrainedWeights::open(init, hub, expected)?,
    };
    if let (Some(weights), None) = (&weights, &recorded) {
        let record = InitRecord { init: init.clone(), sha256: weights.sha256().to_owned() };
        let text = serde_json::to_string_pretty(&record).map_err(|error| RunError::format(&path, error))?;
        atomic::write(&path, text.as_bytes()).map_err(|source| RunError::file(&path, source))?;
    }
    Ok(weights)
}
