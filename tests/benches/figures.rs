//! Contact sheets: every figure of the executed notebooks and of a report, as headless Chromium draws it; and how long
//! figures take. `cargo xtask bench figures WORD…`; the words, in any order:
//!
//! | word | default | |
//! |---|---|---|
//! | `out=FOLDER` | no sheets | where the sheets go: `sheet.html`, an image for each notebook, and `figures/` |
//! | `notebooks=FOLDER` | `notebooks` | executed notebooks |
//! | `report=FILE` | none | a page that `lumbar report` wrote |
//! | `time` | not timed | times our figures |
//! | `peer=PYTHON` | none | a Python with matplotlib, which draws the same in turn |
//!
//! Folders are relative to the workspace. The figures are drawn at once and twice the resolution of the page, 900 px wide
//! as JupyterLab shows them. Then the checklist is printed: bytes of the outputs of each notebook against 2 MB, and for
//! each figure its width, its smallest text and what is wrong with it.

#[path = "figures/collect.rs"]
mod collect;
#[path = "figures/sheet.rs"]
mod sheet;
#[path = "figures/time.rs"]
mod time;

use std::path::{Path, PathBuf};

use lumbar_tests::browser::{chromium, visit};
use lumbar_tests::{scratch, workspace};
use serde_json::{Value, json};

use collect::{Origin, Picture};
use sheet::Drawn;

/// Width of the page in pixels.
const WIDTH_PX: u32 = 900;
/// Smallest readable text.
const TEXT_PX: f64 = 11.0;
/// Largest outputs of a notebook.
const OUTPUT_BYTES: usize = 2_000_000;

fn main() {
    // `cargo test --benches` runs this too; drawing is for `cargo bench`.
    if std::env::args().all(|word| word != "--bench") {
        return;
    }
    let (mut out, mut notebooks, mut report) = (None, workspace().join("notebooks"), None);
    let (mut is_timed, mut peer) = (false, None);
    for word in std::env::args().skip(1).filter(|word| word != "--bench") {
        match word.split_once('=') {
            Some(("out", value)) => out = Some(workspace().join(value)),
            Some(("notebooks", value)) => notebooks = workspace().join(value),
            Some(("report", value)) => report = Some(workspace().join(value)),
            Some(("peer", value)) => peer = Some(value.to_owned()),
            None if word == "time" => is_timed = true,
            _ => panic!("{word}: expected out=FOLDER, notebooks=FOLDER, report=FILE, time or peer=PYTHON"),
        }
    }
    assert!(is_timed || out.is_some(), "expected out=FOLDER, time or both");
    if is_timed {
        time::time(peer.as_deref());
    }
    let Some(out) = out else { return };
    let chromium = chromium().expect("a sheet needs Chromium");
    std::fs::create_dir_all(out.join("figures")).expect("the folder of the sheets can be made");

    let (pictures, bytes) = collect::notebooks(&notebooks);
    let mut drawn = draw(&chromium, &pictures, &out);
    if let Some(report) = report {
        drawn.extend(draw_report(&chromium, &report, &out));
    }
    sheet::write(&chromium, &drawn, &out);

    println!("{:<32} {:>8} {:>10}  of {:.1} MB", "notebook", "figures", "outputs", OUTPUT_BYTES as f64 / 1e6);
    for (name, bytes) in &bytes {
        let figures = drawn.iter().filter(|one| one.origin.group == *name).count();
        let verdict = if *bytes > OUTPUT_BYTES { "  TOO LARGE" } else { "" };
        println!("{name:<32} {figures:>8} {:>7.2} MB{verdict}", *bytes as f64 / 1e6);
    }
    println!("\n{:<42} {:>9} {:>10}  faults", "figure", "size", "text");
    for one in &drawn {
        let size = format!("{}×{}", one.size_px.0, one.size_px.1);
        let text = one.text_px.map_or_else(|| "–".to_owned(), |text| format!("{text:.1} px"));
        println!("{:<42} {size:>9} {text:>10}  {}", one.origin.to_string(), one.faults.join("; "));
    }
    println!("\n{}", out.join("sheet.html").display());
}

/// What a figure is measured for: size, smallest text, and what is wrong.
const MEASURE: &str = "window.measure = (element, limit) => {
    const box = element.getBoundingClientRect(), faults = [];
    const shown = what => [...element.querySelectorAll(what)].filter(one => one.getBoundingClientRect().height > 0);
    let smallest = null;
    const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const parent = texts.currentNode.parentElement, text = texts.currentNode.data.trim();
        if (!text || parent.closest('script, style, title, desc') || !parent.getBoundingClientRect().height) { continue; }
        const svg = parent.closest('svg');
        const scale = svg && svg.viewBox.baseVal.width ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
        const size = parseFloat(getComputedStyle(parent).fontSize) * scale;
        if (smallest === null || size < smallest) { smallest = size; }
        if (text.includes('\\u2026')) { faults.push('shortened: ' + text.slice(0, 40)); }
    }
    for (const image of shown('img')) {
        if (!image.complete || !image.naturalWidth) { faults.push('an image does not load'); }
        if (!image.alt) { faults.push('an image without a description'); }
        // images have twice the resolution of the page
        if (image.naturalWidth > 2 * limit + 1) { faults.push('an image for ' + image.naturalWidth / 2 + ' px is shrunk'); }
    }
    for (const svg of shown('svg')) {
        if (!svg.getAttribute('aria-label')) { faults.push('a chart without a description'); }
    }
    if (element.scrollWidth > limit + 1) { faults.push('wider than the page: ' + element.scrollWidth + ' px'); }
    return [box.width, box.height, smallest, faults];
};";

