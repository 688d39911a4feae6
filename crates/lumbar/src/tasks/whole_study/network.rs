use tch::Tensor;

use crate::data::augment::Mix;
use crate::data::loader::BoxError;
use crate::model::Module;
use crate::train::mix::mix_images;
use crate::train::network::{Mode, Network, registry_buffers, registry_parameters};
use crate::train::optimizer::Parameter;

/// A model from all slices of a study to all its targets at once, `SpineModel` for one.
///
/// # Shapes
/// `[studies, channels, height, width]` → `[studies, 25, 3]`.
#[derive(Debug)]
pub struct WholeStudy<M>(pub M);

impl<M: Module> Network for WholeStudy<M> {
    type Inputs = Tensor;

    fn parameters(&self) -> Vec<Parameter> {
        registry_parameters("", self.0.registry())
    }

    fn buffers(&self) -> Vec<(String, Tensor)> {
        registry_buffers("", self.0.registry())
    }

    fn forward(&self, inputs: &Tensor, mode: Mode) -> Result<Tensor, BoxError> {
        Ok(self.0.forward(inputs, mode)?)
    }

    fn mix(&self, inputs: &mut Tensor, draw: &mut dyn FnMut(usize, usize) -> Mix) -> Result<Mix, BoxError> {
        let size = inputs.size();
        let [.., height, width] = size[..] else { return Err(format!("images of shape {size:?}").into()) };
        let mix = draw(width as usize, height as usize);
        *inputs = mix_images(inputs, &mix.partners, mix.kind)?;
        Ok(mix)
    }
}
