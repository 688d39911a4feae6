//! What dcm2niix merges and the reader keeps apart.

use lumbar_dicom::{ReadOptions, read_series};
use lumbar_tests::{oracle, scratch};
use serde_json::json;

fn distance_mm(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn scouts_at_right_angles_stay_apart_where_dcm2niix_stacks_them() {
    let scratch = scratch();
    let folders = oracle("dicom_series", &json!({ "task": "folders", "out": scratch.path() }));
    let folder = format!("{}/98892001/CT2N", folders["dicomdirtests"].as_str().expect("a folder"));
    let series = read_series(&*folder, &ReadOptions::default(), &()).unwrap_or_else(|error| panic!("{error}"));
    let [sagittal, coronal] = series.stacks.as_slice() else { panic!("{series}") };
    let [a, b] = [sagittal, coronal].map(|stack| stack.geometry().expect("a geometry"));
    let cosine: f64 = (0..3).map(|k| a.normal()[k] * b.normal()[k]).sum();
    assert!(cosine.abs() < 1e-9, "the scouts are at right angles: {cosine}");

    let peer = oracle("dicom_dcm2niix", &json!({ "folder": folder }));
    let volumes = peer["volumes"].as_array().expect("a list");
    assert_eq!(volumes.len(), 1, "dcm2niix has learned to tell scouts apart: {peer}");
    assert_eq!(volumes[0]["shape"], json!([16, 16, 2]));
    assert!(peer["says"].to_string().contains("gantry tilt of 45 degrees"), "{}", peer["says"]);

    // so no slice of its volume is where the files put the scouts
    let theirs = |column: f64, row: f64, slice: f64| -> [f64; 3] {
        std::array::from_fn(|k| {
            let m = |j: usize| volumes[0]["affine"][k][j].as_f64().expect("a matrix");
            let ras = m(0) * column + m(1) * row + m(2) * slice + m(3);
            if k < 2 { -ras } else { ras }
        })
    };
    let corners = [(0.0, 0.0), (15.0, 0.0), (0.0, 15.0), (15.0, 15.0)];
    for scout in [a, b] {
        for slice in [0.0, 1.0] {
            let nearest = |at: [f64; 3]| {
                let them = corners.iter().map(|&(column, row)| distance_mm(at, theirs(column, row, slice)));
                them.fold(f64::INFINITY, f64::min)
            };
            let farthest = corners.iter().map(|&(column, row)| nearest(scout.patient_at(column, row)));
            assert!(farthest.fold(0.0, f64::max) > 100.0, "{:?} is slice {slice} of dcm2niix", scout.plane());
        }
    }
}
