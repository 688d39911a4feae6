//! Figures: SVG where there is one, PNG always, the description as text. Views: HTML with a static image inside.

use lumbar::figure::{Figure, LinkedView, StackView};

use super::{Show, Shown};

impl Show for Figure {
    fn show(&self) -> Shown {
        let shown = Shown::default().text(self.alt()).png(self.png());
        match self.svg() {
            Some(svg) => shown.svg(narrowing(svg)),
            None => shown,
        }
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

/// The image is there twice: pages without scripts show the one in the HTML, and programs that show no HTML the other.
fn view(figure: &Figure, html: &str) -> Shown {
    Shown::default().text(figure.alt()).png(figure.png()).html(html)
}

/// An image that gets narrower with its page instead of being cut at the right edge.
fn narrowing(svg: &str) -> String {
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
        assert_eq!(kinds, ["text/plain", "image/png", "text/html"]);
        // escapes and markers are not in the HTML, so that nothing of it is changed on its way
        assert_eq!(crate::printable::printable(view.html()), view.html());
        assert!(shown.to_evcxr().contains("T1 \\u003cb>") && !view.html().contains("<b>"));
    }

    #[test]
    fn a_wide_chart_fits_a_narrow_page() {
        let svg = "<svg width=\"960\" height=\"400\" viewBox=\"0 0 960 400\"><svg x=\"1\"/></svg>";
        let shown = narrowing(svg);
        assert!(shown.starts_with("<svg style=\"max-width:100%;height:auto\" width=\"960\""), "{shown}");
        assert_eq!(shown.matches("style").count(), 1);
    }
}
