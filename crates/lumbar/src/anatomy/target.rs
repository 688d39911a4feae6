use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Condition, Level, UnknownName};

/// One of the 25 things to grade: a condition at a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// What is graded.
    pub condition: Condition,
    /// Where.
    pub level: Level,
}

impl Target {
    /// Number of targets.
    pub const COUNT: usize = 25;

    /// All targets in the column order of `train.csv` (conditions in the order of [`Condition::ALL`], with all levels of
    /// each): the order of every array over targets in this library.
    pub const ALL: [Self; Self::COUNT] = in_order(Condition::ALL);

    /// All targets in the row order of `sample_submission.csv` (conditions in the order of [`Condition::SUBMISSION`]).
    /// Not the order of [`Target::ALL`].
    pub const SUBMISSION: [Self; Self::COUNT] = in_order(Condition::SUBMISSION);

    /// The target of `condition` at `level`.
    #[must_use]
    pub const fn new(condition: Condition, level: Level) -> Self {
        Self { condition, level }
    }

    /// Index in [`Target::ALL`], 0–24.
    #[must_use]
    pub const fn index(self) -> usize {
        self.condition.index() * Level::ALL.len() + self.level.index()
    }

    /// Index in [`Target::SUBMISSION`], 0–24.
    #[must_use]
    pub const fn submission_index(self) -> usize {
        let mut condition = 0;
        while Condition::SUBMISSION[condition] as usize != self.condition as usize {
            condition += 1;
        }
        condition * Level::ALL.len() + self.level.index()
    }

    /// The column name in `train.csv`: `spinal_canal_stenosis_l1_l2`.
    #[must_use]
    pub fn column(self) -> String {
        format!("{}_{}", self.condition.snake(), self.level.snake())
    }

    /// The `row_id` in `sample_submission.csv`: `<study>_<condition>_<level>`.
    #[must_use]
    pub fn row_id(self, study: impl fmt::Display) -> String {
        format!("{study}_{}", self.column())
    }

    /// Splits a `row_id` into the study's id and the target.
    ///
    /// # Errors
    /// [`UnknownName`] if the text does not have the form `<study>_<condition>_<level>`.
    pub fn split_row_id(row_id: &str) -> Result<(&str, Self), UnknownName> {
        row_id.split_once('_').and_then(|(study, column)| Some((study, column.parse().ok()?))).ok_or_else(|| {
            UnknownName {
                what: "row id",
                found: row_id.to_owned(),
                expected: "the form \"<study>_<condition>_<level>\"".to_owned(),
            }
        })
    }
}

const fn in_order(conditions: [Condition; 5]) -> [Target; Target::COUNT] {
    let mut targets = [Target::new(Condition::SpinalCanalStenosis, Level::L1L2); Target::COUNT];
    let mut index = 0;
    while index < Target::COUNT {
        targets[index] = Target::new(conditions[index / Level::ALL.len()], Level::ALL[index % Level::ALL.len()]);
        index += 1;
    }
    targets
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&format!("{} {}", self.condition, self.level))
    }
}

impl FromStr for Target {
    type Err = UnknownName;

    /// Parses a column name of `train.csv`.
    fn from_str(column: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|target| target.column() == column).ok_or_else(|| UnknownName {
            what: "target",
            found: column.to_owned(),
            expected: "the 25 columns of the form \"spinal_canal_stenosis_l1_l2\"".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_orders_contain_the_same_targets_at_different_indices() {
        for (index, target) in Target::ALL.into_iter().enumerate() {
            assert_eq!(target.index(), index);
            assert_eq!(Target::SUBMISSION[target.submission_index()], target);
            assert_eq!(target.column().parse(), Ok(target));
        }
        assert_ne!(Target::ALL, Target::SUBMISSION);
        assert_eq!(Target::ALL[0].column(), "spinal_canal_stenosis_l1_l2");
        assert_eq!(Target::ALL[24].column(), "right_subarticular_stenosis_l5_s1");
    }

    #[test]
    fn submission_rows_are_sorted_as_text() {
        let rows = Target::SUBMISSION.map(|target| target.row_id(44036939));
        assert!(rows.is_sorted(), "{rows:?}");
    }

    #[test]
    fn a_row_id_is_split_into_its_parts() {
        for target in Target::ALL {
            assert_eq!(Target::split_row_id(&target.row_id(7)), Ok(("7", target)));
        }
        let error = Target::split_row_id("7_spinal_canal_l1_l2").unwrap_err();
        assert!(error.to_string().contains("7_spinal_canal_l1_l2"), "{error}");
    }
}
