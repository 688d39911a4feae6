use tch::{Device, TchError, Tensor};

use crate::data::StudyId;

/// Which batches to make, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Seed of everything random in a batch.
    pub seed: u64,
    /// Epoch from which augmentation draws.
    pub epoch: u64,
    /// Whether samples are augmented, as in training.
    pub augmented: bool,
    /// Whether each study is mirrored across the body's mid-plane, its labels and visible mask through
    /// [`Mirror`](crate::anatomy::Mirror): for flip test-time augmentation. A data set may hide what would be the same
    /// image as without mirroring.
    pub mirrored: bool,
    /// The studies of each batch.
    pub batches: Vec<Vec<StudyId>>,
}

impl Plan {
    /// Studies in their order, neither augmented nor mirrored, as in validation and prediction.
    ///
    /// # Panics
    /// When `batch_size` is 0.
    #[must_use]
    pub fn in_order(studies: &[StudyId], batch_size: usize) -> Self {
        let batches = studies.chunks(batch_size).map(<[StudyId]>::to_vec).collect();
        Self { seed: 0, epoch: 0, augmented: false, mirrored: false, batches }
    }
}

/// A few studies, ready for a network.
#[derive(Debug)]
pub struct Batch<I, T> {
    /// The studies, in the order of the tensors' first dimension.
    pub studies: Vec<StudyId>,
    /// What the network looks at.
    pub inputs: I,
    /// What the objective compares with.
    pub truth: T,
}

/// Something made of tensors that can be moved between devices.
pub trait Tensors: Sized + Send + 'static {
    /// Replaces every tensor.
    ///
    /// # Errors
    /// The first error of `change`.
    fn try_map(self, change: &mut dyn FnMut(Tensor) -> Result<Tensor, TchError>) -> Result<Self, TchError>;
}

impl Tensors for Tensor {
    fn try_map(self, change: &mut dyn FnMut(Tensor) -> Result<Tensor, TchError>) -> Result<Self, TchError> {
        change(self)
    }
}

impl Tensors for () {
    fn try_map(self, _: &mut dyn FnMut(Tensor) -> Result<Tensor, TchError>) -> Result<Self, TchError> {
        Ok(())
    }
}

impl<V: Tensors> Tensors for Option<V> {
    fn try_map(self, change: &mut dyn FnMut(Tensor) -> Result<Tensor, TchError>) -> Result<Self, TchError> {
        self.map(|value| value.try_map(change)).transpose()
    }
}

impl<I: Tensors, T: Tensors> Batch<I, T> {
    pub(super) fn try_map(self, change: &mut dyn FnMut(Tensor) -> Result<Tensor, TchError>) -> Result<Self, TchError> {
        let Self { studies, inputs, truth } = self;
        Ok(Self { studies, inputs: inputs.try_map(change)?, truth: truth.try_map(change)? })
    }

    /// Moves the tensors to a device. From pinned memory the copy runs beside the work of the GPU; torch keeps the
    /// memory until the copy has ended.
    pub(super) fn on_device(self, device: Device) -> Result<Self, TchError> {
        if device == Device::Cpu {
            return Ok(self);
        }
        self.try_map(&mut |tensor| tensor.f_to_device_(device, tensor.kind(), true, false))
    }
}
