//! The whole-study model with attention: where it looks, what it grades, sides, missing series, and resuming.

use std::sync::Arc;

use lumbar::anatomy::{ConditionGroup, Mirror, Target};
use lumbar::data::augment::AugmentConfig;
use lumbar::data::loader::{Batch, Dataset as _, Plan};
use lumbar::data::manifest::{Manifest, StudyRecord};
use lumbar::model::{Architecture, Init, Mode, SliceEncoder};
use lumbar::run::{Fitted, Run, RunConfig};
use lumbar::tasks::grading::GradeTruth;
use lumbar::tasks::study_attention::{SliceSource, StudyAttentionTask, StudySlices};
use lumbar::tasks::{Preset, Task as _};
use lumbar::train::Objective as _;
use lumbar::train::network::Network as _;
use lumbar::train::observer::{Event, Silent, StopToken};
use lumbar_tests::scratch;
use tch::{Device, Kind, Tensor};

use crate::small::alone;
use crate::studies::phantom;

type Slices = Batch<StudySlices, GradeTruth>;

fn task() -> StudyAttentionTask {
    let (mut task, _) = StudyAttentionTask::preset();
    (task.source.width_px, task.source.height_px, task.source.margin_px) = (64, 96, 8);
    (task.source.sagittal_pixel_mm, task.source.axial_pixel_mm) = (2.5, 2.5);
    (task.source.most_slices, task.source.training_slices, task.source.plane_dropout) = (8, [3, 3, 4], 0.0);
    task.attention.glimpse_px = 24;
    task
}

fn source(task: &StudyAttentionTask, studies: usize) -> (Arc<SliceSource>, Vec<lumbar::data::StudyId>) {
    let manifest = Manifest::read(phantom()).unwrap();
    let records: Vec<&StudyRecord> = manifest.studies().iter().take(studies).collect();
    let ids = records.iter().map(|record| record.id).collect();
    (Arc::new(task.open(&records, None, &()).unwrap()), ids)
}

fn batch(source: &Arc<SliceSource>, plan: Plan) -> Slices {
    crate::small::batches(source, plan).remove(0)
}

#[test]
fn a_mirrored_patient_has_the_mirrored_logits_and_is_not_looked_at_twice() {
    let _turn = alone();
    let mut task = task();
    task.source.augment = AugmentConfig::none();
    task.attention.jitter_mm = 0.0;
    // all slices: between two others a point would have two nearest ones
    (task.source.most_slices, task.source.training_slices) = (64, [64; 3]);
    let network = task.network(Some(3), None, Device::Cpu).unwrap();
    let mut logits = |mirror_p| {
        task.source.augment.mirror_p = mirror_p;
        let (source, ids) = source(&task, 3);
        let batch = batch(&source, Plan { augmented: true, ..Plan::in_order(&ids, 3) });
        let known = batch.inputs.points.as_ref().unwrap().isnan().any_dim(2, true).logical_not();
        assert!(known.sum(Kind::Int64).int64_value(&[]) > 50, "most targets are annotated");
        let logits = tch::no_grad(|| network.forward(&batch.inputs, Mode::Eval).unwrap());
        logits.narrow(2, 0, 3) * known
    };
    let (plain, mirrored) = (logits(0.0), logits(1.0));
    let permutation = Mirror::PERMUTATION.map(|index| index as i64);
    let swapped = mirrored.index_select(1, &Tensor::from_slice(&permutation));
    assert!(swapped.allclose(&plain, 1e-3, 1e-3, false), "{}", (&swapped - &plain).abs().max().double_value(&[]));
    assert!(!mirrored.allclose(&plain, 1e-3, 1e-3, false), "both sides look alike");

    let (source, ids) = source(&task, 3);
    let again = batch(&source, Plan { mirrored: true, ..Plan::in_order(&ids, 3) });
    assert_eq!(again.inputs.pixels.size()[0], 0);
    assert!(!Vec::<bool>::try_from(again.truth.visible.flatten(0, -1)).unwrap().contains(&true));
}

#[test]
fn training_samples_have_points_and_the_network_learns_to_look_at_them() {
    let _turn = alone();
    let mut task = task();
    (task.source.augment.mirror_p, task.attention.jitter_mm) = (0.0, 0.0);
    let (source, ids) = source(&task, 2);
    let network = task.network(Some(1), None, Device::Cpu).unwrap();
    let batch = batch(&source, Plan { augmented: true, ..Plan::in_order(&ids, 2) });
    let labels = lumbar::metric::LabelTable::new();
    let objective = task.objective(&source, &labels, &[], Device::Cpu).unwrap();
    let looked = |output: &Tensor| output.select(2, 3).sum(Kind::Float).double_value(&[]);
    let mut losses = Vec::new();
    for _ in 0..30 {
        let output = network.forward(&batch.inputs, Mode::Train).unwrap();
        assert_eq!(output.size(), [2, 25, 4]);
        losses.push(looked(&output));
        objective.loss(&output, &batch.truth).unwrap().backward();
        tch::no_grad(|| {
            for mut parameter in network.parameters() {
                let gradient = parameter.tensor.grad();
                if gradient.defined() {
                    let step = gradient.sign() * 3e-3;
                    let _ = parameter.tensor.f_sub_(&step).unwrap();
                    parameter.tensor.zero_grad();
                }
            }
        });
    }
    assert!(losses[29] < 0.6 * losses[0], "{losses:?}");
}

