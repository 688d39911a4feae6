//! Folders that are more than files of one series: bombs, links, pipes, names, thousands of slices at one position.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use lumbar_dicom::{
    Cause, Folder, Header, Location, Outcome, ReadOptions, ReadWarning, Slice, read_folder, read_series,
};
use lumbar_tests::scratch;

use crate::bytes::{deflated, described, described_as, element, pixels, slice, text};
use crate::meter::metered;

fn write(path: impl AsRef<Path>, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("the folder takes it");
}

/// [`metered`] around work that runs on rayon's threads: a pool of one thread does all of it.
fn metered_in_pool<T: Send>(work: impl FnOnce() -> T + Send) -> (T, isize) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread starts");
    pool.install(|| metered(work))
}

/// Reads a folder and checks the promise: 64 MiB, three times the files, 16 KiB for each file.
fn read_metered(folder: &Path, options: &ReadOptions) -> Folder {
    let (read, most) = metered_in_pool(|| read_folder(folder, options, &()));
    let read = read.unwrap_or_else(|error| panic!("{error}"));
    let paths = read.report.files.iter().filter_map(|file| file.location.path());
    let bytes: u64 = paths.map(|path| std::fs::metadata(path).map_or(0, |meta| meta.len())).sum();
    let allowed = (64 << 20) + 3 * bytes as isize + (16 << 10) * read.report.files.len() as isize;
    assert!(most <= allowed, "{most} bytes taken for {} files of {bytes}", read.report.files.len());
    read
}

/// Reads a folder in another thread; panics if that takes long.
fn read_in_time(folder: &Path) -> Folder {
    let (sender, receiver) = mpsc::channel();
    let folder = folder.to_owned();
    std::thread::spawn(move || sender.send(read_folder(folder, &ReadOptions::default(), &())));
    let read = receiver.recv_timeout(Duration::from_secs(60)).expect("reading ends");
    read.unwrap_or_else(|error| panic!("{error}"))
}

/// Why each file that is not used is not, by the end of its path.
fn not_used(folder: &Folder) -> Vec<(String, Cause)> {
    let reason = |outcome: &Outcome| match outcome {
        Outcome::NotUsed(cause) => cause.clone(),
        other => panic!("{other:?}"),
    };
    let name = |location: &Location| {
        let name = location.path().and_then(Path::file_name).expect("a path");
        name.to_string_lossy().into_owned()
    };
    folder.report.not_used().map(|file| (name(&file.location), reason(&file.outcome))).collect()
}

#[test]
fn a_slice_kilometres_away_is_a_stack_of_its_own() {
    let folder = scratch();
    for (number, z) in (1..).zip([0.0, 0.015_625, 0.031_25, 900_000.0]) {
        let bytes = slice([0.0, 0.0, z], number, &[], 1, 1, &[number as u8]);
        write(folder.path().join(format!("{number}.dcm")), &bytes);
    }
    let read = read_metered(folder.path(), &ReadOptions::default());
    let sizes: Vec<_> = read.series[0].stacks.iter().map(|stack| stack.slices.len()).collect();
    assert_eq!(sizes, [3, 1]);
}

#[test]
fn frames_are_limited_by_the_size_of_the_file() {
    let folder = scratch();
    let list = "1\\".repeat(15_000) + "1";
    let more = [text((0x0028, 0x0008), "60000"), text((0x0028, 0x1050), &list), text((0x0028, 0x1051), &list)].concat();
    write(folder.path().join("bomb.dcm"), &slice([0.0; 3], 1, &more, 1, 1, &[0; 60_000]));
    let read = read_metered(folder.path(), &ReadOptions::default());
    let [(_, cause)] = <[_; 1]>::try_from(not_used(&read)).expect("one file");
    let text = cause.to_string();
    assert!(text.starts_with("(0028,0008) NumberOfFrames: expected 1 to ") && text.ends_with("found 60000"), "{text}");
}

