use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::anatomy::{Condition, ConditionGroup};

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }

        impl FromStr for $name {
            type Err = ParseIntError;

            fn from_str(text: &str) -> Result<Self, ParseIntError> {
                text.parse().map(Self)
            }
        }

        impl From<u64> for $name {
            fn from(number: u64) -> Self {
                Self(number)
            }
        }
    };
}

identifier! {
    /// The competition's number of a study: one patient's visit, the unit of splitting and reporting.
    StudyId
}

identifier! {
    /// The competition's number of a series; unique inside its study.
    SeriesId
}

/// Which half of the competition's data set a study is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataSplit {
    /// With labels: `train.csv`, `train_images/`.
    Train,
    /// Without labels: `test_series_descriptions.csv`, `test_images/`.
    Test,
}

impl DataSplit {
    /// Both halves.
    pub const ALL: [Self; 2] = [Self::Train, Self::Test];

    /// `train` or `test`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }

    /// The folder of images: `train_images` or `test_images`.
    #[must_use]
    pub const fn images_folder(self) -> &'static str {
        match self {
            Self::Train => "train_images",
            Self::Test => "test_images",
        }
    }

    /// The table of series: `train_series_descriptions.csv` or `test_series_descriptions.csv`.
    #[must_use]
    pub const fn series_table(self) -> &'static str {
        match self {
            Self::Train => "train_series_descriptions.csv",
            Self::Test => "test_series_descriptions.csv",
        }
    }
}

impl fmt::Display for DataSplit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// Plane and contrast of a series, as the competition describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SeriesKind {
    /// `Sagittal T1`: the foramina are annotated here.
    #[serde(rename = "Sagittal T1")]
    SagittalT1,
    /// `Sagittal T2/STIR`: the spinal canal is annotated here.
    #[serde(rename = "Sagittal T2/STIR")]
    SagittalT2,
    /// `Axial T2`: the subarticular zones are annotated here.
    #[serde(rename = "Axial T2")]
    AxialT2,
}

impl SeriesKind {
    /// The three kinds.
    pub const ALL: [Self; 3] = [Self::SagittalT1, Self::SagittalT2, Self::AxialT2];

    /// The value of `series_description`.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::SagittalT1 => "Sagittal T1",
            Self::SagittalT2 => "Sagittal T2/STIR",
            Self::AxialT2 => "Axial T2",
        }
    }

    /// The kind of series on which the competition's readers annotated `condition`.
    #[must_use]
    pub const fn annotated_for(condition: Condition) -> Self {
        match condition.group() {
            ConditionGroup::Spinal => Self::SagittalT2,
            ConditionGroup::Foraminal => Self::SagittalT1,
            ConditionGroup::Subarticular => Self::AxialT2,
        }
    }
}

impl fmt::Display for SeriesKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.title())
    }
}

impl FromStr for SeriesKind {
    type Err = crate::anatomy::UnknownName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.title() == name)
            .ok_or_else(|| crate::anatomy::UnknownName::new("series description", name, Self::ALL.map(Self::title)))
    }
}
