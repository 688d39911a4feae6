//! The real networks in the loop: small pictures, every part of the machinery.

use std::fs;

use lumbar::anatomy::{ConditionGroup, Mirror, Severity, Target};
use lumbar::metric::LabelTable;
use lumbar::model::{Architecture, LevelConfig, LevelModel, SpineConfig, SpineModel};
use lumbar::train::config::Extent;
use lumbar::train::grader::{CropGrader, Crops, GroupCrops, WholeStudy};
use lumbar::train::loss::MASKED;
use lumbar::train::network::{Batch, BoxError, Network, Plan, Source};
use lumbar::train::observer::{Event, Silent, StopToken};
use lumbar::train::{CrossValidation, TrainConfig, TrainError};
use lumbar_tests::scratch;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tch::{Device, Kind, Tensor};

use crate::small::alone;

const SIZE: i64 = 32;

/// Noise pictures with labels: something to learn by heart.
struct Noise {
    labels: LabelTable,
}

impl Noise {
    fn new(studies: usize) -> Self {
        let mut labels = LabelTable::new();
        for study in 0..studies {
            let mut generator = StdRng::seed_from_u64(study as u64);
            labels.insert(study, std::array::from_fn(|_| Some(Severity::ALL[generator.random_range(0..3)]))).unwrap();
        }
        Self { labels }
    }

    fn folds(&self, count: usize) -> Vec<Vec<String>> {
        let mut folds = vec![Vec::new(); count];
        self.labels.studies().iter().enumerate().for_each(|(place, study)| folds[place % count].push(study.clone()));
        folds
    }

    fn picture(study: &str, shape: &[i64]) -> Result<Tensor, BoxError> {
        let mut generator = StdRng::seed_from_u64(study.parse::<u64>()? + 1);
        let count = shape.iter().product::<i64>();
        let values: Vec<f32> = (0..count).map(|_| generator.random_range(-1.0..1.0)).collect();
        Ok(Tensor::from_slice(&values).view(shape))
    }

    fn labels_of(&self, studies: &[String]) -> Tensor {
        let class = |label: &Option<Severity>| label.map_or(MASKED, |label| label.index() as i64);
        let classes: Vec<i64> =
            studies.iter().flat_map(|study| self.labels.get(study).unwrap().iter().map(class)).collect();
        Tensor::from_slice(&classes).view([studies.len() as i64, 25])
    }
}

impl Source<Tensor> for Noise {
    fn labels(&self) -> &LabelTable {
        &self.labels
    }

    fn batches<'a>(&'a self, plan: &Plan) -> Box<dyn Iterator<Item = Result<Batch<Tensor>, BoxError>> + 'a> {
        Box::new(plan.clone().batches.into_iter().map(|studies| {
            let pictures: Result<Vec<Tensor>, BoxError> =
                studies.iter().map(|study| Self::picture(study, &[6, SIZE, SIZE])).collect();
            let labels = self.labels_of(&studies);
            Ok(Batch { studies, inputs: Tensor::f_stack(&pictures?, 0)?, labels, shown: None })
        }))
    }
}

impl Source<Crops> for Noise {
    fn labels(&self) -> &LabelTable {
        &self.labels
    }

    /// Crops of two levels; the axial series of every third study is missing.
    fn batches<'a>(&'a self, plan: &Plan) -> Box<dyn Iterator<Item = Result<Batch<Crops>, BoxError>> + 'a> {
        Box::new(plan.clone().batches.into_iter().map(|studies| {
            let mut groups = [None, None, None];
            for (slot, group) in groups.iter_mut().zip(ConditionGroup::ALL) {
                let (mut pictures, mut cells) = (Vec::new(), Vec::new());
                for (place, study) in studies.iter().enumerate() {
                    if group == ConditionGroup::Subarticular && study.parse::<u64>()?.is_multiple_of(3) {
                        continue;
                    }
                    let targets = Target::ALL.into_iter().filter(|target| target.condition.group() == group);
                    for target in targets.filter(|target| target.level.index() < 2) {
                        let number = study.parse::<u64>()? * 100 + target.index() as u64;
                        pictures.push(Self::picture(&number.to_string(), &[3, SIZE, SIZE])?);
                        cells.push((place, target));
                    }
                }
                if !cells.is_empty() {
                    *slot = Some(GroupCrops { pixels: Tensor::f_stack(&pictures, 0)?, cells });
                }
            }
            let inputs = Crops { studies: studies.len(), groups, device: Device::Cpu };
            let (labels, shown) = (self.labels_of(&studies), Some(inputs.shown()?));
            Ok(Batch { studies, inputs, labels, shown })
        }))
    }
}

pub(crate) fn spine(seed: u64, dropout: f64) -> WholeStudy<SpineModel> {
    let config = SpineConfig {
        architecture: Architecture::EfficientNetB0,
        sagittal_t1_slices: 2,
        sagittal_t2_slices: 2,
        axial_t2_slices: 2,
        dropout,
        drop_path_rate: 0.1,
        ..SpineConfig::default()
    };
    WholeStudy(SpineModel::new(&config, seed, Device::Cpu).unwrap())
}

pub(crate) fn level() -> CropGrader<LevelModel> {
    let config = LevelConfig {
        architecture: Architecture::EfficientNetB0,
        dropout: 0.0,
        drop_path_rate: 0.0,
        ..LevelConfig::default()
    };
    let model = |seed| LevelModel::new(&config, seed, Device::Cpu).unwrap();
    CropGrader { canal: model(1), foramen: model(2), recess: model(3) }
}

