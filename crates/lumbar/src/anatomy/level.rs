use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::UnknownName;

/// A disc level, named after the vertebrae above and below; in order from head to foot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// Between the first and the second lumbar vertebra.
    #[serde(rename = "l1_l2")]
    L1L2,
    /// Between the second and the third lumbar vertebra.
    #[serde(rename = "l2_l3")]
    L2L3,
    /// Between the third and the fourth lumbar vertebra.
    #[serde(rename = "l3_l4")]
    L3L4,
    /// Between the fourth and the fifth lumbar vertebra.
    #[serde(rename = "l4_l5")]
    L4L5,
    /// Between the fifth lumbar vertebra and the sacrum.
    #[serde(rename = "l5_s1")]
    L5S1,
}

impl Level {
    /// All levels from head to foot: the order of every array over levels.
    pub const ALL: [Self; 5] = [Self::L1L2, Self::L2L3, Self::L3L4, Self::L4L5, Self::L5S1];

    /// Index in [`Level::ALL`], 0–4.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The spelling in the column names of `train.csv`: `l1_l2`.
    #[must_use]
    pub const fn snake(self) -> &'static str {
        match self {
            Self::L1L2 => "l1_l2",
            Self::L2L3 => "l2_l3",
            Self::L3L4 => "l3_l4",
            Self::L4L5 => "l4_l5",
            Self::L5S1 => "l5_s1",
        }
    }

    /// The spelling in `train_label_coordinates.csv`, also used for display: `L1/L2`.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::L1L2 => "L1/L2",
            Self::L2L3 => "L2/L3",
            Self::L3L4 => "L3/L4",
            Self::L4L5 => "L4/L5",
            Self::L5S1 => "L5/S1",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.title())
    }
}

impl FromStr for Level {
    type Err = UnknownName;

    /// Parses either spelling; upper and lower case matter.
    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .into_iter()
            .find(|level| level.snake() == name || level.title() == name)
            .ok_or_else(|| UnknownName::new("level", name, Self::ALL.map(Self::title)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_read() {
        for level in Level::ALL {
            assert_eq!(level.snake().parse(), Ok(level));
            assert_eq!(level.title().parse(), Ok(level));
            assert_eq!(Level::ALL[level.index()], level);
        }
    }

    #[test]
    fn an_unknown_spelling_is_an_error_that_lists_the_known_ones() {
        let error = "L6/S1".parse::<Level>().unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"unknown level "L6/S1", expected one of "L1/L2", "L2/L3", "L3/L4", "L4/L5", "L5/S1""#
        );
    }
}
