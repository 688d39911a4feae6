//! A slice scroller.

use lumbar_dicom::Stack;
use plotters::style::RGBColor;

use super::super::montage::stack_title;
use super::super::{Figure, FigureError, Marker, MontageConfig, Tile, montage, stack_montage, window_of};
use super::atlas::{Part, Source, ViewMark, encode};
use super::html::{ViewData, bytes_left, element, slices_are, static_image, view_code};

/// Largest side of a slice in pixels of the page.
const SIDE_PX: u32 = 440;
/// Slices of [`StackView::around`] on each side of the nearest one.
const BESIDE: usize = 4;

/// A stack through which a reader scrolls: wheel and arrow keys change the slice, dragging changes the display window.
///
/// ```
/// use lumbar::figure::{StackView, VIEW_BYTES};
/// use lumbar_dicom::{Geometry, Pixels, Slice, Stack};
///
/// let slice = |number: i32| {
///     let geometry = Geometry::new([f64::from(number), 0.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0, -1.0], [0.5, 0.5]);
///     let pixels = Pixels::U16((0..400).collect::<Vec<u16>>().into());
///     Slice::in_memory(20, 20, pixels, geometry.ok(), Some(number))
/// };
/// let stack = Stack::new((0..30).map(slice).collect::<Result<_, _>>()?);
/// let view = StackView::new("Sagittal T1", &stack, true)?;
/// assert!(view.html().len() <= VIEW_BYTES && view.html().contains("<img alt=\"Sagittal T1: 12 of 30 slices"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackView {
    figure: Figure,
    element: String,
    html: String,
}

impl StackView {
    /// A view of all slices. `name` says what the stack is, for example the kind of its series. Pages without scripts
    /// show [`stack_montage`].
    ///
    /// # Errors
    /// [`FigureError::Empty`] if no slice can be shown, [`FigureError::Drawing`] if pixels cannot be decoded,
    /// [`FigureError::Values`] if the slices are too many for one page.
    pub fn new(name: &str, stack: &Stack, is_synthetic: bool) -> Result<Self, FigureError> {
        let parts = Part::of_stack(stack);
        let shown = Stack::new(parts.iter().map(|part| part.slice.clone()).collect());
        let figure = stack_montage(&shown, name, is_synthetic)?;
        let source = Source { name: String::new(), first: parts.len() / 2, parts, side_px: SIDE_PX };
        let mut title = stack_title(&shown, name, shown.slices.len());
        if is_synthetic {
            title.push_str(", synthetic");
        }
        Self::of_source(title, figure, source, Vec::new(), stack.slices.len())
    }

    /// A view of the slices nearest to a position of the patient, up to nine, cut out to a square of `size_mm` around it.
    /// A ring marks the position.
    ///
    /// # Errors
    /// Those of [`StackView::new`]; [`FigureError::Empty`] also if no slice has a position in the patient.
    pub fn around(
        name: &str,
        stack: &Stack,
        position_mm: [f64; 3],
        size_mm: f64,
        (label, colour): (&str, RGBColor),
        is_synthetic: bool,
    ) -> Result<Self, FigureError> {
        let mut parts = Part::of_stack(stack);
        parts.retain(|part| part.slice.geometry.is_some());
        let away = |part: &Part<'_>| {
            part.slice.geometry.map_or(f64::INFINITY, |geometry| geometry.project(position_mm).distance_mm.abs())
        };
        let nearest = (0..parts.len()).min_by(|&one, &other| away(&parts[one]).total_cmp(&away(&parts[other])));
        let nearest = nearest.ok_or(FigureError::Empty { what: "view" })?;
        let (from, to) = (nearest.saturating_sub(BESIDE), (nearest + BESIDE + 1).min(parts.len()));
        let first = nearest - from;
        let mut parts: Vec<Part<'_>> = parts.drain(from..to).collect();
        for part in &mut parts {
            part.area = square(part, position_mm, size_mm);
        }
        let slice = parts[first].slice;
        let mut tile = Tile::of_slice(slice, window_of(stack)?)?;
        if let Some(geometry) = slice.geometry {
            let seen = geometry.project(position_mm);
            tile = tile.marker(Marker { column: seen.column, row: seen.row, label: label.to_owned(), colour });
        }
        let config = MontageConfig { columns: 1, tile_px: SIDE_PX, is_synthetic, ..MontageConfig::default() };
        let figure = montage(&[tile], &MontageConfig { title: name.to_owned(), ..config })?;
        let mut title = format!("{name}: {} slices", parts.len());
        if is_synthetic {
            title.push_str(", synthetic");
        }
        let marks = vec![ViewMark::new(label, colour, position_mm, None)];
        let count = parts.len();
        let source = Source { name: String::new(), parts, first, side_px: SIDE_PX };
        Self::of_source(title, figure, source, marks, count)
    }

    fn of_source(
        title: String,
        figure: Figure,
        source: Source<'_>,
        marks: Vec<ViewMark>,
        slices: usize,
    ) -> Result<Self, FigureError> {
        let left_out = slices - source.parts.len();
        let (panes, mut note) = encode(&[source], bytes_left(&figure))?;
        if left_out > 0 {
            let count = slices_are(left_out);
            note = format!("{count} not shown: their files say that pixels may show a name. {note}");
        }
        let data = ViewData { title, note, panes, point: None, marks, selected: -1, grades: None };
        let html = element(&data, &static_image(&figure)) + &view_code();
        Ok(Self { element: element(&data, ""), figure, html })
    }

    /// The static image.
    #[must_use]
    pub fn figure(&self) -> &Figure {
        &self.figure
    }

    /// All of it as HTML, with the static image, style and script.
    #[must_use]
    pub fn html(&self) -> &str {
        &self.html
    }

    /// The view alone, for a page that has an image of its own for readers without scripts and contains
    /// [`view_code`](super::view_code) once.
    #[must_use]
    pub fn element(&self) -> &str {
        &self.element
    }
}

