//! Figures: SVG and PNG where there is SVG, else an HTML image; the description as text. Views: HTML with a static image
//! inside.

use base64::Engine as _;
use lumbar::figure::{Figure, LinkedView, StackView};

use super::{Show, Shown, escape};

impl Show for Figure {
    fn show(&self) -> Shown {
        Shown::default().text(self.alt()).figure(self)
    }
}

impl Show for StackView {
    fn show(&self) -> Shown {
        view(self.figure(), self.html())
    }
}

impl Show for LinkedView {
    fn show(&self) -> Shown {
        view(self.figure(), self.html())
    }
}

/// Pages without scripts show the static image in the HTML.
fn view(figure: &Figure, html: &str) -> Shown {
    Shown::default().text(figure.alt()).html(html)
}

/// A PNG file in an HTML image, which has its width on the page and gets narrower with the page. The runner of
/// `cargo xtask notebooks` reads this form.
pub(super) fn image(figure: &Figure) -> String {
    format!(
        "<img alt=\"{}\" width=\"{}\" style=\"max-width:100%;height:auto\" src=\"data:image/png;base64,{}\">",
        escape(figure.alt()),
        figure.width_px(),
        base64::engine::general_purpose::STANDARD.encode(figure.png())
    )
}

/// An image that gets narrower with its page instead of being cut at the right edge.
pub(super) fn narrowing(svg: &str) -> String {
    svg.replacen("<svg ", "<svg style=\"max-width:100%;height:auto\" ", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_passes_through_the_kernel_as_it_is() {
        use lumbar_dicom::{Pixels, Slice, Stack};

        let slice =
            Slice::in_memory(20, 20, Pixels::U16((0..400).collect::<Vec<u16>>().into()), None, Some(3)).unwrap();
        let view = StackView::new("T1 <b>\u{1b}[2J\u{202e}", &Stack::new(vec![slice]), true).unwrap();
        let shown = view.show();
        let kinds: Vec<&str> = shown.parts().iter().map(|(mime, _)| *mime).collect();
        assert_eq!(kinds, ["text/plain", "text/html"]);
        // escapes and markers are not in the HTML, so that nothing of it is changed on its way
        assert_eq!(lumbar_dicom::escaped_lines(view.html()).to_string(), view.html());
        assert!(shown.to_evcxr().contains("T1 \\u003cb>") && !view.html().contains("<b>"));
    }

    #[test]
    fn a_figure_of_pixels_is_an_html_image_of_its_width_and_a_chart_has_both_forms() {
        use lumbar::figure::{ClassCount, MontageConfig, Tile, class_bars, montage};
        use ndarray::Array2;

        let tile = Tile::new(Array2::zeros((8, 8)).view(), 0.0, 1.0).caption("<b>");
        let config = MontageConfig { columns: 1, tile_px: 240, ..MontageConfig::default() };
        let pixels = montage(&[tile], &config).unwrap();
        let shown = pixels.show();
        let html = &shown.parts()[1].1;
        assert!(html.starts_with("<img alt=\"slices: 1 image (&lt;b&gt;)\" width=\"252\""), "{}", &html[..90]);
        // the runner of notebooks finds it
        let runner = include_str!("../../../xtask/src/run_notebooks.py");
        let form = "style=\"max-width:100%;height:auto\" src=\"data:image/png;base64,";
        assert!(html.contains(&format!("width=\"252\" {form}")) && runner.contains(form));
        // the file has twice the width
        assert_eq!(u32::from_be_bytes(pixels.png()[16..20].try_into().unwrap()), 504);
        let rows = [ClassCount { name: "L4/L5".into(), counts: [1, 2, 3], missing: 0 }];
        let chart = class_bars("t", &rows).unwrap().show();
        let kinds: Vec<&str> = chart.parts().iter().map(|(mime, _)| *mime).collect();
        assert_eq!(kinds, ["text/plain", "image/png", "image/svg+xml"]);
    }

    #[test]
    fn a_wide_chart_fits_a_narrow_page() {
        let svg = "<svg width=\"960\" height=\"400\" viewBox=\"0 0 960 400\"><svg x=\"1\"/></svg>";
        let shown = narrowing(svg);
        assert!(shown.starts_with("<svg style=\"max-width:100%;height:auto\" width=\"960\""), "{shown}");
        assert_eq!(shown.matches("style").count(), 1);
    }
}
