use tch::Tensor;

use super::{Checkpoint, Network, Optimizer, TrainError};
use crate::train::optimizer::MOMENTS;

/// The tensors of a checkpoint. A finished fold's has no moments of the gradient.
pub(super) fn tensors_of<N: Network>(network: &N, optimizer: &Optimizer, finished: bool) -> Vec<(String, Tensor)> {
    let state = optimizer.state().into_iter().filter(|(name, _)| !finished || !MOMENTS.contains(name));
    let state = state.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()));
    let buffers = network.buffers().into_iter().map(|(name, tensor)| (format!("buffer.{name}"), tensor));
    state.chain(buffers).collect()
}

/// Copies a checkpoint's buffers into a network.
pub(super) fn load_buffers<N: Network>(network: &N, checkpoint: &Checkpoint) -> Result<(), TrainError> {
    for (name, mut buffer) in network.buffers() {
        let saved = checkpoint
            .tensor(&format!("buffer.{name}"))
            .filter(|saved| saved.size() == buffer.size() && saved.kind() == buffer.kind())
            .ok_or_else(|| TrainError::OtherNetwork(format!("buffer {name} is missing or of another shape")))?;
        tch::no_grad(|| buffer.f_copy_(&saved))?;
    }
    Ok(())
}

/// Loads a checkpoint's weights into a network: the moving average if there is one.
///
/// # Errors
/// [`TrainError::OtherNetwork`] when the network has other parameters or buffers.
pub fn load_weights<N: Network>(network: &N, checkpoint: &Checkpoint) -> Result<(), TrainError> {
    let flat = checkpoint
        .tensor("average")
        .or_else(|| checkpoint.tensor("weights"))
        .ok_or_else(|| TrainError::OtherNetwork("it has no weights".to_owned()))?;
    let parameters = network.parameters();
    let places = &checkpoint.state.places;
    if let Some(place) = places.iter().find(|place| parameters.iter().all(|own| own.name != place.name)) {
        return Err(TrainError::OtherNetwork(format!("the network has no parameter {}", place.name)));
    }
    for mut parameter in parameters {
        let name = &parameter.name;
        let place = places.iter().find(|place| place.name == *name && place.shape == parameter.tensor.size());
        let place = place.ok_or_else(|| {
            TrainError::OtherNetwork(format!("{name} {:?} is missing or of another shape", parameter.tensor.size()))
        })?;
        let saved = flat.f_as_strided(&place.shape, &place.stride, place.offset)?;
        tch::no_grad(|| parameter.tensor.f_copy_(&saved))?;
    }
    load_buffers(network, checkpoint)
}
