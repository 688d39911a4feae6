//! Curves in panels: learning curves over the epochs, a score over the number of studies.

use plotters::style::RGBColor;

use super::checklist::FigureKind;
use super::palette::{CURVE_COLOURS, FRAME, GRID, QUIET};
use super::scale::Scale;
use super::sheet::{Align, Ink, Sheet};
use super::text::width_px;
use super::{Figure, FigureError};
use crate::train::history::EpochRecord;

const WIDTH_PX: i32 = 900;
const TOP_PX: i32 = 60;
/// Height of a line of the legend.
const LEGEND_PX: i32 = 21;
const PLOT_PX: i32 = 270;
const LEFT_PX: i32 = 62;
const BOTTOM_PX: i32 = 48;
/// Curves with at most this many points have a dot and a tick at each.
const FEW: usize = 6;

/// A curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Its name in the legend. Curves with the same name have the same colour in all panels.
    pub name: String,
    /// (x, y). The curve has a gap at values that are not finite.
    pub points: Vec<(f64, f64)>,
}

/// A horizontal line to compare curves with.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferenceLine {
    /// Text on the line.
    pub name: String,
    /// Its y value.
    pub value: f64,
}

/// One panel of [`curves`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CurvePanel {
    /// What y is, with its unit: text above the y axis.
    pub title: String,
    /// What x is, with its unit: text below the x axis.
    pub x_label: String,
    /// Its curves.
    pub curves: Vec<Curve>,
    /// Horizontal lines.
    pub references: Vec<ReferenceLine>,
    /// Whether the x axis is logarithmic. Every x must then be above zero.
    pub is_log_x: bool,
    /// Whether each curve has a dot at its minimum.
    pub marks_minimum: bool,
}

/// The epochs of a fold, with its name.
#[derive(Debug, Clone, PartialEq)]
pub struct FoldHistory {
    /// For example `fold 0`.
    pub name: String,
    /// Its epochs.
    pub records: Vec<EpochRecord>,
}

/// Curves in panels side by side, with one legend.
///
/// # Errors
/// [`FigureError::Empty`] if a panel has no finite point, [`FigureError::Values`] if x is not above zero on a
/// logarithmic axis.
///
/// ```
/// use lumbar::figure::{Curve, CurvePanel, curves};
///
/// let panel = CurvePanel {
///     title: "score".into(),
///     x_label: "labelled studies".into(),
///     curves: vec![Curve { name: "whole study".into(), points: vec![(64.0, 0.95), (128.0, 0.9), (256.0, 0.8)] }],
///     is_log_x: false,
///     ..CurvePanel::default()
/// };
/// let figure = curves("More studies, lower score", &[panel])?;
/// assert!(figure.svg().unwrap().contains("labelled studies"));
/// # Ok::<(), lumbar::figure::FigureError>(())
/// ```
pub fn curves(title: &str, panels: &[CurvePanel]) -> Result<Figure, FigureError> {
    if panels.is_empty() {
        return Err(FigureError::Empty { what: "curves" });
    }
    let mut names: Vec<&str> = Vec::new();
    for panel in panels {
        if finite_points(panel).next().is_none() {
            return Err(FigureError::Empty { what: "curves" });
        }
        if let Some((x, _)) = finite_points(panel).find(|(x, _)| panel.is_log_x && *x <= 0.0) {
            let reason = format!("{}: the x axis is logarithmic, expected values above 0, found {x}", panel.title);
            return Err(FigureError::Values { what: "curves", reason });
        }
        for curve in &panel.curves {
            if !names.contains(&curve.name.as_str()) {
                names.push(&curve.name);
            }
        }
    }
    let ends: Vec<String> = panels
        .iter()
        .flat_map(|panel| panel.curves.iter().map(move |curve| (panel, curve)))
        .filter_map(|(panel, curve)| {
            let (x, y) = curve.points.iter().rev().find(|(_, y)| y.is_finite())?;
            Some(format!("{} of {} ends at {y:.3} ({} {x})", panel.title, curve.name, panel.x_label))
        })
        .collect();
    let alt = format!("{title}: {}", ends.join("; "));
    let places = legend_places(&names);
    let legend_px = places.last().map_or(0, |(_, y)| y + LEGEND_PX);
    let size = (WIDTH_PX, TOP_PX + legend_px + PLOT_PX + BOTTOM_PX);
    Figure::of_sheet(alt, title, size, FigureKind::Chart, |sheet| {
        for (number, (name, (x, y))) in names.iter().zip(places).enumerate() {
            sheet.path(&[(x, 44 + y), (x + 18, 44 + y)], colour(number), 3.0);
            sheet.text(*name, (x + 24, 44 + y), Align::Left, Ink::BODY);
        }
        let count = panels.len() as i32;
        for (panel, number) in panels.iter().zip(0..) {
            let left = LEFT_PX + number * WIDTH_PX / count;
            let right = (number + 1) * WIDTH_PX / count - 18;
            draw(sheet, panel, &names, (left, right), TOP_PX + legend_px);
        }
    })
}

