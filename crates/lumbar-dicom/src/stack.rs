//! Parallel slices in order: a stack, the only thing that may be called a volume.

use serde::{Deserialize, Serialize};

use crate::geometry::{Geometry, LPS_TO_RAS, Plane, Projection, dot, length, sub};
use crate::slice::Slice;

/// Slices whose origins lie on one line this close, in mm, at even steps, make a regular stack.
const REGULAR_MM: f64 = 0.05;
/// A gap beyond this many medians is a cut or a hole.
const WIDE: f64 = 1.5;
/// How far from a whole multiple of the median, in medians, a hole may be.
const WHOLE: f64 = 0.1;

/// Parallel slices, ordered along their normal.
///
/// Every slice keeps its own geometry, rescale and windows; a stack only says how they lie together.
#[derive(Debug, Clone)]
pub struct Stack {
    /// The slices by increasing position along the normal (by instance number where there is no geometry).
    pub slices: Vec<Slice>,
    /// Where slices are missing inside the stack.
    pub missing: Vec<Missing>,
    spacing_mm: Option<f64>,
    affine: Option<Affine>,
}

/// A hole in a stack whose width is a whole number of slices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Missing {
    /// The slice before the hole.
    pub after: usize,
    /// Origins in mm that the missing slices would have.
    pub origins_mm: Vec<[f64; 3]>,
}

/// Voxel index (column, row, slice) → patient position in mm, as a 4 × 4 matrix by rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Affine {
    /// In DICOM's axes: x to the left, y to the back, z to the head.
    pub lps: [[f64; 4]; 4],
}

impl Affine {
    /// The same in NIfTI's axes: x to the right, y to the front, z to the head.
    pub fn ras(&self) -> [[f64; 4]; 4] {
        let mut ras = self.lps;
        for (row, sign) in ras.iter_mut().zip(LPS_TO_RAS) {
            // a negative zero reads badly and compares well: avoid it
            row.iter_mut().for_each(|v| *v = if *v == 0.0 { 0.0 } else { *v * sign });
        }
        ras
    }

    /// The patient position in mm of a voxel coordinate.
    pub fn patient_at(&self, column: f64, row: f64, slice: f64) -> [f64; 3] {
        std::array::from_fn(|k| {
            let m = self.lps[k];
            m[0] * column + m[1] * row + m[2] * slice + m[3]
        })
    }
}

/// The slice nearest to a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NearestSlice {
    /// Its index in the stack.
    pub slice: usize,
    /// The point seen from it.
    pub projection: Projection,
    /// Whether the point lies in the slice's field of view and no further from it than half of the larger
    /// of spacing and thickness: whether the slice really shows the point.
    pub covered: bool,
}

impl Stack {
    /// A stack from slices that are in order.
    pub fn new(slices: Vec<Slice>) -> Self {
        let mut stack = Self { slices, missing: Vec::new(), spacing_mm: None, affine: None };
        stack.measure();
        stack
    }

    fn measure(&mut self) {
        let gaps = self.gaps_mm();
        self.spacing_mm = median(&gaps);
        let Some(spacing) = self.spacing_mm.filter(|v| *v > 0.0) else { return };
        for (after, gap) in gaps.iter().enumerate() {
            let steps = (gap / spacing).round();
            if *gap > WIDE * spacing && (gap / spacing - steps).abs() <= WHOLE {
                let (a, b) = (self.origin(after), self.origin(after + 1));
                let between = |k: usize| std::array::from_fn(|axis| a[axis] + (b[axis] - a[axis]) * k as f64 / steps);
                let origins_mm = (1..steps as usize).map(between).collect();
                self.missing.push(Missing { after, origins_mm });
            }
        }
        self.affine = if self.missing.is_empty() { self.regular_affine() } else { None };
    }

    /// Distances along the normal between neighbours; empty without geometry.
    pub(crate) fn gaps_mm(&self) -> Vec<f64> {
        let Some(first) = self.geometry() else { return Vec::new() };
        let normal = first.normal();
        let at = |slice: &Slice| slice.geometry.map_or(0.0, |own| dot(own.origin_mm, normal));
        self.slices.windows(2).map(|pair| at(&pair[1]) - at(&pair[0])).collect()
    }

