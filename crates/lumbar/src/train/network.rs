//! What the trainer needs of a network.

use tch::Tensor;

use super::TrainError;
use super::optimizer::Parameter;
use crate::data::augment::Mix;
use crate::data::loader::{BoxError, Tensors};
pub use crate::model::Mode;
use crate::model::Registry;

/// A network that can be trained.
pub trait Network {
    /// The inputs: a tensor for a whole-study model, crops and their targets for a crop grader.
    type Inputs: Tensors;

    /// Trained tensors, always in the same order.
    fn parameters(&self) -> Vec<Parameter>;

    /// Tensors that a forward pass in [`Mode::Train`] changes and that belong to the model: running statistics.
    fn buffers(&self) -> Vec<(String, Tensor)>;

    /// The output, in the shape that the task's [`Objective`](super::Objective) expects.
    ///
    /// # Errors
    /// When the network refuses the inputs.
    fn forward(&self, inputs: &Self::Inputs, mode: Mode) -> Result<Tensor, BoxError>;

    /// Mixes the images of each study with its partner's. `draw` returns the mix for images of a width and a height;
    /// the result is what it returned. An image whose partner is missing stays as it is. Called only where
    /// [`TrainConfig::mix`](super::TrainConfig) mixes.
    ///
    /// # Errors
    /// When the inputs cannot be mixed, which is the default.
    fn mix(&self, inputs: &mut Self::Inputs, draw: &mut dyn FnMut(usize, usize) -> Mix) -> Result<Mix, BoxError> {
        let _ = (inputs, draw);
        Err(TrainError::NotMixable { what: "inputs" }.into())
    }
}

/// The parameters of a model, their names below `prefix`. The optimizer counts depth from the head, which is 0.
#[must_use]
pub fn registry_parameters(prefix: &str, registry: &Registry) -> Vec<Parameter> {
    let deepest = registry.depth_count().saturating_sub(1);
    registry
        .parameters()
        .map(|entry| Parameter {
            name: join(prefix, &entry.name),
            tensor: entry.tensor.shallow_clone(),
            depth: deepest - entry.depth,
        })
        .collect()
}

/// The buffers of a model, their names below `prefix`.
#[must_use]
pub fn registry_buffers(prefix: &str, registry: &Registry) -> Vec<(String, Tensor)> {
    registry.buffers().map(|entry| (join(prefix, &entry.name), entry.tensor.shallow_clone())).collect()
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}
