//! Runs through the library: one folder from config and data to predictions.

use std::fs;
use std::sync::Arc;

use lumbar::anatomy::Target;
use lumbar::data::DataSplit;
use lumbar::data::loader::Plan;
use lumbar::data::manifest::{Manifest, StudyRecord};
use lumbar::metric::PredictionTable;
use lumbar::run::{Fitted, Run, RunConfig, RunError};
use lumbar::tasks::crops::CropsTask;
use lumbar::tasks::grading::{Grading, mean_with_mirrored};
use lumbar::tasks::whole_study::WholeStudyTask;
use lumbar::tasks::{Preset, Task as _};
use lumbar::train::TrainError;
use lumbar::train::network::{Mode, Network as _};
use lumbar::train::observer::{Event, Silent, StopToken};
use lumbar_phantom::{PhantomConfig, PhantomPreset};
use lumbar_tests::scratch;
use tch::Device;

use crate::small::{alone, batches};
use crate::studies::phantom;

fn config(preset: Preset) -> RunConfig {
    let mut config = RunConfig::preset(preset);
    let mut set = |field: &str, value: &str| config.set(field, value).unwrap();
    set("folds.count", "2");
    set("train.epochs", "2");
    set("train.batch_size", "2");
    match preset {
        Preset::Channels => {
            set("task.whole_study.source.channels.size_px", "32");
            for plane in ["sagittal_t1_slices", "sagittal_t2_slices", "axial_t2_slices"] {
                set(&format!("task.whole_study.spine.{plane}"), "3");
            }
        }
        Preset::Crops | Preset::Locate | Preset::WholeStudy | Preset::Full | Preset::Real | Preset::Synthetic => {
            set("task.crops.source.crop.width_px", "24");
            set("task.crops.source.crop.height_px", "24");
            set("train.epochs", "1");
        }
    }
    config
}

fn fitted(folder: &std::path::Path, preset: Preset) -> Run {
    let run = Run::create(folder, &config(preset), &Manifest::read(phantom()).unwrap()).unwrap();
    let fitted = run.fit(None, Device::Cpu, &StopToken::new(), &mut Silent).unwrap();
    assert_eq!(fitted, Fitted::Complete);
    run
}

fn distance(one: &PredictionTable, other: &PredictionTable) -> f64 {
    assert_eq!(one.studies(), other.studies());
    let cells = |table: &PredictionTable| table.iter().flat_map(|(_, row)| row.concat()).collect::<Vec<f64>>();
    cells(one).iter().zip(cells(other)).map(|(one, other)| (one - other).abs()).fold(0.0, f64::max)
}

#[test]
fn a_whole_study_run_predicts_from_its_folder_alone_as_its_folds_do() {
    let _turn = alone();
    let folder = scratch();
    let run = fitted(folder.path(), Preset::Channels);
    assert_eq!(run.out_of_fold().unwrap().len(), 8);
    assert!(run.missing_folds().is_empty());
    assert_eq!(run.history(1).unwrap().len(), 2);
    assert_eq!(run.out_of_fold_scaled().unwrap().len(), 8);
    fs::remove_dir_all(folder.path().join("cache")).unwrap();

    let opened = Run::open(folder.path()).unwrap();
    assert_eq!(opened.labels(), run.labels());
    assert_eq!(opened.prior(), run.prior());
    assert_eq!(opened.temperature().unwrap(), run.temperature().unwrap());
    let manifest = Manifest::read(phantom()).unwrap();
    let records: Vec<&StudyRecord> = manifest.studies().iter().take(5).collect();
    let mut told = Vec::new();
    let predictions = opened.predict(&records, Device::Cpu, &mut |done, total| told.push((done, total))).unwrap();
    assert_eq!(told.last(), Some(&(5, 5)));

    // the same by the parts: folds one by one, batch norms as they are
    let task: &WholeStudyTask = opened.config().task.get().unwrap();
    let dataset = Arc::new(task.open(&records, None, &()).unwrap());
    let studies: Vec<_> = records.iter().map(|record| record.id).collect();
    let temperature = opened.temperature().unwrap();
    let mut expected = PredictionTable::new();
    let rows: Vec<Vec<_>> = (0..2)
        .map(|fold| {
            let network = opened.network::<WholeStudyTask>(fold, Device::Cpu).unwrap();
            let rows = |mirrored| {
                let batch = batches(&dataset, Plan { mirrored, ..Plan::in_order(&studies, 5) }).remove(0);
                let output = tch::no_grad(|| network.forward(&batch.inputs, Mode::Eval).unwrap());
                Grading::visible_rows(&output, &batch.truth).unwrap()
            };
            rows(false).iter().zip(rows(true)).map(|(one, other)| mean_with_mirrored(one, &other)).collect()
        })
        .collect();
    for (place, study) in studies.iter().enumerate() {
        let row = Target::ALL.map(|target| {
            let of = |fold: usize| rows[fold][place][target.index()].map(|cell| temperature.scale(target, &cell));
            let prior = opened.prior().rows()[target.index()];
            let (one, other) = (of(0).unwrap_or(prior), of(1).unwrap_or(prior));
            std::array::from_fn(|class| (one[class] + other[class]) / 2.0)
        });
        expected.insert(*study, row).unwrap();
    }
    let off = distance(&predictions.table, &expected);
    assert!(off < 1e-4, "{off}");
    // targets that no image shows come from the prior as it is
    for study in predictions.warnings.iter().filter(|study| study.from_prior > 0) {
        let row = predictions.table.get(study.study).unwrap();
        let same = row
            .iter()
            .zip(opened.prior().rows())
            .filter(|(own, prior)| own.iter().zip(*prior).all(|(own, prior)| (own - prior).abs() < 1e-12));
        assert_eq!(same.count(), study.from_prior);
    }
    let error = opened.fit(None, Device::Cpu, &StopToken::new(), &mut Silent).unwrap_err();
    assert!(matches!(error, RunError::NoData { .. }), "{error}");
    assert!(matches!(opened.network::<CropsTask>(0, Device::Cpu), Err(RunError::OtherTask { .. })));
    assert_eq!(opened.split(2).unwrap_err().to_string(), "there is no fold 2, the folds are 0 to 1");
}

