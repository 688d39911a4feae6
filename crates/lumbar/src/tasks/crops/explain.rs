use tch::Kind;

use super::{CropGrader, Crops};
use crate::anatomy::{ConditionGroup, Severity, Side, Target};
use crate::data::loader::BoxError;
use crate::explain::{CellCam, ExplainCell, array, check_in_batch, deepest_stage, grad_cam, list};
use crate::model::LevelModel;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Features as _, LevelConfig};
    use crate::tasks::crops::{GroupCrops, LevelBias};
    use tch::{Device, Tensor};

    #[test]
    fn a_crop_is_explained_by_its_planes_model_and_a_target_without_a_crop_is_none() {
        let model = |seed| LevelModel::new(&LevelConfig::default(), seed, Device::Cpu).unwrap();
        let grader = CropGrader {
            canal: model(1),
            foramen: model(2),
            recess: model(3),
            level_bias: LevelBias::new(Device::Cpu).unwrap(),
        };
        let pixels = Tensor::randn([2, 3, 64, 64], (Kind::Float, Device::Cpu));
        let cells = vec![(0, Target::ALL[1]), (1, Target::ALL[4])];
        let groups = [Some(GroupCrops { pixels: pixels.shallow_clone(), cells }), None, None];
        let crops = Crops { studies: 2, groups };
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
}
