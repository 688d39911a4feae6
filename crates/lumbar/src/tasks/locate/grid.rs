use lumbar_dicom::Geometry;
use serde::{Deserialize, Serialize};

use super::LocateSourceConfig;
use crate::data::{Affine2, SeriesKind};

/// Where the slices of a sagittal stack are in the patient. All of them share the coordinates `back_mm` and `down_mm`
/// in their plane, measured from the middle of the images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StackGrid {
    /// The kind of the series.
    pub kind: SeriesKind,
    /// The middle of the images at offset 0, in patient mm.
    pub(super) middle_mm: [f64; 3],
    /// Unit vector along the images' columns, to the back.
    pub(super) back: [f64; 3],
    /// Unit vector along the images' rows, to the feet.
    pub(super) down: [f64; 3],
    /// Unit vector from slice to slice, to the patient's left.
    pub(super) left: [f64; 3],
    /// Position of each slice along `left`, rising.
    pub offsets_mm: Vec<f64>,
}

/// A position in the coordinates of a stack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StackPosition {
    /// Behind the middle of the images.
    pub back_mm: f64,
    /// Below it.
    pub down_mm: f64,
    /// To the left of the first offset's zero.
    pub left_mm: f64,
}

impl StackGrid {
    /// The grid of slices with these offsets, `middle` being the geometry of an image whose middle is at (column, row)
    /// `at`.
    pub(super) fn new(kind: SeriesKind, middle: &Geometry, at: [f64; 2], offsets_mm: Vec<f64>) -> Self {
        let (back, down, normal) = (middle.row_axis, middle.column_axis, middle.normal());
        let left = if normal[0] < 0.0 { normal.map(|value| -value) } else { normal };
        Self { kind, middle_mm: middle.patient_at(at[0], at[1]), back, down, left, offsets_mm }
    }

    /// The patient position in mm.
    #[must_use]
    pub fn patient_at(&self, at: StackPosition) -> [f64; 3] {
        std::array::from_fn(|k| {
            self.middle_mm[k] + self.back[k] * at.back_mm + self.down[k] * at.down_mm + self.left[k] * at.left_mm
        })
    }

    /// The coordinates of a patient position.
    #[must_use]
    pub fn project(&self, point_mm: [f64; 3]) -> StackPosition {
        let from: [f64; 3] = std::array::from_fn(|k| point_mm[k] - self.middle_mm[k]);
        let along = |axis: &[f64; 3]| (0..3).map(|k| from[k] * axis[k]).sum::<f64>();
        StackPosition { back_mm: along(&self.back), down_mm: along(&self.down), left_mm: along(&self.left) }
    }

    /// The slice nearest to an offset, and its distance.
    pub(super) fn nearest(&self, left_mm: f64) -> Option<(usize, f64)> {
        let each = self.offsets_mm.iter().map(|offset| (offset - left_mm).abs()).enumerate();
        each.min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// The pixels of the images that a network sees, and of its maps: half as many on each side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImageGrid {
    pixel_mm: f64,
    width_px: usize,
    height_px: usize,
}

impl ImageGrid {
    pub(super) const fn of(config: &LocateSourceConfig) -> Self {
        Self { pixel_mm: config.pixel_mm, width_px: config.width_px, height_px: config.height_px }
    }

    /// Rows and columns of a map.
    #[must_use]
    pub const fn map_size(&self) -> (usize, usize) {
        (self.height_px / 2, self.width_px / 2)
    }

    /// Side of a map's pixel.
    #[must_use]
    pub fn map_pixel_mm(&self) -> f64 {
        2.0 * self.pixel_mm
    }

    /// Column and row in an image of millimetres behind and below its middle.
    pub(super) fn image_pixel(&self, [back_mm, down_mm]: [f64; 2]) -> [f64; 2] {
        let middle = |side: usize| (side as f64 - 1.0) / 2.0;
        [middle(self.width_px) + back_mm / self.pixel_mm, middle(self.height_px) + down_mm / self.pixel_mm]
    }

    /// Column and row in a map of a column and row in an image: a map's pixel covers 2 × 2 of the image's.
    pub(super) fn map_pixel(image_pixel: [f64; 2]) -> [f64; 2] {
        image_pixel.map(|at| (at - 0.5) / 2.0)
    }

    /// Millimetres behind and below the middle of a column and row in a map.
    #[must_use]
    pub fn map_position(&self, [column, row]: [f64; 2]) -> [f64; 2] {
        let (height, width) = self.map_size();
        let from_middle = |at: f64, side: usize| (at - (side as f64 - 1.0) / 2.0) * self.map_pixel_mm();
        [from_middle(column, width), from_middle(row, height)]
    }

    /// The map from an image's pixels to those of a stored image of another pixel size with the same middle.
    pub(super) fn to_stored(self, pixel_mm: f64, columns: usize, rows: usize) -> Affine2 {
        let scale = self.pixel_mm / pixel_mm;
        let shift = |stored: usize, own: usize| (stored as f64 - 1.0) / 2.0 - scale * (own as f64 - 1.0) / 2.0;
        Affine2([[scale, 0.0, shift(columns, self.width_px)], [0.0, scale, shift(rows, self.height_px)]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_comes_back_from_the_patient_and_left_is_positive_x() {
        let geometry = Geometry::new([10.0, -100.0, 80.0], [0.0, 1.0, 0.0, 0.0, 0.0, -1.0], [0.5, 0.5]).unwrap();
        let grid = StackGrid::new(SeriesKind::SagittalT2, &geometry, [200.0, 300.0], vec![-4.0, 0.0, 4.0]);
        let at = StackPosition { back_mm: 3.0, down_mm: -7.0, left_mm: 4.0 };
        assert_eq!(grid.patient_at(at), [14.0, 3.0, -63.0]);
        let seen = grid.project([14.0, 3.0, -63.0]);
        assert!((seen.back_mm - 3.0).abs() < 1e-9 && (seen.down_mm + 7.0).abs() < 1e-9);
        assert_eq!(grid.nearest(2.5), Some((2, 1.5)));
    }

    #[test]
    fn image_map_and_stored_pixels_have_one_middle() {
        let grid = ImageGrid::of(&LocateSourceConfig::default());
        let map = ImageGrid::map_pixel(grid.image_pixel([8.0, -20.0]));
        let back = grid.map_position(map);
        assert!((back[0] - 8.0).abs() < 1e-9 && (back[1] + 20.0).abs() < 1e-9, "{back:?}");
        let [x, y] = grid.to_stored(1.5, 200, 101).apply(grid.image_pixel([0.0, 3.0]));
        assert!((x - 99.5).abs() < 1e-9 && (y - 52.0).abs() < 1e-9, "{x} {y}");
    }
}
