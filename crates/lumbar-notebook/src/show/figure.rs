//! Figures: SVG where there is one, PNG always, the description as text.

use lumbar::figure::Figure;

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

/// An image that gets narrower with its page instead of being cut at the right edge.
fn narrowing(svg: &str) -> String {
    svg.replacen("<svg ", "<svg style=\"max-width:100%;height:auto\" ", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_chart_fits_a_narrow_page() {
        let svg = "<svg width=\"960\" height=\"400\" viewBox=\"0 0 960 400\"><svg x=\"1\"/></svg>";
        let shown = narrowing(svg);
        assert!(shown.starts_with("<svg style=\"max-width:100%;height:auto\" width=\"960\""), "{shown}");
        assert_eq!(shown.matches("style").count(), 1);
    }
}
