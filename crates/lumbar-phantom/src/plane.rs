//! A slice's geometry: PS3.3 C.7.6.2.1.1, LPS millimetres, centres of pixels.

use crate::vector::{Vector, cross, dot, minus};

/// One slice in space. Coordinates are rounded to the decimals that the file stores, so that file and truth agree.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plane {
    /// Centre of the first pixel.
    pub(crate) position: [f64; 3],
    /// Unit vectors in the direction of increasing column index and of increasing row index.
    pub(crate) along_columns: [f64; 3],
    pub(crate) along_rows: [f64; 3],
    /// Distance between rows and between columns.
    pub(crate) spacing_mm: [f64; 2],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) thickness_mm: f64,
    /// Distance to the next slice of its stack.
    pub(crate) gap_mm: f64,
}

/// A point in the coordinates of a slice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Projection {
    pub(crate) column: f64,
    pub(crate) row: f64,
    /// Signed distance along the slice's normal.
    pub(crate) distance_mm: f64,
}

fn dot64(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

impl Plane {
    /// A slice with `middle` at the centre of its field, rounded to six decimals.
    pub(crate) fn around(
        middle: [f64; 3],
        (along_columns, along_rows): (Vector, Vector),
        spacing_mm: [f64; 2],
        (rows, columns): (usize, usize),
        (thickness_mm, gap_mm): (f64, f64),
    ) -> Self {
        let rounded = |value: f64| (value * 1e6).round() / 1e6;
        let (x, y) = (along_columns.map(|v| rounded(f64::from(v))), along_rows.map(|v| rounded(f64::from(v))));
        let half = [0.5 * spacing_mm[1] * (columns - 1) as f64, 0.5 * spacing_mm[0] * (rows - 1) as f64];
        let position = std::array::from_fn(|axis| rounded(middle[axis] - x[axis] * half[0] - y[axis] * half[1]));
        Self { position, along_columns: x, along_rows: y, spacing_mm, rows, columns, thickness_mm, gap_mm }
    }

    /// The normal: columns × rows.
    pub(crate) fn normal(&self) -> [f64; 3] {
        let (x, y) = (self.along_columns, self.along_rows);
        [x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]]
    }

    /// The point in pixels of this slice and its distance from it.
    pub(crate) fn project(&self, point: [f64; 3]) -> Projection {
        let offset: [f64; 3] = std::array::from_fn(|axis| point[axis] - self.position[axis]);
        Projection {
            column: dot64(offset, self.along_columns) / self.spacing_mm[1],
            row: dot64(offset, self.along_rows) / self.spacing_mm[0],
            distance_mm: dot64(offset, self.normal()),
        }
    }

    /// Millimetres from the middle of the image to the point: along the rows' direction and along the columns'.
    pub(crate) fn offset_from_middle_mm(&self, point: [f64; 3]) -> [f64; 2] {
        let seen = self.project(point);
        let middle = |count: usize| 0.5 * (count as f64 - 1.0);
        [(seen.row - middle(self.rows)) * self.spacing_mm[0], (seen.column - middle(self.columns)) * self.spacing_mm[1]]
    }

    /// Whether the point is inside the field of view and within half a slice distance.
    pub(crate) fn shows(&self, seen: &Projection) -> bool {
        (-0.5..self.columns as f64 - 0.5).contains(&seen.column)
            && (-0.5..self.rows as f64 - 0.5).contains(&seen.row)
            && seen.distance_mm.abs() <= 0.5 * self.thickness_mm.max(self.gap_mm)
    }
}

/// Directions of a sagittal series: columns to the back, rows downwards, turned by small angles.
pub(crate) fn sagittal_directions(yaw_deg: f32, roll_deg: f32) -> (Vector, Vector) {
    let (yaw_sin, yaw_cos) = yaw_deg.to_radians().sin_cos();
    let (roll_sin, roll_cos) = roll_deg.to_radians().sin_cos();
    let back = [yaw_sin, yaw_cos, 0.0];
    let down = [roll_sin, 0.0, -roll_cos];
    let overlap = dot(back, down);
    let down = crate::vector::unit(minus(down, back.map(|v| v * overlap)));
    (back, down)
}

/// Directions of an axial slice perpendicular to `up`: columns to the left, rows to the back.
pub(crate) fn axial_directions(up: Vector) -> (Vector, Vector) {
    let left = crate::vector::unit(minus([1.0, 0.0, 0.0], up.map(|v| v * up[0])));
    (left, cross(up, left))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(directions: (Vector, Vector)) -> Plane {
        Plane::around([4.0, -10.0, 30.0], directions, [0.7, 0.8], (200, 150), (4.0, 4.5))
    }

    #[test]
    fn the_middle_of_the_field_projects_to_the_middle_pixel() {
        for directions in [sagittal_directions(3.0, -2.0), axial_directions(crate::vector::unit([0.1, -0.5, 0.9]))] {
            let seen = plane(directions).project([4.0, -10.0, 30.0]);
            assert!((seen.column - 74.5).abs() < 1e-3 && (seen.row - 99.5).abs() < 1e-3, "{seen:?}");
            assert!(seen.distance_mm.abs() < 1e-3);
        }
    }

    #[test]
    fn the_patients_left_has_larger_columns_in_an_axial_slice() {
        let plane = plane(axial_directions([0.0, 0.0, 1.0]));
        let (left, right) = (plane.project([24.0, -10.0, 30.0]), plane.project([-16.0, -10.0, 30.0]));
        assert!(left.column > right.column + 40.0);
        assert!(plane.project([4.0, 10.0, 30.0]).row > 120.0, "the back is below");
    }

    #[test]
    fn a_sagittal_slice_shows_the_head_above_and_the_back_to_the_right() {
        let plane = plane(sagittal_directions(0.0, 0.0));
        assert!(plane.project([4.0, -10.0, 60.0]).row < 60.0);
        assert!(plane.project([4.0, 10.0, 30.0]).column > 95.0);
    }
}
