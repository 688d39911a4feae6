//! `cargo xtask lab`: JupyterLab on the notebooks.

use std::process::Command;

use anyhow::{Result, bail};

use crate::places::Places;
use crate::{run, setup};

/// Set-up, then JupyterLab until it is closed.
pub(crate) fn lab(places: &Places, words: &[&str]) -> Result<()> {
    let port = match words {
        [] => None,
        ["--port", port] => Some(*port),
        _ => bail!("expected `cargo xtask lab [--port N]`, found `{}`", words.join(" ")),
    };
    setup::setup(places, false)?;
    println!("\nJupyterLab opens on notebooks/; choose the kernel “Rust (lumbar)”. Ctrl-C closes it.");
    let mut command = Command::new(places.python());
    command.args(["-m", "jupyterlab"]).current_dir(places.notebooks());
    command.args(port.map(|port| format!("--port={port}")));
    // A container's only user is often root; JupyterLab needs a flag to run as root.
    // SAFETY: geteuid has no conditions.
    if unsafe { libc::geteuid() } == 0 {
        command.arg("--allow-root");
    }
    run::show(&mut command)
}
