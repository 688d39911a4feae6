//! Linked planes: the crosshair, the scout lines, the table.

use lumbar::anatomy::Target;
use lumbar::data::SeriesKind;
use lumbar::data::study::Study;
use lumbar::figure::{LinkedView, LinkedViewConfig, VIEW_BYTES};
use lumbar_dicom::{Geometry, Slice};
use lumbar_tests::browser::chromium;
use serde_json::{Value, json};

use super::browser::{PageTest, alive, number, pixels, state, visit};
use super::record;

/// Whether a pixel has the green of the crosshair in `view.js`, also where its edge is mixed with black. No ring has it.
fn is_cross(image::Rgb([red, green, blue]): &image::Rgb<u8>) -> bool {
    *green > 180 && green.saturating_sub(*red) > 90 && green.saturating_sub(*blue) > 90
}

/// Whether a pixel has the yellow of scout lines.
fn is_scout(image::Rgb([red, green, blue]): &image::Rgb<u8>) -> bool {
    *red > 140 && *green > 110 && *blue < 110 && red > green
}

fn slices(study: &Study, kind: SeriesKind) -> Vec<Slice> {
    study.series_of(kind).flat_map(|series| series.data.slices().cloned()).collect()
}

/// The middle of the crosshair, in pixels of the canvas.
fn centre(state: &Value) -> [f64; 2] {
    let image = pixels(state);
    let found: Vec<_> = image.enumerate_pixels().filter(|(_, _, pixel)| is_cross(pixel)).collect();
    assert!(found.len() > 40, "{} pixels of the crosshair", found.len());
    let middle = |values: Vec<u32>| {
        (f64::from(*values.iter().min().unwrap()) + f64::from(*values.iter().max().unwrap()) + 1.0) / 2.0
    };
    [middle(found.iter().map(|pixel| pixel.0).collect()), middle(found.iter().map(|pixel| pixel.1).collect())]
}

/// The patient position of the drawn crosshair, computed from its pixels and the slice's own geometry.
fn drawn_mm(state: &Value, slices: &[Slice]) -> ([f64; 3], Geometry) {
    let slice = &slices[number(state, "index") as usize];
    let geometry = slice.geometry.unwrap();
    let [x, y] = centre(state);
    let share = |at: f64, of: &str| at / state[of].as_f64().unwrap();
    let column = share(x, "width") * slice.columns as f64 - 0.5;
    let row = share(y, "height") * slice.rows as f64 - 0.5;
    (geometry.patient_at(column, row), geometry)
}

fn distance(one: [f64; 3], other: [f64; 3]) -> f64 {
    (0..3).map(|k| (one[k] - other[k]).powi(2)).sum::<f64>().sqrt()
}

fn page(view: &LinkedView, steps: Vec<Value>) -> PageTest {
    PageTest::of_output(view.html(), steps)
}

#[test]
fn the_crosshair_is_at_the_same_patient_point_in_both_planes() {
    let Some(chromium) = chromium() else { return };
    let record = record();
    let study = Study::open(&record).unwrap();
    let view = LinkedView::of_study(&study, &record, &LinkedViewConfig::default()).unwrap();
    assert!(view.html().len() <= VIEW_BYTES, "{} bytes", view.html().len());
    assert!(view.figure().faults().is_empty(), "{:?}", view.figure().faults());
    let (sagittal, axial) = (slices(&study, SeriesKind::SagittalT2), slices(&study, SeriesKind::AxialT2));
    // the canvas and where it is clicked
    let clicks = [(0, 0.45, 0.5), (0, 0.6, 0.62), (1, 0.5, 0.45), (1, 0.35, 0.6), (0, 0.5, 0.4)];
    let mut steps = vec![alive(), state(0), state(1)];
    for (canvas, x, y) in clicks {
        steps.extend([json!({ "drag": [canvas, x, y, x, y] }), state(0), state(1)]);
    }
    let answers = visit(&chromium, &[page(&view, steps)]).remove(0);
    let mut places = Vec::new();
    for (number_of_pair, pair) in answers.chunks(2).enumerate() {
        let (here, here_plane) = drawn_mm(&pair[0], &sagittal);
        let (there, there_plane) = drawn_mm(&pair[1], &axial);
        // each cross is the foot of the same point on its plane: apart from that they are at one place
        let clicked = number_of_pair.checked_sub(1).map(|number| clicks[number].0);
        let (point, other, plane) = match clicked {
            Some(1) => (there, here, here_plane),
            _ => (here, there, there_plane),
        };
        let seen = plane.project(point);
        let foot = plane.patient_at(seen.column, seen.row);
        if clicked.is_some() {
            assert!(distance(foot, other) < 1.0, "pair {number_of_pair}: {foot:.1?} and {other:.1?} mm");
            let shown = number(&pair[if clicked == Some(1) { 0 } else { 1 }], "distanceMm");
            assert!((shown.abs() - seen.distance_mm.abs()).abs() < 1.0, "{shown} and {}", seen.distance_mm);
            // the nearest of all slices
            let all = if clicked == Some(1) { &sagittal } else { &axial };
            let away = |slice: &Slice| slice.geometry.unwrap().project(point).distance_mm.abs();
            let nearest = all.iter().map(away).fold(f64::INFINITY, f64::min);
            assert!(
                seen.distance_mm.abs() < nearest + 1.0,
                "{} mm, the nearest is {nearest} mm away",
                seen.distance_mm
            );
        }
        places.push(here);
    }
    assert!(distance(places[1], places[2]) > 10.0, "clicks at two places are two points");
    let point = record.points.iter().find(|point| point.target == LinkedViewConfig::default().target).unwrap();
    let annotated = study.locate(point).unwrap();
    assert!(distance(places[0], annotated) < 1.0, "it starts at the annotation: {:?}, {annotated:?}", places[0]);
}

