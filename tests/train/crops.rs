//! From the phantom's files to a submission, by the crop grader.

use lumbar::anatomy::{Condition, Level, Target};
use lumbar::data::Split;
use lumbar::data::crop::CropConfig;
use lumbar::data::manifest::{Manifest, StudyRecord};
use lumbar::metric::{Graded, Reference, score};
use lumbar::model::{Architecture, LevelConfig, LevelModel};
use lumbar::predict::submission::{Overwrite, Sample, validate, write};
use lumbar::predict::{PredictConfig, predict_folds};
use lumbar::train::crop_source::{CropSource, CropSourceConfig, Marked};
use lumbar::train::grader::{CropGrader, Crops};
use lumbar::train::network::{Batch, Plan, Source};
use lumbar::train::observer::{Silent, StopToken};
use lumbar::train::{CrossValidation, TrainConfig};
use lumbar_phantom::{PhantomConfig, PhantomPreset};
use lumbar_tests::scratch;
use tch::Device;

use crate::small::alone;

fn config() -> CropSourceConfig {
    let crop = CropConfig { width_px: 32, height_px: 32, slices: 3, ..CropConfig::default() };
    CropSourceConfig { crop, ..CropSourceConfig::default() }
}

fn network(seed: u64) -> CropGrader<LevelModel> {
    let config = LevelConfig { architecture: Architecture::EfficientNetB0, ..LevelConfig::default() };
    let model = |part| LevelModel::new(&config, seed * 3 + part, Device::Cpu).unwrap();
    CropGrader { canal: model(0), foramen: model(1), recess: model(2) }
}

fn same(left: &Batch<Crops>, right: &Batch<Crops>) -> bool {
    left.labels == right.labels
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
    let records: Vec<&StudyRecord> = manifest.of(Split::Train).collect();
    let source = CropSource::open(&records, &Marked, &config(), Device::Cpu).unwrap();
    let studies: Vec<String> = records.iter().map(|record| record.id.to_string()).collect();

    let first = |plan: &Plan, source: &CropSource| source.batches(plan).next().unwrap().unwrap();
    let plan = Plan { seed: 1, epoch: 0, augmented: true, mirrored: false, batches: vec![studies.clone()] };
    let batch = first(&plan, &source);
    assert!(same(&batch, &first(&plan, &source)), "the same plan");
    assert!(!same(&batch, &first(&Plan { epoch: 1, ..plan.clone() }, &source)), "another epoch");
    let canal = Target::new(Condition::SpinalCanalStenosis, Level::L3L4);
    let picture = |batch: &Batch<Crops>, place: usize| {
        let crops = batch.inputs.groups[0].as_ref()?;
        let index = crops.cells.iter().position(|cell| *cell == (place, canal))?;
        Some(crops.pixels.get(index as i64))
    };
    // a study alone is drawn as it is among others
    let place = (0..studies.len()).find(|&place| picture(&batch, place).is_some()).unwrap();
    let alone = first(&Plan { batches: vec![vec![studies[place].clone()]], ..plan.clone() }, &source);
    assert_eq!(picture(&alone, 0), picture(&batch, place));
    let pixels = &batch.inputs.groups[2].as_ref().unwrap().pixels;
    assert_eq!(pixels.size()[1..], [3, 32, 32]);
    assert!(pixels.std(false).double_value(&[]) > 0.05, "the crops show something");

    let mut train = TrainConfig { epochs: 1, batch_size: 3, ..TrainConfig::default() };
    train.optimizer.lr = 1e-3;
    let run_folder = scratch();
    let folds = vec![studies[..3].to_vec(), studies[3..].to_vec()];
    let run = CrossValidation::open(run_folder.path(), &train, folds).unwrap();
    let table = run
        .fit(|fold| Ok(network(fold as u64)), &source, Device::Cpu, &StopToken::new(), &mut Silent)
        .unwrap()
        .unwrap();
    assert!(score(&Graded::join(source.labels(), &table).unwrap()).unwrap().total().is_finite());

    // the held-out study has no marks: all its cells come from the prior, and the submission is still whole
    let held_out: Vec<&StudyRecord> = manifest.of(Split::Test).collect();
    let prior = Reference::best_constant(source.labels(), 1.0);
    let unlabelled = CropSource::open(&held_out, &Marked, &config(), Device::Cpu).unwrap();
    let names: Vec<String> = held_out.iter().map(|record| record.id.to_string()).collect();
    let predicted =
        predict_folds(&run, |_| Ok(network(9)), &unlabelled, &names, &prior, &PredictConfig::default()).unwrap();
    let sample = Sample::read(&folder.path().join("sample_submission.csv")).unwrap();
    let path = run_folder.path().join("submission.csv");
    write(&path, &predicted, &sample, Overwrite::Refuse).unwrap();
    assert!(validate(&path, &sample).unwrap().is_empty());
    for (cell, expected) in predicted.get(&names[0]).unwrap().iter().zip(prior.rows()) {
        assert!(cell.iter().zip(expected).all(|(cell, expected)| (cell - expected).abs() < 1e-12));
    }
}
