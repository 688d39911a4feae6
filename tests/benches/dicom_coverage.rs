//! What decodes here, in dicom-rs and in pydicom, over the DICOM files of four PyPI packages.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::path::Path;

use dicom_pixeldata::PixelDecoder;
use lumbar_dicom::{Header, Slice};
use lumbar_tests::{oracle, scratch};
use serde_json::json;

#[derive(Default)]
struct Row {
    files: usize,
    here: usize,
    dicom_rs: usize,
    pydicom: usize,
}

/// Larger files cost dicom-rs gigabytes: see `UN_sequence.dcm`.
fn dicom_rs(path: &Path) -> bool {
    if path.ends_with("UN_sequence.dcm") {
        return false;
    }
    catch_unwind(|| {
        let object = dicom_object::open_file(path).ok()?;
        object.decode_pixel_data().ok().map(|decoded| decoded.number_of_frames())
    })
    .is_ok_and(|decoded| decoded.is_some())
}

fn here(path: &Path) -> Result<(), String> {
    let header = Header::read(path).map_err(|error| error.cause.to_string())?;
    let slices = Slice::from_header(&header).map_err(|error| error.cause.to_string())?;
    slices.iter().try_for_each(|slice| slice.pixels().map(drop)).map_err(|error| error.cause.to_string())
}

pub(crate) fn print() {
    let out = scratch();
    let answers = oracle("dicom_coverage", &json!({ "out": out.path() }));
    let mut rows: BTreeMap<(String, String), Row> = BTreeMap::new();
    let mut reasons: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for answer in answers.as_array().expect("a list") {
        let path = Path::new(answer["path"].as_str().expect("a path"));
        let word = |key: &str| answer[key].as_str().unwrap_or("").to_owned();
        let row = rows.entry((word("kind"), word("group"))).or_default();
        row.files += 1;
        row.pydicom += usize::from(answer["values"].is_string());
        row.dicom_rs += usize::from(dicom_rs(path));
        match here(path) {
            Ok(()) => row.here += 1,
            Err(why) => {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                let reason = reasons.entry(format!("{}: {why}", word("kind"))).or_insert((0, name));
                reason.0 += 1;
            }
        }
    }
    println!("{:<11} {:<13} {:>6} {:>6} {:>9} {:>8}", "kind", "package", "files", "here", "dicom-rs", "pydicom");
    for ((kind, group), row) in &rows {
        println!("{kind:<11} {group:<13} {:>6} {:>6} {:>9} {:>8}", row.files, row.here, row.dicom_rs, row.pydicom);
    }
    println!("\nwhy the rest does not decode here:");
    for (reason, (count, example)) in &reasons {
        println!("{count:>4}  {reason} (such as {example})");
    }
}
