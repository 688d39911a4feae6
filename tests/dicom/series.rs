//! Series to stacks: real files and written ones, against highdicom, SimpleITK and nibabel.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use lumbar_dicom::{
    Affine, Cause, Folder, Outcome, Plane, ReadOptions, ReadProgress, ReadWarning, Series, Slice, read_folder,
    read_series,
};
use lumbar_tests::{oracle, scratch};
use serde_json::{Value, json};

struct Files {
    folders: Value,
    _scratch: tempfile::TempDir,
}

impl Files {
    fn get(&self, name: &str) -> PathBuf {
        self.folders[name].as_str().unwrap_or_else(|| panic!("no folder {name}")).into()
    }
}

fn real() -> Files {
    let scratch = scratch();
    let folders = oracle("dicom_series", &json!({ "task": "folders", "out": scratch.path() }));
    Files { folders, _scratch: scratch }
}

fn written() -> Files {
    let scratch = scratch();
    let folders = oracle("dicom_series", &json!({ "task": "write", "out": scratch.path() }));
    Files { folders, _scratch: scratch }
}

fn series(folder: &Path) -> Series {
    read_series(folder, &ReadOptions::default(), &()).unwrap_or_else(|error| panic!("{error}"))
}

fn numbers(slices: &[Slice]) -> Vec<i32> {
    slices.iter().map(|slice| slice.instance_number.expect("a number")).collect()
}

/// What another tool makes of the slices of a stack, in the stack's order.
fn peers(series: &Series, stack: usize) -> Value {
    let files: Vec<_> = series.stacks[stack].slices.iter().map(|slice| slice.path().expect("a file")).collect();
    oracle("dicom_series", &json!({ "task": "affine", "files": files }))
}

