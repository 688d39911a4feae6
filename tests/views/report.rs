//! The report's page: its views, its print, its contrast.

use lumbar::anatomy::Severity;
use lumbar::data::DataSplit;
use lumbar::data::manifest::Manifest;
use lumbar::data::study::Study;
use lumbar::figure::{LinkedView, LinkedViewConfig};
use lumbar::metric::{Graded, PredictionTable};
use lumbar::report::{Mistake, Report, WorstCase, case_image, slice_tile, worst_cells};
use lumbar::tasks::grading::labels_of;
use lumbar_tests::browser::chromium;
use lumbar_tests::scratch;
use serde_json::{Value, json};

use super::browser::{PageTest, alive, number, state, visit};
use super::phantom;

/// A page of the phantom's studies with two cases, both with a view.
pub(super) fn page() -> String {
    let manifest = Manifest::read(phantom()).unwrap();
    let labels = labels_of(manifest.of(DataSplit::Train)).unwrap();
    let mut predictions = PredictionTable::new();
    for (number, (study, row)) in labels.iter().enumerate() {
        // right for the one half and wrong for the other half of the targets
        let of = |(index, truth): (usize, Option<Severity>)| {
            let likely = (truth.map_or(0, Severity::index) + usize::from(index % 2 == number % 2)) % 3;
            std::array::from_fn(|severity| if severity == likely { 0.8 } else { 0.1 })
        };
        let rows: Vec<[f64; 3]> = row.iter().copied().enumerate().map(of).collect();
        predictions.insert(study, rows.try_into().unwrap()).unwrap();
    }
    let graded = Graded::join(&labels, &predictions).unwrap();
    let mut report = Report::new("a run", labels, predictions.clone());
    report.bootstrap.replicates = 100;
    report.facts.push(("images".into(), "synthetic".into()));
    report.notes.push("a note".into());
    for mistake in [Mistake::Missed, Mistake::FalseAlarm] {
        for mut cell in worst_cells(&graded, mistake, 1) {
            let record = manifest.of(DataSplit::Train).find(|record| record.id == cell.study).unwrap();
            let study = Study::open(record).unwrap();
            cell.target = record.points[0].target;
            let position_mm = study.locate(&record.points[0]).unwrap();
            let tile = slice_tile(&study, cell.target, position_mm).unwrap().unwrap();
            let image = Some(case_image(cell.target, &[tile], true).unwrap());
            let (title, predictions) = (format!("{}, both planes", cell.target), predictions.get(cell.study).copied());
            let config = LinkedViewConfig { title, target: cell.target, predictions, is_synthetic: true };
            let view = Some(LinkedView::of_study(&study, record, &config).unwrap());
            report.worst.push(WorstCase { cell, image, view, remark: "a remark".into() });
        }
    }
    assert!(!report.worst.is_empty());
    report.html().unwrap()
}

fn visit_page(html: String, steps: Vec<Value>) -> Option<Vec<Value>> {
    let answers = visit(&chromium()?, &[PageTest { html, scripts: true, steps }]).remove(0);
    Some(answers.into_iter().filter(|answer| !answer.is_null()).collect())
}

