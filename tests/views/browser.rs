//! Pages in headless Chromium.

use std::path::Path;

use lumbar_tests::browser::visit as visit_pages;
use lumbar_tests::scratch;
use serde_json::{Value, json};

/// A page in a folder of its own, with what has to be done on it.
pub(crate) struct PageTest {
    pub(crate) html: String,
    pub(crate) scripts: bool,
    pub(crate) steps: Vec<Value>,
}

impl PageTest {
    /// A page with the output of a notebook's cell, as its HTML copy contains it.
    pub(crate) fn of_output(output: &str, steps: Vec<Value>) -> Self {
        let html = format!(
            "<!DOCTYPE html><html><head><meta charset=\"utf-8\"><title>views</title></head><body>\
             <div class=\"jp-RenderedHTMLCommon\">{output}</div></body></html>"
        );
        Self { html, scripts: true, steps }
    }
}

/// Opens each page in a browser and does its steps. The answers are those of its `eval` steps.
pub(crate) fn visit(chromium: &Path, pages: &[PageTest]) -> Vec<Vec<Value>> {
    let folder = scratch();
    let pages: Vec<Value> = pages
        .iter()
        .enumerate()
        .map(|(number, page)| {
            let file = folder.path().join(format!("{number}.html"));
            std::fs::write(&file, &page.html).unwrap();
            json!({ "url": format!("file://{}", file.display()), "scripts": page.scripts, "width": 1000, "steps": page.steps })
        })
        .collect();
    visit_pages(chromium, &pages)
}

/// Waits until all views of the page are alive.
pub(crate) fn alive() -> Value {
    json!({ "wait": "document.querySelectorAll('.lumbar-view:not(.lumbar-alive)').length === 0 && document.querySelector('canvas') !== null" })
}

/// What a canvas says of itself, and its pixels as a PNG.
pub(crate) fn state(canvas: usize) -> Value {
    json!({ "eval": format!("(c => ({{...c.dataset, width: c.width, height: c.height, png: c.toDataURL().split(',')[1]}}))(document.querySelectorAll('canvas')[{canvas}])") })
}

/// The pixels of a [`state`].
pub(crate) fn pixels(state: &Value) -> image::RgbImage {
    use base64::Engine as _;
    let png = base64::engine::general_purpose::STANDARD.decode(state["png"].as_str().unwrap()).unwrap();
    image::load_from_memory(&png).unwrap().to_rgb8()
}

/// A field of a [`state`] as a number.
pub(crate) fn number(state: &Value, field: &str) -> f64 {
    state[field].as_str().unwrap_or_else(|| panic!("no {field} in {state}")).parse().unwrap()
}
