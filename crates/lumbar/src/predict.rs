//! From trained folds to a submission: the mean of networks and flips, temperatures, the prior for what no image shows,
//! the submission's writer and its validator.

mod ensemble;
mod localiser_file;
mod locate;
mod point_reliability;
pub mod submission;
mod temperature;

pub(crate) use ensemble::mixed;
pub use ensemble::{Ensemble, PredictConfig, Predictions, StudyWarnings};
pub use localiser_file::{LocaliserFile, LocaliserFileError};
pub use locate::{Localisers, LocateError, Located};
pub(crate) use point_reliability::unlikely_steps;
pub use point_reliability::{GOOD_POINT_MM, PointErrors, PointReliability, PointReport, median_points};
pub use temperature::Temperature;
