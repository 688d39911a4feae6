//! Grad-CAM: which pixels a network's prediction depends on.

mod cell;

use tch::{Kind, Tensor};

use crate::model::{Error, Mode, Module, Pass, Result};

pub use cell::{CellCam, ExplainCell};
pub(crate) use cell::{array, check_in_batch, deepest_stage, list};

/// A heat map for each image: where the features of one stage of the backbone raise a score.
///
/// Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391): the stage's feature maps are weighted with the mean of the
/// score's gradient over each map, summed, and clipped at zero. Each result is divided by its maximum and enlarged to
/// the image's size.
///
/// `stage` is an index into the backbone's [`stage_info`](crate::model::Features::stage_info); `None` is the last stage.
/// `score` computes one number from the model's result, such as the logit of one severity of one target, summed over
/// the batch. In eval mode images do not influence each other, so that each image's map belongs to its own score.
///
/// # Shapes
/// `xs` `[batch, channels, height, width]` → `[batch, height, width]`, values from 0 to 1. For a model that runs its
/// backbone on each slice, `[batch · slices, height, width]`.
///
/// # Errors
/// [`Error::Shape`] if the input does not fit, [`Error::UnknownStage`] if there is no such stage, [`Error::Torch`] if
/// the score does not depend on it.
///
/// ```
/// use lumbar::explain::grad_cam;
/// use lumbar::model::{SpineConfig, SpineModel};
/// use tch::{Device, Kind, Tensor};
///
/// let model = SpineModel::new(&SpineConfig::default(), 0, Device::Cpu)?;
/// let study = Tensor::randn([1, 30, 64, 64], (Kind::Float, Device::Cpu));
/// // which pixels raise the logit of "severe" for the first target
/// let map = grad_cam(&model, &study, None, |logits| logits.select(1, 0).select(1, 2).sum(Kind::Float))?;
/// assert_eq!(map.size(), [1, 64, 64]);
/// # Ok::<(), lumbar::model::Error>(())
/// ```
pub fn grad_cam(
    model: &(impl Module + ?Sized),
    xs: &Tensor,
    stage: Option<usize>,
    score: impl FnOnce(&Tensor) -> Tensor,
) -> Result<Tensor> {
    let (gradient, features) = tch::with_grad(|| -> Result<(Tensor, Tensor)> {
        // the input records gradients, so that there is a graph even if all weights are frozen
        let xs = xs.f_detach()?.f_set_requires_grad(true)?;
        let mut pass = Pass::recording_stages(Mode::Eval);
        let result = model.run(&xs, &mut pass)?;
        let mut stages = pass.into_stages();
        let count = stages.len();
        let stage = stage.unwrap_or(count.saturating_sub(1));
        if stage >= count {
            return Err(Error::UnknownStage { stage, count });
        }
        let features = stages.swap_remove(stage);
        let gradient = Tensor::f_run_backward(&[score(&result)], &[&features], false, false)?.remove(0);
        Ok((gradient, features))
    })?;
    tch::no_grad(|| {
        let weights = gradient.f_mean_dim([2i64, 3].as_slice(), true, Kind::Float)?;
        let map = weights.f_mul(&features)?.f_sum_dim_intlist([1i64].as_slice(), true, Kind::Float)?.f_relu()?;
        let greatest = map.f_amax([2i64, 3].as_slice(), true)?.f_clamp_min(f64::from(f32::MIN_POSITIVE))?;
        let size = xs.size();
        let (height, width) = (size[size.len() - 2], size[size.len() - 1]);
        Ok(map.f_div(&greatest)?.f_upsample_bilinear2d([height, width], false, None, None)?.f_squeeze_dim(1)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Architecture, Backbone, BackboneConfig, Features};
    use tch::Device;

    #[test]
    fn every_stage_of_every_family_has_a_map_even_if_frozen() {
        for architecture in [Architecture::EfficientNetB0, Architecture::ResNet18d, Architecture::ConvNextNano] {
            let config = BackboneConfig { num_classes: 5, ..BackboneConfig::new(architecture) };
            let model = Backbone::new(&config, 3, Device::Cpu).unwrap();
            model.registry().train_only(|_| false).unwrap();
            let xs = Tensor::randn([2, 3, 64, 64], (Kind::Float, Device::Cpu));
            let score = |logits: &Tensor| logits.select(1, 1).sum(Kind::Float);
            for stage in 0..model.stage_info().len() {
                let map = grad_cam(&model, &xs, Some(stage), score).unwrap();
                assert_eq!(map.size(), [2, 64, 64]);
                assert!(map.max().double_value(&[]) <= 1.0 && map.min().double_value(&[]) >= 0.0);
            }
            let error = grad_cam(&model, &xs, Some(9), score).unwrap_err().to_string();
            assert!(error.contains("no stage 9"), "{error}");
        }
    }

    #[test]
    fn the_map_of_an_image_does_not_depend_on_its_neighbours() {
        let config = BackboneConfig { num_classes: 5, ..BackboneConfig::new(Architecture::EfficientNetB0) };
        let model = Backbone::new(&config, 3, Device::Cpu).unwrap();
        let xs = Tensor::randn([2, 3, 64, 64], (Kind::Float, Device::Cpu));
        let score = |logits: &Tensor| logits.select(1, 1).sum(Kind::Float);
        let both = grad_cam(&model, &xs, None, score).unwrap();
        let alone = grad_cam(&model, &xs.narrow(0, 1, 1), None, score).unwrap();
        let difference = (both.narrow(0, 1, 1) - alone).abs().max().double_value(&[]);
        assert!(difference < 1e-3, "{difference}");
    }
}
