//! The slices of a view as one PNG file, small enough for a page.

use base64::Engine as _;
use lumbar_dicom::{Geometry, Slice, Stack};
use ndarray::{Array2, ArrayView2, s};
use png::{BitDepth, ColorType, Compression, Encoder, Filter};
use serde::Serialize;

use super::super::montage::paint::Spans;
use super::super::tile::directions;
use super::super::{FigureError, hex};
use plotters::style::RGBColor;

/// Grey levels and resolution of the slices, from best to smallest.
const QUALITIES: [(u32, f64); 9] =
    [(256, 1.0), (128, 1.0), (64, 1.0), (64, 0.75), (64, 0.5), (64, 0.375), (64, 0.25), (64, 0.125), (64, 0.0625)];
/// Fewest bits that a pixel of an MR slice takes with 64 grey levels. Qualities that cannot fit are not tried.
const FEWEST_BITS: usize = 2;
/// Values from which the display window is found; more are skipped evenly.
const WINDOW_VALUES: usize = 400_000;

/// A slice, or a part of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) slice: &'a Slice,
    /// First row and column, number of rows and columns.
    pub(super) area: [usize; 4],
    /// Width in mm of the layer that the slice stands for.
    pub(super) gap_mm: f64,
}

impl<'a> Part<'a> {
    /// The slices of a stack.
    pub(super) fn of_stack(stack: &'a Stack) -> Vec<Self> {
        let of = |slice: &'a Slice| {
            let gap_mm = stack.spacing_mm().or(slice.thickness_mm).unwrap_or(1.0);
            Self { slice, area: [0, 0, slice.rows, slice.columns], gap_mm }
        };
        stack.slices.iter().filter(|slice| !slice.burned_in_annotation).map(of).collect()
    }

    fn values(&self) -> Result<Array2<f32>, FigureError> {
        let [top, left, rows, columns] = self.area;
        let values = self.slice.rescaled().map_err(FigureError::drawing)?;
        let values = ArrayView2::from_shape((self.slice.rows, self.slice.columns), &values);
        Ok(values.map_err(FigureError::drawing)?.slice(s![top..top + rows, left..left + columns]).to_owned())
    }
}

/// Slices under one name, for one canvas.
pub(super) struct Source<'a> {
    pub(super) name: String,
    pub(super) parts: Vec<Part<'a>>,
    /// The slice that is shown first.
    pub(super) first: usize,
    /// Width and height of the square into which a slice fits, in pixels of the page.
    pub(super) side_px: u32,
}

/// What the script needs for one canvas.
#[derive(Debug, Serialize)]
pub(super) struct Pane {
    name: String,
    /// PNG in base64: slices in rows of `across`, each in a rectangle of `cell` = (width, height) pixels.
    image: String,
    across: usize,
    cell: [usize; 2],
    /// The values of code 0 and code 255.
    low: f32,
    high: f32,
    /// The window at the start.
    black: f32,
    white: f32,
    first: usize,
    side_px: u32,
    has_size: bool,
    slices: Vec<PaneSlice>,
}

/// One slice of a [`Pane`]. Positions belong to its pixels in the PNG file.
#[derive(Debug, Serialize)]
struct PaneSlice {
    name: String,
    /// Width and height in pixels.
    size: [usize; 2],
    /// Row and column spacing in mm; 1 if they are not known.
    spacing: [f64; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<[f64; 3]>,
    row_axis: [f64; 3],
    column_axis: [f64; 3],
    gap_mm: f64,
    is_inverted: bool,
    /// Letters at the left, right, upper and lower edge.
    #[serde(skip_serializing_if = "Option::is_none")]
    sides: Option<[String; 4]>,
}

/// A ring around a position of the patient.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ViewMark {
    pub(super) name: String,
    pub(super) colour: String,
    pub(super) position_mm: [f64; 3],
    /// Index of its target; −1 if it has none.
    pub(super) target: i32,
}

impl ViewMark {
    pub(super) fn new(name: &str, colour: RGBColor, position_mm: [f64; 3], target: Option<usize>) -> Self {
        let target = target.and_then(|index| i32::try_from(index).ok()).unwrap_or(-1);
        Self { name: name.to_owned(), colour: hex(colour), position_mm: position_mm.map(rounded), target }
    }
}

/// Codes of one canvas at full resolution.
struct Coded<'a> {
    source: &'a Source<'a>,
    codes: Vec<Array2<f32>>,
    range: (f32, f32),
    window: (f32, f32),
}

