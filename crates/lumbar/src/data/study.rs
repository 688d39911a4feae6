//! An opened study: its series by kind, its annotations in patient millimetres, and points carried from one series
//! to another.

mod cut;
mod points;

use std::collections::HashSet;
use std::path::Path;

use lumbar_dicom::{NearestInSeries, Plane, ReadOptions, Series, Slice, Stack, counted, read_series};
use serde::Serialize;

use super::channels::plane_of as plane_of_kind;
use super::crop::CropError;
use super::manifest::{PointRecord, SeriesRecord, StudyRecord};
use super::names::{one_line, relative};
use super::{DataSplit, SeriesId, SeriesKind, StudyId};
use crate::anatomy::{Condition, Target};

pub use cut::StudyCrop;
pub(crate) use points::instance_of;
pub use points::{PointError, StudyPoint, StudyPoints};

/// An opened study: the headers of its files.
///
/// Pixels are decoded when they are asked for, unless [`Study::load`] or [`Study::open_lossy`] has decoded them.
#[derive(Debug, Clone)]
pub struct Study {
    /// The study's number.
    pub id: StudyId,
    /// Its half of the data set.
    pub split: DataSplit,
    /// Its readable series in rising order of number.
    pub series: Vec<StudySeries>,
    /// What needs attention and did not prevent the opening.
    pub warnings: Vec<StudyWarning>,
}

/// A series of an opened study.
#[derive(Debug, Clone)]
pub struct StudySeries {
    /// The series' number.
    pub id: SeriesId,
    /// What it is: by the table or, if the table does not name it, by its images.
    pub kind: Option<SeriesKind>,
    /// Slices, stacks and the report of their reading.
    pub data: Series,
}

/// Something about a study's files that needs attention.
#[derive(Debug, Clone, PartialEq, Serialize, thiserror::Error)]
#[serde(tag = "warning", rename_all = "snake_case")]
#[non_exhaustive]
pub enum StudyWarning {
    /// A series could not be read at all and is left out.
    #[error("series {series} cannot be read: {cause}")]
    SeriesUnreadable {
        /// The series.
        series: SeriesId,
        /// The reason.
        cause: String,
    },
    /// Files of a series were not used.
    #[error("series {series}: {} of it {} not used; the first is {first}", counted(*files, "file"), if *files == 1 { "is" } else { "are" })]
    FilesNotUsed {
        /// The series.
        series: SeriesId,
        /// How many.
        files: usize,
        /// The first, and the reason.
        first: String,
    },
    /// The table does not say what a series is; its images do.
    #[error("series {series} is taken as {kind} by its images: the table does not name a known kind for it")]
    KindFromImages {
        /// The series.
        series: SeriesId,
        /// What it seems to be.
        kind: SeriesKind,
    },
    /// Slices that cannot be decoded are left out.
    #[error("series {series}: {} cannot be decoded, the first because {first}", counted(*slices, "slice"))]
    SlicesNotDecoded {
        /// The series.
        series: SeriesId,
        /// How many.
        slices: usize,
        /// The reason for the first.
        first: String,
    },
    /// There is no series of a kind, or none that can be read and has a position in the patient.
    #[error("there is no usable {kind} series")]
    KindMissing {
        /// The kind.
        kind: SeriesKind,
    },
    /// No slice of a kind covers points that were found elsewhere in the study.
    #[error("no {kind} slice covers {}", covered_words(targets))]
    NotCovered {
        /// The kind on which the targets are graded.
        kind: SeriesKind,
        /// The targets.
        targets: Vec<Target>,
    },
    /// The images are in another plane than the table says.
    #[error("series {series} is described as {kind} and is in the {plane} plane")]
    OtherPlane {
        /// The series.
        series: SeriesId,
        /// What the table says.
        kind: SeriesKind,
        /// The plane of most of its slices.
        plane: String,
    },
}

/// "the points of Spinal Canal Stenosis at L1/L2, L2/L3", each condition once.
fn covered_words(targets: &[Target]) -> String {
    let of_condition = |condition: Condition| {
        let levels = targets.iter().filter(|target| target.condition == condition);
        let levels: Vec<String> = levels.map(|target| target.level.to_string()).collect();
        (!levels.is_empty()).then(|| format!("{condition} at {}", levels.join(", ")))
    };
    let conditions: Vec<String> = Condition::ALL.into_iter().filter_map(of_condition).collect();
    format!("the points of {}", conditions.join(" and "))
}

/// Why a study could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StudyError {
    /// None of its series can be read.
    #[error("study {study} has no readable series{}", first.as_ref().map(|first| format!(": {first}")).unwrap_or_default())]
    NothingReadable {
        /// The study.
        study: StudyId,
        /// Why the first series cannot be read.
        first: Option<String>,
    },
    /// A slice cannot be decoded.
    #[error("study {study}, series {series}: {source}")]
    Pixels {
        /// The study.
        study: StudyId,
        /// The series.
        series: SeriesId,
        /// The cause.
        source: lumbar_dicom::Error,
    },
    /// A crop cannot be cut.
    #[error("study {study}, series {series}: {source}")]
    Crop {
        /// The study.
        study: StudyId,
        /// The series.
        series: SeriesId,
        /// The cause.
        source: CropError,
    },
}