#[test]
fn scout_lines_are_where_the_other_slice_cuts() {
    let Some(chromium) = chromium() else { return };
    let record = record();
    let study = Study::open(&record).unwrap();
    let view = LinkedView::of_study(&study, &record, &LinkedViewConfig::default()).unwrap();
    let steps =
        vec![alive(), json!({ "drag": [1, 0.5, 0.3, 0.5, 0.3] }), json!({ "key": "ArrowDown" }), state(0), state(1)];
    let answers = visit(&chromium, &[page(&view, steps)]).remove(0);
    let (sagittal, axial) = (slices(&study, SeriesKind::SagittalT2), slices(&study, SeriesKind::AxialT2));
    let slice = &sagittal[number(&answers[0], "index") as usize];
    let other = axial[number(&answers[1], "index") as usize].geometry.unwrap();
    let ends = slice.geometry.unwrap().scout_line(&other, slice.rows, slice.columns).unwrap();
    let image = pixels(&answers[0]);
    // the share of yellow pixels along the expected line, and along one that is 12 pixels lower
    let share = |lower_px: f64| {
        let yellow = (1..100).filter(|step| {
            let along = f64::from(*step) / 100.0;
            let at = |axis: usize, length: usize, px: u32| {
                let place = ends[0][axis] + along * (ends[1][axis] - ends[0][axis]);
                (place + 0.5) / length as f64 * f64::from(px)
            };
            let (x, y) = (at(0, slice.columns, image.width()), at(1, slice.rows, image.height()) + lower_px);
            (-1..=1).any(|down| {
                let y = y.floor() as i64 + down;
                u32::try_from(y).is_ok_and(|y| y < image.height() && is_scout(image.get_pixel(x as u32, y)))
            })
        });
        yellow.count()
    };
    assert!(share(0.0) > 85 && share(12.0) < 30, "{} % on the line, {} % beside it", share(0.0), share(12.0));
}

#[test]
fn the_table_shows_labels_or_predictions_and_goes_to_annotations() {
    let Some(chromium) = chromium() else { return };
    let record = record();
    let study = Study::open(&record).unwrap();
    let predictions = Some([[0.1, 0.2, 0.7]; Target::COUNT]);
    let config = LinkedViewConfig { title: "T <i>".into(), predictions, is_synthetic: true, ..Default::default() };
    let view = LinkedView::of_study(&study, &record, &config).unwrap();
    let texts =
        || json!({ "eval": "[...document.querySelectorAll('.lumbar-live td button')].map(b => b.textContent)" });
    let target = record.points.iter().find(|point| point.target.index() > 12).unwrap().target;
    let click = |what: &str| json!({ "eval": format!("document.querySelectorAll('{what}').forEach(b => b.click())") });
    let steps = vec![
        alive(),
        texts(),
        click(".lumbar-choice button:last-of-type"),
        texts(),
        json!({ "eval": format!("document.querySelectorAll('.lumbar-live td button')[{}].click()", target.index()) }),
        state(0),
        state(1),
        json!({ "eval": "[...document.querySelectorAll('.lumbar-differs')].length" }),
        json!({ "eval": "document.querySelector('.lumbar-title').textContent" }),
    ];
    let mut answers = visit(&chromium, &[page(&view, steps)]).remove(0);
    answers.retain(|answer| !answer.is_null());
    let labels = record.labels.unwrap();
    for (target, (predicted, label)) in Target::ALL.iter().zip(list(&answers[0]).iter().zip(list(&answers[1]))) {
        assert_eq!(*predicted, "Severe 70%");
        assert_eq!(label, labels.get(*target).map_or("no label", lumbar::anatomy::Severity::title), "{target}");
    }
    let point = study.locate(record.point(target).unwrap()).unwrap();
    let (axial, _) = drawn_mm(&answers[3], &slices(&study, SeriesKind::AxialT2));
    let (sagittal, plane) = drawn_mm(&answers[2], &slices(&study, SeriesKind::SagittalT2));
    let seen = plane.project(point);
    assert!(distance(plane.patient_at(seen.column, seen.row), sagittal) < 1.0, "{target}: {point:?}, {sagittal:?}");
    assert!(distance(axial, point) < 4.0, "{target}: {point:?}, {axial:?}");
    let differ = labels.iter().filter(|(_, severity)| *severity != lumbar::anatomy::Severity::Severe).count();
    assert_eq!(answers[4], json!(differ));
    assert_eq!(answers[5], json!("T <i>, synthetic"));
}

fn list(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}
