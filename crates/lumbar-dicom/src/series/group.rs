//! Slices to stacks: clusters of parallel slices, one volume for each time or echo, cut at gaps.
//!
//! Slices are handled by their index in the order of [`identity`], which is therefore also the order of the
//! indices. Time and memory are linear in the number of slices, up to sorting.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use super::copies::{Copies, SAME_PLACE_MM};
use super::files::natural;
use crate::error::Location;
use crate::geometry::{Geometry, dot, length, sub};
use crate::report::ReadWarning;
use crate::slice::Slice;
use crate::stack::{Stack, cuts};

/// Normals and row axes within this angle are parallel.
const PARALLEL_DEG: f64 = 0.5;
/// Pixel spacings within this share of each other are equal.
const SPACING_SHARE: f64 = 1e-4;
/// A slice is compared with so many clusters; one that matches none of them becomes a stack of its own. Radial
/// scans have a few dozen orientations.
const MOST_CLUSTERS: usize = 512;

pub(super) struct Grouped {
    pub(super) stacks: Vec<Stack>,
    pub(super) warnings: Vec<ReadWarning>,
    /// Files of which every slice is a copy, and the file that is used instead.
    pub(super) copies: HashMap<Location, Location>,
}

/// Sorts slices into stacks. The order of `slices` does not matter.
pub(super) fn stacks(mut slices: Vec<Slice>) -> Grouped {
    slices.sort_unstable_by(identity);
    let mut warnings = Vec::new();
    let mut copies = Vec::new();
    let mut volumes: Vec<Vec<usize>> = Vec::new();
    for cluster in clusters(&slices) {
        match slices[cluster[0]].geometry {
            Some(geometry) => {
                let layers = layers(&slices, cluster, geometry, &mut copies);
                if layers.len() > 1 {
                    warnings.push(ReadWarning::SeveralVolumes { stacks: layers.len() });
                }
                volumes.extend(layers.into_iter().flat_map(|layer| cut(&slices, layer)));
            }
            None => {
                warnings.push(ReadWarning::NoGeometry { slices: cluster.len() });
                volumes.push(cluster);
            }
        }
    }
    // stacks in the order in which they were acquired
    volumes.sort_by_cached_key(|volume| {
        let numbers = volume.iter().map(|index| slices[*index].instance_number.unwrap_or(i32::MAX));
        (numbers.min(), volume[0])
    });
    let used: HashSet<&Location> = volumes.iter().flatten().map(|index| &slices[*index].location).collect();
    let mut duplicates = HashMap::new();
    let mut dropped = Vec::with_capacity(copies.len());
    for (copy, original) in copies {
        let (copy, of) = (&slices[copy], slices[original].location.clone());
        if !used.contains(&copy.location) {
            duplicates.insert(copy.location.clone(), of.clone());
        }
        dropped.push(ReadWarning::DuplicateSlice { location: copy.location.clone(), frame: copy.frame, of });
    }
    drop(used);
    let mut slices: Vec<Option<Slice>> = slices.into_iter().map(Some).collect();
    let mut stacks = Vec::with_capacity(volumes.len());
    for (index, volume) in volumes.into_iter().enumerate() {
        let stack = Stack::new(volume.into_iter().filter_map(|slice| slices[slice].take()).collect());
        warnings.extend(warning_of(index, &stack));
        stacks.push(stack);
    }
    warnings.append(&mut dropped);
    Grouped { stacks, warnings, copies: duplicates }
}

fn warning_of(index: usize, stack: &Stack) -> Option<ReadWarning> {
    let count = stack.missing.iter().map(|missing| missing.count).sum();
    if count > 0 {
        return Some(ReadWarning::MissingSlices { stack: index, count });
    }
    if stack.slices.len() < 2 || stack.geometry().is_none() || stack.is_regular() {
        return None;
    }
    let gaps = stack.gaps_mm();
    let smallest_mm = gaps.iter().copied().fold(f64::INFINITY, f64::min);
    let largest_mm = gaps.iter().copied().fold(0.0, f64::max);
    Some(ReadWarning::IrregularSpacing { stack: index, smallest_mm, largest_mm })
}

