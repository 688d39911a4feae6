use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Side, UnknownName};

/// One of the five graded conditions. Left and right are different conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Narrowing of the spinal canal, annotated on sagittal T2/STIR.
    SpinalCanalStenosis,
    /// Narrowing of the patient's left neural foramen, annotated on sagittal T1.
    LeftNeuralForaminalNarrowing,
    /// Narrowing of the patient's right neural foramen, annotated on sagittal T1.
    RightNeuralForaminalNarrowing,
    /// Narrowing of the patient's left lateral recess, annotated on axial T2.
    LeftSubarticularStenosis,
    /// Narrowing of the patient's right lateral recess, annotated on axial T2.
    RightSubarticularStenosis,
}

/// Conditions that the competition's score pools: both sides of one disease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionGroup {
    /// Spinal canal stenosis.
    Spinal,
    /// Neural foraminal narrowing, left and right.
    Foraminal,
    /// Subarticular stenosis, left and right.
    Subarticular,
}

impl ConditionGroup {
    /// All groups, in the score's order.
    pub const ALL: [Self; 3] = [Self::Spinal, Self::Foraminal, Self::Subarticular];

    /// The word in a condition's name by which the score finds its group: `spinal`, `foraminal`, `subarticular`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spinal => "spinal",
            Self::Foraminal => "foraminal",
            Self::Subarticular => "subarticular",
        }
    }
}

impl fmt::Display for ConditionGroup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl Condition {
    /// All conditions in the column order of `train.csv`: the order of every array over conditions.
    pub const ALL: [Self; 5] = [
        Self::SpinalCanalStenosis,
        Self::LeftNeuralForaminalNarrowing,
        Self::RightNeuralForaminalNarrowing,
        Self::LeftSubarticularStenosis,
        Self::RightSubarticularStenosis,
    ];

    /// All conditions in the row order of `sample_submission.csv`, which is alphabetical.
    pub const SUBMISSION: [Self; 5] = [
        Self::LeftNeuralForaminalNarrowing,
        Self::LeftSubarticularStenosis,
        Self::RightNeuralForaminalNarrowing,
        Self::RightSubarticularStenosis,
        Self::SpinalCanalStenosis,
    ];

    /// Index in [`Condition::ALL`], 0–4.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The condition of `group` on `side`. For the spinal canal `side` is ignored.
    #[must_use]
    pub const fn of(group: ConditionGroup, side: Side) -> Self {
        match (group, side) {
            (ConditionGroup::Spinal, _) => Self::SpinalCanalStenosis,
            (ConditionGroup::Foraminal, Side::Left) => Self::LeftNeuralForaminalNarrowing,
            (ConditionGroup::Foraminal, Side::Right) => Self::RightNeuralForaminalNarrowing,
            (ConditionGroup::Subarticular, Side::Left) => Self::LeftSubarticularStenosis,
            (ConditionGroup::Subarticular, Side::Right) => Self::RightSubarticularStenosis,
        }
    }

    /// The group in which the score pools this condition.
    #[must_use]
    pub const fn group(self) -> ConditionGroup {
        match self {
            Self::SpinalCanalStenosis => ConditionGroup::Spinal,
            Self::LeftNeuralForaminalNarrowing | Self::RightNeuralForaminalNarrowing => ConditionGroup::Foraminal,
            Self::LeftSubarticularStenosis | Self::RightSubarticularStenosis => ConditionGroup::Subarticular,
        }
    }

    /// The patient's side; `None` for the spinal canal.
    #[must_use]
    pub const fn side(self) -> Option<Side> {
        match self {
            Self::SpinalCanalStenosis => None,
            Self::LeftNeuralForaminalNarrowing | Self::LeftSubarticularStenosis => Some(Side::Left),
            Self::RightNeuralForaminalNarrowing | Self::RightSubarticularStenosis => Some(Side::Right),
        }
    }

    /// The spelling in the column names of `train.csv` and in row ids: `spinal_canal_stenosis`.
    #[must_use]
    pub const fn snake(self) -> &'static str {
        match self {
            Self::SpinalCanalStenosis => "spinal_canal_stenosis",
            Self::LeftNeuralForaminalNarrowing => "left_neural_foraminal_narrowing",
            Self::RightNeuralForaminalNarrowing => "right_neural_foraminal_narrowing",
            Self::LeftSubarticularStenosis => "left_subarticular_stenosis",
            Self::RightSubarticularStenosis => "right_subarticular_stenosis",
        }
    }

    /// The spelling in `train_label_coordinates.csv`, also used for display: `Spinal Canal Stenosis`.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::SpinalCanalStenosis => "Spinal Canal Stenosis",
            Self::LeftNeuralForaminalNarrowing => "Left Neural Foraminal Narrowing",
            Self::RightNeuralForaminalNarrowing => "Right Neural Foraminal Narrowing",
            Self::LeftSubarticularStenosis => "Left Subarticular Stenosis",
            Self::RightSubarticularStenosis => "Right Subarticular Stenosis",
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.title())
    }
}

impl FromStr for Condition {
    type Err = UnknownName;

    /// Parses either spelling; upper and lower case matter.
    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .into_iter()
            .find(|condition| condition.snake() == name || condition.title() == name)
            .ok_or_else(|| UnknownName::new("condition", name, Self::ALL.map(Self::title)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_read() {
        for condition in Condition::ALL {
            assert_eq!(condition.snake().parse(), Ok(condition));
            assert_eq!(condition.title().parse(), Ok(condition));
            assert_eq!(Condition::ALL[condition.index()], condition);
            assert_eq!(condition.title().to_lowercase().replace(' ', "_"), condition.snake());
            assert!(condition.snake().contains(condition.group().name()));
        }
        assert!("spinal canal stenosis".parse::<Condition>().is_err());
    }

    #[test]
    fn the_submissions_order_is_alphabetical() {
        let mut names = Condition::ALL.map(Condition::snake);
        names.sort_unstable();
        assert_eq!(names, Condition::SUBMISSION.map(Condition::snake));
    }

    #[test]
    fn group_and_side_name_a_condition() {
        for condition in Condition::ALL {
            let side = condition.side().unwrap_or(Side::Left);
            assert_eq!(Condition::of(condition.group(), side), condition);
        }
    }
}