/// Encodes all canvases of a view in at most `bytes` bytes of base64: as they are if that is small enough, else with fewer
/// grey levels, else also with fewer pixels. The text says what was reduced; empty if nothing was.
///
/// # Errors
/// [`FigureError::Drawing`] if a slice cannot be decoded, [`FigureError::Values`] if even the smallest form is too
/// large or a slice has no finite value.
pub(super) fn encode(sources: &[Source<'_>], bytes: usize) -> Result<(Vec<Pane>, String), FigureError> {
    let coded: Vec<Coded<'_>> = sources.iter().map(code).collect::<Result<_, _>>()?;
    let pixels: usize = coded.iter().flat_map(|pane| &pane.codes).map(Array2::len).sum();
    for (levels, scale) in QUALITIES {
        let scaled = (pixels as f64 * scale * scale) as usize;
        if scaled / 8 * FEWEST_BITS * 4 / 3 > bytes {
            continue;
        }
        let panes: Vec<Pane> = coded.iter().map(|pane| pane.encode(levels, scale)).collect::<Result<_, _>>()?;
        if panes.iter().map(|pane| pane.image.len()).sum::<usize>() <= bytes {
            return Ok((panes, reduced(levels, scale)));
        }
    }
    let reason = format!("{pixels} pixels do not fit into {bytes} bytes, show fewer slices");
    Err(FigureError::Values { what: "view", reason })
}

fn reduced(levels: u32, scale: f64) -> String {
    match (levels, scale) {
        (256, _) => String::new(),
        (levels, 1.0) => format!("Stored with {levels} grey levels, to keep the page small."),
        (levels, scale) => format!(
            "Stored with {levels} grey levels and {:.0}% of the rows and columns, to keep the page small.",
            100.0 * scale
        ),
    }
}

fn code<'a>(source: &'a Source<'a>) -> Result<Coded<'a>, FigureError> {
    let mut codes = source.parts.iter().map(Part::values).collect::<Result<Vec<_>, _>>()?;
    let count: usize = codes.iter().map(Array2::len).sum();
    let all = codes.iter().flat_map(|values| values.iter().copied()).filter(|value| value.is_finite());
    let mut values: Vec<f32> = all.step_by(count.div_ceil(WINDOW_VALUES).max(1)).collect();
    if values.is_empty() {
        return Err(FigureError::Empty { what: "view" });
    }
    let mut at = |share: f64| {
        let index = ((values.len() - 1) as f64 * share).round() as usize;
        *values.select_nth_unstable_by(index, f32::total_cmp).1
    };
    // the window is that of `window_of`; beyond it there is room for wider ones, but not for single bright pixels
    let (low, black, white, high) = (at(0.0), at(0.01), at(0.995), at(0.9995));
    let high = high.max(low + f32::EPSILON);
    for values in &mut codes {
        values.mapv_inplace(|value| {
            let code = (value - low) / (high - low) * 255.0;
            if code.is_finite() { code.clamp(0.0, 255.0) } else { 0.0 }
        });
    }
    Ok(Coded { source, codes, range: (low, high), window: (black, white.max(black + f32::EPSILON)) })
}

impl Coded<'_> {
    fn encode(&self, levels: u32, scale: f64) -> Result<Pane, FigureError> {
        let step = 255.0 / (levels - 1) as f32;
        let images: Vec<Array2<u8>> = self
            .codes
            .iter()
            .map(|codes| resized(codes, scale).mapv(|code| ((code / step).round() * step).round() as u8))
            .collect();
        let across = (images.len() as f64).sqrt().ceil().max(1.0) as usize;
        let rows = images.iter().map(|image| image.dim().0).max().unwrap_or(1);
        let columns = images.iter().map(|image| image.dim().1).max().unwrap_or(1);
        let mut sheet = Array2::<u8>::zeros((rows * images.len().div_ceil(across), columns * across));
        for (index, image) in images.iter().enumerate() {
            let (top, left) = (index / across * rows, index % across * columns);
            sheet.slice_mut(s![top..top + image.dim().0, left..left + image.dim().1]).assign(image);
        }
        let png = grey_png(&sheet).map_err(FigureError::drawing)?;
        let slices: Vec<PaneSlice> =
            self.source.parts.iter().zip(&images).map(|(part, image)| slice_of(part, image.dim())).collect();
        Ok(Pane {
            name: self.source.name.clone(),
            image: base64::engine::general_purpose::STANDARD.encode(png),
            across,
            cell: [columns, rows],
            low: self.range.0,
            high: self.range.1,
            black: self.window.0,
            white: self.window.1,
            first: self.source.first,
            side_px: self.source.side_px,
            has_size: slices.iter().all(|slice| slice.origin.is_some()),
            slices,
        })
    }
}

fn resized(codes: &Array2<f32>, scale: f64) -> Array2<f32> {
    if scale >= 1.0 {
        return codes.clone();
    }
    let (rows, columns) = codes.dim();
    let size = |length: usize| ((length as f64 * scale).round() as usize).max(1);
    let (down, across) = (Spans::new(rows, size(rows)), Spans::new(columns, size(columns)));
    Array2::from_shape_fn((size(rows), size(columns)), |(y, x)| {
        let row = |row: usize| across.0[x].iter().map(|&(column, weight)| codes[[row, column]] * weight).sum::<f32>();
        down.0[y].iter().map(|&(at, weight)| row(at) * weight).sum()
    })
}

