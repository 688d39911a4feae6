//! Samples of the localiser from studies that are drawn in memory.

use lumbar_dicom::Geometry;
use lumbar_phantom::{SlicePixels, SyntheticConfig, SyntheticStudy};
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::LocateSourceConfig;
use super::grid::StackGrid;
use super::stack::StoredStack;
use crate::anatomy::Target;
use crate::config::{ConfigError, check_range};
use crate::data::domain::{DomainSummary, Greys, Measure, StudyMeasures};
use crate::data::loader::{BoxError, Plan};
use crate::data::random::Generator;
use crate::data::{SeriesKind, StudyId};

/// Epochs are this many numbers of studies apart, so that no study comes twice.
const STUDIES_A_EPOCH: u64 = 1 << 24;
/// Validation studies are drawn from this number on, whatever the epoch.
const VALIDATION: u64 = 1 << 60;
/// Side of a pixel of a drawn study, relative to the network's. Coarser than that of files, which saves time.
const FINER: f64 = 0.9;
/// Slices of a drawn study in which greys are counted.
const MEASURED: usize = 5;
/// Drawn studies of which a summary is made.
const MEASURED_STUDIES: u64 = 200;
/// One in this many pixels is counted for the window of intensities.
const SAMPLED: usize = 7;

/// Which studies a localiser is trained on when none are on the disk.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `studies` | 512 | studies an epoch, new ones in each | 1–1,000,000 |
/// | `validation` | 32 | studies on which each epoch is judged, always the same | 1–100,000 |
/// | `views` | 3 | how often a drawn study is augmented and looked at | 1–64 |
/// | `slices` | 5 | neighbouring slices of a study in training | 2–32 |
/// | `back_mm`, `up_mm` | 1 | how far canal points are moved before they are learned, see below | −5–5 |
/// | `draw` | see there | anatomy and looks: see [`SyntheticConfig`] | |
///
/// On two real studies, points of a network that had learned on a phantom were a few millimetres below and in front of
/// those of readers. Canal points are moved by a part of this.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the table above says it")]
pub struct SyntheticStudies {
    pub studies: usize,
    pub validation: usize,
    pub views: usize,
    pub slices: usize,
    pub back_mm: f64,
    pub up_mm: f64,
    pub draw: SyntheticConfig,
}

impl Default for SyntheticStudies {
    fn default() -> Self {
        let draw = SyntheticConfig::default();
        Self { studies: 512, validation: 32, views: 3, slices: 5, back_mm: 1.0, up_mm: 1.0, draw }
    }
}

impl SyntheticStudies {
    /// # Errors
    /// The first field that is out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_range("synthetic.studies", self.studies, 1, 1_000_000)?;
        check_range("synthetic.validation", self.validation, 1, 100_000)?;
        check_range("synthetic.views", self.views, 1, 64)?;
        check_range("synthetic.slices", self.slices, 2, 32)?;
        check_range("synthetic.back_mm", self.back_mm, -5.0, 5.0)?;
        check_range("synthetic.up_mm", self.up_mm, -5.0, 5.0)?;
        self.draw.check().map_err(|error| match error {
            lumbar_phantom::Error::Config { field, found, expected } => {
                ConfigError::new(format!("synthetic.draw.{field}"), found, expected)
            }
            other => ConfigError::new("synthetic.draw", other, "a valid config"),
        })
    }

    /// The ranges of what is measured of drawn studies: the first of those that judge an epoch. They are drawn at the
    /// localiser's own pixel size, to which studies of files are resampled too: pixel size and matrix have no range.
    ///
    /// # Errors
    /// When a study has no slices.
    pub fn domain(&self, source: &LocateSourceConfig, seed: u64) -> Result<DomainSummary, BoxError> {
        let numbers = 0..MEASURED_STUDIES;
        let measured = numbers
            .into_par_iter()
            .map(|number| DrawnStudy::validation(self, source, seed, StudyId(number)).measures(source));
        Ok(DomainSummary::fit(&measured.collect::<Result<Vec<StudyMeasures>, BoxError>>()?))
    }

    /// Numbers of the studies of an epoch, and of those that judge it.
    #[must_use]
    pub fn split(&self) -> (Vec<StudyId>, Vec<StudyId>) {
        let ids = |first: u64, count: usize| (first..first + count as u64).map(StudyId).collect();
        (ids(1, self.studies), ids(1 + self.studies as u64, self.validation))
    }
}

/// Side of a pixel of a drawn study.
pub(super) fn drawn_pixel_mm(source: &LocateSourceConfig) -> f64 {
    source.pixel_mm * FINER
}

/// A study that was drawn, as far as it was looked at.
pub(super) struct DrawnStudy {
    study: SyntheticStudy,
    pub(super) stored: StoredStack,
    pub(super) points: [Option<[f64; 3]>; Target::COUNT],
}

impl DrawnStudy {
    /// The training study of an epoch, or the validation study of this number.
    pub(super) fn of_plan(config: &SyntheticStudies, source: &LocateSourceConfig, plan: &Plan, study: StudyId) -> Self {
        if plan.augmented {
            return Self::new(config, source, plan.seed, plan.epoch * STUDIES_A_EPOCH + study.0);
        }
        Self::validation(config, source, plan.seed, study)
    }

