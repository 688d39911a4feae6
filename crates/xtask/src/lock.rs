//! The lock of the Python environment: `crates/xtask/python.lock`.
//!
//! `environment.yml` lists the packages that are used. The lock lists these and everything that they need, each with one
//! version and the hashes of its files, in pip's format. The set-up installs from it with `--require-hashes`, wheels
//! only: what is installed is what was tested, and no package runs code while it is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::pins::{self, Pin};
use crate::places::Places;
use crate::{python, run};

/// The resolver, from PyPI. pip resolves for the running Python only, uv for all of them at once.
const UV: &str = "uv==0.13.9";

/// Where the set-up is tested; the lock also contains the files of other platforms.
const PLATFORM: &str = "x86_64-manylinux_2_31";

const HEADER: &str = "\
# Made by `cargo xtask lock-python` from environment.yml. Do not edit it by hand.
";

/// One package of the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requirement {
    /// As the package index normalises it: lower case, hyphens.
    pub(crate) name: String,
    pub(crate) version: String,
    /// Where it is needed, in the words of Python's environment markers; empty for everywhere.
    pub(crate) marker: String,
    pub(crate) hashes: usize,
}

impl Requirement {
    /// `name==version ; marker`, as Python's packaging library reads it.
    pub(crate) fn line(&self) -> String {
        let marker = if self.marker.is_empty() { String::new() } else { format!(" ; {}", self.marker) };
        format!("{}=={}{marker}", self.name, self.version)
    }
}

/// The lock in `workspace`.
pub(crate) fn path(workspace: &Path) -> PathBuf {
    workspace.join("crates/xtask/python.lock")
}

/// Reads the lock of `workspace`.
pub(crate) fn read(workspace: &Path) -> Result<Vec<Requirement>> {
    let path = path(workspace);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| format!("in {}", path.display()))
}

fn parse(text: &str) -> Result<Vec<Requirement>> {
    let mut list: Vec<Requirement> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let content = line.trim().trim_end_matches('\\').trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if content.starts_with("--hash=sha256:") {
            let last = list.last_mut().with_context(|| format!("line {}: a hash before any package", number + 1))?;
            last.hashes += 1;
            continue;
        }
        let (package, marker) = content.split_once(';').unwrap_or((content, ""));
        let Some((name, version)) = package.trim().split_once("==") else {
            bail!("line {}: expected `name==version` or `--hash=sha256:…`, found `{content}`", number + 1);
        };
        list.push(Requirement {
            name: normalised(name),
            version: version.to_owned(),
            marker: marker.trim().to_owned(),
            hashes: 0,
        });
    }
    Ok(list)
}

/// A package's name as the index compares it.
fn normalised(name: &str) -> String {
    name.trim().to_lowercase().replace(['_', '.'], "-")
}

/// What is wrong with a lock for these pins; empty if nothing is.
pub(crate) fn disagreements(pins: &[Pin], lock: &[Requirement]) -> Vec<String> {
    let mut wrong = Vec::new();
    for pin in pins {
        let name = normalised(&pin.name);
        let versions: Vec<&str> = lock.iter().filter(|one| one.name == name).map(|one| one.version.as_str()).collect();
        if versions != [pin.version.as_str()] {
            wrong.push(format!(
                "{}=={} of environment.yml, in the lock: {}",
                pin.name,
                pin.version,
                versions.join(", ")
            ));
        }
    }
    for requirement in lock.iter().filter(|requirement| requirement.hashes == 0) {
        wrong.push(format!("{} has no hash", requirement.line()));
    }
    wrong
}

