//! The position of a slice in the patient (PS3.3 C.7.6.2.1.1).
//!
//! Millimetres in DICOM's patient system: +x to the patient's left, +y to the back, +z to the head (LPS).
//! Pixel coordinates are (column, row) with whole numbers at pixel centres: (0, 0) is the centre of the
//! first pixel.

use serde::{Deserialize, Serialize};

use crate::error::Cause;
use crate::tag;

/// The position of one slice in the patient.
///
/// P(column, row) = `origin_mm` + `row_axis`·`column_spacing_mm`·column + `column_axis`·`row_spacing_mm`·row.
///
/// ```
/// use lumbar_dicom::{Geometry, Plane};
/// // a sagittal slice: columns run to the back (+y), rows run to the feet (−z)
/// let slice = Geometry::new([10.0, -100.0, 80.0], [0.0, 1.0, 0.0, 0.0, 0.0, -1.0], [0.5, 0.5]).unwrap();
/// assert_eq!(slice.plane(), Plane::Sagittal);
/// assert_eq!(slice.patient_at(20.0, 4.0), [10.0, -90.0, 78.0]);
/// let seen = slice.project([13.0, -90.0, 78.0]);
/// assert_eq!((seen.column, seen.row, seen.distance_mm), (20.0, 4.0, -3.0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Geometry {
    /// Centre of the first pixel in mm, ImagePositionPatient.
    pub origin_mm: [f64; 3],
    /// Unit vector along a row: the direction of increasing column, ImageOrientationPatient\[0..3\].
    pub row_axis: [f64; 3],
    /// Unit vector along a column: the direction of increasing row, ImageOrientationPatient\[3..6\].
    pub column_axis: [f64; 3],
    /// Distance in mm between the centres of neighbouring rows, PixelSpacing\[0\].
    pub row_spacing_mm: f64,
    /// Distance in mm between the centres of neighbouring columns, PixelSpacing\[1\].
    pub column_spacing_mm: f64,
}

/// A point of the patient projected onto a slice.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Projection {
    /// Column of the foot of the perpendicular, in pixels.
    pub column: f64,
    /// Row of the foot of the perpendicular, in pixels.
    pub row: f64,
    /// Signed distance of the point from the plane in mm, positive along the normal.
    pub distance_mm: f64,
}

/// The anatomical plane nearest to a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plane {
    /// Seen from the side: the normal runs left–right.
    Sagittal,
    /// Seen from the front: the normal runs front–back.
    Coronal,
    /// Seen from the feet: the normal runs feet–head.
    Axial,
}

impl std::fmt::Display for Plane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sagittal => "sagittal",
            Self::Coronal => "coronal",
            Self::Axial => "axial",
        })
    }
}

/// Axes may be this far from unit length: files write them with as few as four digits.
const UNIT_TOLERANCE: f64 = 0.02;
/// Axes may be this far from a right angle (as a cosine), for the same reason.
const RIGHT_ANGLE_TOLERANCE: f64 = 0.01;
/// Positions and spacings in mm beyond this are refused: a scanner is a few metres wide.
const FARTHEST_MM: f64 = 1e6;

impl Geometry {
    /// From ImagePositionPatient, ImageOrientationPatient and PixelSpacing (row spacing first).
    /// The axes are normalised to unit length; they are not made orthogonal.
    ///
    /// # Errors
    /// [`Cause::Value`] if a number is not finite or beyond 10⁶ mm, a spacing is not positive, or the axes are
    /// not (nearly) unit vectors at a (nearly) right angle.
    pub fn new(position: [f64; 3], orientation: [f64; 6], spacing: [f64; 2]) -> Result<Self, Cause> {
        if !position.iter().all(|v| v.is_finite() && v.abs() < FARTHEST_MM) {
            return Err(Cause::value(tag::IMAGE_POSITION, "3 finite numbers in mm", format!("{position:?}")));
        }
        if !spacing.iter().all(|v| v.is_finite() && *v > 0.0 && *v < FARTHEST_MM) {
            return Err(Cause::value(tag::PIXEL_SPACING, "2 positive numbers in mm", format!("{spacing:?}")));
        }
        let [a, b, c, d, e, f] = orientation;
        let (row, column) = ([a, b, c], [d, e, f]);
        let (row_length, column_length) = (length(row), length(column));
        let unit = |l: f64| l.is_finite() && (l - 1.0).abs() <= UNIT_TOLERANCE;
        if !unit(row_length) || !unit(column_length) || dot(row, column).abs() > RIGHT_ANGLE_TOLERANCE {
            let expected = "2 unit vectors at a right angle";
            return Err(Cause::value(tag::IMAGE_ORIENTATION, expected, format!("{orientation:?}")));
        }
        Ok(Self {
            origin_mm: position,
            row_axis: row.map(|v| v / row_length),
            column_axis: column.map(|v| v / column_length),
            row_spacing_mm: spacing[0],
            column_spacing_mm: spacing[1],
        })
    }