/// The largest distance in mm over the corners of the volume; the peer may count slices from the other end.
fn farthest_mm(ours: &Affine, peer: &Value, shape: [usize; 3]) -> f64 {
    let theirs = |column: f64, row: f64, slice: f64| -> [f64; 3] {
        std::array::from_fn(|k| {
            let m = |j: usize| peer[k][j].as_f64().unwrap_or_else(|| panic!("no matrix: {peer}"));
            m(0) * column + m(1) * row + m(2) * slice + m(3)
        })
    };
    let last = shape.map(|n| n as f64 - 1.0);
    let over = |flip: bool| {
        let corners = (0..8).map(|bits| std::array::from_fn(|k| if bits >> k & 1 == 1 { last[k] } else { 0.0 }));
        let distance = |[column, row, slice]: [f64; 3]| {
            let (a, b) =
                (ours.patient_at(column, row, slice), theirs(column, row, if flip { last[2] - slice } else { slice }));
            (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f64>().sqrt()
        };
        corners.map(distance).fold(0.0, f64::max)
    };
    over(false).min(over(true))
}

#[test]
fn affines_of_regular_stacks_equal_highdicom_and_simpleitk() {
    let (real, written) = (real(), written());
    let regular = [
        real.get("dicomdirtests").join("98892001/CT5N"),
        written.get("regular_sagittal"),
        written.get("reversed_sagittal"),
        written.get("regular_axial"),
    ];
    for folder in regular {
        let series = series(&folder);
        let [stack] = series.stacks.as_slice() else { panic!("{}: {series}", folder.display()) };
        let first = &stack.slices[0];
        let shape = [first.columns, first.rows, stack.slices.len()];
        let affine = stack.affine().expect("a regular stack");
        let peers = peers(&series, 0);
        for peer in ["highdicom", "sitk"] {
            let farthest = farthest_mm(affine, &peers[peer], shape);
            assert!(farthest < 1e-6, "{}: {peer} is {farthest} mm off", folder.display());
        }
    }
}

#[test]
fn a_reversed_series_is_the_same_stack() {
    let written = written();
    let (forth, back) = (series(&written.get("regular_sagittal")), series(&written.get("reversed_sagittal")));
    assert_eq!(numbers(&forth.stacks[0].slices), (1..=11).collect::<Vec<_>>());
    assert_eq!(numbers(&back.stacks[0].slices), (1..=11).rev().collect::<Vec<_>>());
    assert_eq!(forth.stacks[0].affine(), back.stacks[0].affine());
    assert_eq!(forth.stacks[0].plane(), Some(Plane::Sagittal));
    assert!((forth.stacks[0].spacing_mm().expect("a spacing") - 3.3).abs() < 1e-6);
}

#[test]
fn a_missing_slice_is_recorded_where_simpleitk_stretches_the_volume() {
    let written = written();
    let series = series(&written.get("one_missing"));
    let [stack] = series.stacks.as_slice() else { panic!("{series}") };
    assert_eq!(stack.missing.len(), 1);
    assert_eq!((stack.missing[0].after, stack.missing[0].count), (3, 1));
    assert!(stack.affine().is_none());
    let expected = stack.slices[3]
        .geometry
        .zip(stack.slices[4].geometry)
        .map(|(a, b)| std::array::from_fn::<f64, 3, _>(|k| (a.origin_mm[k] + b.origin_mm[k]) / 2.0));
    let origin = stack.missing[0].origins_mm().next().expect("one is missing");
    assert!(expected.is_some_and(|expected| (0..3).all(|k| (expected[k] - origin[k]).abs() < 1e-9)));
    assert!(series.report.warnings.contains(&ReadWarning::MissingSlices { stack: 0, count: 1 }));
    // SimpleITK spreads the slices evenly: those beside the gap are more than a millimetre off
    let peers = peers(&series, 0);
    let step: f64 = (0..3).map(|k| peers["sitk"][k][2].as_f64().expect("a matrix").powi(2)).sum::<f64>().sqrt();
    assert!((3.0 * step - 3.0 * 3.3).abs() > 1.0, "SimpleITK steps {step} mm: it has learned of missing slices");
}

#[test]
fn uneven_distances_give_no_affine() {
    let written = written();
    let series = series(&written.get("irregular"));
    let [stack] = series.stacks.as_slice() else { panic!("{series}") };
    assert!(stack.affine().is_none() && !stack.is_regular());
    assert!(series.report.warnings.iter().any(|warning| matches!(warning, ReadWarning::IrregularSpacing { .. })));
    assert!(peers(&series, 0)["highdicom"].is_string(), "highdicom refuses uneven distances too");
}

#[test]
fn five_oblique_blocks_are_five_stacks() {
    let written = written();
    let series = series(&written.get("five_discs"));
    let found: Vec<_> = series.stacks.iter().map(|stack| numbers(&stack.slices)).collect();
    let expected: Vec<Vec<i32>> = (0..5).map(|disc| (1 + 4 * disc..5 + 4 * disc).collect()).collect();
    assert_eq!(found, expected);
    // and a point in the middle of each slice is found in that slice
    for (stack, block) in series.stacks.iter().enumerate() {
        for (index, slice) in block.slices.iter().enumerate() {
            let geometry = slice.geometry.expect("a geometry");
            let found = series.nearest_slice(geometry.patient_at(15.0, 11.0)).expect("a slice");
            assert!(found.nearest.covered);
            assert_eq!((found.stack, found.nearest.slice), (stack, index));
            let seen = found.nearest.projection;
            assert!((seen.column - 15.0).abs() < 1e-9 && (seen.row - 11.0).abs() < 1e-9);
        }
    }
}

#[test]
fn copies_are_dropped_and_reported_and_echoes_are_stacks() {
    let written = written();
    let copied = series(&written.get("copied"));
    assert_eq!(copied.len(), 11);
    let copies = copied.report.files.iter().filter(|file| matches!(file.outcome, Outcome::Duplicate { .. }));
    assert_eq!(copies.count(), 3);
    let echoes = series(&written.get("two_echoes"));
    let found: Vec<_> = echoes.stacks.iter().map(|stack| numbers(&stack.slices)).collect();
    assert_eq!(found, [(1..=11).collect::<Vec<_>>(), (21..=31).collect()]);
    assert!(echoes.report.warnings.contains(&ReadWarning::SeveralVolumes { stacks: 2 }));
}

#[test]
fn neither_the_order_of_files_nor_the_threads_matter() {
    let written = written();
    for name in ["five_discs", "copied", "two_echoes", "one_missing"] {
        let folder = written.get(name);
        let mut files: Vec<_> =
            std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
        let tell = |series: &Series| {
            let stacks: Vec<_> =
                series.stacks.iter().map(|stack| format!("{:?} {:?}", stack.slices, stack.missing)).collect();
            (stacks, series.report.clone())
        };
        let expected = tell(&series(&folder));
        for threads in [1, 2, 5] {
            files.rotate_left(3);
            files.reverse();
            let options = ReadOptions { threads: Some(threads), ..ReadOptions::default() };
            let again = read_series(files.clone(), &options, &()).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(tell(&again), expected, "{name} with {threads} threads");
        }
    }
}

fn holding<'a>(folder: &'a Folder, part: &str) -> Vec<&'a Series> {
    let inside = |series: &&Series| {
        series.slices().any(|slice| slice.path().is_some_and(|path| path.to_string_lossy().contains(part)))
    };
    folder.series.iter().filter(inside).collect()
}

