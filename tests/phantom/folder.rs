//! The folder as a whole: same bytes for the same seed, and nothing half written.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use lumbar_phantom::{Error, PhantomConfig, PhantomPreset, Progress, Summary, generate};
use lumbar_tests::scratch;
use sha2::{Digest, Sha256};

/// Every file's hash by its path.
fn hashes(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
                found.insert(name, Sha256::digest(fs::read(&path).unwrap()).to_vec());
            }
        }
    }
    found
}

fn small(seed: u64) -> PhantomConfig {
    PhantomConfig { studies: 3, test_studies: 1, seed, ..PhantomConfig::preset(PhantomPreset::Tiny) }
}

/// One study alone.
fn smallest(seed: u64) -> PhantomConfig {
    PhantomConfig { studies: 1, test_studies: 0, ..small(seed) }
}

/// What came of a phantom.
struct Made {
    files: BTreeMap<String, Vec<u8>>,
    summary: Summary,
    /// The progress that was told, in the order of telling.
    told: Vec<Progress>,
}

fn made(config: &PhantomConfig, threads: usize) -> Made {
    let scratch = scratch();
    let folder = scratch.path().join("phantom");
    let told = Mutex::new(Vec::new());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let summary = pool.install(|| generate(config, &folder, &|progress| told.lock().unwrap().push(*progress))).unwrap();
    Made { files: hashes(&folder), summary, told: told.into_inner().unwrap() }
}

fn made_on_two_threads() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| made(&small(5), 2))
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let (one, two, other) = (made(&small(5), 1).files, &made_on_two_threads().files, made(&smallest(6), 2).files);
    assert!(one.len() > 150);
    assert!(one == *two, "one and two threads differ");
    let same = one.values().filter(|hash| other.values().any(|theirs| theirs == *hash)).count();
    assert_eq!(same, 0, "files of another seed");
}

#[test]
fn progress_counts_every_study_once_and_the_summary_counts_the_files() {
    let Made { files, summary, told } = made_on_two_threads();
    assert!(told.iter().all(|progress| progress.studies == 4));
    let mut done: Vec<usize> = told.iter().map(|progress| progress.studies_done).collect();
    done.sort_unstable();
    assert_eq!(done, [1, 2, 3, 4]);
    assert_eq!(files.keys().filter(|name| name.ends_with(".dcm")).count(), summary.slices);
    assert_eq!((summary.studies, summary.test_studies), (3, 1));
}

#[test]
fn an_occupied_folder_is_left_as_it_is_and_an_empty_one_is_filled() {
    let scratch = scratch();
    let folder = scratch.path().join("mine");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("thesis.txt"), "years of work").unwrap();
    let error = generate(&small(1), &folder, &|_| {}).unwrap_err();
    assert!(matches!(&error, Error::NotEmpty { path } if *path == folder), "{error}");
    assert!(error.to_string().ends_with("not an empty folder; a phantom is only written to a new or an empty one"));
    assert_eq!(fs::read_to_string(folder.join("thesis.txt")).unwrap(), "years of work");

    fs::remove_file(folder.join("thesis.txt")).unwrap();
    generate(&smallest(1), &folder, &|_| {}).unwrap();
    assert!(folder.join("train.csv").exists());
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let scratch = scratch();
    let file = scratch.path().join("file");
    fs::write(&file, "").unwrap();
    let error = generate(&small(1), &file, &|_| {}).unwrap_err();
    assert!(matches!(error, Error::NotEmpty { .. }), "{error}");
    let error = generate(&small(1), &file.join("below"), &|_| {}).unwrap_err();
    assert!(matches!(error, Error::Io { .. }) && error.to_string().contains("below"), "{error}");
}

#[test]
fn a_phantom_that_failed_half_way_leaves_nothing_behind() {
    let scratch = scratch();
    let folder = scratch.path().join("phantom");
    // the target is taken while the studies are drawn: the last step must fail, and tidy up
    let error = generate(&smallest(1), &folder, &|_| {
        fs::create_dir_all(folder.join("someone else's")).unwrap();
    })
    .unwrap_err();
    assert!(matches!(error, Error::Io { action: "replace", .. }), "{error}");
    let left: Vec<_> = fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["phantom"]);
    assert!(!folder.join("train.csv").exists());
}

/// Where the process that has no room draws its phantom.
const WITHOUT_ROOM: &str = "LUMBAR_TEST_WITHOUT_ROOM";

/// Draws a phantom in a process whose files may not grow beyond `bytes`, as on a full disk or beyond a quota;
/// answers what it said.
fn with_room_for(bytes: u64, folder: &Path) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let name = "folder::a_disk_that_is_full_is_named_and_leaves_nothing_behind";
    command.args(["--exact", name, "--nocapture"]).env(WITHOUT_ROOM, folder);
    // SAFETY: both calls are async-signal-safe and take no memory.
    unsafe {
        command.pre_exec(move || {
            let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
            // without the signal the write itself fails
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            if libc::setrlimit(libc::RLIMIT_FSIZE, &limit) == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        });
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_disk_that_is_full_is_named_and_leaves_nothing_behind() {
    if let Some(folder) = std::env::var_os(WITHOUT_ROOM) {
        match generate(&smallest(1), Path::new(&folder), &|_| {}) {
            Ok(_) => println!("complete"),
            Err(error) => println!("error: {error}"),
        }
        return;
    }
    let scratch = scratch();
    let whole = scratch.path().join("whole");
    generate(&smallest(1), &whole, &|_| {}).unwrap();
    let expected = hashes(&whole);
    let largest = expected.keys().map(|name| fs::metadata(whole.join(name)).unwrap().len()).max().unwrap();
    let below = scratch.path().join("below");
    fs::create_dir(&below).unwrap();
    let folder = below.join("phantom");
    // no byte, the middle of a slice, one byte too few for the last of the largest files
    for room in [0, largest / 2, largest - 1] {
        let said = with_room_for(room, &folder);
        assert!(said.contains("error: ") && said.contains(": cannot write: File too large"), "{room}: {said}");
        assert!(said.contains("phantom"), "no file is named: {said}");
        assert_eq!(fs::read_dir(&below).unwrap().count(), 0, "something is left with room for {room} bytes");
    }
    let said = with_room_for(largest, &folder);
    assert!(said.contains("complete"), "{said}");
    assert!(hashes(&folder) == expected, "other bytes in another process");
}
