//! Files to series: grouping, stacks, and a report of every file.

mod files;
mod group;
mod read;

use std::fmt;

use crate::header::{FreeText, Uid};
use crate::report::ReadReport;
use crate::slice::Slice;
use crate::stack::{NearestSlice, Stack};

pub use read::{Folder, Input, ReadOptions, read_folder, read_series};

/// One series: all of its stacks, and what happened to every file.
#[derive(Clone)]
pub struct Series {
    /// SeriesInstanceUID; in the competition the folder's name is another number.
    pub uid: Option<Uid>,
    /// StudyInstanceUID.
    pub study: Option<Uid>,
    /// FrameOfReferenceUID of the first slice: positions of two series compare only when it is the same.
    pub frame_of_reference: Option<Uid>,
    /// SeriesNumber.
    pub number: Option<i32>,
    /// Modality, such as `MR`.
    pub modality: Option<String>,
    /// SeriesDescription: free text, hidden until revealed.
    pub description: Option<FreeText>,
    /// Parallel slices each, by the instance number of their first slice in time.
    pub stacks: Vec<Stack>,
    /// Every file of the series, used or not, and every oddity.
    pub report: ReadReport,
}

/// The slice of a series nearest to a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NearestInSeries {
    /// Index of the stack.
    pub stack: usize,
    /// The slice in it, and the point seen from it.
    pub nearest: NearestSlice,
}

impl Series {
    /// All slices, stack by stack.
    pub fn slices(&self) -> impl Iterator<Item = &Slice> {
        self.stacks.iter().flat_map(|stack| &stack.slices)
    }

    /// How many slices there are in all stacks.
    pub fn len(&self) -> usize {
        self.stacks.iter().map(|stack| stack.slices.len()).sum()
    }

    /// Whether there is no slice.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Stack and index of the slice with an instance number. For enhanced files, whose frames share one
    /// number, the first frame in order.
    pub fn find_instance(&self, instance_number: i32) -> Option<(usize, usize)> {
        self.stacks.iter().enumerate().find_map(|(stack, slices)| {
            let at = slices.slices.iter().position(|slice| slice.instance_number == Some(instance_number))?;
            Some((stack, at))
        })
    }

    /// The slice nearest to a point of the patient (mm) over all stacks. Slices that really show the point
    /// come before all others; look at [`NearestSlice::covered`].
    pub fn nearest_slice(&self, point_mm: [f64; 3]) -> Option<NearestInSeries> {
        let each = self.stacks.iter().enumerate();
        let seen = each.filter_map(|(stack, slices)| {
            slices.nearest_slice(point_mm).map(|nearest| NearestInSeries { stack, nearest })
        });
        seen.min_by(|a, b| {
            let (a, b) = (a.nearest, b.nearest);
            let distance = |nearest: NearestSlice| nearest.projection.distance_mm.abs();
            b.covered.cmp(&a.covered).then(distance(a).total_cmp(&distance(b)))
        })
    }
}

/// What it is, without a word of free text.
impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "series of {} slices in {} stacks", self.len(), self.stacks.len())?;
        for stack in &self.stacks {
            let Some(first) = stack.slices.first() else { continue };
            write!(f, "\n  {} slices of {} × {}", stack.slices.len(), first.rows, first.columns)?;
            if let Some(geometry) = stack.geometry() {
                write!(f, ", {} ({:.1}° oblique)", geometry.plane(), geometry.obliquity_deg())?;
                write!(f, ", pixels {:.3} × {:.3} mm", geometry.row_spacing_mm, geometry.column_spacing_mm)?;
            }
            if let Some(spacing) = stack.spacing_mm() {
                write!(f, ", {spacing:.2} mm apart")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
