//! The entry in Jupyter's list of kernels: `<data folder>/kernels/lumbar/kernel.json`.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::places::Places;

/// The kernel's name in `jupyter kernelspec list` and in a notebook's metadata.
pub const NAME: &str = "lumbar";
/// The kernel's name in JupyterLab's launcher.
pub const DISPLAY_NAME: &str = "Rust (lumbar)";

/// The content of `kernel.json`: the kernel's program, and the few variables that it cannot find out by itself.
pub fn of(places: &Places, program: &Path) -> Value {
    let mut variables = serde_json::Map::new();
    variables.insert("LUMBAR_WORKSPACE".into(), places.workspace.display().to_string().into());
    variables.insert("LUMBAR_HOME".into(), places.home.display().to_string().into());
    variables.insert("LIBTORCH".into(), places.torch().display().to_string().into());
    // A JupyterLab that was started by a service has none of these; cargo and rustup need them.
    for name in ["HOME", "PATH", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
        if let Some(value) = env::var_os(name) {
            variables.insert(name.into(), value.to_string_lossy().into_owned().into());
        }
    }
    json!({
        "argv": [program.display().to_string(), "--control_file", "{connection_file}"],
        "display_name": DISPLAY_NAME,
        "language": "rust",
        "interrupt_mode": "message",
        "env": variables,
        "metadata": { "debugger": false },
    })
}

/// Writes the kernelspec below `data` (the folder that contains `kernels/`) and returns its path.
///
/// # Errors
/// If the file cannot be written.
pub fn install(places: &Places, program: &Path, data: &Path) -> Result<PathBuf> {
    let folder = data.join("kernels").join(NAME);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join("kernel.json");
    let temporary = folder.join("kernel.json.new");
    fs::write(&temporary, serde_json::to_string_pretty(&of(places, program))? + "\n")
        .and_then(|()| fs::rename(&temporary, &path))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Jupyter's data folder of this user.
///
/// # Errors
/// If `HOME` is not set.
pub fn user_data_folder() -> Result<PathBuf> {
    if let Some(folder) = env::var_os("JUPYTER_DATA_DIR") {
        return Ok(folder.into());
    }
    let home = PathBuf::from(env::var_os("HOME").context("HOME is not set, so the user's Jupyter folder is unknown")?);
    if cfg!(target_os = "macos") {
        return Ok(home.join("Library/Jupyter"));
    }
    Ok(env::var_os("XDG_DATA_HOME").map_or_else(|| home.join(".local/share"), PathBuf::from).join("jupyter"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spec_starts_our_program_and_leaves_a_users_rust_kernel_alone() {
        let data = tempfile::tempdir().unwrap();
        let own = data.path().join("kernels/rust/kernel.json");
        fs::create_dir_all(own.parent().unwrap()).unwrap();
        fs::write(&own, "theirs").unwrap();
        let places = Places { workspace: "/w".into(), home: "/w/.lumbar".into(), target: "/w/target".into() };
        let path = install(&places, Path::new("/w/lumbar-kernel"), data.path()).unwrap();
        let spec: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(spec["argv"][0], "/w/lumbar-kernel");
        assert_eq!(spec["interrupt_mode"], "message");
        assert_eq!(spec["env"]["LUMBAR_HOME"], "/w/.lumbar");
        assert_eq!(fs::read_to_string(own).unwrap(), "theirs");
    }
}
