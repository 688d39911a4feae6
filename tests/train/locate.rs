//! The localiser as a run: trained on a tiny phantom, stopped and resumed, merged, and opened again.

use lumbar::anatomy::Level;
use lumbar::data::DataSplit;
use lumbar::data::found_points::FoundPoints;
use lumbar::data::manifest::{Manifest, StudyRecord};
use lumbar::run::{Fitted, Run, RunConfig};
use lumbar::tasks::locate::{LocateTask, Locating};
use lumbar::tasks::{Preset, Task, TaskConfig};
use lumbar::train::Objective as _;
use lumbar::train::network::{Mode, Network as _};
use lumbar::train::observer::{Event, Silent, StopToken};
use lumbar_phantom::{PhantomConfig, PhantomPreset};
use lumbar_tests::scratch;
use tch::{Device, Kind, Tensor};

use crate::small::alone;

fn config() -> RunConfig {
    let mut config = RunConfig::preset(Preset::Locate);
    for (field, value) in [
        ("folds.count", "2"),
        ("train.epochs", "2"),
        ("task.locate.init", "scratch"),
        ("task.locate.unet.widths", "[8, 8, 16, 16]"),
        ("task.locate.source.pixel_mm", "4.0"),
        ("task.locate.source.width_px", "64"),
        ("task.locate.source.height_px", "80"),
    ] {
        config.set(field, value).unwrap();
    }
    config
}

#[test]
fn a_localiser_that_is_stopped_and_resumed_finds_the_same_points() {
    let _turn = alone();
    let folder = scratch();
    let data = folder.path().join("phantom");
    lumbar_phantom::generate(&PhantomConfig::preset(PhantomPreset::Tiny), &data, &|_| {}).unwrap();
    let manifest = Manifest::read(&data).unwrap();
    let fitted = |name: &str, stops: &[u64]| {
        let run = Run::create(&folder.path().join(name), &config(), &manifest).unwrap();
        for at in stops {
            let stop = StopToken::new();
            let asked = stop.clone();
            let mut observer = |event: &Event| {
                if matches!(event, Event::Step { step, .. } if step == at) {
                    asked.stop();
                }
            };
            assert_eq!(run.fit(None, Device::Cpu, &stop, &mut observer).unwrap(), Fitted::Stopped);
        }
        assert_eq!(run.fit(None, Device::Cpu, &StopToken::new(), &mut Silent).unwrap(), Fitted::Complete);
        (FoundPoints::read(&run.folder().join("out_of_fold.csv")).unwrap(), run)
    };
    let (points, run) = fitted("whole", &[]);
    assert_eq!(points, fitted("stopped", &[1, 2]).0);

    // every study of the run has a row, and its scores are those of a localiser
    let studies: Vec<_> = points.iter().map(|(study, _)| study).collect();
    assert_eq!(studies, run.labels().studies());
    let names = ["canal_mm", "foramen_mm", "levels_wrong_percent"];
    for record in run.history(0).unwrap().records().unwrap() {
        let score = record.validation.as_ref().unwrap();
        assert_eq!(score.parts().map(|(name, _)| name).collect::<Vec<_>>(), names);
    }
    let error = run.out_of_fold().unwrap_err().to_string();
    assert!(error.contains("out_of_fold.csv"), "{error}");

    // a test study, which has no annotations, and one without any image
    let test: Vec<&StudyRecord> = manifest.of(DataSplit::Test).collect();
    let empty = StudyRecord { series: Vec::new(), ..test[0].clone() };
    let TaskConfig::Locate(task) = &run.config().task else { panic!("a localiser's run") };
    let network = run.network::<LocateTask>(0, Device::Cpu).unwrap();
    for (record, is_found) in [(test[0], true), (&empty, false)] {
        let dataset = task.open(&[record], None, &()).unwrap();
        let plan = lumbar::data::loader::Plan::in_order(&[record.id], 1);
        let loader = std::sync::Arc::new(dataset);
        let batches = lumbar::data::loader::Loader::start(loader, plan, &run.config().train.loader, Device::Cpu);
        let batch = batches.unwrap().next().unwrap().unwrap();
        let maps = tch::no_grad(|| network.forward(&batch.inputs, Mode::Eval)).unwrap();
        let mut table = FoundPoints::new();
        Locating::default().predict(&mut table, &batch.studies, &maps, &batch.truth).unwrap();
        let found = table.get(record.id).unwrap();
        assert!(is_found || found.iter().all(Option::is_none));
        assert!(found[3 * Level::ALL.len()..].iter().all(Option::is_none), "recesses are not found here");
    }
    // one batch of the trained network's maps: a map for canal and foramen at each level, and one for any disc
    let image = Tensor::zeros([2, 3, 80, 64], (Kind::Float, Device::Cpu));
    let maps = network.forward(&image, Mode::Eval).unwrap();
    assert_eq!(maps.size(), [2, 2 * Level::ALL.len() as i64 + 1, 40, 32]);
}
