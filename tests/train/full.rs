//! Runs with a localiser: from bare DICOM to grades.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use lumbar::anatomy::{Condition, ConditionGroup, Level, Target};
use lumbar::data::found_points::PointOrigin;
use lumbar::data::manifest::{Manifest, StudyRecord};
use lumbar::data::point_table::{POINT_TABLE_HEADER, write_point_table};
use lumbar::data::{DataSplit, StudyId};
use lumbar::metric::PredictionTable;
use lumbar::model::{Architecture, Backbone, BackboneConfig, HubCache, Module as _, weights};
use lumbar::predict::Predictions;
use lumbar::run::{Fitted, Run, RunConfig, RunError};
use lumbar::tasks::Preset;
use lumbar::train::observer::{Event, Silent, StopToken};
use lumbar_dicom::Slice;
use lumbar_tests::{oracle, scratch};
use serde_json::json;
use tch::Device;
use tempfile::TempDir;

use crate::exact::exact_points;
use crate::headers::{IMAGE_POSITION_PATIENT, change};
use crate::small::alone;
use crate::studies::phantom;

fn config() -> RunConfig {
    let mut config = RunConfig::preset(Preset::Full);
    for (field, value) in [
        ("folds.count", "2"),
        ("train.epochs", "1"),
        ("train.batch_size", "2"),
        ("task.crops.source.crop.width_px", "24"),
        ("task.crops.source.crop.height_px", "24"),
        ("locate.train.epochs", "2"),
        ("locate.train.batch_size", "2"),
        ("locate.task.source.pixel_mm", "4"),
        ("locate.task.source.width_px", "64"),
        ("locate.task.source.height_px", "80"),
    ] {
        config.set(field, value).unwrap_or_else(|error| panic!("{field}: {error}"));
    }
    config
}

fn created(folder: &Path) -> Run {
    Run::create(folder, &config(), &Manifest::read(phantom()).unwrap()).unwrap()
}

fn fit(run: &Run, fold: Option<usize>) -> Fitted {
    run.fit(fold, Device::Cpu, &StopToken::new(), &mut Silent).unwrap()
}

/// The files that must not depend on how a run was interrupted.
fn results(folder: &Path) -> Vec<Vec<u8>> {
    ["points.csv", "reliability.json", "out_of_fold.csv", "temperature.toml", "locate/out_of_fold.csv"]
        .map(|name| fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}")))
        .into()
}

#[test]
fn a_full_run_is_the_same_after_a_stop_and_with_a_fold_at_a_time() {
    let _turn = alone();
    let [whole, stopped, by_fold] = [scratch(), scratch(), scratch()];
    let run = created(whole.path());
    let mut stages = Vec::new();
    let mut observer = |event: &Event| match event {
        Event::StageStarted { stage } => stages.push((*stage).to_owned()),
        Event::FoldEnded { fold, .. } => stages.push(fold.to_string()),
        _ => {}
    };
    let outcome = run.fit(None, Device::Cpu, &StopToken::new(), &mut observer).unwrap();
    assert_eq!(outcome, Fitted::Complete);
    assert_eq!(stages, ["localiser", "0", "1", "grader", "0", "1"]);

    // stopped in the middle of the localiser's second fold, then in the middle of the grader's first
    let run = created(stopped.path());
    for stage in ["localiser", "grader"] {
        let (stop, mut now) = (StopToken::new(), String::new());
        let mut observer = |event: &Event| match event {
            Event::StageStarted { stage } => now = (*stage).to_owned(),
            Event::FoldStarted { fold, .. } => now = format!("{} {fold}", now.split(' ').next().unwrap_or_default()),
            Event::Step { step: 1, .. } if now == format!("{stage} {}", usize::from(stage == "localiser")) => {
                stop.stop()
            }
            _ => {}
        };
        assert_eq!(run.fit(None, Device::Cpu, &stop, &mut observer).unwrap(), Fitted::Stopped);
    }
    assert!(!stopped.path().join("temperature.toml").exists());
    assert_eq!(
        fit(&Run::create(stopped.path(), &config(), &Manifest::read(phantom()).unwrap()).unwrap(), None),
        Fitted::Complete
    );
    assert_eq!(results(stopped.path()), results(whole.path()));

    let run = created(by_fold.path());
    assert_eq!(fit(&run, Some(1)), Fitted::Partly);
    assert_eq!(run.missing_folds(), [0]);
    assert!(!by_fold.path().join("points.csv").exists());
    assert_eq!(fit(&run, Some(0)), Fitted::Complete);
    assert_eq!(results(by_fold.path()), results(whole.path()));

    // the localiser's run is one of its own
    let localiser = Run::open(&whole.path().join("locate")).unwrap();
    assert_eq!(localiser.config().task.name(), "locate");
    let mut other = config();
    other.set("locate.train.epochs", "3").unwrap();
    let error = Run::create(whole.path(), &other, &Manifest::read(phantom()).unwrap()).unwrap_err().to_string();
    assert!(error.contains("locate.train.epochs is 2 there and 3 here"), "{error}");
    check_points(&Run::open(whole.path()).unwrap());
    predicts_studies_with_every_fault(&Run::open(whole.path()).unwrap());
}

