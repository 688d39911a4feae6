use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::UnknownName;

/// How severe a condition is at a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Severity {
    /// Normal or mild.
    #[serde(rename = "Normal/Mild")]
    NormalMild,
    /// Moderate.
    Moderate,
    /// Severe.
    Severe,
}

impl Severity {
    /// Number of severities.
    pub const COUNT: usize = 3;

    /// All severities in rising order: the order of every array over severities.
    pub const ALL: [Self; Self::COUNT] = [Self::NormalMild, Self::Moderate, Self::Severe];

    /// Index in [`Severity::ALL`], 0–2: the class in a network's output.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The severity with the greatest probability; of equal ones the mildest.
    ///
    /// ```
    /// use lumbar::anatomy::Severity;
    ///
    /// assert_eq!(Severity::most_probable(&[0.2, 0.5, 0.3]), Severity::Moderate);
    /// assert_eq!(Severity::most_probable(&[0.4, 0.2, 0.4]), Severity::NormalMild);
    /// ```
    #[must_use]
    pub fn most_probable(probabilities: &[f64; Self::COUNT]) -> Self {
        let better = |best: Self, other: Self| {
            if probabilities[other.index()] > probabilities[best.index()] { other } else { best }
        };
        Self::ALL.into_iter().fold(Self::NormalMild, better)
    }

    /// Weight of a row with this label in the competition's score: 1, 2 or 4 (from its evaluation page).
    #[must_use]
    pub const fn weight(self) -> f64 {
        match self {
            Self::NormalMild => 1.0,
            Self::Moderate => 2.0,
            Self::Severe => 4.0,
        }
    }

    /// The value in `train.csv`, also used for display: `Normal/Mild`.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::NormalMild => "Normal/Mild",
            Self::Moderate => "Moderate",
            Self::Severe => "Severe",
        }
    }

    /// The column name in `sample_submission.csv`: `normal_mild`.
    #[must_use]
    pub const fn snake(self) -> &'static str {
        match self {
            Self::NormalMild => "normal_mild",
            Self::Moderate => "moderate",
            Self::Severe => "severe",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.title())
    }
}

impl FromStr for Severity {
    type Err = UnknownName;

    /// Parses either spelling; upper and lower case matter.
    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .into_iter()
            .find(|severity| severity.title() == name || severity.snake() == name)
            .ok_or_else(|| UnknownName::new("severity", name, Self::ALL.map(Self::title)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_read() {
        for severity in Severity::ALL {
            assert_eq!(severity.title().parse(), Ok(severity));
            assert_eq!(severity.snake().parse(), Ok(severity));
            assert_eq!(Severity::ALL[severity.index()], severity);
            assert_eq!(serde_json::to_value(severity).unwrap(), severity.title());
        }
        assert!("Mild".parse::<Severity>().is_err());
    }

    #[test]
    fn weights_are_those_of_the_score() {
        assert_eq!(Severity::ALL.map(Severity::weight), [1.0, 2.0, 4.0]);
    }
}