fn last_loss<N: Network>(network: &N, source: &impl Source<N::Inputs>, folds: Vec<Vec<String>>, epochs: usize) -> f64 {
    let mut config = TrainConfig { extent: Extent::OverfitOneBatch, epochs, batch_size: 3, ..TrainConfig::default() };
    config.optimizer.lr = 3e-3;
    let folder = scratch();
    let run = CrossValidation::open(folder.path(), &config, folds).unwrap();
    let mut last = f64::NAN;
    let stop = StopToken::new();
    let enough = stop.clone();
    let mut observer = |event: &Event| {
        if let Event::Step { loss, .. } = event {
            last = *loss;
            if last < 0.01 {
                enough.stop();
            }
        }
    };
    run.fit_fold(0, network, source, Device::Cpu, &stop, &mut observer).unwrap();
    last
}

#[test]
fn the_whole_study_model_learns_a_batch_by_heart() {
    let _turn = alone();
    let source = Noise::new(8);
    let last = last_loss(&spine(1, 0.0), &source, source.folds(2), 150);
    assert!(last < 0.01, "the loss of the batch ends at {last}");
}

#[test]
fn the_crop_grader_learns_a_batch_by_heart() {
    let _turn = alone();
    let source = Noise::new(8);
    let last = last_loss(&level(), &source, source.folds(2), 150);
    assert!(last < 0.01, "the loss of the batch ends at {last}");
}

#[test]
fn a_crop_reaches_its_own_cell_and_no_other() {
    let source = Noise::new(4);
    let plan = Plan { seed: 0, epoch: 0, augmented: false, mirrored: false, batches: source.folds(1) };
    let mut batch = Source::<Crops>::batches(&source, &plan).next().unwrap().unwrap();
    let network = level();
    let before = network.logits(&batch.inputs, lumbar::model::Mode::Eval).unwrap();
    let shown = batch.shown.as_ref().unwrap();
    let empty = before.abs().sum_dim_intlist([2i64].as_slice(), false, Kind::Float).eq(0.0);
    assert_eq!(empty, shown.logical_not());
    assert_eq!(i64::try_from(shown.sum(Kind::Int64)).unwrap(), 4 * 2 + 4 * 4 + 2 * 4);
    let crops = batch.inputs.groups[1].as_mut().unwrap();
    let (study, target) = crops.cells[5];
    let _ = crops.pixels.get(5).fill_(0.25);
    let after = network.logits(&batch.inputs, lumbar::model::Mode::Eval).unwrap();
    let moved = (after - before).abs().amax([2i64].as_slice(), false);
    let own = moved.double_value(&[study as i64, target.index() as i64]);
    assert!(own > 0.0);
    let _ = moved.get(study as i64).get(target.index() as i64).fill_(0.0);
    assert!(f64::try_from(moved.max()).unwrap() < 0.01 * own);
    let crops = batch.inputs.groups[1].as_mut().unwrap();
    crops.cells[0].1 = Mirror::target(Target::ALL[0]);
    let error = network.logits(&batch.inputs, lumbar::model::Mode::Eval).unwrap_err().to_string();
    assert_eq!(error, "a crop of Spinal Canal Stenosis L1/L2 among those of the foraminal group");
}

#[test]
fn the_whole_study_model_resumes_to_the_same_bits() {
    let _turn = alone();
    tch::set_num_threads(1);
    let source = Noise::new(9);
    let mut config =
        TrainConfig { epochs: 2, batch_size: 2, ema_decay: 0.9, freeze_epochs: 1, ..TrainConfig::default() };
    config.optimizer.layer_decay = 0.8;
    let table = |stops: &[u64]| {
        let folder = scratch();
        let run = CrossValidation::open(folder.path(), &config, source.folds(3)).unwrap();
        for &at in stops {
            let stop = StopToken::new();
            let asked = stop.clone();
            let mut observer = |event: &Event| {
                if matches!(event, Event::Step { step, .. } if *step == at) {
                    asked.stop();
                }
            };
            run.fit_fold(0, &spine(5, 0.5), &source, Device::Cpu, &stop, &mut observer).unwrap();
        }
        run.fit_fold(0, &spine(5, 0.5), &source, Device::Cpu, &StopToken::new(), &mut Silent).unwrap();
        let read = |name: &str| fs::read(run.fold_folder(0).join(name)).unwrap();
        (read("out_of_fold.csv"), read("history.jsonl"))
    };
    let whole = table(&[]);
    assert_eq!(whole, table(&[]), "the same seed");
    assert_eq!(whole, table(&[1, 2, 3, 5]), "stopped four times");
}

#[test]
fn a_checkpoint_of_another_network_is_refused() {
    let _turn = alone();
    let source = Noise::new(6);
    let folder = scratch();
    let config = TrainConfig { epochs: 2, ..TrainConfig::default() };
    let run = CrossValidation::open(folder.path(), &config, source.folds(2)).unwrap();
    let stop = StopToken::new();
    stop.stop();
    run.fit_fold(0, &spine(1, 0.5), &source, Device::Cpu, &stop, &mut Silent).unwrap();
    let other = SpineConfig {
        sagittal_t1_slices: 1,
        sagittal_t2_slices: 1,
        axial_t2_slices: 4,
        ..spine(1, 0.5).0.config().clone()
    };
    let wider = SpineConfig { architecture: Architecture::ResNet18d, ..other };
    let wider = WholeStudy(SpineModel::new(&wider, 1, Device::Cpu).unwrap());
    let error = run.fit_fold(0, &wider, &source, Device::Cpu, &StopToken::new(), &mut Silent).unwrap_err();
    assert!(matches!(error, TrainError::OtherNetwork(_)), "{error}");
}