fn check_points(run: &Run) {
    let points = run.points().unwrap();
    let annotated = run.annotated_points().unwrap();
    assert_eq!((points.len(), annotated.len()), (8, 8));
    assert!(annotated.iter().flat_map(|(_, points)| points).flatten().count() > 8 * 15);
    let graded = run.out_of_fold().unwrap();
    assert_eq!(graded.len(), 8);
    for (study, row) in points.iter() {
        for (target, point) in Target::ALL.into_iter().zip(row) {
            let Some(point) = point else { continue };
            let is_recess = target.condition.group() == ConditionGroup::Subarticular;
            assert_eq!(point.origin, if is_recess { PointOrigin::FromSagittal } else { PointOrigin::Sagittal });
            assert!((0.0..=1.0).contains(&point.reliability), "study {study}, {target}");
        }
    }
    for cell in graded.iter().flat_map(|(_, row)| row) {
        assert!((cell.iter().sum::<f64>() - 1.0).abs() < 1e-6);
    }
}

/// A data set with one test study, changed by `change` in its folder, its table of series given by `table`.
fn altered(change: impl Fn(&Path, &mut Vec<(String, String)>)) -> (TempDir, StudyId) {
    let from = Manifest::read(phantom()).unwrap();
    let study = from.of(DataSplit::Test).next().unwrap();
    let folder = scratch();
    let place = folder.path().join("test_images").join(study.id.to_string());
    let mut table = Vec::new();
    for series in &study.series {
        let to = place.join(series.id.to_string());
        fs::create_dir_all(&to).unwrap();
        for file in &series.files {
            fs::copy(&file.path, to.join(format!("{}.dcm", file.instance))).unwrap();
        }
        table.push((series.id.to_string(), series.kind.map_or_else(String::new, |kind| kind.title().to_owned())));
    }
    change(&place, &mut table);
    let mut text = "study_id,series_id,series_description\n".to_owned();
    table.iter().for_each(|(series, kind)| text.push_str(&format!("{},{series},{kind}\n", study.id)));
    fs::write(folder.path().join("test_series_descriptions.csv"), text).unwrap();
    (folder, study.id)
}

