//! Compiles a cell with rustc alone, as cargo last did.
//!
//! For each cell evcxr calls `cargo build`, which spends twice the time of the compiler on finding out that nothing but
//! the cell's source has changed. So the first time, cargo runs with a wrapper around rustc that stores how it is called.
//! From then on rustc is called the same way, as long as everything that cargo would look at is as it was:
//!
//! - cargo's arguments and the environment,
//! - the manifest, the lock file (as [`crate::lockfile::merge`] completes it) and cargo's configuration files,
//! - cargo, rustc and this program,
//! - the libraries that the cell is linked to,
//! - every file of the packages that are used by their path, which may be edited: the workspace's and a user's own.
//!
//! If one of these differs, or cannot be read, or nothing is stored, cargo runs. Cargo's own records stay right: a
//! library that was compiled without it is moved out of its folder, and cargo compiles when an output is missing.

pub(crate) mod inputs;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use serde::{Deserialize, Serialize};

use inputs::FileState;

/// The name of the crate that evcxr writes.
const CELL: &str = "ctx";
/// The folder of stored calls, in the build folder.
const FOLDER: &str = ".lumbar-rustc";
/// Names the file into which the wrapper around rustc writes its call.
const RECORD: &str = "LUMBAR_RUSTC_RECORD";

/// A call of rustc, as the wrapper sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Call {
    rustc: String,
    arguments: Vec<String>,
    folder: PathBuf,
    /// What cargo added to the environment.
    variables: Vec<(String, String)>,
}

/// A call with all that it depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Recorded {
    call: Call,
    /// Hash of arguments, environment, manifest, lock and configuration.
    inputs: String,
    /// Programs and libraries.
    files: Vec<FileState>,
    /// Folders of packages that are used by their path, with a hash of their files' names, sizes and times.
    packages: Vec<(PathBuf, String)>,
    /// What cargo printed about the cell's library.
    artifact: String,
    /// Where rustc writes the library.
    output: PathBuf,
    /// Where cargo puts it, and evcxr looks for it.
    library: PathBuf,
}

/// The wrapper around rustc: if cargo calls this program as one, the exit code of the call.
///
/// # Errors
/// If rustc does not start.
pub fn wrapped(arguments: &[OsString]) -> io::Result<Option<ExitStatus>> {
    let Some(file) = std::env::var_os(RECORD) else { return Ok(None) };
    let Some((rustc, arguments)) = arguments.split_first() else { return Ok(None) };
    // A build script may call cargo, and gets the same variable.
    if Path::new(rustc).file_stem() != Some(OsStr::new("rustc")) {
        return Ok(None);
    }
    let mut command = Command::new(rustc);
    command.args(arguments).env_remove(RECORD);
    let of_cell = arguments.windows(2).any(|pair| pair[0] == "--crate-name" && pair[1] == CELL);
    // A name or value that is not UTF-8 is not recorded: cargo then runs for each cell.
    if of_cell && let Some(call) = Call::new(rustc, arguments) {
        fs::write(file, serde_json::to_string(&call)?)?;
    }
    command.status().map(Some)
}

impl Call {
    fn new(rustc: &OsStr, arguments: &[OsString]) -> Option<Self> {
        let text = |word: &OsStr| word.to_str().map(str::to_owned);
        let variables = std::env::vars_os().filter(|(name, _)| inputs::is_cargos(name));
        Some(Self {
            rustc: text(rustc)?,
            arguments: arguments.iter().map(|word| text(word)).collect::<Option<_>>()?,
            folder: std::env::current_dir().ok()?,
            variables: variables.map(|(name, value)| Some((text(&name)?, text(&value)?))).collect::<Option<_>>()?,
        })
    }

    /// The value after `flag`.
    fn value(&self, flag: &str) -> Option<&str> {
        let at = self.arguments.iter().position(|word| word == flag)?;
        self.arguments.get(at + 1).map(String::as_str)
    }

    /// The files of `--extern name=file`.
    fn externs(&self) -> impl Iterator<Item = PathBuf> {
        let pairs = self.arguments.windows(2).filter(|pair| pair[0] == "--extern");
        pairs.filter_map(|pair| pair[1].split_once('=')).map(|(_, file)| self.folder.join(file))
    }
}

