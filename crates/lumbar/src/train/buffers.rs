//! A network's buffers as they were before a training step.

use tch::Tensor;

use super::TrainError;
use super::network::Network;

/// Copies of a network's buffers: the running statistics of its batch norms.
///
/// A forward pass in training updates them before its loss is known. If the pass overflows, they become infinite or NaN,
/// and skipping the optimizer's step alone does not undo that.
#[derive(Debug)]
pub(super) struct SavedBuffers {
    /// Each buffer with its copy. The first shares its memory with the network's.
    pairs: Vec<(Tensor, Tensor)>,
}

impl SavedBuffers {
    /// Copies the buffers as they are.
    ///
    /// # Errors
    /// When libtorch cannot allocate or copy.
    pub(super) fn of(network: &impl Network) -> Result<Self, TrainError> {
        let mut pairs = Vec::new();
        for (_, buffer) in network.buffers() {
            let copy = buffer.f_empty_like()?;
            pairs.push((buffer, copy));
        }
        let mut saved = Self { pairs };
        saved.save()?;
        Ok(saved)
    }

    /// Copies them again, into the same memory.
    ///
    /// # Errors
    /// When libtorch cannot copy.
    pub(super) fn save(&mut self) -> Result<(), TrainError> {
        tch::no_grad(|| self.pairs.iter_mut().try_for_each(|(buffer, copy)| copy.f_copy_(buffer).map(|_| ())))?;
        Ok(())
    }

    /// Sets the network's buffers to what they were when they were copied last.
    ///
    /// # Errors
    /// When libtorch cannot copy.
    pub(super) fn restore(&mut self) -> Result<(), TrainError> {
        tch::no_grad(|| self.pairs.iter_mut().try_for_each(|(buffer, copy)| buffer.f_copy_(copy).map(|_| ())))?;
        Ok(())
    }
}
