//! The loop: batches, forward, backward, step.

use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};

use super::checkpoint::Sums;
use super::config::Precision;
use super::loss::{Loss, MASKED};
use super::loss_scale::LossScale;
use super::network::{Batch, BoxError, Mode, Network, Plan, Source};
use super::observer::{Event, Observer, StopToken};
use super::optimizer::Optimizer;
use super::schedule::Schedule;
use super::{TrainConfig, TrainError, mix, plan};
use crate::anatomy::{Mirror, Target};
use crate::metric::{PredictionTable, Reference};

/// So many steps in a row without a finite loss and gradient end the run.
const LONGEST_STREAK: usize = 20;

/// Where an epoch stands: what the loop advances and a checkpoint keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Progress {
    pub(super) epoch: usize,
    pub(super) step_in_epoch: u64,
    pub(super) step: u64,
    pub(super) sums: Sums,
    pub(super) scale: LossScale,
}

/// How the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Epoch,
    Stopped,
}

/// What does not change during a fold.
pub(super) struct Loop<'a, N: Network, S> {
    pub(super) network: &'a N,
    pub(super) source: &'a S,
    pub(super) config: &'a TrainConfig,
    pub(super) loss: Loss,
    pub(super) schedule: Schedule,
    pub(super) steps: u64,
    pub(super) fold: usize,
    pub(super) stop: &'a StopToken,
}

impl<N: Network, S: Source<N::Inputs>> Loop<'_, N, S> {
    /// Trains the rest of an epoch from where `progress` stands. `after_step` may save.
    pub(super) fn train(
        &self,
        studies: &[String],
        optimizer: &mut Optimizer,
        progress: &mut Progress,
        observer: &mut dyn Observer,
        mut after_step: impl FnMut(&Optimizer, &Progress, &mut dyn Observer) -> Result<(), TrainError>,
    ) -> Result<Ended, TrainError> {
        let accumulate = self.config.accumulate;
        let mut plan = plan::training(self.config, studies, progress.epoch);
        let done = (progress.step_in_epoch as usize * accumulate).min(plan.batches.len());
        plan.batches.drain(..done);
        let mut batches = self.source.batches(&plan);
        let mut streak = 0;
        for group in plan.batches.chunks(accumulate) {
            let (start, mut waited) = (Instant::now(), Duration::ZERO);
            let lr = self.config.optimizer.lr * self.schedule.factor(progress.step);
            tch::manual_seed(plan::torch_seed(self.config, self.fold, progress.step));
            optimizer.zero_gradients()?;
            let scale = progress.scale.factor(self.config.precision);
            let mut loss = 0.0;
            for (part, studies) in group.iter().enumerate() {
                let asked = Instant::now();
                let mut batch = next(&mut batches, studies)?;
                waited += asked.elapsed();
                let place = (progress.epoch, progress.step_in_epoch, part);
                let mixed = mix::batch(self.network, &mut batch, self.config, self.fold, place)?;
                let logits = train_logits(self.network, &batch, self.config)?;
                let batch_loss = mix::loss(mixed.as_ref(), &self.loss, &logits, &labels_shown(&batch)?)?;
                if scale == 1.0 {
                    batch_loss.f_backward()?
                } else {
                    batch_loss.f_mul_scalar(scale)?.f_backward()?
                };
                loss += batch_loss.f_double_value(&[])? / group.len() as f64;
            }
            let report = if loss.is_finite() { Some(optimizer.step(lr, group.len() as f64 * scale)?) } else { None };
            if self.config.precision == Precision::Float16 {
                progress.scale.update(report.is_some_and(|report| report.applied));
            }
            let epoch = progress.epoch;
            progress.step += 1;
            progress.step_in_epoch += 1;
            match report {
                Some(report) if report.applied => {
                    streak = 0;
                    progress.sums.add(loss, report.gradient_norm);
                    observer.event(&Event::Step {
                        epoch,
                        step: progress.step,
                        steps: self.steps,
                        loss,
                        gradient_norm: report.gradient_norm,
                        lr,
                        studies: group.iter().map(Vec::len).sum(),
                        data: waited,
                        total: start.elapsed(),
                    });
                }
                report => {
                    let what = if report.is_some() { "gradient" } else { "loss" };
                    streak += 1;
                    progress.sums.skipped += 1;
                    observer.event(&Event::StepSkipped { epoch, step: progress.step, what });
                    if streak >= LONGEST_STREAK {
                        return Err(TrainError::NotFinite { epoch, step: progress.step, what, streak });
                    }
                }
            }
            after_step(optimizer, progress, observer)?;
            if self.stop.is_stopped() {
                return Ok(Ended::Stopped);
            }
        }
        Ok(Ended::Epoch)
    }

    /// Predicts studies with the weights as they are; cells that are not shown get `prior`'s probabilities.
    pub(super) fn predict(&self, studies: &[String], prior: &Reference) -> Result<PredictionTable, TrainError> {
        let plan = plan::evaluation(self.config, studies);
        predict_at(self.network, self.source, &plan, prior, self.config.precision)
    }
}

