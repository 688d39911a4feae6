//! From maps to points.

use crate::anatomy::{Condition, ConditionGroup, Level, Side, Target};
use crate::data::found_points::{FoundPoint, PointOrigin, StudyFoundPoints};

use super::MAPS;
use super::chain::{Candidate, Chain, best_chain, distance};
use super::grid::{ImageGrid, StackGrid, StackPosition};
use super::truth::SIDE_MM;

const LEVELS: usize = Level::ALL.len();
/// A point is the centroid of the probability within this distance of its peak.
const CENTROID_MM: f64 = 8.0;
/// Candidates for discs are at least this far apart: neighbouring ones of real spines are 20 mm and more.
const APART_MM: f64 = 10.0;
/// A candidate has at least this share of the probability of a map.
const LEAST_SHARE: f64 = 1e-3;
/// Probability that a map is wrong altogether: no place is less likely than this.
const FLOOR: f64 = 1e-3;
/// A foramen is at most this far from the canal's point of its level, in the sagittal plane.
const FORAMEN_MM: f64 = 28.0;

/// The maps of one stack.
pub(super) struct StackMaps<'a> {
    pub(super) grid: &'a StackGrid,
    pub(super) image: ImageGrid,
    /// Unnormalised log probabilities.
    ///
    /// # Shapes
    /// `[slices, 11, rows, columns]`.
    pub(super) logits: &'a [f32],
}

/// A place in a stack, with its probability.
#[derive(Debug, Clone, Copy)]
struct Found {
    at: StackPosition,
    mass: f64,
}

/// Probabilities of one target over the slices and pixels of a stack.
struct Probability {
    /// Row-major, slice by slice.
    values: Vec<f64>,
    /// The sum over slices.
    plane: Vec<f64>,
}

