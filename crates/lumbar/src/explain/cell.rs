//! Grad-CAM for one cell: one target of one study.

use ndarray::{Array2, Array3, s};
use tch::{Kind, Tensor};

use super::grad_cam;
use crate::anatomy::{ConditionGroup, Severity, Side, Target};
use crate::model::{Backbone, Features as _, LevelModel, SpineModel};
use crate::train::grader::{CropGrader, Crops, WholeStudy};
use crate::train::network::BoxError;

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

impl ExplainCell for CropGrader<LevelModel> {
    type Inputs = Crops;

    /// The maps of the crop's slices, with the model's attention weights.
    fn explain(
        &self,
        inputs: &Crops,
        study: usize,
        target: Target,
        severity: Severity,
    ) -> Result<Option<CellCam>, BoxError> {
        check_in_batch(study, inputs.studies)?;
        let group = target.condition.group();
        let model = match group {
            ConditionGroup::Spinal => &self.canal,
            ConditionGroup::Foraminal => &self.foramen,
            ConditionGroup::Subarticular => &self.recess,
        };
        let index = ConditionGroup::ALL.iter().position(|other| *other == group).unwrap_or(0);
        let Some(crops) = &inputs.groups[index] else { return Ok(None) };
        let Some(crop) = crops.cells.iter().position(|cell| *cell == (study, target)) else { return Ok(None) };
        let pixels = crops.pixels.f_narrow(0, crop as i64, 1)?;
        let class = severity.index() as i64;
        let stage = deepest_stage(model.backbone(), &pixels);
        // [1, 3] with one head
        let maps = grad_cam(model, &pixels, stage, |logits| logits.narrow(-1, class, 1).sum(Kind::Float))?;
        let weights = model.slice_weights(&pixels)?.f_reshape([-1])?;
        let (slices, maps, weights) = (array(&pixels.f_squeeze_dim(0)?)?, array(&maps)?, list(&weights)?);
        let is_mirrored = target.condition.side() == Some(Side::Right);
        Ok(Some(CellCam { slices, maps, weights, is_mirrored }))
    }
}

impl ExplainCell for WholeStudy<SpineModel> {
    type Inputs = Tensor;

    /// The slices of the target's plane: sagittal T2 for the canal, sagittal T1 for the foramina, axial T2 for the
    /// recesses. The model has one map for all channels of a study, so that all slices have the same map and the same
    /// weight.
    fn explain(
        &self,
        inputs: &Tensor,
        study: usize,
        target: Target,
        severity: Severity,
    ) -> Result<Option<CellCam>, BoxError> {
        check_in_batch(study, inputs.size().first().map_or(0, |studies| *studies as usize))?;
        let config = self.0.config();
        let (t1, t2, axial) = (config.sagittal_t1_slices, config.sagittal_t2_slices, config.axial_t2_slices);
        let (first, count) = match target.condition.group() {
            ConditionGroup::Foraminal => (0, t1),
            ConditionGroup::Spinal => (t1, t2),
            ConditionGroup::Subarticular => (t1 + t2, axial),
        };
        if count == 0 {
            return Ok(None);
        }
        let pixels = inputs.f_narrow(0, study as i64, 1)?;
        let (index, class) = (target.index() as i64, severity.index() as i64);
        let stage = deepest_stage(self.0.backbone(), &pixels);
        let map =
            grad_cam(&self.0, &pixels, stage, |logits| logits.select(1, index).select(1, class).sum(Kind::Float))?;
        let slices = array(&pixels.f_squeeze_dim(0)?.f_narrow(0, first, count)?)?;
        let maps = array(&map.f_expand([count, map.size()[1], map.size()[2]], false)?)?;
        let weights = vec![1.0 / count as f32; count as usize];
        Ok(Some(CellCam { slices, maps, weights, is_mirrored: false }))
    }
}

/// The deepest stage whose features are at least [`MIN_SIDE`] wide and high, else the first. The last stage of a small
/// crop has one or two features on each side, and a map of those shows no positions.
fn deepest_stage(backbone: &Backbone, pixels: &Tensor) -> Option<usize> {
    let size = pixels.size();
    let side = size.iter().rev().take(2).copied().min()?;
    let stages = backbone.stage_info();
    Some(stages.iter().rposition(|stage| side / stage.reduction >= MIN_SIDE).unwrap_or(0))
}

