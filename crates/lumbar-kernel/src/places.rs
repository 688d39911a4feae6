//! The folders of a kernel: the workspace, `LUMBAR_HOME`, the kernels' build folders.

use std::env;
use std::path::{Path, PathBuf};

/// The folders that a kernel works with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The checkout with `Cargo.toml`, `Cargo.lock` and `notebooks/`.
    pub workspace: PathBuf,
    /// `LUMBAR_HOME`: everything that the set-up makes.
    pub home: PathBuf,
    /// Cargo's target folder of the workspace.
    pub target: PathBuf,
}

impl Places {
    /// From the variables `LUMBAR_WORKSPACE`, `LUMBAR_HOME` and `CARGO_TARGET_DIR`; their defaults are the
    /// workspace that this program was built in, its `.lumbar` and its `target`.
    pub fn from_environment() -> Self {
        let workspace = env::var_os("LUMBAR_WORKSPACE").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two folders up").to_owned(),
            PathBuf::from,
        );
        let absolute = |name: &str, default: &str| {
            workspace.join(env::var_os(name).filter(|value| !value.is_empty()).unwrap_or_else(|| default.into()))
        };
        Self { home: absolute("LUMBAR_HOME", ".lumbar"), target: absolute("CARGO_TARGET_DIR", "target"), workspace }
    }

    /// Parent of all build folders; its `.cargo/config.toml` applies to every one of them.
    pub fn kernels(&self) -> PathBuf {
        self.home.join("kernels")
    }

    /// The build folder that the set-up fills and no kernel ever runs in.
    pub fn warm(&self) -> PathBuf {
        self.kernels().join("warm")
    }

    /// The command `lumbar`, compiled as the notebooks' library is.
    pub fn command(&self) -> PathBuf {
        self.home.join("bin/lumbar")
    }

    /// Programs that come before the toolchain's on a kernel's `PATH`: our `cargo` and `rustup`.
    pub fn bin(&self) -> PathBuf {
        self.kernels().join("bin")
    }

    /// The folder that holds torch's `lib/` and `include/`, a link made by the set-up.
    pub fn torch(&self) -> PathBuf {
        env::var_os("LIBTORCH").map_or_else(|| self.workspace.join(".lumbar/torch"), PathBuf::from)
    }

    /// The package of the dynamic library, the only dependency of a notebook.
    pub fn notebook_crate(&self) -> PathBuf {
        self.workspace.join("crates/lumbar-notebook")
    }
}
