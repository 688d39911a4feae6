//! Mixup and cutmix in the loop: each study of a batch with another one, target by target.

use tch::{TchError, Tensor};

use super::epoch::labels_shown;
use super::loss::Loss;
use super::network::{Batch, Network};
use super::{TrainConfig, TrainError};
use crate::data::StudyId;
use crate::data::augment::{Mix, MixKind};
use crate::data::random::generator;

/// What the loss has to know of a batch that was mixed.
pub(super) struct Mixed {
    /// Share of the studies' own labels.
    own: f64,
    /// Labels of the partners: where only the study itself shows a cell its own, where it does not show it none.
    partners: Tensor,
}

/// Mixes a batch of a training step as the config says; none where it is left as it is.
///
/// What is drawn follows from the seed, the fold and the batch's place in the run.
pub(super) fn batch<N: Network>(
    network: &N,
    batch: &mut Batch<N::Inputs>,
    config: &TrainConfig,
    fold: usize,
    place: (usize, u64, usize),
) -> Result<Option<Mixed>, TrainError> {
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
    let partners = partner_labels(&labels_shown(batch)?, batch.shown.as_ref(), &mix.partners)?;
    Ok(Some(Mixed { own: mix.own(), partners }))
}

/// What [`Mixed::partners`] holds.
fn partner_labels(labels: &Tensor, shown: Option<&Tensor>, partners: &[usize]) -> Result<Tensor, TchError> {
    let index = index(partners)?.f_to_device(labels.device())?;
    let others = labels.f_index_select(0, &index)?;
    match shown {
        Some(shown) => others.f_where_self(&shown.f_logical_and(&shown.f_index_select(0, &index)?)?, labels),
        None => Ok(others),
    }
}

/// The loss of a batch that may be mixed: that of both labels, by their shares.
pub(super) fn loss(mixed: Option<&Mixed>, loss: &Loss, logits: &Tensor, labels: &Tensor) -> Result<Tensor, TrainError> {
    let own = loss.of(logits, labels)?;
    match mixed {
        None => Ok(own),
        Some(mixed) => Ok(own.f_lerp(&loss.of(logits, &mixed.partners)?, 1.0 - mixed.own)?),
    }
}

/// Pictures mixed with those at `partners`, which count along the first dimension.
///
/// # Shapes
/// `[samples, …, height, width]` → the same.
///
/// # Errors
/// libtorch's: a partner that is not there, a rectangle outside of the pictures.
///
/// ```
/// use lumbar::{data::augment::MixKind, train::mix::mix_pictures};
/// use tch::Tensor;
///
/// let pictures = Tensor::from_slice(&[0f32, 8.0]).view([2, 1, 1]);
/// let mixed = mix_pictures(&pictures, &[1, 0], MixKind::Mixup { own: 0.75 })?;
/// assert_eq!(Vec::<f32>::try_from(mixed.flatten(0, -1))?, [2.0, 6.0]);
/// # Ok::<(), tch::TchError>(())
/// ```
pub fn mix_pictures(pictures: &Tensor, partners: &[usize], kind: MixKind) -> Result<Tensor, TchError> {
    let others = || pictures.f_index_select(0, &index(partners)?.f_to_device(pictures.device())?);
    match kind {
        MixKind::None => Ok(pictures.shallow_clone()),
        MixKind::Mixup { own } => pictures.f_lerp(&others()?, 1.0 - own),
        MixKind::Cutmix { left, right, top, bottom, .. } => {
            let part = |of: &Tensor| {
                of.f_narrow(-2, top as i64, (bottom - top) as i64)?.f_narrow(-1, left as i64, (right - left) as i64)
            };
            let mut mixed = pictures.f_empty_like()?;
            mixed.f_copy_(pictures)?;
            part(&mixed)?.f_copy_(&part(&others()?)?)?;
            Ok(mixed)
        }
    }
}

fn index(partners: &[usize]) -> Result<Tensor, TchError> {
    let places: Vec<i64> = partners.iter().map(|partner| *partner as i64).collect();
    Tensor::f_from_slice(&places)
}

/// The place of each cell's partner among `cells`: the same target of the partner study, the cell itself where that
/// is not there.
pub(super) fn partner_cells<T: Copy + Eq + std::hash::Hash>(cells: &[(usize, T)], mix: &Mix) -> Vec<usize> {
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
    use crate::train::loss::MASKED;
    use tch::{Device, Kind};

    #[test]
    fn tensors_are_mixed_as_slices_are() {
        let shape = [3, 2, 5, 4];
        let pictures = Tensor::arange(shape.iter().product::<i64>(), (Kind::Float, Device::Cpu)).view(shape);
        let partners = vec![2, 0, 1];
        for kind in [
            MixKind::None,
            MixKind::Mixup { own: 0.25 },
            MixKind::Cutmix { left: 1, right: 3, top: 0, bottom: 4, own: 0.6 },
        ] {
            let found = mix_pictures(&pictures, &partners, kind).unwrap();
            let rows = pictures.permute([0, 2, 3, 1]).contiguous();
            let mut expected: Vec<f32> = Vec::try_from(rows.flatten(0, -1)).unwrap();
            Mix { partners: partners.clone(), kind }.apply(&mut expected, 4, 2);
            let expected = Tensor::from_slice(&expected).view([3, 5, 4, 2]).permute([0, 3, 1, 2]);
            assert!((found - expected).abs().max().double_value(&[]) < 1e-5, "{kind:?}");
        }
    }

    #[test]
    fn labels_of_cells_that_only_one_study_shows_are_its_own() {
        // the first study does not show its third cell, the second not its second
        let labels = Tensor::from_slice(&[0, 1, MASKED, 1, MASKED, 2]).view([2, 3]);
        let shown = Tensor::from_slice(&[true, true, false, true, false, true]).view([2, 3]);
        let found = partner_labels(&labels, Some(&shown), &[1, 0]).unwrap();
        assert_eq!(Vec::<i64>::try_from(found.flatten(0, -1)).unwrap(), [1, 1, MASKED, 0, MASKED, 2]);
        let found = partner_labels(&labels, None, &[1, 0]).unwrap();
        assert_eq!(Vec::<i64>::try_from(found.flatten(0, -1)).unwrap(), [1, MASKED, 2, 0, 1, MASKED]);
    }

    #[test]
    fn a_cell_meets_the_same_target_of_the_partner_or_stays_alone() {
        let cells = [(0, 'a'), (0, 'b'), (1, 'b'), (2, 'a')];
        let mix = Mix { partners: vec![1, 2, 0], kind: MixKind::Mixup { own: 0.5 } };
        assert_eq!(partner_cells(&cells, &mix), [0, 2, 2, 0]);
    }
}