/// Measures the element of a selector, and makes its screenshots.
fn steps(selector: &str, limit_px: u32, file: &Path) -> Vec<Value> {
    vec![
        json!({ "eval": format!("measure(document.querySelector({selector:?}), {limit_px})") }),
        json!({ "screenshot": file, "of": selector }),
    ]
}

fn file_of(out: &Path, origin: &Origin, density: u32) -> PathBuf {
    out.join("figures").join(format!("{}-{density}x.png", origin.file_name()))
}

fn drawn_of(origin: &Origin, measured: &Value) -> Drawn {
    let number = |index: usize| measured[index].as_f64();
    let px = |index: usize| number(index).unwrap_or(0.0).round() as u32;
    let text_px = number(2);
    let mut faults: Vec<String> =
        measured[3].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    if let Some(text_px) = text_px.filter(|px| *px < TEXT_PX - 0.05) {
        faults.push(format!("text of {text_px:.1} px"));
    }
    faults.dedup();
    Drawn { origin: origin.clone(), size_px: (px(0), px(1)), text_px, faults }
}

fn draw(chromium: &Path, pictures: &[Picture], out: &Path) -> Vec<Drawn> {
    let folder = scratch();
    let mut answers = Vec::new();
    for density in [1, 2] {
        let mut pages = Vec::new();
        for (number, picture) in pictures.iter().enumerate() {
            let file = folder.path().join(format!("{number}.html"));
            let html = format!(
                "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>figure</title><script>{MEASURE}</script><style>\
                 body{{margin:0;font:14px/1.4 'DejaVu Sans',sans-serif}}#figure{{width:{WIDTH_PX}px;overflow-x:auto}}\
                 img,svg{{max-width:100%;height:auto}}</style></head><body><div id=\"figure\">{}</div></body></html>",
                picture.html
            );
            std::fs::write(&file, html).expect("a page can be written");
            let wait = json!({ "wait": "document.querySelectorAll('.lumbar-view:not(.lumbar-alive)').length === 0
                && [...document.images].every(image => image.complete)" });
            let mut all = vec![wait];
            all.extend(steps("#figure", WIDTH_PX, &file_of(out, &picture.origin, density)));
            let url = format!("file://{}", file.display());
            pages.push(json!({ "url": url, "scripts": true, "width": WIDTH_PX, "density": density, "steps": all }));
        }
        answers.extend(visit(chromium, &pages));
    }
    pictures.iter().zip(&answers).map(|(picture, answer)| drawn_of(&picture.origin, &answer[0])).collect()
}

/// The figures and views of a report's page.
fn draw_report(chromium: &Path, report: &Path, out: &Path) -> Vec<Drawn> {
    const NAMES: &str = "[...document.querySelectorAll('section > figure, .case, section > .scroll, main > dl')].map((element, index) => {
        element.dataset.figure = index;
        const section = element.closest('section');
        return section ? section.id : 'head';
    })";
    let page = |density: u32, steps: Vec<Value>| {
        let wait = json!({ "wait": "document.querySelectorAll('.lumbar-view:not(.lumbar-alive)').length === 0" });
        let steps: Vec<Value> =
            [wait, json!({ "eval": format!("{MEASURE}{NAMES}") })].into_iter().chain(steps).collect();
        json!({ "url": format!("file://{}", report.display()), "scripts": true, "width": 1050, "density": density, "steps": steps })
    };
    let names = visit(chromium, &[page(1, Vec::new())]).remove(0).remove(0);
    let origins: Vec<Origin> = names
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(index, name)| Origin {
            group: "report".to_owned(),
            place: format!("{} {index}", name.as_str().unwrap_or("")),
        })
        .collect();
    let pages: Vec<Value> = [1, 2]
        .into_iter()
        .map(|density| {
            let steps = origins.iter().enumerate().flat_map(|(index, origin)| {
                steps(&format!("[data-figure='{index}']"), 1050, &file_of(out, origin, density))
            });
            page(density, steps.collect())
        })
        .collect();
    let answers = visit(chromium, &pages).remove(0);
    origins.iter().zip(&answers[1..]).map(|(origin, measured)| drawn_of(origin, measured)).collect()
}