/// Where the names of the legend begin, in as many lines as they need.
fn legend_places(names: &[&str]) -> Vec<(i32, i32)> {
    let (mut x, mut y) = (14, 0);
    let place = |name: &&str| {
        let width = 24 + width_px(name, Ink::BODY).ceil() as i32;
        if x > 14 && x + width > WIDTH_PX - 14 {
            (x, y) = (14, y + LEGEND_PX);
        }
        let at = (x, y);
        x += width + 18;
        at
    };
    names.iter().map(place).collect()
}

/// Training loss and validation score over the epochs, with a curve for each fold and a dot at its best epoch.
///
/// `references` are horizontal lines for scores such as the best constant's and the oracle's. A fold without validation
/// scores has no curve in the second panel; if no fold has any, the panel is omitted.
///
/// # Errors
/// [`FigureError::Empty`] if there is no epoch.
pub fn learning_curves(
    title: &str,
    folds: &[FoldHistory],
    references: &[ReferenceLine],
) -> Result<Figure, FigureError> {
    let of = |value: &dyn Fn(&EpochRecord) -> f64| -> Vec<Curve> {
        let points =
            |records: &[EpochRecord]| records.iter().map(|record| ((record.epoch + 1) as f64, value(record))).collect();
        folds.iter().map(|fold| Curve { name: fold.name.clone(), points: points(&fold.records) }).collect()
    };
    let panel = |title: &str, curves, references: &[ReferenceLine], marks_minimum| CurvePanel {
        title: title.to_owned(),
        x_label: "epoch".to_owned(),
        curves,
        references: references.to_vec(),
        is_log_x: false,
        marks_minimum,
    };
    let training = panel("training loss", of(&|record| record.training_loss), &[], false);
    let scores = of(&|record| record.score().unwrap_or(f64::NAN));
    let validation = panel("validation score (lower is better; dot: best epoch)", scores, references, true);
    if finite_points(&validation).next().is_none() {
        return curves(title, &[training]);
    }
    curves(title, &[training, validation])
}

/// The points with finite coordinates.
fn finite_points(panel: &CurvePanel) -> impl Iterator<Item = (f64, f64)> {
    let points = panel.curves.iter().flat_map(|curve| &curve.points);
    points.copied().filter(|(x, y)| x.is_finite() && y.is_finite())
}

/// Minimum and maximum, widened by `margin` times their difference. If they are equal, by a tenth of the value.
fn range(values: impl Iterator<Item = f64>, margin: f64) -> (f64, f64) {
    let finite = values.filter(|value| value.is_finite());
    let (low, high) = finite.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
    if high - low <= 1e-9 * high.abs() {
        let margin = if high == 0.0 { 1.0 } else { 0.1 * high.abs() };
        return (low - margin, high + margin);
    }
    let margin = (high - low) * margin;
    (low - margin, high + margin)
}