#[test]
fn long_attributes_are_ignored_and_short_ones_shared_by_frames() {
    let folder = scratch();
    let frames = 2000;
    let list = "1\\".repeat(30_000) + "1";
    let long = "1.2.".repeat(15_000) + "3";
    let more = |uid: &str, window: &str, id: &str| {
        [
            text((0x0008, 0x0018), uid),
            text((0x0020, 0x9056), id),
            text((0x0028, 0x0008), &frames.to_string()),
            text((0x0028, 0x1050), window),
            text((0x0028, 0x1051), window),
        ]
        .concat()
    };
    let values = vec![0; 512 * frames];
    write(folder.path().join("long.dcm"), &slice([0.0; 3], 1, &more(&long, &list, &long), 16, 32, &values));
    let read = read_metered(folder.path(), &ReadOptions::default());
    let series = &read.series[0];
    assert_eq!(series.len(), frames);
    let first = series.slices().next().expect("a slice");
    assert!(first.sop_instance.is_none() && first.windows.is_empty() && first.stack_id.is_none());
    let ignored: Vec<_> = series
        .report
        .warnings
        .iter()
        .filter_map(|warning| match warning {
            ReadWarning::Attribute { cause: Cause::Value { tag, .. }, .. } => tag.keyword(),
            _ => None,
        })
        .collect();
    assert_eq!(ignored, ["SOPInstanceUID", "StackID", "WindowCenter", "WindowWidth"]);

    write(folder.path().join("long.dcm"), &slice([0.0; 3], 1, &more("1.2.4", "7\\9", "1"), 16, 32, &values));
    let read = read_metered(folder.path(), &ReadOptions::default());
    let slices: Vec<_> = read.series[0].slices().collect();
    assert_eq!(slices[0].windows.len(), 2);
    assert!(slices.iter().all(|slice| std::sync::Arc::ptr_eq(&slice.windows, &slices[0].windows)));
}

/// 16 MB of zeros in a few kilobytes.
fn bomb(number: i32) -> Vec<u8> {
    let more = text((0x0020, 0x0013), &number.to_string());
    deflated(&[&more, &described_as(4000, 4000, 8, 8), &pixels(&vec![0; 4000 * 4000])])
}

#[test]
fn a_folder_of_bombs_is_read_within_its_limit() {
    let folder = scratch();
    let one = bomb(1);
    assert!(one.len() < 64 << 10);
    for number in 0..24 {
        write(folder.path().join(format!("{number}.dcm")), &bomb(number));
    }
    // the positions are unknown, so none is a copy
    let options = ReadOptions { check_pixels: true, ..ReadOptions::default() };
    let read = read_metered(folder.path(), &options);
    assert_eq!(read.series.iter().map(|series| series.len()).sum::<usize>(), 24);
}

#[test]
fn frames_at_one_position_are_grouped_in_linear_time() {
    let time = |frames: usize| {
        let folder = scratch();
        for file in 0..2_u8 {
            let more = text((0x0028, 0x0008), &frames.to_string());
            // no two frames are equal
            let values: Vec<u8> = (0..frames)
                .flat_map(|frame| {
                    let mut frame = [file, frame as u8, (frame >> 8) as u8].repeat(86);
                    frame.truncate(256);
                    frame
                })
                .collect();
            write(folder.path().join(format!("{file}.dcm")), &slice([0.0; 3], 1, &more, 16, 16, &values));
        }
        let started = Instant::now();
        let read = read_metered(folder.path(), &ReadOptions::default());
        let series = &read.series[0];
        assert_eq!((series.len(), series.stacks.len()), (2 * frames, 2 * frames));
        started.elapsed()
    };
    let (few, many) = (time(1000), time(8000));
    assert!(many < 32 * few.max(Duration::from_millis(100)), "{few:?} for 1000, {many:?} for 8000 frames");
}

