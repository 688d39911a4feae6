use tch::{Kind, Tensor};

use super::{StudyAttention, StudySlices};
use crate::anatomy::{Severity, Target};
use crate::data::SeriesKind;
use crate::data::loader::BoxError;
use crate::explain::{CellCam, ExplainCell, array, check_in_batch, list};
use crate::model::{Mode, Module};

impl<E: Module> ExplainCell for StudyAttention<E> {
    type Inputs = StudySlices;

    /// The slices of the target's own kind of series. The map is exact, no gradient is needed: a logit is the sum of what
    /// the positions add to it. A slice's weight is its share of the target's attention.
    fn explain(
        &self,
        inputs: &StudySlices,
        study: usize,
        target: Target,
        severity: Severity,
    ) -> Result<Option<CellCam>, BoxError> {
        check_in_batch(study, inputs.studies.len())?;
        let kind = SeriesKind::annotated_for(target.condition);
        let (mut first, counts) = inputs.slices(study);
        first += counts[..kind as usize].iter().sum::<usize>();
        let count = counts[kind as usize];
        if count == 0 {
            return Ok(None);
        }
        tch::no_grad(|| {
            let features = self.encode(&inputs.pixels, Mode::Eval)?;
            let planes = Self::planes(inputs, &features, study)?;
            let Some((attention, raised)) = self.attention.explain(&planes, kind, target, severity)? else {
                return Ok(None);
            };
            let size = features.size();
            let (slices, rows, columns) = (count as i64, size[2], size[3]);
            let map = raised.f_relu()?.f_view([slices, 1, rows, columns])?;
            let greatest = map.f_max()?.f_clamp_min(f64::from(f32::MIN_POSITIVE))?;
            let pixels = inputs.pixels.f_narrow(0, first as i64, slices)?.f_select(1, kind as i64)?;
            let sides = [pixels.size()[1], pixels.size()[2]];
            let map = map.f_div(&greatest)?.f_upsample_bilinear2d(sides, false, None, None)?.f_squeeze_dim(1)?;
            let weights: Tensor = attention.f_view([slices, -1])?.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Float)?;
            let weights = weights.f_div(&weights.f_sum(Kind::Float)?.f_clamp_min(f64::from(f32::MIN_POSITIVE))?)?;
            let (slices, maps, weights) = (array(&pixels)?, array(&map)?, list(&weights)?);
            Ok(Some(CellCam { slices, maps, weights, is_mirrored: false }))
        })
    }
}
