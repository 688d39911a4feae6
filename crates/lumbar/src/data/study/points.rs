use std::path::Path;

use serde::Serialize;

use lumbar_dicom::Slice;

use super::Study;
use crate::anatomy::{Condition, Mirror, Target};
use crate::data::SeriesId;
use crate::data::found_points::{FoundPoint, PointOrigin, StudyFoundPoints};
use crate::data::manifest::{PointRecord, StudyRecord};

/// Why an annotation has no position in the patient.
#[derive(Debug, Clone, PartialEq, Serialize, thiserror::Error)]
#[non_exhaustive]
pub enum PointError {
    /// The study has no such readable series.
    #[error("the study has no readable series {series}")]
    NoSeries {
        /// The series that the annotation names.
        series: SeriesId,
    },
    /// The series has no such slice.
    #[error("series {series} has no instance {instance}")]
    NoInstance {
        /// The series.
        series: SeriesId,
        /// The instance that the annotation names.
        instance: u32,
    },
    /// The slice does not say where it is in the patient.
    #[error("instance {instance} of series {series} does not say where it is in the patient")]
    NoGeometry {
        /// The series.
        series: SeriesId,
        /// The instance.
        instance: u32,
    },
    /// The point is outside of the image.
    #[error(
        "the point at x {x_px}, y {y_px} is outside of instance {instance} of series {series} with {columns} columns and {rows} rows"
    )]
    Outside {
        /// The series.
        series: SeriesId,
        /// The instance.
        instance: u32,
        /// Column of the point.
        x_px: f64,
        /// Row of the point.
        y_px: f64,
        /// The image's width.
        columns: usize,
        /// The image's height.
        rows: usize,
    },
}

pub(super) fn locate(study: &Study, point: &PointRecord) -> Result<[f64; 3], PointError> {
    let PointRecord { series, instance, x_px, y_px, .. } = *point;
    let found = study.series(series).ok_or(PointError::NoSeries { series })?;
    let slice = found
        .data
        .slices()
        .find(|slice| instance_of(slice) == Some(instance))
        .ok_or(PointError::NoInstance { series, instance })?;
    let (columns, rows) = (slice.columns, slice.rows);
    let inside = |at: f64, size: usize| (-0.5..=size as f64 - 0.5).contains(&at);
    if !inside(x_px, columns) || !inside(y_px, rows) {
        return Err(PointError::Outside { series, instance, x_px, y_px, columns, rows });
    }
    let geometry = slice.geometry.ok_or(PointError::NoGeometry { series, instance })?;
    Ok(geometry.patient_at(x_px, y_px))
}

/// The instance number of a slice, as the competition's tables mean it: the number in the file's name. InstanceNumber
/// is not always the same, and counts only where the name is no number.
pub(crate) fn instance_of(slice: &Slice) -> Option<u32> {
    let stem = |path: &Path| path.file_stem()?.to_str()?.parse::<u32>().ok();
    slice.path().and_then(stem).or_else(|| slice.instance_number?.try_into().ok())
}

/// The position of one target, and how it is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum StudyPoint {
    /// A reader annotated it.
    Annotated {
        /// Position in mm.
        position_mm: [f64; 3],
        /// The series with the annotation.
        series: SeriesId,
    },
    /// The other side is annotated: its mirror image across the canal of the same level.
    FromOtherSide {
        /// Position in mm.
        position_mm: [f64; 3],
    },
    /// Only the canal of the same level is annotated: its position, around which a crop still shows both sides.
    FromCanal {
        /// Position in mm.
        position_mm: [f64; 3],
    },
    /// Nothing at this level is annotated: the target is predicted from the prior.
    Unknown,
}

impl StudyPoint {
    /// The position in mm; `None` if it is unknown.
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

/// The positions of all targets in one study, over [`Target::ALL`].
#[derive(Debug, Clone, PartialEq)]
pub struct StudyPoints {
    /// One for each target.
    pub points: [StudyPoint; Target::COUNT],
    /// Annotations that have no position in the patient, and why.
    pub failures: Vec<(Target, PointError)>,
}

impl StudyPoints {
    /// Locates the annotations of `record` in an opened study and derives missing ones where that is possible. Of several
    /// annotations of one target the first with a position counts.
    #[must_use]
    pub fn locate(study: &Study, record: &StudyRecord) -> Self {
        let mut annotated = [None; Target::COUNT];
        let mut failures = Vec::new();
        for point in &record.points {
            match study.locate(point) {
                Ok(position_mm) => {
                    annotated[point.target.index()].get_or_insert((position_mm, point.series));
                }
                Err(error) => failures.push((point.target, error)),
            }
        }
        let at = |target: Target| annotated[target.index()].map(|(position_mm, _)| position_mm);
        let points = Target::ALL.map(|target| {
            let canal = at(Target::new(Condition::SpinalCanalStenosis, target.level));
            let other_side = target.condition.side().and_then(|_| at(Mirror::target(target)));
            match (annotated[target.index()], canal, other_side) {
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

    /// The annotated points alone, as a table of found points has them.
    #[must_use]
    pub fn annotated(&self) -> StudyFoundPoints {
        self.points.map(|point| match point {
            StudyPoint::Annotated { position_mm, .. } => {
                Some(FoundPoint { position_mm, reliability: 1.0, origin: PointOrigin::Annotated })
            }
            _ => None,
        })
    }

    /// The position of `target`.
    #[must_use]
    pub const fn get(&self, target: Target) -> &StudyPoint {
        &self.points[target.index()]
    }
}
