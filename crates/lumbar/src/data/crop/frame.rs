use lumbar_dicom::{Geometry, Plane, Stack};

use super::{CropConfig, CropPlace};
use crate::data::Affine2;

/// A crop in a stack: its axes in the patient and the slices that it shows.
#[derive(Debug, Clone, PartialEq)]
pub struct CropFrame {
    plane: Plane,
    centre_mm: [f64; 3],
    /// The step in patient mm from one pixel of the crop to the next, along its columns and along its rows.
    along_mm: [f64; 3],
    down_mm: [f64; 3],
    /// Column and row of the crop's centre.
    middle: [f64; 2],
    /// For each slice of the crop the index of the stack's slice, if there is one.
    slices: Vec<Option<usize>>,
}

impl CropFrame {
    /// The frame of a crop; `None` if the stack has no position in the patient.
    #[must_use]
    pub fn new(stack: &Stack, place: &CropPlace, config: &CropConfig) -> Option<Self> {
        let nearest = stack.nearest_slice(place.centre_mm)?.slice;
        let geometry = stack.slices[nearest].geometry?;
        let plane = geometry.plane();
        let (along, down) = canonical_axes(&geometry, plane);
        let (sin, cos) = place.angle_deg.to_radians().sin_cos();
        let step = [config.width_mm / config.width_px as f64, config.height_mm / config.height_px as f64];
        let mix = |a: f64, b: f64, by: f64| -> [f64; 3] { std::array::from_fn(|k| (a * along[k] + b * down[k]) * by) };
        Some(Self {
            plane,
            centre_mm: place.centre_mm,
            along_mm: mix(cos, sin, step[0]),
            down_mm: mix(-sin, cos, step[1]),
            middle: [(config.width_px as f64 - 1.0) / 2.0, (config.height_px as f64 - 1.0) / 2.0],
            slices: neighbours(stack, nearest, plane, config.slices),
        })
    }

    /// The anatomical plane of the slices.
    #[must_use]
    pub const fn plane(&self) -> Plane {
        self.plane
    }

    /// The index in the stack of the crop's slice number `number`; `None` outside the stack and in its gaps.
    #[must_use]
    pub fn slice(&self, number: usize) -> Option<usize> {
        self.slices.get(number).copied().flatten()
    }

    /// The position in patient mm of a pixel of the crop (column, row), on the plane through the centre.
    #[must_use]
    pub fn patient_at(&self, column: f64, row: f64) -> [f64; 3] {
        let (x, y) = (column - self.middle[0], row - self.middle[1]);
        std::array::from_fn(|k| self.centre_mm[k] + x * self.along_mm[k] + y * self.down_mm[k])
    }

    /// Column and row in the crop, before mirroring and augmentation, of the projection of a patient position onto the
    /// crop's plane.
    #[must_use]
    pub fn project(&self, point_mm: [f64; 3]) -> [f64; 2] {
        let dot = |a: &[f64; 3], b: &[f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
        let from_centre: [f64; 3] = std::array::from_fn(|k| point_mm[k] - self.centre_mm[k]);
        let square = |axis: &[f64; 3]| dot(axis, axis);
        [
            self.middle[0] + dot(&from_centre, &self.along_mm) / square(&self.along_mm),
            self.middle[1] + dot(&from_centre, &self.down_mm) / square(&self.down_mm),
        ]
    }

    /// The crop's geometry as that of a slice through its centre, before mirroring and augmentation. `None` if the
    /// slices' axes are no valid geometry.
    #[must_use]
    pub fn geometry(&self) -> Option<Geometry> {
        let length = |axis: [f64; 3]| axis.iter().map(|v| v * v).sum::<f64>().sqrt();
        let (across, down) = (length(self.along_mm), length(self.down_mm));
        let [a, b, c] = self.along_mm.map(|v| v / across);
        let [d, e, f] = self.down_mm.map(|v| v / down);
        Geometry::new(self.patient_at(0.0, 0.0), [a, b, c, d, e, f], [down, across]).ok()
    }

    /// The map from pixels of the crop to pixels of a slice.
    #[must_use]
    pub fn from_crop(&self, slice: &Geometry) -> Affine2 {
        let at = |column: f64, row: f64| {
            let seen = slice.project(self.patient_at(column, row));
            [seen.column, seen.row]
        };
        let (start, right, below) = (at(0.0, 0.0), at(1.0, 0.0), at(0.0, 1.0));
        Affine2(std::array::from_fn(|k| [right[k] - start[k], below[k] - start[k], start[k]]))
    }
}

/// Unit vectors along a crop's columns and rows: the slice's own axes, flipped and swapped so that they point in the
/// directions that all crops of this plane have.
fn canonical_axes(geometry: &Geometry, plane: Plane) -> ([f64; 3], [f64; 3]) {
    // (axis of the patient, sign) for columns and rows
    let ((along, along_sign), (down, down_sign)) = match plane {
        Plane::Sagittal => ((1, 1.0), (2, -1.0)),
        Plane::Coronal => ((0, 1.0), (2, -1.0)),
        Plane::Axial => ((0, 1.0), (1, 1.0)),
    };
    let (row, column) = (geometry.row_axis, geometry.column_axis);
    let (first, second) = if row[along].abs() >= column[along].abs() { (row, column) } else { (column, row) };
    let turned = |axis: [f64; 3], component: usize, sign: f64| {
        if axis[component] * sign < 0.0 { axis.map(|v| -v) } else { axis }
    };
    (turned(first, along, along_sign), turned(second, down, down_sign))
}

/// The slices at whole steps from the nearest one, in rising order of x (sagittal), y (coronal) or z (axial).
fn neighbours(stack: &Stack, nearest: usize, plane: Plane, count: usize) -> Vec<Option<usize>> {
    let component = match plane {
        Plane::Sagittal => 0,
        Plane::Coronal => 1,
        Plane::Axial => 2,
    };
    let half = (count / 2) as isize;
    let Some(normal) = stack.geometry().map(Geometry::normal) else { return vec![None; count] };
    let sign = if normal[component] < 0.0 { -1.0 } else { 1.0 };
    let position = |index: usize| {
        let origin = stack.slices[index].geometry?.origin_mm;
        Some(sign * (0..3).map(|k| origin[k] * normal[k]).sum::<f64>())
    };
    let (Some(start), Some(spacing_mm)) = (position(nearest), stack.spacing_mm().filter(|mm| *mm > 0.0)) else {
        return (-half..=half).map(|step| (step == 0).then_some(nearest)).collect();
    };
    (-half..=half)
        .map(|step| {
            if step == 0 {
                return Some(nearest);
            }
            let wanted = start + step as f64 * spacing_mm;
            let distance = |index: usize| position(index).map(|at| (at - wanted).abs());
            let each = (0..stack.slices.len()).filter_map(|index| Some((index, distance(index)?)));
            let (index, off) = each.min_by(|a, b| a.1.total_cmp(&b.1))?;
            // In stacks with uneven spacing the nearest slice, but none that belongs to the next step.
            (off <= 0.5 * spacing_mm && index != nearest).then_some(index)
        })
        .collect()
}
