//! Parallel slices in order: a stack, the only thing that may be called a volume.

use serde::{Deserialize, Serialize};

use crate::geometry::{Geometry, LPS_TO_RAS, Plane, Projection, dot, length, sub};
use crate::slice::Slice;

/// Slices whose origins are this close, in mm, to even steps on one line make a regular stack.
const REGULAR_MM: f64 = 0.05;
/// A gap beyond this many medians is a cut or missing slices.
const WIDE: f64 = 1.5;
/// How far from a whole multiple of the median, in medians, a gap of missing slices may be.
const WHOLE: f64 = 0.1;
/// Slices beyond this are never taken as missing in one gap, whatever the instance numbers say: no scanner
/// writes stacks of so many.
const MOST_MISSING: f64 = 4096.0;

/// Parallel slices, ordered along their normal.
///
/// Every slice has its own geometry, rescale and windows; a stack describes their arrangement.
#[derive(Debug, Clone)]
pub struct Stack {
    /// The slices by increasing position along the normal (by instance number where there is no geometry).
    pub slices: Vec<Slice>,
    /// Gaps inside the stack where slices are missing.
    pub missing: Vec<Missing>,
    spacing_mm: Option<f64>,
    affine: Option<Affine>,
}

/// A gap in a stack whose width is a whole number of slice distances.
///
/// ```
/// use lumbar_dicom::Missing;
/// let missing = Missing { after: 3, count: 2, first_mm: [0.0, 0.0, 4.0], step_mm: [0.0, 0.0, 4.0] };
/// assert!(missing.origins_mm().eq([[0.0, 0.0, 4.0], [0.0, 0.0, 8.0]]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Missing {
    /// The slice before the gap.
    pub after: usize,
    /// How many slices are missing.
    pub count: usize,
    /// Origin in mm that the first missing slice would have.
    pub first_mm: [f64; 3],
    /// From one origin to the next, in mm.
    pub step_mm: [f64; 3],
}

impl Missing {
    /// Origins in mm that the missing slices would have.
    pub fn origins_mm(&self) -> impl Iterator<Item = [f64; 3]> {
        let Self { count, first_mm, step_mm, .. } = *self;
        (0..count).map(move |k| std::array::from_fn(|axis| first_mm[axis] + step_mm[axis] * k as f64))
    }
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
            // avoid negative zeros, which are confusing when printed
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
    /// The point projected onto it.
    pub projection: Projection,
    /// Whether the slice shows the point: it is in the field of view and no further from the slice than half
    /// of the larger of spacing and thickness.
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
            let Some(count) = missing_in(self.slices.len(), self.number(), after, *gap, spacing) else { continue };
            let (a, b) = (self.origin(after), self.origin(after + 1));
            let step_mm: [f64; 3] = std::array::from_fn(|axis| (b[axis] - a[axis]) / (count + 1) as f64);
            let first_mm = std::array::from_fn(|axis| a[axis] + step_mm[axis]);
            self.missing.push(Missing { after, count, first_mm, step_mm });
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

