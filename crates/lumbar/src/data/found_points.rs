//! Points that a localiser found: where the targets of studies are in the patient, and how far each is to be trusted.
//!
//! Readers annotate points on slices ([`PointRecord`](super::manifest::PointRecord)); a localiser finds them in
//! patient millimetres. The table of them is a file of the run: each study has one row for each of the 25 targets, its
//! cells empty where no point was found.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::names::quoted_path;
use super::table::{Column, Row, Seen, Table, TableError};
use super::{StudyId, atomic};
use crate::anatomy::{Condition, Level, Target, UnknownName};

/// The columns of the table.
const COLUMNS: [&str; 8] = ["study_id", "condition", "level", "x_mm", "y_mm", "z_mm", "reliability", "origin"];

/// A point that was found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundPoint {
    /// Its position in the patient in mm, in DICOM's axes (LPS: to the left, to the back, to the head).
    pub position_mm: [f64; 3],
    /// How far it is to be trusted, 0–1. Calibrated, it is the probability that the point is within 6 mm of the
    /// annotated one; before that it is the localiser's confidence.
    pub reliability: f64,
    /// How it was found.
    pub origin: PointOrigin,
}

/// How a point was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointOrigin {
    /// A localiser found it on sagittal slices.
    Sagittal,
    /// Found on axial slices, from a start that came from sagittal ones.
    Axial,
    /// Carried from sagittal points to axial slices, through patient millimetres.
    FromSagittal,
    /// The mean position in the series: the baseline that looks at no image.
    MeanPosition,
    /// A reader annotated it.
    Annotated,
}

impl PointOrigin {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Sagittal, Self::Axial, Self::FromSagittal, Self::MeanPosition, Self::Annotated];

    /// The word in tables: `sagittal`, `axial`, `from_sagittal`, `mean_position`, `annotated`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sagittal => "sagittal",
            Self::Axial => "axial",
            Self::FromSagittal => "from_sagittal",
            Self::MeanPosition => "mean_position",
            Self::Annotated => "annotated",
        }
    }
}

impl fmt::Display for PointOrigin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for PointOrigin {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.into_iter().find(|origin| origin.name() == name);
        found.ok_or_else(|| UnknownName::new("origin of a point", name, Self::ALL.map(Self::name)))
    }
}

/// The points of one study over [`Target::ALL`]; `None` where none was found.
pub type StudyFoundPoints = [Option<FoundPoint>; Target::COUNT];

/// Why points cannot be added to a table, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FoundPointsError {
    /// The table has the study already.
    #[error("study {study} has points already")]
    Duplicate {
        /// The study.
        study: StudyId,
    },
    /// A position that is not finite, or a reliability outside of 0–1.
    #[error("study {study}, {target}: found position {position_mm:?} mm and reliability {reliability}, expected finite millimetres and 0–1", position_mm = point.position_mm, reliability = point.reliability)]
    Range {
        /// The study.
        study: StudyId,
        /// The target.
        target: Target,
        /// The point.
        point: FoundPoint,
    },
    /// The file is no such table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The file cannot be written.
    #[error("cannot write {}: {source}", quoted_path(path))]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// The found points of studies.
///
/// ```
/// use lumbar::anatomy::Target;
/// use lumbar::data::found_points::{FoundPoint, FoundPoints, PointOrigin};
/// use lumbar::data::StudyId;
///
/// let mut row = [None; Target::COUNT];
/// let position_mm = [0.1, -20.0, 1.0 / 3.0];
/// row[0] = Some(FoundPoint { position_mm, reliability: 0.97, origin: PointOrigin::Sagittal });
/// let mut points = FoundPoints::new();
/// points.insert(StudyId(7), row)?;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("points.csv");
/// points.write(&path)?;
/// assert_eq!(FoundPoints::read(&path)?, points);
/// assert!(points.insert(StudyId(7), row).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FoundPoints {
    studies: BTreeMap<StudyId, StudyFoundPoints>,
}

impl FoundPoints {
    /// A table without studies.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a study.
    ///
    /// # Errors
    /// When the table has it already, a position is not finite, or a reliability is not in 0–1.
    pub fn insert(&mut self, study: StudyId, points: StudyFoundPoints) -> Result<(), FoundPointsError> {
        for (target, point) in Target::ALL.into_iter().zip(points) {
            if let Some(point) = point.filter(|point| !is_valid(point)) {
                return Err(FoundPointsError::Range { study, target, point });
            }
        }
        match self.studies.entry(study) {
            Entry::Occupied(_) => Err(FoundPointsError::Duplicate { study }),
            Entry::Vacant(vacant) => {
                vacant.insert(points);
                Ok(())
            }
        }
    }

