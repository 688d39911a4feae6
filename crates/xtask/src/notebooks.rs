//! `cargo xtask notebooks`: every notebook from a fresh kernel, top to bottom, through Jupyter's protocol.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::places::Places;
use crate::{data, run, setup};

/// Runs the cells (nbclient) and reports on each; in Python, because Jupyter's client library is.
const RUNNER: &str = include_str!("run_notebooks.py");

/// What a cell may take, in seconds; a cell's metadata `{"lumbar": {"limit_s": N}}` says otherwise.
const CELL_LIMIT_S: u32 = 180;

/// Set-up, then the named notebooks, or all.
pub(crate) fn notebooks(places: &Places, words: &[&str]) -> Result<()> {
    let in_place = words.contains(&"--in-place");
    let names: Vec<&str> = words.iter().copied().filter(|word| *word != "--in-place").collect();
    if let Some(option) = names.iter().find(|name| name.starts_with('-')) {
        bail!("`{option}` is no option of `cargo xtask notebooks [--in-place] [NAME…]`");
    }
    let chosen = choose(places, &names)?;
    setup::setup(places, false)?;
    execute(places, &chosen, in_place)
}

/// Runs `notebooks`; any error, panic, `?` error or cell above its limit fails.
pub(crate) fn execute(places: &Places, notebooks: &[PathBuf], in_place: bool) -> Result<()> {
    let out = places.target.join("notebooks");
    // Runs start anew: an earlier state of the code may have left others. A person's own are elsewhere.
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
        // Shown instead of these folders wherever an output that is stored names one.
        "hidden": [[&runs, "…/runs"], [&places.workspace, "…"], [&places.home, "…/.lumbar"], [std::env::var("HOME").unwrap_or_default(), "~"]],
    });
    println!("\n{} notebooks; copies and HTML go to {}", notebooks.len(), places.show(&out));
    let mut command = Command::new(places.python());
    command.args(["-c", RUNNER, &job.to_string()]).env("LUMBAR_DATA", data::folder(places));
    command.env("LUMBAR_RUNS", &runs);
    command.env("JUPYTER_PATH", places.python_environment().join("share/jupyter"));
    run::show(&mut command).context("a notebook did not run through")?;
    let text = fs::read_to_string(out.join("report.json")).context("the runner left no report")?;
    let report: Value = serde_json::from_str(&text)?;
    let failed = report["failed"].as_u64().unwrap_or(1);
    println!("{} passed, {failed} failed", report["passed"].as_u64().unwrap_or(0));
    // checkpoints of eleven folds are gigabytes; those of a failed notebook stay to be looked at
    if failed == 0 {
        fs::remove_dir_all(&runs).with_context(|| format!("cannot clear {}", runs.display()))?;
    }
    if failed > 0 {
        bail!("{failed} notebooks failed");
    }
    Ok(())
}

/// The notebooks whose names begin with one of `names`; all where none is named.
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
