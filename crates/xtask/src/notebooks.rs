//! `cargo xtask notebooks`: every notebook from a fresh kernel, top to bottom, through Jupyter's protocol.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::fingerprint::{self, Hash};
use crate::places::Places;
use crate::{data, run, setup};

/// Runs the cells (nbclient) and reports on each; in Python, because Jupyter's client library is.
const RUNNER: &str = include_str!("run_notebooks.py");

/// Time limit of a cell in seconds; a cell's metadata `{"lumbar": {"limit_s": N}}` sets another one.
const CELL_LIMIT_S: u32 = 180;

/// Set-up, then the named notebooks, or all of them.
pub(crate) fn notebooks(places: &Places, words: &[&str]) -> Result<()> {
    let in_place = words.contains(&"--in-place");
    let names: Vec<&str> = words.iter().copied().filter(|word| *word != "--in-place").collect();
    if let Some(option) = names.iter().find(|name| name.starts_with('-')) {
        bail!("`{option}` is not an option of `cargo xtask notebooks [--in-place] [NAME…]`");
    }
    let chosen = choose(places, &names)?;
    setup::setup(places, false)?;
    execute(places, &chosen, in_place)
}

/// Runs `notebooks`; any error, panic, `?` error or cell above its limit fails.
pub(crate) fn execute(places: &Places, notebooks: &[PathBuf], in_place: bool) -> Result<()> {
    let out = places.target.join("notebooks");
    let is_all = notebooks.len() == choose(places, &[])?.len();
    let before = inputs(places)?;
    // Runs of an earlier execution, perhaps of other code, are removed. A person's own are elsewhere.
    let runs = out.join("runs");
    if runs.exists() {
        fs::remove_dir_all(&runs).with_context(|| format!("cannot clear {}", runs.display()))?;
    }
    fs::create_dir_all(&runs).with_context(|| format!("cannot make {}", runs.display()))?;
    let job = json!({
        "notebooks": notebooks,
        "out": out,
        "in_place": in_place,
        "limit_s": CELL_LIMIT_S,
        "hidden": hidden(places, &runs, &data::folder(places), &PathBuf::from(std::env::var_os("HOME").unwrap_or_default())),
    });
    println!("\n{} notebooks; copies and HTML go to {}", notebooks.len(), places.show(&out));
    let mut command = Command::new(places.python());
    command.args(["-c", RUNNER, &job.to_string()]).env("LUMBAR_DATA", data::folder(places));
    command.env("LUMBAR_RUNS", &runs);
    command.env("JUPYTER_PATH", places.python_environment().join("share/jupyter"));
    run::show(&mut command).context("the program that runs notebooks failed")?;
    let text = fs::read_to_string(out.join("report.json")).context("the runner left no report")?;
    let report: Value = serde_json::from_str(&text)?;
    let failed = report["failed"].as_u64().unwrap_or(1);
    println!("{} passed, {failed} failed", report["passed"].as_u64().unwrap_or(0));
    // Checkpoints are large; those of a failed notebook stay, to be looked at.
    if failed == 0 {
        fs::remove_dir_all(&runs).with_context(|| format!("cannot clear {}", runs.display()))?;
    }
    if failed > 0 {
        bail!("{failed} notebooks failed");
    }
    // A change while they ran may not be in what they ran with.
    if is_all && inputs(places)? == before {
        let path = passed(places);
        fs::write(&path, before).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Whether all notebooks have passed on the present files. Never with `CI` set.
pub(crate) fn have_passed(places: &Places) -> Result<bool> {
    if std::env::var_os("CI").is_some_and(|value| !value.is_empty()) {
        return Ok(false);
    }
    let Ok(last) = fs::read_to_string(passed(places)) else { return Ok(false) };
    Ok(last == inputs(places)?)
}

/// The file with the hash of what the notebooks passed on.
fn passed(places: &Places) -> PathBuf {
    places.target.join("notebooks/passed")
}

/// A hash of all that notebooks depend on: sources, manifests and locks, the cells, and the folders that they use.
fn inputs(places: &Places) -> Result<String> {
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

/// Folders of this machine, and what an output that is stored shows instead. Inner folders come before outer ones, and
/// each also as it reads without symbolic links.
fn hidden(places: &Places, runs: &Path, data: &Path, user_home: &Path) -> Vec<(String, &'static str)> {
    let default_data = data == data::default_folder(places);
    let mut list: Vec<(PathBuf, &'static str)> = vec![
        (runs.to_owned(), "…/runs"),
        (data.to_owned(), if default_data { "…/.lumbar/phantom" } else { "…/data" }),
        (places.home.clone(), "…/.lumbar"),
        (places.target.clone(), "…/target"),
        (places.workspace.clone(), "…"),
        (user_home.to_owned(), "~"),
    ];
    let real: Vec<_> = list.iter().filter_map(|(path, shown)| Some((path.canonicalize().ok()?, *shown))).collect();
    list.extend(real);
    // `/` is part of every path.
    let mut list: Vec<(String, &'static str)> = list
        .into_iter()
        .map(|(path, shown)| (path.display().to_string().trim_end_matches('/').to_owned(), shown))
        .filter(|(path, _)| !path.is_empty())
        .collect();
    list.sort_by(|(one, _), (other, _)| other.len().cmp(&one.len()).then(one.cmp(other)));
    list.dedup();
    list
}

/// The notebooks whose names begin with one of `names`; all of them if none is named.
pub(crate) fn choose(places: &Places, names: &[&str]) -> Result<Vec<PathBuf>> {
    let folder = places.notebooks();
    let mut all = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind == "ipynb") {
            all.push(path);
        }
    }
    all.sort();
    let stem = |path: &PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    for name in names {
        if !all.iter().any(|path| stem(path).starts_with(name.trim_end_matches(".ipynb"))) {
            let have = all.iter().map(stem).collect::<Vec<_>>().join(", ");
            bail!("no notebook's name begins with `{name}` in {}: there are {have}", folder.display());
        }
    }
    if !names.is_empty() {
        all.retain(|path| names.iter().any(|name| stem(path).starts_with(name.trim_end_matches(".ipynb"))));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_outputs_show_no_folder_of_this_machine() {
        let disk = tempfile::tempdir().unwrap();
        let disk = disk.path().canonicalize().unwrap();
        let at = |name: &str| disk.join(name);
        for name in ["larger/home", "user/checkout/target", "data/rsna"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        std::os::unix::fs::symlink(at("larger/home"), at("user/link")).unwrap();
        let places =
            Places { workspace: at("user/checkout"), home: at("user/link"), target: at("user/checkout/target") };
        let clean = |text: String, data: &Path| {
            hidden(&places, &at("user/checkout/target/notebooks/runs"), data, &at("user"))
                .iter()
                .fold(text, |text, (path, shown)| text.replace(path, shown))
        };
        for (path, shown) in [
            ("data/rsna/train.csv", "…/data/train.csv"),
            ("user/checkout/target/notebooks/runs/a", "…/runs/a"),
            ("user/checkout/crates", "…/crates"),
            ("user/link/phantom", "…/.lumbar/phantom"),
            ("larger/home/kernels", "…/.lumbar/kernels"),
            ("user/other", "~/other"),
        ] {
            assert_eq!(clean(at(path).display().to_string(), &at("data/rsna")), shown);
        }
        // a folder of data inside another hidden one, and one that is `/`
        assert_eq!(clean(at("user/mri/x").display().to_string(), &at("user/mri")), "…/data/x");
        assert_eq!(clean("/etc/x".to_owned(), Path::new("/")), "/etc/x");
    }

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
        let places = Places { workspace: disk.path().into(), home: at(".lumbar"), target: at("target") };
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