#[test]
fn a_series_that_is_missing_hides_its_targets_and_stops_nothing() {
    let _turn = alone();
    let task = task();
    let (source, ids) = source(&task, 6);
    let network = task.network(Some(2), None, Device::Cpu).unwrap();
    let plan = Plan::in_order(&ids, 1);
    let studies = ids.iter().map(|id| source.collate(&plan, vec![source.sample(&plan, *id).unwrap()]).unwrap().0);
    let complete = |inputs: &StudySlices| inputs.studies[0].iter().all(|count| *count > 0);
    let whole = { studies }.find(complete).expect("a study with all three kinds of series");
    let [t1, t2, _] = whole.studies[0];
    let sagittal = (t1 + t2) as i64;
    let part = StudySlices {
        pixels: whole.pixels.narrow(0, 0, sagittal),
        frames: whole.frames.narrow(0, 0, sagittal),
        studies: vec![[t1, t2, 0]],
        points: None,
    };
    let run = |inputs: &StudySlices| tch::no_grad(|| network.forward(inputs, Mode::Eval).unwrap());
    let (all, without) = (run(&whole), run(&part));
    for target in Target::ALL {
        let cell = |logits: &Tensor| logits.get(0).get(target.index() as i64);
        if target.condition.group() == ConditionGroup::Subarticular {
            assert_eq!(cell(&without).abs().max().double_value(&[]), 0.0);
        } else {
            assert!(cell(&without).allclose(&cell(&all), 1e-4, 1e-4, false), "{target}");
        }
    }
    let nothing = StudySlices {
        pixels: whole.pixels.narrow(0, 0, 0),
        frames: whole.frames.narrow(0, 0, 0),
        studies: vec![[0, 0, 0]],
        points: None,
    };
    assert_eq!(run(&nothing).abs().max().double_value(&[]), 0.0);
}

#[test]
fn a_folded_network_gives_the_same_logits() {
    let _turn = alone();
    let task = task();
    let (source, ids) = source(&task, 2);
    let network = task.network(Some(5), None, Device::Cpu).unwrap();
    let folded = task.folded(&network).unwrap();
    let batch = batch(&source, Plan::in_order(&ids, 2));
    let (own, ready) = tch::no_grad(|| {
        (network.forward(&batch.inputs, Mode::Eval).unwrap(), folded.forward(&batch.inputs, Mode::Eval).unwrap())
    });
    assert!(own.allclose(&ready, 1e-3, 1e-3, false), "{}", (own - ready).abs().max().double_value(&[]));
}

#[test]
fn an_interrupted_run_ends_with_the_same_predictions() {
    let _turn = alone();
    let config = || {
        let mut config = RunConfig::preset(Preset::WholeStudy);
        let mut set = |field: &str, value: &str| config.set(field, value).unwrap();
        for (field, value) in
            [("width_px", "64"), ("height_px", "96"), ("sagittal_pixel_mm", "2.5"), ("axial_pixel_mm", "2.5")]
        {
            set(&format!("task.study_attention.source.{field}"), value);
        }
        set("task.study_attention.attention.glimpse_px", "24");
        set("folds.count", "2");
        set("train.epochs", "2");
        config
    };
    let (manifest, folder) = (Manifest::read(phantom()).unwrap(), scratch());
    let whole = Run::create(&folder.path().join("whole"), &config(), &manifest).unwrap();
    whole.fit(Some(0), Device::Cpu, &StopToken::new(), &mut Silent).unwrap();
    let parts = Run::create(&folder.path().join("parts"), &config(), &manifest).unwrap();
    let stop = StopToken::new();
    let asked = stop.clone();
    let mut watch = |event: &Event| {
        if matches!(event, Event::Step { step: 3, .. }) {
            asked.stop();
        }
    };
    assert_eq!(parts.fit(Some(0), Device::Cpu, &stop, &mut watch).unwrap(), Fitted::Stopped);
    parts.fit(Some(0), Device::Cpu, &StopToken::new(), &mut Silent).unwrap();
    let table = |run: &Run| std::fs::read(run.fold_folder(0).join("out_of_fold.csv")).unwrap();
    assert_eq!(table(&whole), table(&parts));
    // 0 is the prior's where no slice shows a target and no training study has the severity
    for line in String::from_utf8(table(&whole)).unwrap().lines().skip(1) {
        let usable = |p: f64| p == 0.0 || p > 1e-6;
        assert!(line.split(',').skip(1).all(|p| usable(p.parse().unwrap())), "{line}");
    }
}

#[test]
fn a_distorted_image_has_no_affine_position_and_is_refused() {
    let mut task = task();
    task.source.augment.distortion.p = 0.5;
    let error = task.check().unwrap_err().to_string();
    assert_eq!(error, "source.augment.distortion.p is 0.5, expected 0");
    assert_eq!((task.init(), task.encoder.architecture), (&Init::Scratch, Architecture::ResNet10d025));
    assert!(SliceEncoder::new(&task.encoder, 0, Device::Cpu).is_ok());
}
