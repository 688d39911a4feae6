//! The memory of a source of cached studies does not grow with the number of studies.
#![cfg(target_os = "linux")]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use lumbar::data::loader::{Loader, LoaderConfig, Plan};
use lumbar::data::manifest::{Manifest, StudyRecord};
use lumbar::data::{DataSplit, StudyId};
use lumbar::tasks::crops::{Annotated, CropCache, CropSource};
use lumbar::train::observer::StopToken;
use tch::Device;

const DATA: &str = "LUMBAR_TEST_DATA";
const CACHE: &str = "LUMBAR_TEST_CACHE";
const STUDIES: &str = "LUMBAR_TEST_STUDIES";
/// Batches that a child makes, whatever the number of studies.
const BATCHES: usize = 24;

/// Memory of this process that no file stands behind, in KiB.
fn anonymous_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn source(manifest: &Manifest, count: usize, cached: PathBuf) -> (CropSource, Vec<StudyId>) {
    let records: Vec<&StudyRecord> = manifest.of(DataSplit::Train).take(count).collect();
    let cache = CropCache { folder: cached, stop: StopToken::new() };
    let opened = CropSource::open_cached(&records, &Annotated, &crate::cached::config(), &cache, &|_| {});
    let source = opened.expect("a source").expect("it is not stopped");
    (source, records.iter().map(|record| record.id).collect())
}

#[test]
#[ignore = "the process that the next test measures"]
fn prints_its_peak_while_it_makes_batches() {
    let folder = |name: &str| PathBuf::from(std::env::var_os(name).expect("the parent passes the folder"));
    let count: usize =
        std::env::var(STUDIES).ok().and_then(|text| text.parse().ok()).expect("the parent passes the number");
    let manifest = Manifest::read(folder(DATA)).expect("a data set");
    let (source, studies) = source(&manifest, count, folder(CACHE));
    let batches: Vec<Vec<StudyId>> = studies
        .iter()
        .cycle()
        .take(2 * BATCHES)
        .cloned()
        .collect::<Vec<_>>()
        .chunks(2)
        .map(<[StudyId]>::to_vec)
        .collect();
    let plan = Plan { seed: 1, epoch: 0, augmented: true, mirrored: false, batches };
    let (mut peak, mut bits) = (0, DefaultHasher::new());
    let loader = Loader::start(Arc::new(source), plan, &LoaderConfig::default(), Device::Cpu).expect("a loader");
    for batch in loader {
        for group in batch.expect("a batch").inputs.groups.iter().flatten() {
            let pixels = Vec::<f32>::try_from(group.pixels.contiguous().view(-1)).expect("floats");
            pixels.iter().for_each(|value| value.to_bits().hash(&mut bits));
        }
        peak = peak.max(anonymous_kib());
    }
    println!("peak_kib={peak}; bits={};", bits.finish());
}

/// Peak in KiB and a hash of all batches, of a child with so many threads.
fn measure(data: &Path, cached: &Path, studies: usize, threads: usize) -> [u64; 2] {
    let output = Command::new(std::env::current_exe().expect("the test's own program"))
        .args(["--exact", "memory::prints_its_peak_while_it_makes_batches", "--ignored", "--nocapture"])
        .env(DATA, data)
        .env(CACHE, cached)
        .env(STUDIES, studies.to_string())
        .env("RAYON_NUM_THREADS", threads.to_string())
        .output()
        .expect("a child");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    ["peak_kib=", "bits="].map(|name| {
        let found = text.split_once(name).and_then(|(_, rest)| rest.split_once(';'));
        found.expect("the child prints it").0.parse().expect("a number")
    })
}

#[test]
fn four_studies_and_twenty_four_take_the_same_memory_and_threads_change_no_bit() {
    let (data, cached) = (lumbar_tests::scratch(), lumbar_tests::scratch());
    let manifest = crate::cached::phantom(data.path(), 24);
    source(&manifest, 24, cached.path().to_owned());
    let files = std::fs::read_dir(cached.path()).expect("a folder").flatten();
    let files_kib = files.map(|file| file.metadata().expect("a size").len()).sum::<u64>() / 1024;
    let peak_and_bits = |studies, threads| measure(data.path(), cached.path(), studies, threads);
    let ([few, bits], [many, _]) = (peak_and_bits(4, 2), peak_and_bits(24, 2));
    println!("peak with 4 studies {few} KiB, with 24 studies {many} KiB; the files of 24 hold {files_kib} KiB");
    // twenty studies more in memory would be five sixths of the files
    assert!(many < few + files_kib / 8, "4 studies {few} KiB, 24 studies {many} KiB, {files_kib} KiB in files");
    assert!(
        peak_and_bits(4, 1)[1] == bits && peak_and_bits(4, 4)[1] == bits,
        "batches depend on the number of threads"
    );
}
