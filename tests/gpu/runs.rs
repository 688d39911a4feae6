//! Runs on the device, from a phantom's files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use lumbar::data::manifest::{Manifest, StudyRecord};
use lumbar::run::{Fitted, Run, RunConfig};
use lumbar::tasks::Preset;
use lumbar::train::observer::{Event, Silent, StopToken};
use lumbar_phantom::{PhantomConfig, PhantomPreset};
use lumbar_tests::scratch;
use tch::{Device, Tensor};

use crate::device;

fn phantom() -> (tempfile::TempDir, Manifest) {
    let folder = scratch();
    let config = PhantomConfig { studies: 8, test_studies: 1, ..PhantomConfig::preset(PhantomPreset::Tiny) };
    lumbar_phantom::generate(&config, folder.path(), &|_| {}).unwrap();
    let manifest = Manifest::read(folder.path()).unwrap();
    (folder, manifest)
}

/// Two folds of two epochs with dropout, augmentation and a moving average, in mixed precision where `precision` says so.
fn config(preset: Preset, precision: &str) -> RunConfig {
    let mut config = RunConfig::preset(preset);
    let mut set = |field: &str, value: &str| config.set(field, value).unwrap();
    set("folds.count", "2");
    set("train.epochs", "2");
    set("train.batch_size", "2");
    set("train.ema_decay", "0.9");
    set("train.precision", precision);
    set("train.deterministic", "true");
    match preset {
        Preset::Channels => {
            set("task.whole_study.source.channels.size_px", "32");
            for plane in ["sagittal_t1_slices", "sagittal_t2_slices", "axial_t2_slices"] {
                set(&format!("task.whole_study.spine.{plane}"), "3");
            }
        }
        Preset::Crops | Preset::Locate | Preset::WholeStudy | Preset::Full | Preset::Real | Preset::Synthetic => {
            set("task.crops.source.crop.width_px", "32");
            set("task.crops.source.crop.height_px", "32");
        }
    }
    config
}

/// Fits all folds; with `stop_at`, asks to stop after that many steps and then continues.
fn fit(run: &Run, device: Device, stop_at: Option<u64>) {
    if let Some(stop_at) = stop_at {
        let stop = StopToken::new();
        let asked = stop.clone();
        let mut observer = |event: &Event| {
            if matches!(event, Event::Step { step, .. } if *step == stop_at) {
                asked.stop();
            }
        };
        assert_eq!(run.fit(None, device, &stop, &mut observer).unwrap(), Fitted::Stopped);
    }
    assert_eq!(run.fit(None, device, &StopToken::new(), &mut Silent).unwrap(), Fitted::Complete);
}

/// Out-of-fold probabilities and every tensor of every checkpoint, by name.
fn results(run: &Run) -> BTreeMap<String, Vec<u8>> {
    let table = fs::read(run.folder().join("out_of_fold.csv")).unwrap();
    let mut results = BTreeMap::from([("out_of_fold.csv".to_owned(), table)]);
    for fold in 0..run.fold_count() {
        let folder = run.fold_folder(fold).join("checkpoints");
        for file in fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()) {
            if file.extension().is_some_and(|extension| extension == "safetensors") {
                let file_name = file.file_name().unwrap().to_string_lossy().into_owned();
                results.extend(tensors(&file).map(|(name, bytes)| (format!("{fold}/{file_name}/{name}"), bytes)));
            }
        }
    }
    assert!(results.len() > 100, "{} tensors", results.len());
    results
}

fn tensors(file: &Path) -> impl Iterator<Item = (String, Vec<u8>)> {
    Tensor::read_safetensors(file).unwrap().into_iter().map(|(name, tensor)| {
        let mut bytes = vec![0u8; tensor.numel() * tensor.kind().elt_size_in_bytes()];
        tensor.contiguous().copy_data_u8(&mut bytes, tensor.numel());
        (name, bytes)
    })
}

fn check_resume(preset: Preset, precision: &str) {
    let Some((device, _turn)) = device() else { return };
    let (_files, manifest) = phantom();
    let [whole, stopped] = [None, Some(3)].map(|stop_at| {
        let folder = scratch();
        let run = Run::create(folder.path(), &config(preset, precision), &manifest).unwrap();
        fit(&run, device, stop_at);
        results(&run)
    });
    assert_eq!(whole.keys().collect::<Vec<_>>(), stopped.keys().collect::<Vec<_>>());
    for (name, bytes) in &whole {
        assert!(*bytes == stopped[name], "{name} differs");
    }
}

#[test]
fn a_crop_run_that_is_stopped_and_continued_has_the_same_bits() {
    check_resume(Preset::Crops, "float32");
}

#[test]
fn a_whole_study_run_in_bf16_that_is_stopped_and_continued_has_the_same_bits() {
    check_resume(Preset::Channels, "bfloat16");
}

#[test]
fn predictions_equal_the_cpus() {
    let Some((device, _turn)) = device() else { return };
    let (_files, manifest) = phantom();
    let records: Vec<&StudyRecord> = manifest.studies().iter().collect();
    for preset in [Preset::Crops, Preset::Channels] {
        let folder = scratch();
        let run = Run::create(folder.path(), &config(preset, "float32"), &manifest).unwrap();
        fit(&run, device, None);
        let [there, here] = [device, Device::Cpu].map(|device| {
            let table = run.predict(&records, device, &mut |_, _| {}).unwrap().table;
            table.iter().flat_map(|(_, row)| row.concat()).collect::<Vec<f64>>()
        });
        assert_eq!(there.len(), here.len());
        let worst = there.iter().zip(&here).map(|(there, here)| (there - here).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-3, "{preset:?}: {worst}");
    }
}
