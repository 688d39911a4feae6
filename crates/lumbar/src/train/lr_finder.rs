//! The learning-rate range test (Smith 2017): train for a few dozen steps at rising rates, look at the loss.

use tch::{Device, Tensor};

use super::loss::Loss;
use super::network::{Network, Source};
use super::optimizer::Optimizer;
use super::{TrainConfig, TrainError, plan};

/// The test ends when the smoothed loss is so many times the smallest one.
const DIVERGED: f64 = 4.0;

/// Memory of the smoothed loss over steps.
const SMOOTHING: f64 = 0.9;

/// A range test's settings.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `lowest` | 1e-7 | rate of the first step | > 0 |
/// | `highest` | 1.0 | rate of the last step | > `lowest` |
/// | `steps` | 100 | steps, the rate rising by the same factor at each | 2–10,000 |
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RangeTest {
    /// Rate of the first step.
    pub lowest: f64,
    /// Rate of the last step.
    pub highest: f64,
    /// Number of steps.
    pub steps: usize,
}

impl Default for RangeTest {
    fn default() -> Self {
        Self { lowest: 1e-7, highest: 1.0, steps: 100 }
    }
}

/// What a range test saw.
#[derive(Debug, Clone, PartialEq)]
pub struct LrCurve {
    /// Learning rate and smoothed loss of each step, until the loss diverged.
    pub points: Vec<(f64, f64)>,
    /// The rate at which the smoothed loss fell fastest over the rate's logarithm; none when it never fell.
    pub steepest: Option<f64>,
}

/// Runs the test and puts the network back as it was, bit for bit.
///
/// # Errors
/// A setting out of range, a batch that cannot be made, or libtorch's.
pub fn find_lr<N: Network, S: Source<N::Inputs>>(
    network: &N,
    source: &S,
    studies: &[String],
    config: &TrainConfig,
    test: &RangeTest,
    device: Device,
) -> Result<LrCurve, TrainError> {
    config.check()?;
    let RangeTest { lowest, highest, steps } = *test;
    if !(2..=10_000).contains(&steps) {
        return Err(TrainError::Config { field: "steps", found: steps.to_string(), allowed: "2–10,000" });
    }
    if !(lowest > 0.0 && highest > lowest && highest.is_finite()) {
        let found = format!("{lowest} to {highest}");
        return Err(TrainError::Config { field: "lowest, highest", found, allowed: "0 < lowest < highest" });
    }
    if studies.is_empty() {
        return Err(TrainError::Nothing("a range test needs studies to train on"));
    }
    let mut tensors: Vec<Tensor> = network.parameters().into_iter().map(|parameter| parameter.tensor).collect();
    tensors.extend(network.buffers().into_iter().map(|(_, tensor)| tensor));
    let before: Vec<Tensor> = tensors.iter().map(|tensor| tch::no_grad(|| tensor.copy())).collect();
    let points = rising(network, source, studies, config, test, device);
    for (tensor, before) in tensors.iter_mut().zip(&before) {
        tch::no_grad(|| tensor.f_copy_(before))?;
    }
    let points = points?;
    let slope = |pair: &[(f64, f64)]| (pair[1].1 - pair[0].1) / (pair[1].0 / pair[0].0).ln();
    let steepest = points
        .windows(2)
        .map(|pair| (pair[0].0, slope(pair)))
        .min_by(|left, right| left.1.total_cmp(&right.1))
        .filter(|(_, slope)| *slope < 0.0)
        .map(|(lr, _)| lr);
    Ok(LrCurve { points, steepest })
}

fn rising<N: Network, S: Source<N::Inputs>>(
    network: &N,
    source: &S,
    studies: &[String],
    config: &TrainConfig,
    test: &RangeTest,
    device: Device,
) -> Result<Vec<(f64, f64)>, TrainError> {
    let mut optimizer = Optimizer::new(network.parameters(), &config.optimizer, config.clip_norm, 0.0)?;
    let loss = Loss::new(&config.loss, device)?;
    let (mut points, mut smoothed, mut least) = (Vec::new(), 0.0, f64::INFINITY);
    for epoch in 0.. {
        let plan = plan::training(config, studies, epoch);
        for (batch, studies) in source.batches(&plan).zip(&plan.batches) {
            let step = points.len();
            let batch = batch.map_err(|source| TrainError::Batch { studies: studies.clone(), source })?;
            tch::manual_seed(plan::torch_seed(config, 0, step as u64));
            let lr = test.lowest * (test.highest / test.lowest).powf(step as f64 / (test.steps - 1) as f64);
            optimizer.zero_gradients()?;
            let value =
                loss.of(&super::epoch::train_logits(network, &batch, config)?, &super::epoch::labels_shown(&batch)?)?;
            value.f_backward()?;
            smoothed = SMOOTHING * smoothed + (1.0 - SMOOTHING) * value.f_double_value(&[])?;
            let unbiased = smoothed / (1.0 - SMOOTHING.powf((step + 1) as f64));
            least = least.min(unbiased);
            if !unbiased.is_finite() || unbiased > DIVERGED * least {
                return Ok(points);
            }
            points.push((lr, unbiased));
            optimizer.step(lr, 1.0)?;
            if points.len() == test.steps {
                return Ok(points);
            }
        }
    }
    Ok(points)
}