    fn number(&self) -> impl Fn(usize) -> Option<i32> {
        |slice| self.slices.get(slice)?.instance_number
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

    /// The first slice's geometry; `None` if the slices have no position in the patient.
    pub fn geometry(&self) -> Option<&Geometry> {
        self.slices.first()?.geometry.as_ref()
    }

    /// The median distance in mm between neighbouring slices, from their positions; `None` for a single
    /// slice and without geometry. It is not SliceThickness, which excludes the gap between slices.
    pub fn spacing_mm(&self) -> Option<f64> {
        self.spacing_mm
    }

    /// Whether the slices are evenly spaced with none missing: whether there is an [`Affine`].
    pub fn is_regular(&self) -> bool {
        self.affine.is_some()
    }

    /// The map from voxels to the patient; only regular stacks of two or more slices have one.
    pub fn affine(&self) -> Option<&Affine> {
        self.affine.as_ref()
    }

    /// Whether a slice's file says that its pixels may show a name: see [`Slice::burned_in_annotation`].
    pub fn has_burned_in_annotation(&self) -> bool {
        self.slices.iter().any(|slice| slice.burned_in_annotation)
    }

    /// The anatomical plane; `None` without geometry.
    pub fn plane(&self) -> Option<Plane> {
        self.geometry().map(Geometry::plane)
    }

    /// The slice nearest to a point of the patient (mm), the first of two equally near ones; `None` without
    /// geometry.
    pub fn nearest_slice(&self, point_mm: [f64; 3]) -> Option<NearestSlice> {
        let seen = self.slices.iter().enumerate().filter_map(|(index, slice)| {
            let geometry = slice.geometry.as_ref()?;
            Some((index, slice, geometry.project(point_mm)))
        });
        let nearest = seen.min_by(|a, b| a.2.distance_mm.abs().total_cmp(&b.2.distance_mm.abs()));
        nearest.map(|(index, slice, projection)| {
            let half = self.spacing_mm.unwrap_or(0.0).max(slice.thickness_mm.unwrap_or(0.0)) / 2.0;
            let inside = (-0.5..=slice.columns as f64 - 0.5).contains(&projection.column)
                && (-0.5..=slice.rows as f64 - 0.5).contains(&projection.row);
            // positions are rounded in files: a point halfway must be covered by both neighbours
            let covered = inside && projection.distance_mm.abs() <= half + 1e-3;
            NearestSlice { slice: index, projection, covered }
        })
    }
}

/// After which of `count` slices in order the stack has to be cut: at wide gaps that are not missing slices.
/// `number` gives the instance number of a slice.
pub(crate) fn cuts(count: usize, number: impl Fn(usize) -> Option<i32>, gaps: &[f64]) -> Vec<usize> {
    let Some(spacing) = median(gaps).filter(|v| *v > 0.0) else { return Vec::new() };
    let cut = |after: &usize| {
        gaps[*after] > WIDE * spacing && missing_in(count, &number, *after, gaps[*after], spacing).is_none()
    };
    (0..gaps.len()).filter(cut).collect()
}

/// How many slices are missing in the gap after a slice; `None` if the gap is not a wide one or is not a gap
/// of missing slices. It is one if it is a whole number of slices wide and either no wider than the rest of
/// the stack or just as wide as the instance numbers on its sides say.
fn missing_in(
    count: usize,
    number: impl Fn(usize) -> Option<i32>,
    after: usize,
    gap: f64,
    spacing: f64,
) -> Option<usize> {
    let steps = (gap / spacing).round();
    if gap <= WIDE * spacing || (gap / spacing - steps).abs() > WHOLE {
        return None;
    }
    let numbered = || Some(i64::from(number(after + 1)?).abs_diff(number(after)?.into()) as f64);
    let plausible = steps <= count as f64 || (steps <= MOST_MISSING && numbered() == Some(steps));
    plausible.then_some(steps as usize - 1)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::pixels::Pixels;

    fn at_mm(z: f64, number: i32) -> Slice {
        let geometry = Geometry::new([0.0, 0.0, z], [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], [1.0, 1.0]).unwrap();
        Slice::in_memory(1, 1, Pixels::U8(Arc::new(vec![0])), Some(geometry), Some(number)).unwrap()
    }

    #[test]
    fn a_slice_kilometres_away_is_not_millions_of_missing_slices() {
        let far = 0.015_625 * f64::from(1 << 25);
        let slices: Vec<Slice> = [0.0, 0.015_625, 0.031_25, far]
            .into_iter()
            .zip([1, 2, 3, 3 + (1 << 25)])
            .map(|(z, n)| at_mm(z, n))
            .collect();
        let stack = Stack::new(slices);
        assert_eq!(stack.missing, []);
        assert!(stack.affine().is_none());
        assert_eq!(cuts(4, stack.number(), &stack.gaps_mm()), [2]);
    }

    #[test]
    fn missing_slices_are_counted_and_their_origins_computed() {
        let stack = Stack::new([0.0, 4.0, 8.0, 20.0, 24.0].map(|z| at_mm(z, 0)).to_vec());
        let [missing] = stack.missing.as_slice() else { panic!("{:?}", stack.missing) };
        assert_eq!((missing.after, missing.count), (2, 2));
        assert!(missing.origins_mm().eq([[0.0, 0.0, 12.0], [0.0, 0.0, 16.0]]));
    }
}
