//! One slice of a montage, with everything that is drawn on it.

use lumbar_dicom::{Geometry, Plane, Slice, Stack};
use ndarray::{Array2, ArrayView2};
use plotters::style::RGBColor;

use super::FigureError;
use super::heat::Heat;
use crate::data::study::StudyCrop;

/// One slice of a [`super::montage()`]: grey values, true proportions, caption, side letters, markers and lines.
///
/// ```
/// use lumbar::figure::Tile;
/// use ndarray::Array2;
///
/// let ramp = Array2::from_shape_fn((4, 8), |(_, column)| column as f32);
/// let tile = Tile::new(ramp.view(), 0.0, 7.0).caption("L4/L5").pixel_mm(4.0, 0.5);
/// assert_eq!(tile.size_mm(), (16.0, 4.0));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Tile {
    pub(super) grey: Array2<u8>,
    /// Distances between rows and between columns in mm, if known.
    pub(super) spacing_mm: Option<(f64, f64)>,
    pub(super) caption: String,
    /// The values that are black and white, and what they are.
    pub(super) window: (f32, f32),
    pub(super) quantity: &'static str,
    pub(super) sides: Option<Sides>,
    pub(super) markers: Vec<Marker>,
    pub(super) lines: Vec<Line>,
    pub(super) heat: Option<Heat>,
}

/// Letters at the four edges of a slice: the patient's directions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sides {
    pub(super) left: String,
    pub(super) right: String,
    pub(super) top: String,
    pub(super) bottom: String,
}

/// An open ring on a slice, for example around an annotated point, which stays visible inside.
#[derive(Debug, Clone, PartialEq)]
pub struct Marker {
    /// Column in pixels of the slice. Whole numbers are pixel centres.
    pub column: f64,
    /// Row in pixels of the slice.
    pub row: f64,
    /// Text beside it.
    pub label: String,
    /// Its colour.
    pub colour: RGBColor,
}

/// A line on a slice, for example its intersection with another slice.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// One end: (column, row) in pixels of the slice.
    pub from: [f64; 2],
    /// The other end.
    pub to: [f64; 2],
    /// Text at its end.
    pub label: String,
    /// Its colour.
    pub colour: RGBColor,
}

impl Tile {
    /// A tile from values: `black` and smaller values are black, `white` and larger values are white.
    ///
    /// # Shapes
    /// `values`: rows × columns.
    pub fn new(values: ArrayView2<'_, f32>, black: f32, white: f32) -> Self {
        let scale = 255.0 / (white - black).max(f32::MIN_POSITIVE);
        Self {
            grey: values.mapv(|value| ((value - black) * scale).round().clamp(0.0, 255.0) as u8),
            spacing_mm: None,
            caption: String::new(),
            window: (black, white),
            quantity: "value",
            sides: None,
            markers: Vec::new(),
            lines: Vec::new(),
            heat: None,
        }
    }

    /// A tile from a slice, shown between two values, with its proportions, side letters and the caption "slice N".
    ///
    /// Use the same two values for all slices of a stack ([`window_of`]). With a separate window for each slice their
    /// intensities could not be compared.
    ///
    /// # Errors
    /// [`FigureError::Drawing`] if the pixels cannot be decoded; it names the file and the reason.
    pub fn of_slice(slice: &Slice, (black, white): (f32, f32)) -> Result<Self, FigureError> {
        let values = slice.rescaled().map_err(FigureError::drawing)?;
        let values = ArrayView2::from_shape((slice.rows, slice.columns), &values).map_err(FigureError::drawing)?;
        let mut tile = Self::new(values, black, white);
        tile.quantity = "signal";
        if slice.is_inverted() {
            tile.grey.mapv_inplace(|grey| 255 - grey);
            tile.window = (white, black);
        }
        if let Some(geometry) = &slice.geometry {
            tile = tile.geometry(geometry);
        }
        Ok(match slice.instance_number {
            Some(number) => tile.caption(format!("slice {number}")),
            None => tile,
        })
    }

    /// A tile from slice `number` of a crop (the middle one is nearest to its centre), with true proportions and the
    /// letters of the patient's sides. If the crop's columns are reversed, so are the letters.
    ///
    /// # Errors
    /// [`FigureError::Values`] if the crop has no such slice.
    pub fn of_crop(crop: &StudyCrop, number: usize) -> Result<Self, FigureError> {
        let slices = crop.pixels.dim().0;
        if number >= slices {
            let reason = format!("a crop of {slices} slices has no slice {number}");
            return Err(FigureError::Values { what: "tile", reason });
        }
        let mut tile = Self::new(crop.pixels.index_axis(ndarray::Axis(0), number), 0.0, 1.0);
        if let Some(geometry) = crop.frame.geometry() {
            tile = tile.geometry(&geometry);
        }
        if let Some(sides) = tile.sides.as_mut().filter(|_| crop.has_turned_columns()) {
            std::mem::swap(&mut sides.left, &mut sides.right);
        }
        Ok(tile)
    }

