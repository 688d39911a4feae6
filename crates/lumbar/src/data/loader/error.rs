use crate::config::ConfigError;
use crate::data::StudyId;

/// An error of a data set or a network, whose types the loader and the trainer do not know.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no batch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoaderError {
    /// A setting is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The sample of a study could not be made.
    #[error("study {study}: {source}")]
    Study {
        /// The study.
        study: StudyId,
        /// The cause.
        source: BoxError,
    },
    /// The data set panicked at a study.
    #[error("study {study}: the data set panicked: {message}")]
    StudyPanic {
        /// The study.
        study: StudyId,
        /// The panic's message.
        message: String,
    },
    /// Samples could not be joined.
    #[error("batch of studies {}: {source}", join(studies))]
    Collate {
        /// The studies of the batch.
        studies: Vec<StudyId>,
        /// The cause.
        source: BoxError,
    },
    /// libtorch could not pin or move a batch.
    #[error("a batch could not be moved to the device: {0}")]
    Torch(#[from] tch::TchError),
    /// A worker thread could not be started.
    #[error("a worker thread of the loader could not be started: {0}")]
    Thread(std::io::Error),
    /// A worker ended before its work was done.
    #[error("a worker thread of the loader ended before batch {batch} was made")]
    WorkerGone {
        /// The batch that was next, from 0.
        batch: usize,
    },
}

/// The numbers of studies, separated by commas.
pub(super) fn join(studies: &[StudyId]) -> String {
    studies.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
