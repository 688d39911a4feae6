//! What is graded: five conditions at five disc levels, each with one of three severities.
//!
//! The competition's files contain the 25 targets in two different orders. [`Target::ALL`] is the order of `train.csv`
//! (spinal canal first), and of every array in this library. [`Target::SUBMISSION`] is the order of
//! `sample_submission.csv` (alphabetical by condition). A classic bug is to write an array in one order under the names
//! of the other. Therefore there are two methods with different names: [`Target::index`] and
//! [`Target::submission_index`].
//!
//! Left and right are swapped by [`Mirror`] and nowhere else.
//!
//! ```
//! use lumbar::anatomy::{Condition, Level, Mirror, Target};
//!
//! let target = Target::new(Condition::LeftSubarticularStenosis, Level::L4L5);
//! assert_eq!(target.column(), "left_subarticular_stenosis_l4_l5");
//! assert_eq!(target.row_id(4003253), "4003253_left_subarticular_stenosis_l4_l5");
//! assert_eq!((target.index(), target.submission_index()), (18, 8));
//! assert_eq!(Mirror::target(target).column(), "right_subarticular_stenosis_l4_l5");
//! ```

mod canal_steps;
mod condition;
mod level;
mod mirror;
mod severity;
mod target;

pub use canal_steps::{CANAL_STEPS, CanalSteps, MEAN_CANAL_STEP_MM, MOST_UNEVEN_CANAL_STEPS};
pub use condition::{Condition, ConditionGroup};
pub use level::Level;
pub use mirror::{Mirror, Side};
pub use severity::Severity;
pub use target::Target;

/// An unknown name in a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} {found:?}, expected one of {expected}")]
pub struct UnknownName {
    /// What the name should have been: `condition`, `level`, `severity`, …
    pub what: &'static str,
    /// The unknown name.
    pub found: String,
    /// The known names, or the form of a name.
    pub expected: String,
}

impl UnknownName {
    pub(crate) fn new(what: &'static str, found: &str, expected: impl IntoIterator<Item = &'static str>) -> Self {
        let expected = expected.into_iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        Self { what, found: found.to_owned(), expected }
    }
}