impl StackMaps<'_> {
    fn area(&self) -> usize {
        let (rows, columns) = self.image.map_size();
        rows * columns
    }

    /// The softmax of a map over the slices for which `allowed` is true.
    fn probability(&self, map: usize, allowed: impl Fn(usize) -> bool) -> Probability {
        let area = self.area();
        let slice_of = |slice: usize| &self.logits[(slice * MAPS + map) * area..][..area];
        let slices = self.grid.offsets_mm.len();
        let largest = (0..slices)
            .filter(|&slice| allowed(slice))
            .flat_map(|slice| slice_of(slice).iter().copied())
            .fold(f32::NEG_INFINITY, f32::max);
        let mut values = vec![0.0; slices * area];
        let mut plane = vec![0.0; area];
        let mut sum = 0.0;
        for slice in (0..slices).filter(|&slice| allowed(slice) && largest.is_finite()) {
            for ((value, plane), logit) in values[slice * area..].iter_mut().zip(&mut plane).zip(slice_of(slice)) {
                *value = f64::from(logit - largest).exp();
                *plane += *value;
                sum += *value;
            }
        }
        if sum > 0.0 {
            values.iter_mut().chain(&mut plane).for_each(|value| *value /= sum);
        }
        Probability { values, plane }
    }

    /// Columns and rows of a map within a distance of a place, with the millimetres of each.
    fn within(&self, at_mm: [f64; 2], radius_mm: f64) -> impl Iterator<Item = (usize, [f64; 2])> {
        let ((rows, columns), image) = (self.image.map_size(), self.image);
        (0..rows * columns).filter_map(move |pixel| {
            let position = image.map_position([(pixel % columns) as f64, (pixel / columns) as f64]);
            (distance(position, at_mm) <= radius_mm).then_some((pixel, position))
        })
    }

    fn mass(&self, probability: &Probability, at_mm: [f64; 2]) -> f64 {
        self.within(at_mm, CENTROID_MM).map(|(pixel, _)| probability.plane[pixel]).sum()
    }

    /// The most probable place within `radius_mm` of `near_mm`: the peak's centroid, and its slice's. `None` where all
    /// probabilities are 0.
    fn find(&self, probability: &Probability, near_mm: [f64; 2], radius_mm: f64) -> Option<Found> {
        let (peak, peak_mm) =
            self.within(near_mm, radius_mm).max_by(|a, b| probability.plane[a.0].total_cmp(&probability.plane[b.0]))?;
        let (area, slices) = (self.area(), self.grid.offsets_mm.len());
        let at_peak = |slice: usize| probability.values[slice * area + peak];
        let own = (0..slices).max_by(|&a, &b| at_peak(a).total_cmp(&at_peak(b)))?;
        let offsets = &self.grid.offsets_mm;
        let (mut mass, mut sums) = (0.0, [0.0; 3]);
        for slice in (0..slices).filter(|&slice| (offsets[slice] - offsets[own]).abs() <= CENTROID_MM) {
            for (pixel, [back_mm, down_mm]) in self.within(peak_mm, CENTROID_MM) {
                let value = probability.values[slice * area + pixel];
                mass += value;
                for (sum, at) in sums.iter_mut().zip([back_mm, down_mm, offsets[slice]]) {
                    *sum += value * at;
                }
            }
        }
        let [back_mm, down_mm, left_mm] = sums.map(|sum| sum / mass);
        (mass > 0.0).then_some(Found { at: StackPosition { back_mm, down_mm, left_mm }, mass })
    }

    /// Places where a disc may be: peaks of the canal's maps together and of the map of any disc.
    fn peaks(&self, canal: &[Probability; LEVELS]) -> Vec<[f64; 2]> {
        let (rows, columns) = self.image.map_size();
        let disc = self.probability(MAPS - 1, |_| true);
        let together: Vec<f64> = (0..rows * columns)
            .map(|pixel| canal.iter().map(|level| level.plane[pixel]).sum::<f64>() + LEVELS as f64 * disc.plane[pixel])
            .collect();
        let mut order: Vec<usize> = (0..rows * columns).collect();
        order.sort_by(|&a, &b| together[b].total_cmp(&together[a]));
        let mut peaks: Vec<[f64; 2]> = Vec::new();
        for pixel in order.into_iter().take_while(|&pixel| together[pixel] > LEAST_SHARE) {
            let (row, column) = (pixel / columns, pixel % columns);
            let around = (row.saturating_sub(1)..(row + 2).min(rows)).flat_map(|row| {
                (column.saturating_sub(1)..(column + 2).min(columns)).map(move |at| row * columns + at)
            });
            let position = self.image.map_position([column as f64, row as f64]);
            let is_peak = around.into_iter().all(|other| together[other] <= together[pixel]);
            if is_peak && peaks.iter().all(|peak| distance(*peak, position) > APART_MM) {
                peaks.push(position);
            }
        }
        peaks
    }
}

/// The coordinates of the chain: to the back and to the feet, whatever the stack's own axes.
fn sagittal(point_mm: [f64; 3]) -> [f64; 2] {
    [point_mm[1], -point_mm[2]]
}

/// The mean of what the stacks found, by their probabilities. Where they disagree by more than a centroid's radius,
/// the more probable place.
fn joined(found: &[Option<([f64; 3], f64)>]) -> Option<([f64; 3], f64)> {
    let of_stacks = found.iter().flatten();
    let (best_mm, best) = *of_stacks.clone().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let near = of_stacks
        .filter(|(at_mm, _)| (0..3).map(|k| (at_mm[k] - best_mm[k]).powi(2)).sum::<f64>().sqrt() <= CENTROID_MM);
    let (mut sums, mut total) = ([0.0; 3], 0.0);
    for (at_mm, mass) in near {
        total += mass;
        (0..3).for_each(|k| sums[k] += mass * at_mm[k]);
    }
    // a stack that sees the point elsewhere lowers the confidence
    let stacks = found.len() as f64;
    let mass = (total / stacks).max(best / stacks);
    (total > 0.0).then_some((sums.map(|sum| sum / total), mass.min(1.0)))
}

