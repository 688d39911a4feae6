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

/// Where a parameter lies in the arena.
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

    /// Whether two places hold the same parameter, wherever.
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
    /// Whether the weights moved: they do not when the gradient is not finite.
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
    /// Keeps the leaves alive whose gradients are views.
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
    /// Moves the parameters into an arena. `clip_norm` 0 does not clip, `ema_decay` 0 keeps no average.
    ///
    /// # Errors
    /// When there is no parameter, two have the same name, or one is not fp32 or needs no gradient.
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

    /// Steps that moved the weights.
    #[must_use]
    pub const fn step_count(&self) -> u64 {
        self.step
    }

    /// Where each parameter lies.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Freezes every layer that is further from the head than `depth`; none frees all. Frozen weights do not
    /// move and keep their means.
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

    /// Exchanges weights and average, bit for bit; called twice it changes nothing. Nothing happens without an
    /// average.
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

    /// The flat tensors that a checkpoint holds, by name.
    #[must_use]
    pub fn state(&self) -> Vec<(&'static str, &Tensor)> {
        let [mean, square] = MOMENTS;
        let mut state = vec![("weights", &self.weights), (mean, &self.mean), (square, &self.square)];
        state.extend(self.average.as_ref().map(|average| ("average", average)));
        state
    }

    /// Takes over a state that [`Optimizer::state`] gave, after checking that it is of the same parameters.
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

    /// Takes over what was trained, from a state without the means of gradients ([`MOMENTS`]), which stay as they
    /// are: for predicting, not for going on.
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
                None => return Err(TrainError::OtherNetwork(format!("it holds no {name}"))),
            }
        }
        tch::no_grad(|| -> Result<(), TrainError> {
            for (own, found) in &mut found {
                if places == self.places {
                    own.f_copy_(found)?;
                    continue;
                }
                // a layout with another alignment: a run that began on another device
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

/// Of a flat tensor. torch takes one length of all on one thread, many lengths on all threads.
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

/// The tensor's own strides when its elements lie without gaps (contiguous, channels last), else contiguous ones.
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
mod tests {
    use super::*;
    use tch::Device;

    fn leaf(shape: &[i64]) -> Tensor {
        let length: i64 = shape.iter().product();
        let wave = (Tensor::arange(length, (Kind::Float, Device::Cpu)) * 0.7).sin().reshape(shape);
        wave.set_requires_grad(true)
    }

    fn network() -> (Vec<Parameter>, [Tensor; 3]) {
        let channels_last = leaf(&[4, 5, 5, 3]).detach().permute([0, 3, 1, 2]).set_requires_grad(true);
        let tensors = [channels_last, leaf(&[4]), leaf(&[2, 4])];
        let parameter = |place: usize, name: &str, depth| Parameter {
            name: name.to_owned(),
            tensor: tensors[place].shallow_clone(),
            depth,
        };
        (vec![parameter(0, "stem.weight", 2), parameter(1, "stem.bias", 2), parameter(2, "head.weight", 0)], tensors)
    }

    fn backward([kernel, bias, head]: &[Tensor; 3]) {
        let x = (Tensor::arange(2 * 3 * 8 * 8, (Kind::Float, Device::Cpu)) * 0.3).cos().reshape([2, 3, 8, 8]);
        let y = x.conv2d(kernel, Some(bias), 1, 0, 1, 1).mean_dim([2i64, 3].as_slice(), false, Kind::Float);
        (y.matmul(&head.tr()) - 1.0).square().sum(Kind::Float).backward();
    }

    #[test]
    fn a_length_is_of_all_elements_whatever_their_number() {
        for count in [1, 63, 64, 1_000, 4_097] {
            let flat = (Tensor::arange(count, (Kind::Float, Device::Cpu)) * 0.7).cos();
            let expected = flat.to_kind(Kind::Double).norm().double_value(&[]);
            assert!((length(&flat).unwrap() / expected - 1.0).abs() < 1e-6, "{count}");
        }
        assert!(length(&Tensor::from_slice(&[1.0f32, f32::NAN])).unwrap().is_nan());
        assert!(length(&Tensor::full([99], f64::INFINITY, (Kind::Float, Device::Cpu))).unwrap().is_infinite());
    }

    #[test]
    fn parameters_and_gradients_are_views_that_keep_values_and_strides() {
        let (parameters, tensors) = network();
        let before: Vec<(Tensor, Vec<i64>)> = tensors.iter().map(|tensor| (tensor.copy(), tensor.stride())).collect();
        backward(&tensors);
        let expected: Vec<Tensor> = tensors.iter().map(|tensor| tensor.grad().copy()).collect();
        let mut optimizer = Optimizer::new(parameters, &OptimizerConfig::default(), 0.0, 0.0).unwrap();
        let arena = |flat: &Tensor| {
            let start = flat.data_ptr() as usize;
            start..start + flat.numel() * 4
        };
        for _ in 0..2 {
            optimizer.zero_gradients().unwrap();
            backward(&tensors);
            for ((tensor, (values, stride)), expected) in tensors.iter().zip(&before).zip(&expected) {
                assert!(arena(&optimizer.weights).contains(&(tensor.data_ptr() as usize)));
                assert!(arena(&optimizer.gradients).contains(&(tensor.grad().data_ptr() as usize)));
                assert_eq!((tensor.stride(), tensor), (stride.clone(), values));
                assert!((tensor.grad() - expected).abs().max().double_value(&[]) < 1e-6);
            }
        }
    }

    #[test]
    fn a_frozen_layer_and_a_gradient_that_is_not_finite_move_nothing() {
        let (parameters, tensors) = network();
        let mut optimizer = Optimizer::new(parameters, &OptimizerConfig::default(), 1.0, 0.9).unwrap();
        let before: Vec<Tensor> = tensors.iter().map(Tensor::copy).collect();
        optimizer.freeze_above(Some(0)).unwrap();
        backward(&tensors);
        assert!(optimizer.step(0.1, 1.0).unwrap().applied);
        assert_eq!((&tensors[0], &tensors[1]), (&before[0], &before[1]));
        assert_ne!(tensors[2], before[2]);
        optimizer.freeze_above(None).unwrap();
        optimizer.zero_gradients().unwrap();
        backward(&tensors);
        let before: Vec<Tensor> = tensors.iter().map(Tensor::copy).collect();
        let _ = optimizer.gradients.get(3).fill_(f64::NAN);
        let report = optimizer.step(0.1, 1.0).unwrap();
        assert!(!report.applied && report.gradient_norm.is_nan());
        assert!(tensors.iter().zip(&before).all(|(tensor, before)| tensor == before));
        assert_eq!(optimizer.step_count(), 1);
    }

    #[test]
    fn accumulated_batches_are_averaged() {
        let run = |batches: usize| {
            let (parameters, tensors) = network();
            let mut optimizer = Optimizer::new(parameters, &OptimizerConfig::default(), 0.5, 0.0).unwrap();
            optimizer.zero_gradients().unwrap();
            (0..batches).for_each(|_| backward(&tensors));
            optimizer.step(0.01, batches as f64).unwrap();
            optimizer.weights.copy()
        };
        assert!((run(1) - run(2)).abs().max().double_value(&[]) < 1e-6);
    }

    #[test]
    fn swapping_the_average_twice_changes_no_bit() {
        let (parameters, tensors) = network();
        let mut optimizer = Optimizer::new(parameters, &OptimizerConfig::default(), 0.0, 0.99).unwrap();
        backward(&tensors);
        optimizer.step(0.1, 1.0).unwrap();
        let before = optimizer.weights.copy();
        optimizer.swap_average().unwrap();
        assert_ne!(optimizer.weights, before);
        optimizer.swap_average().unwrap();
        assert_eq!(optimizer.weights, before);
    }

    #[test]
    fn a_state_of_another_alignment_gives_the_same_weights() {
        let config = OptimizerConfig::default();
        let (parameters, _) = network();
        let trained = Optimizer::new(parameters, &config, 0.0, 0.0).unwrap();
        let (parameters, other) = network();
        let mut padded = trained.places().to_vec();
        let mut offset = 0;
        for place in &mut padded {
            place.offset = offset;
            offset += (place.numel() + CUDA_ALIGNMENT - 1) / CUDA_ALIGNMENT * CUDA_ALIGNMENT;
        }
        let flat = |name: &str| {
            let from = trained.state().into_iter().find(|(own, _)| *own == name)?.1;
            let flat = Tensor::zeros([offset], (Kind::Float, Device::Cpu));
            for (from_place, to_place) in trained.places().iter().zip(&padded) {
                tch::no_grad(|| to_place.view(&flat).unwrap().copy_(&from_place.view(from).unwrap()));
            }
            Some(flat)
        };
        tch::no_grad(|| other.iter().for_each(|tensor| drop(tensor.shallow_clone().fill_(9.0))));
        let mut restored = Optimizer::new(parameters, &config, 0.0, 0.0).unwrap();
        restored.restore(&padded, 3, flat).unwrap();
        assert_eq!(restored.weights, trained.weights);
        assert_eq!((restored.step_count(), restored.weight_count()), (3, trained.weight_count()));
    }

    #[test]
    fn the_state_of_another_network_is_refused_by_name() {
        let (parameters, _) = network();
        let mut optimizer = Optimizer::new(parameters, &OptimizerConfig::default(), 0.0, 0.0).unwrap();
        let mut places = optimizer.places().to_vec();
        places[0].shape = vec![1, 4];
        let own = optimizer.places().to_vec();
        let weights = optimizer.weights.copy();
        let trained = |name: &str| (name == "weights").then(|| &weights + 1.0);
        let error = optimizer.restore(&own, 3, trained).unwrap_err().to_string();
        assert!(error.contains("it holds no mean"), "{error}");
        assert_eq!((&optimizer.weights, optimizer.step_count()), (&weights, 0));
        optimizer.restore_trained(&own, 3, trained).unwrap();
        assert_eq!((&optimizer.weights, optimizer.step_count()), (&(&weights + 1.0), 3));
        let error = optimizer.restore(&places, 3, |_| None).unwrap_err().to_string();
        assert!(error.contains("found head.weight [1, 4] [4, 1], expected head.weight [2, 4] [4, 1]"), "{error}");
        let (mut parameters, _) = network();
        parameters[1].name = "head.weight".to_owned();
        let error = Optimizer::new(parameters, &OptimizerConfig::default(), 0.0, 0.0).unwrap_err();
        assert!(error.to_string().contains("two parameters are named head.weight"));
    }
}
