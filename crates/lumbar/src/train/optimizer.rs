//! AdamW over one flat tensor.
//!
//! All trained weights are in one fp32 tensor, the arena, and each parameter is a view of it. So are their gradients,
//! into which autograd adds in place. The check for non-finite gradients, clipping with AdamW and the moving average
//! are then a few passes over memory a step, and a checkpoint is four tensors and a number.
//!
//! Parameters with the same learning rate and weight decay are neighbours and are stepped as one slice: that gives
//! layer-wise learning rates, undecayed vectors and frozen layers.
//!
//! On a GPU each parameter starts at a multiple of [`CUDA_ALIGNMENT`] elements, since cuDNN reads weights in vectors
//! of 16 bytes. A checkpoint of one layout continues on the other.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use torch_ext::fused::AdamW;

use super::TrainError;
use super::config::OptimizerConfig;

/// The names, among those of [`Optimizer::state`], of the means of gradients and of their squares: what training
/// alone needs.
pub const MOMENTS: [&str; 2] = ["mean", "square"];

/// Elements to which parameters are aligned on a GPU: 256 bytes, the alignment of a fresh CUDA allocation.
pub const CUDA_ALIGNMENT: i64 = 64;

/// A trained tensor of a network.
#[derive(Debug)]
pub struct Parameter {
    /// Its name, unique in the network: `blocks.0.0.conv_dw.weight`.
    pub name: String,
    /// The tensor itself: a leaf that needs a gradient, fp32.
    pub tensor: Tensor,
    /// How many layers it is away from the head; the head's own are 0.
    pub depth: usize,
}

/// The position of a parameter in the arena.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The parameter's name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<i64>,
    /// Elements between neighbours along each dimension.
    pub stride: Vec<i64>,
    /// First element.
    pub offset: i64,
}

impl Place {
    fn numel(&self) -> i64 {
        self.shape.iter().product()
    }

    /// The parameter's part of a flat tensor.
    fn view(&self, flat: &Tensor) -> Result<Tensor, TrainError> {
        Ok(flat.f_as_strided(&self.shape, &self.stride, self.offset)?)
    }

    /// Whether two places are of the same parameter; their positions may differ.
    fn is_of(&self, other: &Self) -> bool {
        self.name == other.name && self.shape == other.shape && self.stride == other.stride
    }
}

/// Parameters that are stepped alike: a slice of the arena.
#[derive(Debug, Clone, PartialEq)]
struct Group {
    depth: usize,
    offset: i64,
    length: i64,
    lr_scale: f64,
    weight_decay: f64,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// Length of the gradient before clipping.
    pub gradient_norm: f64,
    /// Whether the weights were changed; they are not if the gradient is not finite.
    pub applied: bool,
}

/// AdamW, its state and the weights themselves.
///
/// # Shapes
/// Every flat tensor is `[weights]`, fp32, on the parameters' device.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    clip_norm: f64,
    ema_decay: f64,
    places: Vec<Place>,
    groups: Vec<Group>,
    /// The parameters. Their gradients are views of the arena.
    leaves: Vec<Tensor>,
    weights: Tensor,
    gradients: Tensor,
    mean: Tensor,
    square: Tensor,
    average: Option<Tensor>,
    step: u64,
    frozen_above: Option<usize>,
}

