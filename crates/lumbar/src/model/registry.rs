//! The ordered registry of a model's tensors, and the builder that fills it.
//!
//! tch's own `VarStore` is a hash map: its order changes from run to run, and a second tensor of the same name is
//! renamed silently. Here the order is that of construction (timm's), names are unique, and each tensor has a role and
//! a depth. The layers share the same tensors: replacing the data of an entry (`set_data`) replaces the layer's.

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use tch::{Device, Kind, Tensor};

use super::error::{Doing, Error, Result};
use crate::config::ConfigError;

/// What a tensor is for. Decides whether it is trained, and whether weight decay applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The weight of a convolution or linear layer, with two or more dimensions. The only role with weight decay.
    Weight,
    /// A bias of a convolution or linear layer.
    Bias,
    /// A normalisation's scale.
    NormWeight,
    /// A normalisation's shift.
    NormBias,
    /// The scale of a residual branch per channel (ConvNeXt's gamma).
    LayerScale,
    /// Batch norm's running mean. Not trained.
    RunningMean,
    /// Batch norm's running variance. Not trained.
    RunningVar,
    /// The number of batches that a batch norm has seen, an i64 on the CPU. Not trained.
    BatchCount,
}

impl Role {
    /// Whether an optimizer trains it. The others are buffers.
    pub fn is_parameter(self) -> bool {
        !matches!(self, Self::RunningMean | Self::RunningVar | Self::BatchCount)
    }

    /// Whether weight decay applies: as usual to weights of two or more dimensions, not to biases and norms.
    pub fn decays(self) -> bool {
        self == Self::Weight
    }
}

/// The part of a network that a tensor belongs to, in order of depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The first convolutions.
    Stem,
    /// A stage of blocks, counted from zero.
    Stage(usize),
    /// What follows the last stage, without the classifier.
    Head,
    /// The classifier, or the layers that replace it.
    Classifier,
}

/// A named tensor of a model.
#[derive(Debug)]
pub struct Entry {
    /// Its name; timm's in backbones: `blocks.0.0.conv_dw.weight`.
    pub name: String,
    /// The layer's own tensor (shared, not a copy).
    pub tensor: Tensor,
    /// What it is for.
    pub role: Role,
    /// The part of the network.
    pub part: Part,
    /// Depth for layer-wise learning rates: 0 for the stem, then one for each block, the head, the classifier.
    pub depth: usize,
}

impl Entry {
    /// Whether it is a parameter that currently records gradients.
    pub fn is_trainable(&self) -> bool {
        self.role.is_parameter() && self.tensor.requires_grad()
    }
}

impl Clone for Entry {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), tensor: self.tensor.shallow_clone(), ..*self }
    }
}

/// A model's tensors in the order of construction.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    entries: Vec<Entry>,
}

impl Registry {
    /// The device of its tensors; the CPU if it has none.
    #[must_use]
    pub fn device(&self) -> Device {
        self.entries().first().map_or(Device::Cpu, |entry| entry.tensor.device())
    }