    /// Sets the text below the slice. It is broken into lines where it does not fit.
    #[must_use]
    pub fn caption(mut self, caption: impl Into<String>) -> Self {
        self.caption = caption.into();
        self
    }

    /// Sets the distances between rows and between columns in mm, so that the slice has true proportions.
    #[must_use]
    pub fn pixel_mm(mut self, row_mm: f64, column_mm: f64) -> Self {
        self.spacing_mm = Some((row_mm, column_mm));
        self
    }

    /// Sets the side letters of a crop, whose orientation does not depend on the scanner (see
    /// [`data::crop`](crate::data::crop)). In an axial or coronal crop of the mirrored patient, `is_mirrored`, left and
    /// right are swapped; a sagittal slice shows the same sides.
    #[must_use]
    pub fn crop_sides(mut self, plane: Plane, is_mirrored: bool) -> Self {
        let (mut left, mut right) = if plane == Plane::Sagittal { ("A", "P") } else { ("R", "L") };
        let (top, bottom) = if plane == Plane::Axial { ("A", "P") } else { ("H", "F") };
        if is_mirrored && plane != Plane::Sagittal {
            std::mem::swap(&mut left, &mut right);
        }
        let [left, right, top, bottom] = [left, right, top, bottom].map(str::to_owned);
        self.sides = Some(Sides { left, right, top, bottom });
        self
    }

    /// Sets proportions and side letters from the slice's geometry: R and L for the patient's right and left, A and P
    /// for anterior and posterior, H and F for head and feet.
    #[must_use]
    pub fn geometry(mut self, geometry: &Geometry) -> Self {
        self.spacing_mm = Some((geometry.row_spacing_mm, geometry.column_spacing_mm));
        let [left, right, top, bottom] = directions(geometry);
        self.sides = Some(Sides { left, right, top, bottom });
        self
    }

    /// Adds a marker.
    #[must_use]
    pub fn marker(mut self, marker: Marker) -> Self {
        self.markers.push(marker);
        self
    }

    /// Adds a line.
    #[must_use]
    pub fn line(mut self, line: Line) -> Self {
        self.lines.push(line);
        self
    }

    /// Draws a map over the slice, for example from [`grad_cam`](crate::explain::grad_cam), in five bands from 0.2 to 1.
    /// The map is stretched to the slice. Values are clipped to 0–1; values that are not finite count as 0.
    ///
    /// # Shapes
    /// `map`: rows × columns, any size.
    #[must_use]
    pub fn heat(mut self, map: ArrayView2<'_, f32>) -> Self {
        self.heat = Some(Heat::new(map));
        self
    }

    /// Height and width in mm; in pixels if their distances are not known.
    pub fn size_mm(&self) -> (f64, f64) {
        let (rows, columns) = self.grey.dim();
        let (row_mm, column_mm) = self.spacing_mm.unwrap_or((1.0, 1.0));
        (rows as f64 * row_mm, columns as f64 * column_mm)
    }
}

/// Maximum number of slices that [`window_of`] decodes.
const WINDOW_SLICES: usize = 9;

/// The display window of a stack, (black, white): the 1st and 99.5th percentile of the pixels of up to nine evenly spaced
/// slices.
///
/// # Errors
/// [`FigureError::Empty`] if the stack has no finite pixel, [`FigureError::Drawing`] if pixels cannot be decoded.
pub fn window_of(stack: &Stack) -> Result<(f32, f32), FigureError> {
    let step = stack.slices.len().div_ceil(WINDOW_SLICES).max(1);
    let mut values = Vec::new();
    for slice in stack.slices.iter().step_by(step) {
        values.extend(slice.rescaled().map_err(FigureError::drawing)?.into_iter().filter(|value| value.is_finite()));
    }
    if values.is_empty() {
        return Err(FigureError::Empty { what: "the window of a stack" });
    }
    let mut at = |share: f64| {
        let index = ((values.len() - 1) as f64 * share).round() as usize;
        *values.select_nth_unstable_by(index, f32::total_cmp).1
    };
    let (black, white) = (at(0.01), at(0.995));
    Ok((black, white.max(black + f32::EPSILON)))
}

/// The patient's directions at the left, right, upper and lower edge of a slice.
pub(super) fn directions(geometry: &Geometry) -> [String; 4] {
    let (right, down) = (geometry.row_axis, geometry.column_axis);
    [right.map(|component| -component), right, down.map(|component| -component), down].map(letters)
}

