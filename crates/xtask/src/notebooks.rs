//! `cargo xtask notebooks`: every notebook from a fresh kernel, top to bottom, through Jupyter's protocol.

mod hidden;
mod passed;
mod prose;
mod written;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::places::Places;
use crate::{data, run, setup};

pub(crate) use passed::have_passed;

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
    let before = passed::inputs(places)?;
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
        "hidden": hidden::hidden(places, &runs, &data::folder(places), &PathBuf::from(std::env::var_os("HOME").unwrap_or_default())),
    });
    println!("\n{} notebooks; copies and HTML go to {}", notebooks.len(), places.show(&out));
    let mut command = Command::new(places.python());
    command.args(["-c", RUNNER, &job.to_string()]).env("LUMBAR_DATA", data::folder(places));
    command.env("LUMBAR_RUNS", &runs);
    command.env("JUPYTER_PATH", places.python_environment().join("share/jupyter"));
    let written = written::Written::start();
    run::show(&mut command).context("the program that runs notebooks failed")?;
    let text = fs::read_to_string(out.join("report.json")).context("the runner left no report")?;
    let report: Value = serde_json::from_str(&text)?;
    let failed = report["failed"].as_u64().unwrap_or(1);
    println!("{} passed, {failed} failed", report["passed"].as_u64().unwrap_or(0));
    // A kernel's processes end within a second of each other.
    if let Some(bytes) = written.finish(Duration::from_secs(10)) {
        println!("{:.2} GB were written to the disk", bytes as f64 / 1e9);
    }
    prose::list(&copies(&out, notebooks))?;
    // Checkpoints are large; those of a failed notebook stay, to be looked at.
    if failed == 0 {
        fs::remove_dir_all(&runs).with_context(|| format!("cannot clear {}", runs.display()))?;
    }
    if failed > 0 {
        bail!("{failed} notebooks failed");
    }
    // A change while they ran may not be in what they ran with.
    if is_all && passed::inputs(places)? == before {
        passed::remember(places, &before)?;
    }
    Ok(())
}

/// The copies of `notebooks` with their outputs, as they ran.
fn copies(out: &Path, notebooks: &[PathBuf]) -> Vec<PathBuf> {
    let copy = |path: &PathBuf| Some(out.join(path.file_name()?));
    notebooks.iter().filter_map(copy).filter(|path| path.exists()).collect()
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
