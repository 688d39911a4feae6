//! What happened to every file of a folder.

use std::fmt;

use crate::error::{Cause, Location};
use crate::text::counted;

/// Every file that was looked at, and every warning.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReadReport {
    /// One entry for each file, and for each entry of a folder that was not read, in natural order of paths.
    pub files: Vec<FileReport>,
    /// Irregularities of files, stacks or the series that do not prevent their use.
    pub warnings: Vec<ReadWarning>,
}

/// What happened to one file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileReport {
    /// The file.
    pub location: Location,
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
        of: Location,
    },
    /// Not used.
    NotUsed(Cause),
}

/// An irregularity that does not prevent the use of a file.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ReadWarning {
    /// An attribute was malformed and ignored.
    Attribute {
        /// The file.
        location: Location,
        /// What was wrong.
        cause: Cause,
    },
    /// Slices have no position in the patient: they are ordered by instance number, then by file name.
    NoGeometry {
        /// How many slices.
        slices: usize,
    },
    /// A slice at the same position with the same pixels or identifier as another one was left out.
    DuplicateSlice {
        /// The file left out.
        location: Location,
        /// Its frame.
        frame: usize,
        /// The file that is used instead.
        of: Location,
    },
    /// Several slices at the same position: they became separate stacks.
    SeveralVolumes {
        /// How many stacks there are at the same positions.
        stacks: usize,
    },
    /// Slices are missing inside a stack.
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
    /// BurnedInAnnotation is present and not NO: the pixels may show a name.
    BurnedInAnnotation {
        /// The file.
        location: Location,
    },
}

impl fmt::Display for ReadWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute { location, cause } => write!(f, "{location}: ignored: {cause}"),
            Self::NoGeometry { slices } => {
                let slices = counted(*slices, "slice");
                write!(f, "{slices} without a position in the patient, ordered by instance number")
            }
            Self::DuplicateSlice { location, frame, of } => {
                write!(f, "{location}: frame {frame} is a copy of one of {of}, left out")
            }
            Self::SeveralVolumes { stacks } => write!(f, "{stacks} stacks at the same positions (echoes or times)"),
            Self::MissingSlices { stack, count: 1 } => write!(f, "stack {stack}: 1 slice is missing inside it"),
            Self::MissingSlices { stack, count } => write!(f, "stack {stack}: {count} slices are missing inside it"),
            Self::IrregularSpacing { stack, smallest_mm, largest_mm } => {
                write!(f, "stack {stack}: slices are {smallest_mm:.3} to {largest_mm:.3} mm apart, no affine")
            }
            Self::BurnedInAnnotation { location } => {
                write!(f, "{location}: the pixels may show a name (BurnedInAnnotation)")
            }
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

/// One line of numbers, then a line for each file not used and each warning.
impl fmt::Display for ReadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} used", self.used().count(), counted(self.files.len(), "file"))?;
        for file in self.not_used() {
            match &file.outcome {
                Outcome::Duplicate { of } => write!(f, "\n{}: a copy of {of}", file.location)?,
                Outcome::NotUsed(cause) => write!(f, "\n{}: {cause}", file.location)?,
                Outcome::Used { .. } => {}
            }
        }
        for warning in &self.warnings {
            write!(f, "\n{warning}")?;
        }
        Ok(())
    }
}
