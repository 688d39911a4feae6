//! From trained folds to a submission: tables of probabilities on disk, the submission's writer and its
//! validator.

mod rows;
pub mod submission;

pub use rows::{RowsError, read_predictions, write_predictions};
