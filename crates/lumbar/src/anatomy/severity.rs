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
    /// The severity with the largest of three values; the milder one of equals.
    ///
    /// ```
    /// use lumbar::anatomy::Severity;
    ///
    /// assert_eq!(Severity::most_probable(&[0.2, 0.4, 0.4]), Severity::Moderate);
    /// ```
    #[must_use]
    pub fn most_probable(probabilities: &[f64; 3]) -> Self {
        Self::ALL.into_iter().fold(Self::NormalMild, |best, severity| {
            if probabilities[severity.index()] > probabilities[best.index()] { severity } else { best }
        })
    }

    /// The three severities in rising order: the order of every array over classes.
    pub const ALL: [Self; 3] = [Self::NormalMild, Self::Moderate, Self::Severe];

    /// Place in [`Severity::ALL`], 0–2: the class of a target.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Weight of a row with this label in the competition's score: 1, 2 or 4.
    #[must_use]
    pub const fn weight(self) -> f64 {
        match self {
            Self::NormalMild => 1.0,
            Self::Moderate => 2.0,
            Self::Severe => 4.0,
        }
    }

    /// The value in `train.csv`, and the one for people: `Normal/Mild`.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::NormalMild => "Normal/Mild",
            Self::Moderate => "Moderate",
            Self::Severe => "Severe",
        }
    }

    /// The column of `sample_submission.csv`: `normal_mild`.
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

    /// Reads either spelling, exactly.
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
