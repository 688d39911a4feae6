//! From trained folds to a submission: the mean of folds and flips, temperature, the prior for what is
//! missing, tables of probabilities on disk, the submission's writer and its validator.

mod ensemble;
mod folds;
mod rows;
pub mod submission;
mod temperature;

pub use ensemble::average;
pub use folds::{PredictConfig, predict_folds, predict_studies};
pub use rows::{RowsError, read_predictions, write_predictions};
pub use temperature::Temperature;
