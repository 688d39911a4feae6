//! From maps to points.

use torch_ext::feature_map::{exp_below, largest_of};

use crate::anatomy::{Condition, ConditionGroup, Level, Side, Target};
use crate::data::found_points::{FoundPoint, PointOrigin, StudyFoundPoints};

use super::MAPS;
use super::chain::{Candidate, Chain, best_chain, distance};
use super::grid::{ImageGrid, StackGrid, StackPosition};
use super::truth::SIDE_MM;

const LEVELS: usize = Level::ALL.len();
/// A point is the centroid of the probability within this distance of its peak. Not a multiple of usual spacings, so
/// that rounding does not decide whether a slice is within it.
const CENTROID_MM: f64 = 8.1;
/// How often the window of a centroid is moved to the centroid.
const CENTROIDS: usize = 4;
/// Candidates for discs are at least this far apart: neighbouring ones of real spines are 20 mm and more.
const APART_MM: f64 = 10.0;
/// A candidate's pixel has at least this share of the probability of a map: three times as much as in a flat map, and
/// a twentieth of the peak of a map that is sure.
const LEAST_SHARE: f64 = 4e-3;
/// Probability that a map is wrong altogether: no place is less likely than this.
const FLOOR: f64 = 1e-3;
/// A foramen is at most this far from the canal's point of its level, in the sagittal plane: it is about 5 mm in front
/// and 5 mm above, the next level's more than 20 mm away.
const FORAMEN_MM: f64 = 16.0;

/// The maps of one stack.
pub(super) struct StackMaps<'a> {
    pub(super) grid: &'a StackGrid,
    pub(super) image: ImageGrid,
    /// Unnormalised log probabilities.
    ///
    /// # Shapes
    /// `[slices, 11, rows, columns]`.
    pub(super) logits: &'a [f32],
    pub(super) precision: Precision,
}

/// How the softmax of maps is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precision {
    /// In double precision: what training and its tables use.
    Double,
    /// Exponentials in single precision, many at a time: points differ by less than 1e-4 mm.
    Single,
}

/// A place in a stack, with its probability.
#[derive(Debug, Clone, Copy)]
struct Found {
    at: StackPosition,
    mass: f64,
}

/// Probabilities of one target over the slices and pixels of a stack: the softmax of its map over some of the slices.
struct Probability<'a> {
    /// The logits of each slice; `None` for a slice without probability.
    slices: Vec<Option<&'a [f32]>>,
    /// Of all logits.
    largest: f32,
    /// The sum of all odds; 0 if all probabilities are 0.
    sum: f64,
    /// The sum of probabilities over slices.
    plane: Vec<f64>,
}

impl Probability<'_> {
    /// The probability of one pixel.
    fn at(&self, slice: usize, pixel: usize) -> f64 {
        match self.slices[slice] {
            Some(logits) if self.sum > 0.0 => odds(logits[pixel], self.largest) / self.sum,
            _ => 0.0,
        }
    }
}

/// e^(logit − largest), 0 if that is no number.
fn odds(logit: f32, largest: f32) -> f64 {
    let odds = f64::from(logit - largest).exp();
    if odds.is_finite() { odds } else { 0.0 }
}