    /// All entries, parameters and buffers, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entries that an optimizer trains, in order.
    pub fn parameters(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.role.is_parameter())
    }

    /// Running statistics and counters, in order. They are saved with the model and not trained.
    pub fn buffers(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.role.is_parameter())
    }

    /// The entry with this name.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Number of trained weights, in elements.
    pub fn weight_count(&self) -> usize {
        self.parameters().map(|entry| entry.tensor.numel()).sum()
    }

    /// The greatest depth plus one: the number of learning rates of a layer-wise schedule.
    pub fn depth_count(&self) -> usize {
        self.entries.iter().map(|entry| entry.depth + 1).max().unwrap_or(0)
    }

    /// Records gradients for the parameters for which `trained` returns true, and for no others. A batch norm with a
    /// frozen scale does not update its running statistics in [`Mode::Train`](super::Mode) either.
    ///
    /// # Errors
    /// [`Error::Torch`] if libtorch fails.
    pub fn train_only(&self, mut trained: impl FnMut(&Entry) -> bool) -> Result<()> {
        for entry in self.parameters() {
            let mut tensor = entry.tensor.shallow_clone();
            let _ = tensor.f_requires_grad_(trained(entry)).doing(&entry.name)?;
        }
        Ok(())
    }

    /// Freezes all parts before `part`: `freeze_before(Part::Classifier)` trains only the classifier.
    ///
    /// # Errors
    /// [`Error::Torch`] if libtorch fails.
    pub fn freeze_before(&self, part: Part) -> Result<()> {
        self.train_only(|entry| entry.part >= part)
    }

    /// Trains all parameters again.
    ///
    /// # Errors
    /// [`Error::Torch`] if libtorch fails.
    pub fn unfreeze(&self) -> Result<()> {
        self.train_only(|_| true)
    }

    /// Moves every tensor to a device in place; counters stay on the CPU. Call it before an optimizer makes views of
    /// the tensors.
    ///
    /// # Errors
    /// [`Error::Torch`] if the device does not exist or is out of memory.
    pub fn to_device(&self, device: Device) -> Result<()> {
        tch::no_grad(|| {
            for entry in self.entries.iter().filter(|entry| entry.role != Role::BatchCount) {
                let moved = entry.tensor.f_to_device(device).doing(&entry.name)?;
                entry.tensor.shallow_clone().f_set_data(&moved.f_detach()?).doing(&entry.name)?;
            }
            Ok(())
        })
    }

    /// Stores the weights of convolutions channels-last, the faster layout on CPUs with oneDNN and on GPUs with tensor
    /// cores. Not for models whose parameters are views of one tensor.
    ///
    /// # Errors
    /// [`Error::Torch`] if libtorch fails.
    pub fn to_channels_last(&self) -> Result<()> {
        tch::no_grad(|| {
            for entry in self.entries.iter().filter(|entry| entry.tensor.dim() == 4) {
                let packed = torch_ext::layout::channels_last(&entry.tensor)?;
                entry.tensor.shallow_clone().f_set_data(&packed.f_detach()?).doing(&entry.name)?;
            }
            Ok(())
        })
    }

    /// Copies all values from a registry with the same names and shapes.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Config`] if names, shapes or the number of entries differ; nothing is copied then.
    pub fn copy_from(&self, other: &Registry) -> Result<()> {
        let pairs = || self.entries.iter().zip(&other.entries);
        let differs = pairs().find(|(a, b)| a.name != b.name || a.tensor.size() != b.tensor.size());
        if let Some((to, from)) = differs {
            return Err(Error::Shape {
                what: format!("copy of {} to {}", from.name, to.name),
                expected: format!("{:?}", to.tensor.size()),
                found: from.tensor.size(),
            });
        }
        if self.entries.len() != other.entries.len() {
            let found = format!("{} tensors", other.entries.len());
            return Err(ConfigError::new("copy", found, format!("{} tensors", self.entries.len())).into());
        }
        tch::no_grad(|| {
            pairs().try_for_each(|(to, from)| to.tensor.shallow_clone().f_copy_(&from.tensor).doing(&to.name))
        })
    }

    /// The entries whose names begin with `prefix.`, without this prefix. The tensors are shared.
    pub fn below(&self, prefix: &str) -> Registry {
        let dotted = format!("{prefix}.");
        let strip = |entry: &Entry| {
            entry.name.strip_prefix(&dotted).map(|name| Entry { name: name.to_owned(), ..entry.clone() })
        };
        Registry { entries: self.entries.iter().filter_map(strip).collect() }
    }

    /// Appends the entries of `other` with `prefix.` before their names, and adds `depth` to their depths.
    pub(crate) fn adopt(&mut self, prefix: &str, other: &Registry, depth: usize) {
        for entry in &other.entries {
            let name = format!("{prefix}.{}", entry.name);
            self.entries.push(Entry { name, depth: entry.depth + depth, ..entry.clone() });
        }
    }

    /// Removes the entries whose names begin with `prefix`.
    pub(crate) fn remove(&mut self, prefix: &str) {
        self.entries.retain(|entry| !entry.name.starts_with(prefix));
    }
}

/// The first values of a tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fill {
    /// One value everywhere.
    Const(f64),
    /// A normal distribution with mean 0 and this standard deviation.
    Normal(f64),
    /// Uniform between ± the bound.
    Uniform(f64),
}