    /// The validation study of this number.
    pub(super) fn validation(
        config: &SyntheticStudies,
        source: &LocateSourceConfig,
        seed: u64,
        study: StudyId,
    ) -> Self {
        Self::new(config, source, seed, VALIDATION + study.0)
    }

    fn new(config: &SyntheticStudies, source: &LocateSourceConfig, seed: u64, number: u64) -> Self {
        let study = SyntheticStudy::draw(&config.draw, seed, number);
        let kind = if study.is_t1() { SeriesKind::SagittalT1 } else { SeriesKind::SagittalT2 };
        let place = study.place(study.slice_count() / 2);
        let [a, b] = [place.along_columns, place.along_rows];
        let geometry = Geometry::new(place.middle_mm, [a[0], a[1], a[2], b[0], b[1], b[2]], [1.0, 1.0])
            .expect("a drawn slice has perpendicular axes");
        let mut grid = StackGrid::new(kind, &geometry, [0.0, 0.0], Vec::new());
        grid.offsets_mm =
            (0..study.slice_count()).map(|slice| grid.project(study.place(slice).middle_mm).left_mm).collect();
        let [rows, columns] = study.field_mm().map(|mm| (mm / drawn_pixel_mm(source)).round().max(1.0) as usize);
        let mut points = study.points();
        for point in &mut points[..crate::anatomy::Level::ALL.len()] {
            (point[1], point[2]) = (point[1] + config.back_mm, point[2] + config.up_mm);
        }
        Self { stored: StoredStack { grid, rows, columns, start: 0 }, points: points.map(Some), study }
    }

    /// The stored pixels of all slices; those that are not shown are 0.
    pub(super) fn pixels(&self, shown: &[bool], source: &LocateSourceConfig) -> Result<Vec<u16>, BoxError> {
        let size = self.stored.rows * self.stored.columns;
        let rendered: Vec<Option<SlicePixels>> = shown
            .iter()
            .enumerate()
            .map(|(slice, shown)| shown.then(|| self.study.render(slice, drawn_pixel_mm(source))))
            .collect();
        let mut sample: Vec<f32> =
            rendered.iter().flatten().flat_map(|slice| slice.values.iter().copied().step_by(SAMPLED)).collect();
        sample.sort_unstable_by(f32::total_cmp);
        let percentile = |percent: f64| sample[((sample.len() - 1) as f64 * percent / 100.0) as usize];
        if sample.is_empty() {
            return Err("no slice of a drawn study is shown".into());
        }
        let (low, high) = (percentile(source.intensity.low_percent), percentile(source.intensity.high_percent));
        let gain = f32::from(u16::MAX) / (high - low).max(1e-6);
        let mut pixels = vec![0; shown.len() * size];
        for (slice, pixels) in rendered.iter().zip(pixels.chunks_exact_mut(size)) {
            let Some(slice) = slice else { continue };
            for (pixel, value) in pixels.iter_mut().zip(&slice.values) {
                *pixel = ((value - low) * gain).clamp(0.0, f32::from(u16::MAX)) as u16;
            }
        }
        Ok(pixels)
    }

    /// Slice distance, field, and greys of a few slices.
    fn measures(&self, source: &LocateSourceConfig) -> Result<StudyMeasures, BoxError> {
        let offsets_mm = &self.stored.grid.offsets_mm;
        let count = offsets_mm.len();
        let chosen: Vec<usize> = (0..MEASURED).map(|place| (2 * place + 1) * count / (2 * MEASURED)).collect();
        let shown: Vec<bool> = (0..count).map(|slice| chosen.contains(&slice)).collect();
        let pixels = self.pixels(&shown, source)?;
        let mut greys = Greys::default();
        for (_, pixels) in shown.iter().zip(pixels.chunks_exact(pixels.len() / count)).filter(|(shown, _)| **shown) {
            greys.add(pixels.iter().map(|value| f32::from(*value) / f32::from(u16::MAX)));
        }
        let mut measures = greys.measures();
        let [height_mm, width_mm] = self.study.field_mm();
        measures.insert(Measure::FieldMm, height_mm.max(width_mm));
        if let [first, second, ..] = offsets_mm[..] {
            measures.insert(Measure::SliceDistanceMm, (second - first).abs());
        }
        Ok(StudyMeasures { series: vec![(self.stored.grid.kind, measures)], reliability: None })
    }

    /// Neighbouring slices about a canal point or a foramen.
    pub(super) fn chosen(&self, count: usize, random: &mut Generator) -> Vec<usize> {
        let slices = self.stored.grid.offsets_mm.len();
        let levels = crate::anatomy::Level::ALL.len();
        // the canal as often as both foramina
        let group = [0, 0, 1, 2][random.random_range(0..4)];
        let point = self.points[group * levels + random.random_range(0..levels)];
        let left_mm = point.map(|point| self.stored.grid.project(point).left_mm);
        let near = left_mm.and_then(|left_mm| self.stored.grid.nearest(left_mm)).map_or(0, |(slice, _)| slice);
        let count = count.min(slices);
        let first = near.saturating_sub(random.random_range(0..count.max(1))).min(slices - count);
        (first..first + count).collect()
    }
}
