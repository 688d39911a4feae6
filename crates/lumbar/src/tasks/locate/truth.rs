use tch::{TchError, Tensor};

use super::grid::{ImageGrid, StackGrid};
use super::{MAPS, SAGITTAL};
use crate::anatomy::Level;
use crate::data::loader::{BoxError, Tensors};

/// Added to the logits of slices that are on the other side of the body: their probability is 0.
const OTHER_SIDE: f32 = -1e4;
/// A foramen is at least this far from the canal's point, across the slices.
pub(super) const SIDE_MM: f64 = 4.0;
/// A point is not shown by slices that are farther than this, in standard deviations of its Gaussian.
const SHOWN_SIGMAS: f64 = 1.4;
/// How far a Gaussian reaches, in standard deviations.
const REACH_SIGMAS: f64 = 3.5;

/// The stacks of a batch's studies: where they are, and in training the maps that the network's are compared with.
#[derive(Debug)]
pub struct LocateTruth {
    /// The stacks, in the order of the network's images.
    pub stacks: Vec<StackTruth>,
    /// The pixels of images and maps.
    pub image: ImageGrid,
}

/// One stack of a batch.
#[derive(Debug)]
pub struct StackTruth {
    /// The study's place in the batch.
    pub study: usize,
    /// How many images of the batch it has.
    pub slices: usize,
    /// Where its slices are.
    pub grid: StackGrid,
    /// In training, the maps to be learned.
    pub maps: Option<TrainingMaps>,
}

/// What the maps of one stack should be.
#[derive(Debug)]
pub struct TrainingMaps {
    /// Probability of each target, of which a map sums to 1, or to 0 where the point is unknown or not shown: the
    /// canal's five levels, the left and the right foramina, any disc.
    ///
    /// # Shapes
    /// `[16, slices · rows · columns]`.
    pub targets: Tensor,
    /// Added to the logits of left and right foramina: large and negative on slices of the other side.
    ///
    /// # Shapes
    /// `[10, slices, 1, 1]`.
    pub sides: Tensor,
    /// How many targets are shown.
    pub shown: usize,
}

/// The maps of one training sample, before they become tensors.
#[derive(Debug)]
pub(super) struct SampleMaps {
    targets: Vec<f32>,
    sides: Vec<f32>,
    shown: usize,
}

impl Tensors for LocateTruth {
    fn try_map(mut self, change: &mut dyn FnMut(Tensor) -> Result<Tensor, TchError>) -> Result<Self, TchError> {
        for stack in &mut self.stacks {
            if let Some(TrainingMaps { targets, sides, shown }) = stack.maps.take() {
                stack.maps = Some(TrainingMaps { targets: change(targets)?, sides: change(sides)?, shown });
            }
        }
        Ok(self)
    }
}

/// A target's place in a sample: column and row in a map, and position across the slices.
pub(super) type MapPoint = ([f64; 2], f64);

