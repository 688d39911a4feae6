//! The Python environment: the active one where it satisfies the pins, else one of our own.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::pins::Pin;
use crate::places::Places;
use crate::run;

/// Prints `name version` of each distribution asked for, `name -` where it is missing.
const VERSIONS: &str = r#"
import sys
from importlib.metadata import PackageNotFoundError, version
for name in sys.argv[1:]:
    try:
        print(name, version(name).split("+")[0])
    except PackageNotFoundError:
        print(name, "-")
"#;

/// Makes the environment satisfy the pins, links torch's folder, and says what it is.
pub(crate) fn prepare(places: &Places, pins: &[Pin]) -> Result<String> {
    let said = match active() {
        Some(active) if !same(&active, &places.python_environment()) => match unsatisfied(&active, pins) {
            Ok(missing) if missing.is_empty() => {
                link(&active, &places.python_environment())?;
                format!("the active environment {} satisfies the pins", active.display())
            }
            Ok(missing) => {
                println!(
                    "      the active environment {} lacks {}: left as it is, lumbar makes its own",
                    active.display(),
                    missing.join(", ")
                );
                own(places, pins)?
            }
            Err(_) => own(places, pins)?,
        },
        _ => own(places, pins)?,
    };
    link_torch(places)?;
    Ok(said)
}

/// The activated virtual or conda environment.
fn active() -> Option<PathBuf> {
    ["VIRTUAL_ENV", "CONDA_PREFIX"]
        .iter()
        .find_map(env::var_os)
        .map(PathBuf::from)
        .filter(|path| path.join("bin/python").exists())
}

fn same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// `name==version (found …)` of every pin that `environment` does not satisfy.
pub(crate) fn unsatisfied(environment: &Path, pins: &[Pin]) -> Result<Vec<String>> {
    let mut command = Command::new(environment.join("bin/python"));
    command.args(["-c", VERSIONS]).args(pins.iter().map(|pin| &pin.name));
    let text = run::output(&mut command)?;
    let mut missing = Vec::new();
    for (pin, line) in pins.iter().zip(text.lines()) {
        let found = line.rsplit(' ').next().unwrap_or("-");
        if found != pin.version {
            let found = if found == "-" { "not installed" } else { found };
            missing.push(format!("{}=={} ({found})", pin.name, pin.version));
        }
    }
    Ok(missing)
}

fn link(from: &Path, to: &Path) -> Result<()> {
    if let Ok(metadata) = fs::symlink_metadata(to) {
        if same(from, to) {
            return Ok(());
        }
        if metadata.is_symlink() {
            fs::remove_file(to)?;
        } else {
            // Our own environment of an earlier set-up: kept, it may be chosen again.
            let kept = to.with_extension("own");
            let _ = fs::remove_dir_all(&kept);
            fs::rename(to, kept)?;
        }
    }
    std::os::unix::fs::symlink(from, to).with_context(|| format!("cannot link {} to {}", to.display(), from.display()))
}

fn own(places: &Places, pins: &[Pin]) -> Result<String> {
    let environment = places.python_environment();
    if fs::symlink_metadata(&environment).is_ok_and(|metadata| metadata.is_symlink()) {
        fs::remove_file(&environment)?;
    }
    if places.python().exists() && unsatisfied(&environment, pins).is_ok_and(|missing| missing.is_empty()) {
        return Ok(format!("{} satisfies the pins", places.show(&environment)));
    }
    if !places.python().exists() || run::output(Command::new(places.python()).args(["-m", "pip", "--version"])).is_err()
    {
        let base = base_python()?;
        println!("      making {} with {}", places.show(&environment), base.display());
        run::output(Command::new(&base).args(["-m", "venv", "--clear"]).arg(&environment)).context(
            "the virtual environment cannot be made; on Debian and Ubuntu the package python3-venv has to be installed",
        )?;
    }
    println!("      installing {} packages; torch with its libraries is about 3 GB", pins.len());
    let mut command = Command::new(places.python());
    command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-warn-script-location"]);
    command.args(pins.iter().map(|pin| format!("{}=={}", pin.name, pin.version)));
    run::show(&mut command).context(
        "pip cannot install the pins of environment.yml: is there a network (PyPI), and room on the disk? \
         `cargo xtask setup` goes on where it stopped",
    )?;
    let missing = unsatisfied(&environment, pins)?;
    if !missing.is_empty() {
        bail!("after pip's run these are still wrong: {}", missing.join(", "));
    }
    Ok(format!("{} made", places.show(&environment)))
}

/// A Python that torch's wheels exist for.
fn base_python() -> Result<PathBuf> {
    let mut seen = Vec::new();
    for name in ["python3.12", "python3", "python3.13", "python3.11", "python"] {
        let mut command = Command::new(name);
        command.args(["-c", "import sys, venv, ensurepip; print(sys.version_info[0] * 100 + sys.version_info[1]); print(sys.executable)"]);
        let Ok(text) = run::output(&mut command) else { continue };
        let mut lines = text.lines();
        let version: u32 = lines.next().unwrap_or_default().parse().unwrap_or(0);
        if (310..=314).contains(&version) {
            return Ok(PathBuf::from(lines.next().unwrap_or(name)));
        }
        seen.push(format!("{name} is {}.{}", version / 100, version % 100));
    }
    let seen = if seen.is_empty() { "none found".to_owned() } else { seen.join(", ") };
    bail!(
        "no Python from 3.10 to 3.14 with venv on the PATH ({seen}); on Debian and Ubuntu: `apt-get install python3 python3-venv`"
    )
}

/// Points `.lumbar/torch` at the environment's torch and checks that its libraries are there.
fn link_torch(places: &Places) -> Result<()> {
    let code = "import importlib.util, os; print(os.path.dirname(importlib.util.find_spec('torch').origin))";
    let folder = PathBuf::from(run::output(Command::new(places.python()).args(["-c", code]))?.trim());
    if !folder.join("lib/libtorch_cpu.so").exists() && !folder.join("lib/libtorch_cpu.dylib").exists() {
        bail!(
            "torch at {} has no libtorch_cpu: reinstall it (`{} -m pip install --force-reinstall torch`)",
            folder.display(),
            places.python().display()
        );
    }
    link(&folder, &places.home.join("torch"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_replaced_and_an_own_environment_kept() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["one", "two", "python"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("python").join("mine"), "").unwrap();
        link(&at("one"), &at("python")).unwrap();
        assert!(same(&at("python"), &at("one")) && at("python.own/mine").exists());
        link(&at("two"), &at("python")).unwrap();
        assert!(same(&at("python"), &at("two")));
    }
}
