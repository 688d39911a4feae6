use tch::{Device, Kind, TchError, Tensor};

use super::attention::{Attention, Plane};
use crate::anatomy::{ConditionGroup, Target};
use crate::data::SeriesKind;
use crate::data::loader::{BoxError, Tensors};
use crate::model::{Module, Pass};
use crate::tasks::crops::LevelBias;
use crate::train::network::{Mode, Network, registry_buffers, registry_parameters};
use crate::train::optimizer::Parameter;

/// Slices that are encoded at once in [`Mode::Eval`]: memory does not grow with the number of slices of a batch.
const EVALUATED_AT_ONCE: i64 = 32;
/// Pixels of an image for each position of the encoder's features, along each side.
const STEP_PX: f64 = 4.0;

/// An encoder of slices, and the attention of all targets over the slices of a study.
#[derive(Debug)]
pub struct StudyAttention<E> {
    /// Encodes each slice.
    pub encoder: E,
    /// Reads the slices of a study.
    pub attention: Attention,
    /// What is added to the logits of each level.
    pub level_bias: LevelBias,
}

/// The slices of a few studies.
#[derive(Debug)]
pub struct StudySlices {
    /// Images, study by study, T1 before T2 before axial. Each is in the channel of its kind of series, the others are
    /// zero.
    ///
    /// # Shapes
    /// `[slices, 3, height, width]`.
    pub pixels: Tensor,
    /// Where the pixels are in the patient, in mm: the first pixel, the step to the next column, the step to the next
    /// row.
    ///
    /// # Shapes
    /// `[slices, 3, 3]`.
    pub frames: Tensor,
    /// For each study its number of slices of each kind of series.
    pub studies: Vec<[usize; 3]>,
    /// In training, the annotated points in the patient, NaN where they are unknown.
    ///
    /// # Shapes
    /// `[studies, 25, 3]`.
    pub points: Option<Tensor>,
}

impl Tensors for StudySlices {
    fn try_map(self, change: &mut dyn FnMut(Tensor) -> Result<Tensor, TchError>) -> Result<Self, TchError> {
        Ok(Self {
            pixels: change(self.pixels)?,
            frames: change(self.frames)?,
            studies: self.studies,
            points: self.points.map(change).transpose()?,
        })
    }
}

impl StudySlices {
    /// For each study the range of its slices.
    pub(super) fn slices(&self, study: usize) -> (usize, [usize; 3]) {
        let before = self.studies[..study].iter().flatten().sum();
        (before, self.studies[study])
    }
}

impl<E: Module> StudyAttention<E> {
    /// The encoder's features of all slices.
    ///
    /// # Shapes
    /// `[slices, 3, height, width]` → `[slices, features, height / 4, width / 4]`.
    pub(super) fn encode(&self, pixels: &Tensor, mode: Mode) -> Result<Tensor, BoxError> {
        let count = pixels.size()[0];
        if mode == Mode::Train || count <= EVALUATED_AT_ONCE {
            return Ok(self.encoder.forward(pixels, mode)?);
        }
        let mut features = Vec::new();
        for first in (0..count).step_by(EVALUATED_AT_ONCE as usize) {
            let some = pixels.f_narrow(0, first, EVALUATED_AT_ONCE.min(count - first))?;
            features.push(self.encoder.forward(&some, mode)?);
        }
        Ok(Tensor::f_cat(&features, 0)?)
    }

    /// The kinds of series of a study, from the features of its slices.
    pub(super) fn planes(inputs: &StudySlices, features: &Tensor, study: usize) -> Result<Vec<Plane>, BoxError> {
        let (mut start, counts) = inputs.slices(study);
        let mut planes = Vec::new();
        for (kind, count) in SeriesKind::ALL.into_iter().zip(counts) {
            if count > 0 {
                let own = features.f_narrow(0, start as i64, count as i64)?.f_to_kind(Kind::Float)?;
                let frames = inputs.frames.f_narrow(0, start as i64, count as i64)?;
                let positions = positions(&frames, own.size()[2], own.size()[3])?;
                let channels = own.size()[1];
                let features = own.f_permute([0, 2, 3, 1])?.f_reshape([-1, channels])?;
                planes.push(Plane { kind, features, positions });
            }
            start += count;
        }
        Ok(planes)
    }

    /// The bias of all targets.
    fn bias(&self, device: Device) -> Result<Tensor, BoxError> {
        let mut groups = Vec::new();
        for (number, group) in ConditionGroup::ALL.into_iter().enumerate() {
            let of_group = Target::ALL.into_iter().filter(|target| target.condition.group() == group);
            let cells: Vec<(usize, Target)> = of_group.map(|target| (0, target)).collect();
            groups.push(self.level_bias.of(number, &cells, device)?);
        }
        Ok(Tensor::f_cat(&groups, 0)?)
    }
}

/// Positions in the patient of features, row by row of each slice.
///
/// # Shapes
/// `frames` `[slices, 3, 3]` → `[slices · rows · columns, 3]`.
fn positions(frames: &Tensor, rows: i64, columns: i64) -> Result<Tensor, TchError> {
    let options = (Kind::Float, frames.device());
    let vector = |number: i64| frames.f_narrow(1, number, 1)?.f_unsqueeze(1);
    let steps = |count: i64, shape: [i64; 4]| Tensor::f_arange(count, options)?.f_mul_scalar(STEP_PX)?.f_view(shape);
    let along = vector(1)?.f_mul(&steps(columns, [1, 1, columns, 1])?)?;
    let down = vector(2)?.f_mul(&steps(rows, [1, rows, 1, 1])?)?;
    vector(0)?.f_add(&along)?.f_add(&down)?.f_reshape([-1, 3])
}

impl<E: Module> Network for StudyAttention<E> {
    type Inputs = StudySlices;

    fn parameters(&self) -> Vec<Parameter> {
        let encoder = registry_parameters("encoder", self.encoder.registry());
        let attention = registry_parameters("attention", self.attention.registry());
        let bias = registry_parameters("level_bias", self.level_bias.registry());
        encoder.into_iter().chain(attention).chain(bias).collect()
    }

    fn buffers(&self) -> Vec<(String, Tensor)> {
        registry_buffers("encoder", self.encoder.registry())
    }

    /// A study without any slice has the logits of its bias alone.
    ///
    /// # Shapes
    /// → `[studies, 25, 3]`, or with points `[studies, 25, 4]`: the fourth column is how far attention is from them.
    fn forward(&self, inputs: &StudySlices, mode: Mode) -> Result<Tensor, BoxError> {
        let bias = self.bias(inputs.pixels.device())?;
        let slices = inputs.pixels.size()[0];
        let features = if slices > 0 { Some(self.encode(&inputs.pixels, mode)?) } else { None };
        let mut pass = Pass::new(mode);
        let mut outputs = Vec::new();
        for study in 0..inputs.studies.len() {
            let planes = match &features {
                Some(features) => Self::planes(inputs, features, study)?,
                None => Vec::new(),
            };
            let points = inputs.points.as_ref().map(|points| points.f_select(0, study as i64)).transpose()?;
            let reading = self.attention.read(&planes, points.as_ref(), &mut pass)?;
            let logits = reading.logits.f_add(&bias)?;
            outputs.push(match reading.point_loss {
                Some(loss) => Tensor::f_cat(&[logits, loss.f_unsqueeze(1)?], 1)?,
                None => logits,
            });
        }
        Ok(Tensor::f_stack(&outputs, 0)?)
    }
}
