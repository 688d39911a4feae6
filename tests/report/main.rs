//! From a trained run's folder to its report.

use dicom_core::{Tag, VR};
use lumbar::anatomy::{Severity, Target};
use lumbar::data::manifest::Manifest;
use lumbar::data::study::Study;
use lumbar::data::{DataSplit, StudyId};
use lumbar::metric::read_predictions;
use lumbar::report::{PAGE_BYTES, Report, ReportConfig, cell_cam};
use lumbar::run::{Run, RunConfig};
use lumbar::tasks::Preset;
use lumbar::train::observer::{Silent, StopToken};
use lumbar_phantom::PhantomConfig;
use lumbar_tests::scratch;
use tch::Device;

fn settings(preset: Preset, more: &[(&str, &str)]) -> RunConfig {
    let mut config = RunConfig::preset(preset);
    for (field, value) in [("folds.count", "2"), ("train.epochs", "1"), ("train.batch_size", "2")].iter().chain(more) {
        config.set(field, value).unwrap();
    }
    config
}

#[test]
fn a_run_becomes_one_page_with_images_and_without_paths() {
    let folder = scratch();
    let (data, place) = (folder.path().join("data"), folder.path().join("run"));
    let phantom =
        PhantomConfig { studies: 8, test_studies: 1, ..PhantomConfig::preset(lumbar_phantom::PhantomPreset::Tiny) };
    lumbar_phantom::generate(&phantom, &data, &|_| {}).unwrap();
    let manifest = Manifest::read(&data).unwrap();
    let small = [("task.crops.source.crop", "{ width_px = 32, height_px = 32, slices = 3 }")];
    let run = Run::create(&place, &settings(Preset::Crops, &small), &manifest).unwrap();
    let mut config = ReportConfig { worst: 2, ..ReportConfig::default() };
    config.bootstrap.replicates = 200;
    let report = |manifest, oracle| Report::of_run(&run, manifest, oracle, &config, Device::Cpu);

    let nothing = report(None, None).unwrap_err().to_string();
    assert!(nothing.contains("0, 1"), "{nothing}");

    // one fold of two, without the data
    run.fit(Some(0), Device::Cpu, &StopToken::new(), &mut Silent).unwrap();
    let half = report(None, None).unwrap();
    assert_eq!(half.labels.studies(), half.predictions.studies());
    assert!(half.labels.len() < 8 && half.notes[0].contains("Of 2 folds, [1] are not trained"), "{:?}", half.notes);
    assert!(half.worst.iter().all(|case| case.image.is_none() && case.remark.contains("data set was not given")));
    half.html().unwrap();

    // all, with data and oracle
    run.fit(None, Device::Cpu, &StopToken::new(), &mut Silent).unwrap();
    let oracle = read_predictions(&data.join("truth/oracle.csv")).unwrap();
    let whole = report(Some(&manifest), Some(&oracle)).unwrap();
    assert!(whole.notes.is_empty() && whole.labels.len() == 8 && whole.baselines.len() == 4);
    assert!(whole.worst.len() >= 2 && whole.worst.iter().any(|case| case.image.is_some()));
    let page = whole.html().unwrap();
    assert!(page.contains("oracle") && page.contains("temperature-scaled") && page.contains("data:image/png"));
    assert!(!page.contains(&*folder.path().to_string_lossy()), "a path of this machine");
    // what can be scrolled: the annotated targets of the first cases, with one script for all of them
    let views = whole.worst.iter().filter(|case| case.view.is_some()).count();
    assert!(views > 0 && page.matches("class=\"lumbar-view\"").count() == views, "{views} views");
    assert!(page.matches("<script>").count() == 1 && page.len() <= PAGE_BYTES, "{} bytes", page.len());
    for case in whole.worst.iter().filter(|case| case.view.is_none()) {
        assert!(case.image.is_none() || case.remark.contains("No linked planes: "), "{}", case.remark);
    }
    for record in manifest.of(DataSplit::Train) {
        assert!(!page.contains(&record.id.to_string()), "the number of study {}", record.id);
        for series in Study::open(record).unwrap().series {
            let uid = series.data.frame_of_reference;
            assert!(uid.is_none_or(|uid| !page.contains(&uid.to_string())), "a UID of study {}", record.id);
        }
    }

    // a study whose file says that its pixels may show a name
    let shown = whole.worst.iter().filter(|case| case.image.is_some()).map(|case| case.cell.study);
    let flagged: Vec<StudyId> = shown.take(1).collect();
    let study = manifest.of(DataSplit::Train).find(|record| record.id == flagged[0]).unwrap();
    let file = &Study::open(study).unwrap().series[0].data.stacks[0].slices[0];
    let path = file.path().unwrap();
    let mut object = dicom_object::open_file(path).unwrap();
    object.put_str(Tag(0x0028, 0x0301), VR::CS, "YES");
    object.write_to_file(path).unwrap();
    let careful = report(Some(&manifest), Some(&oracle)).unwrap();
    for (case, before) in careful.worst.iter().zip(&whole.worst) {
        assert_eq!(case.cell, before.cell);
        let is_flagged = flagged.contains(&case.cell.study);
        assert_eq!(case.image.is_some(), before.image.is_some() && !is_flagged, "study {}", case.cell.study);
        assert_eq!(case.view.is_some(), before.view.is_some() && !is_flagged, "study {}", case.cell.study);
        assert_eq!(case.remark.contains("may show a name (BurnedInAnnotation)"), is_flagged);
    }
    assert!(careful.html().unwrap().contains("may show a name (BurnedInAnnotation)"));
    assert!(Study::open(study).unwrap().has_burned_in_annotation());

    // the fold that was not trained on the study explains it
    let record = manifest.of(DataSplit::Train).find(|record| !record.points.is_empty()).unwrap();
    let target = record.points[0].target;
    let cam = cell_cam(&run, record, target, Severity::Severe, Device::Cpu).unwrap().unwrap();
    assert_eq!(cam.slices.dim(), (3, 32, 32));
    let unmarked = Target::ALL.into_iter().find(|target| record.points.iter().all(|point| point.target != *target));
    if let Some(target) = unmarked {
        assert!(cell_cam(&run, record, target, Severity::Severe, Device::Cpu).unwrap().is_none());
    }
}

#[test]
fn a_whole_study_is_explained_in_the_plane_of_its_target() {
    let folder = scratch();
    let (data, place) = (folder.path().join("data"), folder.path().join("run"));
    let phantom =
        PhantomConfig { studies: 4, test_studies: 0, ..PhantomConfig::preset(lumbar_phantom::PhantomPreset::Tiny) };
    lumbar_phantom::generate(&phantom, &data, &|_| {}).unwrap();
    let manifest = Manifest::read(&data).unwrap();
    let small = [
        ("task.whole_study.source.channels.size_px", "48"),
        ("task.whole_study.spine.sagittal_t1_slices", "2"),
        ("task.whole_study.spine.sagittal_t2_slices", "3"),
        ("task.whole_study.spine.axial_t2_slices", "4"),
    ];
    let run = Run::create(&place, &settings(Preset::Channels, &small), &manifest).unwrap();
    run.fit(None, Device::Cpu, &StopToken::new(), &mut Silent).unwrap();
    let record = manifest.of(DataSplit::Train).next().unwrap();
    for (target, slices) in [(0, 3), (5, 2), (15, 4)] {
        let cam = cell_cam(&run, record, Target::ALL[target], Severity::Moderate, Device::Cpu).unwrap().unwrap();
        assert_eq!(cam.slices.dim(), (slices, 48, 48));
        assert!(!cam.is_mirrored);
    }
}
