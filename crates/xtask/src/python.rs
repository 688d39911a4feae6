//! The Python environment: the active one if it satisfies the pins, else one of our own, installed from the lock.

use std::env;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::places::Places;
use crate::progress::Task;
use crate::{lock, pins, run};

/// Minor versions of Python 3 for which there are wheels of every package.
pub(crate) const SUPPORTED: RangeInclusive<u32> = 11..=13;

/// Prints `requirement (version found)` for each requirement that this Python does not satisfy.
const UNSATISFIED: &str = r#"
import sys
from importlib.metadata import PackageNotFoundError, version
from pip._vendor.packaging.requirements import Requirement
for line in sys.argv[1:]:
    requirement = Requirement(line)
    if requirement.marker and not requirement.marker.evaluate():
        continue
    try:
        found = version(requirement.name).split("+")[0]
    except PackageNotFoundError:
        found = "not installed"
    if not requirement.specifier.contains(found, prereleases=True) if found[0].isdigit() else True:
        print(f"{requirement.name}{requirement.specifier} ({found})")
"#;

/// Makes an environment that satisfies the pins, links torch's folder, and says which it is.
pub(crate) fn prepare(places: &Places, task: &Task<'_>) -> Result<String> {
    let own_folder = places.python_environment();
    let done = match active() {
        Some(active) if !same(&active, &own_folder) => match unsatisfied(&active, &pinned(places)?) {
            Ok(missing) if missing.is_empty() => {
                link(&active, &own_folder)?;
                format!("the active environment {} satisfies the pins", active.display())
            }
            Ok(missing) => {
                task.note(&format!(
                    "the active environment {} lacks {}: it is not changed, lumbar makes its own",
                    active.display(),
                    missing.join(", ")
                ));
                own(places, task)?
            }
            Err(_) => own(places, task)?,
        },
        _ => own(places, task)?,
    };
    link_torch(places)?;
    Ok(done)
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

/// What `environment.yml` asks for.
fn pinned(places: &Places) -> Result<Vec<String>> {
    Ok(pins::read(&places.workspace)?.iter().map(|pin| format!("{}=={}", pin.name, pin.version)).collect())
}

/// What the lock asks for.
fn locked(places: &Places) -> Result<Vec<String>> {
    Ok(lock::read(&places.workspace)?.iter().map(lock::Requirement::line).collect())
}

/// What the chosen environment does not satisfy: a person's own of the pins, ours of the lock.
pub(crate) fn wrong(places: &Places) -> Result<Vec<String>> {
    let environment = places.python_environment();
    let chosen = fs::symlink_metadata(&environment).is_ok_and(|metadata| metadata.is_symlink());
    unsatisfied(&environment, &if chosen { pinned(places)? } else { locked(places)? })
}

/// `name==version (version found)` of every requirement that `environment` does not satisfy.
fn unsatisfied(environment: &Path, requirements: &[String]) -> Result<Vec<String>> {
    let mut command = Command::new(environment.join("bin/python"));
    let text = run::output(command.args(["-c", UNSATISFIED]).args(requirements))?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn link(from: &Path, to: &Path) -> Result<()> {
    if let Ok(metadata) = fs::symlink_metadata(to) {
        if same(from, to) {
            return Ok(());
        }
        if metadata.is_symlink() {
            fs::remove_file(to)?;
        } else {
            // Our own environment of an earlier set-up is not deleted: it may be chosen again.
            let earlier = to.with_extension("own");
            let _ = fs::remove_dir_all(&earlier);
            fs::rename(to, earlier)?;
        }
    }
    std::os::unix::fs::symlink(from, to).with_context(|| format!("cannot link {} to {}", to.display(), from.display()))
}

fn own(places: &Places, task: &Task<'_>) -> Result<String> {
    let environment = places.python_environment();
    if fs::symlink_metadata(&environment).is_ok_and(|metadata| metadata.is_symlink()) {
        fs::remove_file(&environment)?;
    }
    let requirements = locked(places)?;
    let usable = places.python().exists() && version_of(&places.python()).is_ok_and(|minor| SUPPORTED.contains(&minor));
    if usable && unsatisfied(&environment, &requirements).is_ok_and(|missing| missing.is_empty()) {
        return Ok(format!("{} is as the lock says", places.show(&environment)));
    }
    let pip = |python: &Path| run::output(Command::new(python).args(["-m", "pip", "--version"]));
    if !usable || pip(&places.python()).is_err() {
        let base = base_python()?;
        task.note(&format!("making {} with {}", places.show(&environment), base.display()));
        task.run(Command::new(&base).args(["-m", "venv", "--clear"]).arg(&environment)).context(
            "the virtual environment cannot be made; on Debian and Ubuntu the package python3-venv has to be installed",
        )?;
    }
    task.note("downloading the packages of the lock; torch with its libraries is about 3 GB");
    let mut command = Command::new(places.python());
    command.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-warn-script-location"]);
    command.args(["--progress-bar", "off", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement"]);
    task.run(command.arg(lock::path(&places.workspace))).context(
        "pip cannot install the lock: is there a network (PyPI), and room on the disk? The same command continues",
    )?;
    let missing = unsatisfied(&environment, &requirements)?;
    if !missing.is_empty() {
        bail!("after pip's run these are still wrong: {}", missing.join(", "));
    }
    Ok(format!("{} made", places.show(&environment)))
}

/// A Python with pip: that of the environment, else one on the `PATH`.
pub(crate) fn any(places: &Places) -> Result<PathBuf> {
    if places.python().exists() { Ok(places.python()) } else { base_python() }
}

/// The minor version of a Python 3 that can make environments.
fn version_of(python: &Path) -> Result<u32> {
    let code = "import sys, venv, ensurepip; print(sys.version_info[1] if sys.version_info[0] == 3 else 0)";
    let text = run::output(Command::new(python).args(["-c", code]))?;
    text.trim().parse().with_context(|| format!("{} names no version", python.display()))
}

/// A Python for which there are wheels of every package.
fn base_python() -> Result<PathBuf> {
    let mut seen = Vec::new();
    for name in ["python3.12", "python3", "python3.13", "python3.11", "python"] {
        let Ok(minor) = version_of(Path::new(name)) else { continue };
        if SUPPORTED.contains(&minor) {
            let code = "import sys; print(sys.executable)";
            return Ok(PathBuf::from(run::output(Command::new(name).args(["-c", code]))?.trim()));
        }
        seen.push(format!("{name} is 3.{minor}"));
    }
    let seen = if seen.is_empty() { "none found".to_owned() } else { seen.join(", ") };
    bail!(
        "no Python from 3.{} to 3.{} with venv on the PATH ({seen}); on Debian and Ubuntu: `apt-get install python3 \
         python3-venv`",
        SUPPORTED.start(),
        SUPPORTED.end()
    )
}

/// Points `torch` in the home at the environment's torch and checks that its libraries are there.
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
    fn a_link_is_replaced_and_an_own_environment_is_moved() {
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

    #[test]
    fn a_requirement_is_checked_where_its_marker_holds() {
        let folder = tempfile::tempdir().unwrap();
        let python = base_python().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        std::os::unix::fs::symlink(python, folder.path().join("bin/python")).unwrap();
        let check = |lines: &[&str]| {
            unsatisfied(folder.path(), &lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>()).unwrap()
        };
        assert_eq!(check(&["no-such-package==1"]), ["no-such-package==1 (not installed)"]);
        assert!(check(&["no-such-package==1 ; python_version < '3'"]).is_empty());
        assert!(check(&["pip==0.0.1"])[0].starts_with("pip==0.0.1 ("));
    }
}