/// Predictions of the altered study: 25 valid rows.
fn predicted(run: &Run, name: &str, folder: &Path, study: StudyId) -> (Predictions, String) {
    let manifest = Manifest::read(folder).unwrap_or_else(|error| panic!("{name}: {error}"));
    let records: Vec<&StudyRecord> = manifest.of(DataSplit::Test).collect();
    let mut told = Vec::new();
    let predictions = run.predict(&records, Device::Cpu, &mut |done, total| told.push((done, total))).unwrap();
    assert_eq!(told.last(), Some(&(1, 1)), "{name}");
    let row = predictions.table.get(study).unwrap_or_else(|| panic!("{name}: no rows"));
    for cell in row {
        assert!(cell.iter().all(|value| value.is_finite() && *value >= 0.0), "{name}: {cell:?}");
        assert!((cell.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{name}: {cell:?}");
    }
    let words = predictions.warnings.iter().flat_map(|study| study.warnings.clone()).collect::<Vec<_>>().join("\n");
    (predictions, words)
}

/// Whether the rows of a condition group are the prior.
fn is_prior(run: &Run, table: &PredictionTable, study: StudyId, group: ConditionGroup) -> bool {
    let row = table.get(study).unwrap();
    Target::ALL.into_iter().filter(|target| target.condition.group() == group).all(|target| {
        let (own, prior) = (row[target.index()], run.prior().rows()[target.index()]);
        own.iter().zip(prior).all(|(own, prior)| (own - prior).abs() < 1e-12)
    })
}

/// Folders of the series of a kind.
fn of_kind(place: &Path, table: &[(String, String)], kind: &str) -> Vec<PathBuf> {
    table.iter().filter(|(_, own)| own == kind).map(|(series, _)| place.join(series)).collect()
}

fn removed(kind: &'static str) -> impl Fn(&Path, &mut Vec<(String, String)>) {
    move |place, table| {
        of_kind(place, table, kind).iter().for_each(|folder| fs::remove_dir_all(folder).unwrap());
        table.retain(|(_, own)| own != kind);
    }
}

fn predicts_studies_with_every_fault(run: &Run) {
    use ConditionGroup::{Foraminal, Spinal, Subarticular};

    // as the competition's test study: no labels, no coordinates
    let (folder, study) = altered(|_, _| {});
    let (whole, words) = predicted(run, "whole", folder.path(), study);
    assert!(!words.contains("no usable"), "{words}");
    let manifest = Manifest::read(folder.path()).unwrap();
    let records: Vec<&StudyRecord> = manifest.studies().iter().collect();
    let located = run.locate(&records, Device::Cpu, &mut |_, _| {}).unwrap();
    let table = folder.path().join("points.csv");
    write_point_table(&table, &records, &located.points).unwrap();
    let text = fs::read_to_string(&table).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines[0], lines.len()), (POINT_TABLE_HEADER, 26));
    let cells: BTreeSet<usize> = lines.iter().map(|line| line.split(',').count()).collect();
    assert_eq!(cells, BTreeSet::from([11]));
    assert!(lines[1].starts_with(&format!("{study},Spinal Canal Stenosis,L1/L2,")), "{}", lines[1]);

    // upside-down slice order: files renamed from last to first
    let (folder, _) = altered(|place, table| {
        for (series, _) in table {
            let folder = place.join(series);
            let mut names: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            names.sort();
            let turned: Vec<Vec<u8>> = names.iter().rev().map(|path| fs::read(path).unwrap()).collect();
            names.iter().zip(turned).for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
        }
    });
    let (turned, _) = predicted(run, "upside down", folder.path(), study);
    assert_eq!(turned.table, whole.table);

    let (folder, _) = altered(removed("Axial T2"));
    let (predictions, words) = predicted(run, "without axial series", folder.path(), study);
    assert!(words.contains("there is no usable Axial T2 series"), "{words}");
    assert!(
        words.contains("Left Subarticular Stenosis: no point was found at L1/L2, L2/L3, L3/L4, L4/L5, L5/S1"),
        "{words}"
    );
    assert!(is_prior(run, &predictions.table, study, Subarticular));
    assert!(predictions.warnings[0].from_prior >= 10);

    let (folder, _) = altered(removed("Sagittal T2/STIR"));
    let (predictions, words) = predicted(run, "without T2", folder.path(), study);
    assert!(words.contains("there is no usable Sagittal T2/STIR series"), "{words}");
    assert!(is_prior(run, &predictions.table, study, Spinal));

    let (folder, _) = altered(|place, table| {
        removed("Sagittal T2/STIR")(place, table);
        removed("Sagittal T1")(place, table);
    });
    let (predictions, words) = predicted(run, "without sagittal series", folder.path(), study);
    assert!(words.contains("Spinal Canal Stenosis: no point was found"), "{words}");
    assert!([Spinal, Foraminal, Subarticular].into_iter().all(|group| is_prior(run, &predictions.table, study, group)));
    assert_eq!(predictions.warnings[0].from_prior, 25);

    // the images say what a series is that the table does not name as expected
    let (folder, _) = altered(|_, table| {
        table.iter_mut().filter(|(_, kind)| kind == "Axial T2").for_each(|(_, kind)| *kind = "AX T2 FSE".to_owned());
    });
    let (unknown, words) = predicted(run, "unknown description", folder.path(), study);
    assert!(words.contains("is taken as Axial T2 by its images"), "{words}");
    assert_eq!(unknown.table, whole.table);

    let (folder, _) = altered(|place, table| {
        for folder in of_kind(place, table, "Sagittal T1") {
            fs::remove_dir_all(&folder).unwrap();
            fs::create_dir_all(&folder).unwrap();
        }
    });
    let (predictions, words) = predicted(run, "empty series", folder.path(), study);
    assert!(words.contains("there is no usable Sagittal T1 series"), "{words}");
    assert!(is_prior(run, &predictions.table, study, Foraminal));

    axial_slices_of_two_levels(run, study);
    another_body_part_in_place_of_t2(run, study);
    files_of_other_body_parts(run);
}

