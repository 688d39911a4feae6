//! The default data set: a phantom, drawn when it is first needed.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::places::Places;
use crate::progress::Task;
use crate::{fingerprint, setup};

/// The folder of the default data set.
pub(crate) fn default_folder(places: &Places) -> PathBuf {
    places.home.join("phantom")
}

/// What notebooks read: `LUMBAR_DATA`, else the default.
pub(crate) fn folder(places: &Places) -> PathBuf {
    std::env::var_os("LUMBAR_DATA")
        .filter(|value| !value.is_empty())
        .map_or_else(|| default_folder(places), |value| places.workspace.join(value))
}

/// The file with the hash of the sources that drew the data.
fn stamp(places: &Places) -> PathBuf {
    default_folder(places).with_extension("drawn-by")
}

fn sources(places: &Places) -> Result<String> {
    fingerprint::of_folder(&places.workspace.join("crates/lumbar-phantom/src"))
}

/// Whether the data is complete and drawn by the present sources. The folder gets its name when it is complete.
fn is_current(places: &Places) -> Result<bool> {
    let drawn_by = fs::read_to_string(stamp(places)).unwrap_or_default();
    Ok(default_folder(places).join("train.csv").exists() && drawn_by == sources(places)?)
}

/// Compiles the program that draws, if it is needed.
pub(crate) fn build_program(places: &Places, task: &Task<'_>) -> Result<String> {
    if is_current(places)? {
        return Ok("not needed".to_owned());
    }
    // With the packages that are built later, so that both ask for the same features of the crates below.
    setup::build(places, task, &["-p=lumbar-phantom", "-p=lumbar-notebook", "-p=lumbar-cli", "--example=phantom"])
}

/// Draws the data if there is none, or if the crate that draws it has changed.
pub(crate) fn prepare(places: &Places, task: &Task<'_>) -> Result<String> {
    let folder = default_folder(places);
    if is_current(places)? {
        return Ok(format!("{} is there", places.show(&folder)));
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    let mut command = Command::new(setup::built(places, "examples/phantom")?);
    task.run(command.arg(&folder).arg("default")).context("the phantom cannot be drawn")?;
    let stamp = stamp(places);
    fs::write(&stamp, sources(places)?).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(format!("{} drawn", places.show(&folder)))
}