impl SampleMaps {
    /// The maps of a sample whose slices are at `offsets_mm`. `points` are the canal's levels, the left and the right
    /// foramina, as far as they are known and within the image.
    pub(super) fn new(
        points: &[Option<MapPoint>; SAGITTAL],
        canal_left_mm: &[Option<f64>; Level::ALL.len()],
        offsets_mm: &[f64],
        image: ImageGrid,
        sigma_mm: f64,
    ) -> Self {
        let (rows, columns) = image.map_size();
        let (plane, levels) = (rows * columns, Level::ALL.len());
        let area = plane * offsets_mm.len();
        let mut targets = vec![0.0; (SAGITTAL + 1) * area];
        let mut sides = vec![OTHER_SIDE; 2 * levels * offsets_mm.len()];
        let mut shown = 0;
        for side in 0..2 {
            let sign = if side == 0 { 1.0 } else { -1.0 };
            for (level, canal) in canal_left_mm.iter().enumerate() {
                let Some(canal) = canal else { continue };
                let row = &mut sides[(side * levels + level) * offsets_mm.len()..][..offsets_mm.len()];
                for (value, offset) in row.iter_mut().zip(offsets_mm) {
                    if sign * (offset - canal) >= SIDE_MM {
                        *value = 0.0;
                    }
                }
            }
        }
        for (target, point) in points.iter().enumerate() {
            let Some((at, left_mm)) = *point else { continue };
            let allowed = |slice: usize| target < levels || sides[(target - levels) * offsets_mm.len() + slice] == 0.0;
            let across =
                |slice: usize| if allowed(slice) { (offsets_mm[slice] - left_mm) / sigma_mm } else { f64::INFINITY };
            if (0..offsets_mm.len()).all(|slice| across(slice).abs() > SHOWN_SIGMAS) {
                continue;
            }
            let map = &mut targets[target * area..(target + 1) * area];
            for (slice, map) in map.chunks_exact_mut(plane).enumerate() {
                let weight = (-0.5 * across(slice).powi(2)).exp();
                add_gaussian(map, columns, at, sigma_mm / image.map_pixel_mm(), weight);
            }
            normalise(map);
            shown += 1;
        }
        // any disc: the mean of the canal's maps
        let (known, any) = targets.split_at_mut(SAGITTAL * area);
        for map in known[..levels * area].chunks_exact(area) {
            any.iter_mut().zip(map).for_each(|(any, value)| *any += value);
        }
        shown += usize::from(normalise(any));
        Self { targets, sides, shown }
    }

    pub(super) fn into_tensors(self, slices: usize) -> Result<TrainingMaps, BoxError> {
        let targets = Tensor::f_from_slice(&self.targets)?.f_view([SAGITTAL as i64 + 1, -1])?;
        let sides = Tensor::f_from_slice(&self.sides)?.f_view([-1, slices as i64, 1, 1])?;
        Ok(TrainingMaps { targets, sides, shown: self.shown })
    }
}

impl TrainingMaps {
    /// The sum over the shown targets of the cross-entropy between the network's maps and these, each a softmax over
    /// all slices and pixels.
    ///
    /// # Shapes
    /// `maps` `[slices, 11, rows, columns]` → a scalar.
    pub(super) fn cross_entropy(&self, maps: &Tensor) -> Result<Tensor, TchError> {
        let levels = Level::ALL.len() as i64;
        let maps = maps.f_transpose(0, 1)?;
        let (canal, foramen) = (maps.f_narrow(0, 0, levels)?, maps.f_narrow(0, levels, levels)?);
        let sided = Tensor::f_cat(&[&foramen, &foramen], 0)?.f_add(&self.sides)?;
        let disc = maps.f_narrow(0, MAPS as i64 - 1, 1)?;
        let logits = Tensor::f_cat(&[canal, sided, disc], 0)?.f_flatten(1, -1)?;
        logits.f_log_softmax(-1, tch::Kind::Float)?.f_mul(&self.targets)?.f_sum(tch::Kind::Float)?.f_neg()
    }
}

fn add_gaussian(map: &mut [f32], columns: usize, [x, y]: [f64; 2], sigma_px: f64, weight: f64) {
    let rows = map.len() / columns;
    let reach = REACH_SIGMAS * sigma_px;
    let span = |at: f64, size: usize| {
        let first = (at - reach).ceil().clamp(0.0, size as f64) as usize;
        first..((at + reach).floor() + 1.0).clamp(first as f64, size as f64) as usize
    };
    for row in span(y, rows) {
        for column in span(x, columns) {
            let squared = ((column as f64 - x).powi(2) + (row as f64 - y).powi(2)) / (sigma_px * sigma_px);
            map[row * columns + column] += (weight * (-0.5 * squared).exp()) as f32;
        }
    }
}

/// Makes a map sum to 1; false if it is 0 throughout.
fn normalise(map: &mut [f32]) -> bool {
    let sum: f64 = map.iter().map(|value| f64::from(*value)).sum();
    if sum > 0.0 {
        map.iter_mut().for_each(|value| *value = (f64::from(*value) / sum) as f32);
    }
    sum > 0.0
}