/// First row and column, rows and columns of the square around a position, as far as it is inside the slice.
fn square(part: &Part<'_>, position_mm: [f64; 3], size_mm: f64) -> [usize; 4] {
    let Some(geometry) = part.slice.geometry else { return part.area };
    let seen = geometry.project(position_mm);
    let along = |centre: f64, spacing_mm: f64, length: usize| {
        let size = ((size_mm / spacing_mm).round().max(1.0) as usize).clamp(1, length);
        let first = (centre - size as f64 / 2.0).round().clamp(0.0, (length - size) as f64) as usize;
        (first, size)
    };
    let (top, rows) = along(seen.row, geometry.row_spacing_mm, part.slice.rows);
    let (left, columns) = along(seen.column, geometry.column_spacing_mm, part.slice.columns);
    [top, left, rows, columns]
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumbar_dicom::{Geometry, Pixels, Slice};

    fn stack(count: i32) -> Stack {
        let slice = |number: i32| {
            let geometry =
                Geometry::new([4.0 * f64::from(number), 0.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0, -1.0], [1.0, 0.5]);
            let pixels = Pixels::U16((0..4000).map(|value| value % 997).collect::<Vec<u16>>().into());
            Slice::in_memory(50, 80, pixels, geometry.ok(), Some(number)).unwrap()
        };
        Stack::new((0..count).map(slice).collect())
    }

    fn data(view: &StackView) -> serde_json::Value {
        let html = view.element();
        let json = html.split("application/json\">").nth(1).unwrap().split("</script>").next().unwrap();
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn slices_that_may_show_a_name_are_neither_in_the_view_nor_in_its_image() {
        let mut slices = stack(8).slices;
        slices[2].burned_in_annotation = true;
        let view = StackView::new("T1", &Stack::new(slices), false).unwrap();
        assert!(!view.figure().alt().contains("slice 2") && view.figure().alt().contains("slice 3"));
        let data = data(&view);
        assert_eq!(data["panes"][0]["slices"].as_array().unwrap().len(), 7);
        assert!(data["note"].as_str().unwrap().starts_with("1 slice is not shown: their files say"));
    }

    #[test]
    fn a_view_around_a_position_has_its_square_and_the_nearest_slices() {
        let view =
            StackView::around("L4/L5", &stack(30), [41.0, 20.0, -25.0], 20.0, ("L4/L5", RGBColor(255, 0, 0)), true);
        let view = view.unwrap();
        let data = data(&view);
        let pane = &data["panes"][0];
        assert_eq!(pane["slices"].as_array().unwrap().len(), 9);
        assert_eq!(pane["slices"][4]["name"], "slice 10");
        assert_eq!(pane["slices"][4]["size"], serde_json::json!([40, 20]));
        // column 20 and row 15 are the first
        assert_eq!(pane["slices"][4]["origin"], serde_json::json!([40.0, 10.0, -15.0]));
        assert_eq!(data["marks"][0]["position_mm"], serde_json::json!([41.0, 20.0, -25.0]));
        assert!(view.figure().faults().is_empty(), "{:?}", view.figure().faults());
        assert!(view.element().len() < view.html().len() && !view.element().contains("<img"));
    }

    #[test]
    fn a_stack_without_slices_is_an_error() {
        assert!(StackView::new("T1", &Stack::new(Vec::new()), false).is_err());
    }
}
