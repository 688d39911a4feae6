//! Searches for bytes that make a reader panic: `cargo xtask bench fuzz [SECONDS [SEED]]`, 60 seconds by default, the
//! same time for each target.
//!
//! | target | bytes |
//! |---|---|
//! | `header`, `file`, `rle` | one DICOM file; a frame of run lengths, pixels of 8 to 64 bits |
//! | `series` | up to twelve DICOM files of one folder, to series and stacks |
//! | `tables` | labels, points, series descriptions, or a submission, among whole tables |
//! | `checkpoints` | a checkpoint, the newest one of a fold, and a file of pretrained weights |
//!
//! Where `cargo fuzz` is installed it searches the DICOM targets (`crates/lumbar-dicom/fuzz`). Elsewhere, and for the
//! last two, valid files are changed at random: this does not see coverage, so it finds less. A finding is a panic, a
//! run of 20 seconds, or more memory than 64 MiB plus three times the bytes. The process may take 4 GiB at most. Ends
//! with 1 if something was found; the bytes are in `crates/lumbar-dicom/fuzz/artifacts/<target>`. If the whole process
//! dies, they are there as `running`.

extern crate self as libfuzzer_sys;

#[path = "fuzz/checkpoints.rs"]
mod checkpoints;
#[path = "../dicom/meter.rs"]
mod meter;
#[path = "fuzz/tables.rs"]
mod tables;

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, UNIX_EPOCH};

use lumbar_dicom::{Codec, Header};
use lumbar_tests::{oracle, scratch, workspace};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;

/// Stands in for libFuzzer's macro: the targets' own sources become functions.
#[macro_export]
macro_rules! fuzz_target {
    (|$bytes:ident: &[u8]| $body:block) => {
        pub(crate) fn run($bytes: &[u8]) $body
    };
}

/// `no_main` and the import in them are meant for the targets as programs.
#[allow(unused_attributes, unused_imports)]
#[path = "../../crates/lumbar-dicom/fuzz/fuzz_targets"]
mod targets {
    pub(crate) mod file;
    pub(crate) mod header;
    pub(crate) mod rle;
    pub(crate) mod series;
}

type Target = (&'static str, fn(&[u8]));
/// The targets that `cargo fuzz` can search.
const GUIDED: [&str; 4] = ["header", "rle", "file", "series"];
const TARGETS: [Target; 6] = [
    ("header", targets::header::run),
    ("rle", targets::rle::run),
    ("file", targets::file::run),
    ("series", targets::series::run),
    ("tables", tables::run),
    ("checkpoints", checkpoints::run),
];
/// Larger files spend the time on pixels.
const LARGEST_SEED_BYTES: usize = 64 << 10;
/// Lengths and counts that are easily mistaken.
const WORDS: [u32; 9] = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, u32::MAX];
/// A run beyond this is a finding as well.
const SLOW: Duration = Duration::from_secs(20);
/// Memory that a run may take beyond three times its bytes: 64 MiB, and 16 KiB for each file of a folder.
const MOST_BYTES: isize = (64 << 20) + (16 << 14);
/// Memory beyond which the process is ended instead of the machine.
const ENDED_BYTES: u64 = 4 << 30;

fn main() -> ExitCode {
    let words = std::env::args().skip(1).filter(|word| word != "--bench");
    let numbers: Vec<u64> = words.map(|word| word.parse().expect("SECONDS and SEED are whole numbers")).collect();
    let seconds = numbers.first().copied().unwrap_or(60);
    let seed = numbers.get(1).copied().unwrap_or_else(|| UNIX_EPOCH.elapsed().map_or(0, |now| now.as_secs()));
    let fuzz = workspace().join("crates/lumbar-dicom/fuzz");
    let guided = cargo(&fuzz).arg("--version").output().is_ok_and(|output| output.status.success());
    println!("{seconds} s, seed {seed}, {}", if guided { "cargo fuzz" } else { "no cargo fuzz: plain mutation" });
    let limit = Duration::from_secs(seconds) / TARGETS.len() as u32;
    let mut files = public_files();
    files.extend([32, 64].map(float_pixels));
    let frames: Vec<_> = files.iter().filter_map(|file| rle_seed(file)).collect();
    let folders = folders(&files);
    let (tables, checkpoints) = (tables::seeds(), checkpoints::seeds());
    let seeds = |name| match name {
        "rle" => &frames,
        "series" => &folders,
        "tables" => &tables,
        "checkpoints" => &checkpoints,
        _ => &files,
    };
    let search = |target: Target| {
        let search = if guided && GUIDED.contains(&target.0) { libfuzzer } else { plain };
        search(&fuzz, target, seeds(target.0), limit, seed)
    };
    let findings: usize = TARGETS.into_iter().map(search).sum();
    println!("findings: {findings}");
    if findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Small files of pydicom and pydicom-data.
fn public_files() -> Vec<Vec<u8>> {
    let out = scratch();
    let folders = oracle("dicom_series", &json!({ "task": "folders", "out": out.path() }));
    let list = |name: &str| fs::read_dir(folders[name].as_str().expect("a folder")).expect("a folder");
    let paths = list("pydicom").chain(list("data")).map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "dcm")).collect();
    files.sort();
    let bytes = files.into_iter().map(|path| fs::read(path).expect("a public file"));
    bytes.filter(|bytes| bytes.len() <= LARGEST_SEED_BYTES).collect()
}