/// The slices of the other levels are missing: these are not graded on an edge slice.
fn axial_slices_of_two_levels(run: &Run, study: StudyId) {
    let exact = exact_points(&phantom());
    let points = *exact.get(study).unwrap();
    let covered = [Level::L3L4, Level::L4L5];
    let recesses = [Condition::LeftSubarticularStenosis, Condition::RightSubarticularStenosis];
    let (folder, _) = altered(|place, table| {
        for folder in of_kind(place, table, "Axial T2") {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let geometry = Slice::read(&path).unwrap().geometry.unwrap();
                let is_near = covered.iter().any(|level| {
                    let point = points[Target::new(recesses[0], *level).index()].unwrap();
                    geometry.project(point.position_mm).distance_mm.abs() <= 8.0
                });
                if !is_near {
                    fs::remove_file(&path).unwrap();
                }
            }
        }
    });
    let (_, words) = predicted(run, "two levels", folder.path(), study);
    assert!(words.contains("Left Subarticular Stenosis: no point was found at L1/L2"), "{words}");

    // at exact points: each level is graded if slices cover it, and is the prior if none does
    let manifest = Manifest::read(folder.path()).unwrap();
    let records: Vec<&StudyRecord> = manifest.studies().iter().collect();
    let predictions = run.predict_at(&[0, 1], &records, &exact, Device::Cpu).unwrap();
    let row = predictions.table.get(study).unwrap();
    for (condition, level) in recesses.iter().flat_map(|condition| Level::ALL.map(|level| (*condition, level))) {
        let target = Target::new(condition, level);
        let (own, prior) = (row[target.index()], run.prior().rows()[target.index()]);
        let is_prior = own.iter().zip(prior).all(|(own, prior)| (own - prior).abs() < 1e-12);
        assert_eq!(is_prior, !covered.contains(&level), "{target}: {own:?} {prior:?}");
    }
    assert_eq!(predictions.warnings[0].from_prior, 6);
    let words = predictions.warnings[0].warnings.join("\n");
    let levels = "at L1/L2, L2/L3, L5/S1";
    let expected = format!("Left Subarticular Stenosis {levels} and Right Subarticular Stenosis {levels}");
    assert!(words.contains(&format!("no Axial T2 slice covers the points of {expected}")), "{words}");
}

/// The sagittal T2 series is half a metre higher: points of T1 are on none of its slices.
fn another_body_part_in_place_of_t2(run: &Run, study: StudyId) {
    let (folder, _) = altered(|place, table| {
        for folder in of_kind(place, table, "Sagittal T2/STIR") {
            change(&folder, IMAGE_POSITION_PATIENT, &|axis, mm| if axis == 2 { mm + 500.0 } else { mm });
        }
    });
    predicted(run, "another body part in place of T2", folder.path(), study);
    let manifest = Manifest::read(folder.path()).unwrap();
    let records: Vec<&StudyRecord> = manifest.studies().iter().collect();
    let predictions = run.predict_at(&[0, 1], &records, &exact_points(&phantom()), Device::Cpu).unwrap();
    assert!(is_prior(run, &predictions.table, study, ConditionGroup::Spinal));
    assert!(!is_prior(run, &predictions.table, study, ConditionGroup::Foraminal));
    let words = predictions.warnings[0].warnings.join("\n");
    let levels = "L1/L2, L2/L3, L3/L4, L4/L5, L5/S1";
    let expected = format!("no Sagittal T2/STIR slice covers the points of Spinal Canal Stenosis at {levels}");
    assert!(words.contains(&expected), "{words}");
    assert!(!words.contains("Foraminal"), "{words}");
}

