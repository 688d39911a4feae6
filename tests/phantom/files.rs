//! What pydicom, dcm2niix and a ruler find in the files.

use lumbar_phantom::{generate, score_references};
use lumbar_tests::{oracle, scratch};
use serde_json::{Value, json};

use crate::{odd_phantom, plain_config};

/// The tags that survive in the competition's files, in order; two more are optional.
const TAGS: [&str; 27] = [
    "SOPInstanceUID",
    "ContentDate",
    "ContentTime",
    "SeriesDescription",
    "PatientID",
    "SliceThickness",
    "SpacingBetweenSlices",
    "PatientPosition",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "FrameOfReferenceUID",
    "SliceLocation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "PixelSpacing",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "WindowCenter",
    "WindowWidth",
    "PixelData",
];

#[test]
fn pydicom_reads_every_file_and_finds_what_was_planted_and_nothing_else() {
    let found = oracle("phantom_files", &json!({ "folder": odd_phantom() }));

    assert_eq!(found["warnings"], json!([]));
    let mut with_rescale = TAGS.to_vec();
    with_rescale.splice(26..26, ["RescaleIntercept", "RescaleSlope"]);
    for set in found["tag_sets"].as_array().unwrap() {
        assert!(set[0] == json!(TAGS) || set[0] == json!(with_rescale), "{}", set[0]);
    }
    assert_eq!(found["tag_sets"].as_array().unwrap().len(), 2, "rescale tags are there in some studies only");
    let meta = json!([[["1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.1.2.5"], found["decoded"]]]);
    assert_eq!(found["meta"], meta);
    let largest = found["largest_pixel"].as_f64().unwrap();
    assert!((600.0..4096.0).contains(&largest), "largest pixel {largest}");

    assert!(found["projections"].as_f64().unwrap() > 300.0);
    assert!(found["worst_px"].as_f64().unwrap() < 0.01, "{}", found["worst_px"]);
    assert!(found["worst_slices"].as_f64().unwrap() <= 0.5001, "{}", found["worst_slices"]);
    assert_eq!(found["stray_coordinates"], 0);
    assert!(found["left_right_pairs"].as_f64().unwrap() > 30.0);
    assert_eq!(found["left_at_larger_x"], found["left_right_pairs"]);

    let of_files = [
        "instance_gap",
        "reversed_axial",
        "axial_stacks",
        "flipped_sagittal",
        "split_axial",
        "missing_t1",
        "missing_t2",
        "second_t1",
    ];
    for oddity in of_files {
        assert_eq!(found["found"][oddity], found["planted"][oddity], "{oddity}");
        assert_ne!(found["planted"][oddity], Value::Null, "none planted: {oddity}");
    }
}

#[test]
fn dcm2niix_converts_every_slice() {
    let found = oracle("phantom_dcm2niix", &json!({ "folder": odd_phantom() }));
    assert_eq!(found["files"], found["slices"]);
    // the competition's files do not name their manufacturer either
    for complaint in found["complaints"].as_array().unwrap() {
        assert!(complaint.as_str().unwrap().contains("Unable to determine manufacturer"), "{complaint}");
    }
}

#[test]
fn the_pictures_tell_the_degree_of_disease() {
    const STUDIES: usize = 8;
    let scratch = scratch();
    let folder = scratch.path().join("phantom");
    generate(&plain_config(STUDIES), &folder, &|_| {}).unwrap();
    let found = oracle("phantom_visible", &json!({ "folder": folder }));
    let conditions = found.as_object().unwrap();
    assert_eq!(conditions.len(), 5);
    for (condition, found) in conditions {
        assert_eq!(found["cells"], 5 * STUDIES, "{condition}");
        let correlation = found["rank_correlation"].as_f64().unwrap();
        assert!(correlation < -0.9, "{condition}: {correlation}, narrow means diseased");
        for (other, leak) in found["leaks"].as_object().unwrap() {
            assert!(leak.as_f64().unwrap().abs() < 0.5, "{condition} shows {other}: {leak}");
        }
    }
}

#[test]
fn scikit_learn_agrees_with_the_reference_scores() {
    let folder = odd_phantom();
    let found = oracle("phantom_score", &json!({ "folder": folder }));
    let references = score_references(&folder).unwrap();
    for (name, score) in [("oracle", references.oracle), ("uniform", references.uniform)] {
        let parts = serde_json::to_value(score).unwrap();
        for (part, value) in parts.as_object().unwrap() {
            let theirs = found[name][part].as_f64().unwrap();
            let difference = (value.as_f64().unwrap() - theirs).abs();
            assert!(difference < 1e-9, "{name} {part}: {value} and {theirs}");
        }
    }
}
