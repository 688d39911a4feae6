//! The slice scroller.

use lumbar::data::SeriesKind;
use lumbar::data::study::Study;
use lumbar::figure::{StackView, window_of};
use lumbar_tests::browser::chromium;
use serde_json::{Value, json};

use super::browser::{PageTest, alive, number, pixels, state, visit};
use super::record;

fn view() -> (StackView, lumbar_dicom::Stack) {
    let study = Study::open(&record()).unwrap();
    let stack = study.series_of(SeriesKind::SagittalT2).next().unwrap().data.stacks[0].clone();
    (StackView::new("Sagittal T2", &stack, true).unwrap(), stack)
}

/// Mean difference in grey levels between a canvas and a slice, at the centres of the slice's pixels. A band at each
/// edge is left out: letters and scale bar are there.
fn difference(state: &Value, slice: &lumbar_dicom::Slice, (black, white): (f32, f32), is_flipped: bool) -> f64 {
    let (canvas, values) = (pixels(state), slice.rescaled().unwrap());
    let (mut sum, mut count) = (0.0, 0);
    let size = |length: usize, of: u32, at: usize| ((at as f64 + 0.5) * f64::from(of) / length as f64) as u32;
    for row in slice.rows / 6..slice.rows * 5 / 6 {
        for column in slice.columns / 6..slice.columns * 5 / 6 {
            let from = if is_flipped { slice.columns - 1 - column } else { column };
            let grey = ((values[row * slice.columns + from] - black) / (white - black) * 255.0).clamp(0.0, 255.0);
            let x = size(slice.columns, canvas.width(), column);
            let found = canvas.get_pixel(x, size(slice.rows, canvas.height(), row)).0[1];
            sum += (f64::from(found) - f64::from(grey)).abs();
            count += 1;
        }
    }
    sum / f64::from(count)
}

#[test]
fn wheel_keys_and_dragging_change_what_is_seen() {
    let Some(chromium) = chromium() else { return };
    let (view, stack) = view();
    let count = stack.slices.len() as f64;
    let steps = vec![
        alive(),
        state(0),
        json!({ "wheel": [0, 0.5, 0.5], "by": 120 }),
        state(0),
        json!({ "wheel": [0, 0.5, 0.5], "by": -120 }),
        state(0),
        // the pointer's click makes the canvas the one that hears the keys
        json!({ "drag": [0, 0.3, 0.6, 0.6, 0.4] }),
        state(0),
        json!({ "key": "r" }),
        state(0),
        json!({ "key": "ArrowDown" }),
        json!({ "key": "ArrowDown" }),
        state(0),
        json!({ "key": "End" }),
        state(0),
        json!({ "wheel": [0, 0.5, 0.5], "by": 120 }),
        state(0),
        json!({ "key": "Home" }),
        json!({ "key": "ArrowRight", "shift": true }),
        state(0),
        json!({ "eval": "document.querySelector('.lumbar-status').textContent" }),
        json!({ "eval": "document.querySelector('canvas').closest('[data-lm-suppress-shortcuts]') !== null" }),
    ];
    let answers = visit(&chromium, &[PageTest::of_output(view.html(), steps)]).remove(0);
    let [start, down, up, dragged, reset, keys, end, beyond, wider] = &answers[..9] else { panic!("{answers:?}") };
    let middle = (count / 2.0).floor();
    let places: Vec<f64> =
        [start, down, up, dragged, reset, keys, end, beyond, wider].map(|one| number(one, "index")).into();
    assert_eq!(places, [middle, middle + 1.0, middle, middle, middle, middle + 2.0, count - 1.0, count - 1.0, 0.0]);
    assert_ne!(start["png"], down["png"]);
    assert_eq!(start["png"], up["png"]);
    assert_eq!(start["png"], reset["png"], "r is back to the window of the start");
    assert!(dragged["window"] != start["window"] && dragged["png"] != start["png"]);
    assert!(wider["window"] != start["window"]);
    let status = answers[9].as_str().unwrap();
    let name = format!("slice {} (1 of {count})", stack.slices[0].instance_number.unwrap());
    assert!(status.starts_with(&name), "{status}, expected {name}");
    assert_eq!(answers[10], json!(true), "JupyterLab's own keys are off inside the view");

    // what is drawn is the slice, and not another one or its mirror image
    let window = window_of(&stack).unwrap();
    let at = |index: f64| &stack.slices[index as usize];
    for (state, index) in [(start, middle), (down, middle + 1.0)] {
        let (own, flipped) = (difference(state, at(index), window, false), difference(state, at(index), window, true));
        assert!(own < 8.0 && flipped > 2.0 * own, "slice {index}: {own:.1}, mirrored {flipped:.1} grey levels");
    }
    let own = difference(start, at(middle), window, false);
    let other = difference(start, at(0.0), window, false);
    assert!(other > 1.5 * own, "{own:.1} from its own slice, {other:.1} from another one");
}

#[test]
fn without_scripts_the_image_is_shown_and_with_scripts_the_view() {
    let Some(chromium) = chromium() else { return };
    let (view, _) = view();
    let look = || {
        json!({ "eval": "(() => {
            const img = document.querySelector('.lumbar-static img'), live = document.querySelector('.lumbar-live');
            return [img.offsetHeight, img.naturalWidth, img.alt, live ? live.offsetHeight : 0];
        })()" })
    };
    // scripts switched off, and scripts removed as JupyterLab removes them from outputs that are not trusted
    let off = PageTest { scripts: false, ..PageTest::of_output(view.html(), vec![look()]) };
    let mut stripped = String::new();
    for part in view.html().split("<script") {
        stripped += part.split_once("</script>").map_or(part, |(_, rest)| rest);
    }
    assert!(!stripped.contains("JSON.parse") && stripped.contains("<img"));
    let stripped = PageTest::of_output(&stripped, vec![look()]);
    let twice = view.html().to_owned() + view.html();
    let count = json!({ "eval": "document.querySelectorAll('.lumbar-view').length - document.querySelectorAll('canvas').length" });
    let on = PageTest::of_output(&twice, vec![alive(), look(), count]);
    let print = json!({ "eval": "getComputedStyle(document.querySelector('.lumbar-static')).display" });
    let broken = view.html().replace("\"image\":\"iVBOR", "\"image\":\"AAAA");
    let broken = PageTest::of_output(
        &broken,
        vec![json!({ "wait": "document.querySelector('.lumbar-view').dataset.started" }), print],
    );
    let answers = visit(&chromium, &[off, stripped, on, broken]);
    for page in &answers[..2] {
        assert!(page[0][0].as_f64() > Some(100.0) && page[0][1].as_f64() > Some(100.0), "{page:?}");
        assert!(page[0][2].as_str().unwrap().contains("Sagittal T2") && page[0][3] == json!(0), "{page:?}");
    }
    assert!(answers[2][0][0] == json!(0) && answers[2][0][3].as_f64() > Some(300.0), "{:?}", answers[2]);
    assert_eq!(answers[2][1], json!(0), "two views, two canvases");
    assert_eq!(answers[3][0], json!("block"), "images that cannot be decoded: the static one stays");
}
