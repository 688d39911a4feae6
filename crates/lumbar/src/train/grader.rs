//! The two networks that are trained: one over whole studies, one over crops around the levels.

use tch::{Device, Kind, Tensor};

use super::mix::{mix_pictures, partner_cells};
use super::network::{BoxError, Mode, Network};
use super::optimizer::Parameter;
use crate::anatomy::{ConditionGroup, Target};
use crate::data::augment::Mix;
use crate::model::{Module, Registry};

/// A model from all slices of a study to all its targets at once, `SpineModel` for one.
///
/// # Shapes
/// `[studies, channels, height, width]` → `[studies, 25, 3]`.
#[derive(Debug)]
pub struct WholeStudy<M>(pub M);

impl<M: Module> Network for WholeStudy<M> {
    type Inputs = Tensor;

    fn parameters(&self) -> Vec<Parameter> {
        parameters("", self.0.registry())
    }

    fn buffers(&self) -> Vec<(String, Tensor)> {
        buffers("", self.0.registry())
    }

    fn logits(&self, inputs: &Tensor, mode: Mode) -> Result<Tensor, BoxError> {
        Ok(self.0.forward(inputs, mode)?)
    }

    fn mix(&self, inputs: &mut Tensor, draw: &mut dyn FnMut(usize, usize) -> Mix) -> Result<Mix, BoxError> {
        let size = inputs.size();
        let [.., height, width] = size[..] else { return Err(format!("pictures of {size:?}").into()) };
        let mix = draw(width as usize, height as usize);
        *inputs = mix_pictures(inputs, &mix.partners, mix.kind)?;
        Ok(mix)
    }
}

/// A model for each plane: the canal on sagittal T2, the foramina on sagittal T1, the recesses on axial T2.
/// The five levels of a plane share its weights, and so do both sides: crops of the right side come in
/// mirrored.
#[derive(Debug)]
pub struct CropGrader<M> {
    /// Grades crops around the spinal canal.
    pub canal: M,
    /// Grades crops around the neural foramina.
    pub foramen: M,
    /// Grades crops around the lateral recesses.
    pub recess: M,
}

/// The crops of a few studies, by the condition that they show.
#[derive(Debug)]
pub struct Crops {
    /// How many studies the crops are of.
    pub studies: usize,
    /// In the order of [`ConditionGroup::ALL`]; none when no study has such a crop.
    pub groups: [Option<GroupCrops>; 3],
    /// Where the crops' tensors lie.
    pub device: Device,
}

/// Crops of one condition group.
#[derive(Debug)]
pub struct GroupCrops {
    /// The pictures, those of right sides mirrored.
    ///
    /// # Shapes
    /// `[crops, slices, height, width]`.
    pub pixels: Tensor,
    /// For each crop the study's place in the batch, and what it shows.
    pub cells: Vec<(usize, Target)>,
}

impl Crops {
    /// Which cells have a crop: what [`Batch::shown`](super::network::Batch::shown) wants.
    ///
    /// # Shapes
    /// → `[studies, 25]`, bool.
    ///
    /// # Errors
    /// libtorch's.
    pub fn shown(&self) -> Result<Tensor, BoxError> {
        let count = Target::COUNT;
        let mut shown = vec![false; self.studies * count];
        for (study, target) in self.groups.iter().flatten().flat_map(|group| &group.cells) {
            let cell = shown.get_mut(study * count + target.index());
            *cell.ok_or_else(|| format!("a crop of study {study} in a batch of {}", self.studies))? = true;
        }
        let shape = [self.studies as i64, count as i64];
        Ok(Tensor::f_from_slice(&shown)?.f_view(shape)?.f_to_device(self.device)?)
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

impl<M: Module> Network for CropGrader<M> {
    type Inputs = Crops;

    fn parameters(&self) -> Vec<Parameter> {
        self.models().into_iter().flat_map(|(name, model)| parameters(name, model.registry())).collect()
    }

    fn buffers(&self) -> Vec<(String, Tensor)> {
        self.models().into_iter().flat_map(|(name, model)| buffers(name, model.registry())).collect()
    }

    /// Cells without a crop have logits 0 and no gradient.
    fn logits(&self, inputs: &Crops, mode: Mode) -> Result<Tensor, BoxError> {
        let shape = [inputs.studies as i64, Target::COUNT as i64, 3];
        let mut cells = Tensor::f_zeros([shape[0] * shape[1], 3], (Kind::Float, inputs.device))?;
        for ((_, model), (group, crops)) in
            self.models().into_iter().zip(ConditionGroup::ALL.iter().zip(&inputs.groups))
        {
            let Some(crops) = crops else { continue };
            if let Some((_, target)) = crops.cells.iter().find(|(_, target)| target.condition.group() != *group) {
                return Err(format!("a crop of {target} among those of the {group} group").into());
            }
            let index: Vec<i64> =
                crops.cells.iter().map(|(study, target)| (study * Target::COUNT + target.index()) as i64).collect();
            let index = Tensor::f_from_slice(&index)?.f_to_device(inputs.device)?;
            let logits = model.forward(&crops.pixels, mode)?.f_to_kind(Kind::Float)?;
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
            crops.pixels = mix_pictures(&crops.pixels, &partner_cells(&crops.cells, &mix), mix.kind)?;
        }
        Ok(mix)
    }
}

/// Depth as the optimizer counts it: from the head, which is 0.
fn parameters(prefix: &str, registry: &Registry) -> Vec<Parameter> {
    let deepest = registry.depth_count().saturating_sub(1);
    registry
        .parameters()
        .map(|entry| Parameter {
            name: join(prefix, &entry.name),
            tensor: entry.tensor.shallow_clone(),
            depth: deepest - entry.depth,
        })
        .collect()
}

fn buffers(prefix: &str, registry: &Registry) -> Vec<(String, Tensor)> {
    registry.buffers().map(|entry| (join(prefix, &entry.name), entry.tensor.shallow_clone())).collect()
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}
