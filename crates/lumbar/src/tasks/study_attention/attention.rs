//! Where each target looks in a study.

use tch::{Device, Kind, TchError, Tensor};

use super::AttentionConfig;
use crate::anatomy::{ConditionGroup, Level, Side, Target};
use crate::data::SeriesKind;
use crate::data::channels::plane_of;
use crate::model::linear::Linear;
use crate::model::{Builder, Fill, Part, Pass, Registry, Result, Role};

const LEVELS: usize = Level::ALL.len();
const GROUPS: usize = ConditionGroup::ALL.len();
/// A map for each level of each condition group; both sides share it.
const MAPS: usize = GROUPS * LEVELS;
/// First offset of a group's points from the canal's, to the target's side: half of the usual distance between left and
/// right foramina (7 to 8 sagittal slices of 4.4 mm), and about half of the spinal canal's width for the recesses.
const SIDE_MM: [f32; GROUPS] = [0.0, 16.0, 9.0];
/// First standard deviation of the Gaussian about the expected point.
const WIDTH_MM: f64 = 10.0;
/// Learned offsets are in this unit, so that one step of the optimizer moves them by a fraction of a millimetre.
const OFFSET_MM: f64 = 10.0;
/// Attention is raised to this power for the centroid of a level, so that a second, lower peak hardly moves it.
const SHARPENED: f64 = 3.0;
/// A point is not shown by positions that are all farther than this, in standard deviations of its Gaussian.
const SHOWN_SIGMAS: f64 = 2.0;
/// First weights of the maps: at first each position is about as likely as any other.
const MAP_SCALE: f64 = 0.1;
/// A target's point is the centroid of its attention within this distance of the peak: the mean of all of it would lie
/// between two peaks.
const PEAK_MM: f64 = 10.0;

/// Attention of the 25 targets over the positions of all slices of a kind of series.
///
/// Each kind of series has a map for each level of each condition group, the dot product of features with a learned
/// query. The canal's maps on sagittal slices name the levels: their centroids are the levels' positions in the
/// patient. Every other map is multiplied by a Gaussian about the position that is expected from its level's, with a
/// learned offset and width; left and right are distinguished by it alone, so that sides cannot be swapped. One more
/// position stands for "not shown".
#[derive(Debug)]
pub struct Attention {
    registry: Registry,
    config: AttentionConfig,
    features: i64,
    /// Over [`SeriesKind::ALL`].
    maps: Vec<Linear>,
    /// `[15, 3]`, in units of [`OFFSET_MM`]; x points to the target's side.
    offsets: Tensor,
    /// `[9]` over kinds and groups: logarithms, as multiples of [`WIDTH_MM`].
    widths: Tensor,
    /// `[9]` over kinds and groups: the logit of "not shown".
    not_shown: Tensor,
    indices: Indices,
}

/// Constant tensors by target.
#[derive(Debug)]
struct Indices {
    level: Tensor,
    map: Tensor,
    group: Tensor,
    /// `[25, 3]`: how offsets count along x, y and z.
    signs: Tensor,
    /// `[15, 3]`: first offsets in mm.
    start_mm: Tensor,
    /// `[25, 1]` for sagittal and for axial kinds: whether the Gaussian counts.
    expects: [Tensor; 2],
    /// `[25, 1]` for each kind of series: whether the condition is annotated on it.
    annotated: [Tensor; 3],
}

/// One kind of series of one study.
#[derive(Debug)]
pub(super) struct Plane {
    pub(super) kind: SeriesKind,
    /// `[positions, features]`.
    pub(super) features: Tensor,
    /// `[positions, 3]`, in patient mm.
    pub(super) positions: Tensor,
}

/// Where the targets of a study look.
pub(super) struct Found {
    /// `[25, 3]` in patient mm, each on the kind of series on which its condition is annotated. Not meaningful where the
    /// study has no such series.
    pub(super) points: Tensor,
    /// `[25]`: how far attention is from the annotated points; 0 where a point is unknown. `None` without points.
    pub(super) point_loss: Option<Tensor>,
}

impl Attention {
    /// With first weights that depend on `seed` alone.
    ///
    /// # Errors
    /// The device does not exist.
    pub fn new(config: &AttentionConfig, features: i64, seed: impl Into<Option<u64>>, device: Device) -> Result<Self> {
        let mut registry = Registry::default();
        let mut root = Builder::new(&mut registry, seed, device).part(Part::Classifier, 0);
        let small = Fill::Uniform(MAP_SCALE / (features as f64).sqrt());
        let mut maps = Vec::new();
        for kind in ["t1", "t2", "axial"] {
            maps.push(Linear::new(&mut root.at("maps").at(kind), features, MAPS as i64, small)?);
        }
        let zero = Fill::Const(0.0);
        let each = (SeriesKind::ALL.len() * GROUPS) as i64;
        let offsets = root.tensor("offsets", &[MAPS as i64, 3], Role::Bias, zero)?;
        let widths = root.tensor("widths", &[each], Role::Bias, zero)?;
        let not_shown = root.tensor("not_shown", &[each], Role::Bias, zero)?;
        let indices = Indices::new(device)?;
        Ok(Self { registry, config: config.clone(), features, maps, offsets, widths, not_shown, indices })
    }

