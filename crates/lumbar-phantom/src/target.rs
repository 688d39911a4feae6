//! The 25 targets: condition, side and level, in both spellings and both orders of the competition.
//!
//! This crate does not use the library's anatomy module, so that its files can be used to check the library.

/// The four lumbar disc levels and the lumbosacral one, from above.
pub(crate) const LEVELS: [(&str, &str); 5] =
    [("l1_l2", "L1/L2"), ("l2_l3", "L2/L3"), ("l3_l4", "L3/L4"), ("l4_l5", "L4/L5"), ("l5_s1", "L5/S1")];

/// Severity as the label columns spell it.
pub(crate) const SEVERITIES: [&str; 3] = ["Normal/Mild", "Moderate", "Severe"];

/// Targets of a study.
pub(crate) const TARGETS: usize = 25;

/// Side of the patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

impl Side {
    /// +1 for left, −1 for right: the sign of x in patient coordinates (LPS).
    pub(crate) fn sign(self) -> f64 {
        match self {
            Self::Left => 1.0,
            Self::Right => -1.0,
        }
    }
}

/// The five conditions, in the order of train.csv's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Spinal,
    Foraminal(Side),
    Subarticular(Side),
}

/// All conditions in the order of train.csv's columns.
pub(crate) const CONDITIONS: [Condition; 5] = [
    Condition::Spinal,
    Condition::Foraminal(Side::Left),
    Condition::Foraminal(Side::Right),
    Condition::Subarticular(Side::Left),
    Condition::Subarticular(Side::Right),
];

impl Condition {
    /// Name in columns and row ids.
    pub(crate) fn column(self) -> &'static str {
        match self {
            Self::Spinal => "spinal_canal_stenosis",
            Self::Foraminal(Side::Left) => "left_neural_foraminal_narrowing",
            Self::Foraminal(Side::Right) => "right_neural_foraminal_narrowing",
            Self::Subarticular(Side::Left) => "left_subarticular_stenosis",
            Self::Subarticular(Side::Right) => "right_subarticular_stenosis",
        }
    }

    /// Name in train_label_coordinates.csv.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Spinal => "Spinal Canal Stenosis",
            Self::Foraminal(Side::Left) => "Left Neural Foraminal Narrowing",
            Self::Foraminal(Side::Right) => "Right Neural Foraminal Narrowing",
            Self::Subarticular(Side::Left) => "Left Subarticular Stenosis",
            Self::Subarticular(Side::Right) => "Right Subarticular Stenosis",
        }
    }

    /// Index of the metric's group: 0 spinal, 1 foraminal, 2 subarticular.
    pub(crate) fn group(self) -> usize {
        match self {
            Self::Spinal => 0,
            Self::Foraminal(_) => 1,
            Self::Subarticular(_) => 2,
        }
    }
}

/// Index of a target in train.csv's order.
pub(crate) fn target(condition: usize, level: usize) -> usize {
    condition * LEVELS.len() + level
}

/// Column name of a target: `{condition}_{level}`.
pub(crate) fn column(target: usize) -> String {
    format!("{}_{}", CONDITIONS[target / LEVELS.len()].column(), LEVELS[target % LEVELS.len()].0)
}

/// The targets as sample_submission.csv orders them: alphabetically by row id.
pub(crate) fn submission_order() -> Vec<usize> {
    let mut order: Vec<usize> = (0..TARGETS).collect();
    order.sort_by_key(|&target| column(target));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_submission_is_sorted_by_condition_and_train_is_not() {
        let order = submission_order();
        assert_eq!(column(0), "spinal_canal_stenosis_l1_l2");
        assert_eq!(column(order[0]), "left_neural_foraminal_narrowing_l1_l2");
        assert_eq!(column(order[5]), "left_subarticular_stenosis_l1_l2");
        assert_eq!(column(order[10]), "right_neural_foraminal_narrowing_l1_l2");
        assert_eq!(column(order[24]), "spinal_canal_stenosis_l5_s1");
    }
}