/// A total order that depends neither on positions nor on the order of files.
fn identity(a: &Slice, b: &Slice) -> Ordering {
    let number = |slice: &Slice| (slice.instance_number.is_none(), slice.instance_number);
    let names = || match (a.path(), b.path()) {
        (Some(a), Some(b)) => natural(a, b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    };
    number(a)
        .cmp(&number(b))
        .then_with(names)
        .then_with(|| a.sop_instance.cmp(&b.sop_instance))
        .then_with(|| a.frame.cmp(&b.frame))
}

/// Slices of one size, spacing and orientation each, in their order.
fn clusters(slices: &[Slice]) -> Vec<Vec<usize>> {
    let mut clusters: Vec<Vec<usize>> = Vec::new();
    for (index, slice) in slices.iter().enumerate() {
        let compared = clusters.len().min(MOST_CLUSTERS);
        match clusters[..compared].iter().position(|cluster| alike(&slices[cluster[0]], slice)) {
            Some(found) => clusters[found].push(index),
            None => clusters.push(vec![index]),
        }
    }
    clusters
}

fn alike(a: &Slice, b: &Slice) -> bool {
    let equal = |x: f64, y: f64| (x - y).abs() <= SPACING_SHARE * x.abs().max(y.abs());
    if (a.rows, a.columns, &a.frame_of_reference) != (b.rows, b.columns, &b.frame_of_reference) {
        return false;
    }
    match (&a.geometry, &b.geometry) {
        (None, None) => true,
        (Some(a), Some(b)) => {
            equal(a.row_spacing_mm, b.row_spacing_mm)
                && equal(a.column_spacing_mm, b.column_spacing_mm)
                && angle_deg(a.normal(), b.normal()) <= PARALLEL_DEG
                && angle_deg(a.row_axis, b.row_axis) <= PARALLEL_DEG
        }
        _ => false,
    }
}

/// Exact for small angles, where the cosine is not.
fn angle_deg(a: [f64; 3], b: [f64; 3]) -> f64 {
    let (difference, sum) = (length(sub(a, b)), length(sub(a, b.map(|v| -v))));
    (2.0 * difference.atan2(sum)).to_degrees()
}

/// Slices of one plane go to different layers, copies are dropped. Each layer is in order along the normal.
fn layers(
    slices: &[Slice],
    cluster: Vec<usize>,
    along: Geometry,
    dropped: &mut Vec<(usize, usize)>,
) -> Vec<Vec<usize>> {
    let time = |index: usize| (slices[index].temporal_position, slices[index].acquisition_number);
    let mut cluster: Vec<(f64, usize)> =
        cluster.into_iter().map(|index| (position_mm(&slices[index], &along), index)).collect();
    cluster.sort_unstable_by(|a, b| {
        a.0.total_cmp(&b.0).then_with(|| time(a.1).cmp(&time(b.1))).then_with(|| a.1.cmp(&b.1))
    });
    let mut layers: Vec<Vec<usize>> = Vec::new();
    let mut rest = cluster.as_slice();
    while let Some((first, _)) = rest.first() {
        let (plane, after) = rest.split_at(rest.partition_point(|(at, _)| at - first <= SAME_PLACE_MM));
        rest = after;
        let mut plane: Vec<usize> = plane.iter().map(|(_, index)| *index).collect();
        if plane.len() > 1 {
            let mut copies = Copies::new(slices, &plane);
            plane.retain(|index| match copies.original(*index) {
                Some(original) => {
                    dropped.push((*index, original));
                    false
                }
                None => true,
            });
            // within a plane the time decides, so that a layer is one time or echo
            plane.sort_unstable_by_key(|index| (time(*index), *index));
        }
        for (layer, index) in plane.into_iter().enumerate() {
            match layers.get_mut(layer) {
                Some(layer) => layer.push(index),
                None => layers.push(vec![index]),
            }
        }
    }
    layers
}

/// The position of a slice along the normal of `along`.
fn position_mm(slice: &Slice, along: &Geometry) -> f64 {
    slice.geometry.map_or(0.0, |own| dot(own.origin_mm, along.normal()))
}

/// Cuts a layer at its wide gaps.
fn cut(slices: &[Slice], layer: Vec<usize>) -> Vec<Vec<usize>> {
    let along = match slices[layer[0]].geometry {
        Some(along) if layer.len() > 2 => along,
        // a single gap is not wider than the median
        _ => return vec![layer],
    };
    let at = |index: usize| position_mm(&slices[index], &along);
    let gaps: Vec<f64> = layer.windows(2).map(|pair| at(pair[1]) - at(pair[0])).collect();
    let number = |index: usize| slices[*layer.get(index)?].instance_number;
    let cuts = cuts(layer.len(), number, &gaps);
    let mut rest = layer;
    let mut parts = Vec::new();
    for after in cuts.into_iter().rev() {
        parts.push(rest.split_off(after + 1));
    }
    parts.push(rest);
    parts.reverse();
    parts
}
