//! The trainer knows no task: a regression with an output, a truth, a table and a score of its own is trained, stopped,
//! resumed and merged by the same code as the graders.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use lumbar::data::StudyId;
use lumbar::data::loader::{BoxError, Dataset, Plan};
use lumbar::train::fold::FoldOutcome;
use lumbar::train::network::{Mode, Network};
use lumbar::train::observer::{Event, Silent, StopToken};
use lumbar::train::optimizer::Parameter;
use lumbar::train::{CrossValidation, Objective, OutOfFold, TrainConfig, TrainError, ValidationScore};
use lumbar_tests::scratch;
use tch::{Device, Kind, Tensor};

use crate::small::alone;

/// Studies with two numbers each, which follow from the study's own number.
struct Positions;

impl Positions {
    fn of(study: StudyId) -> [f32; 2] {
        [(study.0 as f32 / 7.0).sin(), (study.0 as f32 / 5.0).cos()]
    }
}

impl Dataset for Positions {
    type Sample = StudyId;
    type Inputs = Tensor;
    type Truth = Tensor;

    fn sample(&self, _: &Plan, study: StudyId) -> Result<StudyId, BoxError> {
        Ok(study)
    }

    fn collate(&self, _: &Plan, studies: Vec<StudyId>) -> Result<(Tensor, Tensor), BoxError> {
        let inputs: Vec<f32> = studies.iter().flat_map(|study| [1.0, study.0 as f32 / 50.0]).collect();
        let truth: Vec<f32> = studies.iter().flat_map(|study| Self::of(*study)).collect();
        let shape = [studies.len() as i64, 2];
        Ok((Tensor::f_from_slice(&inputs)?.f_view(shape)?, Tensor::f_from_slice(&truth)?.f_view(shape)?))
    }
}

struct Linear(Tensor);

impl Network for Linear {
    type Inputs = Tensor;

    fn parameters(&self) -> Vec<Parameter> {
        vec![Parameter { name: "weight".to_owned(), tensor: self.0.shallow_clone(), depth: 0 }]
    }

    fn buffers(&self) -> Vec<(String, Tensor)> {
        Vec::new()
    }

    fn forward(&self, inputs: &Tensor, _: Mode) -> Result<Tensor, BoxError> {
        Ok(inputs.f_matmul(&self.0)?)
    }
}

fn network() -> Linear {
    Linear(Tensor::zeros([2, 2], (Kind::Float, Device::Cpu)).set_requires_grad(true))
}

/// A position a study, as `study,x,y` lines.
#[derive(Debug, Default, PartialEq)]
struct Found(BTreeMap<StudyId, [f32; 2]>);

impl OutOfFold for Found {
    fn write(&self, path: &Path) -> Result<(), TrainError> {
        let text: String = self.0.iter().map(|(study, [x, y])| format!("{study},{x},{y}\n")).collect();
        fs::write(path, text).map_err(|source| TrainError::File { path: path.to_owned(), source })
    }

    fn read(path: &Path) -> Result<Self, TrainError> {
        let text = fs::read_to_string(path).map_err(|source| TrainError::File { path: path.to_owned(), source })?;
        let row = |line: &str| {
            let cells: Vec<&str> = line.split(',').collect();
            (cells[0].parse().unwrap(), [cells[1].parse().unwrap(), cells[2].parse().unwrap()])
        };
        Ok(Self(text.lines().map(row).collect()))
    }

    fn add(&mut self, study: StudyId, from: &Self) -> Result<bool, TrainError> {
        Ok(from.0.get(&study).map(|row| self.0.insert(study, *row)).is_some())
    }
}

/// Mean squared error; the score is the mean absolute error of each coordinate.
struct Regression;

impl Objective for Regression {
    type Truth = Tensor;
    type Table = Found;

    fn loss(&self, output: &Tensor, truth: &Tensor) -> Result<Tensor, TrainError> {
        Ok(output.f_mse_loss(truth, tch::Reduction::Mean)?)
    }

    fn predict(&self, table: &mut Found, studies: &[StudyId], output: &Tensor, _: &Tensor) -> Result<(), TrainError> {
        let values: Vec<f32> = Vec::try_from(output.f_flatten(0, -1)?)?;
        table.0.extend(studies.iter().zip(values.chunks_exact(2)).map(|(study, row)| (*study, [row[0], row[1]])));
        Ok(())
    }

    fn score(&self, table: &Found) -> Result<Option<ValidationScore>, TrainError> {
        let error = |axis: usize| {
            let errors = table.0.iter().map(|(study, row)| f64::from(row[axis] - Positions::of(*study)[axis]).abs());
            errors.sum::<f64>() / table.0.len() as f64
        };
        Ok(Some(ValidationScore::new([("x_mm", error(0)), ("y_mm", error(1))])))
    }
}

#[test]
fn a_regression_is_trained_resumed_and_merged_like_a_grader() {
    let _turn = alone();
    let dataset = Arc::new(Positions);
    let folds: Vec<Vec<StudyId>> =
        (0..2).map(|fold| (0..20).map(|study| StudyId(2 * study + fold)).collect()).collect();
    let mut config = TrainConfig { epochs: 12, batch_size: 4, ..TrainConfig::default() };
    config.optimizer.lr = 0.1;
    let fitted = |stops: &[u64]| {
        let folder = scratch();
        let run = CrossValidation::open(folder.path(), &config, folds.clone()).unwrap();
        for at in stops {
            let stop = StopToken::new();
            let asked = stop.clone();
            let mut observer = |event: &Event| {
                if matches!(event, Event::Step { step, .. } if step == at) {
                    asked.stop();
                }
            };
            let outcome =
                run.fit_fold(0, &network(), [&dataset, &dataset], &Regression, Device::Cpu, &stop, &mut observer);
            assert_eq!(outcome.unwrap(), FoldOutcome::Stopped);
        }
        for fold in 0..2 {
            run.fit_fold(
                fold,
                &network(),
                [&dataset, &dataset],
                &Regression,
                Device::Cpu,
                &StopToken::new(),
                &mut Silent,
            )
            .unwrap();
        }
        let history = fs::read_to_string(run.fold_folder(0).join("history.jsonl")).unwrap();
        (run.merge::<Found>().unwrap(), history)
    };
    let (table, history) = fitted(&[]);
    assert_eq!(table.0.len(), 40);
    assert_eq!((table, history.clone()), fitted(&[1, 17, 30]), "the same after three stops");
    let scores: Vec<f64> = history
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["validation"]["x_mm"].as_f64().unwrap())
        .collect();
    assert!(scores[11] < 0.9 * scores[0], "{scores:?}");
    // a task that cannot be mixed says so
    let mixed = TrainConfig { mix: lumbar::data::augment::MixConfig { mixup_p: 1.0, ..Default::default() }, ..config };
    let folder = scratch();
    let run = CrossValidation::open(folder.path(), &mixed, folds.clone()).unwrap();
    let error = run
        .fit_fold(0, &network(), [&dataset, &dataset], &Regression, Device::Cpu, &StopToken::new(), &mut Silent)
        .unwrap_err()
        .to_string();
    assert!(error.contains("the inputs of this task cannot be mixed"), "{error}");
}
