use tch::{Kind, TchError, Tensor};

use super::AttentionConfig;
use super::attention::{Attention, Plane};
use super::glimpse::glimpses;
use crate::anatomy::{ConditionGroup, Side, Target};
use crate::data::SeriesKind;
use crate::data::channels::plane_of;
use crate::data::loader::{BoxError, Tensors};
use crate::model::{Module, Pass};
use crate::tasks::crops::{CropGrader, Crops, GroupCrops};
use crate::train::network::{Mode, Network, registry_buffers, registry_parameters};
use crate::train::optimizer::Parameter;

/// Slices that are encoded at once in [`Mode::Eval`]: memory does not grow with the number of slices of a batch.
const EVALUATED_AT_ONCE: i64 = 32;
/// The encoder sees images at this part of their size.
const COARSER: i64 = 2;
/// Pixels of the encoder's images for each position of its features, along each side.
const STEP_PX: i64 = 4;

/// An encoder of slices, the attention of all targets over the slices of a study, and a grader of what each of them
/// looks at.
///
/// In training a target is graded at its annotated point, if there is one, moved by a few millimetres; otherwise where
/// its attention is greatest. No gradient goes from the grades to the attention.
#[derive(Debug)]
pub struct StudyAttention<E, M> {
    /// Encodes each slice.
    pub encoder: E,
    /// Finds the targets.
    pub attention: Attention,
    /// Grades the part of a slice about each target.
    pub grader: CropGrader<M>,
}

/// The slices of a few studies.
#[derive(Debug)]
pub struct StudySlices {
    /// Images, study by study, T1 before T2 before axial.
    ///
    /// # Shapes
    /// `[slices, 1, height, width]`.
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

/// What the attention finds in a batch.
struct Looked {
    crops: Crops,
    /// Of each study: how far attention is from the annotated points, `[25]`.
    point_losses: Vec<Tensor>,
}

/// What is graded of a condition group, study by study.
#[derive(Default)]
struct Cut {
    pixels: Vec<Tensor>,
    cells: Vec<(usize, Target)>,
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

impl<E: Module, M: Module> StudyAttention<E, M> {
    /// The encoder's features of all slices. Each image is in the channel of its kind of series, the others are zero.
    ///
    /// # Shapes
    /// → `[slices, features, height / 8, width / 8]`.
    fn encode(&self, inputs: &StudySlices, mode: Mode) -> Result<Tensor, BoxError> {
        let kinds: Vec<i64> = inputs
            .studies
            .iter()
            .flat_map(|counts| counts.iter().enumerate().flat_map(|(kind, count)| vec![kind as i64; *count]))
            .collect();
        let device = inputs.pixels.device();
        let channel = Tensor::f_from_slice(&kinds)?.f_one_hot(SeriesKind::ALL.len() as i64)?.f_to_kind(Kind::Float)?;
        let channel = channel.f_to_device(device)?.f_view([-1, SeriesKind::ALL.len() as i64, 1, 1])?;
        let coarser = inputs.pixels.f_avg_pool2d([COARSER; 2], [COARSER; 2], [0, 0], false, true, None)?;
        let images = coarser.f_mul(&channel)?;
        let count = images.size()[0];
        if mode == Mode::Train || count <= EVALUATED_AT_ONCE {
            return Ok(self.encoder.forward(&images, mode)?);
        }
        let mut features = Vec::new();
        for first in (0..count).step_by(EVALUATED_AT_ONCE as usize) {
            let some = images.f_narrow(0, first, EVALUATED_AT_ONCE.min(count - first))?;
            features.push(self.encoder.forward(&some, mode)?);
        }
        Ok(Tensor::f_cat(&features, 0)?)
    }

