//! `cargo xtask bench NAME`: benchmarks beside their peers, in the same run on the same machine.
//!
//! They are programs in `tests/benches`, built with the libraries that are compiled already (the dev profile
//! optimises them), our own crates optimised and without overflow checks, as in a notebook. Only `fuzz` keeps the
//! checks.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::places::Places;
use crate::{run, setup};

/// Our crates whose code the benchmarks time.
const OWN: [&str; 4] = ["lumbar", "lumbar-dicom", "lumbar-phantom", "torch-ext"];

/// Runs the benchmark `name` with `words` as its arguments.
pub(crate) fn bench(places: &Places, name: &str, words: &[&str]) -> Result<()> {
    let folder = places.workspace.join("tests/benches");
    if !folder.join(format!("{name}.rs")).exists() {
        let mut names: Vec<String> = fs::read_dir(&folder)
            .with_context(|| format!("cannot list {}", folder.display()))?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
            .collect();
        names.sort();
        bail!("no benchmark `{name}`: there are {}", names.join(", "));
    }
    setup::setup(places, false)?;
    println!();
    let mut command = setup::cargo(places);
    command.args(["bench", "--quiet", "--profile", "dev", "--package", "lumbar-tests", "--bench", name]);
    // what fuzzing looks for are the checks that fail
    for own in OWN.into_iter().filter(|_| name != "fuzz") {
        for setting in ["opt-level=3", "overflow-checks=false", "debug-assertions=false"] {
            command.arg("--config").arg(format!("profile.dev.package.{own}.{setting}"));
        }
    }
    command.arg("--").args(words).env("LUMBAR_PYTHON", places.python()).env("LUMBAR_HOME", &places.home);
    run::show(&mut command)
}
