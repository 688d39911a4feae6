//! Studies that differ from those of a phantom, and another phantom's, which do not.

use std::sync::Arc;

use lumbar::data::DataSplit;
use lumbar::data::domain::{DomainSummary, StudyMeasures};
use lumbar::data::manifest::Manifest;
use lumbar::data::study::Study;
use lumbar_dicom::{Pixels, Slice, Stack};
use lumbar_phantom::{PhantomConfig, PhantomPreset};
use lumbar_tests::scratch;

/// The studies of a phantom.
fn studies(seed: u64, count: usize) -> Vec<Study> {
    let folder = scratch();
    let config = PhantomConfig { studies: count, test_studies: 0, seed, ..PhantomConfig::preset(PhantomPreset::Tiny) };
    lumbar_phantom::generate(&config, folder.path(), &|_| ()).unwrap();
    let manifest = Manifest::read(folder.path()).unwrap();
    manifest.of(DataSplit::Train).map(|record| Study::open(record).unwrap().load().unwrap()).collect()
}

/// The study with every `step`th slice, every `pixel_step`th pixel, and other grey values.
fn changed(study: &Study, step: usize, pixel_step: usize, grey: &dyn Fn(f32) -> f32) -> Study {
    let mut study = study.clone();
    for stack in study.series.iter_mut().flat_map(|series| &mut series.data.stacks) {
        let slices = stack.slices.iter().step_by(step).map(|slice| {
            let values = slice.rescaled().unwrap();
            let rows = (0..slice.rows).step_by(pixel_step);
            let at = rows.flat_map(|row| (0..slice.columns).step_by(pixel_step).map(move |column| (row, column)));
            let pixels: Vec<f32> = at.map(|(row, column)| grey(values[row * slice.columns + column])).collect();
            let geometry = slice.geometry.map(|it| it.window(0.0, 0.0, pixel_step as f64, pixel_step as f64));
            let (rows, columns) = (slice.rows.div_ceil(pixel_step), slice.columns.div_ceil(pixel_step));
            Slice::in_memory(rows, columns, Pixels::F32(Arc::new(pixels)), geometry, slice.instance_number).unwrap()
        });
        *stack = Stack::new(slices.collect());
    }
    study
}

#[test]
fn changed_studies_are_reported_and_those_of_another_seed_are_not() {
    let training: Vec<StudyMeasures> = studies(5, 30).iter().map(StudyMeasures::of).collect();
    let summary = DomainSummary::fit(&training);
    assert_eq!(summary.studies, 30);
    let outside = |study: &Study| -> Vec<String> {
        summary.differences(&StudyMeasures::of(study)).iter().map(ToString::to_string).collect()
    };
    let own = training.iter().filter(|study| !summary.differences(study).is_empty()).count();
    assert!(own <= 1, "{own} of 30 training studies are outside");

    let others = studies(6, 24);
    let far: Vec<Vec<String>> = others.iter().map(outside).filter(|words| !words.is_empty()).collect();
    assert!(far.len() <= 1, "{} of 24 studies of another seed are outside: {far:?}", far.len());

    for study in others.iter().take(4) {
        let unchanged = outside(study);
        let all = |study: &Study, words: &str| {
            let found = outside(study);
            assert!(found.iter().any(|sentence| sentence.contains(words)), "{found:?} lacks {words:?}");
            assert!(found.len() > unchanged.len());
        };
        all(&changed(study, 2, 1, &|grey| grey), "slices are");
        all(&changed(study, 1, 2, &|grey| grey), "pixels are");
        all(&changed(study, 1, 2, &|grey| grey), "pixels a side");
        all(&changed(study, 1, 1, &|grey| -grey), "a quarter of the pixels are darker than");
    }
}
