//! The default data set: the phantom, made at first need.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::places::Places;
use crate::{run, setup};

/// Where the default data set lies.
pub(crate) fn default_folder(places: &Places) -> PathBuf {
    places.home.join("phantom")
}

/// What notebooks read: `LUMBAR_DATA`, else the default.
pub(crate) fn folder(places: &Places) -> PathBuf {
    std::env::var_os("LUMBAR_DATA")
        .filter(|value| !value.is_empty())
        .map_or_else(|| default_folder(places), |value| places.workspace.join(value))
}

/// Draws the phantom where it is not there yet.
pub(crate) fn prepare(places: &Places) -> Result<String> {
    let folder = default_folder(places);
    // It is renamed to its place when it is complete.
    if folder.join("train.csv").exists() {
        return Ok(format!("{} is there", places.show(&folder)));
    }
    let mut command = Command::new(setup::built(places, "lumbar")?);
    command.arg("phantom").arg("--out").arg(&folder);
    run::show(&mut command).context("the phantom cannot be drawn")?;
    Ok(format!("{} drawn", places.show(&folder)))
}
