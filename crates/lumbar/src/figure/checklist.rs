//! What every figure is checked for: nothing cut off, readable text, axis titles, a scale bar.

use super::sheet::{Align, Mark, Role, Sheet};
use super::text::width_px;

/// The width at which figures have to be readable, in pixels.
const WIDTH_PX: u32 = 900;
/// The smallest text at that width, in pixels of one em.
const MIN_TEXT_PX: f64 = 11.0;
/// Overlaps up to this many pixels are not faults: boxes are a little larger than the letters.
const TOLERANCE_PX: f64 = 1.0;

/// The kind of a figure, which decides what it has to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FigureKind {
    /// Plots and tables: titles of both axes.
    Chart,
    /// Slices: a scale bar, or a note that the size is unknown.
    Images,
}

/// A text's left, top, right and bottom.
fn box_of(mark: &Mark) -> Option<[f64; 4]> {
    let Mark::Text { text, at, align, ink, .. } = mark else { return None };
    let (width, half) = (width_px(text, *ink), f64::from(ink.size) * 0.4);
    let left = match align {
        Align::Left => at.0,
        Align::Centre => at.0 - width / 2.0,
        Align::Right => at.0 - width,
    };
    Some([left, at.1 - half, left + width, at.1 + half])
}

/// Everything that is wrong with a figure, one sentence each.
pub(super) fn faults(sheet: &Sheet, kind: FigureKind, (width, height): (u32, u32)) -> Vec<String> {
    let mut faults = Vec::new();
    let shrunk = (f64::from(WIDTH_PX) / f64::from(width)).min(1.0);
    let mut on_paper: Vec<(&str, [f64; 4])> = Vec::new();
    for mark in &sheet.marks {
        let (Mark::Text { text, ink, role, .. }, Some(box_px)) = (mark, box_of(mark)) else { continue };
        let size = f64::from(ink.size) * shrunk;
        if size < MIN_TEXT_PX {
            faults
                .push(format!("{text:?} has {size:.1} px at {WIDTH_PX} px width, expected at least {MIN_TEXT_PX} px"));
        }
        if text.contains('…') || text.contains("...") {
            faults.push(format!("{text:?} is shortened"));
        }
        let [left, top, right, bottom] = box_px;
        let beyond = (-left).max(-top).max(right - f64::from(width)).max(bottom - f64::from(height));
        if beyond > TOLERANCE_PX {
            faults.push(format!("{text:?} is cut off by {beyond:.0} px"));
        }
        if *role == Role::Paper {
            let over = |other: &[f64; 4]| {
                let across = right.min(other[2]) - left.max(other[0]);
                across.min(bottom.min(other[3]) - top.max(other[1])) > TOLERANCE_PX
            };
            if let Some((other, _)) = on_paper.iter().find(|(_, other)| over(other)) {
                faults.push(format!("{text:?} overlaps {other:?}"));
            }
            on_paper.push((text, box_px));
        }
    }
    match kind {
        FigureKind::Chart if sheet.axes.is_empty() => faults.push("there is no axis title".to_owned()),
        FigureKind::Chart => {
            for (x, y) in sheet.axes.iter().filter(|(x, y)| x.trim().is_empty() || y.trim().is_empty()) {
                faults.push(format!("an axis has no title: found {x:?} and {y:?}"));
            }
        }
        FigureKind::Images if sheet.scale_bars.is_empty() => faults.push("there is no scale bar".to_owned()),
        FigureKind::Images => {}
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::sheet::Ink;
    use super::*;

    fn chart(draw: impl FnOnce(&mut Sheet)) -> Vec<String> {
        let mut sheet = Sheet::default();
        draw(&mut sheet);
        faults(&sheet, FigureKind::Chart, (900, 200))
    }

    fn complete(sheet: &mut Sheet) {
        sheet.axis_titles("epoch", (500, 180), "score", (20, 40));
    }

    #[test]
    fn a_complete_chart_has_no_faults() {
        assert_eq!(chart(|sheet| sheet.axis_titles("epoch", (500, 180), "score", (20, 40))), [""; 0]);
    }

    #[test]
    fn each_fault_is_found() {
        assert_eq!(chart(|_| {}), ["there is no axis title"]);
        assert!(chart(|sheet| sheet.axis_titles("epoch", (500, 180), "", (20, 40)))[0].contains("no title"));
        // at 900 px width the 12 px of a figure that is 1000 px wide become 10.8 px
        let mut sheet = Sheet::default();
        sheet.axis_titles("epoch", (500, 180), "score", (20, 40));
        let small = faults(&sheet, FigureKind::Chart, (1000, 200));
        assert!(small.len() == 2 && small[0].contains("10.8 px"), "{small:?}");
    }

    #[test]
    fn text_that_is_cut_shortened_or_covered_is_found() {
        let found = chart(|sheet| {
            complete(sheet);
            sheet.text("Subarticular Ste…", (500, 100), Align::Left, Ink { size: 14, ..Ink::BODY });
            sheet.text("far to the right", (860, 140), Align::Left, Ink { size: 14, ..Ink::BODY });
            sheet.text("one", (100, 100), Align::Left, Ink { size: 14, ..Ink::BODY });
            sheet.text("two", (105, 103), Align::Left, Ink { size: 14, ..Ink::BODY });
        });
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].contains("shortened") && found[1].contains("cut off") && found[2].contains("overlaps"));
    }

    #[test]
    fn images_need_a_scale_bar() {
        let mut sheet = Sheet::default();
        assert_eq!(faults(&sheet, FigureKind::Images, (100, 100)), ["there is no scale bar"]);
        sheet.scale_bars.push("10 mm".to_owned());
        assert!(faults(&sheet, FigureKind::Images, (100, 100)).is_empty());
    }
}