/// Heights of the first element of each kind: static image of a view, live view, navigation.
fn heights() -> Value {
    json!({ "eval": "['.lumbar-static img', 'table.lumbar-static', '.lumbar-live', '.lumbar-live input', 'nav', '.case > figure img']
        .map(what => document.querySelector(what)?.offsetHeight ?? -1)" })
}

#[test]
fn the_views_of_the_page_scroll_and_on_paper_they_are_images() {
    let folder = scratch();
    let pdf = folder.path().join("report.pdf");
    let steps = vec![
        alive(),
        json!({ "eval": "void document.querySelector('canvas').scrollIntoView({ block: 'center' })" }),
        state(0),
        json!({ "wheel": [0, 0.5, 0.5], "by": 120 }),
        state(0),
        heights(),
        json!({ "media": "print" }),
        heights(),
        // the width of A4 between margins of 1 cm
        json!({ "eval": "(document.body.style.width = '718px', [...document.querySelectorAll('table')]
            .filter(table => table.offsetWidth > table.parentElement.clientWidth + 1).length)" }),
        json!({ "pdf": pdf }),
    ];
    let html = page();
    let views = html.matches("class=\"lumbar-view\"").count();
    assert_eq!(html.matches("<script>").count(), 1, "one script for {views} views");
    let Some(answers) = visit_page(html.clone(), steps) else { return };
    assert_eq!(number(&answers[1], "index"), number(&answers[0], "index") + 1.0);
    assert_ne!(answers[0]["png"], answers[1]["png"]);
    let [screen, print] = [&answers[2], &answers[3]]
        .map(|answer| answer.as_array().unwrap().iter().map(|height| height.as_i64().unwrap() > 0).collect::<Vec<_>>());
    assert_eq!(screen, [false, false, true, true, true, true]);
    assert_eq!(print, [true, true, false, false, false, true]);
    assert_eq!(answers[4], json!(0), "tables that are wider than the paper");
    let file = std::fs::read(pdf).unwrap();
    let images = file.windows(15).filter(|bytes| *bytes == b"/Subtype /Image").count();
    let expected = html.matches("<img ").count();
    assert!(file.starts_with(b"%PDF") && images >= expected && expected >= 2 * views, "{images} of {expected} images");
}

#[test]
fn nothing_can_be_loaded_from_elsewhere() {
    let steps = vec![
        alive(),
        json!({ "eval": "performance.getEntriesByType('resource').filter(entry => !entry.name.startsWith('data:')).length" }),
        json!({ "eval": "new Promise(done => {
            document.addEventListener('securitypolicyviolation', event => done(event.effectiveDirective));
            new Image().src = 'http://127.0.0.1:9/x.png';
        })" }),
    ];
    let Some(answers) = visit_page(page(), steps) else { return };
    assert_eq!(answers, [json!(0), json!("img-src")]);
}

/// Texts with less contrast than WCAG 2.1 asks for (4.5 : 1), and the number of texts that were measured. Texts inside of
/// charts are not: the palette's own test computes them.
const CONTRAST: &str = "(() => {
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
    const linear = value => value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4;
    const luminance = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
    const behind = element => {
        for (let at = element; at; at = at.parentElement) {
            const colour = numbers(getComputedStyle(at).backgroundColor);
            if (colour.length < 4 || colour[3] > 0) { return colour; }
        }
        return [255, 255, 255];
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), low = [];
    let count = 0;
    while (texts.nextNode()) {
        const element = texts.currentNode.parentElement, text = texts.currentNode.data.trim();
        if (!text || element.closest('svg, script, style') || !element.offsetHeight) { continue; }
        const ends = [numbers(getComputedStyle(element).color), behind(element)].map(luminance).sort((a, b) => b - a);
        const ratio = (ends[0] + 0.05) / (ends[1] + 0.05);
        count += 1;
        if (ratio < 4.5) { low.push(`${ratio.toFixed(2)}: ${text.slice(0, 60)}`); }
    }
    return [count, low];
})()";

#[test]
fn all_text_has_the_contrast_that_wcag_asks_for() {
    let Some(chromium) = chromium() else { return };
    let steps = || vec![alive(), json!({ "eval": CONTRAST })];
    let html = page();
    let pale = html.replace("figcaption{color:#545454", "figcaption{color:#9a9a9a");
    assert_ne!(pale, html);
    let pages = [html, pale].map(|html| PageTest { html, scripts: true, steps: steps() });
    let answers = visit(&chromium, &pages);
    assert!(answers[0][0][0].as_u64() > Some(200), "{}", answers[0][0][0]);
    assert_eq!(answers[0][0][1], json!([]));
    assert!(answers[1][0][1].to_string().contains("2.8"), "pale captions: {}", answers[1][0][1]);
}

#[test]
fn headings_and_names_are_there_for_those_who_do_not_see_the_page() {
    let steps = vec![
        alive(),
        json!({ "eval": "[...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map(h => Number(h.tagName[1]))" }),
        json!({ "eval": "[...document.querySelectorAll('img, canvas, input, svg')].map(e => (e.alt || e.getAttribute('aria-label') || '').length)" }),
        json!({ "eval": "[document.documentElement.lang, document.title, document.querySelectorAll('main').length]" }),
        json!({ "eval": "document.documentElement.scrollWidth <= innerWidth" }),
    ];
    let Some(answers) = visit_page(page(), steps) else { return };
    let levels: Vec<u64> = answers[0].as_array().unwrap().iter().map(|level| level.as_u64().unwrap()).collect();
    assert_eq!(levels[0], 1);
    assert!(levels.windows(2).all(|pair| pair[1] > 1 && pair[1] <= pair[0] + 1), "{levels:?}");
    let names = answers[1].as_array().unwrap();
    assert!(names.len() > 10 && names.iter().all(|length| length.as_u64() > Some(5)), "{names:?}");
    assert_eq!(answers[2], json!(["en", "a run", 1]));
    assert_eq!(answers[3], json!(true), "nothing is wider than the page");
}
