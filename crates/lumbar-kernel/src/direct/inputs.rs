//! What a call of rustc depends on.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use std::{env, fs, io};

use serde::{Deserialize, Serialize};

use crate::lockfile;

/// A file, and what tells that it is still the same: cargo looks at the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileState {
    path: PathBuf,
    bytes: u64,
    modified_ns: u128,
}

impl FileState {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        Ok(Self { path: path.to_owned(), bytes: metadata.len(), modified_ns: modified.as_nanos() })
    }

    pub(crate) fn is_unchanged(&self) -> bool {
        Self::of(&self.path).is_ok_and(|now| now == *self)
    }
}

/// FNV-1a with 64 bits; texts are separated by their lengths.
#[derive(Debug)]
struct Hash(u64);

impl Hash {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().chain(&(bytes.len() as u64).to_le_bytes()) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn text(&self) -> String {
        format!("{:016x}", self.0)
    }
}

/// A name for the calls of one manifest: the last one is stored.
pub(crate) fn name(arguments: &[OsString], manifest: &str) -> String {
    let mut hash = Hash::new();
    for word in lasting(arguments) {
        hash.add(word.as_encoded_bytes());
    }
    hash.add(manifest.as_bytes());
    hash.text()
}

/// Hash of cargo's arguments, the environment, manifest, lock file and configuration in the current folder.
pub(crate) fn hash(arguments: &[OsString], workspace_lock: &str) -> io::Result<String> {
    let mut hash = Hash::new();
    for word in lasting(arguments) {
        hash.add(word.as_encoded_bytes());
    }
    let mut variables: Vec<_> = env::vars_os().filter(|(name, _)| !is_of_one_start(name)).collect();
    variables.sort();
    for (name, value) in &variables {
        hash.add(name.as_encoded_bytes());
        hash.add(value.as_encoded_bytes());
    }
    let folder = env::current_dir()?;
    hash.add(folder.as_os_str().as_encoded_bytes());
    hash.add(&fs::read("Cargo.toml")?);
    // Cargo drops the packages that it does not need from the lock file, and `merge` adds them again.
    hash.add(lockfile::merge(workspace_lock, &fs::read_to_string("Cargo.lock")?).as_bytes());
    let home = env::var_os("LUMBAR_CARGO_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let folders = folder.ancestors().map(|folder| folder.join(".cargo"));
    for folder in folders.chain(home) {
        for name in ["config", "config.toml"] {
            match fs::read(folder.join(name)) {
                Ok(text) => hash.add(&text),
                Err(error) if error.kind() == io::ErrorKind::NotFound => hash.add(b"none"),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(hash.text())
}

/// The arguments without the path of the lock file's copy that rust-analyzer makes for one call.
fn lasting(arguments: &[OsString]) -> impl Iterator<Item = &OsString> {
    let is_copy = |at: usize| at > 0 && arguments[at - 1] == "--lockfile-path";
    arguments.iter().enumerate().filter(move |(at, _)| !is_copy(*at)).map(|(_, word)| word)
}

/// Variables that differ from start to start: Jupyter names a kernel's server and session, rust-analyzer its copy of
/// the lock file.
fn is_of_one_start(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with("JPY_") || name == "CARGO_RESOLVER_LOCKFILE_PATH")
}

/// Whether cargo may have set a variable of rustc's environment.
pub(crate) fn is_cargos(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return true };
    name == "LD_LIBRARY_PATH" || name == "DYLD_FALLBACK_LIBRARY_PATH" || name.starts_with("CARGO") || name == "OUT_DIR"
}

/// The programs that answer: rustc, if it is called, this one and cargo.
pub(crate) fn programs(rustc: Option<&str>) -> Vec<PathBuf> {
    let mut list: Vec<_> = rustc.map(PathBuf::from).into_iter().collect();
    list.extend(env::var_os("LUMBAR_CARGO").map(PathBuf::from));
    list.extend(env::current_exe());
    list
}

/// Hash of names, sizes and times of a package's files. Compiled files, tests and hidden files are left out.
pub(crate) fn of_package(folder: &Path) -> io::Result<String> {
    let mut hash = Hash::new();
    let mut folders = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") || name == "target" || name == "tests" || name == "benches" {
                continue;
            }
            if entry.file_type()?.is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    files.sort();
    for path in files {
        let state = FileState::of(&path)?;
        hash.add(path.as_os_str().as_encoded_bytes());
        hash.add(&state.bytes.to_le_bytes());
        hash.add(&state.modified_ns.to_le_bytes());
    }
    Ok(hash.text())
}