/// The slice that shows a patient position best.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SliceMatch {
    /// The series.
    pub series: SeriesId,
    /// The stack in the series, the slice in the stack, and the projection of the point onto it. `nearest.covered` says
    /// whether the slice shows the point.
    pub place: NearestInSeries,
    /// The two series have different frames of reference or none: the patient may have moved between them.
    pub is_approximate: bool,
}

impl Study {
    /// Reads the headers of all files of a study.
    ///
    /// A series that cannot be read is left out and reported in [`Study::warnings`].
    ///
    /// # Errors
    /// When no series can be read.
    pub fn open(record: &StudyRecord) -> Result<Self, StudyError> {
        let study = Self::read(record);
        if study.series.is_empty() {
            let first = study.warnings.iter().find_map(|warning| match warning {
                StudyWarning::SeriesUnreadable { cause, .. } => Some(cause.clone()),
                _ => None,
            });
            return Err(StudyError::NothingReadable { study: record.id, first });
        }
        Ok(study)
    }

    /// Reads and decodes everything that can be read; the rest is left out and reported in [`Study::warnings`], even
    /// if nothing is left. For training and prediction, which must not end because of one file.
    ///
    /// Decoded slices take at most 64 MiB and three times the size of the files. Slices beyond that are decoded
    /// once, to see that they can be, and again when they are asked for.
    #[must_use]
    pub fn open_lossy(record: &StudyRecord) -> Self {
        let mut study = Self::read(record);
        let mut budget = DecodedBudget::of(&study);
        for StudySeries { id, data, .. } in &mut study.series {
            let mut failed = Vec::new();
            for stack in &mut data.stacks {
                let count = stack.slices.len();
                let decode = |slice: &Slice| budget.decode(slice).map_err(|error| failed.push(error.to_string())).ok();
                let slices: Vec<Slice> = stack.slices.iter().filter_map(decode).collect();
                // Spacing and gaps are measured again if a slice is missing.
                if slices.len() == count { stack.slices = slices } else { *stack = Stack::new(slices) }
            }
            data.stacks.retain(|stack| !stack.slices.is_empty());
            if let Some(first) = failed.first() {
                let (slices, first) = (failed.len(), cause_text(first, record));
                study.warnings.push(StudyWarning::SlicesNotDecoded { series: *id, slices, first });
            }
        }
        study.series.retain(|series| !series.data.is_empty());
        for kind in SeriesKind::ALL {
            if study.series_of(kind).next().is_none() {
                study.warnings.push(StudyWarning::KindMissing { kind });
            }
        }
        study
    }

    fn read(record: &StudyRecord) -> Self {
        let mut study = Self { id: record.id, split: record.split, series: Vec::new(), warnings: Vec::new() };
        for series in &record.series {
            match read_series(&series.folder, &ReadOptions::default(), &()) {
                Ok(data) => study.add(record, series, data),
                Err(error) => {
                    let cause = cause_text(&error.to_string(), record);
                    study.warnings.push(StudyWarning::SeriesUnreadable { series: series.id, cause });
                }
            }
        }
        study
    }

    fn add(&mut self, study: &StudyRecord, record: &SeriesRecord, data: Series) {
        let id = record.id;
        let not_used: Vec<_> = data.report.not_used().collect();
        if let Some(first) = not_used.first() {
            let files = not_used.len();
            let location = &first.location;
            let first = match &first.outcome {
                lumbar_dicom::Outcome::NotUsed(cause) => format!("{location}: {cause}"),
                lumbar_dicom::Outcome::Duplicate { of } => format!("{location}: it is a copy of {of}"),
                lumbar_dicom::Outcome::Used { .. } => String::new(),
            };
            let first = cause_text(&first, study);
            self.warnings.push(StudyWarning::FilesNotUsed { series: id, files, first });
        }
        let plane = plane_of(&data);
        let kind = record.kind.or_else(|| kind_of(&data, plane));
        match (record.kind, kind, plane) {
            (None, Some(kind), _) => self.warnings.push(StudyWarning::KindFromImages { series: id, kind }),
            (Some(kind), _, Some(plane)) if plane != plane_of_kind(kind) => {
                self.warnings.push(StudyWarning::OtherPlane { series: id, kind, plane: plane.to_string() });
            }
            _ => {}
        }
        self.series.push(StudySeries { id, kind, data });
    }

    /// Decodes the slices now, for studies from which many crops are cut. The bound on memory is that of
    /// [`Study::open_lossy`].
    ///
    /// # Errors
    /// When a slice cannot be decoded.
    pub fn load(mut self) -> Result<Self, StudyError> {
        let mut budget = DecodedBudget::of(&self);
        let study = self.id;
        for series in &mut self.series {
            let id = series.id;
            for slice in series.data.stacks.iter_mut().flat_map(|stack| &mut stack.slices) {
                *slice = budget.decode(slice).map_err(|source| StudyError::Pixels { study, series: id, source })?;
            }
        }
        Ok(self)
    }

