//! Found points on the slices that show them: the table that `lumbar locate` writes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use rayon::prelude::*;

use super::found_points::{FoundPoint, FoundPoints, FoundPointsError, PointOrigin, StudyFoundPoints, share};
use super::manifest::StudyRecord;
use super::study::{Study, instance_of};
use super::table::{Seen, Table};
use super::{SeriesId, SeriesKind, StudyId, atomic};
use crate::anatomy::{Condition, ConditionGroup, Level, Target};

/// The header of the table. Conditions and levels are spelt as in `train_label_coordinates.csv`; positions are patient
/// mm in DICOM's axes (LPS), pixels those of the slice.
pub const POINT_TABLE_HEADER: &str =
    "study_id,condition,level,x_mm,y_mm,z_mm,series_id,instance_number,x,y,reliability";

/// A point on a slice, as annotations are given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PointOnSlice {
    /// The series.
    pub series: SeriesId,
    /// The slice: the number in its file's name.
    pub instance: Option<u32>,
    /// Column in pixels; 0 is the middle of the first pixel.
    pub x_px: f64,
    /// Row in pixels.
    pub y_px: f64,
}

/// The slice that shows a point best, of the kind of series on which `condition` is annotated. `None` if no such slice
/// covers the point.
///
/// # Shapes
/// `position_mm` is in patient mm.
#[must_use]
pub fn on_slice(study: &Study, condition: Condition, position_mm: [f64; 3]) -> Option<PointOnSlice> {
    let seen = study.find(position_mm, SeriesKind::annotated_for(condition), None)?;
    let nearest = Some(seen.place.nearest).filter(|nearest| nearest.covered)?;
    let slice = study.series(seen.series)?.data.stacks.get(seen.place.stack)?.slices.get(nearest.slice)?;
    let (x_px, y_px) = (nearest.projection.column, nearest.projection.row);
    Some(PointOnSlice { series: seen.series, instance: instance_of(slice), x_px, y_px })
}

/// Writes the points of studies with the slices that show them best: 25 rows for each study, in the order of
/// [`Target::ALL`]. The cells of a point that was not found are empty, and those of a slice where none covers the point.
///
/// # Errors
/// When the file cannot be written; an existing file is then unchanged.
pub fn write_point_table(path: &Path, records: &[&StudyRecord], points: &FoundPoints) -> Result<(), FoundPointsError> {
    let rows: Vec<String> = records.par_iter().map(|record| rows(record, points)).collect();
    let text = format!("{POINT_TABLE_HEADER}\n{}", rows.concat());
    atomic::write(path, text.as_bytes()).map_err(|source| FoundPointsError::Write { path: path.to_owned(), source })
}

/// Reads the points of a table that [`write_point_table`] wrote: the positions in the patient. Slices are found again
/// in the study. Columns may be in any order; rows may be missing.
///
/// # Errors
/// When the file cannot be read, lacks a column, names a target of a study twice, or a point is incomplete or out of
/// its range. The error names the file, the line and the column.
pub fn read_point_table(path: &Path) -> Result<FoundPoints, FoundPointsError> {
    let table = Table::read(path)?;
    let (study, condition, level) = (table.column("study_id")?, table.column("condition")?, table.column("level")?);
    let axes = [table.column("x_mm")?, table.column("y_mm")?, table.column("z_mm")?];
    let reliability = table.column("reliability")?;
    let mut seen = Seen::new();
    let mut studies: BTreeMap<StudyId, StudyFoundPoints> = BTreeMap::new();
    for row in table.rows() {
        let id: StudyId = row.parse(study, "a study's number")?;
        let condition: Condition = row.parse(condition, "a condition")?;
        let target = Target::new(condition, row.parse::<Level>(level, "a level")?);
        seen.insert(row, (id, target), || format!("study {id}, {target}"))?;
        let points = studies.entry(id).or_insert([None; Target::COUNT]);
        if axes.iter().chain([&reliability]).all(|cell| row.text(*cell).is_empty()) {
            continue;
        }
        let mut position_mm = [0.0; 3];
        for (value, axis) in position_mm.iter_mut().zip(axes) {
            *value = row.finite(axis, "millimetres")?;
        }
        let origin = match condition.group() {
            ConditionGroup::Subarticular => PointOrigin::FromSagittal,
            _ => PointOrigin::Sagittal,
        };
        points[target.index()] = Some(FoundPoint { position_mm, reliability: share(row, reliability)?, origin });
    }
    let mut found = FoundPoints::new();
    studies.into_iter().try_for_each(|(study, points)| found.insert(study, points))?;
    Ok(found)
}

fn rows(record: &StudyRecord, points: &FoundPoints) -> String {
    let study = Study::open(record).ok();
    let mut text = String::new();
    for target in Target::ALL {
        let point = points.get(record.id).and_then(|points| points[target.index()]);
        let _ = write!(text, "{},{},{},", record.id, target.condition, target.level);
        let Some(FoundPoint { position_mm: [x, y, z], reliability, .. }) = point else {
            text.push_str(",,,,,,,\n");
            continue;
        };
        let slice = study.as_ref().and_then(|study| on_slice(study, target.condition, [x, y, z]));
        let slice = slice.map_or_else(
            || ",,,".to_owned(),
            |PointOnSlice { series, instance, x_px, y_px }| {
                let instance = instance.map_or_else(String::new, |instance| instance.to_string());
                format!("{series},{instance},{x_px:.3},{y_px:.3}")
            },
        );
        let _ = writeln!(text, "{x:.3},{y:.3},{z:.3},{slice},{reliability:.4}");
    }
    text
}
