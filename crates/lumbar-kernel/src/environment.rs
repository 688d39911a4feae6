//! The variables that cells, cargo and evcxr need.
//!
//! A JupyterLab of another Python environment, or a service, may start a kernel with almost no variables, so nothing is
//! taken from a shell: `install` writes the variables that it sees into the kernelspec, and the kernel adds the rest
//! when it starts.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::places::Places;

/// The real programs of the toolchain.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// `cargo`, not rustup's proxy.
    pub cargo: PathBuf,
    /// `rustc`, not rustup's proxy.
    pub rustc: PathBuf,
    /// `rustup`, if there is one.
    pub rustup: Option<PathBuf>,
}

impl Toolchain {
    /// Asks rustup in `workspace` (it reads a `rust-toolchain.toml` there), else searches the `PATH`.
    ///
    /// # Errors
    /// If there is no cargo or rustc.
    pub fn find(workspace: &Path) -> Result<Self> {
        let rustup = on_path("rustup");
        let find = |tool: &str| -> Result<PathBuf> {
            if let Some(rustup) = &rustup {
                let output = Command::new(rustup).args(["which", tool]).current_dir(workspace).output();
                if let Ok(output) = output
                    && output.status.success()
                {
                    return Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
                }
            }
            on_path(tool).with_context(|| format!("no {tool} on the PATH: install Rust 1.95 or newer (rustup.rs)"))
        };
        Ok(Self { cargo: find("cargo")?, rustc: find("rustc")?, rustup })
    }

    /// The folder of Rust's own dynamic library.
    ///
    /// # Errors
    /// If rustc does not start.
    pub fn rust_libraries(&self) -> Result<PathBuf> {
        let output =
            Command::new(&self.rustc).args(["--print", "target-libdir"]).output().context("rustc does not start")?;
        Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
    }

    /// The variables that tell our `cargo` where the real one is.
    pub fn variables(&self) -> Vec<(&'static str, OsString)> {
        let mut list = vec![
            ("LUMBAR_CARGO", self.cargo.clone().into_os_string()),
            ("LUMBAR_RUSTC", self.rustc.clone().into_os_string()),
        ];
        if let Some(rustup) = &self.rustup {
            list.push(("LUMBAR_RUSTUP", rustup.clone().into_os_string()));
        }
        list
    }
}

/// The first program of that name on the `PATH`.
pub fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// The variables of a running kernel whose build folder is `folder`.
///
/// # Errors
/// If torch is missing.
pub fn of_kernel(places: &Places, toolchain: &Toolchain, folder: &Path) -> Result<Vec<(&'static str, OsString)>> {
    let torch = checked_torch(places.torch(), &places.workspace)?;
    let prepend = |first: &[PathBuf], variable: &str| -> OsString {
        let rest = env::var_os(variable).unwrap_or_default();
        let rest: Vec<_> = env::split_paths(&rest).filter(|path| !path.as_os_str().is_empty()).collect();
        env::join_paths(first.iter().cloned().chain(rest)).unwrap_or_default()
    };
    let libraries = library_folders(folder, &torch);
    let toolchain_bin = toolchain.rustc.parent().unwrap_or(Path::new("/")).to_owned();
    let mut list = toolchain.variables();
    list.extend([
        ("PATH", prepend(&[places.bin(), toolchain_bin], "PATH")),
        ("LD_LIBRARY_PATH", prepend(&libraries, "LD_LIBRARY_PATH")),
        ("LIBTORCH", torch.into_os_string()),
        ("LUMBAR_WORKSPACE", places.workspace.clone().into_os_string()),
        ("LUMBAR_HOME", places.home.clone().into_os_string()),
        ("LUMBAR_KERNEL_CARGO", places.bin().join("cargo").into_os_string()),
        ("LUMBAR_BUILD_FOLDER", folder.as_os_str().to_owned()),
        ("CARGO", places.bin().join("cargo").into_os_string()),
        // rust-analyzer prefers a cargo in this folder to that of `CARGO`; our cargo restores the variable.
        ("CARGO_HOME", folder.join("no-such-cargo-home").into_os_string()),
        ("LUMBAR_CARGO_HOME", env::var_os("CARGO_HOME").unwrap_or_default()),
        ("EVCXR_TMPDIR", folder.as_os_str().to_owned()),
        ("EVCXR_CONFIG_DIR", places.workspace.join("notebooks").into_os_string()),
        // evcxr updates `<this>/kernels/rust` when it starts, which must not be a user's own Rust kernel.
        ("JUPYTER_PATH", folder.join("no-such-kernels").into_os_string()),
    ]);
    // cuBLAS reads it at the first use of CUDA; `train.deterministic` needs it on a GPU.
    if env::var_os("CUBLAS_WORKSPACE_CONFIG").is_none() {
        list.push(("CUBLAS_WORKSPACE_CONFIG", ":4096:8".into()));
    }
    Ok(list)
}

/// The folder with libtorch; the error says what to do if there is none.
fn checked_torch(torch: PathBuf, workspace: &Path) -> Result<PathBuf> {
    if !torch.join("lib").is_dir() {
        bail!("no libtorch at {}: run `cargo xtask setup` in {}", torch.display(), workspace.display());
    }
    Ok(torch)
}

/// The build folder's own library first: an inherited path may hold another build of it, and a path in
/// `LD_LIBRARY_PATH` wins over the one that is linked into a cell.
fn library_folders(folder: &Path, torch: &Path) -> Vec<PathBuf> {
    let mut libraries: Vec<PathBuf> = std::fs::read_dir(folder.join("target"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("debug")))
        .filter(|built| built.join("liblumbar_notebook.so").exists())
        .collect();
    libraries.push(torch.join("lib"));
    libraries
}

/// Variables that would change what cargo does in a build folder; a kernel removes them.
pub const REMOVED: &[&str] = &[
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_INCREMENTAL",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_folders_own_library_is_found_first() {
        let folder = tempfile::tempdir().unwrap();
        let built = folder.path().join("target/x/debug");
        std::fs::create_dir_all(&built).unwrap();
        std::fs::write(built.join("liblumbar_notebook.so"), "").unwrap();
        assert_eq!(library_folders(folder.path(), Path::new("/torch")), [built, PathBuf::from("/torch/lib")]);
    }

    #[test]
    fn a_missing_torch_names_the_folder_and_the_remedy() {
        let empty = tempfile::tempdir().unwrap();
        let error = checked_torch(empty.path().join("torch"), Path::new("/checkout")).unwrap_err().to_string();
        assert!(error.contains("no libtorch at") && error.contains("cargo xtask setup"), "{error}");
    }
}
