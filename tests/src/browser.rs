//! Headless Chromium: where it is, and pages in it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{oracle, scratch};

/// Names of the program, as Debian, Ubuntu and Google install it.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Chromium: `LUMBAR_CHROMIUM`, else the first of its usual names in `PATH`. `None`, with one line on standard error, if there is
/// none, or if `LUMBAR_NO_BROWSER` says that tests shall do without.
///
/// # Panics
/// If there is none and `CI` is set: there a test without its browser has failed.
pub fn chromium() -> Option<PathBuf> {
    let say = |line: &str| {
        // not by `eprintln!`, which the test harness hides
        let _ = writeln!(std::io::stderr(), "{line}");
    };
    if std::env::var_os("LUMBAR_NO_BROWSER").is_some() {
        say("not tested in a browser, LUMBAR_NO_BROWSER is set");
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
        say("not tested in a browser, there is no Chromium in PATH (apt-get install chromium)");
    }
    found
}

/// Opens pages and does their steps, as `oracles/views_browser.py` describes them. The answers are those of the `eval`
/// steps, for each page.
///
/// # Panics
/// If the browser does not start, a step fails or a page has an error.
pub fn visit(chromium: &Path, pages: &[Value]) -> Vec<Vec<Value>> {
    let profile = scratch();
    let answer = oracle("views_browser", &json!({ "chromium": chromium, "profile": profile.path(), "pages": pages }));
    serde_json::from_value(answer).unwrap_or_else(|error| panic!("the browser's answers: {error}"))
}