/// A file of 2 × 2 pixels of 32 or 64 bits: float or double float pixels.
fn float_pixels(bits: u16) -> Vec<u8> {
    let mut file = vec![0; 128];
    file.extend(b"DICM\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\0");
    for (element, value) in [(0x02, 1), (0x10, 2), (0x11, 2), (0x0100, bits), (0x0101, bits), (0x0102, bits - 1)] {
        file.extend([0x28, 0x00]);
        file.extend(u16::to_le_bytes(element));
        file.extend(b"US\x02\x00");
        file.extend(value.to_le_bytes());
    }
    file.extend(if bits == 64 { b"\xE0\x7F\x09\x00OD\0\0" } else { b"\xE0\x7F\x08\x00OF\0\0" });
    let bytes = 4 * usize::from(bits / 8);
    file.extend((bytes as u32).to_le_bytes());
    file.extend((0..bytes).map(|place| place as u8));
    file
}

/// What the target `series` takes: files one after the other, here slices of written series and of several syntaxes.
fn folders(files: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let out = scratch();
    let written = oracle("dicom_series", &json!({ "task": "write", "out": out.path() }));
    let mut folders: Vec<Vec<u8>> = files.chunks(3).map(<[_]>::concat).collect();
    for folder in written.as_object().expect("names and folders").values().filter_map(|folder| folder.as_str()) {
        let paths = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
        let mut paths: Vec<_> = paths.collect();
        paths.sort();
        let slices = paths.iter().take(6).map(|path| fs::read(path).expect("the oracle wrote it"));
        folders.push(slices.flatten().collect());
    }
    folders.retain(|folder| folder.len() <= 2 * LARGEST_SEED_BYTES);
    folders
}

/// What the target `rle` takes: rows − 1, columns − 1, the index of a pixel's width, and a frame: here the second item
/// of the pixels, after the table of offsets.
fn rle_seed(file: &[u8]) -> Option<Vec<u8>> {
    let header = Header::read_bytes(file).ok().filter(|header| header.transfer_syntax.codec == Codec::Rle)?;
    let pixels = file.windows(4).rposition(|tag| tag == b"\xE0\x7F\x10\x00")?;
    let item = |from: usize| Some(from + file[from..].windows(4).position(|tag| tag == b"\xFE\xFF\x00\xE0")?);
    let frame = item(item(pixels)? + 4)? + 8;
    let length = u32::from_le_bytes(file[frame - 4..frame].try_into().ok()?) as usize;
    let [rows, columns] = [header.rows, header.columns].map(|size| u8::try_from(size - 1));
    let width = [8, 16, 32, 64].iter().position(|&bits| bits == header.bits.allocated)? as u8;
    Some([&[rows.ok()?, columns.ok()?, width], file.get(frame..frame + length)?].concat())
}

fn cargo(fuzz: &Path) -> Command {
    let mut command = Command::new("cargo");
    command.arg("fuzz").current_dir(fuzz).env("RUSTC_BOOTSTRAP", "1");
    command
}

