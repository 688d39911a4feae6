//! How far a study is from the studies that a model was trained on.
//!
//! A network answers whatever it is shown. [`StudyMeasures`] are a few numbers that say how a study was taken and what
//! its images look like; a [`DomainSummary`] has their range over the training studies. [`DomainSummary::differences`]
//! are the measures of a study outside that range, in words. They are warnings: no prediction depends on them.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use lumbar::data::SeriesKind;
//! use lumbar::data::domain::{DomainSummary, Measure, StudyMeasures};
//!
//! let study = |mm| StudyMeasures {
//!     series: vec![(SeriesKind::SagittalT1, BTreeMap::from([(Measure::SliceDistanceMm, mm)]))],
//!     reliability: None,
//! };
//! let training: Vec<StudyMeasures> = (0..101).map(|k| study(3.6 + 0.019 * f64::from(k))).collect();
//! let summary = DomainSummary::fit(&training);
//! assert!(summary.differences(&study(4.5)).is_empty());
//! assert_eq!(
//!     summary.differences(&study(8.0))[0].to_string(),
//!     "Sagittal T1: slices are 8.0 mm apart; the training studies had 3.6 to 5.5 mm"
//! );
//! ```

mod greys;
mod summary;

use std::collections::BTreeMap;

use lumbar_dicom::{Series, Slice, Stack};
use serde::{Deserialize, Serialize};

use super::SeriesKind;
use super::found_points::StudyFoundPoints;
use super::intensity::{IntensityConfig, IntensityWindow};
use super::study::Study;

pub use greys::Greys;
pub use summary::{DomainDifference, DomainSummary, Percentiles};

/// Grey values are counted in this many slices of a series, evenly spaced.
const SLICES: usize = 5;

/// One number that is measured of a series.
///
/// Greys are shares of the series' window: 0 is its 0.5th and 1 its 99.5th percentile, as networks see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Side of a pixel in mm: the geometric mean of both sides.
    PixelMm,
    /// Distance of neighbouring slices in mm: the median over stacks.
    SliceDistanceMm,
    /// Longer side of the image in mm.
    FieldMm,
    /// Longer side of the image in pixels.
    MatrixPx,
    /// The grey below which a quarter of the pixels are, 0–1.
    LowerQuartile,
    /// The grey below which half of the pixels are, 0–1.
    Median,
    /// The grey below which three quarters of the pixels are, 0–1.
    UpperQuartile,
    /// Entropy of the histogram of greys in 64 bins, 0–6 bits.
    EntropyBits,
}

/// The measures of one series; those that its files do not allow are missing.
pub type SeriesMeasures = BTreeMap<Measure, f64>;

/// What is measured of one study.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StudyMeasures {
    /// Its series of a known kind.
    pub series: Vec<(SeriesKind, SeriesMeasures)>,
    /// The mean reliability of its points, 0–1, if a localiser looked for them. A point that was not found counts as 0.
    pub reliability: Option<f64>,
}

impl StudyMeasures {
    /// Measures an opened study. Slices that cannot be decoded are left out.
    #[must_use]
    pub fn of(study: &Study) -> Self {
        let series = study.series.iter().filter_map(|series| Some((series.kind?, series_measures(&series.data))));
        Self { series: series.collect(), reliability: None }
    }

    /// The same with the reliability of the points that a localiser found.
    #[must_use]
    pub fn with_points(self, points: &StudyFoundPoints) -> Self {
        let sum: f64 = points.iter().flatten().map(|point| point.reliability).sum();
        Self { reliability: Some(sum / points.len() as f64), ..self }
    }
}

/// The measures of a series.
#[must_use]
pub fn series_measures(series: &Series) -> SeriesMeasures {
    let mut measures = SeriesMeasures::new();
    if let Some((slice, geometry)) = series.slices().find_map(|slice| Some((slice, slice.geometry?))) {
        let [across, down] = [geometry.column_spacing_mm, geometry.row_spacing_mm];
        let field_mm = (slice.columns as f64 * across).max(slice.rows as f64 * down);
        measures.insert(Measure::PixelMm, (across * down).sqrt());
        measures.insert(Measure::FieldMm, field_mm);
    }
    if let Some(slice) = series.slices().next() {
        measures.insert(Measure::MatrixPx, slice.columns.max(slice.rows) as f64);
    }
    let mut distances: Vec<f64> = series.stacks.iter().filter_map(Stack::spacing_mm).collect();
    distances.sort_unstable_by(f64::total_cmp);
    if let Some(median) = distances.get(distances.len() / 2) {
        measures.insert(Measure::SliceDistanceMm, *median);
    }
    if let Some(greys) = series_greys(series) {
        greys.insert_into(&mut measures);
    }
    measures
}

/// The greys of a few slices, in the window of these slices; `None` if none of them can be decoded.
fn series_greys(series: &Series) -> Option<Greys> {
    let all: Vec<&Slice> = series.slices().collect();
    let count = all.len().min(SLICES);
    let chosen = (0..count).map(|place| all[(2 * place + 1) * all.len() / (2 * count)]);
    let slices: Vec<Slice> = chosen.filter_map(|slice| slice.loaded().ok()).collect();
    if slices.is_empty() {
        return None;
    }
    let sampled = Series { stacks: vec![Stack::new(slices)], ..series.clone() };
    let window = IntensityWindow::of_series(&sampled, &IntensityConfig::default()).ok()?;
    let mut greys = Greys::default();
    for slice in sampled.slices() {
        let pixels = slice.pixels().ok()?;
        let (gain, offset) = window.gain_offset(slice.rescale, slice.is_inverted());
        let padding = slice.padding.map(|(from, to)| from as f64..=to as f64);
        let stored = (0..pixels.len()).filter_map(|index| pixels.get(index));
        let shown = stored.filter(|value| padding.as_ref().is_none_or(|padding| !padding.contains(value)));
        greys.add(shown.map(|value| value as f32 * gain + offset));
    }
    Some(greys)
}
