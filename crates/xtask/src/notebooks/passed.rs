//! Whether the notebooks have passed on the present files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::data;
use crate::fingerprint::{self, Hash};
use crate::places::Places;

/// Whether all notebooks have passed on the present files. Never with `CI` set.
pub(crate) fn have_passed(places: &Places) -> Result<bool> {
    if std::env::var_os("CI").is_some_and(|value| !value.is_empty()) {
        return Ok(false);
    }
    let Ok(last) = fs::read_to_string(stamp(places)) else { return Ok(false) };
    Ok(last == inputs(places)?)
}

/// The file with the hash of what the notebooks passed on.
fn stamp(places: &Places) -> PathBuf {
    places.target.join("notebooks/passed")
}

/// A hash of all that notebooks depend on: sources, manifests and locks, the cells, and the folders that they use.
pub(super) fn inputs(places: &Places) -> Result<String> {
    let mut hash = Hash::default();
    let data = data::folder(places);
    for folder in [&places.workspace, &places.home, &data] {
        hash.add(folder.display().to_string().as_bytes());
    }
    let workspace = &places.workspace;
    let left_out = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        *path == places.target
            || *path == places.home
            || name == "target"
            || name == "tests"
            || name == ".ipynb_checkpoints"
    };
    let mut files =
        vec![workspace.join("Cargo.toml"), workspace.join("Cargo.lock"), workspace.join(".cargo/config.toml")];
    for folder in [workspace.join("crates"), places.notebooks()] {
        files.extend(fingerprint::files(&folder, &|path| !left_out(path))?);
    }
    for path in files {
        if path.extension().is_some_and(|kind| kind == "ipynb") {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            hash.add(path.file_name().unwrap_or_default().as_encoded_bytes());
            hash.add(cells(&text).with_context(|| format!("{} is not a notebook", path.display()))?.as_bytes());
        } else {
            fingerprint::add_file(&mut hash, workspace, &path)?;
        }
    }
    // Data of one's own is not read here; its tables tell whether it is the same.
    for name in ["train.csv", "train_series_descriptions.csv", "test_series_descriptions.csv"] {
        let path = data.join(name);
        if path.exists() {
            fingerprint::add_file(&mut hash, &data, &path)?;
        }
    }
    Ok(hash.text())
}

/// The cells of a notebook without what running them changes: outputs and counters.
fn cells(notebook: &str) -> Result<String> {
    let mut value: Value = serde_json::from_str(notebook)?;
    for cell in value["cells"].as_array_mut().context("there are no cells")? {
        if let Some(cell) = cell.as_object_mut() {
            cell.remove("outputs");
            cell.remove("execution_count");
        }
    }
    Ok(value["cells"].to_string())
}

/// Remembers that all notebooks have passed on `inputs`.
pub(super) fn remember(places: &Places, inputs: &str) -> Result<()> {
    let path = stamp(places);
    fs::write(&path, inputs).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_and_counters_are_no_change_of_a_notebook_and_sources_are() {
        let notebook = |source: &str, outputs: &str, count: u8| {
            format!(
                "{{\"cells\": [{{\"cell_type\": \"code\", \"source\": [\"{source}\"], \"metadata\": {{}}, \
                 \"outputs\": [{outputs}], \"execution_count\": {count}}}], \"metadata\": {{}}}}"
            )
        };
        let one = cells(&notebook("1 + 1", "", 1)).unwrap();
        assert_eq!(cells(&notebook("1 + 1", "{\"text\": \"2\"}", 7)).unwrap(), one);
        assert_ne!(cells(&notebook("1 + 2", "", 1)).unwrap(), one);
        assert!(cells("{}").unwrap_err().to_string().contains("no cells"));
    }

    #[test]
    fn a_change_of_sources_or_data_is_a_change_of_what_notebooks_run_on() {
        let disk = tempfile::tempdir().unwrap();
        let at = |name: &str| disk.path().join(name);
        for name in ["crates/a/src", "crates/a/tests", "notebooks", ".cargo", ".lumbar/phantom"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        for name in
            ["Cargo.toml", "Cargo.lock", ".cargo/config.toml", "crates/a/src/lib.rs", ".lumbar/phantom/train.csv"]
        {
            fs::write(at(name), name).unwrap();
        }
        let places =
            Places { workspace: disk.path().into(), home: at(".lumbar"), target: at("target"), timings: false };
        let mut seen = vec![inputs(&places).unwrap()];
        assert_eq!(inputs(&places).unwrap(), seen[0]);
        for name in ["crates/a/src/lib.rs", "Cargo.lock", "notebooks/evcxr.toml"] {
            fs::write(at(name), "changed").unwrap();
            seen.push(inputs(&places).unwrap());
        }
        fs::write(at("crates/a/tests/of_a.rs"), "a test").unwrap();
        assert_eq!(inputs(&places).unwrap(), *seen.last().unwrap(), "notebooks do not run tests");
        seen.dedup();
        assert_eq!(seen.len(), 4);
    }
}