    fn origin(&self, slice: usize) -> [f64; 3] {
        self.slices.get(slice).and_then(|slice| slice.geometry).map_or([0.0; 3], |own| own.origin_mm)
    }

    fn regular_affine(&self) -> Option<Affine> {
        let count = self.slices.len();
        let first = *self.geometry()?;
        let steps = count.checked_sub(1).filter(|steps| *steps > 0)? as f64;
        let (start, end) = (first.origin_mm, self.origin(count - 1));
        let step: [f64; 3] = std::array::from_fn(|k| (end[k] - start[k]) / steps);
        let on_line = (0..count).all(|k| {
            let expected: [f64; 3] = std::array::from_fn(|axis| start[axis] + step[axis] * k as f64);
            length(sub(self.origin(k), expected)) <= REGULAR_MM
        });
        if !on_line {
            return None;
        }
        let mut lps = [[0.0; 4]; 4];
        for k in 0..3 {
            let across = first.row_axis[k] * first.column_spacing_mm;
            let down = first.column_axis[k] * first.row_spacing_mm;
            lps[k] = [across, down, step[k], start[k]];
        }
        lps[3][3] = 1.0;
        Some(Affine { lps })
    }

    /// The first slice's geometry; `None` when the slices lie nowhere.
    pub fn geometry(&self) -> Option<&Geometry> {
        self.slices.first()?.geometry.as_ref()
    }

    /// The median distance in mm between neighbouring slices, from their positions; `None` for a single
    /// slice and without geometry. It is not SliceThickness, which leaves out the gap between slices.
    pub fn spacing_mm(&self) -> Option<f64> {
        self.spacing_mm
    }

    /// Whether the slices lie at even steps with none missing: whether there is an [`Affine`].
    pub fn is_regular(&self) -> bool {
        self.affine.is_some()
    }

    /// The map from voxels to the patient, for regular stacks of two or more slices only.
    pub fn affine(&self) -> Option<&Affine> {
        self.affine.as_ref()
    }

    /// The anatomical plane, when the stack lies anywhere.
    pub fn plane(&self) -> Option<Plane> {
        self.geometry().map(Geometry::plane)
    }

    /// The slice nearest to a point of the patient (mm); `None` without geometry. Of two equally near
    /// slices the first.
    pub fn nearest_slice(&self, point_mm: [f64; 3]) -> Option<NearestSlice> {
        let seen = self.slices.iter().enumerate().filter_map(|(index, slice)| {
            let geometry = slice.geometry.as_ref()?;
            Some((index, slice, geometry.project(point_mm)))
        });
        let nearest = seen.min_by(|a, b| a.2.distance_mm.abs().total_cmp(&b.2.distance_mm.abs()));
        nearest.map(|(index, slice, projection)| {
            let reach = self.spacing_mm.unwrap_or(0.0).max(slice.thickness_mm.unwrap_or(0.0)) / 2.0;
            let inside = (-0.5..=slice.columns as f64 - 0.5).contains(&projection.column)
                && (-0.5..=slice.rows as f64 - 0.5).contains(&projection.row);
            // positions are written with few digits: half a spacing must reach both neighbours
            let covered = inside && projection.distance_mm.abs() <= reach + 1e-3;
            NearestSlice { slice: index, projection, covered }
        })
    }
}

/// Where a sequence of gaps has to be cut: after these indices.
pub(crate) fn cuts(gaps: &[f64]) -> Vec<usize> {
    let Some(spacing) = median(gaps).filter(|v| *v > 0.0) else { return Vec::new() };
    let slices = gaps.len() + 1;
    let wide = |gap: f64| {
        let steps = (gap / spacing).round();
        // a hole larger than the stack itself is no hole
        gap > WIDE * spacing && ((gap / spacing - steps).abs() > WHOLE || steps as usize > slices)
    };
    (0..gaps.len()).filter(|k| wide(gaps[*k])).collect()
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    match count {
        0 => None,
        _ if count % 2 == 1 => Some(sorted[count / 2]),
        _ => Some((sorted[count / 2 - 1] + sorted[count / 2]) / 2.0),
    }
}
