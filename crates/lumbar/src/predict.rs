//! From trained folds to a submission: the mean of networks and flips, temperatures, the prior for what no image shows,
//! the submission's writer and its validator.

mod ensemble;
pub mod submission;
mod temperature;

pub use ensemble::{Ensemble, PredictConfig, Predictions, StudyWarnings};
pub use temperature::Temperature;