#[test]
fn a_crop_run_predicts_annotated_studies_and_gives_others_the_prior() {
    let _turn = alone();
    let folder = scratch();
    let run = fitted(folder.path(), Preset::Crops);
    let manifest = Manifest::read(phantom()).unwrap();
    let records: Vec<&StudyRecord> =
        manifest.of(DataSplit::Train).take(1).chain(manifest.of(DataSplit::Test)).collect();
    let predictions = run.predict(&records, Device::Cpu, &mut |_, _| {}).unwrap();
    let warnings = predictions.warnings.iter().find(|study| study.study == records[1].id).unwrap();
    assert_eq!(warnings.from_prior, 25);
    let row = predictions.table.get(records[0].id).unwrap();
    assert!(row.iter().zip(run.prior().rows()).any(|(own, prior)| own != prior));
}

#[test]
fn a_run_folder_refuses_another_config_and_other_data() {
    let _turn = alone();
    let folder = scratch();
    let manifest = Manifest::read(phantom()).unwrap();
    let run = Run::create(folder.path(), &config(Preset::Channels), &manifest).unwrap();
    let error = run.predict(&[], Device::Cpu, &mut |_, _| {}).unwrap_err().to_string();
    assert_eq!(error, "folds 0, 1 of 2 have no out-of-fold table yet");
    Run::create(folder.path(), &config(Preset::Channels), &manifest).unwrap();

    let mut other = config(Preset::Channels);
    other.set("train.optimizer.lr", "0.5").unwrap();
    other.set("task.whole_study.source.channels.size_px", "40").unwrap();
    let error = Run::create(folder.path(), &other, &manifest).unwrap_err();
    assert!(matches!(error, RunError::Train(TrainError::OtherConfig { .. })));
    let text = error.to_string();
    assert!(text.contains("task.whole_study.source.channels.size_px is 32 there and 40 here"), "{text}");
    assert!(text.contains("train.optimizer.lr is 0.0005 there and 0.5 here"), "{text}");
    let error = Run::create(folder.path(), &config(Preset::Crops), &manifest).unwrap_err().to_string();
    assert!(error.contains("task is whole_study there and crops here"), "{error}");

    let elsewhere = scratch();
    let drawn = PhantomConfig { studies: 7, test_studies: 0, seed: 5, ..PhantomConfig::preset(PhantomPreset::Tiny) };
    lumbar_phantom::generate(&drawn, elsewhere.path(), &|_| {}).unwrap();
    let others = Manifest::read(elsewhere.path()).unwrap();
    let error = Run::create(folder.path(), &config(Preset::Channels), &others).unwrap_err();
    assert!(matches!(error, RunError::OtherData { .. }));
    let text = error.to_string();
    assert!(text.contains("8 studies there and 7 here") && text.contains("fingerprint"), "{text}");

    let error = Run::open(elsewhere.path()).unwrap_err().to_string();
    assert!(error.ends_with("contains no run: there is no run.toml"), "{error}");
}

