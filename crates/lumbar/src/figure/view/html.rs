//! A view as HTML.

use base64::Engine as _;
use lumbar_dicom::{counted, is_hidden};
use serde::Serialize;

use super::super::Figure;
use super::super::svg::escape;
use super::atlas::{Pane, ViewMark};
use super::grades::Grades;

const SCRIPT: &str = include_str!("view.js");
const STYLE: &str = include_str!("view.css");

/// What the script reads.
#[derive(Debug, Serialize)]
pub(super) struct ViewData {
    pub(super) title: String,
    pub(super) note: String,
    pub(super) panes: Vec<Pane>,
    /// The crosshair's position at the start; `None` in a view without crosshair.
    pub(super) point: Option<[f64; 3]>,
    pub(super) marks: Vec<ViewMark>,
    /// Index of the chosen target; −1 if there is none.
    pub(super) selected: i32,
    pub(super) grades: Option<Grades>,
}

/// Style and script of all views of a page, which contains it once, after the views. See
/// [`LinkedView::element`](super::LinkedView::element).
#[must_use]
pub fn view_code() -> String {
    format!("<style>{STYLE}</style>\n<script>\n{SCRIPT}</script>\n")
}

/// The view without style and script: see [`view_code`]. `inside` is what readers without scripts see.
pub(super) fn element(data: &ViewData, inside: &str) -> String {
    // serde_json writes numbers, strings and lists, and these cannot fail
    let json = serde_json::to_string(data).unwrap_or_default();
    let json: String =
        json.chars().map(|c| if passes(c) { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) }).collect();
    format!("<div class=\"lumbar-view\">{inside}<script type=\"application/json\">{json}</script></div>\n")
}

/// Whether a character is the same in data and in a page: markup and what [`is_hidden`] are not.
fn passes(c: char) -> bool {
    c != '<' && !is_hidden(c)
}

/// An image for readers without scripts.
pub(super) fn static_image(figure: &Figure) -> String {
    let png = base64::engine::general_purpose::STANDARD.encode(figure.png());
    format!(
        "<figure class=\"lumbar-static\"><img alt=\"{}\" width=\"{}\" height=\"{}\" \
         src=\"data:image/png;base64,{png}\"></figure>",
        escape(figure.alt()),
        figure.width_px(),
        figure.height_px()
    )
}

/// "1 slice is", "2 slices are".
pub(super) fn slices_are(count: usize) -> String {
    format!("{} {}", counted(count, "slice"), if count == 1 { "is" } else { "are" })
}

/// Bytes for the slices: what the image, the code and the other data leave.
pub(super) fn bytes_left(figure: &Figure) -> usize {
    const OTHER_BYTES: usize = 60_000;
    super::VIEW_BYTES.saturating_sub(figure.png().len() * 4 / 3 + SCRIPT.len() + STYLE.len() + OTHER_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_small_and_can_stand_in_a_page_and_in_a_cell() {
        assert!(SCRIPT.len() < 30_000, "{} bytes", SCRIPT.len());
        let code = SCRIPT.to_owned() + STYLE;
        assert!(code.is_ascii() && !code.chars().any(|c| c.is_control() && c != '\n'));
        for word in ["</", "<!--", "EVCXR_", "http:", "https:", "innerHTML", "eval("] {
            assert!(!code.contains(word), "{word}");
        }
    }

    #[test]
    fn a_title_cannot_end_the_data_or_become_markup() {
        let title = "</script><script>alert(1)</script><!-- \u{2028}\u{202e}".to_owned();
        let data = ViewData {
            title: title.clone(),
            note: String::new(),
            panes: Vec::new(),
            point: None,
            marks: Vec::new(),
            selected: -1,
            grades: None,
        };
        let html = element(&data, "");
        assert_eq!((html.matches("<script").count(), html.matches("</script>").count()), (1, 1), "{html}");
        let json = html.split("application/json\">").nth(1).unwrap().split("</script>").next().unwrap();
        let read: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(read["title"].as_str(), Some(title.as_str()));
    }
}
