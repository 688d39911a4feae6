//! Fine-tuning from a file with timm's names, through a run's config.

use std::fs;
use std::path::Path;

use lumbar::data::manifest::Manifest;
use lumbar::model::{Architecture, Backbone, BackboneConfig, Module as _, weights};
use lumbar::run::{Fitted, Run, RunConfig};
use lumbar::tasks::Preset;
use lumbar::tasks::crops::CropsTask;
use lumbar::train::network::Network as _;
use lumbar::train::observer::{Event, Silent, StopToken};
use lumbar_tests::scratch;
use tch::Device;

use crate::small::alone;
use crate::studies::phantom;

/// A file as timm writes it: RGB, 1000 classes.
fn timm_file(path: &Path, architecture: Architecture, seed: u64) {
    let config = BackboneConfig { num_classes: 1000, ..BackboneConfig::new(architecture) };
    weights::save(Backbone::new(&config, seed, Device::Cpu).unwrap().registry(), path).unwrap();
}

fn config(init: &Path) -> RunConfig {
    let mut config = RunConfig::preset(Preset::Crops);
    for (field, value) in [
        ("folds.count", "2"),
        ("train.epochs", "2"),
        ("train.freeze_epochs", "2"),
        ("train.batch_size", "2"),
        ("task.crops.source.crop.width_px", "24"),
        ("task.crops.source.crop.height_px", "24"),
        ("task.crops.level.architecture", "resnet18d"),
    ] {
        config.set(field, value).unwrap();
    }
    config.set("task.crops.init", &format!("{{ file = {:?} }}", init.display().to_string())).unwrap();
    config
}

fn fit(run: &Run, stop_at: Option<u64>) -> Fitted {
    let stop = StopToken::new();
    let asked = stop.clone();
    let mut observer = |event: &Event| {
        if matches!(event, Event::Step { step, .. } if Some(*step) == stop_at) {
            asked.stop();
        }
    };
    run.fit(Some(0), Device::Cpu, &stop, &mut observer).unwrap()
}

#[test]
fn a_run_starts_from_a_timm_file_freezes_it_trains_the_head_and_resumes() {
    let _turn = alone();
    let folder = scratch();
    let file = folder.path().join("resnet18d.safetensors");
    timm_file(&file, Architecture::ResNet18d, 7);
    let manifest = Manifest::read(phantom()).unwrap();
    let results = |name: &str, stop_at: Option<u64>| {
        let run = Run::create(&folder.path().join(name), &config(&file), &manifest).unwrap();
        if stop_at.is_some() {
            assert_eq!(fit(&run, stop_at), Fitted::Stopped);
        }
        assert_eq!(fit(&run, None), Fitted::Partly);
        let read = |name: &str| fs::read(run.fold_folder(0).join(name)).unwrap();
        (read("out_of_fold.csv"), read("history.jsonl"), run)
    };
    let (table, history, run) = results("whole", None);
    let (resumed_table, resumed_history, _) = results("stopped", Some(2));
    assert!(table == resumed_table && history == resumed_history);

    // the backbone was frozen: it still is the file's
    let expected = {
        let config = BackboneConfig { num_classes: 1000, ..BackboneConfig::new(Architecture::ResNet18d) };
        Backbone::new(&config, 7, Device::Cpu).unwrap()
    };
    let network = run.network::<CropsTask>(0, Device::Cpu).unwrap();
    let frozen = |suffix: &str| {
        let found: Vec<_> =
            network.parameters().into_iter().filter(|parameter| parameter.name.ends_with(suffix)).collect();
        let expected = &expected.registry().get(suffix).unwrap().tensor;
        assert_eq!(found.len(), 3);
        found.iter().all(|parameter| parameter.tensor == *expected)
    };
    assert!(frozen("layer2.0.conv1.weight") && frozen("layer4.1.bn2.weight"));

    // the hash is kept with the run
    let record: serde_json::Value = serde_json::from_slice(&fs::read(run.folder().join("init.json")).unwrap()).unwrap();
    assert_eq!(record["sha256"].as_str().unwrap().len(), 64);
    timm_file(&file, Architecture::ResNet18d, 8);
    let error = run.fit(Some(1), Device::Cpu, &StopToken::new(), &mut Silent).unwrap_err().to_string();
    assert!(error.contains("resnet18d.safetensors") && error.contains(record["sha256"].as_str().unwrap()), "{error}");
}

#[test]
fn a_missing_file_and_another_architecture_are_refused_before_anything_is_decoded() {
    let _turn = alone();
    let folder = scratch();
    let file = folder.path().join("weights.safetensors");
    let manifest = Manifest::read(phantom()).unwrap();
    let refused = |name: &str| {
        let run = Run::create(&folder.path().join(name), &config(&file), &manifest).unwrap();
        let mut decoded = 0;
        let mut observer = |event: &Event| decoded += usize::from(matches!(event, Event::Preparing { .. }));
        let error = run.fit(None, Device::Cpu, &StopToken::new(), &mut observer).unwrap_err().to_string();
        assert_eq!(decoded, 0);
        error
    };
    let error = refused("missing");
    assert!(error.contains("weights.safetensors"), "{error}");
    timm_file(&file, Architecture::EfficientNetB0, 1);
    let error = refused("other");
    assert!(error.contains("weights.safetensors") && error.contains("resnet18d"), "{error}");
    let mut config = config(&file);
    let error = config.set("task.crops.init", "{ hub = \"resnet18d\" }").unwrap_err().to_string();
    assert!(error.contains("owner/name"), "{error}");
}