/// The ticks of the x axis: at the points themselves if there are few, and only at whole numbers if all points are.
fn x_ticks(panel: &CurvePanel, scale: &Scale) -> Vec<(f64, String)> {
    let mut values: Vec<f64> = finite_points(panel).map(|(x, _)| x).collect();
    values.sort_unstable_by(f64::total_cmp);
    values.dedup();
    let are_whole = values.iter().all(|x| x.fract() == 0.0);
    if are_whole && values.len() <= FEW {
        return values.into_iter().map(|x| (x, format!("{x}"))).collect();
    }
    let mut ticks = scale.ticks(8);
    ticks.retain(|(x, _)| panel.is_log_x || !are_whole || (x - x.round()).abs() < 1e-9);
    ticks
}

fn colour(number: usize) -> RGBColor {
    CURVE_COLOURS[number % CURVE_COLOURS.len()]
}

fn draw(sheet: &mut Sheet, panel: &CurvePanel, names: &[&str], (left, right): (i32, i32), top: i32) {
    let bottom = top + PLOT_PX;
    let xs = range(finite_points(panel).map(|(x, _)| x), 0.0);
    let levels = panel.references.iter().map(|line| line.value);
    let ys = range(finite_points(panel).map(|(_, y)| y).chain(levels), 0.06);
    let across = if panel.is_log_x { Scale::log(xs, (left, right)) } else { Scale::new(xs, (left, right)) };
    let up = Scale::new(ys, (bottom, top));
    for (value, text) in up.ticks(6) {
        sheet.path(&[(left, up.at(value)), (right, up.at(value))], GRID, 1.0);
        sheet.text(text, (left - 7, up.at(value)), Align::Right, Ink::TICK);
    }
    for (value, text) in x_ticks(panel, &across) {
        sheet.path(&[(across.at(value), bottom), (across.at(value), bottom + 4)], FRAME, 1.0);
        sheet.text(text, (across.at(value), bottom + 14), Align::Centre, Ink::TICK);
    }
    sheet.path(&[(left, top), (left, bottom), (right, bottom)], FRAME, 1.0);
    let below = ((left + right) / 2, bottom + 34);
    sheet.axis_titles(&panel.x_label, below, &panel.title, (left - 46, top - 16));
    for line in &panel.references {
        let y = up.at(line.value);
        sheet.dashed((left, y), (right, y), QUIET);
    }
    for curve in &panel.curves {
        let number = names.iter().position(|name| *name == curve.name).unwrap_or(0);
        let at = |&(x, y): &(f64, f64)| (across.at(x), up.at(y));
        for run in curve.points.split(|(x, y)| !x.is_finite() || !y.is_finite()) {
            match run {
                [] => {}
                [alone] => sheet.dot(at(alone), 3.0, colour(number)),
                several => sheet.path(&several.iter().map(at).collect::<Vec<_>>(), colour(number), 2.0),
            }
        }
        let finite = curve.points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
        if !panel.marks_minimum && finite.clone().count() <= FEW {
            for point in finite.clone() {
                sheet.dot(at(point), 3.0, colour(number));
            }
        }
        if let Some(least) = finite.min_by(|one, other| one.1.total_cmp(&other.1)).filter(|_| panel.marks_minimum) {
            sheet.dot(at(least), 4.0, colour(number));
        }
    }
    let of_curve = |curve: &Curve| -> Vec<(f64, f64)> {
        let finite = curve.points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
        finite.map(|&(x, y)| (f64::from(across.at(x)), f64::from(up.at(y)))).collect()
    };
    let lines: Vec<Vec<(f64, f64)>> = panel.curves.iter().map(of_curve).collect();
    for (text, at) in reference_texts(&panel.references, &up, (f64::from(left), f64::from(right)), &lines) {
        sheet.text(text, at, Align::Right, Ink::TICK);
    }
}

