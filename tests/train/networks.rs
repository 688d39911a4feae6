//! The real networks in the loop: small images, every part of the machinery.

use std::fs;
use std::sync::Arc;

use lumbar::anatomy::{ConditionGroup, Mirror, Severity, Target};
use lumbar::data::StudyId;
use lumbar::data::loader::{BoxError, Dataset, Plan};
use lumbar::metric::LabelTable;
use lumbar::model::{Architecture, LevelConfig, LevelModel, SpineConfig, SpineModel};
use lumbar::tasks::crops::{CropGrader, Crops, GroupCrops, LevelBias};
use lumbar::tasks::grading::GradeTruth;
use lumbar::tasks::whole_study::WholeStudy;
use lumbar::train::config::Scope;
use lumbar::train::network::Network;
use lumbar::train::observer::{Event, Silent, StopToken};
use lumbar::train::{CrossValidation, TrainConfig, TrainError};
use lumbar_tests::scratch;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tch::{Device, Kind, Tensor};

use crate::small::{Labelled, alone, batches, fit_fold};

const SIZE: i64 = 32;

/// Labels of studies whose images are noise: something to learn by heart.
struct Noise {
    labels: LabelTable,
}

impl Noise {
    fn new(studies: u64) -> Self {
        let mut labels = LabelTable::new();
        for study in 0..studies {
            let mut generator = StdRng::seed_from_u64(study);
            let row = std::array::from_fn(|_| Some(Severity::ALL[generator.random_range(0..3)]));
            labels.insert(StudyId(study), row).unwrap();
        }
        Self { labels }
    }

    fn folds(&self, count: usize) -> Vec<Vec<StudyId>> {
        let mut folds = vec![Vec::new(); count];
        self.labels.studies().iter().enumerate().for_each(|(place, study)| folds[place % count].push(*study));
        folds
    }

    fn image(number: u64, shape: &[i64]) -> Tensor {
        let mut generator = StdRng::seed_from_u64(number + 1);
        let count = shape.iter().product::<i64>();
        let values: Vec<f32> = (0..count).map(|_| generator.random_range(-1.0..1.0)).collect();
        Tensor::from_slice(&values).view(shape)
    }

    fn row(&self, study: StudyId) -> [Option<Severity>; Target::COUNT] {
        *self.labels.get(study).unwrap()
    }
}

/// Studies of six slices.
struct NoiseStudies(Noise);

impl Dataset for NoiseStudies {
    type Sample = StudyId;
    type Inputs = Tensor;
    type Truth = GradeTruth;

    fn sample(&self, _: &Plan, study: StudyId) -> Result<StudyId, BoxError> {
        Ok(study)
    }

    fn collate(&self, _: &Plan, studies: Vec<StudyId>) -> Result<(Tensor, GradeTruth), BoxError> {
        let images: Vec<Tensor> = studies.iter().map(|study| Noise::image(study.0, &[6, SIZE, SIZE])).collect();
        let rows: Vec<_> = studies.iter().map(|study| (self.0.row(*study), [true; Target::COUNT])).collect();
        Ok((Tensor::f_stack(&images, 0)?, GradeTruth::new(&rows)?))
    }
}

impl Labelled for NoiseStudies {
    fn labels(&self) -> &LabelTable {
        &self.0.labels
    }
}

/// Crops of two levels; the axial series of every third study is missing.
struct NoiseCrops(Noise);

impl Dataset for NoiseCrops {
    type Sample = StudyId;
    type Inputs = Crops;
    type Truth = GradeTruth;

    fn sample(&self, _: &Plan, study: StudyId) -> Result<StudyId, BoxError> {
        Ok(study)
    }

    fn collate(&self, _: &Plan, studies: Vec<StudyId>) -> Result<(Crops, GradeTruth), BoxError> {
        let mut groups = [None, None, None];
        let mut rows: Vec<_> = studies.iter().map(|study| (self.0.row(*study), [false; Target::COUNT])).collect();
        for (slot, group) in groups.iter_mut().zip(ConditionGroup::ALL) {
            let (mut images, mut cells) = (Vec::new(), Vec::new());
            for (place, study) in studies.iter().enumerate() {
                if group == ConditionGroup::Subarticular && study.0.is_multiple_of(3) {
                    continue;
                }
                let targets = Target::ALL.into_iter().filter(|target| target.condition.group() == group);
                for target in targets.filter(|target| target.level.index() < 2) {
                    images.push(Noise::image(study.0 * 100 + target.index() as u64, &[3, SIZE, SIZE]));
                    cells.push((place, target));
                    rows[place].1[target.index()] = true;
                }
            }
            if !cells.is_empty() {
                *slot = Some(GroupCrops { pixels: Tensor::f_stack(&images, 0)?, cells });
            }
        }
        Ok((Crops { studies: studies.len(), groups }, GradeTruth::new(&rows)?))
    }
}

