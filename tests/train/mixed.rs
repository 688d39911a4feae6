//! Batches whose studies are mixed with one another, and training in half precision.

use std::sync::Arc;

use lumbar::anatomy::{ConditionGroup, Target};
use lumbar::data::StudyId;
use lumbar::data::augment::{Mix, MixConfig, MixKind};
use lumbar::data::loader::{BoxError, Dataset, Plan};
use lumbar::metric::LabelTable;
use lumbar::tasks::crops::{Crops, GroupCrops};
use lumbar::tasks::grading::GradeTruth;
use lumbar::train::checkpoint::CheckpointFolder;
use lumbar::train::config::{Precision, Scope};
use lumbar::train::fold::FoldOutcome;
use lumbar::train::network::{Mode, Network};
use lumbar::train::observer::{Event, Silent, StopToken};
use lumbar::train::optimizer::Parameter;
use lumbar::train::{CrossValidation, TrainConfig, TrainError};
use lumbar_tests::scratch;
use tch::{Device, Kind, Tensor};

use crate::networks::{level, spine};
use crate::small::{Labelled, SmallNetwork, SmallSource, alone, fit_fold};

fn config(epochs: usize) -> TrainConfig {
    let mut config = TrainConfig { epochs, batch_size: 8, ..TrainConfig::default() };
    config.optimizer.lr = 0.02;
    config
}

/// Losses of the steps.
fn losses(config: &TrainConfig, source: SmallSource) -> Vec<f64> {
    let source = Arc::new(source);
    let folder = scratch();
    let run = CrossValidation::open(folder.path(), config, source.folds(2)).unwrap();
    let mut losses = Vec::new();
    let mut observer = |event: &Event| {
        if let Event::Step { loss, .. } = event {
            losses.push(*loss);
        }
    };
    let network = SmallNetwork { dropout: 0.0, ..SmallNetwork::new(1) };
    fit_fold(&run, 0, &network, &source, &StopToken::new(), &mut observer).unwrap();
    losses
}

#[test]
fn a_mixed_batch_cannot_be_learned_by_heart_and_a_plain_one_can() {
    let _turn = alone();
    let source = || SmallSource::new(40);
    let plain = TrainConfig { scope: Scope::OverfitOneBatch, ..config(200) };
    let last = *losses(&plain, source()).last().unwrap();
    assert!(last < 0.05, "{last}");
    // half of one study, half of another: whatever is predicted, each label costs ln 2 where they differ
    let mix = MixConfig { mixup_p: 1.0, alpha: 1e3, ..MixConfig::default() };
    let mixed = *losses(&TrainConfig { mix, ..plain }, source()).last().unwrap();
    assert!(mixed > 0.2, "{mixed}");
}

#[test]
fn a_hidden_cell_of_a_mixed_batch_has_no_label() {
    let _turn = alone();
    let first = |hidden| {
        let source = SmallSource { hidden, ..SmallSource::new(40) };
        let mix = MixConfig { mixup_p: 1.0, ..MixConfig::default() };
        losses(&TrainConfig { scope: Scope::FastDevRun, mix, ..config(1) }, source)[0]
    };
    // a hidden cell has no label: the loss is another one, and finite
    assert!(first(Some(3)).is_finite());
    assert_ne!(first(Some(3)), first(None));
}

#[test]
fn crops_are_mixed_with_the_same_target_of_the_partner() {
    let targets: Vec<Target> =
        Target::ALL.into_iter().filter(|target| target.condition.group() == ConditionGroup::Foraminal).collect();
    let cells = vec![(0, targets[0]), (0, targets[1]), (1, targets[0]), (2, targets[1])];
    let pixels = Tensor::arange(4, (Kind::Float, Device::Cpu)).view([4, 1, 1, 1]).expand([4, 1, 32, 32], false);
    let foramen = Some(GroupCrops { pixels: pixels.contiguous(), cells });
    let mut crops = Crops { studies: 3, groups: [None, foramen, None] };
    let mut draw = |width, height| {
        assert_eq!((width, height), (32, 32));
        Mix { partners: vec![1, 2, 0], kind: MixKind::Mixup { own: 0.75 } }
    };
    level().mix(&mut crops, &mut draw).unwrap();
    let found = Vec::<f32>::try_from(crops.groups[1].as_ref().unwrap().pixels.select(3, 0).select(2, 0).flatten(0, -1));
    // 0 with 2; 1 has no partner, nor has 2; 3 with 1
    assert_eq!(found.unwrap(), [0.5, 1.0, 2.0, 2.5]);
}