/// The points of a study from the maps of its stacks, over [`Target::ALL`]: canal and foramina, as far as a chain of
/// levels was found.
///
/// The reliability is a confidence that is not calibrated: the probability in the maps within 8 mm of the point, times
/// the probability that no other chain is right.
pub(super) fn decode(stacks: &[StackMaps<'_>]) -> StudyFoundPoints {
    let mut points = [None; Target::COUNT];
    let canal: Vec<[Probability; LEVELS]> =
        stacks.iter().map(|stack| std::array::from_fn(|level| stack.probability(level, |_| true))).collect();
    let (places, chain) = chain_of(stacks, &canal);
    for level in Level::ALL {
        let index = level.index();
        let Some(place_mm) = chain.levels[index].map(|candidate| places[candidate]) else { continue };
        let certainty = 1.0 / (1.0 + (-chain.margins[index]).exp());
        let canal_found: Vec<Option<([f64; 3], f64)>> = stacks
            .iter()
            .zip(&canal)
            .map(|(stack, canal)| {
                let near = stack.grid.project(place_mm);
                let found = stack.find(&canal[index], [near.back_mm, near.down_mm], CENTROID_MM)?;
                Some((stack.grid.patient_at(found.at), found.mass))
            })
            .collect();
        let Some((canal_mm, mass)) = joined(&canal_found) else { continue };
        let mut set = |condition: Condition, position_mm: [f64; 3], mass: f64| {
            let reliability = (mass * certainty).clamp(0.0, 1.0);
            points[Target::new(condition, level).index()] =
                Some(FoundPoint { position_mm, reliability, origin: PointOrigin::Sagittal });
        };
        set(Condition::SpinalCanalStenosis, canal_mm, mass);
        for side in [Side::Left, Side::Right] {
            let found: Vec<Option<([f64; 3], f64)>> =
                stacks.iter().map(|stack| foramen(stack, index, side, canal_mm)).collect();
            if let Some((position_mm, mass)) = joined(&found) {
                set(Condition::of(ConditionGroup::Foraminal, side), position_mm, mass);
            }
        }
    }
    points
}

/// Candidates in patient mm, and the chain over them.
fn chain_of(stacks: &[StackMaps<'_>], canal: &[[Probability; LEVELS]]) -> (Vec<[f64; 3]>, Chain) {
    let mut places: Vec<[f64; 3]> = Vec::new();
    for (stack, canal) in stacks.iter().zip(canal) {
        for peak in stack.peaks(canal) {
            let place = StackPosition { back_mm: peak[0], down_mm: peak[1], left_mm: 0.0 };
            let place_mm = stack.grid.patient_at(place);
            if places.iter().all(|other| distance(sagittal(*other), sagittal(place_mm)) > CENTROID_MM) {
                places.push(place_mm);
            }
        }
    }
    let candidate = |place_mm: &[f64; 3]| {
        let evidence = std::array::from_fn(|level| {
            let of_stack = |(stack, canal): (&StackMaps<'_>, &[Probability; LEVELS])| {
                let near = stack.grid.project(*place_mm);
                (stack.mass(&canal[level], [near.back_mm, near.down_mm]) + FLOOR).ln()
            };
            stacks.iter().zip(canal).map(of_stack).sum()
        });
        Candidate { at_mm: sagittal(*place_mm), evidence }
    };
    let candidates: Vec<Candidate> = places.iter().map(candidate).collect();
    let chain = best_chain(&candidates);
    (places, chain)
}

/// The foramen of a level on one side in one stack: patient mm and probability.
fn foramen(stack: &StackMaps<'_>, level: usize, side: Side, canal_mm: [f64; 3]) -> Option<([f64; 3], f64)> {
    let canal = stack.grid.project(canal_mm);
    let sign = if side == Side::Left { 1.0 } else { -1.0 };
    let on_side = |slice: usize| sign * (stack.grid.offsets_mm[slice] - canal.left_mm) >= SIDE_MM;
    let probability = stack.probability(LEVELS + level, on_side);
    let found = stack.find(&probability, [canal.back_mm, canal.down_mm], FORAMEN_MM)?;
    Some((stack.grid.patient_at(found.at), found.mass))
}
