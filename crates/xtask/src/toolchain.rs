//! What the machine must have: Rust with the sources of its library, a C++ compiler, room on the disk.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::places::{Places, free_bytes};
use crate::run;

/// Room that set-up, notebooks and tests need, as the README says: 5 GB for the Python environment with torch's CUDA
/// libraries and 3 GB for its download, 4 GB for compiled crates, 8 GB for the checkpoints of the folds that notebooks
/// train, which are removed at their end.
pub(crate) const NEEDED_GB: u64 = 20;

/// The platform that rustc compiles for, as in the names of cargo's folders.
pub(crate) fn host() -> Result<String> {
    let text = run::output(Command::new("rustc").arg("-vV"))?;
    text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned).context("rustc -vV names no host")
}

/// `1.95.0` of `rustc 1.95.0 (…)`.
pub(crate) fn rustc_version() -> Result<String> {
    let text = run::output(Command::new("rustc").arg("--version"))?;
    text.split_whitespace().nth(1).map(str::to_owned).context("rustc --version names no version")
}

/// Rust's version and sources, which the kernel needs to know the types of variables.
pub(crate) fn rust() -> Result<String> {
    let version = rustc_version().context("is Rust installed? See rustup.rs")?;
    let mut parts = version.split(['.', '-']).filter_map(|part| part.parse::<u32>().ok());
    let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if (major, minor) < (1, 95) {
        bail!("Rust {version} is too old for the notebook kernel, which needs 1.95: run `rustup update`");
    }
    if has_sources()? {
        return Ok(format!("Rust {version} with its sources"));
    }
    run::output(Command::new("rustup").args(["component", "add", "rust-src"])).context(
        "Rust's library sources are missing and rustup cannot add them: run `rustup component add rust-src` \
         with a network connection (the kernel reads them to know the types of variables)",
    )?;
    if !has_sources()? {
        bail!("rustup added rust-src, but it is not below `rustc --print sysroot`");
    }
    Ok(format!("Rust {version}; its sources were added"))
}

fn has_sources() -> Result<bool> {
    let sysroot = run::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    Ok(std::path::Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core").is_dir())
}

/// The C++ compiler for torch's wrapper.
pub(crate) fn cxx() -> Result<String> {
    let name = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let text = run::output(Command::new(&name).arg("--version"))
        .with_context(|| format!("no C++ compiler (`{name}`): install one, e.g. `apt-get install g++`, or set CXX"))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Checks that there is room for what the set-up makes, unless it is made already.
pub(crate) fn disk(places: &Places) -> Result<String> {
    let free = free_bytes(&places.home).context("the free room on the disk is unknown")? / 1_000_000_000;
    let complete = places.kernel().exists() && places.python().exists();
    if !complete && free < NEEDED_GB {
        bail!(
            "{free} GB are free at {}, and set-up and notebooks need {NEEDED_GB} GB: free some, or set LUMBAR_HOME to a folder \
             on a larger disk",
            places.home.display()
        );
    }
    Ok(format!("{free} GB free"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_names_the_same_room_on_the_disk() {
        let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let readme = std::fs::read_to_string(workspace.join("README.md")).unwrap();
        let figures: Vec<&str> = readme.match_indices(" GB of disk").map(|(at, _)| &readme[at - 2..at]).collect();
        assert_eq!(figures, [NEEDED_GB.to_string()]);
    }

    #[test]
    fn every_text_names_the_same_versions_of_python() {
        let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let supported = crate::python::SUPPORTED;
        let text = format!("Python 3.{}–3.{} with `venv`", supported.start(), supported.end());
        for name in ["README.md", ".github/CONTRIBUTING.md"] {
            assert!(std::fs::read_to_string(workspace.join(name)).unwrap().contains(&text), "{name}");
        }
    }
}