#[test]
fn whole_studies_are_mixed_pixel_by_pixel() {
    let mut pictures = Tensor::arange(2, (Kind::Float, Device::Cpu)).view([2, 1, 1, 1]).repeat([1, 6, 32, 32]);
    let kind = MixKind::Cutmix { left: 0, right: 16, top: 0, bottom: 8, own: 0.875 };
    let mix = Mix { partners: vec![1, 0], kind };
    spine(1, 0.0).mix(&mut pictures, &mut |_, _| mix.clone()).unwrap();
    let means = pictures.mean_dim([1i64, 2, 3].as_slice(), false, Kind::Float);
    assert_eq!(Vec::<f32>::try_from(means).unwrap(), [0.125, 0.875]);
}

/// A network that does not say how its inputs are mixed.
struct Unmixable(SmallNetwork);

impl Network for Unmixable {
    type Inputs = Tensor;

    fn parameters(&self) -> Vec<Parameter> {
        self.0.parameters()
    }

    fn buffers(&self) -> Vec<(String, Tensor)> {
        self.0.buffers()
    }

    fn forward(&self, inputs: &Tensor, mode: Mode) -> Result<Tensor, BoxError> {
        self.0.forward(inputs, mode)
    }
}

#[test]
fn a_network_that_cannot_mix_and_a_share_out_of_range_are_refused_in_words() {
    let _turn = alone();
    let source = Arc::new(SmallSource::new(40));
    let mut config = config(1);
    config.mix.mixup_p = 0.5;
    let folder = scratch();
    let run = CrossValidation::open(folder.path(), &config, source.folds(2)).unwrap();
    let network = Unmixable(SmallNetwork::new(1));
    let error = fit_fold(&run, 0, &network, &source, &StopToken::new(), &mut Silent).unwrap_err();
    assert!(matches!(error, TrainError::Batch { .. }), "{error}");
    assert!(error.to_string().contains("cannot be mixed: set mix.mixup_p and mix.cutmix_p to 0"), "{error}");
    config.mix.cutmix_p = 0.7;
    let error = config.check().unwrap_err().to_string();
    assert!(error.contains("mix.mixup_p + mix.cutmix_p") && error.contains("1.2"), "{error}");
}

/// Studies of a source, their images a hundred times as dark: their gradients overflow fp16 at first.
struct Dark(SmallSource);

impl Labelled for Dark {
    fn labels(&self) -> &LabelTable {
        self.0.labels()
    }
}

impl Dataset for Dark {
    type Sample = <SmallSource as Dataset>::Sample;
    type Inputs = Tensor;
    type Truth = GradeTruth;

    fn sample(&self, plan: &Plan, study: StudyId) -> Result<Self::Sample, BoxError> {
        self.0.sample(plan, study)
    }

    fn collate(&self, plan: &Plan, samples: Vec<Self::Sample>) -> Result<(Tensor, GradeTruth), BoxError> {
        let (inputs, truth) = self.0.collate(plan, samples)?;
        Ok((inputs.f_mul_scalar(0.01)?, truth))
    }
}

#[test]
fn half_precision_finds_its_scale_learns_and_resumes_with_it() {
    let _turn = alone();
    let config = TrainConfig { precision: Precision::Float16, ..config(12) };
    let source = Arc::new(Dark(SmallSource::new(40)));
    let run = |folder: &std::path::Path, stop_at: Option<u64>| {
        let run = CrossValidation::open(folder, &config, source.0.folds(2)).unwrap();
        let stop = StopToken::new();
        let asked = stop.clone();
        let (mut skipped, mut losses) = (0, Vec::new());
        let mut observer = |event: &Event| match event {
            Event::StepSkipped { .. } => skipped += 1,
            Event::Step { step, loss, .. } => {
                losses.push(*loss);
                if Some(*step) == stop_at {
                    asked.stop();
                }
            }
            _ => {}
        };
        let outcome = fit_fold(&run, 0, &SmallNetwork::new(1), &source, &stop, &mut observer).unwrap();
        let newest =
            CheckpointFolder::open(&run.fold_folder(0).join("checkpoints")).unwrap().newest().unwrap().unwrap();
        let scale = newest.checkpoint.state.loss_scale;
        (outcome, skipped, losses, scale)
    };
    let (whole, stopped) = (scratch(), scratch());
    let (expected, skipped, losses, scale) = run(whole.path(), None);
    assert!(skipped > 0 && scale.exponent == 16 - skipped, "{skipped} steps were left out, {scale:?}");
    assert!(losses[losses.len() - 1] < 0.7 * losses[0], "{losses:?}");
    let (outcome, .., at_stop) = run(stopped.path(), Some(10));
    assert_eq!(outcome, FoldOutcome::Stopped);
    assert!(at_stop.exponent < 16, "{at_stop:?}");
    assert_eq!(run(stopped.path(), None).0, expected);
}