    /// The series of number `id`.
    #[must_use]
    pub fn series(&self, id: SeriesId) -> Option<&StudySeries> {
        self.series.iter().find(|series| series.id == id)
    }

    /// Whether a file says that its pixels may show a name (BurnedInAnnotation is present and not NO). Images of such
    /// a study do not belong into anything that leaves the machine.
    #[must_use]
    pub fn has_burned_in_annotation(&self) -> bool {
        self.series.iter().any(|series| series.data.has_burned_in_annotation())
    }

    /// The series of a kind; there may be none or several.
    pub fn series_of(&self, kind: SeriesKind) -> impl Iterator<Item = &StudySeries> {
        self.series.iter().filter(move |series| series.kind == Some(kind))
    }

    /// The position of an annotation in the patient, in mm.
    ///
    /// # Errors
    /// When the study lacks the series or the slice, the slice has no position in the patient, or the point is outside of it.
    pub fn locate(&self, point: &PointRecord) -> Result<[f64; 3], PointError> {
        points::locate(self, point)
    }

    /// The slice of all series of `kind` that shows a patient position best: one that covers it before one that
    /// does not, then the nearest. `None` if no such series has a position in the patient.
    ///
    /// `from` is the series in which the position was found, for [`SliceMatch::is_approximate`].
    #[must_use]
    pub fn find(&self, point_mm: [f64; 3], kind: SeriesKind, from: Option<SeriesId>) -> Option<SliceMatch> {
        let frame = from.and_then(|id| self.series(id)).map(|series| &series.data.frame_of_reference);
        let slice_matches = self.series_of(kind).filter_map(|series| {
            let place = series.data.nearest_slice(point_mm)?;
            let own = &series.data.frame_of_reference;
            let is_approximate = from != Some(series.id) && (own.is_none() || frame.is_some_and(|frame| frame != own));
            Some(SliceMatch { series: series.id, place, is_approximate })
        });
        slice_matches.min_by(|a, b| {
            let (near, other) = (a.place.nearest, b.place.nearest);
            let distance = |d: f64| d.abs();
            other
                .covered
                .cmp(&near.covered)
                .then(distance(near.projection.distance_mm).total_cmp(&distance(other.projection.distance_mm)))
        })
    }
}

/// How many bytes of decoded pixels a study may still have.
struct DecodedBudget(u64);

impl DecodedBudget {
    /// What `lumbar_dicom` promises for one file, for all files of a study: 64 MiB and three times their size.
    fn of(study: &Study) -> Self {
        let slices = study.series.iter().flat_map(|series| series.data.slices());
        let files: HashSet<&Path> = slices.filter_map(Slice::path).collect();
        let bytes = files.iter().filter_map(|path| Some(std::fs::metadata(path).ok()?.len())).sum::<u64>();
        Self((64 << 20) + 3 * bytes)
    }

    /// The slice with decoded pixels, or, if they do not fit any more, as it was.
    fn decode(&mut self, slice: &Slice) -> Result<Slice, lumbar_dicom::Error> {
        let decoded = slice.loaded()?;
        let pixels = decoded.pixels()?;
        let bytes = (pixels.len() * pixels.bytes_each()) as u64;
        Ok(match self.0.checked_sub(bytes) {
            Some(rest) => {
                self.0 = rest;
                decoded
            }
            None => slice.clone(),
        })
    }
}

/// An error's text on one line, its paths relative to the data set's folder.
fn cause_text(text: &str, record: &StudyRecord) -> String {
    // `<data set>/train_images/<study>`
    let text = match record.folder.ancestors().nth(2) {
        Some(root) => relative(text, root),
        None => text.to_owned(),
    };
    one_line(&text)
}

/// The plane of most slices.
fn plane_of(series: &Series) -> Option<Plane> {
    let mut counts = [(Plane::Sagittal, 0), (Plane::Coronal, 0), (Plane::Axial, 0)];
    for stack in &series.stacks {
        if let Some(plane) = stack.plane() {
            counts.iter_mut().filter(|(other, _)| *other == plane).for_each(|(_, count)| *count += stack.slices.len());
        }
    }
    counts.into_iter().filter(|(_, count)| *count > 0).max_by_key(|(_, count)| *count).map(|(plane, _)| plane)
}

/// The kind of a series by its images. Axial series are T2 in this data set; sagittal ones are `T1` or `T2` by their
/// SeriesDescription.
fn kind_of(series: &Series, plane: Option<Plane>) -> Option<SeriesKind> {
    let description = series.description.as_ref().map(|text| text.reveal().to_uppercase()).unwrap_or_default();
    match plane? {
        Plane::Axial if !description.contains("T1") => Some(SeriesKind::AxialT2),
        Plane::Sagittal if description.contains("T1") => Some(SeriesKind::SagittalT1),
        Plane::Sagittal if description.contains("T2") || description.contains("STIR") => Some(SeriesKind::SagittalT2),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