/// Texts of the reference lines with their right ends: above or below their lines where no curve of `lines`, no other
/// reference line and no other text is, else above, and further up where two would overlap.
fn reference_texts(
    references: &[ReferenceLine],
    up: &Scale,
    (left, right): (f64, f64),
    lines: &[Vec<(f64, f64)>],
) -> Vec<(String, (f64, f64))> {
    const LINE_PX: f64 = 15.0;
    let mut sorted: Vec<&ReferenceLine> = references.iter().collect();
    sorted.sort_by(|one, other| one.value.total_cmp(&other.value));
    let mut texts: Vec<(String, (f64, f64))> = Vec::new();
    let mut taken: Vec<[f64; 4]> = Vec::new();
    for line in sorted {
        let text = format!("{} {:.3}", line.name, line.value);
        let width = width_px(&text, Ink::TICK);
        let box_of = |(x, y): (f64, f64)| [x - width, y - LINE_PX / 2.0, x, y + LINE_PX / 2.0];
        let y = f64::from(up.at(line.value));
        let ends = [right, left + width + 8.0, (left + right + width) / 2.0];
        let mut places = ends.into_iter().flat_map(|x| [(x, y - 9.0), (x, y + 10.0)]);
        let is_free = |at: &(f64, f64)| {
            let place = box_of(*at);
            let apart = |other: &[f64; 4]| {
                place[0] >= other[2] || other[0] >= place[2] || place[1] >= other[3] || other[1] >= place[3]
            };
            let is_of_another = |other: &ReferenceLine| {
                let y = f64::from(up.at(other.value));
                other.value != line.value && y > place[1] && y < place[3]
            };
            let is_clear = !lines.iter().any(|line| runs_through(line, place));
            is_clear && taken.iter().all(apart) && !references.iter().any(is_of_another)
        };
        let at = places.find(is_free).unwrap_or_else(|| {
            let highest = taken.iter().map(|other| other[1]).fold(f64::MAX, f64::min);
            (right, (y - 9.0).min(highest - LINE_PX / 2.0))
        });
        taken.push(box_of(at));
        texts.push((text, at));
    }
    texts
}