impl Optimizer {
    /// Moves the parameters into an arena. `clip_norm` 0 does not clip, `ema_decay` 0 computes no average.
    ///
    /// # Errors
    /// When there is no parameter, two have the same name, or one is not fp32 or records no gradient.
    pub fn new(
        mut parameters: Vec<Parameter>,
        config: &OptimizerConfig,
        clip_norm: f64,
        ema_decay: f64,
    ) -> Result<Self, TrainError> {
        let decayed = |tensor: &Tensor| tensor.dim() > 1;
        parameters.sort_by_key(|parameter| (parameter.depth, !decayed(&parameter.tensor)));
        let Some(first) = parameters.first() else { return Err(TrainError::Nothing("the network has no parameter")) };
        let device = first.tensor.device();
        let (mut places, mut groups) = (Vec::<Place>::new(), Vec::<Group>::new());
        let alignment = if device.is_cuda() { CUDA_ALIGNMENT } else { 1 };
        let mut offset = 0;
        for Parameter { name, tensor, depth } in &parameters {
            if tensor.kind() != Kind::Float || !tensor.requires_grad() || !tensor.is_leaf() {
                return Err(TrainError::OtherNetwork(format!("{name} is no trainable fp32 leaf")));
            }
            if places.iter().any(|place| place.name == *name) {
                return Err(TrainError::OtherNetwork(format!("two parameters are named {name}")));
            }
            // the padding behind a parameter belongs to its group: it is zero and stays zero
            let length = (tensor.numel() as i64 + alignment - 1) / alignment * alignment;
            let weight_decay = if decayed(tensor) { config.weight_decay } else { 0.0 };
            match groups.last_mut() {
                Some(group) if group.depth == *depth && group.weight_decay == weight_decay => group.length += length,
                _ => groups.push(Group {
                    depth: *depth,
                    offset,
                    length,
                    lr_scale: config.layer_decay.powi(i32::try_from(*depth).unwrap_or(i32::MAX)),
                    weight_decay,
                }),
            }
            places.push(Place { name: name.clone(), shape: tensor.size(), stride: dense_stride(tensor), offset });
            offset += length;
        }
        let flat = || Tensor::f_zeros([offset], (Kind::Float, device));
        let (weights, gradients) = (flat()?, flat()?);
        let mut leaves = Vec::with_capacity(parameters.len());
        for (place, Parameter { mut tensor, .. }) in places.iter().zip(parameters) {
            let mut view = weights.f_as_strided(&place.shape, &place.stride, place.offset)?;
            tch::no_grad(|| view.f_copy_(&tensor))?;
            tensor.f_set_data(&view)?;
            // a gradient that exists is added to in place; this one's memory becomes the arena's
            tensor.f_sum(Kind::Float)?.f_mul_scalar(0.0)?.f_backward()?;
            tensor.f_grad()?.f_set_data(&gradients.f_as_strided(&place.shape, &place.stride, place.offset)?)?;
            leaves.push(tensor);
        }
        let average = if ema_decay > 0.0 { Some(copied(&weights)?) } else { None };
        Ok(Self {
            config: config.clone(),
            clip_norm,
            ema_decay,
            places,
            groups,
            leaves,
            weights,
            gradients,
            mean: flat()?,
            square: flat()?,
            average,
            step: 0,
            frozen_above: None,
        })
    }

    /// Number of trained weights.
    #[must_use]
    pub fn weight_count(&self) -> i64 {
        self.places.iter().map(Place::numel).sum()
    }

    /// Steps that changed the weights.
    #[must_use]
    pub const fn step_count(&self) -> u64 {
        self.step
    }

    /// The position of each parameter in the arena.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Freezes every layer that is further from the head than `depth`; `None` unfreezes all. Frozen weights and
    /// their means do not change.
    ///
    /// # Errors
    /// libtorch's.
    pub fn freeze_above(&mut self, depth: Option<usize>) -> Result<(), TrainError> {
        self.frozen_above = depth;
        for (leaf, place) in self.leaves.iter().zip(&self.places) {
            let group = self.groups.iter().rfind(|group| group.offset <= place.offset);
            let frozen = group.is_some_and(|group| depth.is_some_and(|depth| group.depth > depth));
            let _ = leaf.f_set_requires_grad(!frozen)?;
        }
        Ok(())
    }

    /// Sets all gradients to zero, before the first backward pass of a step.
    ///
    /// # Errors
    /// libtorch's.
    pub fn zero_gradients(&mut self) -> Result<(), TrainError> {
        let _ = self.gradients.f_zero_()?;
        Ok(())
    }

