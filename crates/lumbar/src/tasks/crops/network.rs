use tch::{Device, Kind, TchError, Tensor};
use torch_ext::branches::{self, Branch};

use super::LevelBias;
use crate::anatomy::{ConditionGroup, Target};
use crate::data::augment::Mix;
use crate::data::loader::{BoxError, Tensors};
use crate::model::{LevelModel, Module, Pass};
use crate::train::mix::{mix_images, partner_cells};
use crate::train::network::{Mode, Network, registry_buffers, registry_parameters};
use crate::train::optimizer::Parameter;

/// A model for each plane: the canal on sagittal T2, the foramina on sagittal T1, the recesses on axial T2. The five
/// levels of a plane share its weights, and so do both sides: crops of the right side are mirrored before.
#[derive(Debug)]
pub struct CropGrader<M> {
    /// Grades crops around the spinal canal.
    pub canal: M,
    /// Grades crops around the neural foramina.
    pub foramen: M,
    /// Grades crops around the lateral recesses.
    pub recess: M,
    /// What is added to the logits of each level.
    pub level_bias: LevelBias,
}

/// The crops of a few studies, by the condition that they show.
#[derive(Debug)]
pub struct Crops {
    /// How many studies the crops are of.
    pub studies: usize,
    /// In the order of [`ConditionGroup::ALL`]; `None` if no study has such a crop.
    pub groups: [Option<GroupCrops>; 3],
}

/// Crops of one condition group.
#[derive(Debug)]
pub struct GroupCrops {
    /// The images, those of right sides mirrored.
    ///
    /// # Shapes
    /// `[crops, slices, height, width]`.
    pub pixels: Tensor,
    /// For each crop the study's place in the batch, and the target.
    pub cells: Vec<(usize, Target)>,
}

impl Tensors for Crops {
    fn try_map(self, change: &mut dyn FnMut(Tensor) -> Result<Tensor, TchError>) -> Result<Self, TchError> {
        let mut groups = [None, None, None];
        for (slot, group) in groups.iter_mut().zip(self.groups) {
            if let Some(GroupCrops { pixels, cells }) = group {
                *slot = Some(GroupCrops { pixels: change(pixels)?, cells });
            }
        }
        Ok(Self { studies: self.studies, groups })
    }
}

impl<M: Module> CropGrader<M> {
    fn models(&self) -> [(&'static str, &M); 3] {
        ConditionGroup::ALL.map(|group| match group {
            ConditionGroup::Spinal => ("canal", &self.canal),
            ConditionGroup::Foraminal => ("foramen", &self.foramen),
            ConditionGroup::Subarticular => ("recess", &self.recess),
        })
    }
}

/// A model and its crops, both used by one thread alone while it computes their features.
struct Features<'a> {
    model: &'a LevelModel,
    pixels: &'a Tensor,
}

// SAFETY: a tensor can be sent to another thread; nothing else uses the model or the pixels before that thread is done.
unsafe impl Send for Features<'_> {}

impl Features<'_> {
    fn compute(self, mode: Mode) -> crate::model::Result<Tensor> {
        self.model.slice_features(self.pixels, &mut Pass::new(mode))
    }
}

impl<M: Module> CropGrader<M> {
    /// The features of the slices of each group that has crops, in order, with the planes side by side; `None` if the
    /// models are not in training on a CPU, draw random numbers, or have more threads than there are planes.
    fn slice_features(&self, inputs: &Crops, mode: Mode) -> Result<Option<Vec<Tensor>>, BoxError> {
        let models = self.models();
        if mode != Mode::Train || !branches::fits(models.len()) {
            return Ok(None);
        }
        let mut work = Vec::new();
        for ((_, model), crops) in models.into_iter().zip(&inputs.groups) {
            let Some(crops) = crops else { continue };
            match model.as_level() {
                Some(model) if !model.draws_in_backbone() && crops.pixels.device() == Device::Cpu => {
                    let features = Features { model, pixels: &crops.pixels };
                    work.push(Box::new(move || features.compute(mode)) as Branch<'_, _>);
                }
                _ => return Ok(None),
            }
        }
        let features = branches::run(work)?.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(Some(branches::join(&features)?))
    }
}

impl<M: Module> Network for CropGrader<M> {
    type Inputs = Crops;

    fn parameters(&self) -> Vec<Parameter> {
        let models = self.models().into_iter().flat_map(|(name, model)| registry_parameters(name, model.registry()));
        models.chain(registry_parameters("level_bias", self.level_bias.registry())).collect()
    }

    fn buffers(&self) -> Vec<(String, Tensor)> {
        self.models().into_iter().flat_map(|(name, model)| registry_buffers(name, model.registry())).collect()
    }

    /// Targets without a crop have logits 0 and no gradient.
    ///
    /// # Shapes
    /// → `[studies, 25, 3]`.
    fn forward(&self, inputs: &Crops, mode: Mode) -> Result<Tensor, BoxError> {
        let shape = [inputs.studies as i64, Target::COUNT as i64, 3];
        // a folded model has no registry; its device is that of the crops
        let first = inputs.groups.iter().flatten().next();
        let device = first.map_or_else(|| self.canal.registry().device(), |crops| crops.pixels.device());
        let mut cells = Tensor::f_zeros([shape[0] * shape[1], 3], (Kind::Float, device))?;
        let mut features = self.slice_features(inputs, mode)?.map(Vec::into_iter);
        for (number, ((_, model), (group, crops))) in
            self.models().into_iter().zip(ConditionGroup::ALL.iter().zip(&inputs.groups)).enumerate()
        {
            let Some(crops) = crops else { continue };
            if let Some((_, target)) = crops.cells.iter().find(|(_, target)| target.condition.group() != *group) {
                return Err(format!("a crop of {target} among those of the {group} group").into());
            }
            let index: Vec<i64> =
                crops.cells.iter().map(|(study, target)| (study * Target::COUNT + target.index()) as i64).collect();
            let index = Tensor::f_from_slice(&index)?.f_to_device(device)?;
            let logits = match (model.as_level(), features.as_mut().and_then(Iterator::next)) {
                (Some(model), Some(features)) => model.grade(&features, &mut Pass::new(mode))?,
                _ => model.forward(&crops.pixels, mode)?,
            };
            let logits = logits.f_to_kind(Kind::Float)?;
            let logits = logits.f_add(&self.level_bias.of(number, &crops.cells, device)?)?;
            cells = cells.f_index_copy(0, &index, &logits)?;
        }
        Ok(cells.f_view(shape)?)
    }

    fn mix(&self, inputs: &mut Crops, draw: &mut dyn FnMut(usize, usize) -> Mix) -> Result<Mix, BoxError> {
        let size = inputs.groups.iter().flatten().map(|crops| crops.pixels.size()).next();
        let (height, width) = match size.as_deref() {
            Some([.., height, width]) => (*height as usize, *width as usize),
            _ => (1, 1),
        };
        let mix = draw(width, height);
        for crops in inputs.groups.iter_mut().flatten() {
            crops.pixels = mix_images(&crops.pixels, &partner_cells(&crops.cells, &mix), mix.kind)?;
        }
        Ok(mix)
    }
}
