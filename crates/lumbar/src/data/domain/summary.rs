use std::collections::BTreeMap;
use std::fmt;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Measure, StudyMeasures};
use crate::data::found_points::FoundPoints;
use crate::data::manifest::StudyRecord;
use crate::data::study::Study;
use crate::data::{SeriesKind, StudyId};

/// The range of one measure over the training studies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Percentiles {
    /// The 1st percentile.
    pub p1: f64,
    /// The median.
    pub p50: f64,
    /// The 99th percentile.
    pub p99: f64,
}

impl Percentiles {
    /// Percentiles by linear interpolation, NumPy's default; `None` without values.
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        let at = |percent: f64| {
            let place = percent / 100.0 * last as f64;
            let below = place.floor() as usize;
            values[below] + (values[(below + 1).min(last)] - values[below]) * (place - below as f64)
        };
        Some(Self { p1: at(1.0), p50: at(50.0), p99: at(99.0) })
    }

    /// Whether a value is outside by more than half the range and more than `least`.
    fn excludes(&self, value: f64, least: f64) -> bool {
        let margin = ((self.p99 - self.p1) / 2.0).max(least);
        value < self.p1 - margin || value > self.p99 + margin
    }
}

/// The ranges of all measures over a model's training studies. It names no study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainSummary {
    /// How many studies were measured.
    pub studies: usize,
    /// The ranges for each kind of series; a measure without a range is not checked.
    pub series: BTreeMap<SeriesKind, BTreeMap<Measure, Percentiles>>,
    /// The range of the localiser's mean reliability, for a model with a localiser.
    pub reliability: Option<Percentiles>,
}

impl DomainSummary {
    /// The ranges over studies.
    #[must_use]
    pub fn fit(studies: &[StudyMeasures]) -> Self {
        let mut values: BTreeMap<SeriesKind, BTreeMap<Measure, Vec<f64>>> = BTreeMap::new();
        for (kind, measures) in studies.iter().flat_map(|study| &study.series) {
            let of_kind = values.entry(*kind).or_default();
            measures.iter().for_each(|(measure, value)| of_kind.entry(*measure).or_default().push(*value));
        }
        let ranges = |measures: BTreeMap<Measure, Vec<f64>>| {
            measures.into_iter().filter_map(|(measure, values)| Some((measure, Percentiles::of(values)?))).collect()
        };
        Self {
            studies: studies.len(),
            series: values.into_iter().map(|(kind, measures)| (kind, ranges(measures))).collect(),
            reliability: Percentiles::of(studies.iter().filter_map(|study| study.reliability).collect()),
        }
    }

    /// What of each study is outside the ranges, in words; studies inside have no entry, nor have those that cannot be
    /// opened. `points` are those that the model's localiser found.
    #[must_use]
    pub fn warnings(&self, records: &[&StudyRecord], points: &FoundPoints) -> BTreeMap<StudyId, Vec<String>> {
        let words = |record: &&StudyRecord| {
            let measures = StudyMeasures::of(&Study::open(record).ok()?);
            let measures = match points.get(record.id) {
                Some(found) => measures.with_points(found),
                None => measures,
            };
            let words: Vec<String> = self.differences(&measures).iter().map(ToString::to_string).collect();
            (!words.is_empty()).then_some((record.id, words))
        };
        records.par_iter().filter_map(words).collect()
    }

    /// What of a study is outside the ranges. A value counts as outside if it is so by more than half the distance
    /// from the 1st to the 99th percentile and by more than a tenth of the median (greys: 0.03; entropy: 0.3 bits).
    #[must_use]
    pub fn differences(&self, study: &StudyMeasures) -> Vec<DomainDifference> {
        let mut found = Vec::new();
        for (kind, measures) in &study.series {
            let Some(ranges) = self.series.get(kind) else {
                found.push(DomainDifference::KindNotSeen { kind: *kind });
                continue;
            };
            for (measure, value) in measures {
                let Some(expected) = ranges.get(measure) else { continue };
                let least = measure.least_margin().unwrap_or(expected.p50.abs() / 10.0);
                if expected.excludes(*value, least) {
                    let (kind, measure, found_value) = (*kind, *measure, *value);
                    found.push(DomainDifference::Outside { kind, measure, found: found_value, expected: *expected });
                }
            }
        }
        if let (Some(value), Some(expected)) = (study.reliability, self.reliability) {
            // high reliabilities are never a warning
            if value < expected.p50 && expected.excludes(value, 0.1) {
                found.push(DomainDifference::Unreliable { found: value, expected });
            }
        }
        let mut once: Vec<DomainDifference> = Vec::new();
        found.into_iter().for_each(|difference| {
            if !once.contains(&difference) {
                once.push(difference);
            }
        });
        once
    }
}

impl Measure {
    /// The least distance from the range that counts; `None` for lengths, for which it is relative.
    const fn least_margin(self) -> Option<f64> {
        match self {
            Self::LowerQuartile | Self::Median | Self::UpperQuartile => Some(0.03),
            Self::EntropyBits => Some(0.3),
            Self::PixelMm | Self::SliceDistanceMm | Self::FieldMm | Self::MatrixPx => None,
        }
    }
}