    /// Its configuration.
    #[must_use]
    pub const fn config(&self) -> &AttentionConfig {
        &self.config
    }

    /// Its tensors.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A copy with its own tensors.
    ///
    /// # Errors
    /// libtorch's.
    pub fn copied(&self) -> Result<Self> {
        let copy = Self::new(&self.config, self.features, None, self.registry.device())?;
        copy.registry.copy_from(&self.registry)?;
        Ok(copy)
    }

    /// Looks at a study.
    ///
    /// # Shapes
    /// `points` `[25, 3]`, NaN where a point is unknown.
    pub(super) fn look(&self, planes: &[Plane], points: Option<&Tensor>, pass: &mut Pass) -> Result<Found> {
        let options = (Kind::Float, self.registry.device());
        let mut losses = Vec::new();
        let mut found = Tensor::f_zeros([Target::COUNT as i64, 3], options)?;
        let maps = self.maps_of(planes, pass)?;
        let expected = self.expected(planes, &maps)?;
        for (plane, maps) in planes.iter().zip(&maps) {
            let log_attention = self.log_attention(plane, maps, expected.as_ref())?;
            let own = tch::no_grad(|| centroids(&log_attention, &plane.positions))?;
            found = own.f_where_self(&self.indices.annotated[plane.kind as usize], &found)?;
            if let Some(points) = points {
                losses.push(self.point_loss(&log_attention, &plane.positions, points)?);
            }
        }
        let point_loss = match (points, losses.len()) {
            (None, _) => None,
            (Some(_), 0) => Some(Tensor::f_zeros([Target::COUNT as i64], options)?),
            (Some(_), _) => Some(Tensor::f_stack(&losses, 0)?.f_mean_dim([0i64].as_slice(), false, Kind::Float)?),
        };
        Ok(Found { points: found, point_loss })
    }

    fn maps_of(&self, planes: &[Plane], pass: &mut Pass) -> Result<Vec<Tensor>> {
        planes.iter().map(|plane| self.maps[plane.kind as usize].run(&plane.features, pass)).collect()
    }

    /// Where each target is expected, `[25, 3]` in mm: from the centroids of the canal's maps on T2, or on T1 without T2.
    /// `None` without either. No gradient goes to the maps of the canal from here.
    fn expected(&self, planes: &[Plane], maps: &[Tensor]) -> Result<Option<Tensor>> {
        let of = |kind| planes.iter().zip(maps).find(|(plane, _)| plane.kind == kind);
        let Some((plane, maps)) = of(SeriesKind::SagittalT2).or_else(|| of(SeriesKind::SagittalT1)) else {
            return Ok(None);
        };
        let canal = maps.f_detach()?.f_narrow(1, 0, LEVELS as i64)?.f_mul_scalar(SHARPENED)?;
        let weights = canal.f_softmax(0, Kind::Float)?.f_transpose(0, 1)?;
        let levels = weights.f_matmul(&plane.positions)?.f_index_select(0, &self.indices.level)?;
        let offsets = self.offsets.f_mul_scalar(OFFSET_MM)?.f_add(&self.indices.start_mm)?;
        let offsets = offsets.f_index_select(0, &self.indices.map)?.f_mul(&self.indices.signs)?;
        Ok(Some(levels.f_add(&offsets)?))
    }

    /// `[25, positions + 1]`: logarithms of each target's attention; the last column is "not shown".
    fn log_attention(&self, plane: &Plane, maps: &Tensor, expected: Option<&Tensor>) -> Result<Tensor> {
        let Indices { map, group, expects, .. } = &self.indices;
        let mut scores = maps.f_index_select(1, map)?.f_transpose(0, 1)?;
        let first = (plane.kind as usize * GROUPS) as i64;
        let of_group =
            |values: &Tensor| values.f_narrow(0, first, GROUPS as i64)?.f_index_select(0, group)?.f_view([-1, 1]);
        if let Some(expected) = expected {
            let axial = usize::from(plane_of(plane.kind) == lumbar_dicom::Plane::Axial);
            let sharpness = of_group(&self.widths)?.f_mul_scalar(-2.0)?.f_exp()?.f_mul(&expects[axial])?;
            let squared = squared_mm(expected, &plane.positions)?;
            let factor = -0.5 / (WIDTH_MM * WIDTH_MM);
            scores = scores.f_add(&squared.f_mul(&sharpness)?.f_mul_scalar(factor)?)?;
        }
        Ok(Tensor::f_cat(&[scores, of_group(&self.not_shown)?], 1)?.f_log_softmax(1, Kind::Float)?)
    }

