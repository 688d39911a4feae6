//! Build folders: a warm one, which the set-up fills, and one for each running kernel.
//!
//! evcxr stores a package and cargo's target folder in one place, and two kernels in the same place collide. A kernel
//! therefore takes a folder `kernel-0`, `kernel-1`, … that no running kernel has locked (a file lock ends with its
//! process) and updates it by cloning the warm one: compiled libraries become hard links, because cargo replaces them
//! and never rewrites them; cargo's records are copied with their times, because cargo rewrites those.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::places::Places;

/// Written last into a folder: the state of the warm folder that it is a clone of.
const STAMP: &str = ".lumbar-stamp";

/// Cargo's configuration for every build folder (cargo also searches the parents): libraries are optimised as by the
/// workspace's `[profile.dev.package."*"]`, and are the same files.
pub const PARENT_CONFIG: &str = r#"# written by lumbar-kernel
[profile.dev.package."*"]
opt-level = 3
debug-assertions = false
overflow-checks = false
"#;

/// A build folder that this process has locked.
#[derive(Debug)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// The lock ends when this file is closed.
    _lock: File,
}

impl Folder {
    /// Takes the first folder that no running kernel has locked and makes it a clone of the warm one.
    ///
    /// # Errors
    /// If there is no warm folder (the set-up has not run), or the folder cannot be written.
    pub fn take(places: &Places) -> Result<Self> {
        let warm = places.warm();
        let stamp = fs::read_to_string(warm.join(STAMP)).with_context(|| {
            format!(
                "the kernel's warm build folder {} is missing or unfinished: run `cargo xtask setup` in {}",
                warm.display(),
                places.workspace.display()
            )
        })?;
        for number in 0..256 {
            let path = places.kernels().join(format!("kernel-{number}"));
            let Some(lock) = try_lock(&places.kernels().join(format!("kernel-{number}.lock")))? else { continue };
            if fs::read_to_string(path.join(STAMP)).ok().as_deref() != Some(&stamp) {
                if path.exists() {
                    fs::remove_dir_all(&path).with_context(|| format!("cannot clear {}", path.display()))?;
                }
                clone(&warm, &path).with_context(|| format!("cannot clone the warm folder to {}", path.display()))?;
            }
            return Ok(Self { path, _lock: lock });
        }
        bail!("256 kernels are running already: their folders are under {}", places.kernels().display())
    }
}

/// The lock on a file; `None` if another process has it.
fn try_lock(path: &Path) -> Result<Option<File>> {
    let file = File::options().create(true).append(true).open(path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    // SAFETY: flock takes an open file descriptor, and `file` is open.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(Some(file));
    }
    let error = io::Error::last_os_error();
    match error.kind() {
        io::ErrorKind::WouldBlock => Ok(None),
        _ => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// Marks `folder` as complete. `text` says what it was made from.
///
/// # Errors
/// If the file cannot be written.
pub fn stamp(folder: &Path, text: &str) -> io::Result<()> {
    let temporary = folder.join(".lumbar-stamp.new");
    fs::write(&temporary, text)?;
    fs::rename(temporary, folder.join(STAMP))
}

/// The stamp of a complete folder.
pub fn stamped(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join(STAMP)).ok()
}

/// Removes the stamp: until the next one, no kernel clones from `folder`.
pub fn unstamp(folder: &Path) {
    let _ = fs::remove_file(folder.join(STAMP));
}

/// Clones a build folder without its programs, which no cell links to, and without rustc's `incremental` folder: that is
/// of the workspace's own crates, two gigabytes, and a kernel compiles cells only. The stamp is written last.
///
/// # Errors
/// If a file cannot be read or written.
pub fn clone(from: &Path, to: &Path) -> io::Result<()> {
    let stamp_text = fs::read_to_string(from.join(STAMP))?;
    clone_tree(from, to, &|path| !path.ends_with(STAMP) && !path.ends_with("incremental") && !is_program(path))?;
    stamp(to, &stamp_text)
}

/// A linked program in a `deps` folder or above it. Programs of build scripts are in other folders, and cargo looks at
/// them.
fn is_program(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let stem = name.split('-').next().unwrap_or_default();
    stem == "lumbar" && path.is_file() && path.extension().is_none()
}

/// Clones third-party crates that cargo has built from one target folder to another.
///
/// `own` lists prefixes of the workspace's crates; what was built of these, and programs, is left out.
///
/// # Errors
/// If a file cannot be read or written.
pub fn clone_libraries(from: &Path, to: &Path, own: &[&str]) -> io::Result<()> {
    let wanted = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let stem = name.strip_prefix("lib").unwrap_or(name).replace('-', "_");
        let ours = own.iter().any(|crate_name| stem.starts_with(crate_name));
        let skipped =
            matches!(name, "incremental" | "examples" | "doc" | "tmp" | "nextest" | "package" | ".cargo-lock");
        !(ours || skipped)
    };
    clone_tree(from, to, &wanted)
}