impl StackMaps<'_> {
    fn area(&self) -> usize {
        let (rows, columns) = self.image.map_size();
        rows * columns
    }

    /// The softmax of a map over the slices for which `allowed` is true.
    fn probability(&self, map: usize, allowed: impl Fn(usize) -> bool) -> Probability<'_> {
        let area = self.area();
        let slice_of = |slice: usize| &self.logits[(slice * MAPS + map) * area..][..area];
        let slices = (0..self.grid.offsets_mm.len()).map(|slice| allowed(slice).then(|| slice_of(slice)));
        let slices: Vec<Option<&[f32]>> = slices.collect();
        let largest = slices.iter().flatten().map(|logits| largest_of(logits)).fold(f32::NEG_INFINITY, f32::max);
        let (mut plane, mut sum) = (vec![0.0; area], 0.0);
        let mut single = vec![0.0; if self.precision == Precision::Single { area } else { 0 }];
        for logits in slices.iter().flatten().filter(|_| largest.is_finite()) {
            match self.precision {
                Precision::Double => {
                    for (plane, logit) in plane.iter_mut().zip(*logits) {
                        let odds = odds(*logit, largest);
                        *plane += odds;
                        sum += odds;
                    }
                }
                Precision::Single => {
                    exp_below(logits, largest, &mut single);
                    for (plane, odds) in plane.iter_mut().zip(&single) {
                        *plane += if odds.is_finite() { f64::from(*odds) } else { 0.0 };
                    }
                }
            }
        }
        if self.precision == Precision::Single {
            sum = plane.iter().sum();
        }
        if sum > 0.0 {
            plane.iter_mut().for_each(|value| *value /= sum);
        }
        Probability { slices, largest, sum, plane }
    }

    /// Columns and rows of a map within a distance of a place, with the millimetres of each.
    fn within(&self, at_mm: [f64; 2], radius_mm: f64) -> impl Iterator<Item = (usize, [f64; 2])> {
        let ((rows, columns), image) = (self.image.map_size(), self.image);
        // the square about the circle, a pixel larger
        let [(left, right), (top, bottom)] = [(0, columns), (1, rows)].map(|(axis, side)| {
            let at = |mm: f64| mm / image.map_pixel_mm() + (side as f64 - 1.0) / 2.0;
            let end = |pixel: f64| pixel.clamp(0.0, side as f64) as usize;
            let (low, high) = (at(at_mm[axis] - radius_mm), at(at_mm[axis] + radius_mm));
            (end(low.floor() - 1.0), end(high.ceil() + 2.0))
        });
        (top..bottom).flat_map(move |row| (left..right).map(move |column| (row, column))).filter_map(
            move |(row, column)| {
                let position = image.map_position([column as f64, row as f64]);
                (distance(position, at_mm) <= radius_mm).then_some((row * columns + column, position))
            },
        )
    }

    /// The probability within a centroid's radius in a flat map.
    fn chance(&self) -> f64 {
        std::f64::consts::PI * (CENTROID_MM / self.image.map_pixel_mm()).powi(2) / self.area() as f64
    }

    fn mass(&self, probability: &Probability<'_>, at_mm: [f64; 2]) -> f64 {
        self.within(at_mm, CENTROID_MM).map(|(pixel, _)| probability.plane[pixel]).sum()
    }

    /// The most probable place within `radius_mm` of `near_mm`: the peak's centroid, and its slice's. `None` where all
    /// probabilities are 0.
    fn find(&self, probability: &Probability<'_>, near_mm: [f64; 2], radius_mm: f64) -> Option<Found> {
        let (peak, peak_mm) =
            self.within(near_mm, radius_mm).max_by(|a, b| probability.plane[a.0].total_cmp(&probability.plane[b.0]))?;
        let slices = self.grid.offsets_mm.len();
        let at_peak = |slice: usize| probability.at(slice, peak);
        // of two equal slices the one farther to the left, whatever their order
        let offset = |slice: usize| self.grid.offsets_mm[slice];
        let own =
            (0..slices).max_by(|&a, &b| at_peak(a).total_cmp(&at_peak(b)).then(offset(a).total_cmp(&offset(b))))?;
        let mut found = None;
        let mut centre = StackPosition { back_mm: peak_mm[0], down_mm: peak_mm[1], left_mm: self.grid.offsets_mm[own] };
        // the first window is about a pixel, the later ones about the centroid before
        for _ in 0..CENTROIDS {
            let next = self.centroid(probability, centre)?;
            (centre, found) = (next.at, Some(next));
        }
        found
    }

    /// The centroid of the probability about a place; `None` where all of it is 0.
    fn centroid(&self, probability: &Probability<'_>, about: StackPosition) -> Option<Found> {
        let offsets = &self.grid.offsets_mm;
        let (mut mass, mut sums) = (0.0, [0.0; 3]);
        for slice in (0..offsets.len()).filter(|&slice| (offsets[slice] - about.left_mm).abs() <= CENTROID_MM) {
            for (pixel, [back_mm, down_mm]) in self.within([about.back_mm, about.down_mm], CENTROID_MM) {
                let value = probability.at(slice, pixel);
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
    fn peaks(&self, canal: &[Probability<'_>; LEVELS]) -> Vec<[f64; 2]> {
        let (rows, columns) = self.image.map_size();
        let disc = self.probability(MAPS - 1, |_| true);
        let together: Vec<f64> = (0..rows * columns)
            .map(|pixel| canal.iter().map(|level| level.plane[pixel]).sum::<f64>() + LEVELS as f64 * disc.plane[pixel])
            .collect();
        let mut order: Vec<usize> = (0..rows * columns).filter(|&pixel| together[pixel] > LEAST_SHARE).collect();
        order.sort_by(|&a, &b| together[b].total_cmp(&together[a]));
        let mut peaks: Vec<[f64; 2]> = Vec::new();
        for pixel in order {
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
    let canal: Vec<[Probability<'_>; LEVELS]> =
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
fn chain_of(stacks: &[StackMaps<'_>], canal: &[[Probability<'_>; LEVELS]]) -> (Vec<[f64; 3]>, Chain) {
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
            let of_stack = |(stack, canal): (&StackMaps<'_>, &[Probability<'_>; LEVELS])| {
                let near = stack.grid.project(*place_mm);
                let mass = stack.mass(&canal[level], [near.back_mm, near.down_mm]);
                ((mass + FLOOR) / (stack.chance() + FLOOR)).ln()
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

#[cfg(test)]
mod tests;
