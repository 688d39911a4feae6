//! Figures: SVG where there is one, PNG always, the description as text.

use lumbar::figure::Figure;

use super::{Show, Shown};

impl Show for Figure {
    fn show(&self) -> Shown {
        let shown = Shown::default().text(self.alt()).png(self.png());
        match self.svg() {
            Some(svg) => shown.svg(svg),
            None => shown,
        }
    }
}
