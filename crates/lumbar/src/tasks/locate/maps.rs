//! What a localiser sees in a study, to be looked at.

use ndarray::Array3;
use tch::{Device, Kind, Tensor};

use super::grid::{ImageGrid, StackGrid};
use super::source::{LocateSample, LocateSource};
use super::{Localiser, MAPS};
use crate::anatomy::Level;
use crate::data::SeriesKind;
use crate::data::loader::{BoxError, Dataset as _, Plan};
use crate::data::manifest::StudyRecord;
use crate::tasks::TaskError;
use crate::tasks::locate::LocateTask;
use crate::train::network::{Mode, Network as _};

const LEVELS: usize = Level::ALL.len();

/// The images that a localiser sees of one sagittal series, and its maps.
#[derive(Debug, Clone)]
pub struct LevelMaps {
    /// The kind of the series.
    pub kind: SeriesKind,
    /// The slices as the network sees them, from the patient's right to the left.
    ///
    /// # Shapes
    /// `[slices, height, width]`.
    pub images: Array3<f32>,
    /// Probability of the canal's points: each level's map is its softmax over slices and pixels; their sum.
    ///
    /// # Shapes
    /// `[slices, height / 2, width / 2]`.
    pub canal: Array3<f32>,
    /// The same of the foramina of both sides.
    pub foramina: Array3<f32>,
    grid: StackGrid,
    image: ImageGrid,
}

/// Where a patient position is in [`LevelMaps::images`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImagePlace {
    /// The nearest slice.
    pub slice: usize,
    /// Column of the image; whole numbers are pixel centres.
    pub column: f64,
    /// Row of the image.
    pub row: f64,
}

impl LevelMaps {
    /// Side of an image's pixel in mm.
    #[must_use]
    pub fn pixel_mm(&self) -> f64 {
        self.image.map_pixel_mm() / 2.0
    }

    /// Where a patient position is; `None` for a series without slices.
    #[must_use]
    pub fn place(&self, position_mm: [f64; 3]) -> Option<ImagePlace> {
        let at = self.grid.project(position_mm);
        let (slice, _) = self.grid.nearest(at.left_mm)?;
        let [column, row] = self.image.image_pixel([at.back_mm, at.down_mm]);
        Some(ImagePlace { slice, column, row })
    }

    /// The slice on which a map is most probable: of `canal` or `foramina`.
    #[must_use]
    pub fn strongest(map: &Array3<f32>) -> usize {
        let sums = map.outer_iter().map(|slice| slice.sum());
        sums.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(slice, _)| slice)
    }
}

impl LocateTask {
    /// The images and maps of a study, one for each sagittal series that the localiser looks at.
    ///
    /// # Errors
    /// When the config is out of range, the study cannot be decoded, or the network refuses the images.
    pub fn maps(&self, network: &Localiser, record: &StudyRecord, device: Device) -> Result<Vec<LevelMaps>, TaskError> {
        let source = LocateSource::open(&[record], &self.source, None, &())?;
        let plan = Plan::in_order(&[record.id], 1);
        let sample = source.sample(&plan, record.id).map_err(TaskError::Data)?;
        self.maps_of(network, &source, &plan, sample, device).map_err(TaskError::Data)
    }

    fn maps_of(
        &self,
        network: &Localiser,
        source: &LocateSource,
        plan: &Plan,
        sample: LocateSample,
        device: Device,
    ) -> Result<Vec<LevelMaps>, BoxError> {
        let (images, truth) = source.collate(plan, vec![sample])?;
        let output = tch::no_grad(|| network.forward(&images.f_to_device(device)?, Mode::Eval))?;
        let output = output.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?;
        let mut maps = Vec::new();
        let mut start = 0;
        for stack in truth.stacks {
            let slices = stack.slices as i64;
            let logits = output.f_narrow(0, start, slices)?;
            let own = images.f_narrow(0, start, slices)?.f_narrow(1, 0, 1)?.f_squeeze_dim(1)?;
            start += slices;
            maps.push(LevelMaps {
                kind: stack.grid.kind,
                images: array(&own)?,
                canal: array(&summed(&logits, 0)?)?,
                foramina: array(&summed(&logits, LEVELS)?)?,
                grid: stack.grid,
                image: truth.image,
            });
        }
        Ok(maps)
    }
}

/// The sum of the softmaxes of five maps from `first` on.
fn summed(logits: &Tensor, first: usize) -> Result<Tensor, BoxError> {
    debug_assert!(first + LEVELS <= MAPS);
    let some = logits.f_narrow(1, first as i64, LEVELS as i64)?.f_transpose(0, 1)?.f_contiguous()?;
    let size = some.size();
    let flat = some.f_reshape([LEVELS as i64, -1])?.f_softmax(1, Kind::Float)?;
    Ok(flat.f_sum_dim_intlist([0_i64].as_slice(), false, Kind::Float)?.f_reshape(&size[1..])?)
}

fn array(values: &Tensor) -> Result<Array3<f32>, BoxError> {
    let size = values.size();
    let flat = Vec::<f32>::try_from(values.f_contiguous()?.f_flatten(0, -1)?)?;
    Ok(Array3::from_shape_vec([size[0] as usize, size[1] as usize, size[2] as usize], flat)?)
}
