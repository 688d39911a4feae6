//! A figure's marks as SVG.

use std::fmt::Write as _;

use super::palette::hex;
use super::sheet::{Align, Mark, Sheet};
use super::text::{baseline_px, width_px};

/// DejaVu Sans, fonts with its widths, then any.
const FONTS: &str = "DejaVu Sans, Verdana, Geneva, sans-serif";

/// The content of an SVG file. `None` if there are pixels among the marks.
pub(super) fn svg(sheet: &Sheet, (width, height): (u32, u32), alt: &str) -> Option<String> {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"{FONTS}\" role=\"img\" aria-label=\"{}\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n",
        escape(alt)
    );
    for mark in &sheet.marks {
        // writing to a String cannot fail
        let _ = match mark {
            Mark::Fill { box_px: [left, top, right, bottom], colour } => writeln!(
                svg,
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"/>",
                number(*left),
                number(*top),
                number((right - left).max(0.0)),
                number((bottom - top).max(0.0)),
                hex(*colour)
            ),
            Mark::Path { points, colour, width } => {
                let points: Vec<String> =
                    points.iter().map(|(x, y)| format!("{},{}", number(*x), number(*y))).collect();
                writeln!(
                    svg,
                    "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" \
                     stroke-linecap=\"round\" stroke-linejoin=\"round\"/>",
                    points.join(" "),
                    hex(*colour),
                    number(*width)
                )
            }
            Mark::Disc { at, radius, colour } => writeln!(
                svg,
                "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{}\"/>",
                number(at.0),
                number(at.1),
                number(*radius),
                hex(*colour)
            ),
            Mark::Ring { at, radius, colour, width } => writeln!(
                svg,
                "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\"/>",
                number(at.0),
                number(at.1),
                number(*radius),
                hex(*colour),
                number(*width)
            ),
            Mark::Text { text, at, align, ink, .. } => {
                let anchor = match align {
                    Align::Left => "start",
                    Align::Centre => "middle",
                    Align::Right => "end",
                };
                writeln!(
                    svg,
                    "<text x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\" font-size=\"{}\"{} fill=\"{}\" \
                     textLength=\"{}\">{}</text>",
                    number(at.0),
                    number(at.1 + baseline_px(ink.size)),
                    ink.size,
                    if ink.bold { " font-weight=\"bold\"" } else { "" },
                    hex(ink.colour),
                    // with another font the text keeps its width, and so its place beside other marks
                    number(width_px(text, *ink)),
                    escape(text)
                )
            }
            Mark::Image { .. } => return None,
        };
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

/// A coordinate with at most one decimal.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

/// Text as HTML and SVG show it literally.
///
/// ```
/// assert_eq!(lumbar::report::escape("<b>"), "&lt;b&gt;");
/// ```
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::sheet::Ink;
    use super::*;

    #[test]
    fn text_from_data_cannot_become_markup() {
        let mut sheet = Sheet::default();
        sheet.text("<b>&\"", (10, 10), Align::Left, Ink::BODY);
        let svg = svg(&sheet, (100, 20), "a <figure>").unwrap();
        assert!(
            svg.contains("&lt;b&gt;&amp;&quot;</text>") && svg.contains("aria-label=\"a &lt;figure&gt;\""),
            "{svg}"
        );
    }

    #[test]
    fn pixels_have_no_svg() {
        let mut sheet = Sheet::default();
        sheet.image((0, 0), (1, 1), vec![0; 3]);
        assert!(svg(&sheet, (10, 10), "").is_none());
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([number(12.0), number(12.25), number(-0.04)], ["12", "12.2", "-0"]);
    }
}
