//! What happened to every file of a folder.

use std::fmt;

use crate::error::{Cause, Place};

/// Every file that was looked at, and every surprise.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReadReport {
    /// One entry a file, in natural order of paths.
    pub files: Vec<FileReport>,
    /// What is odd about files, stacks or the series, though they are used.
    pub oddities: Vec<Oddity>,
}

/// What happened to one file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileReport {
    /// The file.
    pub place: Place,
    /// Used or not, and why not.
    pub outcome: Outcome,
}

/// Used or not, and why not.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Its slices are in the stacks.
    Used {
        /// How many slices it gave.
        slices: usize,
    },
    /// All of its slices are copies of another file's.
    Duplicate {
        /// The file that is used instead.
        of: Place,
    },
    /// Not used.
    NotUsed(Cause),
}

/// Something odd that did not keep a file from being used.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Oddity {
    /// An attribute was malformed and ignored.
    Attribute {
        /// The file.
        place: Place,
        /// What was wrong.
        cause: Cause,
    },
    /// The slices lie nowhere: they are ordered by instance number, then by file name.
    NoGeometry {
        /// How many slices.
        slices: usize,
    },
    /// A slice has the same pixels or identity as another one and was left out.
    DuplicateSlice {
        /// The file left out.
        place: Place,
        /// Its frame.
        frame: usize,
        /// The file kept.
        of: Place,
    },
    /// Several pictures of the same place: they became stacks of their own.
    SeveralVolumes {
        /// How many stacks lie on top of each other.
        stacks: usize,
    },
    /// Positions inside a stack have no slice.
    MissingSlices {
        /// The stack, as counted in the series.
        stack: usize,
        /// How many are missing.
        count: usize,
    },
    /// Distances between slices vary: the stack has no affine.
    IrregularSpacing {
        /// The stack, as counted in the series.
        stack: usize,
        /// The smallest distance in mm.
        smallest_mm: f64,
        /// The largest distance in mm.
        largest_mm: f64,
    },
    /// BurnedInAnnotation is YES: the pixels may show a name.
    BurnedInAnnotation {
        /// The file.
        place: Place,
    },
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute { place, cause } => write!(f, "{place}: ignored: {cause}"),
            Self::NoGeometry { slices } => {
                write!(f, "{slices} slices without a place in the patient, ordered by instance number")
            }
            Self::DuplicateSlice { place, frame, of } => {
                write!(f, "{place}: frame {frame} is a copy of one of {of}, left out")
            }
            Self::SeveralVolumes { stacks } => write!(f, "{stacks} stacks of the same place (echoes or times)"),
            Self::MissingSlices { stack, count } => write!(f, "stack {stack}: {count} slices are missing inside it"),
            Self::IrregularSpacing { stack, smallest_mm, largest_mm } => {
                write!(f, "stack {stack}: slices lie {smallest_mm:.3} to {largest_mm:.3} mm apart, no affine")
            }
            Self::BurnedInAnnotation { place } => write!(f, "{place}: the pixels may show a name (BurnedInAnnotation)"),
        }
    }
}

impl ReadReport {
    /// Files that gave slices.
    pub fn used(&self) -> impl Iterator<Item = &FileReport> {
        self.files.iter().filter(|file| matches!(file.outcome, Outcome::Used { .. }))
    }

    /// Files that gave none.
    pub fn not_used(&self) -> impl Iterator<Item = &FileReport> {
        self.files.iter().filter(|file| !matches!(file.outcome, Outcome::Used { .. }))
    }
}

/// One line of numbers, then a line for each file not used and each oddity.
impl fmt::Display for ReadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} files used", self.used().count(), self.files.len())?;
        for file in self.not_used() {
            match &file.outcome {
                Outcome::Duplicate { of } => write!(f, "\n{}: a copy of {of}", file.place)?,
                Outcome::NotUsed(cause) => write!(f, "\n{}: {cause}", file.place)?,
                Outcome::Used { .. } => {}
            }
        }
        for oddity in &self.oddities {
            write!(f, "\n{oddity}")?;
        }
        Ok(())
    }
}
