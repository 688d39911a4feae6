//! How good predictions are: the competition's score with its four parts, ranking, agreement and
//! calibration, each with an interval from a bootstrap over studies, and the predictors that have looked at
//! no picture, beside which a model has to be read.
//!
//! Labels and predictions are [`StudyTable`]s: per study the 25 targets in the order of
//! [`Target::ALL`](crate::anatomy::Target::ALL). [`Graded::join`] puts the two together and leaves cells
//! without a label out: a missing label is masked in every measure, never taken for `Normal/Mild`.
//!
//! ```
//! use lumbar::anatomy::Severity;
//! use lumbar::metric::{Graded, LabelTable, Reference, score};
//!
//! let mut labels = LabelTable::new();
//! let mut row = [Some(Severity::NormalMild); 25];
//! row[3] = Some(Severity::Severe); // spinal canal stenosis at L4/L5
//! row[24] = None; // not labelled: masked
//! labels.insert("4003253", row)?;
//!
//! let uniform = Reference::uniform().predict(labels.studies());
//! let score = score(&Graded::join(&labels, &uniform)?)?;
//! assert!((score.spinal - 3f64.ln()).abs() < 1e-12);
//! assert!((score.any_severe_spinal - 3f64.ln()).abs() < 1e-12); // one severe study, predicted with 1/3
//! # Ok::<(), lumbar::metric::MetricError>(())
//! ```

mod agreement;
mod bootstrap;
mod calibration;
mod error;
mod ladder;
mod ranking;
mod reference;
mod score;
mod summary;
mod table;

pub use agreement::{Confusion, KappaWeights};
pub use bootstrap::{
    BootstrapConfig, Interval, ScoreIntervals, interval, paired_interval, score_difference, score_intervals,
};
pub use calibration::{ReliabilityBin, brier, classwise_calibration_error, ranked_probability_score, reliability};
pub use error::MetricError;
pub use ladder::{FoldOf, Ladder};
pub use ranking::{Positive, area_under_roc, auroc, average_precision, precision_of_ranking};
pub use reference::Reference;
pub use score::{Score, score};
pub use summary::{Summary, by_group, by_target};
pub use table::{Cell, Graded, LabelTable, PredictionTable, StudyTable};
