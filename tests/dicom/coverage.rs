//! Every grey image of the DICOM packages on PyPI, value for value against pydicom.

use std::collections::BTreeMap;
use std::path::Path;

use lumbar_dicom::{Cause, Header, Slice};
use lumbar_tests::{oracle, scratch};
use serde_json::{Value, json};

/// Files whose lossy codec leaves the last digit open: how far values may be from pydicom's, and why.
const ROUNDED: [(&str, f64, &str); 5] = [
    ("JPGExtended.dcm", 1.0, "the inverse cosine transform: exact here, in fixed point in libjpeg"),
    ("JPEG2000.dcm", 1.0, "irreversible wavelet: sums in another order than OpenJPEG's"),
    ("MR2_J2KI.dcm", 1.0, "irreversible wavelet"),
    ("RG1_J2KI.dcm", 1.0, "irreversible wavelet"),
    ("RG3_J2KI.dcm", 1.0, "irreversible wavelet"),
];

fn values(slices: &[Slice]) -> Result<Vec<f64>, lumbar_dicom::Error> {
    let mut all = Vec::new();
    for slice in slices {
        let pixels = slice.pixels()?;
        all.extend((0..pixels.len()).map(|k| pixels.get(k).expect("the index is below the length")));
    }
    Ok(all)
}

fn read(path: &str) -> Result<Vec<f64>, lumbar_dicom::Error> {
    values(&Slice::from_header(&Header::read(path)?)?)
}

fn floats(path: &str) -> Vec<f64> {
    let bytes = std::fs::read(path).expect("the oracle wrote it");
    bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()
}

#[test]
fn everything_that_pydicom_decodes_has_identical_stored_values() {
    let out = scratch();
    let answers = oracle("dicom_coverage", &json!({ "out": out.path() }));
    let mut failures = Vec::new();
    let mut same = 0;
    let mut packages = BTreeMap::new();
    for answer in answers.as_array().expect("a list") {
        let path = answer["path"].as_str().expect("a path");
        let name = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or("");
        if answer["kind"] != "grey" {
            continue;
        }
        let Value::String(expected) = &answer["values"] else {
            println!(
                "{name}: pydicom: {}; here: {:?}",
                answer["error"],
                read(path).map(|v| v.len()).map_err(|e| e.cause)
            );
            continue;
        };
        let expected = floats(expected);
        match read(path) {
            Err(error) => failures.push(format!("{name} [{}]: {}", answer["syntax"], error.cause)),
            Ok(found) if found.len() != expected.len() => {
                failures.push(format!("{name}: {} values, pydicom has {}", found.len(), expected.len()));
            }
            Ok(found) => {
                let allowed = ROUNDED.iter().find(|(file, ..)| *file == name).map_or(0.0, |(_, most, _)| *most);
                let differences = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
                let most = differences.clone().fold(0.0, f64::max);
                let count = differences.filter(|d| *d > 0.0).count();
                if most > allowed {
                    let first = found.iter().zip(&expected).find(|(a, b)| a != b);
                    failures.push(format!(
                        "{name} [{}]: {count} of {} values differ, at most by {most}, first {first:?}",
                        answer["syntax"],
                        found.len()
                    ));
                } else {
                    same += 1;
                    *packages.entry(answer["group"].as_str().expect("a package")).or_insert(0) += 1;
                }
            }
        }
    }
    println!("{same} grey images decode to the same values");
    assert!(failures.is_empty(), "{} files differ:\n{}", failures.len(), failures.join("\n"));
    let found: Vec<_> = packages.keys().copied().collect();
    assert_eq!(found, ["nibabel", "pydicom", "pydicom-data", "pynetdicom"], "{packages:?}");
    assert!(same >= 80, "only {same} grey images were found: are the packages complete?");
}

#[test]
fn what_is_not_a_slice_is_an_error_that_says_what_it_is() {
    let out = scratch();
    let answers = oracle("dicom_coverage", &json!({ "out": out.path() }));
    let mut wrong = Vec::new();
    for answer in answers.as_array().expect("a list").iter().filter(|answer| answer["kind"] != "grey") {
        let path = answer["path"].as_str().expect("a path");
        if path.ends_with("emri_small_jpeg_2k_lossless_too_short.dcm") {
            // only the last delimiter is cut off: pydicom then sees no pixels, but all ten frames are there
            assert_eq!(read(path).map(|values| values.len()), Ok(10 * 64 * 64));
            continue;
        }
        match read(path).map_err(|error| error.cause) {
            Err(Cause::NoImage | Cause::NotASlice { .. } | Cause::NotDicom | Cause::Missing { .. }) => {}
            Err(Cause::Truncated { .. } | Cause::Empty | Cause::Syntax { .. }) => {}
            other => wrong.push(format!("{path}: {:?}", other.map(|values| values.len()))),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