impl Sums {
    fn add(&mut self, loss: f64, gradient_norm: f64) {
        let sum = |bits: u64, value: f64| (f64::from_bits(bits) + value).to_bits();
        self.loss = sum(self.loss, loss);
        self.gradient_norm = sum(self.gradient_norm, gradient_norm);
        self.steps += 1;
    }

    /// Means of loss and gradient length.
    pub(super) fn means(&self) -> (f64, f64) {
        let mean = |bits: u64| f64::from_bits(bits) / self.steps.max(1) as f64;
        (mean(self.loss), mean(self.gradient_norm))
    }
}

/// Predicts the studies of a plan in single precision: softmax of the logits, the prior where a cell is not
/// shown.
///
/// # Errors
/// When a batch cannot be made or the network refuses it.
pub fn predict<N: Network, S: Source<N::Inputs>>(
    network: &N,
    source: &S,
    plan: &Plan,
    prior: &Reference,
) -> Result<PredictionTable, TrainError> {
    predict_at(network, source, plan, prior, Precision::Float32)
}

/// Predicts each study of a plan and its mirror image, left and right swapped back, and takes the mean of the cells
/// that both show; a cell that one of them shows is that one's, a cell that none shows the prior's.
///
/// # Errors
/// As [`predict`].
pub fn predict_flipped<N: Network, S: Source<N::Inputs>>(
    network: &N,
    source: &S,
    plan: &Plan,
    prior: &Reference,
) -> Result<PredictionTable, TrainError> {
    let (plain, mirrored) = (Plan { mirrored: false, ..plan.clone() }, Plan { mirrored: true, ..plan.clone() });
    let (mut plain, mut mirrored) = (source.batches(&plain), source.batches(&mirrored));
    let mut table = PredictionTable::new();
    for studies in &plan.batches {
        let batch = next(&mut plain, studies)?;
        let cells = predict_batch(network, &batch)?;
        let turned = predict_batch(network, &next(&mut mirrored, studies)?)?;
        for (study, (row, turned)) in batch.studies.iter().zip(cells.iter().zip(&turned)) {
            let row = with_mirrored(row, turned);
            table.insert(study, std::array::from_fn(|target| row[target].unwrap_or(prior.rows()[target])))?;
        }
    }
    Ok(table)
}

/// The mean of a study's cells and its mirror image's.
pub(crate) fn with_mirrored(plain: &Row, mirrored: &Row) -> Row {
    let turned = Mirror::targets(mirrored);
    std::array::from_fn(|target| match (plain[target], turned[target]) {
        (Some(one), Some(other)) => Some(std::array::from_fn(|class| (one[class] + other[class]) / 2.0)),
        (one, other) => one.or(other),
    })
}

fn predict_at<N: Network, S: Source<N::Inputs>>(
    network: &N,
    source: &S,
    plan: &Plan,
    prior: &Reference,
    precision: Precision,
) -> Result<PredictionTable, TrainError> {
    let mut table = PredictionTable::new();
    let mut batches = source.batches(plan);
    for studies in &plan.batches {
        let batch = next(&mut batches, studies)?;
        for (study, row) in batch.studies.iter().zip(cells(network, &batch, precision)?) {
            table.insert(study, std::array::from_fn(|target| row[target].unwrap_or(prior.rows()[target])))?;
        }
    }
    Ok(table)
}

/// Probabilities of a study over its targets; none where a cell is not shown.
type Row = [Option<[f64; 3]>; Target::COUNT];
/// Those of each study of a batch.
type Cells = Vec<Row>;

