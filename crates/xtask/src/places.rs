//! Where things live.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The folders that the commands work with.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The checkout.
    pub(crate) workspace: PathBuf,
    /// `LUMBAR_HOME`, absolute.
    pub(crate) home: PathBuf,
    /// Cargo's target folder.
    pub(crate) target: PathBuf,
}

impl Places {
    /// From the environment, with the defaults that the README names.
    pub(crate) fn find() -> Result<Self> {
        // Cargo says at run time which checkout it is: what was compiled in may be another's, when two of them
        // share a target folder.
        let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let workspace = Path::new(&package).ancestors().nth(2).context("two folders up")?;
        let or = |name: &str, default: &str| {
            workspace.join(env::var_os(name).filter(|value| !value.is_empty()).unwrap_or_else(|| default.into()))
        };
        Ok(Self {
            workspace: workspace.to_owned(),
            home: or("LUMBAR_HOME", ".lumbar"),
            target: or("CARGO_TARGET_DIR", "target"),
        })
    }

    /// `.lumbar` in the workspace: the home itself, or a link to it. Cargo's configuration points below it.
    pub(crate) fn link(&self) -> PathBuf {
        self.workspace.join(".lumbar")
    }

    /// Makes the home, and the workspace's link to it where it lies elsewhere.
    pub(crate) fn make(&self) -> Result<()> {
        fs::create_dir_all(&self.home).with_context(|| format!("cannot make LUMBAR_HOME {}", self.home.display()))?;
        let link = self.link();
        if self.home == link {
            return Ok(());
        }
        match fs::symlink_metadata(&link) {
            Ok(metadata) if metadata.is_symlink() => fs::remove_file(&link)?,
            Ok(_) => bail!(
                "LUMBAR_HOME is {}, but {} is a folder from an earlier set-up: remove it, or unset LUMBAR_HOME",
                self.home.display(),
                link.display()
            ),
            Err(_) => {}
        }
        std::os::unix::fs::symlink(&self.home, &link)
            .with_context(|| format!("cannot link {} to {}", link.display(), self.home.display()))
    }

    /// The Python environment of the set-up, or a link to the one it chose.
    pub(crate) fn python_environment(&self) -> PathBuf {
        self.home.join("python")
    }

    /// Its interpreter.
    pub(crate) fn python(&self) -> PathBuf {
        self.python_environment().join("bin/python")
    }

    /// The folder with torch's `lib/` and `include/`; a variable `LIBTORCH` wins, as it does for cargo.
    pub(crate) fn torch(&self) -> PathBuf {
        env::var_os("LIBTORCH").map_or_else(|| self.link().join("torch"), PathBuf::from)
    }

    /// The notebooks' kernel, after a set-up.
    pub(crate) fn kernel(&self) -> PathBuf {
        self.home.join("kernels/bin/lumbar-kernel")
    }

    /// The committed notebooks.
    pub(crate) fn notebooks(&self) -> PathBuf {
        self.workspace.join("notebooks")
    }

    /// A path as people should see it: relative to the workspace where it lies there.
    pub(crate) fn show(&self, path: &Path) -> String {
        path.strip_prefix(&self.workspace).unwrap_or(path).display().to_string()
    }
}

/// Bytes that are free for this user on the disk of `path`.
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let path = path.ancestors().find(|folder| folder.exists())?;
    let name = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut statistics = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `name` ends with a zero, and statvfs fills the structure when it returns zero.
    let statistics = unsafe {
        if libc::statvfs(name.as_ptr(), statistics.as_mut_ptr()) != 0 {
            return None;
        }
        statistics.assume_init()
    };
    Some(statistics.f_bavail as u64 * statistics.f_frsize as u64)
}
