//! The order of the library's modules: each uses those above it, never those below.

use std::fs;
use std::path::{Path, PathBuf};

use lumbar_tests::workspace;

/// From the ground up. `config` and `hash` are used by all.
const ROOMS: [&str; 11] =
    ["anatomy", "data", "metric", "model", "explain", "train", "tasks", "predict", "figure", "run", "report"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Names after `crate::` in a file's code, its tests and comments left out.
fn used(text: &str) -> Vec<&str> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines
        .flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default())
        .collect()
}

#[test]
fn modules_use_only_those_above_them() {
    let root = workspace().join("crates/lumbar/src");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for path in sources(&root) {
        let relative = path.strip_prefix(&root).unwrap();
        let first = relative.iter().next().unwrap().to_string_lossy();
        let Some(own) = ROOMS.iter().position(|room| *room == first.trim_end_matches(".rs")) else { continue };
        let text = fs::read_to_string(&path).unwrap();
        for name in used(&text) {
            if let Some(other) = ROOMS.iter().position(|room| *room == name) {
                seen += 1;
                if other > own {
                    wrong.push(format!("{}: {} uses {}", relative.display(), ROOMS[own], ROOMS[other]));
                }
            }
        }
    }
    assert!(seen > 100, "only {seen} uses were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
