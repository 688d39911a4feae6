use std::path::{Path, PathBuf};

use crate::data::cache::CacheError;
use crate::data::folds::FoldError;
use crate::data::found_points::FoundPointsError;
use crate::metric::{MetricError, TableFileError};
use crate::predict::LocateError;
use crate::tasks::TaskError;
use crate::train::TrainError;

/// Why a run could not be opened, trained or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Training, its config or its files.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A network or its config.
    #[error(transparent)]
    Model(#[from] crate::model::Error),
    /// A measure, or tables that do not fit together.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// The split into folds.
    #[error(transparent)]
    Folds(#[from] FoldError),
    /// A table of labels or probabilities.
    #[error(transparent)]
    Table(#[from] TableFileError),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The task could not be set up.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// A table of found points.
    #[error(transparent)]
    Points(#[from] FoundPointsError),
    /// Points could not be looked for.
    #[error(transparent)]
    Locate(#[from] LocateError),
    /// The file of a localiser.
    #[error(transparent)]
    LocaliserFile(#[from] crate::predict::LocaliserFileError),
    /// The run has no localiser.
    #[error("the run in {} has no localiser: train one with --preset full", folder.display())]
    NoLocaliser {
        /// The run folder.
        folder: PathBuf,
    },
    /// A setting out of range.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// A file or folder.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file of the run with unexpected content.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The folder contains no run.
    #[error("{} contains no run: there is no run.toml", folder.display())]
    NoRun {
        /// The folder.
        folder: PathBuf,
    },
    /// The run folder contains a run on other data.
    #[error("{} contains a run on other data: {}", folder.display(), differences.join("; "))]
    OtherData {
        /// The run folder.
        folder: PathBuf,
        /// The differences, with both values.
        differences: Vec<String>,
    },
    /// The data set has no labelled training study.
    #[error("{} has no labelled training study", folder.display())]
    NothingLabelled {
        /// The data set.
        folder: PathBuf,
    },
    /// The run was opened from its folder alone, which is enough to predict but not to train.
    #[error("the run in {} was opened without its data set, which training needs", folder.display())]
    NoData {
        /// The run folder.
        folder: PathBuf,
    },
    /// There is no such fold.
    #[error("there is no fold {fold}, the folds are 0 to {}", count.saturating_sub(1))]
    NoSuchFold {
        /// What was asked for.
        fold: usize,
        /// How many there are.
        count: usize,
    },
    /// The run is of another task.
    #[error("the run is of task {found}, expected {expected}")]
    OtherTask {
        /// The run's task.
        found: &'static str,
        /// What was asked for.
        expected: &'static str,
    },
    /// The thread that decodes studies panicked.
    #[error("the thread that decodes studies panicked: {message}")]
    DecodePanic {
        /// The panic's message.
        message: String,
    },
}

impl RunError {
    pub(super) fn file(path: &Path, source: std::io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }

    pub(super) fn format(path: &Path, reason: impl ToString) -> Self {
        Self::Format { path: path.to_owned(), reason: reason.to_string() }
    }

    pub(super) fn setting(origin: &str, error: &impl ToString) -> Self {
        let reason = error.to_string().trim_end().to_owned();
        TrainError::ConfigText { origin: origin.to_owned(), reason }.into()
    }
}
