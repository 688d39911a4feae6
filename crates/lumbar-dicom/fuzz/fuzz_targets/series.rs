//! Any bytes as the files of a folder, to series and stacks. A file begins 128 bytes before each `DICM`.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lumbar_dicom::{ReadOptions, read_folder};

/// The most files of a folder.
const MOST: usize = 12;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("lumbar-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
});

fn starts(bytes: &[u8]) -> Vec<usize> {
    let found = bytes.windows(4).enumerate().filter(|(_, four)| four == b"DICM").map(|(at, _)| at.saturating_sub(128));
    let mut starts: Vec<usize> = std::iter::once(0).chain(found).collect();
    starts.dedup();
    starts.truncate(MOST);
    starts
}

fuzz_target!(|bytes: &[u8]| {
    let mut ends = starts(bytes);
    let starts = ends.clone();
    ends.push(bytes.len());
    for (number, start) in starts.iter().enumerate() {
        let file = &bytes[*start..ends[number + 1].max(*start)];
        std::fs::write(FOLDER.join(format!("{number}.dcm")), file).expect("the folder takes it");
    }
    for number in starts.len()..MOST {
        let _ = std::fs::remove_file(FOLDER.join(format!("{number}.dcm")));
    }
    let options = ReadOptions { check_pixels: true, ..ReadOptions::default() };
    let folder = read_folder(&*FOLDER, &options, &()).expect("the folder can be listed");
    assert_eq!(folder.report.files.len(), starts.len());
    assert!(!folder.report.to_string().is_empty());
    for series in &folder.series {
        assert!(!series.is_empty() && !format!("{series} {}", series.report).is_empty());
        for stack in &series.stacks {
            assert!(stack.affine().is_none() || stack.missing.is_empty());
            for missing in &stack.missing {
                assert_eq!(missing.origins_mm().count(), missing.count);
            }
        }
        let _ = series.nearest_slice([1.0, 2.0, 3.0]);
    }
});