    /// The unit normal, row axis × column axis. For an axial slice in usual orientation it points to the head.
    pub fn normal(&self) -> [f64; 3] {
        let n = cross(self.row_axis, self.column_axis);
        let l = length(n);
        n.map(|v| v / l)
    }

    /// The patient position in mm of a pixel coordinate.
    pub fn patient_at(&self, column: f64, row: f64) -> [f64; 3] {
        let (across, down) = (column * self.column_spacing_mm, row * self.row_spacing_mm);
        std::array::from_fn(|k| self.origin_mm[k] + self.row_axis[k] * across + self.column_axis[k] * down)
    }

    /// The pixel coordinate nearest to a patient position in mm, and the distance from the plane.
    ///
    /// Exact also for axes that are not quite at a right angle: [`Self::patient_at`] of the result plus the
    /// distance along the normal is the point again.
    pub fn project(&self, point_mm: [f64; 3]) -> Projection {
        let v = sub(point_mm, self.origin_mm);
        let (a, b, c) = (dot(v, self.row_axis), dot(v, self.column_axis), dot(self.row_axis, self.column_axis));
        let determinant = 1.0 - c * c;
        Projection {
            column: (a - c * b) / determinant / self.column_spacing_mm,
            row: (b - c * a) / determinant / self.row_spacing_mm,
            distance_mm: dot(v, self.normal()),
        }
    }

    /// The anatomical plane: the largest component of the normal decides.
    pub fn plane(&self) -> Plane {
        let n = self.normal().map(f64::abs);
        if n[0] >= n[1] && n[0] >= n[2] {
            Plane::Sagittal
        } else if n[1] >= n[2] {
            Plane::Coronal
        } else {
            Plane::Axial
        }
    }

    /// Angle in degrees between the normal and the axis of [`Self::plane`]: 0 for a straight slice, at most 54.7.
    pub fn obliquity_deg(&self) -> f64 {
        let n = self.normal();
        let largest = n.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        let rest = (n.iter().map(|v| v * v).sum::<f64>() - largest * largest).max(0.0).sqrt();
        rest.atan2(largest).to_degrees()
    }

    /// The geometry after cropping and resampling: the first pixel at (`column`, `row`), pixels `scale_column`
    /// and `scale_row` times as far apart.
    pub fn window(&self, column: f64, row: f64, scale_column: f64, scale_row: f64) -> Self {
        Self {
            origin_mm: self.patient_at(column, row),
            row_spacing_mm: self.row_spacing_mm * scale_row,
            column_spacing_mm: self.column_spacing_mm * scale_column,
            ..*self
        }
    }

    /// The intersection of this slice (of `rows` × `columns`) with the plane of `other`, clipped to the pixels'
    /// outer edges: two points (column, row). `None` for parallel planes and for lines outside the slice.
    pub fn scout_line(&self, other: &Self, rows: usize, columns: usize) -> Option<[[f64; 2]; 2]> {
        let (n, origin) = (other.normal(), other.origin_mm);
        // the other plane, n·(P − origin) = 0, written in this slice's columns and rows: a·c + b·r + d = 0
        let a = dot(n, self.row_axis) * self.column_spacing_mm;
        let b = dot(n, self.column_axis) * self.row_spacing_mm;
        let d = dot(n, sub(self.origin_mm, origin));
        let sine = length(cross(n, self.normal()));
        if sine < 1e-6 {
            return None;
        }
        // from the point of the line nearest to (0, 0), along its direction, cut by the four edges
        let square = a * a + b * b;
        let start = [-a * d / square, -b * d / square];
        let step = [-b / square.sqrt(), a / square.sqrt()];
        let limits = [(-0.5, columns as f64 - 0.5), (-0.5, rows as f64 - 0.5)];
        let (mut enter, mut leave) = (f64::NEG_INFINITY, f64::INFINITY);
        for k in 0..2 {
            let (low, high) = limits[k];
            if step[k].abs() < 1e-12 {
                if start[k] < low || start[k] > high {
                    return None;
                }
            } else {
                let (t0, t1) = ((low - start[k]) / step[k], (high - start[k]) / step[k]);
                enter = enter.max(t0.min(t1));
                leave = leave.min(t0.max(t1));
            }
        }
        let at = |t: f64| [start[0] + t * step[0], start[1] + t * step[1]];
        (enter < leave).then(|| [at(enter), at(leave)])
    }
}