    /// One step with the gradients that autograd added up, divided by `divisor` (the number of accumulated
    /// batches), at learning rate `lr`.
    ///
    /// Clips to the config's length, then p ← p − lr·decay·p, m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g²,
    /// p ← p − lr/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε), as `torch.optim.AdamW`. The average then moves by
    /// 1 − min(`ema_decay`, (1 + t)/(10 + t)).
    ///
    /// # Errors
    /// libtorch's.
    pub fn step(&mut self, lr: f64, divisor: f64) -> Result<StepReport, TrainError> {
        tch::no_grad(|| self.step_without_graph(lr, divisor))
    }

    fn step_without_graph(&mut self, lr: f64, divisor: f64) -> Result<StepReport, TrainError> {
        let gradient_norm = length(&self.gradients)? / divisor;
        if !gradient_norm.is_finite() {
            return Ok(StepReport { gradient_norm, applied: false });
        }
        let clip = if self.clip_norm > 0.0 { (self.clip_norm / (gradient_norm + 1e-6)).min(1.0) } else { 1.0 };
        self.step += 1;
        let OptimizerConfig { beta1, beta2, eps, .. } = self.config;
        let steps = self.step as f64;
        let step = Tensor::f_from_slice(&[steps as f32])?.f_to_device(self.weights.device())?;
        for group in &self.groups {
            if self.frozen_above.is_some_and(|depth| group.depth > depth) {
                continue;
            }
            let slice = |flat: &Tensor| flat.f_narrow(0, group.offset, group.length);
            let adamw = AdamW {
                lr: lr * group.lr_scale,
                beta1,
                beta2,
                weight_decay: group.weight_decay,
                eps,
                gradient_divisor: divisor / clip,
            };
            let (weights, gradients) = (slice(&self.weights)?, slice(&self.gradients)?);
            adamw.step(&weights, &gradients, &slice(&self.mean)?, &slice(&self.square)?, &step)?;
        }
        if let Some(average) = &mut self.average {
            let decay = self.ema_decay.min((1.0 + steps) / (10.0 + steps));
            let _ = average.f_lerp_(&self.weights, 1.0 - decay)?;
        }
        Ok(StepReport { gradient_norm, applied: true })
    }

    /// Exchanges weights and average, bit for bit; called twice it changes nothing. Without an average it
    /// does nothing.
    ///
    /// # Errors
    /// libtorch's.
    pub fn swap_average(&mut self) -> Result<(), TrainError> {
        let Some(average) = &mut self.average else { return Ok(()) };
        tch::no_grad(|| {
            let weights = copied(&self.weights)?;
            self.weights.f_copy_(average)?;
            average.f_copy_(&weights)
        })?;
        Ok(())
    }

    /// The flat tensors of a checkpoint, by name.
    #[must_use]
    pub fn state(&self) -> Vec<(&'static str, &Tensor)> {
        let [mean, square] = MOMENTS;
        let mut state = vec![("weights", &self.weights), (mean, &self.mean), (square, &self.square)];
        state.extend(self.average.as_ref().map(|average| ("average", average)));
        state
    }

    /// Copies a state that [`Optimizer::state`] returned, after checking that it is of the same parameters.
    ///
    /// # Errors
    /// [`TrainError::OtherNetwork`], and nothing is changed.
    pub fn restore(
        &mut self,
        places: &[Place],
        step: u64,
        tensor: impl FnMut(&str) -> Option<Tensor>,
    ) -> Result<(), TrainError> {
        self.restore_some(places, step, tensor, |_| true)
    }

    /// Copies the trained tensors, from a state without the means of gradients ([`MOMENTS`]), which stay
    /// unchanged: enough to predict, not to continue training.
    ///
    /// # Errors
    /// As [`Optimizer::restore`].
    pub fn restore_trained(
        &mut self,
        places: &[Place],
        step: u64,
        tensor: impl FnMut(&str) -> Option<Tensor>,
    ) -> Result<(), TrainError> {
        self.restore_some(places, step, tensor, |name| !MOMENTS.contains(&name))
    }

