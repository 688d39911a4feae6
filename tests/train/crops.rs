//! From the phantom's files to a submission, by the crop grader.

use std::sync::Arc;

use lumbar::anatomy::{Condition, Level, Target};
use lumbar::data::crop::CropConfig;
use lumbar::data::loader::{Batch, LoaderConfig, Plan};
use lumbar::data::manifest::{Manifest, StudyRecord};
use lumbar::data::{DataSplit, StudyId};
use lumbar::metric::{ConstantBaseline, Graded, score};
use lumbar::model::{Architecture, LevelConfig, LevelModel};
use lumbar::predict::submission::{Overwrite, Sample, validate, write};
use lumbar::predict::{Ensemble, PredictConfig, Temperature};
use lumbar::tasks::crops::{Annotated, CropGrader, CropSource, CropSourceConfig, Crops, CropsTask, LevelBias};
use lumbar::tasks::grading::GradeTruth;
use lumbar::train::{CrossValidation, TrainConfig};
use lumbar_phantom::{PhantomConfig, PhantomPreset};
use lumbar_tests::scratch;
use tch::Device;

use crate::small::{Labelled, alone, batches, fit_all};

fn config() -> CropSourceConfig {
    let crop = CropConfig { width_px: 32, height_px: 32, slices: 3, ..CropConfig::default() };
    CropSourceConfig { crop, ..CropSourceConfig::default() }
}

fn network(seed: u64) -> CropGrader<LevelModel> {
    let config = LevelConfig { architecture: Architecture::EfficientNetB0, ..LevelConfig::default() };
    let model = |part| LevelModel::new(&config, seed * 3 + part, Device::Cpu).unwrap();
    CropGrader {
        canal: model(0),
        foramen: model(1),
        recess: model(2),
        level_bias: LevelBias::new(Device::Cpu).unwrap(),
    }
}

impl Labelled for CropSource {
    fn labels(&self) -> &lumbar::metric::LabelTable {
        CropSource::labels(self)
    }
}

type CropBatch = Batch<Crops, GradeTruth>;

fn same(left: &CropBatch, right: &CropBatch) -> bool {
    left.truth.labels == right.truth.labels
        && left.inputs.groups.iter().zip(&right.inputs.groups).all(|(left, right)| match (left, right) {
            (Some(left), Some(right)) => left.cells == right.cells && left.pixels == right.pixels,
            (left, right) => left.is_none() && right.is_none(),
        })
}

#[test]
fn the_phantoms_files_become_batches_folds_and_a_submission() {
    let _turn = alone();
    let folder = scratch();
    let phantom = PhantomConfig { studies: 6, test_studies: 1, ..PhantomConfig::preset(PhantomPreset::Tiny) };
    lumbar_phantom::generate(&phantom, folder.path(), &|_| {}).unwrap();
    let manifest = Manifest::read(folder.path()).unwrap();
    let records: Vec<&StudyRecord> = manifest.of(DataSplit::Train).collect();
    let source = Arc::new(CropSource::open(&records, &Annotated, &config()).unwrap());
    let studies: Vec<StudyId> = records.iter().map(|record| record.id).collect();

    let first = |plan: &Plan, source: &Arc<CropSource>| batches(source, plan.clone()).remove(0);
    let plan = Plan { seed: 1, epoch: 0, augmented: true, mirrored: false, batches: vec![studies.clone()] };
    let batch = first(&plan, &source);
    assert!(same(&batch, &first(&plan, &source)), "the same plan");
    assert!(!same(&batch, &first(&Plan { epoch: 1, ..plan.clone() }, &source)), "another epoch");
    let canal = Target::new(Condition::SpinalCanalStenosis, Level::L3L4);
    let image = |batch: &CropBatch, place: usize| {
        let crops = batch.inputs.groups[0].as_ref()?;
        let index = crops.cells.iter().position(|cell| *cell == (place, canal))?;
        Some(crops.pixels.get(index as i64))
    };
    // a study alone is drawn as it is among others
    let place = (0..studies.len()).find(|&place| image(&batch, place).is_some()).unwrap();
    let alone = first(&Plan { batches: vec![vec![studies[place]]], ..plan.clone() }, &source);
    assert_eq!(image(&alone, 0), image(&batch, place));
    let pixels = &batch.inputs.groups[2].as_ref().unwrap().pixels;
    assert_eq!(pixels.size()[1..], [3, 32, 32]);
    assert!(pixels.std(false).double_value(&[]) > 0.05, "the crops show something");

    let mut train = TrainConfig { epochs: 1, batch_size: 3, ..TrainConfig::default() };
    train.optimizer.lr = 1e-3;
    let run_folder = scratch();
    let folds = vec![studies[..3].to_vec(), studies[3..].to_vec()];
    let run = CrossValidation::open(run_folder.path(), &train, folds).unwrap();
    let table = fit_all(&run, |fold| network(fold as u64), &source);
    assert!(score(&Graded::join(source.labels(), &table).unwrap()).unwrap().total().is_finite());

    // the held-out study has no annotated points: all its cells come from the prior, and the submission is still whole
    let held_out: Vec<&StudyRecord> = manifest.of(DataSplit::Test).collect();
    let prior = ConstantBaseline::best(source.labels());
    let task = CropsTask { source: config(), ..CropsTask::default() };
    let ensemble = Ensemble {
        task: &task,
        networks: &[network(0), network(1)],
        prior: &prior,
        points: None,
        temperature: Temperature::ONE,
        config: &PredictConfig::default(),
        loader: LoaderConfig::default(),
        device: Device::Cpu,
    };
    let predicted = ensemble.predict(&held_out, &mut |_, _| {}).unwrap().table;
    let sample = Sample::read(&folder.path().join("sample_submission.csv")).unwrap();
    let path = run_folder.path().join("submission.csv");
    write(&path, &predicted, &sample, Overwrite::Refuse).unwrap();
    assert!(validate(&path, &sample).unwrap().is_empty());
    for (cell, expected) in predicted.get(held_out[0].id).unwrap().iter().zip(prior.rows()) {
        assert!(cell.iter().zip(expected).all(|(cell, expected)| (cell - expected).abs() < 1e-12));
    }
}
