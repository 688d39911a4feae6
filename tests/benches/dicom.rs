//! Reading DICOM against pydicom with pylibjpeg-rle and numpy, one core each, in the same run:
//! `cargo xtask bench dicom`. Rates are per second of processor time on both sides, so that other programs on the
//! machine disturb neither; only the scaling over two cores is by wall clock. With `coverage` as argument: what
//! decodes here, in dicom-rs and in pydicom.

mod dicom_coverage;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use lumbar_dicom::{Header, Pixels, ReadOptions, Slice, read_series};
use lumbar_tests::{python, scratch, workspace};
use serde_json::{Value, json};

fn peer(arguments: &Value) -> Value {
    let script = workspace().join("tests/benches/dicom_peer.py");
    let output = Command::new(python()).arg(&script).arg(arguments.to_string()).output().expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the peer answers with JSON")
}

/// Processor time of this process in seconds, over all of its threads.
fn processor_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on every Linux, and `time` outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// The best of repeated runs, as things per second of `clock`.
fn rate(count: usize, limit: Duration, clock: impl Fn() -> f64, mut work: impl FnMut()) -> f64 {
    work();
    let start = Instant::now();
    let mut best = 0.0_f64;
    while start.elapsed() < limit {
        let before = clock();
        work();
        best = best.max(count as f64 / (clock() - before));
    }
    best
}

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start")
}

/// Stacks of a series with all of its pixels.
fn decoded(files: &[PathBuf]) -> Vec<Pixels> {
    use rayon::prelude::*;
    let series = read_series(files.to_vec(), &ReadOptions::default(), &()).expect("a series");
    let slices: Vec<&Slice> = series.slices().collect();
    slices.par_iter().map(|slice| slice.pixels().expect("pixels")).collect()
}

/// Bytes per second that `memcpy` moves (reads and writes) on one core.
fn memcpy_bytes_per_second(limit: Duration) -> f64 {
    let from = vec![1_u8; 64 << 20];
    let mut to = vec![0_u8; 64 << 20];
    rate(2 * from.len(), limit, processor_seconds, || {
        to.copy_from_slice(std::hint::black_box(&from));
        std::hint::black_box(&mut to);
    })
}

fn main() {
    if std::env::args().any(|argument| argument == "coverage") {
        dicom_coverage::print();
        return;
    }
    let seconds = 1.0;
    let limit = Duration::from_secs_f64(seconds);
    let out = scratch();
    let series: BTreeMap<String, Vec<PathBuf>> =
        serde_json::from_value(peer(&json!({ "task": "write", "out": out.path() }))).expect("names and files");
    let theirs = peer(&json!({ "task": "run", "series": series, "seconds": seconds }));
    let memcpy = memcpy_bytes_per_second(limit);
    let (one, two) = (pool(1), pool(2));
    println!("memcpy on one core: {:.1} GB/s read and written", memcpy / 1e9);
    println!(
        "{:<12} {:<11} {:>10} {:>10} {:>7} {:>9} {:>10}",
        "files", "task", "ours/s", "peer/s", "ratio", "memcpy", "two cores"
    );
    for (name, files) in &series {
        let first = Header::read(&files[0]).expect("a header");
        let source: f64 = files.iter().map(|file| std::fs::metadata(file).expect("a file").len() as f64).sum();
        let stored = (first.rows * first.columns * 2) as f64;
        let file = source / files.len() as f64;
        let values = decoded(files);
        let check: f64 = values.iter().flat_map(|one| (0..one.len()).filter_map(move |k| one.get(k))).sum();
        let expected = theirs[name]["sum"].as_f64().expect("a sum");
        assert!(check == expected, "{name}: the sums are {check} here, {expected} there");
        let header = || files.iter().for_each(|file| drop(std::hint::black_box(Header::read(file).expect("a header"))));
        let decode = |file: &PathBuf| Slice::read(file).and_then(|slice| slice.pixels()).expect("pixels");
        let pixels = || files.iter().for_each(|file| drop(std::hint::black_box(decode(file))));
        let series = || drop(std::hint::black_box(decoded(files)));
        let started = Instant::now();
        let wall = || started.elapsed().as_secs_f64();
        // bytes that have to be read and written at least
        let tasks: [(&str, f64, f64, f64); 3] = [
            ("header", rate(files.len(), limit, processor_seconds, header), 0.0, 0.0),
            ("pixels", rate(files.len(), limit, processor_seconds, pixels), file + stored, 0.0),
            (
                "series",
                one.install(|| rate(files.len(), limit, processor_seconds, &series)),
                file + stored,
                two.install(|| rate(files.len(), limit, wall, &series))
                    / one.install(|| rate(files.len(), limit, wall, &series)),
            ),
        ];
        for (task, ours, bytes, both) in tasks {
            let peer = theirs[name][task].as_f64().expect("a rate");
            let share = if bytes > 0.0 { format!("{:.0} %", 100.0 * ours * bytes / memcpy) } else { String::new() };
            let scaling = if both > 0.0 { format!("{both:.2} ×") } else { String::new() };
            println!("{name:<12} {task:<11} {ours:>10.0} {peer:>10.0} {:>6.1}× {share:>9} {scaling:>10}", ours / peer);
        }
    }
}
