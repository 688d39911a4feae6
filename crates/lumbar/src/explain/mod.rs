//! Where a model looks: Grad-CAM.

mod cell;

use tch::{Kind, Tensor};

use crate::model::{Error, Mode, Module, Pass, Result};

pub use cell::{CellCam, ExplainCell};
pub(crate) use cell::{array, fine_level, in_batch, list};

/// A heat map over each image: where the features of one level raise a score.
///
/// Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391): the level's feature maps are weighted by the mean of the
/// score's gradient over each map, summed, and clipped at zero. Each map is divided by its greatest value and
/// enlarged to the image's size.
///
/// `level` counts the backbone's levels from the finest; `None` is the last. `score` makes one number of the
/// model's result, such as the logit of one severity of one target summed over the batch: samples do not mix in
/// eval mode, so that each image's map is that of its own score.
///
/// # Shapes
/// `xs` `[batch, channels, height, width]` → `[batch, height, width]` within 0 – 1; for a model that runs its
/// backbone over slices, `[batch · slices, height, width]`.
///
/// # Errors
/// The input does not fit, the model has no such level, or the score does not depend on it.
///
/// ```
/// use lumbar::explain::grad_cam;
/// use lumbar::model::{SpineConfig, SpineModel};
/// use tch::{Device, Kind, Tensor};
///
/// let model = SpineModel::new(&SpineConfig::default(), 0, Device::Cpu)?;
/// let study = Tensor::randn([1, 30, 64, 64], (Kind::Float, Device::Cpu));
/// // How much the study's pixels speak for the third severity of the first target.
/// let map = grad_cam(&model, &study, None, |logits| logits.select(1, 0).select(1, 2).sum(Kind::Float))?;
/// assert_eq!(map.size(), [1, 64, 64]);
/// # Ok::<(), lumbar::model::Error>(())
/// ```
pub fn grad_cam(
    model: &(impl Module + ?Sized),
    xs: &Tensor,
    level: Option<usize>,
    score: impl FnOnce(&Tensor) -> Tensor,
) -> Result<Tensor> {
    let (gradient, features) = tch::with_grad(|| -> Result<(Tensor, Tensor)> {
        // The input records gradients, so that a model with frozen weights has a graph as well.
        let xs = xs.f_detach()?.f_set_requires_grad(true)?;
        let mut pass = Pass::keeping_levels(Mode::Eval);
        let result = model.run(&xs, &mut pass)?;
        let mut levels = pass.into_levels();
        let (wanted, count) = (level.unwrap_or(levels.len().saturating_sub(1)), levels.len());
        if wanted >= count {
            return Err(Error::NoSuchPart {
                model: "the model".to_owned(),
                what: format!("level {wanted}"),
                known: format!("levels 0 to {}", count.saturating_sub(1)),
            });
        }
        let features = levels.swap_remove(wanted);
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
    fn every_level_of_every_family_has_a_map_even_when_frozen() {
        for architecture in [Architecture::EfficientNetB0, Architecture::ResNet18d, Architecture::ConvNextNano] {
            let config = BackboneConfig { num_classes: 5, ..BackboneConfig::new(architecture) };
            let model = Backbone::new(&config, 3, Device::Cpu).unwrap();
            model.registry().train_only(|_| false).unwrap();
            let xs = Tensor::randn([2, 3, 64, 64], (Kind::Float, Device::Cpu));
            let score = |logits: &Tensor| logits.select(1, 1).sum(Kind::Float);
            for level in 0..model.stage_info().len() {
                let map = grad_cam(&model, &xs, Some(level), score).unwrap();
                assert_eq!(map.size(), [2, 64, 64]);
                assert!(map.max().double_value(&[]) <= 1.0 && map.min().double_value(&[]) >= 0.0);
            }
            let error = grad_cam(&model, &xs, Some(9), score).unwrap_err().to_string();
            assert!(error.contains("no level 9"), "{error}");
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