#[test]
fn copies_among_thousands_of_frames_are_found() {
    let folder = scratch();
    let frames = 500;
    let more = |uid: &str| [text((0x0008, 0x0018), uid), text((0x0028, 0x0008), &frames.to_string())].concat();
    let values: Vec<u8> = (0..frames).flat_map(|frame| [frame as u8, (frame >> 8) as u8].repeat(128)).collect();
    for file in 0..3 {
        let bytes = slice([0.0; 3], 1, &more(&format!("1.2.{file}")), 16, 16, &values);
        write(folder.path().join(format!("{file}.dcm")), &bytes);
    }
    let series = read_series(folder.path(), &ReadOptions::default(), &()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(series.len(), frames);
    let copies = series.report.files.iter().filter(|file| matches!(file.outcome, Outcome::Duplicate { .. }));
    assert_eq!(copies.count(), 2);
}

#[test]
fn thousands_of_orientations_are_grouped_in_linear_time() {
    let item = |content: &[u8]| element((0xFFFE, 0xE000), content.len() as u32, content);
    let sequence = |tag, content: &[u8]| element(tag, content.len() as u32, content);
    let time = |frames: usize| {
        let each = (0..frames).flat_map(|frame| {
            let (turn, tilt) = ((frame % 600) as f64 * 0.0105, (frame / 600) as f64 * 0.0105);
            let ((s, c), (t, u)) = (turn.sin_cos(), tilt.sin_cos());
            let axes = format!("{c:.6}\\{s:.6}\\0\\{:.6}\\{:.6}\\{t:.6}", -s * u, c * u);
            let position = item(&text((0x0020, 0x0032), "0\\0\\0"));
            let orientation = item(&text((0x0020, 0x0037), &axes));
            let groups = [sequence((0x0020, 0x9113), &position), sequence((0x0020, 0x9116), &orientation)];
            item(&groups.concat())
        });
        let each: Vec<u8> = each.collect();
        let bytes = [
            text((0x0020, 0x000E), "1.2.3"),
            text((0x0028, 0x0008), &frames.to_string()),
            text((0x0028, 0x0030), "1\\1"),
            described_as(16, 16, 8, 8),
            sequence((0x5200, 0x9230), &each),
            pixels(&vec![0; 256 * frames]),
        ];
        let folder = scratch();
        write(folder.path().join("1.dcm"), &bytes.concat());
        let started = Instant::now();
        let read = read_metered(folder.path(), &ReadOptions::default());
        assert_eq!(read.series[0].stacks.len(), frames);
        started.elapsed()
    };
    let (few, many) = (time(2000), time(16_000));
    assert!(many < 32 * few.max(Duration::from_millis(100)), "{few:?} for 2000, {many:?} for 16000 orientations");
}

#[test]
fn pipes_sockets_and_devices_are_reported_and_not_opened() {
    let folder = scratch();
    let path = |name: &str| folder.path().join(name);
    write(path("1.dcm"), &slice([0.0; 3], 1, &[], 1, 1, &[0]));
    let pipe = std::ffi::CString::new(path("pipe").as_os_str().as_encoded_bytes()).expect("no zero byte");
    // SAFETY: the path is a string that ends with zero and outlives the call.
    assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).expect("a socket");
    symlink("/dev/zero", path("zero")).expect("a link");
    let read = read_in_time(folder.path());
    assert_eq!(read.series[0].len(), 1);
    let expected = [("pipe", "a named pipe"), ("socket", "a socket"), ("zero", "a device")];
    assert_eq!(not_used(&read), expected.map(|(name, what)| (name.to_owned(), Cause::NotAFile { what })));
    // named directly they are refused as well
    for (name, what) in expected {
        let (sender, receiver) = mpsc::channel();
        let path = path(name);
        std::thread::spawn(move || sender.send(Header::read(path).map(drop)));
        let error = receiver.recv_timeout(Duration::from_secs(60)).expect("opening ends").expect_err("not a file");
        assert_eq!(error.cause, Cause::NotAFile { what }, "{name}");
    }
}

#[test]
fn links_to_parents_end_the_walk() {
    let folder = scratch();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).expect("a folder");
    write(inner.join("1.dcm"), &slice([0.0; 3], 1, &[], 1, 1, &[0]));
    for name in ["a", "b"] {
        symlink(".", folder.path().join(name)).expect("a link");
        symlink("..", inner.join(name)).expect("a link");
    }
    symlink("inner", folder.path().join("again")).expect("a link");
    let read = read_in_time(folder.path());
    assert_eq!(read.series[0].len(), 1);
    let path = read.series[0].slices().next().and_then(Slice::path).map(Path::to_owned);
    assert_eq!(path, Some(inner.join("1.dcm")), "the file is named by its own folder");
    let mut names: Vec<_> = not_used(&read).into_iter().map(|(name, cause)| (name, cause.to_string())).collect();
    names.sort();
    let expected = ["a", "a", "again", "b", "b"].map(|name| (name.to_owned(), Cause::VisitedFolder.to_string()));
    assert_eq!(names, expected);
}

