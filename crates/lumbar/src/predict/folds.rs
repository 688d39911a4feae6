use serde::{Deserialize, Serialize};

use super::{Temperature, average};
use crate::metric::{PredictionTable, Reference};
use crate::train::checkpoint::Store;
use crate::train::fold::load_weights;
use crate::train::network::{Network, Plan, Source};
use crate::train::{CrossValidation, TrainError, predict, predict_flipped};

/// How studies are predicted with a trained run.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `batch_size` | 8 | studies a batch | 1–4,096 |
/// | `flip` | true | also predict each study mirrored, left and right swapped back, and take the mean | |
/// | `temperature` | 1 for each group | fitted on out-of-fold predictions | 0.05–20 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PredictConfig {
    /// Studies a batch.
    pub batch_size: usize,
    /// Mean of the study and its mirror image.
    pub flip: bool,
    /// Of each condition group.
    pub temperature: Temperature,
}

impl Default for PredictConfig {
    fn default() -> Self {
        Self { batch_size: 8, flip: true, temperature: Temperature::ONE }
    }
}

impl PredictConfig {
    /// # Errors
    /// The first field that is out of its range.
    pub fn check(&self) -> Result<(), TrainError> {
        if !(1..=4_096).contains(&self.batch_size) {
            let found = self.batch_size.to_string();
            return Err(TrainError::Config { field: "batch_size", found, allowed: "1–4,096" });
        }
        let Temperature { spinal, foraminal, subarticular } = self.temperature;
        for (field, value) in [
            ("temperature.spinal", spinal),
            ("temperature.foraminal", foraminal),
            ("temperature.subarticular", subarticular),
        ] {
            if !(0.05..=20.0).contains(&value) {
                return Err(TrainError::Config { field, found: value.to_string(), allowed: "0.05–20" });
            }
        }
        Ok(())
    }

    fn plan(&self, studies: &[String]) -> Plan {
        let batches = studies.chunks(self.batch_size).map(<[String]>::to_vec).collect();
        Plan { seed: 0, epoch: 0, augmented: false, mirrored: false, batches }
    }
}

/// Predicts studies with a network as it is: once, or as the mean with their mirror images. Cells that are not
/// shown get `prior`'s probabilities.
///
/// # Errors
/// When the config is out of range, a batch cannot be made or the network refuses it.
pub fn predict_studies<N: Network, S: Source<N::Inputs>>(
    network: &N,
    source: &S,
    studies: &[String],
    prior: &Reference,
    config: &PredictConfig,
) -> Result<PredictionTable, TrainError> {
    config.check()?;
    let plan = config.plan(studies);
    let table = if config.flip {
        predict_flipped(network, source, &plan, prior)
    } else {
        predict(network, source, &plan, prior)
    };
    Ok(config.temperature.apply(&table?))
}

/// Predicts studies with all folds of a run and takes the mean: the newest checkpoint of each fold, its moving
/// average where there is one. `network` makes a network of the run's kind; its weights are replaced.
///
/// # Errors
/// [`TrainError::MissingFolds`] when a fold is not trained to its end, and those of [`predict_studies`].
pub fn predict_folds<N: Network, S: Source<N::Inputs>>(
    run: &CrossValidation,
    mut network: impl FnMut(usize) -> Result<N, TrainError>,
    source: &S,
    studies: &[String],
    prior: &Reference,
    config: &PredictConfig,
) -> Result<PredictionTable, TrainError> {
    let folds = 0..run.fold_count();
    let missing: Vec<usize> =
        folds.clone().filter(|&fold| !run.fold_folder(fold).join("out_of_fold.csv").exists()).collect();
    if !missing.is_empty() {
        return Err(TrainError::MissingFolds { missing, total: run.fold_count() });
    }
    let mut tables = Vec::with_capacity(run.fold_count());
    for fold in folds {
        let store = Store::open(&run.fold_folder(fold).join("checkpoints"))?;
        let newest =
            store.newest()?.ok_or(TrainError::MissingFolds { missing: vec![fold], total: run.fold_count() })?;
        let network = network(fold)?;
        load_weights(&network, &newest.checkpoint)?;
        tables.push(predict_studies(&network, source, studies, prior, config)?);
    }
    Ok(average(&tables)?)
}