/// Series of a carotid, a head and other parts in place of a lumbar spine.
fn files_of_other_body_parts(run: &Run) {
    let folder = scratch();
    oracle("data_real", &json!({"out": folder.path()}));
    let manifest = Manifest::read(folder.path()).unwrap();
    let records: Vec<&StudyRecord> = manifest.of(DataSplit::Train).collect();
    let located = run.locate(&records, Device::Cpu, &mut |_, _| {}).unwrap();
    let predictions = run.predict(&records, Device::Cpu, &mut |_, _| {}).unwrap();
    assert_eq!(predictions.table.len(), 2);
    for (study, row) in predictions.table.iter() {
        let points = located.points.get(study).unwrap();
        for (target, cell) in Target::ALL.into_iter().zip(row) {
            assert!(cell.iter().all(|value| value.is_finite() && *value >= 0.0), "{study}, {target}: {cell:?}");
            assert!((cell.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{study}, {target}: {cell:?}");
            let prior = run.prior().rows()[target.index()];
            if points[target.index()].is_none() {
                assert!(cell.iter().zip(prior).all(|(own, prior)| (own - prior).abs() < 1e-12), "{study}, {target}");
            }
        }
        let told = predictions.warnings.iter().find(|warnings| warnings.study == study).unwrap();
        let words = told.warnings.join("\n");
        let about_points = ["no point was found at", "are uncertain", "mm apart on average"];
        assert!(about_points.iter().any(|phrase| words.contains(phrase)), "{study}: {words}");
        assert!(told.from_prior > 0, "{study}: {words}");
    }
}

#[test]
fn the_preset_for_the_competition_runs_to_its_end_with_small_numbers() {
    let _turn = alone();
    let folder = scratch();
    let init = folder.path().join("backbone.safetensors");
    let backbone = BackboneConfig { num_classes: 0, ..BackboneConfig::new(Architecture::ResNet10d025) };
    weights::save(Backbone::new(&backbone, 3, Device::Cpu).unwrap().registry(), &init).unwrap();
    let mut config = RunConfig::preset(Preset::Real);
    // what is not default in it stays: bf16, average of the weights, cutmix, learning rate by layer, init
    assert_eq!((config.train.ema_decay, config.train.optimizer.layer_decay), (0.998, 0.8));
    let init = format!("{{ file = {:?} }}", init.display().to_string());
    for (field, value) in [
        ("folds.count", "2"),
        ("train.epochs", "1"),
        ("train.batch_size", "2"),
        ("task.crops.init", init.as_str()),
        ("task.crops.level.architecture", "resnet10d_025"),
        ("task.crops.source.crop.width_px", "24"),
        ("task.crops.source.crop.height_px", "24"),
        ("locate.train.epochs", "1"),
        ("locate.task.source.pixel_mm", "4"),
        ("locate.task.source.width_px", "64"),
        ("locate.task.source.height_px", "80"),
    ] {
        config.set(field, value).unwrap_or_else(|error| panic!("{field}: {error}"));
    }
    let run = Run::create(&folder.path().join("run"), &config, &Manifest::read(phantom()).unwrap()).unwrap();
    assert_eq!(fit(&run, None), Fitted::Complete);
    assert_eq!(run.out_of_fold().unwrap().len(), 8);
    assert!(run.folder().join("init.json").exists());

    // without the backbone's file nothing is trained, and the error names the repository
    let config = RunConfig::preset(Preset::Real);
    let run = Run::create(&folder.path().join("hub"), &config, &Manifest::read(phantom()).unwrap()).unwrap();
    let run = run.with_hub(HubCache::from_variables(|name| (name == "HF_HUB_CACHE").then(|| folder.path().into())));
    let error = run.fit(Some(0), Device::Cpu, &StopToken::new(), &mut Silent).unwrap_err().to_string();
    assert!(error.contains("timm/convnext_nano.in12k_ft_in1k"), "{error}");
}

#[test]
fn a_localiser_is_refused_where_it_is_of_no_use_and_missed_where_it_is_needed() {
    let mut config = RunConfig::preset(Preset::Channels);
    let error = config.set("locate.train.epochs", "3").unwrap_err().to_string();
    assert!(error.contains("whole_study does not look at points"), "{error}");
    assert_eq!(
        RunConfig::from_toml(&RunConfig::preset(Preset::Full).to_toml().unwrap(), "full").unwrap(),
        RunConfig::preset(Preset::Full)
    );
    assert!(!RunConfig::preset(Preset::Crops).to_toml().unwrap().contains("locate"));

    let folder = scratch();
    let mut config = RunConfig::preset(Preset::Crops);
    config.set("folds.count", "2").unwrap();
    let run = Run::create(folder.path(), &config, &Manifest::read(phantom()).unwrap()).unwrap();
    let error = run.locate(&[], Device::Cpu, &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, RunError::NoLocaliser { .. }) && error.to_string().contains("--preset full"), "{error}");
}
