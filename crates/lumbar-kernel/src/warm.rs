//! Fills the warm build folder, so that everything is compiled when the first cell of a notebook runs.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::environment::{self, Toolchain};
use crate::places::Places;
use crate::{cli, folder};

/// The profile of the packages that evcxr 0.22.0 writes, with the `opt_level` of `notebooks/evcxr.toml`.
pub(crate) const PROFILE: &str = "[profile.dev]
opt-level = 0
debug = false
strip = \"debuginfo\"
rpath = true
lto = false
debug-assertions = true
codegen-units = 16
panic = 'unwind'
incremental = true
overflow-checks = true
";

/// The package that evcxr writes for a notebook whose only dependency is ours.
fn manifest(places: &Places) -> String {
    format!(
        r#"
[package]
name = "ctx"
version = "1.0.0"
edition = "2024"

[lib]
crate-type = ["cdylib"]
path = "src/lib.rs"

{PROFILE}
[dependencies]
lumbar-notebook = {{ path = "{}" }}
"#,
        places.notebook_crate().display()
    )
}

/// Prefixes of the names of the workspace's own crates.
const OWN: &[&str] = &["lumbar", "torch_ext", "xtask", "ctx"];

/// Builds the notebooks' library and the command `lumbar` in the warm folder. Crates that the workspace has compiled
/// are taken over the first time.
///
/// # Errors
/// If cargo fails; it has shown its own messages.
pub fn build(places: &Places, programs: &Path) -> Result<()> {
    let warm = places.warm();
    let toolchain = Toolchain::find(&places.workspace)?;
    install_programs(places, programs)?;
    folder::unstamp(&warm);
    fs::create_dir_all(warm.join("src"))?;
    fs::create_dir_all(places.kernels().join(".cargo"))?;
    write_if_new(&places.kernels().join(".cargo/config.toml"), folder::PARENT_CONFIG)?;
    if !warm.join("target").exists() && places.target.exists() {
        folder::clone_libraries(&places.target, &warm.join("target"), OWN)
            .with_context(|| format!("cannot take over the crates compiled in {}", places.target.display()))?;
    }
    write_if_new(&warm.join("Cargo.toml"), &manifest(places))?;
    write_if_new(&warm.join("src/lib.rs"), "pub use lumbar_notebook::prelude;\n")?;
    fs::copy(places.workspace.join("Cargo.lock"), warm.join("Cargo.lock"))?;

    let cargo = |arguments: &[&str]| -> Result<Command> {
        let mut command = Command::new(&toolchain.cargo);
        command.args(arguments).current_dir(&warm);
        for name in environment::REMOVED {
            command.env_remove(name);
        }
        command.envs(environment::of_kernel(places, &toolchain, &warm)?).env_remove("CARGO");
        // This is the real cargo.
        match std::env::var_os("CARGO_HOME") {
            Some(home) => command.env("CARGO_HOME", home),
            None => command.env_remove("CARGO_HOME"),
        };
        command.env("CARGO_TARGET_DIR", "target").env("RUSTFLAGS", "-Cprefer-dynamic");
        Ok(command)
    };
    let host = host(&toolchain)?;
    let status = cargo(&["build", "--target", &host])?.status().context("cargo does not start")?;
    if !status.success() {
        bail!("the notebooks' library does not build (cargo's messages are above)");
    }
    // rust-analyzer asks for the packages of every platform: their sources are downloaded now, so that a kernel needs
    // no network.
    let output = cargo(&["metadata", "--format-version", "1"])?.output().context("cargo does not start")?;
    if !output.status.success() {
        bail!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    folder::stamp(&warm, &fingerprint(&warm.join("target"), &host)?)?;
    cli::build(places, || cargo(&[]), &host, &toolchain.rust_libraries()?)
}

/// The name and the time of the notebooks' library: changes whenever it is built again.
fn fingerprint(target: &Path, host: &str) -> Result<String> {
    let deps = target.join(host).join("debug/deps");
    let mut lines = Vec::new();
    for entry in fs::read_dir(&deps).with_context(|| format!("cannot list {}", deps.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("liblumbar_notebook") && name.ends_with(".so") {
            let modified = entry.metadata()?.modified()?.duration_since(std::time::UNIX_EPOCH)?;
            lines.push(format!("{name} {}", modified.as_nanos()));
        }
    }
    if lines.is_empty() {
        bail!("no notebook library in {} after its build", deps.display());
    }
    lines.sort();
    Ok(lines.join("\n"))
}

fn host(toolchain: &Toolchain) -> Result<String> {
    let output = Command::new(&toolchain.rustc).arg("-vV").output().context("rustc does not start")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc -vV names no host")
}

/// Copies the kernel and its `cargo` out of the target folder, where `cargo clean` would remove them.
fn install_programs(places: &Places, programs: &Path) -> Result<()> {
    for (program, name) in [("lumbar-kernel", "lumbar-kernel"), ("lumbar-cargo", "cargo"), ("lumbar-cargo", "rustup")] {
        let (from, to) = (programs.join(program), places.bin().join(name));
        if from == to {
            continue;
        }
        cli::install(&from, &to)?;
    }
    Ok(())
}

/// Writes a file unless it has this content, so that cargo sees no change.
pub(crate) fn write_if_new(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str, heading: &str) -> Vec<String> {
        let body = text.split(heading).nth(1).unwrap_or_else(|| panic!("no {heading}"));
        let mut lines: Vec<_> = body
            .lines()
            .skip(1)
            .take_while(|line| !line.starts_with('['))
            .filter(|line| line.contains('='))
            .map(|line| line.replace(['"', '\''], ""))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn cells_and_workspace_compile_libraries_alike() {
        let places = Places::from_environment();
        let workspace = fs::read_to_string(places.workspace.join("Cargo.toml")).unwrap();
        let cells = manifest(&places);
        assert_eq!(section(&workspace, "[profile.dev]"), section(&cells, "[profile.dev]"));
        let heading = "[profile.dev.package.\"*\"]";
        assert_eq!(section(&workspace, heading), section(folder::PARENT_CONFIG, heading));
    }
}
