use tch::{Kind, Tensor};

use super::WholeStudy;
use crate::anatomy::{ConditionGroup, Severity, Target};
use crate::data::loader::BoxError;
use crate::explain::{CellCam, ExplainCell, array, check_in_batch, deepest_stage, grad_cam};
use crate::model::SpineModel;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SpineConfig;
    use tch::Device;

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
}