    /// Adds all studies of another table.
    ///
    /// # Errors
    /// When both tables have a study; this one then has those before it, in rising order.
    pub fn merge(&mut self, other: Self) -> Result<(), FoundPointsError> {
        other.studies.into_iter().try_for_each(|(study, points)| self.insert(study, points))
    }

    /// The points of a study; `None` if the table does not have it.
    #[must_use]
    pub fn get(&self, study: StudyId) -> Option<&StudyFoundPoints> {
        self.studies.get(&study)
    }

    /// Studies with their points, in rising order of number.
    pub fn iter(&self) -> impl Iterator<Item = (StudyId, &StudyFoundPoints)> {
        self.studies.iter().map(|(study, points)| (*study, points))
    }

    /// How many studies there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.studies.len()
    }

    /// Whether there is no study.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.studies.is_empty()
    }

    /// A hash of its positions: the same points give the same text, other points another.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for (study, points) in self.iter() {
            hash.update(study.0.to_le_bytes());
            for point in points {
                hash.update([u8::from(point.is_some())]);
                point.iter().flat_map(|point| point.position_mm).for_each(|value| hash.update(value.to_le_bytes()));
            }
        }
        crate::hash::hex(&hash.finalize())
    }

    /// The studies for which `keep` returns true.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(StudyId) -> bool) -> Self {
        Self { studies: self.studies.iter().filter(|(study, _)| keep(**study)).map(|(id, row)| (*id, *row)).collect() }
    }

    /// Writes the table as CSV: study by study in rising order, targets in the order of [`Target::ALL`]. Reading it
    /// gives the same bits.
    ///
    /// # Errors
    /// When the file cannot be written; an existing file is then unchanged.
    pub fn write(&self, path: &Path) -> Result<(), FoundPointsError> {
        let mut text = COLUMNS.join(",");
        text.push('\n');
        for (study, points) in self.iter() {
            for (target, point) in Target::ALL.into_iter().zip(points) {
                let _ = write!(text, "{study},{},{},", target.condition, target.level);
                let _ = match point {
                    Some(FoundPoint { position_mm: [x, y, z], reliability, origin }) => {
                        writeln!(text, "{x},{y},{z},{reliability},{origin}")
                    }
                    None => writeln!(text, ",,,,"),
                };
            }
        }
        atomic::write(path, text.as_bytes()).map_err(|source| FoundPointsError::Write { path: path.to_owned(), source })
    }

    /// Reads what [`FoundPoints::write`] wrote.
    ///
    /// # Errors
    /// When the file cannot be read, has other columns, names a target twice, lacks a target of a study, or a point is
    /// incomplete or out of its range. The error names the file, the line and the column.
    pub fn read(path: &Path) -> Result<Self, FoundPointsError> {
        let table = Table::read(path)?;
        table.expect_header(&COLUMNS)?;
        let columns = COLUMNS.map(|name| table.column(name));
        let mut seen = Seen::new();
        let mut studies: BTreeMap<StudyId, Vec<(Target, Option<FoundPoint>)>> = BTreeMap::new();
        let mut last_line = 1;
        let [study, condition, level, x, y, z, reliability, origin] = columns;
        let (study, condition, level, reliability, origin) = (study?, condition?, level?, reliability?, origin?);
        let axes = [x?, y?, z?];
        for row in table.rows() {
            let id: StudyId = row.parse(study, "a study's number")?;
            let at: Condition = row.parse(condition, "a condition")?;
            let target = Target::new(at, row.parse::<Level>(level, "a level")?);
            seen.insert(row, (id, target), || format!("study {id}, {target}"))?;
            let cells = [axes[0], axes[1], axes[2], reliability, origin];
            let point = if cells.iter().all(|cell| row.text(*cell).is_empty()) {
                None
            } else {
                let mut position_mm = [0.0; 3];
                for (value, axis) in position_mm.iter_mut().zip(axes) {
                    *value = row.finite(axis, "millimetres")?;
                }
                let trust = share(row, reliability)?;
                let origin = row.parse(origin, "an origin of a point")?;
                Some(FoundPoint { position_mm, reliability: trust, origin })
            };
            studies.entry(id).or_default().push((target, point));
            last_line = row.line();
        }
        let mut points = Self::new();
        for (study, found) in studies {
            let mut row = [None; Target::COUNT];
            found.iter().for_each(|(target, point)| row[target.index()] = *point);
            if found.len() < Target::COUNT {
                let reason = format!("study {study} has {} rows, expected one for each of 25 targets", found.len());
                return Err(TableError::Csv { path: path.to_owned(), line: last_line, reason }.into());
            }
            points.insert(study, row)?;
        }
        Ok(points)
    }
}