/// One target under libFuzzer; returns 1 if it stopped at a finding.
fn libfuzzer(fuzz: &Path, (target, _): Target, seeds: &[Vec<u8>], limit: Duration, seed: u64) -> usize {
    let folder = scratch();
    for (number, bytes) in seeds.iter().enumerate() {
        fs::write(folder.path().join(number.to_string()), bytes).expect("the folder takes it");
    }
    let corpus = fuzz.join("corpus").join(target);
    fs::create_dir_all(&corpus).expect("a corpus");
    let built = cargo(fuzz).args(["build", "--sanitizer", "none", target]).output().expect("cargo starts");
    assert!(built.status.success(), "{target} does not build:\n{}", String::from_utf8_lossy(&built.stderr));
    let mut command = cargo(fuzz);
    command.args(["run", "--sanitizer", "none", target]).args([&corpus, folder.path()]);
    let output = command
        .args(["--", "-malloc_limit_mb=160", "-print_final_stats=1"])
        // libFuzzer takes 0 for "without end" and a seed of 32 bits
        .args([format!("-max_total_time={}", limit.as_secs().max(1)), format!("-seed={}", seed as u32)])
        .output()
        .expect("cargo starts");
    let text = String::from_utf8_lossy(&output.stderr);
    let runs = text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    println!("{target:<11} {:>10} runs", runs.unwrap_or("?").trim());
    if !output.status.success() {
        println!("{text}");
    }
    usize::from(!output.status.success())
}

/// One target on seeds that are changed at random; returns 1 if it stopped at a finding.
fn plain(fuzz: &Path, (name, target): Target, seeds: &[Vec<u8>], limit: Duration, seed: u64) -> usize {
    limit_memory();
    let folder = fuzz.join("artifacts").join(name);
    fs::create_dir_all(&folder).expect("a folder for findings");
    let running = folder.join("running");
    let (start, mut run) = (Instant::now(), 0_u64);
    // one thread does all of the work, so that all of its memory is counted
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread starts");
    let finding = pool.install(|| {
        while start.elapsed() < limit {
            let bytes = mutated(seeds, &mut StdRng::seed_from_u64(seed.wrapping_add(run)));
            run += 1;
            fs::write(&running, &bytes).expect("the folder takes it");
            let started = Instant::now();
            // the panic's message is printed where it happens
            let (survived, most) = meter::metered(|| catch_unwind(|| target(&bytes)).is_ok());
            let allowed = MOST_BYTES + 3 * bytes.len() as isize;
            let what = match () {
                () if !survived => "panics".to_owned(),
                () if started.elapsed() > SLOW => format!("takes longer than {SLOW:?}"),
                () if most > allowed => format!("takes {most} bytes of memory, {allowed} are allowed"),
                () => continue,
            };
            return Some((bytes, what));
        }
        None
    });
    println!("{name:<11} {run:>10} runs");
    fs::remove_file(&running).expect("it was written");
    let Some((bytes, what)) = finding else { return 0 };
    let path = folder.join(format!("plain-{seed}-{run}"));
    fs::write(&path, bytes).expect("the folder takes it");
    println!("{name:<11} {what}: {}", path.display());
    1
}

/// Limits the memory of this process to a few gigabytes more than it has.
fn limit_memory() {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells");
    let data = status.lines().find_map(|line| line.strip_prefix("VmData:")?.trim().strip_suffix(" kB")?.parse().ok());
    let most = data.map_or(ENDED_BYTES, |kilobytes: u64| 1024 * kilobytes + ENDED_BYTES);
    let limit = libc::rlimit { rlim_cur: most, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `limit` outlives the call. The limit may be refused, and then it is not lower than before.
    unsafe { libc::setrlimit(libc::RLIMIT_DATA, &limit) };
}

/// A seed with one to eight changes.
fn mutated(seeds: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let mut bytes = seeds.choose(random).expect("seeds").clone();
    for _ in 0..random.random_range(1..=8) {
        if bytes.is_empty() {
            break;
        }
        // half of the changes are near the start, where the attributes are
        let end = if random.random() { bytes.len() } else { bytes.len().min(2048) };
        let at = random.random_range(0..end);
        let end = (at + random.random_range(1..64_usize)).min(bytes.len());
        match random.random_range(0..8) {
            0 => bytes[at] ^= 1 << random.random_range(0..8),
            1 => bytes[at] = random.random(),
            2 | 3 => {
                let word = WORDS.choose(random).expect("words").to_le_bytes();
                let width = (bytes.len() - at).min(if random.random() { 2 } else { 4 });
                bytes[at..at + width].copy_from_slice(&word[..width]);
            }
            4 => bytes.truncate(at),
            5 => drop(bytes.drain(at..end)),
            6 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
            _ => {
                let other = seeds.choose(random).expect("seeds");
                let from = random.random_range(0..other.len());
                let to = (from + random.random_range(1..256_usize)).min(other.len());
                drop(bytes.splice(at..end, other[from..to].iter().copied()));
            }
        }
    }
    bytes
}
