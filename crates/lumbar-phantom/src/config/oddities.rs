//! How often the peculiarities of the competition's files are planted.

use serde::{Deserialize, Serialize};

/// How often each oddity of the competition's files is planted.
///
/// A rate counts studies. When a phantom has at least 20 labelled studies, each oddity with a positive rate is
/// planted at least once, so that a default phantom shows every one of them. The competition's own rates are in
/// the last column, counted on its public files.
///
/// | field | default | what is planted | competition |
/// |---|---|---|---|
/// | `flipped_sagittal` | 0.35 | slices numbered from left to right, not right to left | 699 of 1,960 |
/// | `reversed_axial` | 0.12 | axial slices numbered from bottom to top | 283 of 2,298 |
/// | `split_axial` | 0.17 | axial stacks spread over two series | 335 of 1,975 |
/// | `axial_stacks` | 0.45 | one oblique stack a disc instead of one block | about half |
/// | `missing_t1` | 0.015 | no sagittal T1 series | 2 of 1,975 |
/// | `missing_t2` | 0.015 | no sagittal T2 series | 1 of 1,975 |
/// | `second_t1` | 0.015 | two sagittal T1 series | 7 of 1,975 |
/// | `instance_gap` | 0.03 | a jump in the instance numbers, or a first one that is not 1 | 17 of 6,294 series |
/// | `short_axial` | 0.12 | axial slices do not reach L1/L2 (or L2/L3): labels missing there | about 13% |
/// | `missing_label` | 0.02 | one more empty label cell | few |
/// | `missing_coordinate` | 0.02 | a labelled cell without a coordinate | 29 cells |
/// | `unlabelled_coordinate` | 0.02 | a coordinate without a label | 35 coordinates |
/// | `level_slip` | 0.03 | the reader counted one level off: labels and coordinates of a condition moved | 91 of 1,975 |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the table above says what each rate is")]
pub struct OddityRates {
    pub flipped_sagittal: f64,
    pub reversed_axial: f64,
    pub split_axial: f64,
    pub axial_stacks: f64,
    pub missing_t1: f64,
    pub missing_t2: f64,
    pub second_t1: f64,
    pub instance_gap: f64,
    pub short_axial: f64,
    pub missing_label: f64,
    pub missing_coordinate: f64,
    pub unlabelled_coordinate: f64,
    pub level_slip: f64,
}

impl Default for OddityRates {
    fn default() -> Self {
        Self {
            flipped_sagittal: 0.35,
            reversed_axial: 0.12,
            split_axial: 0.17,
            axial_stacks: 0.45,
            missing_t1: 0.015,
            missing_t2: 0.015,
            second_t1: 0.015,
            instance_gap: 0.03,
            short_axial: 0.12,
            missing_label: 0.02,
            missing_coordinate: 0.02,
            unlabelled_coordinate: 0.02,
            level_slip: 0.03,
        }
    }
}

impl OddityRates {
    /// No oddity at all.
    pub fn none() -> Self {
        Self {
            flipped_sagittal: 0.0,
            reversed_axial: 0.0,
            split_axial: 0.0,
            axial_stacks: 0.0,
            missing_t1: 0.0,
            missing_t2: 0.0,
            second_t1: 0.0,
            instance_gap: 0.0,
            short_axial: 0.0,
            missing_label: 0.0,
            missing_coordinate: 0.0,
            unlabelled_coordinate: 0.0,
            level_slip: 0.0,
        }
    }

    /// The rates by name, in the order in which they are planted.
    pub(crate) fn fields(&self) -> [(&'static str, f64); 13] {
        [
            ("flipped_sagittal", self.flipped_sagittal),
            ("reversed_axial", self.reversed_axial),
            ("split_axial", self.split_axial),
            ("axial_stacks", self.axial_stacks),
            ("missing_t1", self.missing_t1),
            ("missing_t2", self.missing_t2),
            ("second_t1", self.second_t1),
            ("instance_gap", self.instance_gap),
            ("short_axial", self.short_axial),
            ("missing_label", self.missing_label),
            ("missing_coordinate", self.missing_coordinate),
            ("unlabelled_coordinate", self.unlabelled_coordinate),
            ("level_slip", self.level_slip),
        ]
    }
}
