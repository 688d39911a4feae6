//! The three probabilities of every cell as points in triangles.

use lumbar_dicom::counted;

use super::checklist::FigureKind;
use super::groups::check;
use super::palette::{FRAME, GRID, SEVERITY_COLOURS};
use super::sheet::{Align, Ink, Sheet};
use super::{CellGroup, Figure, FigureError};
use crate::anatomy::Severity;

const WIDTH_PX: i32 = 880;
const TOP_PX: i32 = 78;
/// Side of a triangle.
const SIDE_PX: f64 = 236.0;
/// Height of a row of triangles with the texts above and below them.
const ROW_PX: i32 = 318;
/// Triangles side by side.
const COLUMNS: i32 = 3;

/// A ternary plot for each group: each cell is a point in a triangle, in the colour of its label. The nearer a point is
/// to a corner, the more probability has the corner's severity; a corner is certainty, the middle a third each. Thin
/// lines separate the regions of the most probable severity.
///
/// Normal/Mild is the lower left corner, Moderate the upper one, Severe the lower right one.
///
/// # Errors
/// [`FigureError::Empty`] if there is no cell, [`FigureError::Values`] if a prediction is not a row of probabilities.
///
/// ```
/// use lumbar::anatomy::{Severity, Target};
/// use lumbar::figure::{CellGroup, ternary_plots};
/// use lumbar::metric::Cell;
///
/// let cell = Cell { target: Target::ALL[0], truth: Severity::Severe, raw: [0.1, 0.2, 0.7] };
/// let figure = ternary_plots("Canal", &[CellGroup { name: "spinal".into(), cells: vec![cell] }])?;
/// assert!(figure.alt().contains("spinal: 1 of 1 cell in the region of their label"));
/// # Ok::<(), lumbar::figure::FigureError>(())
/// ```
pub fn ternary_plots(title: &str, groups: &[CellGroup]) -> Result<Figure, FigureError> {
    check("ternary plots", groups)?;
    let regions: Vec<String> = groups
        .iter()
        .map(|group| {
            let right = group.cells.iter().filter(|cell| Severity::most_probable(&cell.raw) == cell.truth).count();
            format!("{}: {right} of {} in the region of their label", group.name, counted(group.cells.len(), "cell"))
        })
        .collect();
    let alt = format!("{title}: probabilities of the three severities as points in triangles. {}", regions.join("; "));
    let rows = (i32::try_from(groups.len()).unwrap_or(1) + COLUMNS - 1) / COLUMNS;
    Figure::of_sheet(alt, title, (WIDTH_PX, TOP_PX + rows * ROW_PX + 8), FigureKind::Chart, |sheet| {
        sheet.severities("cells labelled", (14, 46));
        for (group, number) in groups.iter().zip(0..) {
            let x = 14 + number % COLUMNS * (WIDTH_PX - 28) / COLUMNS + (WIDTH_PX - 28) / COLUMNS / 2;
            triangle(sheet, group, (x, TOP_PX + number / COLUMNS * ROW_PX));
        }
    })
}

/// The position of three probabilities in a triangle whose lower left corner is at the origin and whose side is 1, y up.
fn position(probabilities: [f64; 3]) -> (f64, f64) {
    let [_, moderate, severe] = probabilities;
    (severe + moderate / 2.0, moderate * 0.75_f64.sqrt())
}

fn triangle(sheet: &mut Sheet, group: &CellGroup, (middle, top): (i32, i32)) {
    let name = format!("{}, n = {}", group.name, group.cells.len());
    sheet.text_within(&name, (middle, top + 4), Align::Centre, Ink::HEAD, WIDTH_PX / COLUMNS - 16);
    let left = f64::from(middle) - SIDE_PX / 2.0;
    let floor = f64::from(top) + 42.0 + SIDE_PX * 0.75_f64.sqrt();
    let at = |probabilities: [f64; 3]| {
        let (x, y) = position(probabilities);
        (left + x * SIDE_PX, floor - y * SIDE_PX)
    };
    for share in [0.25, 0.5, 0.75] {
        for turn in 0..3 {
            let mut ends = [[share, 1.0 - share, 0.0], [share, 0.0, 1.0 - share]];
            ends.iter_mut().for_each(|end| end.rotate_right(turn));
            sheet.path(&ends.map(at), GRID, 1.0);
        }
    }
    let corners = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    sheet.path(&[corners[0], corners[1], corners[2], corners[0]].map(at), FRAME, 1.0);
    for edge in [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5]] {
        sheet.path(&[at([1.0 / 3.0; 3]), at(edge)], FRAME, 1.0);
    }
    // rare severities are drawn last, on top
    for severity in Severity::ALL {
        for cell in group.labelled(severity) {
            sheet.dot(at(cell.probabilities()), 2.6, SEVERITY_COLOURS[severity.index()]);
        }
    }
    let (x, y) = at(corners[1]);
    sheet.text(Severity::Moderate.title(), (x, y - 11.0), Align::Centre, Ink::TICK);
    sheet.text(Severity::NormalMild.title(), (left - 18.0, floor + 14.0), Align::Left, Ink::TICK);
    sheet.text(Severity::Severe.title(), (left + SIDE_PX + 18.0, floor + 14.0), Align::Right, Ink::TICK);
    let below = (middle, floor as i32 + 33);
    sheet.axis_titles("share of severe →", below, "", (0, 0));
    if let Some(axes) = sheet.axes.last_mut() {
        axes.1 = "share of moderate".to_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anatomy::Target;
    use crate::metric::Cell;

    #[test]
    fn certainty_is_a_corner_and_a_third_each_is_the_middle() {
        let height = 0.75_f64.sqrt();
        let corners = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(position);
        assert_eq!(corners, [(0.0, 0.0), (0.5, height), (1.0, 0.0)]);
        let (x, y) = position([1.0 / 3.0; 3]);
        assert!((x - 0.5).abs() < 1e-12 && (y - height / 3.0).abs() < 1e-12);
    }

    #[test]
    fn every_cell_is_a_point_and_the_checklist_is_met() {
        let cell = |raw| Cell { target: Target::ALL[0], truth: Severity::Moderate, raw };
        let cells = vec![cell([0.8, 0.1, 0.1]), cell([2.0, 6.0, 2.0]), cell([0.0, 0.0, 1.0])];
        let names = ["spinal", "foraminal", "subarticular", "a group with a long name: the left lateral recess"];
        let groups = names.map(|name| CellGroup { name: name.into(), cells: cells.clone() });
        let figure = ternary_plots("t", &groups).unwrap();
        assert_eq!(figure.faults(), [""; 0]);
        // a rim and a disc for each of the 3 cells of 4 groups
        assert_eq!(figure.svg().unwrap().matches("<circle").count(), 24);
        assert!(figure.alt().contains("spinal: 1 of 3 cells in the region of their label"), "{}", figure.alt());
        assert!(matches!(ternary_plots("t", &[]), Err(FigureError::Empty { .. })));
    }
}
