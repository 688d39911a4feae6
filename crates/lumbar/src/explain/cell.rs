//! Where a network looks when it grades one cell.

use ndarray::{Array2, Array3, s};
use tch::{Kind, Tensor};

use crate::anatomy::{Severity, Target};
use crate::data::loader::BoxError;
use crate::model::{Backbone, Features as _};

/// Features on a side of a map that tells places apart.
const LEAST_SIDE: i64 = 6;

/// The pictures that a network saw of one cell, with a heat map over each.
#[derive(Debug, Clone, PartialEq)]
pub struct CellCam {
    /// What the network saw, as it saw it: crops of right sides are mirrored.
    ///
    /// # Shapes
    /// `[slices, height, width]`.
    pub slices: Array3<f32>,
    /// Where each picture speaks for the severity, within 0 – 1.
    ///
    /// # Shapes
    /// `[slices, height, width]`.
    pub maps: Array3<f32>,
    /// How much each slice counts; sums to one.
    ///
    /// # Shapes
    /// `[slices]`.
    pub weights: Vec<f32>,
    /// Whether the pictures show the mirrored patient.
    pub is_mirrored: bool,
}

impl CellCam {
    /// The slice that counts most, the first of equals: its place.
    #[must_use]
    pub fn strongest(&self) -> usize {
        let better = |best: usize, place: usize| if self.weights[place] > self.weights[best] { place } else { best };
        (0..self.weights.len()).fold(0, better)
    }

    /// A slice and its map, if there is such a slice.
    #[must_use]
    pub fn slice(&self, place: usize) -> Option<(Array2<f32>, Array2<f32>)> {
        (place < self.weights.len())
            .then(|| (self.slices.slice(s![place, .., ..]).to_owned(), self.maps.slice(s![place, .., ..]).to_owned()))
    }
}

/// A network that can say where it looked at a cell.
pub trait ExplainCell {
    /// What it looks at.
    type Inputs;

    /// Grad-CAM of the logit of `severity` of one target of the study at `place` in the batch, at the deepest level
    /// that still has six features a side; none where the inputs do not show that target.
    ///
    /// # Errors
    /// When there is no such study in the batch, or the network refuses.
    fn explain(
        &self,
        inputs: &Self::Inputs,
        place: usize,
        target: Target,
        severity: Severity,
    ) -> Result<Option<CellCam>, BoxError>;
}

/// The deepest level whose features are still at least [`LEAST_SIDE`] wide and high, else the finest: the last
/// level of a small crop is a pixel or two, and a map of that says nothing about places.
pub(crate) fn fine_level(backbone: &Backbone, pixels: &Tensor) -> Option<usize> {
    let size = pixels.size();
    let side = size.iter().rev().take(2).copied().min()?;
    let stages = backbone.stage_info();
    Some(stages.iter().rposition(|stage| side / stage.reduction >= LEAST_SIDE).unwrap_or(0))
}

/// Refuses a study that is not in the batch.
pub(crate) fn in_batch(place: usize, studies: usize) -> Result<(), BoxError> {
    if place < studies { Ok(()) } else { Err(format!("study {place} of a batch of {studies}").into()) }
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
    fn the_slice_that_counts_most_is_found() {
        let zeros = Array3::zeros((3, 2, 2));
        let cam = CellCam { slices: zeros.clone(), maps: zeros, weights: vec![0.2, 0.5, 0.3], is_mirrored: false };
        assert_eq!(cam.strongest(), 1);
    }
}