/// Something of a study that is outside of what the training studies had. `Display` says it in plain words.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum DomainDifference {
    /// A measure of a series.
    Outside {
        /// The kind of series.
        kind: SeriesKind,
        /// What was measured.
        measure: Measure,
        /// The study's value.
        found: f64,
        /// The training studies' range.
        expected: Percentiles,
    },
    /// No training study had a series of this kind.
    KindNotSeen {
        /// The kind.
        kind: SeriesKind,
    },
    /// The localiser trusts its points less than in the training studies.
    Unreliable {
        /// The mean reliability of the study's points.
        found: f64,
        /// The training studies' range.
        expected: Percentiles,
    },
}

impl fmt::Display for DomainDifference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| (100.0 * share).round();
        match self {
            Self::Outside { kind, measure, found, expected: Percentiles { p1, p99, .. } } => {
                write!(formatter, "{kind}: ")?;
                let quartile = |formatter: &mut fmt::Formatter<'_>, what: &str| {
                    let (found, p1, p99) = (percent(*found), percent(*p1), percent(*p99));
                    write!(
                        formatter,
                        "{what} of the pixels are darker than {found} % of the grey range; in the training studies it was {p1} to {p99} %"
                    )
                };
                match measure {
                    Measure::PixelMm => write!(
                        formatter,
                        "pixels are {found:.2} mm wide; the training studies had {p1:.2} to {p99:.2} mm"
                    ),
                    Measure::SliceDistanceMm => write!(
                        formatter,
                        "slices are {found:.1} mm apart; the training studies had {p1:.1} to {p99:.1} mm"
                    ),
                    Measure::FieldMm => write!(
                        formatter,
                        "the image is {found:.0} mm wide; the training studies had {p1:.0} to {p99:.0} mm"
                    ),
                    Measure::MatrixPx => write!(
                        formatter,
                        "the image has {found:.0} pixels a side; the training studies had {p1:.0} to {p99:.0}"
                    ),
                    Measure::LowerQuartile => quartile(formatter, "a quarter"),
                    Measure::Median => quartile(formatter, "half"),
                    Measure::UpperQuartile => quartile(formatter, "three quarters"),
                    Measure::EntropyBits => write!(
                        formatter,
                        "the histogram of greys has an entropy of {found:.1} bits; the training studies had {p1:.1} to {p99:.1}"
                    ),
                }
            }
            Self::KindNotSeen { kind } => write!(formatter, "{kind}: no training study had such a series"),
            Self::Unreliable { found, expected: Percentiles { p1, p99, .. } } => write!(
                formatter,
                "the localiser's mean reliability is {found:.2}; over the training studies it was {p1:.2} to {p99:.2}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::domain::SeriesMeasures;

    fn study(kind: SeriesKind, measure: Measure, value: f64, reliability: f64) -> StudyMeasures {
        let series = vec![(kind, SeriesMeasures::from([(measure, value)]))];
        StudyMeasures { series, reliability: Some(reliability) }
    }

    #[test]
    fn what_is_outside_is_said_once_and_what_is_not_measured_is_not() {
        let kind = SeriesKind::SagittalT2;
        let training: Vec<StudyMeasures> =
            (0..=100).map(|k| study(kind, Measure::Median, 0.1 + f64::from(k) / 1e3, 0.8)).collect();
        let summary = DomainSummary::fit(&training);
        let words =
            |study: &StudyMeasures| summary.differences(study).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(words(&study(kind, Measure::Median, 0.22, 0.99)), Vec::<String>::new());
        assert_eq!(words(&study(kind, Measure::FieldMm, 900.0, 0.8)), Vec::<String>::new());
        let mut twice = study(kind, Measure::Median, 0.7, 0.1);
        twice.series.push(twice.series[0].clone());
        assert_eq!(
            words(&twice),
            [
                "Sagittal T2/STIR: half of the pixels are darker than 70 % of the grey range; in the training studies it was 10 to 20 %",
                "the localiser's mean reliability is 0.10; over the training studies it was 0.80 to 0.80"
            ]
        );
        let other = study(SeriesKind::AxialT2, Measure::Median, 0.15, 0.8);
        assert_eq!(words(&other), ["Axial T2: no training study had such a series"]);
    }

    #[test]
    fn a_summary_is_read_back_from_json() {
        let summary = DomainSummary::fit(&[study(SeriesKind::SagittalT1, Measure::MatrixPx, 512.0, 0.5)]);
        let text = serde_json::to_string(&summary).unwrap();
        assert!(text.contains(r#""Sagittal T1":{"matrix_px":{"p1":512.0"#), "{text}");
        assert_eq!(serde_json::from_str::<DomainSummary>(&text).unwrap(), summary);
        assert!(DomainSummary::fit(&[]).series.is_empty());
    }
}
