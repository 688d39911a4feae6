use std::path::PathBuf;

use tch::TchError;

use crate::data::StudyId;

/// Why training could not start or continue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A setting outside its range.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// A config's text that cannot be read: a misspelt field, a value of another type.
    #[error("{origin}: {reason}")]
    ConfigText {
        /// The file, or another source of the text.
        origin: String,
        /// What was expected and found, with the line.
        reason: String,
    },
    /// The run folder contains a run with another config.
    #[error("{} contains a run with another config: {}", folder.display(), differences.join("; "))]
    OtherConfig {
        /// The run folder.
        folder: PathBuf,
        /// Each differing field with both values.
        differences: Vec<String>,
    },
    /// libtorch failed.
    #[error("torch: {0}")]
    Torch(#[from] TchError),
    /// A kernel of torch-ext failed.
    #[error(transparent)]
    Kernel(#[from] torch_ext::Error),
    /// A file or folder.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A checkpoint that cannot be used.
    #[error("{}: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process trains the fold.
    #[error("{} is being trained already: wait for its end, or stop that process first", folder.display())]
    Busy {
        /// The fold's folder.
        folder: PathBuf,
    },
    /// There are checkpoints, but none can be read.
    #[error("none of the {} checkpoints in {} can be read; the newest: {newest}", count, folder.display())]
    AllDamaged {
        /// The folder.
        folder: PathBuf,
        /// How many there are.
        count: usize,
        /// What is wrong with the newest.
        newest: String,
    },
    /// The network's tensors are not those of the checkpoint.
    #[error("the checkpoint does not fit the network: {0}")]
    OtherNetwork(String),
    /// The loss or the gradient is not finite for too many steps in a row.
    #[error("epoch {epoch}, step {step}: the {what} was not finite in {streak} steps in a row; lower optimizer.lr")]
    NotFinite {
        /// The epoch, from 0.
        epoch: usize,
        /// The optimizer's step.
        step: u64,
        /// `loss` or `gradient`.
        what: &'static str,
        /// How many.
        streak: usize,
    },
    /// Shapes that do not fit together.
    #[error("{what}: expected {expected}, found {found:?}")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// What it should be.
        expected: String,
        /// What it is.
        found: Vec<i64>,
    },
    /// A measure of the validation studies.
    #[error("validation: {0}")]
    Metric(#[from] crate::metric::MetricError),
    /// The network refused a batch.
    #[error("batch of studies {}: {source}", join(studies))]
    Batch {
        /// The batch's studies.
        studies: Vec<StudyId>,
        /// Why.
        source: crate::data::loader::BoxError,
    },
    /// The network refused its inputs.
    #[error("the network refused its inputs: {0}")]
    Network(crate::data::loader::BoxError),
    /// No batch could be made.
    #[error(transparent)]
    Loader(#[from] crate::data::loader::LoaderError),
    /// An out-of-fold table that cannot be used.
    #[error("{}: {reason}", path.display())]
    OutOfFold {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A table of labels or probabilities.
    #[error(transparent)]
    Table(#[from] crate::metric::TableFileError),
    /// A table of found points.
    #[error(transparent)]
    Points(#[from] crate::data::found_points::FoundPointsError),
    /// Studies cannot be mixed in this task.
    #[error("the {what} of this task cannot be mixed: set mix.mixup_p and mix.cutmix_p to 0")]
    NotMixable {
        /// `inputs` or `truth`.
        what: &'static str,
    },
    /// Folds that were not trained to their end.
    #[error("folds {} of {} have no out-of-fold table yet", join(missing), total)]
    MissingFolds {
        /// Which.
        missing: Vec<usize>,
        /// Of how many.
        total: usize,
    },
    /// Nothing to train on or to validate with.
    #[error("{0}")]
    Nothing(&'static str),
}

fn join<T: ToString>(numbers: &[T]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