/// The stored call for cargo's `arguments` in the current folder, if everything is as it was.
fn stored(arguments: &[OsString], workspace_lock: &str) -> Option<Recorded> {
    let text = fs::read_to_string(file(arguments)?).ok()?;
    let recorded: Recorded = serde_json::from_str(&text).ok()?;
    let unchanged = inputs::hash(arguments, workspace_lock).ok()? == recorded.inputs
        && recorded.files.iter().all(FileState::is_unchanged)
        && recorded.packages.iter().all(|(folder, hash)| inputs::of_package(folder).is_ok_and(|now| now == *hash));
    unchanged.then_some(recorded)
}

/// The file of the call that belongs to the present manifest.
fn file(arguments: &[OsString]) -> Option<PathBuf> {
    let manifest = fs::read_to_string("Cargo.toml").ok()?;
    Some(Path::new(FOLDER).join(format!("{}.json", inputs::name(arguments, &manifest))))
}

/// Calls rustc as cargo did; `None` if cargo has to run.
pub fn compile(arguments: &[OsString], workspace_lock: &str) -> Option<ExitStatus> {
    let recorded = stored(arguments, workspace_lock)?;
    // The old file may be loaded in the process of the cells under another name: a linker must not write into it.
    match fs::remove_file(&recorded.output) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_) => return None,
    }
    let mut command = Command::new(&recorded.call.rustc);
    command.args(&recorded.call.arguments).current_dir(&recorded.call.folder);
    command.envs(recorded.call.variables.iter().map(|(name, value)| (name, value)));
    let status = command.status().ok()?;
    if !status.success() {
        // rustc's messages are on standard error, which evcxr reads as well.
        return Some(status);
    }
    fs::rename(&recorded.output, &recorded.library).ok()?;
    println!("{}", recorded.artifact);
    Some(status)
}

/// Runs cargo, passes on what it prints, and stores how it called rustc for the cell.
///
/// # Errors
/// If cargo does not start or the folder cannot be written.
pub fn record(mut cargo: Command, arguments: &[OsString], workspace_lock: &str) -> io::Result<ExitStatus> {
    fs::create_dir_all(FOLDER)?;
    let call = std::env::current_dir()?.join(FOLDER).join("call.json");
    let _ = fs::remove_file(&call);
    cargo.env("RUSTC_WORKSPACE_WRAPPER", std::env::current_exe()?).env(RECORD, &call);
    // Before cargo reads them: a file that is changed while it runs is a change.
    let before = inputs::hash(arguments, workspace_lock).ok();
    let mut child = cargo.stdout(Stdio::piped()).spawn()?;
    let mut messages = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let mut out = io::stdout().lock();
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            writeln!(out, "{line}")?;
            messages.push(line);
        }
    }
    let status = child.wait()?;
    if status.success()
        && let Some(before) = before
        && let Some(file) = file(arguments)
        && let Some(recorded) = recorded(&call, before, &messages)
    {
        let temporary = file.with_extension("new");
        fs::write(&temporary, serde_json::to_string(&recorded)?)?;
        fs::rename(temporary, file)?;
    }
    Ok(status)
}

/// What cargo's messages and the wrapper's file say; `None` if something is missing.
fn recorded(call: &Path, inputs: String, messages: &[String]) -> Option<Recorded> {
    let call: Call = serde_json::from_str(&fs::read_to_string(call).ok()?).ok()?;
    let (mut packages, mut cell) = (Vec::new(), None);
    for line in messages {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let is_path = message["package_id"].as_str().is_some_and(|id| id.starts_with("path+"));
        let Some(manifest) = message["manifest_path"].as_str().filter(|_| is_path) else { continue };
        if message["target"]["name"] == CELL {
            if message["reason"] == "compiler-artifact" {
                cell = Some((line.clone(), PathBuf::from(message["filenames"].as_array()?.first()?.as_str()?)));
            }
        } else {
            packages.push(Path::new(manifest).parent()?.to_owned());
        }
    }
    packages.sort();
    packages.dedup();
    let packages = packages.into_iter().map(|folder| Some((inputs::of_package(&folder).ok()?, folder)));
    let (artifact, library) = cell?;
    let output = call.folder.join(call.value("--out-dir")?).join(library.file_name()?);
    let programs = inputs::programs(Some(&call.rustc));
    let files = programs.into_iter().chain(call.externs()).map(|path| FileState::of(&path).ok());
    Some(Recorded {
        files: files.collect::<Option<_>>()?,
        packages: packages.map(|pair| pair.map(|(hash, folder)| (folder, hash))).collect::<Option<_>>()?,
        inputs,
        artifact,
        output: output.exists().then_some(output)?,
        library,
        call,
    })
}