    /// Finds the targets and cuts what is graded.
    fn look(&self, inputs: &StudySlices, mode: Mode) -> Result<Looked, BoxError> {
        let device = inputs.pixels.device();
        let mut pass = Pass::new(mode);
        let features = if inputs.pixels.size()[0] > 0 { Some(self.encode(inputs, mode)?) } else { None };
        let mut groups: [Cut; 3] = Default::default();
        let (mut start, mut point_losses) = (0, Vec::new());
        for (study, counts) in inputs.studies.iter().enumerate() {
            let mut planes = Vec::new();
            let first = start;
            for (kind, &count) in SeriesKind::ALL.into_iter().zip(counts) {
                if let Some(features) = features.as_ref().filter(|_| count > 0) {
                    let frames = inputs.frames.f_narrow(0, start, count as i64)?;
                    planes.push(plane(kind, &features.f_narrow(0, start, count as i64)?, &frames)?);
                }
                start += count as i64;
            }
            let known = inputs.points.as_ref().map(|points| points.f_select(0, study as i64)).transpose()?;
            let found = self.attention.look(&planes, known.as_ref(), &mut pass)?;
            point_losses.extend(found.point_loss);
            let points = match &known {
                Some(known) => jittered(known, self.attention.config())?
                    .f_where_self(&known.f_isnan()?.f_logical_not()?, &found.points)?,
                None => found.points,
            };
            for (group, cut) in ConditionGroup::ALL.into_iter().zip(&mut groups) {
                let own: Vec<Target> =
                    Target::ALL.into_iter().filter(|target| target.condition.group() == group).collect();
                let kind = SeriesKind::annotated_for(own[0].condition);
                let count = counts[kind as usize] as i64;
                if count == 0 {
                    continue;
                }
                let from = first + counts[..kind as usize].iter().sum::<usize>() as i64;
                let points = points.f_narrow(0, own[0].index() as i64, own.len() as i64)?;
                let axial = plane_of(kind) == lumbar_dicom::Plane::Axial;
                let turned = |target: &Target| axial && target.condition.side() == Some(Side::Right);
                let turned: Vec<f32> = own.iter().map(|target| f32::from(u8::from(turned(target)))).collect();
                let (images, frames) =
                    (inputs.pixels.f_narrow(0, from, count)?, inputs.frames.f_narrow(0, from, count)?);
                let turned = Tensor::f_from_slice(&turned)?.f_to_device(device)?;
                cut.pixels.push(glimpses(&images, &frames, &points, &turned, self.attention.config().glimpse_px)?);
                cut.cells.extend(own.into_iter().map(|target| (study, target)));
            }
        }
        let mut crops = Crops { studies: inputs.studies.len(), groups: [None, None, None] };
        for (slot, Cut { pixels, cells }) in crops.groups.iter_mut().zip(groups) {
            if !cells.is_empty() {
                *slot = Some(GroupCrops { pixels: Tensor::f_cat(&pixels, 0)?, cells });
            }
        }
        Ok(Looked { crops, point_losses })
    }

    /// What is graded of a batch, in [`Mode::Eval`]: for figures.
    pub(super) fn graded(&self, inputs: &StudySlices) -> Result<Crops, BoxError> {
        tch::no_grad(|| Ok(self.look(inputs, Mode::Eval)?.crops))
    }
}

/// Points moved by up to the config's jitter along each axis, with libtorch's generator.
fn jittered(points: &Tensor, config: &AttentionConfig) -> Result<Tensor, TchError> {
    points.f_rand_like()?.f_mul_scalar(2.0 * config.jitter_mm)?.f_sub_scalar(config.jitter_mm)?.f_add(points)
}

/// The positions of a kind of series of one study.
fn plane(kind: SeriesKind, features: &Tensor, frames: &Tensor) -> Result<Plane, TchError> {
    let features = features.f_to_kind(Kind::Float)?;
    let size = features.size();
    let positions = positions(frames, size[2], size[3])?;
    Ok(Plane { kind, features: features.f_permute([0, 2, 3, 1])?.f_reshape([-1, size[1]])?, positions })
}

/// Positions in the patient of features, row by row of each slice.
///
/// # Shapes
/// `frames` `[slices, 3, 3]` → `[slices · rows · columns, 3]`.
fn positions(frames: &Tensor, rows: i64, columns: i64) -> Result<Tensor, TchError> {
    let options = (Kind::Float, frames.device());
    let vector = |number: i64| frames.f_narrow(1, number, 1)?.f_unsqueeze(1);
    // a pixel of the encoder's images is in the middle of those that it is the mean of
    let first = (COARSER as f64 - 1.0) / 2.0;
    let steps = |count: i64, shape: [i64; 4]| {
        Tensor::f_arange(count, options)?.f_mul_scalar(STEP_PX * COARSER)?.f_add_scalar(first)?.f_view(shape)
    };
    let along = vector(1)?.f_mul(&steps(columns, [1, 1, columns, 1])?)?;
    let down = vector(2)?.f_mul(&steps(rows, [1, rows, 1, 1])?)?;
    vector(0)?.f_add(&along)?.f_add(&down)?.f_reshape([-1, 3])
}

impl<E: Module, M: Module> Network for StudyAttention<E, M> {
    type Inputs = StudySlices;

    fn parameters(&self) -> Vec<Parameter> {
        let encoder = registry_parameters("encoder", self.encoder.registry());
        let attention = registry_parameters("attention", self.attention.registry());
        encoder.into_iter().chain(attention).chain(self.grader.parameters()).collect()
    }

    fn buffers(&self) -> Vec<(String, Tensor)> {
        let encoder = registry_buffers("encoder", self.encoder.registry());
        encoder.into_iter().chain(self.grader.buffers()).collect()
    }

    /// Targets whose kind of series is missing have logits 0 and no gradient.
    ///
    /// # Shapes
    /// → `[studies, 25, 3]`, or with points `[studies, 25, 4]`: the fourth column is how far attention is from them.
    fn forward(&self, inputs: &StudySlices, mode: Mode) -> Result<Tensor, BoxError> {
        let Looked { crops, point_losses } = self.look(inputs, mode)?;
        let logits = self.grader.forward(&crops, mode)?.f_to_device(inputs.pixels.device())?;
        if point_losses.is_empty() {
            return Ok(logits);
        }
        Ok(Tensor::f_cat(&[logits, Tensor::f_stack(&point_losses, 0)?.f_unsqueeze(2)?], 2)?)
    }
}
