//! Grad-CAM for one cell: one target of one study.

use ndarray::{Array2, Array3, s};
use tch::{Kind, Tensor};

use crate::anatomy::{Severity, Target};
use crate::data::loader::BoxError;
use crate::model::{Backbone, Features as _};

/// Smallest width and height, in features, of a stage that is used for a map.
const MIN_SIDE: i64 = 6;

/// A network's input for one cell, with a heat map for each slice.
#[derive(Debug, Clone, PartialEq)]
pub struct CellCam {
    /// The slices as the network's input: crops of right sides are mirrored.
    ///
    /// # Shapes
    /// `[slices, height, width]`.
    pub slices: Array3<f32>,
    /// For each slice how much each pixel raises the severity's logit, from 0 to 1.
    ///
    /// # Shapes
    /// `[slices, height, width]`.
    pub maps: Array3<f32>,
    /// The weight of each slice. The weights sum to 1.
    ///
    /// # Shapes
    /// `[slices]`.
    pub weights: Vec<f32>,
    /// Whether the slices show the mirrored patient.
    pub is_mirrored: bool,
}

impl CellCam {
    /// The index of the slice with the greatest weight; of equal ones the first.
    #[must_use]
    pub fn strongest(&self) -> usize {
        let better = |best: usize, index: usize| if self.weights[index] > self.weights[best] { index } else { best };
        (0..self.weights.len()).fold(0, better)
    }

    /// A slice and its map; `None` if `index` is outside the crop.
    #[must_use]
    pub fn slice(&self, index: usize) -> Option<(Array2<f32>, Array2<f32>)> {
        (index < self.weights.len())
            .then(|| (self.slices.slice(s![index, .., ..]).to_owned(), self.maps.slice(s![index, .., ..]).to_owned()))
    }
}

/// A network whose predictions can be explained cell by cell.
pub trait ExplainCell {
    /// The network's inputs for a batch of studies.
    type Inputs;

    /// Grad-CAM of the logit of `severity` of one target, for study number `study` of the batch. It uses the deepest
    /// stage with at least six features on each side. `None` if the inputs do not show the target.
    ///
    /// # Errors
    /// If the batch has no such study, or the network fails.
    fn explain(
        &self,
        inputs: &Self::Inputs,
        study: usize,
        target: Target,
        severity: Severity,
    ) -> Result<Option<CellCam>, BoxError>;
}

/// The deepest stage whose features are at least [`MIN_SIDE`] wide and high, else the first. The last stage of a small
/// crop has one or two features on each side, and a map of those shows no positions.
pub(crate) fn deepest_stage(backbone: &Backbone, pixels: &Tensor) -> Option<usize> {
    let size = pixels.size();
    let side = size.iter().rev().take(2).copied().min()?;
    let stages = backbone.stage_info();
    Some(stages.iter().rposition(|stage| side / stage.reduction >= MIN_SIDE).unwrap_or(0))
}

/// Refuses a study that is not in the batch.
pub(crate) fn check_in_batch(study: usize, studies: usize) -> Result<(), BoxError> {
    if study < studies { Ok(()) } else { Err(format!("the batch has {studies} studies, not study {study}").into()) }
}

/// A tensor of three dimensions as an array.
pub(crate) fn array(tensor: &Tensor) -> Result<Array3<f32>, BoxError> {
    let size = tensor.size3()?;
    let shape = (size.0 as usize, size.1 as usize, size.2 as usize);
    Ok(Array3::from_shape_vec(shape, list(&tensor.f_reshape([-1])?)?)?)
}

/// The values of a tensor.
pub(crate) fn list(tensor: &Tensor) -> Result<Vec<f32>, BoxError> {
    let tensor = tensor.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
    Ok(Vec::try_from(&tensor)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_slice_has_the_greatest_weight() {
        let zeros = Array3::zeros((3, 2, 2));
        let cam = CellCam { slices: zeros.clone(), maps: zeros, weights: vec![0.2, 0.5, 0.3], is_mirrored: false };
        assert_eq!(cam.strongest(), 1);
    }
}
