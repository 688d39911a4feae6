//! A slice scroller.

use lumbar_dicom::Stack;

use super::super::montage::stack_title;
use super::super::{Figure, FigureError, stack_montage};
use super::atlas::{Part, Source, encode};
use super::html::{ViewData, bytes_left, element, slices_are, static_image, view_code};

/// Largest side of a slice in pixels of the page.
const SIDE_PX: u32 = 440;

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
        let left_out = stack.slices.len() - source.parts.len();
        let (panes, mut note) = encode(&[source], bytes_left(&figure))?;
        if left_out > 0 {
            let count = slices_are(left_out);
            note = format!("{count} not shown: their files say that pixels may show a name. {note}");
        }
        let data = ViewData { title, note, panes, point: None, marks: Vec::new(), selected: -1, grades: None };
        let html = element(&data, &static_image(&figure)) + &view_code();
        Ok(Self { figure, html })
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
        let html = view.html();
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
    fn a_stack_without_slices_is_an_error() {
        assert!(StackView::new("T1", &Stack::new(Vec::new()), false).is_err());
    }
}
