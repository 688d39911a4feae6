//! What is graded: five conditions at five disc levels, each with one of three severities.
//!
//! Two orders of the 25 targets exist in the competition's files and they differ. [`Target::ALL`] is the
//! order of `train.csv` (spinal canal first), used for every array in this library. [`Target::SUBMISSION`]
//! is the order of `sample_submission.csv` (alphabetical by condition). Writing an array in the one order
//! under the names of the other is the classic bug, so crossing over is spelled out:
//! [`Target::index`] and [`Target::submission_index`].
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

mod condition;
mod level;
mod mirror;
mod severity;
mod target;

pub use condition::{Condition, ConditionGroup};
pub use level::Level;
pub use mirror::{Mirror, Side};
pub use severity::Severity;
pub use target::Target;

/// A name in a file that is none of the field's names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} {found:?}, expected one of {expected}")]
pub struct UnknownName {
    /// What the name should have been: `condition`, `level`, `severity`, …
    pub what: &'static str,
    /// What was found.
    pub found: String,
    /// The names that exist, or the form that a name has.
    pub expected: String,
}

impl UnknownName {
    pub(crate) fn new(what: &'static str, found: &str, expected: impl IntoIterator<Item = &'static str>) -> Self {
        let expected = expected.into_iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        Self { what, found: found.to_owned(), expected }
    }
}