#[test]
fn the_public_pilots_scouts_and_gaps_are_told_apart() {
    let folder = read_folder(real().get("dicomdirtests"), &ReadOptions::default(), &()).expect("a folder");
    // seven planes that turn about one axis: seven stacks
    let [turning] = holding(&folder, "MR700").try_into().expect("one series");
    assert!(turning.stacks.len() == 7 && turning.len() == 7);
    // pilots in three planes
    let pilots: Vec<_> = folder.series.iter().filter(|series| series.stacks.len() == 3).collect();
    assert_eq!(pilots.len(), 2);
    for pilot in pilots {
        let mut planes: Vec<_> = pilot.stacks.iter().filter_map(|stack| stack.plane()).collect();
        planes.sort();
        assert_eq!(planes, [Plane::Sagittal, Plane::Coronal, Plane::Axial]);
    }
    // instance 18, then 180 to 182: one stack in which 161 slices are missing
    let [ct2] = holding(&folder, "77654033/CT2").try_into().expect("one series");
    let [stack] = ct2.stacks.as_slice() else { panic!("{ct2}") };
    assert_eq!(numbers(&stack.slices), [18, 180, 181, 182]);
    assert_eq!((stack.missing[0].after, stack.missing[0].count), (0, 161));
    assert!(stack.affine().is_none());
    // two scouts at right angles
    let [scouts] = holding(&folder, "98892001/CT2N").try_into().expect("one series");
    let planes: Vec<_> = scouts.stacks.iter().map(|stack| stack.plane()).collect();
    assert_eq!(planes, [Some(Plane::Sagittal), Some(Plane::Coronal)]);
    // every file is accounted for
    assert_eq!(folder.report.files.len(), folder.report.used().count() + folder.report.not_used().count());
}

#[test]
fn the_frames_of_an_enhanced_file_are_where_nibabel_puts_them() {
    let files = real();
    let path = files.get("mprage");
    let truth = oracle("dicom_series", &json!({ "task": "frames", "file": path }));
    let series = read_series(vec![path], &ReadOptions::default(), &()).expect("a series");
    let [stack] = series.stacks.as_slice() else { panic!("{series}") };
    assert_eq!(stack.slices.len(), 176);
    for slice in &stack.slices {
        let expected = &truth["positions"][slice.frame];
        let origin = slice.geometry.expect("a geometry").origin_mm;
        assert!((0..3).all(|k| (origin[k] - expected[k].as_f64().expect("a number")).abs() < 1e-9));
    }
    // the frames' pixels, by their sums
    for slice in [&stack.slices[0], &stack.slices[88], &stack.slices[175]] {
        let pixels = slice.pixels().expect("pixels");
        let sum: f64 = (0..pixels.len()).filter_map(|k| pixels.get(k)).sum();
        assert_eq!(truth["sums"][slice.frame].as_f64(), Some(sum));
    }
    // nibabel counts (row, column, slice) and its affine is in LPS too
    let nibabel = &truth["nibabel"];
    let swapped: Vec<Value> =
        (0..4).map(|k| json!([nibabel[k][1], nibabel[k][0], nibabel[k][2], nibabel[k][3]])).collect();
    let affine = stack.affine().expect("a regular stack");
    let farthest = farthest_mm(affine, &Value::Array(swapped.clone()), [256, 256, 176]);
    // the file writes positions with twelve digits and the spacing with four
    assert!(farthest < 1e-2, "{farthest} mm: {affine:?} {swapped:?}");
}