/// The letters of a direction (DICOM PS3.3 C.7.6.1.1.1, Patient Orientation): the largest component first, then others
/// that are more than a third of it.
fn letters(direction: [f64; 3]) -> String {
    let names = [('L', 'R'), ('P', 'A'), ('H', 'F')];
    let mut order = [0, 1, 2];
    order.sort_by(|&one, &other| direction[other].abs().total_cmp(&direction[one].abs()));
    let largest = direction[order[0]].abs();
    order
        .into_iter()
        .filter(|&axis| direction[axis].abs() > largest / 3.0)
        .map(|axis| if direction[axis] > 0.0 { names[axis].0 } else { names[axis].1 })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axial_slice_shows_the_patients_right_on_the_left() {
        let axial = Geometry::new([0.0; 3], [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], [1.0, 1.0]).unwrap();
        let tile = Tile::new(Array2::zeros((2, 2)).view(), 0.0, 1.0).geometry(&axial);
        let sides = tile.sides.unwrap();
        assert_eq!([sides.left, sides.right, sides.top, sides.bottom], ["R", "L", "A", "P"]);
    }

    #[test]
    fn a_sagittal_slice_shows_the_face_on_the_left_and_the_head_on_top() {
        let sagittal = Geometry::new([0.0; 3], [0.0, 1.0, 0.0, 0.0, 0.0, -1.0], [1.0, 1.0]).unwrap();
        let tile = Tile::new(Array2::zeros((2, 2)).view(), 0.0, 1.0).geometry(&sagittal);
        let from_plane = tile.clone().crop_sides(lumbar_dicom::Plane::Sagittal, true);
        assert_eq!(from_plane.sides, tile.sides);
        let sides = tile.sides.unwrap();
        assert_eq!([sides.left, sides.right, sides.top, sides.bottom], ["A", "P", "H", "F"]);
    }

    #[test]
    fn a_mirrored_crop_has_swapped_letters() {
        use crate::data::SeriesId;
        use crate::data::crop::{CropConfig, CropFrame, CropPlace};
        use crate::data::intensity::IntensityWindow;
        use crate::data::study::SliceMatch;
        use lumbar_dicom::{NearestInSeries, Pixels};

        let axial = Geometry::new([0.0; 3], [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], [1.0, 1.0]).unwrap();
        let stack =
            Stack::new(vec![Slice::in_memory(2, 2, Pixels::U16(vec![0; 4].into()), Some(axial), None).unwrap()]);
        let place = NearestInSeries { stack: 0, nearest: stack.nearest_slice([0.0; 3]).unwrap() };
        let frame = CropFrame::new(&stack, &CropPlace::at([0.0; 3]), &CropConfig::default()).unwrap();
        let crop = StudyCrop {
            pixels: ndarray::Array3::zeros((1, 96, 96)),
            slice_match: SliceMatch { series: SeriesId(1), place, is_approximate: false },
            frame,
            window: IntensityWindow { low: 0.0, high: 1.0 },
            is_mirrored: true,
        };
        let sides = Tile::of_crop(&crop, 0).unwrap().sides.unwrap();
        assert_eq!([sides.left, sides.right, sides.top, sides.bottom], ["L", "R", "A", "P"]);
        assert!(Tile::of_crop(&crop, 1).is_err());
        // the same letters from the plane alone
        let pixels = crop.pixels.index_axis(ndarray::Axis(0), 0);
        let from_plane = Tile::new(pixels, 0.0, 1.0).crop_sides(lumbar_dicom::Plane::Axial, true);
        assert_eq!(from_plane.sides, Tile::of_crop(&crop, 0).unwrap().sides);
    }

    #[test]
    fn a_monochrome1_slice_is_inverted() {
        use lumbar_dicom::{Photometric, Pixels};
        let pixels = Pixels::U16(vec![0, 100].into());
        let mut slice = Slice::in_memory(1, 2, pixels, None, Some(7)).unwrap();
        assert_eq!(Tile::of_slice(&slice, (0.0, 100.0)).unwrap().grey.into_raw_vec_and_offset().0, [0, 255]);
        slice.photometric = Photometric::Monochrome1;
        assert_eq!(Tile::of_slice(&slice, (0.0, 100.0)).unwrap().grey.into_raw_vec_and_offset().0, [255, 0]);
    }

    #[test]
    fn the_window_of_a_stack_ignores_outliers() {
        use lumbar_dicom::Pixels;
        let mut values: Vec<u16> = (0..1000).collect();
        values[999] = 60_000;
        let slice = Slice::in_memory(10, 100, Pixels::U16(values.into()), None, None).unwrap();
        let (black, white) = window_of(&Stack::new(vec![slice])).unwrap();
        assert_eq!((black, white), (10.0, 994.0));
    }

    #[test]
    fn an_oblique_direction_has_two_letters() {
        assert_eq!(letters([0.0, 0.8, -0.6]), "PF");
    }

    #[test]
    fn grey_is_clipped_and_a_flat_window_does_not_divide_by_zero() {
        let values = Array2::from_shape_vec((1, 3), vec![-5.0, 0.5, 9.0]).unwrap();
        assert_eq!(Tile::new(values.view(), 0.0, 1.0).grey.into_raw_vec_and_offset().0, [0, 128, 255]);
        assert_eq!(Tile::new(values.view(), 1.0, 1.0).grey[[0, 2]], 255);
    }
}