/// The signs that turn LPS millimetres (DICOM, ITK) into RAS millimetres (NIfTI, nibabel) and back.
pub const LPS_TO_RAS: [f64; 3] = [-1.0, -1.0, 1.0];

pub(crate) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(crate) fn sub(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

pub(crate) fn length(a: [f64; 3]) -> f64 {
    dot(a, a).sqrt()
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oblique() -> Geometry {
        let (s, c) = 20f64.to_radians().sin_cos();
        Geometry::new([-80.0, 40.0, 12.5], [c, s, 0.0, 0.0, 0.0, -1.0], [0.7, 0.4]).unwrap()
    }

    #[test]
    fn a_projected_point_is_found_again() {
        let slice = oblique();
        for (column, row) in [(0.0, 0.0), (511.0, 3.25), (-4.0, 700.0)] {
            let on_plane = slice.patient_at(column, row);
            let n = slice.normal();
            let off_plane: [f64; 3] = std::array::from_fn(|k| on_plane[k] + 2.5 * n[k]);
            let seen = slice.project(off_plane);
            assert!((seen.column - column).abs() < 1e-9 && (seen.row - row).abs() < 1e-9);
            assert!((seen.distance_mm - 2.5).abs() < 1e-9);
        }
    }

    #[test]
    fn a_rigid_motion_of_slice_and_point_does_not_change_the_projection() {
        let (s, c) = 33f64.to_radians().sin_cos();
        let turn = |[x, y, z]: [f64; 3]| [c * x - s * z, y, s * x + c * z];
        let carry = |p: [f64; 3]| {
            let [x, y, z] = turn(p);
            [x + 12.0, y - 7.5, z + 100.0]
        };
        let (here, point) = (oblique(), [-60.0, 43.0, -5.0]);
        let (row_axis, column_axis) = (turn(here.row_axis), turn(here.column_axis));
        let there = Geometry { origin_mm: carry(here.origin_mm), row_axis, column_axis, ..here };
        let (before, after) = (here.project(point), there.project(carry(point)));
        assert!((before.column - after.column).abs() < 1e-9 && (before.row - after.row).abs() < 1e-9);
        assert!((before.distance_mm - after.distance_mm).abs() < 1e-9);
    }

    #[test]
    fn the_plane_is_the_largest_component_of_the_normal() {
        assert_eq!(oblique().plane(), Plane::Coronal);
        assert!((oblique().obliquity_deg() - 20.0).abs() < 1e-9);
        let axial = Geometry::new([0.0; 3], [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], [1.0, 1.0]).unwrap();
        assert_eq!((axial.plane(), axial.normal(), axial.obliquity_deg()), (Plane::Axial, [0.0, 0.0, 1.0], 0.0));
    }

    #[test]
    fn a_scout_line_is_in_both_planes_and_ends_at_the_edges() {
        let sagittal = Geometry::new([0.0, -50.0, 50.0], [0.0, 1.0, 0.0, 0.0, 0.0, -1.0], [1.0, 1.0]).unwrap();
        let axial = Geometry::new([-50.0, -50.0, 10.0], [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], [1.0, 1.0]).unwrap();
        let line = sagittal.scout_line(&axial, 100, 100).unwrap();
        for [column, row] in line {
            assert!(axial.project(sagittal.patient_at(column, row)).distance_mm.abs() < 1e-9);
            assert!((row - 40.0).abs() < 1e-9 && ((column + 0.5).abs() < 1e-9 || (column - 99.5).abs() < 1e-9));
        }
        assert_eq!(sagittal.scout_line(&sagittal.window(3.0, 3.0, 1.0, 1.0), 100, 100), None);
        let above = Geometry { origin_mm: [0.0, 0.0, 51.0], ..axial };
        assert_eq!(sagittal.scout_line(&above, 100, 100), None);
    }

    #[test]
    fn invalid_axes_are_errors_that_name_the_attribute() {
        let cause = Geometry::new([0.0; 3], [1.0, 0.0, 0.0, 1.0, 0.0, 0.0], [1.0, 1.0]).unwrap_err();
        assert!(cause.to_string().starts_with("(0020,0037) ImageOrientationPatient: expected 2 unit vectors"));
        assert!(Geometry::new([0.0; 3], [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], [0.0, 1.0]).is_err());
        assert!(Geometry::new([f64::NAN, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], [1.0, 1.0]).is_err());
    }
}
