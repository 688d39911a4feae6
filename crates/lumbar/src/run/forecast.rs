//! Predicting studies with the folds of a run.

use std::sync::mpsc::sync_channel;

use serde::Serialize;
use tch::Device;

use super::task::Task;
use super::{Run, RunError, TaskConfig};
use crate::anatomy::Target;
use crate::data::manifest::StudyRecord;
use crate::metric::{PredictionTable, Reference};
use crate::predict::Temperature;
use crate::train::network::{Batch, Network, Plan, Source};
use crate::train::{TrainError, predict_batch, with_mirrored};

/// Prepared batches that wait for the networks.
const PREFETCH: usize = 2;

/// Predictions, and what was odd on the way.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// The mean of folds and flips, scaled; every study that was asked for, in that order.
    pub table: PredictionTable,
    /// Studies that deserve a look.
    pub odd: Vec<OddStudy>,
}

/// A study of which something was missing or unreadable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OddStudy {
    /// The study's name.
    pub study: String,
    /// How many of its 25 targets no picture shows: they are predicted from the prior.
    pub from_prior: usize,
    /// What was odd, in words.
    pub what: Vec<String>,
}

/// A few studies on their way to the networks.
struct Prepared<I> {
    plain: Batch<I>,
    mirrored: Option<Batch<I>>,
    odd: Vec<OddStudy>,
}

type Row = [[f64; 3]; Target::COUNT];

impl Run {
    /// Predicts studies of any data set with all folds: the mean over folds and mirror images, probabilities
    /// scaled by the run's temperatures, the prior where nothing is shown. Studies are decoded on other threads
    /// while the networks work, each once; memory does not grow with their number.
    ///
    /// No study is refused: what cannot be read is reported and predicted from the prior. `progress` hears how
    /// many studies are done.
    ///
    /// # Errors
    /// [`TrainError::MissingFolds`] when a fold is not trained to its end; when a study is named twice, or a
    /// network refuses its batch.
    pub fn predict(
        &self,
        records: &[&StudyRecord],
        device: Device,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Forecast, RunError> {
        let missing = self.missing_folds();
        if !missing.is_empty() {
            return Err(TrainError::MissingFolds { missing, total: self.fold_count() }.into());
        }
        match &self.config.task {
            TaskConfig::WholeStudy(task) => self.forecast(task, records, device, progress),
            TaskConfig::Crops(task) => self.forecast(task, records, device, progress),
        }
    }

    fn forecast<T: Task>(
        &self,
        task: &T,
        records: &[&StudyRecord],
        device: Device,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Forecast, RunError> {
        let temperature = if self.config.predict.temperature { self.temperature()? } else { Temperature::ONE };
        let networks = (0..self.fold_count())
            .map(|fold| self.trained(fold, task.network(None, device)?))
            .collect::<Result<Vec<_>, _>>()?;
        if self.config.predict.folded {
            let folded = networks.iter().map(|network| task.folded(network)).collect::<Result<Vec<_>, _>>()?;
            drop(networks);
            self.with_networks(task, &folded, &temperature, records, device, progress)
        } else {
            self.with_networks(task, &networks, &temperature, records, device, progress)
        }
    }

    fn with_networks<T: Task, N: Network<Inputs = T::Inputs>>(
        &self,
        task: &T,
        networks: &[N],
        temperature: &Temperature,
        records: &[&StudyRecord],
        device: Device,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Forecast, RunError> {
        let (size, flip) = (self.config.predict.batch_size, self.config.predict.flip);
        let mut forecast = Forecast { table: PredictionTable::new(), odd: Vec::new() };
        std::thread::scope(|scope| {
            let (sender, prepared) = sync_channel(PREFETCH);
            scope.spawn(move || {
                for records in records.chunks(size) {
                    // nobody waits any more: a network refused
                    if sender.send(prepare(task, records, flip, device)).is_err() {
                        return;
                    }
                }
            });
            let mut done = 0;
            for batch in prepared {
                let batch = batch?;
                done += batch.plain.studies.len();
                for (study, row) in mean(networks, &batch, &self.prior, temperature)? {
                    forecast.table.insert(study, row)?;
                }
                forecast.odd.extend(batch.odd);
                progress(done, records.len());
            }
            Ok(())
        })
        .map(|()| forecast)
    }
}

/// Decodes a few studies and makes their batches.
fn prepare<T: Task>(
    task: &T,
    records: &[&StudyRecord],
    flip: bool,
    device: Device,
) -> Result<Prepared<T::Inputs>, RunError> {
    let source = task.open(records, None, device, &())?;
    let studies: Vec<String> = records.iter().map(|record| record.id.to_string()).collect();
    let one = |mirrored| -> Result<Batch<T::Inputs>, RunError> {
        let plan = Plan { seed: 0, epoch: 0, augmented: false, mirrored, batches: vec![studies.clone()] };
        let batch = source.batches(&plan).next().ok_or(RunError::ThreadGone)?;
        Ok(batch.map_err(|source| TrainError::Batch { studies: studies.clone(), source })?)
    };
    let plain = one(false)?;
    let shown: Option<Vec<bool>> = match &plain.shown {
        Some(shown) => {
            let shown = shown.f_to_device(Device::Cpu).and_then(|shown| shown.f_flatten(0, -1));
            Some(Vec::try_from(shown.map_err(TrainError::from)?).map_err(TrainError::from)?)
        }
        None => None,
    };
    let mut odd = Vec::new();
    for (place, study) in studies.iter().enumerate() {
        let cells = shown.as_deref().unwrap_or_default().chunks_exact(Target::COUNT).nth(place);
        let from_prior = cells.map_or(0, |cells| cells.iter().filter(|shown| !**shown).count());
        let what = T::oddities(&source, study);
        if from_prior > 0 || !what.is_empty() {
            odd.push(OddStudy { study: study.clone(), from_prior, what });
        }
    }
    let mirrored = if flip { Some(one(true)?) } else { None };
    Ok(Prepared { plain, mirrored, odd })
}

/// The mean over networks of the mean over mirror images at the run's temperatures; the prior as it is.
fn mean<N: Network>(
    networks: &[N],
    batch: &Prepared<N::Inputs>,
    prior: &Reference,
    temperature: &Temperature,
) -> Result<Vec<(String, Row)>, RunError> {
    let mut sums: Vec<(String, Row)> =
        batch.plain.studies.iter().map(|study| (study.clone(), [[0.0; 3]; 25])).collect();
    for network in networks {
        let plain = predict_batch(network, &batch.plain)?;
        let mirrored = match &batch.mirrored {
            Some(mirrored) => Some(predict_batch(network, mirrored)?),
            None => None,
        };
        for (place, (_, sum)) in sums.iter_mut().enumerate() {
            let row = match &mirrored {
                Some(mirrored) => with_mirrored(&plain[place], &mirrored[place]),
                None => plain[place],
            };
            for target in Target::ALL {
                let index = target.index();
                let row = row[index].map_or(prior.rows()[index], |cell| temperature.scale(target, &cell));
                for (sum, value) in sum[index].iter_mut().zip(row) {
                    *sum += value / networks.len() as f64;
                }
            }
        }
    }
    Ok(sums)
}
