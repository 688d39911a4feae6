use std::path::Path;

use serde::Serialize;

use super::Study;
use crate::anatomy::{Condition, Mirror, Target};
use crate::data::SeriesId;
use crate::data::manifest::{PointRecord, StudyRecord};

/// Why a mark has no place in the patient.
#[derive(Debug, Clone, PartialEq, Serialize, thiserror::Error)]
#[non_exhaustive]
pub enum PointError {
    /// The study has no such readable series.
    #[error("the study has no readable series {series}")]
    NoSeries {
        /// The series that the mark names.
        series: SeriesId,
    },
    /// The series has no such slice.
    #[error("series {series} has no instance {instance}")]
    NoInstance {
        /// The series.
        series: SeriesId,
        /// The instance that the mark names.
        instance: u32,
    },
    /// The slice does not say where it lies.
    #[error("instance {instance} of series {series} does not say where it lies in the patient")]
    NoGeometry {
        /// The series.
        series: SeriesId,
        /// The instance.
        instance: u32,
    },
    /// The mark lies outside of the picture.
    #[error(
        "the mark at x {x_px}, y {y_px} is outside of instance {instance} of series {series} with {columns} columns and {rows} rows"
    )]
    Outside {
        /// The series.
        series: SeriesId,
        /// The instance.
        instance: u32,
        /// Column of the mark.
        x_px: f64,
        /// Row of the mark.
        y_px: f64,
        /// The picture's width.
        columns: usize,
        /// The picture's height.
        rows: usize,
    },
}

pub(super) fn locate(study: &Study, point: &PointRecord) -> Result<[f64; 3], PointError> {
    let PointRecord { series, instance, x_px, y_px, .. } = *point;
    let found = study.series(series).ok_or(PointError::NoSeries { series })?;
    // The table means the file's name; the number in the file is the same only most of the time.
    let stem = |path: &Path| path.file_stem()?.to_str()?.parse::<u32>().ok();
    let slice = found
        .data
        .slices()
        .find(|slice| match slice.path().and_then(stem) {
            Some(stem) => stem == instance,
            None => slice.instance_number.is_some_and(|number| i64::from(number) == i64::from(instance)),
        })
        .ok_or(PointError::NoInstance { series, instance })?;
    let (columns, rows) = (slice.columns, slice.rows);
    let inside = |at: f64, size: usize| (-0.5..=size as f64 - 0.5).contains(&at);
    if !inside(x_px, columns) || !inside(y_px, rows) {
        return Err(PointError::Outside { series, instance, x_px, y_px, columns, rows });
    }
    let geometry = slice.geometry.ok_or(PointError::NoGeometry { series, instance })?;
    Ok(geometry.patient_at(x_px, y_px))
}

/// Where one target lies, and how that is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum StudyPoint {
    /// The annotated point.
    Annotated {
        /// Position in mm.
        position_mm: [f64; 3],
        /// The series on which it is annotated.
        series: SeriesId,
    },
    /// The other side is marked: its mirror image across the canal of the same level.
    FromOtherSide {
        /// Position in mm.
        position_mm: [f64; 3],
    },
    /// Only the canal of the same level is marked: its place, from which a crop still shows both sides.
    FromCanal {
        /// Position in mm.
        position_mm: [f64; 3],
    },
    /// Nothing at this level is marked: to be predicted from the prior.
    Unknown,
}

impl StudyPoint {
    /// The position in mm, however it is known.
    #[must_use]
    pub const fn position_mm(&self) -> Option<[f64; 3]> {
        match *self {
            Self::Annotated { position_mm, .. }
            | Self::FromOtherSide { position_mm }
            | Self::FromCanal { position_mm } => Some(position_mm),
            Self::Unknown => None,
        }
    }
}

/// The places of all targets in one study, over [`Target::ALL`].
#[derive(Debug, Clone, PartialEq)]
pub struct StudyPoints {
    /// One for each target.
    pub points: [StudyPoint; Target::COUNT],
    /// Marks that have no place in the patient, and why.
    pub failures: Vec<(Target, PointError)>,
}

impl StudyPoints {
    /// Locates the marks of `record` in an opened study and fills in what a missing one can be told from.
    /// Of several marks of one target the first that has a place counts.
    #[must_use]
    pub fn locate(study: &Study, record: &StudyRecord) -> Self {
        let mut marked = [None; Target::COUNT];
        let mut failures = Vec::new();
        for point in &record.points {
            match study.locate(point) {
                Ok(position_mm) => {
                    marked[point.target.index()].get_or_insert((position_mm, point.series));
                }
                Err(error) => failures.push((point.target, error)),
            }
        }
        let at = |target: Target| marked[target.index()].map(|(position_mm, _)| position_mm);
        let points = Target::ALL.map(|target| {
            let canal = at(Target::new(Condition::SpinalCanalStenosis, target.level));
            let other_side = target.condition.side().and_then(|_| at(Mirror::target(target)));
            match (marked[target.index()], canal, other_side) {
                (Some((position_mm, series)), ..) => StudyPoint::Annotated { position_mm, series },
                (None, Some([middle, ..]), Some([x, y, z])) => {
                    StudyPoint::FromOtherSide { position_mm: [2.0 * middle - x, y, z] }
                }
                (None, Some(position_mm), None) => StudyPoint::FromCanal { position_mm },
                (None, None, _) => StudyPoint::Unknown,
            }
        });
        Self { points, failures }
    }

    /// The place of `target`.
    #[must_use]
    pub const fn get(&self, target: Target) -> &StudyPoint {
        &self.points[target.index()]
    }
}
