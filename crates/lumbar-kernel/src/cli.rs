//! Builds the command `lumbar` as notebooks build their library, and installs it in `LUMBAR_HOME`.
//!
//! The workspace's own build is for development: overflow checks and debug assertions are on, and training takes 1.6
//! times as long. The command that people use is compiled in the target folder of the warm build folder instead, where
//! the optimised crates are: only the command itself is compiled in addition.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::places::Places;
use crate::warm::{PROFILE, write_if_new};

/// A package with nothing but the program.
fn manifest(places: &Places) -> String {
    format!(
        r#"[package]
name = "lumbar-command"
version = "1.0.0"
edition = "2024"

[[bin]]
name = "lumbar"
path = "main.rs"

{PROFILE}
[dependencies]
lumbar-cli = {{ path = "{}" }}
"#,
        places.workspace.join("crates/lumbar-cli").display()
    )
}

/// Compiles the command with `cargo`, which the caller has prepared for the warm folder, and installs it.
///
/// # Errors
/// If cargo fails or the disk refuses.
pub fn build(
    places: &Places,
    cargo: impl FnOnce() -> Result<Command>,
    host: &str,
    rust_libraries: &Path,
) -> Result<()> {
    let folder = places.kernels().join("command");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    write_if_new(&folder.join("Cargo.toml"), &manifest(places))?;
    write_if_new(&folder.join("main.rs"), "fn main() -> std::process::ExitCode {\n    lumbar_cli::main()\n}\n")?;
    fs::copy(places.workspace.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    let mut command = cargo()?;
    command.current_dir(&folder).env("CARGO_TARGET_DIR", places.warm().join("target"));
    command.args(["rustc", "--bin", "lumbar", "--target", host, "--"]);
    command.args(link_arguments(&[&places.torch().join("lib"), rust_libraries]));
    if !command.status().context("cargo does not start")?.success() {
        bail!("the command `lumbar` does not build (cargo's messages are above)");
    }
    let built = places.warm().join("target").join(host).join("debug/lumbar");
    install(&built, &places.command())
}

/// What a program needs to find its libraries when it runs. Nothing refers to libtorch_cuda by name: without
/// `--no-as-needed` the linker leaves it out, and CUDA is silently absent.
fn link_arguments(folders: &[&Path]) -> Vec<String> {
    let paths = folders.iter().map(|folder| format!("-Clink-arg=-Wl,-rpath,{}", folder.display()));
    paths.chain(["-Clink-arg=-Wl,--no-as-needed", "-Clink-arg=-ltorch"].map(str::to_owned)).collect()
}

/// Copies a program unless the copy is newer; a running one is not disturbed.
pub(crate) fn install(from: &Path, to: &Path) -> Result<()> {
    let (built, installed) = (fs::metadata(from), fs::metadata(to));
    if let (Ok(built), Ok(installed)) = (built, installed)
        && built.len() == installed.len()
        && built.modified()? <= installed.modified()?
    {
        return Ok(());
    }
    let temporary: PathBuf = to.with_extension("new");
    let folder = to.parent().context("a program has a folder")?;
    fs::create_dir_all(folder)
        .and_then(|()| fs::copy(from, &temporary))
        .and_then(|_| fs::rename(&temporary, to))
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}