/// Whether a line through points runs through a box (left, top, right, bottom).
fn runs_through(line: &[(f64, f64)], [left, top, right, bottom]: [f64; 4]) -> bool {
    line.windows(2).any(|pair| {
        let ((x, y), (to_x, to_y)) = (pair[0], pair[1]);
        let steps = (to_x - x).abs().max((to_y - y).abs()).ceil().max(1.0) as usize;
        (0..=steps).any(|step| {
            let share = step as f64 / steps as f64;
            let (x, y) = (x + share * (to_x - x), y + share * (to_y - y));
            x > left && x < right && y > top && y < bottom
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::ValidationScore;

    fn history(name: &str, scores: &[Option<f64>]) -> FoldHistory {
        let record = |(epoch, score): (usize, &Option<f64>)| EpochRecord {
            epoch,
            step: epoch as u64,
            lr: 1e-3,
            training_loss: 1.0 / (epoch + 1) as f64,
            gradient_norm: 1.0,
            skipped_steps: 0,
            validation: score.map(|part| ValidationScore::new([("spinal", part)])),
        };
        FoldHistory { name: name.into(), records: scores.iter().enumerate().map(record).collect() }
    }

    #[test]
    fn every_fold_and_reference_is_named_and_the_description_has_the_final_values() {
        let folds = [history("fold 0", &[Some(1.0), Some(0.7)]), history("fold 1", &[Some(1.0), Some(0.8)])];
        let references = [ReferenceLine { name: "best constant".into(), value: 0.95 }];
        let figure = learning_curves("Run", &folds, &references).unwrap();
        let svg = figure.svg().unwrap();
        assert!(["fold 0", "fold 1", "best constant 0.950"].iter().all(|name| svg.contains(name)));
        assert_eq!(figure.faults(), [""; 0]);
        assert!(figure.alt().contains("of fold 1 ends at 0.800 (epoch 2)"), "{}", figure.alt());
    }

    #[test]
    fn a_fold_without_scores_has_its_loss_and_no_epoch_is_an_error() {
        let figure = learning_curves("Run", &[history("fold 0", &[None])], &[]).unwrap();
        assert!(!figure.svg().unwrap().contains("validation score"));
        assert!(matches!(learning_curves("Run", &[], &[]), Err(FigureError::Empty { .. })));
        assert!(matches!(learning_curves("Run", &[history("f", &[])], &[]), Err(FigureError::Empty { .. })));
    }

    #[test]
    fn one_point_has_a_margin_and_few_points_have_their_own_ticks() {
        assert_eq!(range([2.0].into_iter(), 0.06), (1.8, 2.2));
        assert_eq!(range([0.0].into_iter(), 0.06), (-1.0, 1.0));
        let points = vec![(64.0, 1.0), (128.0, 0.9), (256.0, 0.8)];
        let panel = CurvePanel { curves: vec![Curve { name: "c".into(), points }], ..CurvePanel::default() };
        let texts: Vec<_> =
            x_ticks(&panel, &Scale::new((64.0, 256.0), (0, 100))).into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["64", "128", "256"]);
    }

    #[test]
    fn the_text_of_a_reference_line_is_where_no_curve_runs() {
        let up = Scale::new((0.0, 1.0), (300, 0));
        let reference = |value| ReferenceLine { name: "best constant".into(), value };
        let place = |lines: &[Vec<(f64, f64)>]| reference_texts(&[reference(0.5)], &up, (60.0, 880.0), lines)[0].1;
        assert_eq!(place(&[]), (880.0, 141.0));
        // a curve that crosses the line near its right end: the text is at the left end
        let rising = vec![(60.0, 290.0), (800.0, 160.0), (880.0, 100.0)];
        let (x, y) = place(&[rising]);
        assert!(x < 300.0 && y == 141.0, "{x} {y}");
        // curves everywhere: it is where it would be
        let everywhere: Vec<_> =
            (0..80).map(|at| vec![(60.0, 10.0 * f64::from(at)), (880.0, 10.0 * f64::from(at))]).collect();
        assert_eq!(place(&everywhere), (880.0, 141.0));
        let two = reference_texts(&[reference(0.5), reference(0.51)], &up, (60.0, 880.0), &[]);
        // below the lower line and above the upper one
        assert_eq!((two[0].1, two[1].1), ((880.0, 160.0), (880.0, 138.0)), "{two:?}");
    }

    #[test]
    fn a_gap_splits_a_curve() {
        let lines = |points: &[(f64, f64)]| {
            let curves_of = vec![Curve { name: "c".into(), points: points.to_vec() }];
            let panel = CurvePanel { title: "t".into(), curves: curves_of, ..CurvePanel::default() };
            curves("t", &[panel]).unwrap().svg().unwrap().matches("<polyline").count()
        };
        let whole: Vec<(f64, f64)> = (0..12).map(|x| (f64::from(x), f64::from(x % 3))).collect();
        let mut split = whole.clone();
        split[5].1 = f64::NAN;
        let (whole, split) = (lines(&whole), lines(&split));
        assert_eq!(split, whole + 1);
    }

    #[test]
    fn many_names_need_more_than_one_line_and_are_all_there() {
        let names: Vec<String> = (0..12).map(|number| format!("a network with a long name {number}")).collect();
        let curve = |name: &String| Curve { name: name.clone(), points: vec![(1.0, 1.0), (2.0, 0.5)] };
        let (title, x_label) = ("loss".to_owned(), "epoch".to_owned());
        let references = ["oracle", "best constant"].map(|name| ReferenceLine { name: name.into(), value: 0.7 }).into();
        let curves_of = names.iter().map(curve).collect();
        let panel = CurvePanel { title, x_label, curves: curves_of, references, ..CurvePanel::default() };
        let figure = curves(
            "A title that is so long that it does not fit into one line of a figure which is nine \
            hundred pixels wide, as figures in a notebook are",
            &[panel],
        )
        .unwrap();
        assert_eq!(figure.faults(), [""; 0]);
        assert!(names.iter().all(|name| figure.svg().unwrap().contains(name)));
    }

    #[test]
    fn zero_on_a_logarithmic_axis_is_an_error() {
        let curve = Curve { name: "c".into(), points: vec![(0.0, 1.0)] };
        let panel = CurvePanel { curves: vec![curve], is_log_x: true, ..CurvePanel::default() };
        assert!(matches!(curves("t", &[panel]), Err(FigureError::Values { .. })));
    }
}
