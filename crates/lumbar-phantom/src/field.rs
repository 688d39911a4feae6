//! Where a study's field of view lies when it does not follow the anatomy.

use rand::Rng;

use crate::anatomy::Spine;
use crate::config::ShiftedField;
use crate::seed::{between, spread};
use crate::target::TARGETS;
use crate::vector::{Vector, along, dot, minus};

/// Free space between the outermost annotated point and the edge of the field.
const MARGIN_MM: f64 = 12.0;
/// Free space between the outermost annotated point and the middle of the outermost slice.
const SLICE_MARGIN_MM: f64 = 3.0;

/// One study's field of view, drawn once for all its series.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// Middle of the sagittal field.
    pub(crate) middle: [f64; 3],
    /// Shift of the axial fields, to the left and to the back.
    pub(crate) axial_mm: [f64; 2],
    /// Height of the sagittal field.
    pub(crate) height_mm: f64,
    /// Distance between sagittal slices.
    gap_mm: f64,
    /// Exact places of all targets: the field must show them.
    points: Vec<[f64; 3]>,
}

impl Field {
    pub(crate) fn draw(random: &mut impl Rng, shifted: &ShiftedField, spine: &Spine, gap_mm: [f64; 2]) -> Self {
        let points: Vec<[f64; 3]> = (0..TARGETS).map(|target| spine.target_point(target).map(f64::from)).collect();
        let mean = |axis: usize| points.iter().map(|point| point[axis]).sum::<f64>() / points.len() as f64;
        let ShiftedField { along_mm, across_mm, size_mm: [least, most] } = *shifted;
        let mut shift = |most: f64| between(random, -most, most);
        let middle = [mean(0) + shift(across_mm), mean(1) + shift(across_mm), mean(2) + shift(along_mm)];
        let axial_mm = [shift(across_mm), shift(across_mm)];
        let farthest = points.iter().map(|point| (point[2] - middle[2]).abs()).fold(0.0, f64::max);
        let needed = (2.0 * (farthest + MARGIN_MM)).clamp(least, most);
        let height_mm = between(random, needed, most);
        let gap_mm = spread(random, 0.5 * (gap_mm[0] + gap_mm[1]), 0.25 * (gap_mm[1] - gap_mm[0]));
        Self { middle, axial_mm, height_mm, gap_mm, points }
    }

    /// Number and distance of sagittal slices with this normal: they reach beyond both foramina of every level.
    pub(crate) fn slices(&self, random: &mut impl Rng, middle: [f64; 3], normal: Vector) -> (usize, f64) {
        let middle = middle.map(|v| v as f32);
        let offset = |point: &[f64; 3]| f64::from(dot(minus(point.map(|v| v as f32), middle), normal)).abs();
        let farthest = self.points.iter().map(offset).fold(0.0, f64::max);
        let half = (farthest + SLICE_MARGIN_MM).max(between(random, 24.0, 29.0));
        ((2.0 * half / self.gap_mm).ceil() as usize + 1, self.gap_mm)
    }

    /// The middle of an axial slice, shifted within its plane.
    pub(crate) fn shift_axial(&self, middle: Vector, (left, back): (Vector, Vector)) -> Vector {
        let [to_left, to_back] = self.axial_mm.map(|mm| mm as f32);
        along(along(middle, left, to_left), back, to_back)
    }
}
