use tch::Tensor;

use crate::data::loader::BoxError;
use crate::model::{Module as _, UNet};
use crate::train::network::{Mode, Network, registry_buffers, registry_parameters};
use crate::train::optimizer::Parameter;

/// Images that are run at once in [`Mode::Eval`]: memory does not grow with the number of slices of a batch.
const EVALUATED_AT_ONCE: i64 = 16;

/// A U-Net over slices, each with its two neighbours.
///
/// # Shapes
/// `[slices, 3, height, width]` → `[slices, 11, height / 2, width / 2]`: unnormalised log probabilities of the canal at
/// five levels, the foramen at five levels, and any disc.
#[derive(Debug)]
pub struct Localiser(pub UNet);

impl Network for Localiser {
    type Inputs = Tensor;

    fn parameters(&self) -> Vec<Parameter> {
        registry_parameters("", self.0.registry())
    }

    fn buffers(&self) -> Vec<(String, Tensor)> {
        registry_buffers("", self.0.registry())
    }

    fn forward(&self, inputs: &Tensor, mode: Mode) -> Result<Tensor, BoxError> {
        let count = inputs.size().first().copied().unwrap_or(0);
        if mode == Mode::Train || count <= EVALUATED_AT_ONCE {
            return Ok(self.0.forward(inputs, mode)?);
        }
        let mut maps = Vec::new();
        for first in (0..count).step_by(EVALUATED_AT_ONCE as usize) {
            let some = inputs.f_narrow(0, first, EVALUATED_AT_ONCE.min(count - first))?;
            maps.push(self.0.forward(&some, mode)?);
        }
        Ok(Tensor::f_cat(&maps, 0)?)
    }
}
