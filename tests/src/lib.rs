//! Shared ground of the integration tests: where the workspace is, the Python that holds the oracles,
//! scratch folders.
//!
//! The oracles are programs in `oracles/*.py`. They get their arguments as one JSON value on the command
//! line and answer with one JSON value on standard output, so that a test reads like a comparison.

pub mod browser;

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, Once, PoisonError};

use serde_json::Value;
use tempfile::TempDir;

/// This package's folder. Cargo says at run time where it is: what was compiled in may be another checkout's folder,
/// when two share a target folder.
fn package() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// The workspace's top folder.
pub fn workspace() -> PathBuf {
    package().parent().expect("tests/ lies in the workspace").to_owned()
}

/// `LUMBAR_HOME`, or `.lumbar/` in the workspace.
pub fn home() -> PathBuf {
    std::env::var_os("LUMBAR_HOME").map_or_else(|| workspace().join(".lumbar"), PathBuf::from)
}

/// The Python that holds the oracles: `LUMBAR_PYTHON`, else the one that the set-up made or chose.
///
/// # Panics
/// When there is none: an oracle test without its oracle has failed, it is not skipped.
pub fn python() -> PathBuf {
    let python = std::env::var_os("LUMBAR_PYTHON").map_or_else(|| home().join("python/bin/python"), PathBuf::from);
    assert!(python.exists(), "no Python with the oracles at {}: run `cargo xtask setup` first", python.display());
    python
}

/// Runs `oracles/<name>.py` with `arguments` and returns what it answers.
///
/// # Panics
/// When the oracle fails or does not answer with JSON; its standard error is in the message.
pub fn oracle(name: &str, arguments: &Value) -> Value {
    let script = package().join("oracles").join(format!("{name}.py"));
    let output = Command::new(python())
        .arg(&script)
        .arg(arguments.to_string())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap_or_else(|error| panic!("{} does not start: {error}", script.display()));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{} failed ({}):\n{}",
        script.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_str(text.trim())
        .unwrap_or_else(|error| panic!("{} answered no JSON ({error}):\n{text}", script.display()))
}

/// A folder that is gone when the test ends.
pub fn scratch() -> TempDir {
    tempfile::tempdir().expect("a scratch folder can be made")
}

/// A folder for a `static`, gone when the process exits: what a static owns is never dropped. One that is killed
/// leaves it.
///
/// # Panics
/// When the system takes no exit handler.
pub fn kept_until_exit(folder: TempDir) -> PathBuf {
    static KEPT: Mutex<Vec<TempDir>> = Mutex::new(Vec::new());
    static REGISTERED: Once = Once::new();

    extern "C" fn remove() {
        KEPT.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    REGISTERED.call_once(|| {
        // SAFETY: the handler is a function of this binary, which is never unloaded, and it does not unwind:
        // dropping a folder ignores what cannot be removed.
        assert_eq!(unsafe { libc::atexit(remove) }, 0, "an exit handler can be registered");
    });
    let path = folder.path().to_owned();
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(folder);
    path
}
