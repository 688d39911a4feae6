//! What the trainer asks of a network and of whoever makes the batches. Both sides are open: a whole-study
//! model and a crop grader, batches from files, from a cache or from memory are trained by the same loop.

use std::error::Error;

use tch::Tensor;

use super::optimizer::Parameter;
use crate::data::augment::Mix;
use crate::metric::LabelTable;
pub use crate::model::Mode;

/// The error of somebody else's code.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A network that can be trained to grade studies.
pub trait Network {
    /// What it looks at: a tensor for a whole-study model, crops and their places for a crop grader.
    type Inputs;

    /// Trained tensors, in an order that does not change.
    fn parameters(&self) -> Vec<Parameter>;

    /// Tensors that a forward pass in [`Mode::Train`] changes and that belong to the model: running statistics.
    fn buffers(&self) -> Vec<(String, Tensor)>;

    /// Unnormalised log probabilities.
    ///
    /// # Shapes
    /// → `[studies, 25, 3]`, targets in the order of [`Target::ALL`](crate::anatomy::Target::ALL).
    ///
    /// # Errors
    /// Whatever the network refuses.
    fn logits(&self, inputs: &Self::Inputs, mode: Mode) -> Result<Tensor, BoxError>;

    /// Mixes the pictures of each study with its partner's, target by target, as `draw` says for pictures of a width
    /// and a height, and gives back what was drawn. A picture whose partner is not there stays as it is. Asked for
    /// only where [`TrainConfig::mix`](super::TrainConfig) mixes.
    ///
    /// # Errors
    /// Whatever keeps them from being mixed; by default that nobody said how.
    fn mix(&self, inputs: &mut Self::Inputs, draw: &mut dyn FnMut(usize, usize) -> Mix) -> Result<Mix, BoxError> {
        let _ = (inputs, draw);
        Err("the inputs of this network cannot be mixed: set mix.mixup_p and mix.cutmix_p to 0".into())
    }
}

/// A few studies, ready for the network.
#[derive(Debug)]
pub struct Batch<I> {
    /// The studies' names, in the order of the tensors' first dimension.
    pub studies: Vec<String>,
    /// What the network looks at.
    pub inputs: I,
    /// Labels as the network should see them (mirrored with a mirrored study): 0, 1, 2, or
    /// [`MASKED`](super::loss::MASKED).
    ///
    /// # Shapes
    /// `[studies, 25]`, int64, on the network's device.
    pub labels: Tensor,
    /// Which cells the inputs show at all: a cell whose series or point is missing is predicted from the prior
    /// and not trained on. None when every cell is shown.
    ///
    /// # Shapes
    /// `[studies, 25]`, bool, on the network's device.
    pub shown: Option<Tensor>,
}

/// Which batches to make, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Seed of everything random in a batch.
    pub seed: u64,
    /// Epoch from which augmentation draws.
    pub epoch: u64,
    /// Training batches are augmented, others are not.
    pub augmented: bool,
    /// Each study mirrored across the body's mid-plane, its labels and `shown` through
    /// [`Mirror`](crate::anatomy::Mirror): for flip test-time augmentation. A source may leave out (`shown`) what
    /// would be the same picture as without.
    pub mirrored: bool,
    /// The studies of each batch.
    pub batches: Vec<Vec<String>>,
}

/// Makes batches.
pub trait Source<I> {
    /// The labels of all studies that it knows.
    fn labels(&self) -> &LabelTable;

    /// The batches of a plan, in its order, each drawn only from (seed, epoch, study): neither the number of
    /// workers nor the batches before change one.
    ///
    /// # Errors
    /// The iterator gives an error in place of a batch that cannot be made.
    fn batches<'a>(&'a self, plan: &Plan) -> Box<dyn Iterator<Item = Result<Batch<I>, BoxError>> + 'a>;
}