fn check_in_batch(study: usize, studies: usize) -> Result<(), BoxError> {
    if study < studies { Ok(()) } else { Err(format!("the batch has {studies} studies, not study {study}").into()) }
}

fn array(tensor: &Tensor) -> Result<Array3<f32>, BoxError> {
    let size = tensor.size3()?;
    let shape = (size.0 as usize, size.1 as usize, size.2 as usize);
    Ok(Array3::from_shape_vec(shape, list(&tensor.f_reshape([-1])?)?)?)
}

fn list(tensor: &Tensor) -> Result<Vec<f32>, BoxError> {
    let tensor = tensor.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
    Ok(Vec::try_from(&tensor)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LevelConfig, SpineConfig};
    use crate::train::grader::GroupCrops;
    use tch::Device;

    #[test]
    fn a_crop_is_explained_by_its_planes_model_and_a_target_without_a_crop_is_none() {
        let model = |seed| LevelModel::new(&LevelConfig::default(), seed, Device::Cpu).unwrap();
        let grader = CropGrader { canal: model(1), foramen: model(2), recess: model(3) };
        let pixels = Tensor::randn([2, 3, 64, 64], (Kind::Float, Device::Cpu));
        let cells = vec![(0, Target::ALL[1]), (1, Target::ALL[4])];
        let groups = [Some(GroupCrops { pixels: pixels.shallow_clone(), cells }), None, None];
        let crops = Crops { studies: 2, groups, device: Device::Cpu };
        let cam = grader.explain(&crops, 1, Target::ALL[4], Severity::Severe).unwrap().unwrap();
        assert_eq!((cam.slices.dim(), cam.maps.dim(), cam.weights.len()), ((3, 64, 64), (3, 64, 64), 3));
        assert!((cam.slices[[2, 5, 7]] - pixels.double_value(&[1, 2, 5, 7]) as f32).abs() < 1e-6);
        assert!((cam.weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert!(cam.maps.iter().all(|value| (0.0..=1.0).contains(value)));
        assert!(cam.slice(2).is_some() && cam.slice(3).is_none());
        // 64 pixels: eight features on each side at reduction 8, four at 16
        let stage = deepest_stage(grader.canal.backbone(), &pixels).unwrap();
        assert_eq!(grader.canal.backbone().stage_info()[stage].reduction, 8);
        // crops of another study and of another plane are not in the batch
        assert!(grader.explain(&crops, 0, Target::ALL[4], Severity::Severe).unwrap().is_none());
        assert!(grader.explain(&crops, 1, Target::ALL[9], Severity::Severe).unwrap().is_none());
        assert!(grader.explain(&crops, 2, Target::ALL[4], Severity::Severe).is_err());
    }

    #[test]
    fn slices_of_a_whole_study_are_those_of_the_targets_plane() {
        let config =
            SpineConfig { sagittal_t1_slices: 2, sagittal_t2_slices: 1, axial_t2_slices: 3, ..SpineConfig::default() };
        let network = WholeStudy(SpineModel::new(&config, 0, Device::Cpu).unwrap());
        let studies = Tensor::randn([1, 6, 64, 64], (Kind::Float, Device::Cpu));
        for (target, first, count) in [(0, 2, 1), (7, 0, 2), (24, 3, 3)] {
            let cam = network.explain(&studies, 0, Target::ALL[target], Severity::Moderate).unwrap().unwrap();
            assert_eq!(cam.slices.dim(), (count, 64, 64));
            assert!((cam.slices[[0, 1, 1]] - studies.double_value(&[0, first, 1, 1]) as f32).abs() < 1e-6);
        }
    }

    #[test]
    fn the_strongest_slice_has_the_greatest_weight() {
        let zeros = Array3::zeros((3, 2, 2));
        let cam = CellCam { slices: zeros.clone(), maps: zeros, weights: vec![0.2, 0.5, 0.3], is_mirrored: false };
        assert_eq!(cam.strongest(), 1);
    }
}