fn slice_of(part: &Part<'_>, (rows, columns): (usize, usize)) -> PaneSlice {
    let [top, left, part_rows, part_columns] = part.area;
    let steps = [part_rows as f64 / rows as f64, part_columns as f64 / columns as f64];
    // the centre of the first pixel moves if pixels become larger
    let geometry: Option<Geometry> = part.slice.geometry.map(|geometry| {
        let first = [left as f64 + (steps[1] - 1.0) / 2.0, top as f64 + (steps[0] - 1.0) / 2.0];
        geometry.window(first[0], first[1], steps[1], steps[0])
    });
    let name = part.slice.instance_number.map_or_else(|| "slice".to_owned(), |number| format!("slice {number}"));
    PaneSlice {
        name,
        size: [columns, rows],
        spacing: geometry.map_or([1.0; 2], |geometry| [geometry.row_spacing_mm, geometry.column_spacing_mm]),
        origin: geometry.map(|geometry| geometry.origin_mm.map(rounded)),
        row_axis: geometry.map_or([0.0; 3], |geometry| geometry.row_axis),
        column_axis: geometry.map_or([0.0; 3], |geometry| geometry.column_axis),
        gap_mm: rounded(part.gap_mm),
        is_inverted: part.slice.is_inverted(),
        sides: geometry.map(|geometry| directions(&geometry)),
    }
}

/// A micrometre is exact enough, and shorter.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// A PNG file with one byte for each pixel.
fn grey_png(pixels: &Array2<u8>) -> Result<Vec<u8>, png::EncodingError> {
    let (rows, columns) = pixels.dim();
    let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, size(columns), size(rows));
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::High);
    encoder.set_filter(Filter::Adaptive);
    let bytes: Vec<u8> = pixels.iter().copied().collect();
    encoder.write_header()?.write_image_data(&bytes)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumbar_dicom::Pixels;

    fn noisy(number: i32, side: usize) -> Slice {
        let geometry = Geometry::new([f64::from(number), 0.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0, -1.0], [0.5, 0.25]);
        let mut state = 1 + number as u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 20) as u16
        };
        let pixels: Vec<u16> = (0..side * side).map(|_| next()).collect();
        Slice::in_memory(side, side, Pixels::U16(pixels.into()), geometry.ok(), Some(number)).unwrap()
    }

    fn panes(slices: usize, side: usize, bytes: usize) -> Result<(Vec<Pane>, String), FigureError> {
        let stack = Stack::new((0..slices as i32).map(|number| noisy(number, side)).collect());
        let source = Source { name: "s".into(), parts: Part::of_stack(&stack), first: 0, side_px: 400 };
        encode(&[source], bytes)
    }

    fn decoded(pane: &Pane) -> image::GrayImage {
        let png = base64::engine::general_purpose::STANDARD.decode(&pane.image).unwrap();
        image::load_from_memory(&png).unwrap().to_luma8()
    }

    #[test]
    fn small_stacks_keep_their_grey_values_and_positions() {
        let (panes, note) = panes(5, 16, 100_000).unwrap();
        let (pane, slice) = (&panes[0], noisy(3, 16));
        assert_eq!((note.as_str(), pane.across, pane.cell), ("", 3, [16, 16]));
        let image = decoded(pane);
        for (index, value) in slice.rescaled().unwrap().into_iter().enumerate() {
            // slice 3 is the first of the second row
            let code = image.get_pixel((index % 16) as u32, 16 + (index / 16) as u32).0[0];
            let expected = ((value - pane.low) / (pane.high - pane.low) * 255.0).clamp(0.0, 255.0);
            assert!((f32::from(code) - expected).abs() <= 0.5, "{index}: {code} and {expected}");
        }
        let last = &pane.slices[4];
        assert_eq!((last.origin, last.spacing), (Some([4.0, 0.0, 0.0]), [0.5, 0.25]));
        assert_eq!(last.sides.as_ref().unwrap(), &["A", "P", "H", "F"]);
    }

    #[test]
    fn a_large_stack_is_reduced_until_it_fits_and_its_pixels_stay_where_they_are() {
        let (panes, note) = panes(10, 64, 14_000).unwrap();
        let pane = &panes[0];
        assert!(
            pane.image.len() <= 14_000 && note.contains("50% of the rows and columns"),
            "{} {note}",
            pane.image.len()
        );
        let slice = &pane.slices[0];
        assert_eq!((slice.size, slice.spacing), ([32, 32], [1.0, 0.5]));
        // the outer edge is where it was: half a pixel before the first centre
        let edge = slice.origin.unwrap()[1] - 0.5 * slice.spacing[1];
        assert!((edge + 0.5 * 0.25).abs() < 1e-9, "{edge}");
    }

    #[test]
    fn what_cannot_fit_is_an_error_with_the_number_of_pixels() {
        let error = panes(10, 64, 100).unwrap_err().to_string();
        assert!(error.contains("40960 pixels") && error.contains("100 bytes"), "{error}");
    }

    #[test]
    fn slices_that_may_show_a_name_are_left_out() {
        let mut slices: Vec<Slice> = (0..3).map(|number| noisy(number, 8)).collect();
        slices[1].burned_in_annotation = true;
        assert_eq!(Part::of_stack(&Stack::new(slices)).len(), 2);
    }
}