#[test]
fn a_run_that_is_asked_to_stop_while_it_decodes_leaves_nothing_half_done() {
    let _turn = alone();
    let folder = scratch();
    let run = Run::create(folder.path(), &config(Preset::Channels), &Manifest::read(phantom()).unwrap()).unwrap();
    let stop = StopToken::new();
    stop.stop();
    assert_eq!(run.fit(None, Device::Cpu, &stop, &mut Silent).unwrap(), Fitted::Stopped);
    assert!(!folder.path().join("cache/whole_study.cache").exists());
    let mut events = Vec::new();
    let mut observer = |event: &Event| events.push(event.clone());
    assert_eq!(run.fit(Some(1), Device::Cpu, &StopToken::new(), &mut observer).unwrap(), Fitted::Partly);
    assert!(events.contains(&Event::Preparing { done: 8, total: 8 }));
    assert_eq!(run.missing_folds(), [0]);
    let log = fs::read_to_string(run.fold_folder(1).join("events.jsonl")).unwrap();
    let steps = log.lines().filter(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["event"] == "step" && line["total_s"].as_f64().unwrap() > 0.0
    });
    assert_eq!(steps.count(), 2 * 2);
}

#[test]
fn a_run_lists_every_broken_file_with_its_reason() {
    let _turn = alone();
    let (data, folder) = (scratch(), scratch());
    let phantom_config = PhantomConfig { studies: 4, test_studies: 0, ..PhantomConfig::preset(PhantomPreset::Tiny) };
    lumbar_phantom::generate(&phantom_config, data.path(), &|_| ()).unwrap();
    let manifest = Manifest::read(data.path()).unwrap();
    let file = |study: usize| {
        let record = &manifest.studies()[study];
        let series = record.series.iter().find(|series| series.files.len() > 2).unwrap();
        (record.id.to_string(), series.files[1].path.clone())
    };
    let [cut, empty] = [file(0), file(1)];
    let bytes = fs::read(&cut.1).unwrap();
    fs::write(&cut.1, &bytes[..bytes.len() / 3]).unwrap();
    fs::write(&empty.1, b"").unwrap();

    let run = Run::create(folder.path(), &config(Preset::Crops), &Manifest::read(data.path()).unwrap()).unwrap();
    assert_eq!(run.fit(Some(0), Device::Cpu, &StopToken::new(), &mut Silent).unwrap(), Fitted::Partly);
    let text = fs::read_to_string(folder.path().join("warnings.jsonl")).unwrap();
    for (study, file) in [cut, empty] {
        let line = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let told = line.into_iter().find(|line| line["study"] == study.as_str()).unwrap();
        let below = file.strip_prefix(data.path()).unwrap().display().to_string();
        assert!(told["warnings"].to_string().contains(&below), "{told} does not name {below}");
        assert!(!told.to_string().contains(&data.path().display().to_string()), "{told}");
    }
}

#[test]
fn settings_are_refused_by_name_with_what_is_allowed() {
    let mut config = RunConfig::preset(Preset::Crops);
    let before = config.clone();
    let mut says = |field: &str, value: &str, words: &[&str]| {
        let error = config.set(field, value).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    says("train.epoch", "3", &["unknown field `epoch`", "expected one of", "epochs"]);
    says("train.epochs", "0", &["epochs is 0, expected a number from 1 to 10000"]);
    says("train.epochs", "many", &["invalid type", "many"]);
    says("folds.count", "1", &["folds.count is 1, expected a number from 2 to 100"]);
    says("train.epochs.more", "1", &["epochs is a value and has no fields"]);
    says("task.crops.source.crop.slices", "4", &["crop.slices is 4, expected an odd number"]);
    says("task.crops.level.architecture", "vgg", &["vgg", "resnet18d"]);
    says("task.segment", "1", &["segment"]);
    assert_eq!(config, before);
    let error = RunConfig::from_toml("[train]\nepochs = 3\n", "mine.toml").unwrap_err().to_string();
    assert!(error.contains("mine.toml") && error.contains("missing field `task`"), "{error}");
    assert_eq!(
        "crop".parse::<Preset>().unwrap_err().to_string(),
        "no preset is called \"crop\", expected one of whole-study, channels, crops, locate, full, real, synthetic"
    );
}