#[test]
fn frames_without_a_position_keep_their_order_in_every_syntax() {
    let files = real();
    for name in [
        "emri_small.dcm",
        "emri_small_RLE.dcm",
        "emri_small_big_endian.dcm",
        "emri_small_jpeg_2k_lossless.dcm",
        "emri_small_jpeg_2k_lossless_too_short.dcm",
        "emri_small_jpeg_ls_lossless.dcm",
    ] {
        let path = files.get("data").join(name);
        let series = read_series(vec![path], &ReadOptions::default(), &()).unwrap_or_else(|error| panic!("{error}"));
        let [stack] = series.stacks.as_slice() else { panic!("{name}: {series}") };
        let frames: Vec<_> = stack.slices.iter().map(|slice| slice.frame).collect();
        assert_eq!(frames, (0..10).collect::<Vec<_>>(), "{name}");
        // the file is an enhanced one without functional groups: no position is invented
        assert!(stack.slices.iter().all(|slice| slice.geometry.is_none()), "{name}");
        assert!(stack.affine().is_none() && stack.nearest_slice([0.0; 3]).is_none(), "{name}");
    }
}

/// Records the progress and stops the work after some files.
struct Recorder {
    calls: Mutex<Vec<(usize, usize)>>,
    stop_after: usize,
}

impl ReadProgress for Recorder {
    fn progress(&self, done: usize, total: usize) {
        self.calls.lock().expect("no thread panicked").push((done, total));
    }

    fn is_cancelled(&self) -> bool {
        self.calls.lock().expect("no thread panicked").len() >= self.stop_after
    }
}

#[test]
fn progress_is_reported_once_for_each_file_and_reading_can_be_stopped() {
    let written = written();
    let options = ReadOptions { threads: Some(2), ..ReadOptions::default() };
    let read = |stop_after| {
        let recorder = Recorder { calls: Mutex::default(), stop_after };
        let series = read_series(written.get("regular_sagittal"), &options, &recorder);
        let mut calls = recorder.calls.into_inner().expect("no thread panicked");
        calls.sort_unstable();
        (series, calls)
    };
    let (whole, calls) = read(usize::MAX);
    assert!(whole.is_ok_and(|series| series.len() == 11));
    assert_eq!(calls, (1..=11).map(|done| (done, 11)).collect::<Vec<_>>());
    let (stopped, calls) = read(3);
    assert_eq!(stopped.expect_err("it was stopped").cause, Cause::Cancelled);
    assert!(calls.len() < 11, "{calls:?}");
}

#[test]
fn one_image_in_every_syntax_has_the_same_values() {
    let files = real();
    let same = |folder: &str, names: &[&str]| {
        let read = |name: &&str| {
            let path = files.get(folder).join(name);
            let header = lumbar_dicom::Header::read(&path).unwrap_or_else(|error| panic!("{error}"));
            let slices = Slice::from_header(&header).unwrap_or_else(|error| panic!("{error}"));
            slices.iter().map(|slice| slice.pixels().unwrap_or_else(|error| panic!("{error}"))).collect::<Vec<_>>()
        };
        let first = read(&names[0]);
        for name in &names[1..] {
            assert!(read(name) == first, "{name} differs from {}", names[0]);
        }
    };
    same(
        "pydicom",
        &[
            "MR_small.dcm",
            "MR_small_RLE.dcm",
            "MR_small_bigendian.dcm",
            "MR_small_expb.dcm",
            "MR_small_implicit.dcm",
            "MR_small_jp2klossless.dcm",
            "MR_small_jpeg_ls_lossless.dcm",
            "MR_small_padded.dcm",
        ],
    );
    same(
        "data",
        &[
            "emri_small.dcm",
            "emri_small_RLE.dcm",
            "emri_small_big_endian.dcm",
            "emri_small_jpeg_2k_lossless.dcm",
            "emri_small_jpeg_2k_lossless_too_short.dcm",
            "emri_small_jpeg_ls_lossless.dcm",
        ],
    );
}
