//! The memory of an opened study is bounded by the size of its files, whatever its images decode to.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lumbar::data::SeriesKind;
use lumbar::data::intensity::{IntensityConfig, IntensityWindow};
use lumbar::data::manifest::Manifest;
use lumbar::data::study::Study;

const DATA: &str = "LUMBAR_TEST_DATA";
const SIDE: u16 = 2048;
const SLICES: u16 = 40;
/// Decoded, all slices take 320 MiB.
const DECODED_KIB: u64 = SLICES as u64 * SIDE as u64 * SIDE as u64 * 2 / 1024;

/// An element in explicit little endian.
fn element(group: u16, number: u16, vr: &str, value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(if vr == "UI" { 0 } else { b' ' });
    }
    let mut bytes = [group.to_le_bytes(), number.to_le_bytes()].concat();
    bytes.extend(vr.as_bytes());
    bytes.extend((value.len() as u16).to_le_bytes());
    bytes.extend(value);
    bytes
}

/// A file of 131 kB in RLE whose image takes 8 MiB: one value, which differs from slice to slice.
fn file(slice: u16) -> Vec<u8> {
    let text = |group, number, vr, value: &str| element(group, number, vr, value.as_bytes());
    let number = |number, value: u16| element(0x28, number, "US", &value.to_le_bytes());
    let syntax = text(2, 0x10, "UI", "1.2.840.10008.1.2.5");
    let mut bytes = [vec![0; 128], b"DICM".to_vec()].concat();
    bytes.extend(element(2, 0, "UL", &(syntax.len() as u32).to_le_bytes()));
    bytes.extend(syntax);
    bytes.extend(text(8, 0x16, "UI", "1.2.840.10008.5.1.4.1.1.4"));
    bytes.extend(text(8, 0x18, "UI", &format!("1.2.3.{slice}")));
    bytes.extend(text(8, 0x60, "CS", "MR"));
    bytes.extend(text(0x20, 0xd, "UI", "1.2.4"));
    bytes.extend(text(0x20, 0xe, "UI", "1.2.5"));
    bytes.extend(text(0x20, 0x13, "IS", &slice.to_string()));
    bytes.extend(text(0x20, 0x32, "DS", &format!("{}\\-100\\100", 4 * slice)));
    bytes.extend(text(0x20, 0x37, "DS", "0\\1\\0\\0\\0\\-1"));
    bytes.extend(number(0x2, 1));
    bytes.extend(text(0x28, 0x4, "CS", "MONOCHROME2"));
    bytes.extend([number(0x10, SIDE), number(0x11, SIDE)].concat());
    bytes.extend(text(0x28, 0x30, "DS", "0.1\\0.1"));
    bytes.extend([number(0x100, 16), number(0x101, 16), number(0x102, 15), number(0x103, 0)].concat());
    // two segments: the high bytes, then the low ones, in runs of 128
    let runs = usize::from(SIDE) * usize::from(SIDE) / 128;
    let segments = slice.to_be_bytes().map(|byte| [129, byte].repeat(runs));
    let mut header = [0_u32; 16];
    (header[0], header[1], header[2]) = (2, 64, 64 + segments[0].len() as u32);
    let frame = [header.map(u32::to_le_bytes).concat(), segments.concat()].concat();
    let item = |number: u16, length: u32| [&[0xfe, 0xff][..], &number.to_le_bytes(), &length.to_le_bytes()].concat();
    bytes.extend([0xe0, 0x7f, 0x10, 0, b'O', b'B', 0, 0, 0xff, 0xff, 0xff, 0xff]);
    bytes.extend([item(0xe000, 0), item(0xe000, frame.len() as u32), frame, item(0xe0dd, 0)].concat());
    bytes
}

/// A data set of one study with one series.
fn write(folder: &Path) -> u64 {
    let series = folder.join("test_images/7/11");
    fs::create_dir_all(&series).expect("a folder");
    let table = "study_id,series_id,series_description\n7,11,Sagittal T2/STIR\n";
    fs::write(folder.join("test_series_descriptions.csv"), table).expect("a table");
    let mut size = 0;
    for slice in 1..=SLICES {
        let bytes = file(slice);
        size += bytes.len() as u64;
        fs::write(series.join(format!("{slice}.dcm")), bytes).expect("a file");
    }
    size
}

/// A line of `/proc/self/status`, in KiB.
fn status_kib(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
    line.trim_matches(|letter: char| !letter.is_ascii_digit()).parse().expect("a number")
}

#[test]
#[ignore = "the process that the next test measures"]
fn opens_a_study_and_prints_its_peak() {
    let folder = PathBuf::from(std::env::var_os(DATA).expect("the parent passes the folder"));
    let manifest = Manifest::read(&folder).expect("a data set");
    let before = status_kib("VmHWM:");
    let lossy = Study::open_lossy(&manifest.studies()[0]);
    let slices: usize = lossy.series_of(SeriesKind::SagittalT2).map(|series| series.data.len()).sum();
    assert_eq!(slices, usize::from(SLICES), "{:?}", lossy.warnings);
    let window = IntensityWindow::of_series(&lossy.series[0].data, &IntensityConfig::default()).expect("a window");
    assert!(window.high > window.low);
    // slices beyond the bound are decoded again
    for slice in lossy.series[0].data.slices() {
        let expected = slice.instance_number.expect("a number") as f32;
        assert!(slice.rescaled().expect("pixels").iter().all(|value| *value == expected));
    }
    println!("peak_kib={};", status_kib("VmHWM:") - before);
}

#[test]
fn a_study_that_decodes_to_many_times_its_files_takes_no_more_than_is_promised() {
    let folder = lumbar_tests::scratch();
    let files_kib = write(folder.path()) / 1024;
    let output = Command::new(std::env::current_exe().expect("the test's own program"))
        .args(["--exact", "study_memory::opens_a_study_and_prints_its_peak", "--ignored", "--nocapture"])
        .env(DATA, folder.path())
        .env("RAYON_NUM_THREADS", "2")
        .output()
        .expect("a child");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let peak = text.split_once("peak_kib=").and_then(|(_, rest)| rest.split_once(';'));
    let peak_kib: u64 = peak.expect("the child prints it").0.parse().expect("a number");
    // one slice as the decoder, the histogram and floats have it comes on top
    let promised_kib = 64 * 1024 + 3 * files_kib + 48 * 1024;
    println!("peak {peak_kib} KiB, promised {promised_kib} KiB, decoded {DECODED_KIB} KiB");
    assert!(peak_kib < promised_kib, "{peak_kib} KiB, promised {promised_kib} KiB");
}
