//! Files to series: grouping, stacks, and a report of every file.

mod copies;
mod files;
mod group;
mod read;

use std::fmt;

use crate::header::{FreeText, Uid};
use crate::report::ReadReport;
use crate::slice::Slice;
use crate::stack::{NearestSlice, Stack};
use crate::text::counted;

pub use read::{Folder, Input, ReadOptions, read_folder, read_series};

/// One series: all of its stacks, and what happened to every file.
#[derive(Clone)]
pub struct Series {
    /// SeriesInstanceUID; in the competition the folder's name is another number.
    pub uid: Option<Uid>,
    /// StudyInstanceUID.
    pub study: Option<Uid>,
    /// FrameOfReferenceUID of the first slice: positions of two series are comparable only if it is the same.
    pub frame_of_reference: Option<Uid>,
    /// SeriesNumber.
    pub number: Option<i32>,
    /// Modality, a code of PS3.3 such as `MR`.
    pub modality: Option<&'static str>,
    /// SeriesDescription: free text, hidden from `Debug`.
    pub description: Option<FreeText>,
    /// Stacks of parallel slices, in the order of their lowest instance numbers.
    pub stacks: Vec<Stack>,
    /// Every file of the series, used or not, and every warning.
    pub report: ReadReport,
}

/// Stacks that `Display` lists; a hostile file can have thousands.
const DISPLAYED_STACKS: usize = 64;

/// The slice of a series nearest to a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NearestInSeries {
    /// Index of the stack.
    pub stack: usize,
    /// The slice in it, and the point projected onto it.
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

    /// Whether a slice's file says that its pixels may show a name: see [`Slice::burned_in_annotation`].
    pub fn has_burned_in_annotation(&self) -> bool {
        self.stacks.iter().any(Stack::has_burned_in_annotation)
    }

    /// The slice nearest to a point of the patient (mm) over all stacks; `None` without geometry. Slices that
    /// show the point come before all others: see [`NearestSlice::covered`].
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

/// Stacks, sizes and planes, without any text of the files.
impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "series of {} in {}", counted(self.len(), "slice"), counted(self.stacks.len(), "stack"))?;
        for stack in self.stacks.iter().take(DISPLAYED_STACKS) {
            let Some(first) = stack.slices.first() else { continue };
            write!(f, "\n  {} of {} × {}", counted(stack.slices.len(), "slice"), first.rows, first.columns)?;
            if let Some(geometry) = stack.geometry() {
                write!(f, ", {} ({:.1}° oblique)", geometry.plane(), geometry.obliquity_deg())?;
                write!(f, ", pixels {:.3} × {:.3} mm", geometry.row_spacing_mm, geometry.column_spacing_mm)?;
            }
            if let Some(spacing) = stack.spacing_mm() {
                write!(f, ", {spacing:.2} mm apart")?;
            }
        }
        if self.stacks.len() > DISPLAYED_STACKS {
            write!(f, "\n  and {}", counted(self.stacks.len() - DISPLAYED_STACKS, "more stack"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