    fn restore_some(
        &mut self,
        places: &[Place],
        step: u64,
        mut tensor: impl FnMut(&str) -> Option<Tensor>,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<(), TrainError> {
        if places.len() != self.places.len() {
            let (found, expected) = (places.len(), self.places.len());
            return Err(TrainError::OtherNetwork(format!("{found} parameters, expected {expected}")));
        }
        if let Some((found, expected)) =
            places.iter().zip(&self.places).find(|(found, expected)| !found.is_of(expected))
        {
            let describe = |place: &Place| format!("{} {:?} {:?}", place.name, place.shape, place.stride);
            let (found, expected) = (describe(found), describe(expected));
            return Err(TrainError::OtherNetwork(format!("found {found}, expected {expected}")));
        }
        let mut found = Vec::new();
        for (name, own) in self.state().into_iter().filter(|(name, _)| wanted(name)) {
            match tensor(name) {
                Some(tensor) if holds(places, &tensor) && tensor.kind() == Kind::Float => {
                    found.push((own.shallow_clone(), tensor));
                }
                Some(tensor) => {
                    let (size, kind) = (tensor.size(), tensor.kind());
                    return Err(TrainError::OtherNetwork(format!("{name} is {size:?} {kind:?}")));
                }
                None => return Err(TrainError::OtherNetwork(format!("it has no tensor {name}"))),
            }
        }
        tch::no_grad(|| -> Result<(), TrainError> {
            for (own, found) in &mut found {
                if places == self.places {
                    own.f_copy_(found)?;
                    continue;
                }
                // another alignment: the run was started on another device
                for (from, to) in places.iter().zip(&self.places) {
                    to.view(own)?.f_copy_(&from.view(found)?)?;
                }
            }
            Ok(())
        })?;
        self.step = step;
        Ok(())
    }
}

/// Whether a flat tensor is long enough for all places.
fn holds(places: &[Place], flat: &Tensor) -> bool {
    let end = places.iter().map(|place| place.offset + place.numel()).max().unwrap_or(0);
    flat.dim() == 1 && flat.numel() as i64 >= end
}

/// The length (2-norm) of a flat tensor. torch computes one norm on one thread, and many norms on all threads.
fn length(flat: &Tensor) -> Result<f64, tch::TchError> {
    const ROWS: i64 = 64;
    let even = flat.numel() as i64 / ROWS * ROWS;
    let rows = flat.f_narrow(0, 0, even)?.f_view([ROWS, even / ROWS])?;
    let rows = rows.f_norm_scalaropt_dim(2.0, [1i64].as_slice(), false)?.f_norm()?.f_double_value(&[])?;
    let rest = flat.f_narrow(0, even, flat.numel() as i64 - even)?.f_norm()?.f_double_value(&[])?;
    Ok(rows.hypot(rest))
}

fn copied(tensor: &Tensor) -> Result<Tensor, tch::TchError> {
    let mut copy = tensor.f_empty_like()?;
    copy.f_copy_(tensor)?;
    Ok(copy)
}

/// The tensor's own strides if its elements have no gaps between them (contiguous, channels last), else contiguous ones.
fn dense_stride(tensor: &Tensor) -> Vec<i64> {
    let (shape, stride) = (tensor.size(), tensor.stride());
    let mut dimensions: Vec<(i64, i64)> = stride.iter().copied().zip(shape.iter().copied()).collect();
    dimensions.retain(|(_, size)| *size != 1);
    dimensions.sort_unstable();
    let mut next = 1;
    let dense = dimensions.iter().all(|(stride, size)| {
        let fits = *stride == next;
        next *= size;
        fits
    });
    if dense {
        return stride;
    }
    let mut contiguous = vec![1; shape.len()];
    for dimension in (0..shape.len().saturating_sub(1)).rev() {
        contiguous[dimension] = contiguous[dimension + 1] * shape[dimension + 1].max(1);
    }
    contiguous
}

#[cfg(test)]
mod tests;
