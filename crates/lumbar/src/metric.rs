//! How good predictions are: the competition's score with its four parts, ranking, agreement and calibration, each
//! with an interval from a bootstrap over studies; the baselines that look at no image; and the CSV files of labels
//! and predictions.
//!
//! Labels and predictions are [`StudyTable`]s: per study the 25 targets in the order of
//! [`Target::ALL`](crate::anatomy::Target::ALL). [`Graded::join`] puts the two together and leaves cells
//! without a label out: a missing label is masked in every measure, never taken for `Normal/Mild`.
//!
//! ```
//! use lumbar::anatomy::Severity;
//! use lumbar::data::StudyId;
//! use lumbar::metric::{ConstantBaseline, Graded, LabelTable, score};
//!
//! let mut labels = LabelTable::new();
//! let mut row = [Some(Severity::NormalMild); 25];
//! row[3] = Some(Severity::Severe); // spinal canal stenosis at L4/L5
//! row[24] = None; // not labelled: masked
//! labels.insert(StudyId(4003253), row)?;
//!
//! let uniform = ConstantBaseline::uniform().predict(labels.studies());
//! let score = score(&Graded::join(&labels, &uniform)?)?;
//! assert!((score.spinal - 3f64.ln()).abs() < 1e-12);
//! assert!((score.any_severe_spinal - 3f64.ln()).abs() < 1e-12); // one severe study, predicted with 1/3
//! # Ok::<(), lumbar::metric::MetricError>(())
//! ```

mod agreement;
mod baselines;
mod bootstrap;
mod calibration;
mod constant;
mod error;
mod label_rows;
mod ranking;
mod rows;
mod score;
mod summary;
mod suspects;
mod table;

pub use agreement::{Confusion, KappaWeights};
pub use baselines::{Baselines, FoldOf};
pub use bootstrap::{
    BootstrapConfig, Interval, ScoreIntervals, interval, paired_interval, score_difference, score_intervals,
};
pub use calibration::{
    ReliabilityBin, brier, classwise_calibration_error, ranked_probability_score, reliability, reliability_of,
};
pub use constant::ConstantBaseline;
pub use error::MetricError;
pub use label_rows::{read_labels, write_labels};
pub use ranking::{Positive, area_under_roc, auroc, average_precision, precision_of_ranking};
pub(crate) use rows::{SubmissionTable, submission_header};
pub use rows::{TableFileError, read_predictions, write_predictions, write_rows};
pub use score::{Score, score};
pub use summary::{Summary, by_group, by_target};
pub use suspects::{SUSPECTS_HEADER, Suspect, suspects, write_suspects};
pub use table::{Cell, Graded, LabelTable, PredictionTable, StudyTable};
