//! The folders that the commands work with, and whether builds record their times.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Paths, all absolute; and one setting.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The checkout.
    pub(crate) workspace: PathBuf,
    /// `LUMBAR_HOME`.
    pub(crate) home: PathBuf,
    /// Cargo's target folder.
    pub(crate) target: PathBuf,
    /// Whether cargo records how long each crate takes (`setup --timings`).
    pub(crate) timings: bool,
}

impl Places {
    /// From the environment, with the defaults that the README names.
    pub(crate) fn find() -> Result<Self> {
        // Cargo says at run time which checkout it is. The path at compile time may be another's, if two of them share
        // a target folder.
        let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let workspace = Path::new(&package).ancestors().nth(2).context("two folders up")?;
        let or = |name: &str, default: &str| {
            workspace.join(env::var_os(name).filter(|value| !value.is_empty()).unwrap_or_else(|| default.into()))
        };
        Ok(Self {
            workspace: workspace.to_owned(),
            home: or("LUMBAR_HOME", ".lumbar"),
            target: or("CARGO_TARGET_DIR", "target"),
            timings: false,
        })
    }

    /// `.lumbar` in the workspace: the home itself, or a link to it. Cargo's configuration points below it.
    pub(crate) fn link(&self) -> PathBuf {
        self.workspace.join(".lumbar")
    }

    /// Refuses paths that a program further down would misread: folders are joined with `:` in `LD_LIBRARY_PATH` and
    /// with `,` in linker arguments, and written between quotes in TOML and JSON files.
    pub(crate) fn check(&self) -> Result<()> {
        let torch = self.torch();
        for (what, path) in [
            ("the checkout", &self.workspace),
            ("LUMBAR_HOME", &self.home),
            ("CARGO_TARGET_DIR", &self.target),
            ("LIBTORCH", &torch),
        ] {
            let Some(text) = path.to_str() else {
                bail!("{what} is {}, which is not UTF-8: use another folder", path.display());
            };
            if let Some(character) =
                text.chars().find(|c| matches!(c, '"' | '\'' | '\\' | ',' | ':' | '$') || c.is_control())
            {
                bail!("{what} is {text:?}, which contains {character:?}: use a folder without it");
            }
        }
        Ok(())
    }

    /// Makes the home, and the workspace's link to it if it is elsewhere.
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

    /// The Python environment of the set-up, or a link to the one that it chose.
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

    /// The command `lumbar`, after a set-up.
    pub(crate) fn command(&self) -> PathBuf {
        self.home.join("bin/lumbar")
    }

    /// The notebooks' kernel, after a set-up.
    pub(crate) fn kernel(&self) -> PathBuf {
        self.home.join("kernels/bin/lumbar-kernel")
    }

    /// The committed notebooks.
    pub(crate) fn notebooks(&self) -> PathBuf {
        self.workspace.join("notebooks")
    }

    /// A path to show: relative to the workspace if it is inside.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_would_be_misread_are_refused_with_their_name() {
        let places =
            |home: &str| Places { workspace: "/a b/ä".into(), home: home.into(), target: "/t".into(), timings: false };
        places("/home/someone/.lumbar").check().unwrap();
        for (home, character) in
            [("/a:b", "':'"), ("/a,b", "','"), ("/a\"b", "'\"'"), ("/a\\b", "'\\\\'"), ("/a\nb", "'\\n'")]
        {
            let error = places(home).check().unwrap_err().to_string();
            assert!(error.contains("LUMBAR_HOME") && error.contains(character), "{error}");
        }
    }
}