#[test]
fn what_cannot_be_read_is_reported_and_the_rest_is_read() {
    use std::os::unix::fs::PermissionsExt;
    let folder = scratch();
    write(folder.path().join("1.dcm"), &slice([0.0; 3], 1, &[], 1, 1, &[0]));
    symlink("nowhere", folder.path().join("dangling")).expect("a link");
    symlink("itself", folder.path().join("itself")).expect("a link");
    let lost = folder.path().join("lost+found");
    std::fs::create_dir(&lost).expect("a folder");
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
    mode(folder.path(), 0o755).and(mode(&folder.path().join("1.dcm"), 0o644)).and(mode(&lost, 0)).expect("modes");
    // SAFETY: changes who this thread is for the file system alone, and back: root may list every folder.
    let root = unsafe { libc::setfsuid(65_534) };
    let read = read_folder(folder.path(), &ReadOptions::default(), &());
    // SAFETY: as above.
    unsafe { libc::setfsuid(root as u32) };
    mode(&lost, 0o755).expect("modes");
    let read = read.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(read.series[0].len(), 1);
    let kinds: Vec<_> = not_used(&read)
        .into_iter()
        .map(|(name, cause)| match cause {
            Cause::Io { kind, .. } => (name, kind),
            other => panic!("{name}: {other}"),
        })
        .collect();
    use std::io::ErrorKind;
    assert_eq!(kinds.len(), 3, "{kinds:?}");
    assert_eq!(kinds[0], ("dangling".to_owned(), ErrorKind::NotFound));
    assert_eq!(kinds[1].0, "itself");
    assert_eq!(kinds[2], ("lost+found".to_owned(), ErrorKind::PermissionDenied));
}

#[test]
fn names_cannot_forge_lines_of_a_report() {
    let folder = scratch();
    let names = ["a\n9 of 9 files used", "\u{1b}[2Jb", "EVCXR_BEGIN_CONTENT text\\html"];
    for name in names {
        write(folder.path().join(name), b"not an image");
    }
    let read = read_folder(folder.path(), &ReadOptions::default(), &()).unwrap_or_else(|error| panic!("{error}"));
    let report = read.report.to_string();
    assert_eq!(report.lines().count(), 1 + names.len(), "{report:?}");
    assert!(!report.contains('\u{1b}') && !report.contains("EVCXR_BEGIN"), "{report:?}");
    let error = read_series(folder.path().join(names[1]).join("gone"), &ReadOptions::default(), &()).expect_err("gone");
    assert!(!error.to_string().contains('\u{1b}'), "{error:?}");
}

#[test]
fn a_burned_in_annotation_is_known_of_slice_stack_and_series() {
    for (value, flagged) in [("YES", true), ("yes", true), ("NO", false)] {
        let folder = scratch();
        for number in 0..2 {
            let more = if number == 0 { Vec::new() } else { text((0x0028, 0x0301), value) };
            let bytes = slice([0.0, 0.0, f64::from(number)], number, &more, 1, 1, &[number as u8]);
            write(folder.path().join(format!("{number}.dcm")), &bytes);
        }
        let series = read_series(folder.path(), &ReadOptions::default(), &()).unwrap_or_else(|error| panic!("{error}"));
        let flags: Vec<_> = series.slices().map(|slice| slice.burned_in_annotation).collect();
        assert_eq!(flags, [false, flagged], "{value}");
        assert_eq!(
            (series.has_burned_in_annotation(), series.stacks[0].has_burned_in_annotation()),
            (flagged, flagged)
        );
        let warned =
            series.report.warnings.iter().any(|warning| matches!(warning, ReadWarning::BurnedInAnnotation { .. }));
        assert_eq!(warned, flagged);
    }
}

/// A deflated file of several frames is inflated once and decoded like any other.
#[test]
fn deflated_files_are_inflated_piece_by_piece() {
    let folder = scratch();
    let path: PathBuf = folder.path().join("1.dcm");
    let values: Vec<u8> = (0..3 * 200 * 200 * 2_u32).map(|k| (k / 7 % 251) as u8).collect();
    for frames in [1, 3] {
        let bytes = &values[..frames * 200 * 200 * 2];
        let more = text((0x0028, 0x0008), &frames.to_string());
        write(&path, &deflated(&[&more, &described(200, 200), &pixels(bytes)]));
        let slices = Slice::from_header(&Header::read(&path).expect("a header")).expect("slices");
        assert_eq!(slices.len(), frames);
        for (slice, expected) in slices.iter().zip(bytes.as_chunks::<{ 200 * 200 * 2 }>().0) {
            let found = slice.pixels().unwrap_or_else(|error| panic!("{error}"));
            let (pairs, _) = expected.as_chunks::<2>();
            let expected: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair) & 0x0FFF).collect();
            assert_eq!(found.as_u16(), Some(expected.as_slice()));
        }
    }
}