fn clone_tree(from: &Path, to: &Path, wanted: &dyn Fn(&Path) -> bool) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if !wanted(&source) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            clone_tree(&source, &target, wanted)?;
        } else if kind.is_symlink() {
            let _ = fs::remove_file(&target);
            std::os::unix::fs::symlink(fs::read_link(&source)?, &target)?;
        } else {
            clone_file(&source, &target)?;
        }
    }
    let times = fs::metadata(from)?;
    File::open(to)?.set_times(fs::FileTimes::new().set_modified(times.modified()?))
}

fn clone_file(source: &Path, target: &Path) -> io::Result<()> {
    let compiled =
        source.extension().is_some_and(|kind| kind == "rlib" || kind == "rmeta" || kind == "so" || kind == "a");
    let of_a_cell = source.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.contains("ctx"));
    let _ = fs::remove_file(target);
    if compiled && !of_a_cell && fs::hard_link(source, target).is_ok() {
        return Ok(());
    }
    fs::copy(source, target)?;
    let times = fs::metadata(source)?;
    let times = fs::FileTimes::new().set_modified(times.modified()?).set_accessed(times.accessed()?);
    File::options().append(true).open(target)?.set_times(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(home: &Path) -> Places {
        Places { workspace: home.to_owned(), home: home.to_owned(), target: home.join("target") }
    }

    fn warm(places: &Places) {
        let deps = places.warm().join("target/debug/deps");
        fs::create_dir_all(&deps).unwrap();
        fs::write(deps.join("libpolars-1.rlib"), "library").unwrap();
        fs::write(deps.join("polars-1.d"), "record").unwrap();
        fs::write(deps.join("lumbar-0123456789abcdef"), "the command").unwrap();
        fs::create_dir_all(places.warm().join("target/debug/incremental/lumbar-1")).unwrap();
        stamp(&places.warm(), "first").unwrap();
    }

    #[test]
    fn two_kernels_get_two_folders_and_a_free_one_is_taken_again() {
        let home = tempfile::tempdir().unwrap();
        let places = places(home.path());
        warm(&places);
        let first = Folder::take(&places).unwrap();
        let second = Folder::take(&places).unwrap();
        assert_ne!(first.path, second.path);
        let freed = first.path.clone();
        drop(first);
        assert_eq!(Folder::take(&places).unwrap().path, freed);
    }

    #[test]
    fn libraries_are_linked_and_records_copied_with_their_times() {
        use std::os::unix::fs::MetadataExt;
        let home = tempfile::tempdir().unwrap();
        let places = places(home.path());
        warm(&places);
        let folder = Folder::take(&places).unwrap();
        let pair = |name: &str| {
            let inside = Path::new("target/debug/deps").join(name);
            let metadata = |root: &Path| fs::metadata(root.join(&inside)).unwrap();
            (metadata(&places.warm()), metadata(&folder.path))
        };
        let (library, linked) = pair("libpolars-1.rlib");
        assert_eq!(library.ino(), linked.ino());
        let (record, copied) = pair("polars-1.d");
        assert_ne!(record.ino(), copied.ino());
        assert_eq!(record.modified().unwrap(), copied.modified().unwrap());
        assert!(!folder.path.join("target/debug/deps/lumbar-0123456789abcdef").exists(), "programs are left out");
        assert!(
            !folder.path.join("target/debug/incremental").exists(),
            "what only a new compilation reads is left out"
        );
    }

    #[test]
    fn a_new_warm_folder_replaces_the_old_clone() {
        let home = tempfile::tempdir().unwrap();
        let places = places(home.path());
        warm(&places);
        let path = Folder::take(&places).unwrap().path;
        fs::write(path.join("left-over"), "").unwrap();
        assert!(Folder::take(&places).unwrap().path.join("left-over").exists(), "same stamp: not cloned again");
        stamp(&places.warm(), "second").unwrap();
        assert!(!Folder::take(&places).unwrap().path.join("left-over").exists(), "new stamp: cloned anew");
    }

    #[test]
    fn without_a_warm_folder_the_error_says_what_to_run() {
        let home = tempfile::tempdir().unwrap();
        let error = Folder::take(&places(home.path())).unwrap_err();
        assert!(format!("{error:#}").contains("cargo xtask setup"), "{error:#}");
    }

    #[test]
    fn crates_of_the_workspace_are_left_out() {
        let home = tempfile::tempdir().unwrap();
        let (from, to) = (home.path().join("a"), home.path().join("b"));
        fs::create_dir_all(from.join("deps")).unwrap();
        for name in ["libtch-1.rlib", "liblumbar_dicom-2.rlib", "libtorch_ext-3.rlib", "libtorch_sys-4.rlib"] {
            fs::write(from.join("deps").join(name), "").unwrap();
        }
        clone_libraries(&from, &to, &["lumbar", "torch_ext"]).unwrap();
        let mut names: Vec<_> = fs::read_dir(to.join("deps"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["libtch-1.rlib", "libtorch_sys-4.rlib"]);
    }
}