    /// `[25]`: the Kullback–Leibler divergence of attention from a Gaussian about each annotated point, or from "not
    /// shown" where all positions are far from it.
    fn point_loss(&self, log_attention: &Tensor, positions: &Tensor, points: &Tensor) -> Result<Tensor> {
        let sigma = self.config.point_sigma_mm;
        let unknown = points.f_isnan()?.f_any_dim(1, false)?;
        let squared = squared_mm(&points.f_nan_to_num(0.0, None, None)?, positions)?.f_div_scalar(sigma * sigma)?;
        let far = squared.f_amin([1i64].as_slice(), true)?.f_gt(SHOWN_SIGMAS * SHOWN_SIGMAS)?.f_to_kind(Kind::Float)?;
        let gaussian = squared.f_mul_scalar(-0.5)?.f_softmax(1, Kind::Float)?;
        let shown = far.f_neg()?.f_add_scalar(1.0)?;
        let wanted = Tensor::f_cat(&[gaussian.f_mul(&shown)?, far], 1)?;
        let log_wanted = wanted.f_clamp_min(f64::from(f32::MIN_POSITIVE))?.f_log()?;
        let each = wanted.f_mul(&log_wanted.f_sub(log_attention)?)?;
        let loss = each.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Float)?;
        Ok(loss.f_masked_fill(&unknown, 0.0)?)
    }
}

/// The centroid of each target's attention about its peak.
///
/// # Shapes
/// `[25, positions + 1]`, `[positions, 3]` → `[25, 3]`.
fn centroids(log_attention: &Tensor, positions: &Tensor) -> Result<Tensor> {
    let shown = log_attention.f_narrow(1, 0, positions.size()[0])?;
    let peaks = positions.f_index_select(0, &shown.f_argmax(1, false)?)?;
    let far = squared_mm(&peaks, positions)?.f_gt(PEAK_MM * PEAK_MM)?;
    let weights = shown.f_masked_fill(&far, f64::NEG_INFINITY)?.f_softmax(1, Kind::Float)?;
    Ok(weights.f_matmul(positions)?)
}

/// Squared distances of positions from each target's point.
///
/// # Shapes
/// `[targets, 3]`, `[positions, 3]` → `[targets, positions]`.
fn squared_mm(points: &Tensor, positions: &Tensor) -> std::result::Result<Tensor, TchError> {
    let mut sum: Option<Tensor> = None;
    for axis in 0..3 {
        let (point, position) = (points.f_narrow(1, axis, 1)?, positions.f_select(1, axis)?.f_unsqueeze(0)?);
        let squared = position.f_sub(&point)?.f_square()?;
        sum = Some(match sum {
            Some(sum) => sum.f_add(&squared)?,
            None => squared,
        });
    }
    Ok(sum.expect("there are three axes"))
}

/// Index of a target's group in [`ConditionGroup::ALL`].
fn group_index(target: Target) -> usize {
    let group = target.condition.group();
    ConditionGroup::ALL.iter().position(|other| *other == group).unwrap_or_default()
}

impl Indices {
    fn new(device: Device) -> Result<Self> {
        let map = |target: Target| group_index(target) * LEVELS + target.level.index();
        let sign = |target: Target| match target.condition.side() {
            None => 0.0,
            Some(Side::Left) => 1.0,
            Some(Side::Right) => -1.0,
        };
        let index = |of: &dyn Fn(Target) -> usize| -> Result<Tensor> {
            let values = Target::ALL.map(|target| of(target) as i64);
            Ok(Tensor::f_from_slice(&values)?.f_to_device(device)?)
        };
        let floats = |values: &[f32], columns: i64| -> Result<Tensor> {
            Ok(Tensor::f_from_slice(values)?.f_view([-1, columns])?.f_to_device(device)?)
        };
        let signs: Vec<f32> = Target::ALL.into_iter().flat_map(|target| [sign(target), 1.0, 1.0]).collect();
        let start_mm: Vec<f32> = (0..MAPS).flat_map(|map| [SIDE_MM[map / LEVELS], 0.0, 0.0]).collect();
        let sagittal: Vec<f32> = Target::ALL.map(|target| f32::from(u8::from(group_index(target) != 0))).to_vec();
        let annotated = |kind: SeriesKind| -> Result<Tensor> {
            let own = Target::ALL.map(|target| SeriesKind::annotated_for(target.condition) == kind);
            Ok(Tensor::f_from_slice(&own)?.f_view([-1, 1])?.f_to_device(device)?)
        };
        let [t1, t2, axial] = SeriesKind::ALL.map(annotated);
        Ok(Self {
            annotated: [t1?, t2?, axial?],
            level: index(&|target| target.level.index())?,
            map: index(&map)?,
            group: index(&group_index)?,
            signs: floats(&signs, 3)?,
            start_mm: floats(&start_mm, 3)?,
            expects: [floats(&sagittal, 1)?, floats(&[1.0; Target::COUNT], 1)?],
        })
    }
}
