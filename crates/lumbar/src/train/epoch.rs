//! The loop: batches, forward, backward, step.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};

use super::buffers::SavedBuffers;
use super::checkpoint::Sums;
use super::config::Precision;
use super::loss_scale::LossScale;
use super::network::{Mode, Network};
use super::objective::Objective;
use super::observer::{Event, Observer, StopToken};
use super::optimizer::Optimizer;
use super::schedule::Schedule;
use super::{TrainConfig, TrainError, mix, plan};
use crate::data::StudyId;
use crate::data::loader::{Batch, Dataset, Loader, Plan};

/// A run ends after this many steps in a row without a finite loss and gradient.
const LONGEST_STREAK: usize = 20;

/// The position in a fold: what the loop advances and a checkpoint stores.
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
pub(super) struct Loop<'a, N, D, O> {
    pub(super) network: &'a N,
    pub(super) dataset: &'a Arc<D>,
    pub(super) objective: &'a O,
    pub(super) config: &'a TrainConfig,
    pub(super) device: Device,
    pub(super) schedule: Schedule,
    pub(super) steps: u64,
    pub(super) fold: usize,
    pub(super) stop: &'a StopToken,
}

impl<N, D, O> Loop<'_, N, D, O>
where
    N: Network,
    O: Objective,
    D: Dataset<Inputs = N::Inputs, Truth = O::Truth>,
{
    /// Trains the rest of an epoch from `progress` on. `after_step` may save.
    pub(super) fn train(
        &self,
        studies: &[StudyId],
        optimizer: &mut Optimizer,
        progress: &mut Progress,
        observer: &mut dyn Observer,
        mut after_step: impl FnMut(&Optimizer, &Progress, &mut dyn Observer) -> Result<(), TrainError>,
    ) -> Result<Ended, TrainError> {
        let accumulate = self.config.accumulate;
        let mut plan = plan::training(self.config, studies, progress.epoch);
        let done = (progress.step_in_epoch as usize * accumulate).min(plan.batches.len());
        plan.batches.drain(..done);
        let groups = plan.batches.clone();
        let mut batches = self.load(plan)?;
        let mut buffers = SavedBuffers::of(self.network)?;
        let mut streak = 0;
        for group in groups.chunks(accumulate) {
            let (start, mut waited) = (Instant::now(), Duration::ZERO);
            let lr = self.config.optimizer.lr * self.schedule.factor(progress.step);
            tch::manual_seed(plan::torch_seed(self.config, self.fold, progress.step));
            optimizer.zero_gradients()?;
            buffers.save()?;
            let scale = progress.scale.factor(self.config.precision);
            let mut loss = 0.0;
            for part in 0..group.len() {
                let asked = Instant::now();
                let mut batch = next(&mut batches)?;
                waited += asked.elapsed();
                let place = (progress.epoch, progress.step_in_epoch, part);
                let mixed = mix::batch(self.network, self.objective, &mut batch, self.config, self.fold, place)?;
                let output = self.forward(&batch, Mode::Train)?;
                let batch_loss = mix::loss(mixed.as_ref(), self.objective, &output, &batch.truth)?;
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
                    buffers.restore()?;
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

    /// Predicts studies with the current weights.
    pub(super) fn predict(&self, studies: &[StudyId]) -> Result<O::Table, TrainError> {
        let mut table = O::Table::default();
        for batch in self.load(plan::evaluation(self.config, studies))? {
            let batch = batch?;
            tch::no_grad(|| {
                let output = self.forward(&batch, Mode::Eval)?;
                self.objective.predict(&mut table, &batch.studies, &output, &batch.truth)
            })?;
        }
        Ok(table)
    }

    fn load(&self, plan: Plan) -> Result<Loader<N::Inputs, O::Truth>, TrainError> {
        Ok(Loader::start(Arc::clone(self.dataset), plan, &self.config.loader, self.device)?)
    }

    /// The network's output at the config's precision.
    fn forward(&self, batch: &Batch<N::Inputs, O::Truth>, mode: Mode) -> Result<Tensor, TrainError> {
        let refused = |source| TrainError::Batch { studies: batch.studies.clone(), source };
        let autocast = match self.config.precision {
            Precision::Float32 => None,
            Precision::Bfloat16 => Some(torch_ext::autocast::enter(self.device, Kind::BFloat16)?),
            Precision::Float16 => Some(torch_ext::autocast::enter(self.device, Kind::Half)?),
        };
        let output = self.network.forward(&batch.inputs, mode).map_err(refused)?;
        drop(autocast);
        Ok(output)
    }
}

fn next<I, T>(batches: &mut Loader<I, T>) -> Result<Batch<I, T>, TrainError>
where
    Loader<I, T>: Iterator<Item = Result<Batch<I, T>, crate::data::loader::LoaderError>>,
{
    Ok(batches.next().expect("the loader returns as many batches as its plan has, or an error")?)
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
