//! Set-up, notebooks, tests and benchmarks: `cargo xtask …`.
//!
//! A workspace with a Jupyter kernel, a Python environment and a data set needs more than `cargo build`. This program does
//! the rest, with nothing to install before it: it depends on three small crates, calls cargo, Python and Jupyter as
//! programs, and compiles in seconds before anything else does.
//!
//! Each command is one file. What they promise:
//!
//! - **Nothing is asked, nothing outside is changed.** All that is made is in `LUMBAR_HOME` and cargo's target folder;
//!   only `setup --user` writes to the user's own folders. An active Python environment is used if it satisfies the
//!   pins, and is never changed but for the kernel's entry and the command `lumbar`.
//! - **It says what runs**, how long each step took, and about how long the rest takes (`progress`).
//! - **It can be repeated.** What is made is not made again; a set-up that was interrupted continues.
//! - **It is reproducible.** Rust's crates come from `Cargo.lock`, Python's packages from a lock with hashes (`lock`).
//! - **A failure names its step**, the reason, and what to do. `cargo xtask doctor` looks at everything without changing
//!   anything.

mod bench;
mod data;
mod doctor;
mod documentation;
mod fingerprint;
mod lab;
mod lock;
mod notebooks;
mod pins;
mod places;
mod progress;
mod python;
mod run;
mod setup;
mod test;
mod timings;
mod toolchain;
mod user;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::places::Places;

const HELP: &str = "\
cargo xtask <command>

  setup [--user]         Python environment, kernel, notebooks' library, command lumbar, default data; a second run
                         takes seconds (--user: also the kernel in this user's Jupyter folder, as Workbench needs, and
                         lumbar in ~/.local/bin)
  setup --timings        the same; at the end, which crates took the compiler longest
  lab [--port N]         set-up, then JupyterLab on notebooks/
  notebooks [NAME…]      set-up, then every notebook from a fresh kernel, top to bottom; copies and HTML in
                         target/notebooks (--in-place: outputs are stored in the committed files)
  test                   set-up, rustfmt, clippy, rustdoc, all tests, then the notebooks; these are skipped if they
                         have passed on the same files, unless CI is set
  test --gpu             set-up, then the tests that need a CUDA device; one line says so where there is none
  bench NAME             benchmarks beside their peers: kernel, dicom, data, model, train, gpu, …
  lock-python            resolves environment.yml into crates/xtask/python.lock; versions stay if they fit
                         (--upgrade: all but the pins become the newest)
  doctor                 toolchain, torch, GPU, kernel, folders, disk, data on one page

LUMBAR_HOME (default .lumbar) is the folder of everything that the set-up makes; LUMBAR_DATA names a folder in the
competition's layout (default: the data set that the set-up makes).";

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
    let mut places = Places::find()?;
    match words {
        ["setup"] => setup::setup(&places, false),
        ["setup", "--timings"] => {
            places.timings = true;
            timings::clear(&places.target)?;
            setup::setup(&places, false)?;
            println!("\n{}", timings::table(&places.target)?);
            Ok(())
        }
        ["setup", "--user"] => setup::setup(&places, true),
        ["lab", rest @ ..] => lab::lab(&places, rest),
        ["notebooks", rest @ ..] => notebooks::notebooks(&places, rest),
        ["test"] => test::test(&places),
        ["test", "--gpu"] => test::gpu(&places),
        ["bench", name, rest @ ..] => bench::bench(&places, name, rest),
        ["lock-python"] => lock::write(&places, false),
        ["lock-python", "--upgrade"] => lock::write(&places, true),
        ["doctor"] => doctor::doctor(&places),
        [] | ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        [other, ..] => bail!("`{other}` is not a command, or not with these arguments\n\n{HELP}"),
    }
}
