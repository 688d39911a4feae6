//! Files that come with the Python environment of the set-up.

use std::io::{Error, ErrorKind};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The folder of a package in the Python environment that the set-up made: `python` below `LUMBAR_HOME`, or the Python
/// that `LUMBAR_PYTHON` names. The packages `pydicom` and `data_store` (pydicom-data) have real MR files in them.
///
/// # Errors
/// When there is no such Python or package; the message says what to do.
pub fn python_package(name: &str) -> std::io::Result<PathBuf> {
    let named = std::env::var_os("LUMBAR_PYTHON").filter(|value| !value.is_empty());
    let home = PathBuf::from(std::env::var_os("LUMBAR_HOME").unwrap_or_default());
    let python = named.map_or_else(|| home.join("python/bin/python"), PathBuf::from);
    let program = "import importlib.util, sys; found = importlib.util.find_spec(sys.argv[1]); \
                   print(found.origin if found else '')";
    // a kernel's standard input is not to be read
    let output = Command::new(&python).args(["-c", program, name]).stdin(Stdio::null()).output();
    let output = output.map_err(|error| {
        Error::new(error.kind(), format!("{} does not start: {error}; run `cargo xtask setup`", python.display()))
    })?;
    let file = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    match file.parent().filter(|folder| output.status.success() && folder.is_dir()) {
        Some(folder) => Ok(folder.to_owned()),
        None => {
            let text = format!("the Python at {} has no package {name}; run `cargo xtask setup`", python.display());
            Err(Error::new(ErrorKind::NotFound, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_is_not_there_is_named() {
        let error = python_package("no_such_package").unwrap_err().to_string();
        assert!(error.contains("no_such_package") || error.contains("does not start"), "{error}");
    }
}