impl Labelled for NoiseCrops {
    fn labels(&self) -> &LabelTable {
        &self.0.labels
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
    CropGrader {
        canal: model(1),
        foramen: model(2),
        recess: model(3),
        level_bias: LevelBias::new(Device::Cpu).unwrap(),
    }
}

fn last_loss<N, D>(network: &N, source: D, folds: Vec<Vec<StudyId>>, epochs: usize) -> f64
where
    N: Network,
    D: Dataset<Inputs = N::Inputs, Truth = GradeTruth> + Labelled,
{
    let source = Arc::new(source);
    let mut config = TrainConfig { scope: Scope::OverfitOneBatch, epochs, batch_size: 3, ..TrainConfig::default() };
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
    fit_fold(&run, 0, network, &source, &stop, &mut observer).unwrap();
    last
}

#[test]
fn the_whole_study_model_learns_a_batch_by_heart() {
    let _turn = alone();
    let folds = Noise::new(8).folds(2);
    let last = last_loss(&spine(1, 0.0), NoiseStudies(Noise::new(8)), folds, 150);
    assert!(last < 0.01, "the loss of the batch ends at {last}");
}

#[test]
fn the_crop_grader_learns_a_batch_by_heart() {
    let _turn = alone();
    let folds = Noise::new(8).folds(2);
    let last = last_loss(&level(), NoiseCrops(Noise::new(8)), folds, 150);
    assert!(last < 0.01, "the loss of the batch ends at {last}");
}

#[test]
fn a_crop_reaches_its_own_cell_and_no_other() {
    let source = Noise::new(4);
    let plan = Plan::in_order(&source.folds(1)[0], 4);
    let mut batch = batches(&Arc::new(NoiseCrops(source)), plan).remove(0);
    let network = level();
    let before = network.forward(&batch.inputs, lumbar::model::Mode::Eval).unwrap();
    let visible = &batch.truth.visible;
    let empty = before.abs().sum_dim_intlist([2i64].as_slice(), false, Kind::Float).eq(0.0);
    assert_eq!(empty, visible.logical_not());
    assert_eq!(i64::try_from(visible.sum(Kind::Int64)).unwrap(), 4 * 2 + 4 * 4 + 2 * 4);
    let crops = batch.inputs.groups[1].as_mut().unwrap();
    let (study, target) = crops.cells[5];
    let _ = crops.pixels.get(5).fill_(0.25);
    let after = network.forward(&batch.inputs, lumbar::model::Mode::Eval).unwrap();
    let moved = (after - before).abs().amax([2i64].as_slice(), false);
    let own = moved.double_value(&[study as i64, target.index() as i64]);
    assert!(own > 0.0);
    let _ = moved.get(study as i64).get(target.index() as i64).fill_(0.0);
    assert!(f64::try_from(moved.max()).unwrap() < 0.01 * own);
    let crops = batch.inputs.groups[1].as_mut().unwrap();
    crops.cells[0].1 = Mirror::target(Target::ALL[0]);
    let error = network.forward(&batch.inputs, lumbar::model::Mode::Eval).unwrap_err().to_string();
    assert_eq!(error, "a crop of Spinal Canal Stenosis L1/L2 among those of the foraminal group");
}

#[test]
fn the_whole_study_model_resumes_to_the_same_bits() {
    let _turn = alone();
    tch::set_num_threads(1);
    let source = Noise::new(9);
    let folds = source.folds(3);
    let source = Arc::new(NoiseStudies(source));
    let mut config =
        TrainConfig { epochs: 2, batch_size: 2, ema_decay: 0.9, freeze_epochs: 1, ..TrainConfig::default() };
    config.optimizer.layer_decay = 0.8;
    let table = |stops: &[u64]| {
        let folder = scratch();
        let run = CrossValidation::open(folder.path(), &config, folds.clone()).unwrap();
        for &at in stops {
            let stop = StopToken::new();
            let asked = stop.clone();
            let mut observer = |event: &Event| {
                if matches!(event, Event::Step { step, .. } if *step == at) {
                    asked.stop();
                }
            };
            fit_fold(&run, 0, &spine(5, 0.5), &source, &stop, &mut observer).unwrap();
        }
        fit_fold(&run, 0, &spine(5, 0.5), &source, &StopToken::new(), &mut Silent).unwrap();
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
    let folds = source.folds(2);
    let source = Arc::new(NoiseStudies(source));
    let folder = scratch();
    let config = TrainConfig { epochs: 2, ..TrainConfig::default() };
    let run = CrossValidation::open(folder.path(), &config, folds).unwrap();
    let stop = StopToken::new();
    stop.stop();
    fit_fold(&run, 0, &spine(1, 0.5), &source, &stop, &mut Silent).unwrap();
    let other = SpineConfig {
        sagittal_t1_slices: 1,
        sagittal_t2_slices: 1,
        axial_t2_slices: 4,
        ..spine(1, 0.5).0.config().clone()
    };
    let wider = SpineConfig { architecture: Architecture::ResNet18d, ..other };
    let wider = WholeStudy(SpineModel::new(&wider, 1, Device::Cpu).unwrap());
    let error = fit_fold(&run, 0, &wider, &source, &StopToken::new(), &mut Silent).unwrap_err();
    assert!(matches!(error, TrainError::OtherNetwork(_)), "{error}");
}
