//! `cargo xtask setup`: everything that notebooks and tests need, made once.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::places::Places;
use crate::run::{self, Steps};
use crate::{data, pins, python, toolchain};

/// Runs every step; finished ones take seconds.
pub(crate) fn setup(places: &Places, for_user: bool) -> Result<()> {
    places.make()?;
    let _lock = lock(places)?;
    let pins = pins::read(&places.workspace)?;
    let mut steps = Steps::new("set-up", 8 + usize::from(for_user));
    steps.step("Rust", toolchain::rust)?;
    steps.step("C++ compiler", toolchain::cxx)?;
    steps.step("room on the disk", || toolchain::disk(places))?;
    steps.step("Python environment", || python::prepare(places, &pins))?;
    // The kernel by itself: rust-analyzer asks for other features of crates that polars depends on.
    steps.step("libraries and command line", || {
        for packages in [["-p=lumbar-notebook", "-p=lumbar-cli"], ["-p=lumbar-kernel", "--features=kernel"]] {
            run::show(cargo(places).arg("build").args(packages)).with_context(|| torch_hint(places))?;
        }
        Ok("built".to_owned())
    })?;
    steps.step("notebooks' library in the kernel's build folder", || {
        run::show(kernel(places, &built(places, "lumbar-kernel")?).arg("warm"))?;
        Ok("ready".to_owned())
    })?;
    steps.step("kernel “Rust (lumbar)”", || {
        let folder = places.python_environment().join("share/jupyter");
        let path = run::output(kernel(places, &places.kernel()).args(["install", "--data"]).arg(folder))?;
        Ok(format!("entered in {}", places.show(Path::new(path.trim()))))
    })?;
    if for_user {
        steps.step("kernel for this user's Jupyter", || {
            let path = run::output(kernel(places, &places.kernel()).args(["install", "--user"]))?;
            Ok(format!("entered in {}", path.trim()))
        })?;
    }
    steps.step("default data", || data::prepare(places))?;
    steps.finish();
    Ok(())
}

/// One set-up at a time in one home.
fn lock(places: &Places) -> Result<File> {
    let path = places.home.join("setup.lock");
    let file = File::create(&path).with_context(|| format!("cannot write in LUMBAR_HOME: {}", path.display()))?;
    // SAFETY: flock takes an open file descriptor, and `file` is open.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
        println!("another set-up is running in {}: waiting for it", places.home.display());
        // SAFETY: as above.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) } != 0 {
            bail!("cannot lock {}: {}", path.display(), std::io::Error::last_os_error());
        }
    }
    Ok(file)
}

/// Cargo in the workspace, as this command was itself started by cargo.
pub(crate) fn cargo(places: &Places) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(&places.workspace);
    // What cargo set for this program is not meant for the ones that it starts.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    command
}

/// A program of this workspace in cargo's target folder.
pub(crate) fn built(places: &Places, name: &str) -> Result<std::path::PathBuf> {
    let host = run::output(Command::new("rustc").arg("-vV"))?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc -vV names no host")?;
    Ok(places.target.join(host).join("debug").join(name))
}

/// The kernel's program with the places that this command works with.
fn kernel(places: &Places, program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env("LUMBAR_WORKSPACE", &places.workspace)
        .env("LUMBAR_HOME", &places.home)
        .env("CARGO_TARGET_DIR", &places.target)
        .env("LIBTORCH", places.torch());
    command
}

fn torch_hint(places: &Places) -> String {
    format!("cargo cannot build the workspace (torch is taken from {})", places.torch().display())
}