/// Makes a model's tensors under a path of names.
///
/// A tensor's first values depend on the seed and its name alone: the order and number of the other tensors do not
/// matter, and no global generator is used. Without a seed, random values are zero instead: for models whose values are
/// replaced by trained ones, because drawing 30 million weights takes a second.
#[derive(Debug)]
pub(crate) struct Builder<'a> {
    registry: &'a mut Registry,
    seed: Option<u64>,
    device: Device,
    path: String,
    part: Part,
    depth: usize,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(registry: &'a mut Registry, seed: impl Into<Option<u64>>, device: Device) -> Self {
        Self { registry, seed: seed.into(), device, path: String::new(), part: Part::Stem, depth: 0 }
    }

    /// A builder with `name` appended to its path.
    pub(crate) fn at(&mut self, name: &str) -> Builder<'_> {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Builder {
            registry: self.registry,
            seed: self.seed,
            device: self.device,
            path,
            part: self.part,
            depth: self.depth,
        }
    }

    /// Another builder with the same path.
    pub(crate) fn at_root(&mut self) -> Builder<'_> {
        let path = self.path.clone();
        Builder {
            registry: self.registry,
            seed: self.seed,
            device: self.device,
            path,
            part: self.part,
            depth: self.depth,
        }
    }

    /// This builder with another part and depth.
    pub(crate) fn part(mut self, part: Part, depth: usize) -> Self {
        (self.part, self.depth) = (part, depth);
        self
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Makes and registers one tensor.
    pub(crate) fn tensor(&mut self, name: &str, shape: &[i64], role: Role, fill: Fill) -> Result<Tensor> {
        let name = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        if self.registry.get(&name).is_some() {
            return Err(ConfigError::new("tensor", name, "a unique name").into());
        }
        let tensor = match (role, fill, self.seed) {
            (Role::BatchCount, _, _) => Tensor::f_zeros(shape, (Kind::Int64, Device::Cpu)),
            (_, Fill::Const(value), _) => Tensor::f_full(shape, value, (Kind::Float, self.device)),
            (_, _, None) => Tensor::f_zeros(shape, (Kind::Float, self.device)),
            (_, fill, Some(seed)) => {
                let values = draw(fill, shape.iter().product::<i64>() as usize, generator(seed, &name));
                Tensor::f_from_slice(&values).and_then(|t| t.f_reshape(shape)).and_then(|t| t.f_to_device(self.device))
            }
        }
        .doing(&name)?;
        let tensor = if role.is_parameter() { tensor.f_set_requires_grad(true).doing(&name)? } else { tensor };
        let handle = tensor.shallow_clone();
        self.registry.entries.push(Entry { name, tensor: handle, role, part: self.part, depth: self.depth });
        Ok(tensor)
    }
}

/// The generator of one tensor: SplitMix64 over the seed and the FNV-1a hash of its name.
fn generator(seed: u64, name: &str) -> StdRng {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut mixed = hash ^ seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    StdRng::seed_from_u64(mixed ^ (mixed >> 31))
}

fn draw(fill: Fill, count: usize, mut rng: impl Rng) -> Vec<f32> {
    match fill {
        Fill::Const(value) => vec![value as f32; count],
        Fill::Normal(std) => (0..count)
            .map(|_| {
                let x: f32 = StandardNormal.sample(&mut rng);
                x * std as f32
            })
            .collect(),
        Fill::Uniform(bound) => {
            let bound = bound as f32;
            (0..count).map(|_| rng.random_range(-bound..=bound)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(seed: u64, name: &str) -> Tensor {
        let mut registry = Registry::default();
        let mut builder = Builder::new(&mut registry, seed, Device::Cpu);
        builder.tensor(name, &[64, 64], Role::Weight, Fill::Normal(0.5)).unwrap()
    }

    #[test]
    fn first_values_depend_on_seed_and_name_alone() {
        assert_eq!(weight(1, "a"), weight(1, "a"));
        assert_ne!(weight(1, "a"), weight(2, "a"));
        assert_ne!(weight(1, "a"), weight(1, "b"));
        let std = weight(1, "a").std(true).double_value(&[]);
        assert!((std - 0.5).abs() < 0.02, "{std}");
    }

    #[test]
    fn without_a_seed_random_values_are_zero_and_constants_are_set() {
        let mut registry = Registry::default();
        let mut builder = Builder::new(&mut registry, None, Device::Cpu);
        let drawn = builder.tensor("w", &[2], Role::Weight, Fill::Uniform(0.5)).unwrap();
        let constant = builder.tensor("n", &[2], Role::NormWeight, Fill::Const(1.0)).unwrap();
        assert_eq!([drawn, constant].map(|tensor| Vec::<f32>::try_from(&tensor).unwrap()), [[0.0; 2], [1.0; 2]]);
    }

    #[test]
    fn names_are_unique() {
        let mut registry = Registry::default();
        let mut builder = Builder::new(&mut registry, 0, Device::Cpu);
        let _ = builder.tensor("w", &[1], Role::Weight, Fill::Const(0.0)).unwrap();
        let error = builder.tensor("w", &[1], Role::Weight, Fill::Const(0.0)).unwrap_err();
        assert_eq!(error.to_string(), "tensor is w, expected a unique name");
    }

    #[test]
    fn replacing_the_data_of_an_entry_replaces_that_of_the_layer() {
        let mut registry = Registry::default();
        let layer =
            Builder::new(&mut registry, 0, Device::Cpu).tensor("w", &[2], Role::Bias, Fill::Const(0.0)).unwrap();
        let arena = Tensor::from_slice(&[1f32, 2.0, 3.0]);
        registry.entries()[0].tensor.shallow_clone().set_data(&arena.narrow(0, 1, 2));
        assert_eq!(Vec::<f32>::try_from(&layer).unwrap(), [2.0, 3.0]);
        assert!(layer.requires_grad());
    }
}
