//! Pages in headless Chromium.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use lumbar_tests::{oracle, scratch};
use serde_json::{Value, json};

/// Names of the program, as Debian, Ubuntu and Google install it.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Chromium: `LUMBAR_CHROMIUM`, else the first of [`NAMES`] in `PATH`. `None`, with one line on standard error, if there is
/// none, or if `LUMBAR_NO_BROWSER` says that tests shall do without.
///
/// # Panics
/// If there is none and `CI` is set: there a test without its browser has failed.
pub(crate) fn chromium() -> Option<PathBuf> {
    let say = |line: &str| {
        // not by `eprintln!`, which the test harness hides
        let _ = writeln!(std::io::stderr(), "{line}");
    };
    if std::env::var_os("LUMBAR_NO_BROWSER").is_some() {
        say("views: not tested in a browser, LUMBAR_NO_BROWSER is set");
        return None;
    }
    let named = std::env::var_os("LUMBAR_CHROMIUM").map(PathBuf::from);
    let in_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).flat_map(|folder| NAMES.map(|name| folder.join(name))).find(|file| file.is_file())
    };
    let found = named.or_else(in_path);
    if found.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "no Chromium in PATH: install it (apt-get install chromium), name it in LUMBAR_CHROMIUM, or set LUMBAR_NO_BROWSER"
        );
        say("views: not tested in a browser, there is no Chromium in PATH (apt-get install chromium)");
    }
    found
}

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
    let answer = oracle(
        "views_browser",
        &json!({ "chromium": chromium, "profile": folder.path().join("profile"), "pages": pages }),
    );
    serde_json::from_value(answer).unwrap()
}

/// Waits until all views of the page are alive.
pub(crate) fn alive() -> Value {
    json!({ "wait": "document.querySelectorAll('.lumbar-view:not(.lumbar-alive)').length === 0 && document.querySelector('canvas')" })
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