/// Predicts one batch in single precision.
pub(crate) fn predict_batch<N: Network>(network: &N, batch: &Batch<N::Inputs>) -> Result<Cells, TrainError> {
    cells(network, batch, Precision::Float32)
}

fn cells<N: Network>(network: &N, batch: &Batch<N::Inputs>, precision: Precision) -> Result<Cells, TrainError> {
    let probabilities = tch::no_grad(|| -> Result<Tensor, TrainError> {
        Ok(logits(network, batch, Mode::Eval, precision)?.f_softmax(-1, Kind::Double)?.f_to_device(Device::Cpu)?)
    })?;
    let probabilities: Vec<f64> = Vec::try_from(probabilities.f_flatten(0, -1)?)?;
    let shown: Option<Vec<bool>> = match &batch.shown {
        Some(shown) => Some(Vec::try_from(shown.f_to_device(Device::Cpu)?.f_flatten(0, -1)?)?),
        None => None,
    };
    let cell = |cell: usize| {
        let is_shown = shown.as_ref().is_none_or(|shown| shown[cell]);
        is_shown.then(|| std::array::from_fn(|class| probabilities[cell * 3 + class]))
    };
    let row = |place: usize| std::array::from_fn(|target| cell(place * Target::COUNT + target));
    Ok((0..batch.studies.len()).map(row).collect())
}

/// Logits in train mode, at the config's precision.
pub(super) fn train_logits<N: Network>(
    network: &N,
    batch: &Batch<N::Inputs>,
    config: &TrainConfig,
) -> Result<Tensor, TrainError> {
    logits(network, batch, Mode::Train, config.precision)
}

fn logits<N: Network>(
    network: &N,
    batch: &Batch<N::Inputs>,
    mode: Mode,
    precision: Precision,
) -> Result<Tensor, TrainError> {
    let refused = |source| TrainError::Batch { studies: batch.studies.clone(), source };
    let autocast = match precision {
        Precision::Float32 => None,
        Precision::Bfloat16 | Precision::Float16 => {
            let kind = if precision == Precision::Float16 { Kind::Half } else { Kind::BFloat16 };
            let guard = torch_ext::autocast::enter(batch.labels.device(), kind);
            Some(guard.map_err(|error| refused(error.into()))?)
        }
    };
    let logits = network.logits(&batch.inputs, mode).map_err(refused)?;
    drop(autocast);
    let expected = [batch.studies.len() as i64, Target::COUNT as i64, 3];
    if logits.size() != expected {
        return Err(TrainError::Shape { what: "logits", expected: format!("{expected:?}"), found: logits.size() });
    }
    Ok(logits)
}

/// Labels with those masked that the inputs do not show.
pub(super) fn labels_shown<I>(batch: &Batch<I>) -> Result<Tensor, TrainError> {
    Ok(match &batch.shown {
        Some(shown) => batch.labels.f_masked_fill(&shown.f_logical_not()?, MASKED)?,
        None => batch.labels.f_detach()?,
    })
}

fn next<I>(
    batches: &mut dyn Iterator<Item = Result<Batch<I>, BoxError>>,
    studies: &[String],
) -> Result<Batch<I>, TrainError> {
    let refused = |source| TrainError::Batch { studies: studies.to_vec(), source };
    let batch = batches.next().ok_or_else(|| refused("there is none: the source ended early".into()))?;
    let batch = batch.map_err(refused)?;
    if batch.studies == studies {
        Ok(batch)
    } else {
        Err(refused(format!("the source gave studies {} instead", batch.studies.join(", ")).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn left_goes_back_to_left_and_a_cell_that_one_picture_shows_is_that_ones() {
        let plain: Row =
            Target::ALL.map(|target| Some([1.0 - target.index() as f64 / 100.0, 0.0, target.index() as f64 / 100.0]));
        let mirrored = Mirror::targets(&plain);
        assert_eq!(with_mirrored(&plain, &mirrored), plain);
        assert_eq!(with_mirrored(&[None; Target::COUNT], &mirrored), plain);
        assert_eq!(with_mirrored(&plain, &[None; Target::COUNT]), plain);
        assert_eq!(with_mirrored(&[None; Target::COUNT], &[None; Target::COUNT]), [None; Target::COUNT]);
    }
}
