//! Mixup and cutmix in the loop: each study of a batch with another one.

use tch::{TchError, Tensor};

use super::network::Network;
use super::objective::Objective;
use super::{TrainConfig, TrainError};
use crate::data::StudyId;
use crate::data::augment::{Mix, MixKind};
use crate::data::loader::Batch;
use crate::data::random::generator;

/// What the loss needs of a batch that was mixed.
pub(super) struct Mixed<T> {
    /// Share of the studies' own truth.
    own: f64,
    partners: T,
}

/// Mixes a batch of a training step as the config says; `None` if the batch stays as it is.
///
/// The draw follows from the seed, the fold and the batch's place in the run: (epoch, step, part of the step).
pub(super) fn batch<N: Network, O: Objective>(
    network: &N,
    objective: &O,
    batch: &mut Batch<N::Inputs, O::Truth>,
    config: &TrainConfig,
    fold: usize,
    place: (usize, u64, usize),
) -> Result<Option<Mixed<O::Truth>>, TrainError> {
    if !config.mix.is_on() {
        return Ok(None);
    }
    let (epoch, step, part) = place;
    let purpose = format!("train.mix.{fold}.{step}.{part}");
    let mut random = generator(config.seed, epoch as u64, StudyId(0), &purpose);
    let studies = batch.studies.len();
    let mut draw = |width, height| config.mix.draw(studies, width, height, &mut random);
    let refused = |source| TrainError::Batch { studies: batch.studies.clone(), source };
    let mix = network.mix(&mut batch.inputs, &mut draw).map_err(refused)?;
    if mix.kind == MixKind::None {
        return Ok(None);
    }
    Ok(Some(Mixed { own: mix.own(), partners: objective.partners(&batch.truth, &mix)? }))
}

/// The loss of a batch that may be mixed: the losses of both truths, weighted by their shares.
pub(super) fn loss<O: Objective>(
    mixed: Option<&Mixed<O::Truth>>,
    objective: &O,
    output: &Tensor,
    truth: &O::Truth,
) -> Result<Tensor, TrainError> {
    let own = objective.loss(output, truth)?;
    match mixed {
        None => Ok(own),
        Some(mixed) => Ok(own.f_lerp(&objective.loss(output, &mixed.partners)?, 1.0 - mixed.own)?),
    }
}

/// Images mixed with those at `partners`, which are indices along the first dimension.
///
/// # Shapes
/// `[samples, …, height, width]` → the same.
///
/// # Errors
/// libtorch's: a partner out of range, a rectangle outside the images.
///
/// ```
/// use lumbar::{data::augment::MixKind, train::mix::mix_images};
/// use tch::Tensor;
///
/// let images = Tensor::from_slice(&[0f32, 8.0]).view([2, 1, 1]);
/// let mixed = mix_images(&images, &[1, 0], MixKind::Mixup { own: 0.75 })?;
/// assert_eq!(Vec::<f32>::try_from(mixed.flatten(0, -1))?, [2.0, 6.0]);
/// # Ok::<(), tch::TchError>(())
/// ```
pub fn mix_images(images: &Tensor, partners: &[usize], kind: MixKind) -> Result<Tensor, TchError> {
    let others = || images.f_index_select(0, &index(partners)?.f_to_device(images.device())?);
    match kind {
        MixKind::None => Ok(images.shallow_clone()),
        MixKind::Mixup { own } => images.f_lerp(&others()?, 1.0 - own),
        MixKind::Cutmix { left, right, top, bottom, .. } => {
            let part = |of: &Tensor| {
                of.f_narrow(-2, top as i64, (bottom - top) as i64)?.f_narrow(-1, left as i64, (right - left) as i64)
            };
            let mut mixed = images.f_empty_like()?;
            mixed.f_copy_(images)?;
            part(&mixed)?.f_copy_(&part(&others()?)?)?;
            Ok(mixed)
        }
    }
}

/// Partners as an index tensor.
pub(crate) fn index(partners: &[usize]) -> Result<Tensor, TchError> {
    let places: Vec<i64> = partners.iter().map(|partner| *partner as i64).collect();
    Tensor::f_from_slice(&places)
}

/// The place of each cell's partner among `cells`: the same target of the partner study, or the cell itself if the
/// partner study has no such cell.
pub(crate) fn partner_cells<T: Copy + Eq + std::hash::Hash>(cells: &[(usize, T)], mix: &Mix) -> Vec<usize> {
    let places: std::collections::HashMap<(usize, T), usize> =
        cells.iter().enumerate().map(|(place, cell)| (*cell, place)).collect();
    let partner = |(place, (study, target)): (usize, &(usize, T))| {
        mix.partners.get(*study).and_then(|partner| places.get(&(*partner, *target))).copied().unwrap_or(place)
    };
    cells.iter().enumerate().map(partner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn tensors_are_mixed_as_buffers_are() {
        let shape = [3, 2, 5, 4];
        let images = Tensor::arange(shape.iter().product::<i64>(), (Kind::Float, Device::Cpu)).view(shape);
        let partners = vec![2, 0, 1];
        for kind in [
            MixKind::None,
            MixKind::Mixup { own: 0.25 },
            MixKind::Cutmix { left: 1, right: 3, top: 0, bottom: 4, own: 0.6 },
        ] {
            let found = mix_images(&images, &partners, kind).unwrap();
            let rows = images.permute([0, 2, 3, 1]).contiguous();
            let mut expected: Vec<f32> = Vec::try_from(rows.flatten(0, -1)).unwrap();
            Mix { partners: partners.clone(), kind }.apply(&mut expected, 4, 2);
            let expected = Tensor::from_slice(&expected).view([3, 5, 4, 2]).permute([0, 3, 1, 2]);
            assert!((found - expected).abs().max().double_value(&[]) < 1e-5, "{kind:?}");
        }
    }

    #[test]
    fn a_cell_meets_the_same_target_of_the_partner_or_itself() {
        let cells = [(0, 'a'), (0, 'b'), (1, 'b'), (2, 'a')];
        let mix = Mix { partners: vec![1, 2, 0], kind: MixKind::Mixup { own: 0.5 } };
        assert_eq!(partner_cells(&cells, &mix), [0, 2, 2, 0]);
    }
}