fn is_valid(point: &FoundPoint) -> bool {
    point.position_mm.iter().all(|value| value.is_finite()) && (0.0..=1.0).contains(&point.reliability)
}

pub(super) fn share(row: Row<'_>, column: Column) -> Result<f64, TableError> {
    let expected = "a number from 0 to 1";
    let value = row.finite(column, expected)?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err(row.wrong(column, expected)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_points(seed: f64) -> StudyFoundPoints {
        Target::ALL.map(|target| {
            let value = seed * (target.index() as f64 + 0.1).sqrt();
            let origin = PointOrigin::ALL[target.index() % 5];
            (target.index() % 4 != 1).then_some(FoundPoint {
                position_mm: [value, -value / 3.0, value * 1e-9],
                reliability: value.fract().abs(),
                origin,
            })
        })
    }

    #[test]
    fn a_table_is_read_with_the_bits_that_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("points.csv");
        let mut points = FoundPoints::new();
        points.insert(StudyId(u64::MAX), some_points(7.77)).unwrap();
        points.insert(StudyId(3), some_points(-0.123)).unwrap();
        points.insert(StudyId(4), [None; Target::COUNT]).unwrap();
        points.write(&path).unwrap();
        let read = FoundPoints::read(&path).unwrap();
        assert_eq!(read, points);
        for ((_, one), (_, other)) in read.iter().zip(points.iter()) {
            for (one, other) in one.iter().flatten().zip(other.iter().flatten()) {
                assert_eq!(one.position_mm.map(f64::to_bits), other.position_mm.map(f64::to_bits));
                assert_eq!(one.reliability.to_bits(), other.reliability.to_bits());
            }
        }
        assert_eq!(read.iter().map(|(study, _)| study.0).collect::<Vec<_>>(), [3, 4, u64::MAX]);
    }

    #[test]
    fn a_study_twice_and_a_point_out_of_range_are_refused() {
        let mut points = FoundPoints::new();
        points.insert(StudyId(1), some_points(1.0)).unwrap();
        let error = points.merge(points.clone()).unwrap_err();
        assert_eq!(error.to_string(), "study 1 has points already");
        for (x, reliability) in [(f64::NAN, 0.5), (1.0, 1.5), (1.0, f64::NAN)] {
            let mut row = [None; Target::COUNT];
            let origin = PointOrigin::Sagittal;
            row[2] = Some(FoundPoint { position_mm: [x, 0.0, 0.0], reliability, origin });
            assert!(points.insert(StudyId(2), row).is_err());
        }
        assert_eq!(points.len(), 1);
    }

    #[test]
    fn an_error_names_the_line_and_the_column() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("points.csv");
        let mut points = FoundPoints::new();
        points.insert(StudyId(5), some_points(1.0)).unwrap();
        points.write(&path).unwrap();
        let good = std::fs::read_to_string(&path).unwrap();
        let change = |from: &str, to: &str| {
            std::fs::write(&path, good.replacen(from, to, 1)).unwrap();
            FoundPoints::read(&path).unwrap_err().to_string()
        };
        let error = change(",sagittal\n", ",somewhere\n");
        assert!(error.contains("line 2, column \"origin\": found \"somewhere\""), "{error}");
        let error = change("5,Spinal Canal Stenosis,L2/L3,,,,,", "5,Spinal Canal Stenosis,L2/L3,1,,,,");
        assert!(error.contains("line 3, column \"y_mm\""), "{error}");
        let error = change("5,Spinal Canal Stenosis,L2/L3,,,,,\n", "");
        assert!(error.contains("study 5 has 24 rows"), "{error}");
        let error = change("L2/L3", "L1/L2");
        assert!(error.contains("already on line 2"), "{error}");
    }
}
