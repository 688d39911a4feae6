//! Set-up, notebooks, tests and benchmarks: `cargo xtask …`.
//!
//! One command a file. Each says what it does and how long it took; a step that fails says which one it was,
//! why, and what to do. This program knows cargo, Python and Jupyter from outside only, so that it builds
//! in seconds before anything else does.

mod bench;
mod data;
mod doctor;
mod lab;
mod notebooks;
mod pins;
mod places;
mod python;
mod run;
mod setup;
mod test;
mod toolchain;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::places::Places;

const HELP: &str = "\
cargo xtask <command>

  setup [--user]         Python environment, kernel, notebooks' library, default data; a second run takes seconds
                         (--user: the kernel is also entered into this user's Jupyter folder, as Workbench needs)
  lab [--port N]         set-up, then JupyterLab on notebooks/
  notebooks [NAME…]      set-up, then every notebook from a fresh kernel, top to bottom; copies and HTML in
                         target/notebooks (--in-place: outputs are stored in the committed files)
  test                   set-up, rustfmt, clippy, rustdoc, all tests, then the notebooks
  bench NAME             benchmarks beside their peers: kernel, dicom, data, model, train, …
  doctor                 toolchain, torch, GPU, kernel, folders, disk, data on one page

LUMBAR_HOME (default .lumbar) holds everything that the set-up makes; LUMBAR_DATA a folder in the competition's
layout (default: the data set that the set-up makes).";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    let places = Places::find()?;
    match words {
        ["setup"] => setup::setup(&places, false).map(|_| ()),
        ["setup", "--user"] => setup::setup(&places, true).map(|_| ()),
        ["lab", rest @ ..] => lab::lab(&places, rest),
        ["notebooks", rest @ ..] => notebooks::notebooks(&places, rest),
        ["test"] => test::test(&places),
        ["bench", name, rest @ ..] => bench::bench(&places, name, rest),
        ["doctor"] => doctor::doctor(&places),
        [] | ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        [other, ..] => bail!("`{other}` is no command, or not with these arguments\n\n{HELP}"),
    }
}