/// Resolves the pins of `environment.yml` for all supported versions of Python and writes the lock.
///
/// Versions that are in the lock already stay if they fit; with `upgrade` all but the pins are the newest.
pub(crate) fn write(places: &Places, upgrade: bool) -> Result<()> {
    let pins = pins::read(&places.workspace)?;
    let scratch = places.home.join("lock-python");
    fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    let tool = scratch.join("uv");
    if !tool.join("bin/uv").exists() {
        let mut install = Command::new(python::any(places)?);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]);
        run::show(install.arg("--target").arg(&tool).arg(UV))
            .context("uv, which resolves the lock, cannot be installed")?;
    }
    let (wanted, resolved) = (scratch.join("wanted.in"), scratch.join("resolved.txt"));
    let lines: Vec<String> = pins.iter().map(|pin| format!("{}=={}\n", pin.name, pin.version)).collect();
    fs::write(&wanted, lines.concat())?;
    // uv prefers the versions of a file that it is about to replace.
    let old = fs::read_to_string(path(&places.workspace)).unwrap_or_default();
    if upgrade || old.is_empty() {
        let _ = fs::remove_file(&resolved);
    } else {
        fs::write(&resolved, &old)?;
    }
    let uv = |arguments: &[&str]| {
        let mut command = Command::new(tool.join("bin/uv"));
        command.args(["pip", "compile", "--quiet", "--only-binary", ":all:", "--no-header", "--no-annotate"]);
        command.args(["--no-emit-index-url", "--no-emit-find-links"]).args(arguments).arg(&wanted);
        command.env("UV_PYTHON_DOWNLOADS", "never");
        command
    };
    let (oldest, newest) = (python::SUPPORTED.start(), python::SUPPORTED.end());
    let mut resolve = uv(&["--universal", "--generate-hashes", "--python-version", &format!("3.{oldest}")]);
    run::output(resolve.arg("--output-file").arg(&resolved))
        .context("the pins of environment.yml cannot be resolved")?;
    let text = fs::read_to_string(&resolved)?;
    let lock = parse(&text)?;
    // There must be wheels of these versions for each Python.
    let versions = scratch.join("versions.txt");
    fs::write(&versions, lock.iter().map(|requirement| requirement.line() + "\n").collect::<String>())?;
    for minor in python::SUPPORTED {
        let version = format!("3.{minor}");
        let mut check = uv(&["--python-version", &version, "--python-platform", PLATFORM]);
        run::output(check.arg("--constraints").arg(&versions))
            .with_context(|| format!("not all packages have wheels for Python {version} on {PLATFORM}"))?;
    }
    let wrong = disagreements(&pins, &lock);
    if !wrong.is_empty() {
        bail!("uv's answer does not fit: {}", wrong.join("; "));
    }
    let (path, temporary) = (path(&places.workspace), places.workspace.join("crates/xtask/python.lock.new"));
    fs::write(&temporary, format!("{HEADER}{text}"))
        .and_then(|()| fs::rename(&temporary, &path))
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}: {} packages for Python 3.{oldest}–3.{newest}", places.show(&path), lock.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
    }

    #[test]
    fn the_lock_agrees_with_environment_yml_and_every_package_has_hashes() {
        let (pins, lock) = (pins::read(workspace()).unwrap(), read(workspace()).unwrap());
        assert_eq!(disagreements(&pins, &lock), Vec::<String>::new(), "run `cargo xtask lock-python`");
        assert!(lock.len() > 2 * pins.len(), "{} packages: what the pins need is missing", lock.len());
    }

    #[test]
    fn the_lock_names_no_address() {
        let text = fs::read_to_string(path(workspace())).unwrap();
        assert!(!text.contains("://") && !text.contains(" @ "));
    }

    #[test]
    fn another_version_a_missing_package_and_a_missing_hash_are_found() {
        let lock = parse("a==1 \\\n    --hash=sha256:00\nb-c==2 ; sys_platform == 'linux'\n").unwrap();
        assert_eq!(lock[1].line(), "b-c==2 ; sys_platform == 'linux'");
        let pin = |name: &str, version: &str| Pin { name: name.into(), version: version.into() };
        let wrong = disagreements(&[pin("a", "1"), pin("B_c", "3"), pin("d", "1")], &lock);
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(wrong[0].contains("B_c==3") && wrong[1].contains("d==1") && wrong[2].contains("no hash"), "{wrong:?}");
    }

    #[test]
    fn a_line_that_is_no_requirement_is_an_error_with_its_number() {
        let error = parse("a==1\nb>=2\n").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("b>=2"), "{error}");
    }
}
