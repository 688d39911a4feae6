//! Slices to stacks: clusters of parallel slices, volumes of one place apart, cut at gaps.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::files::natural;
use crate::error::Place;
use crate::geometry::{Geometry, dot, length, sub};
use crate::report::Oddity;
use crate::slice::Slice;
use crate::stack::{Stack, cuts};

/// Normals and row axes within this angle are parallel.
const PARALLEL_DEG: f64 = 0.5;
/// Pixel spacings within this share of each other are equal.
const SPACING_SHARE: f64 = 1e-4;
/// Positions closer than this, in mm, are one place.
const SAME_PLACE_MM: f64 = 0.01;

pub(super) struct Grouped {
    pub(super) stacks: Vec<Stack>,
    pub(super) oddities: Vec<Oddity>,
    /// Files of which every slice is a copy, and the file that is used instead.
    pub(super) copies: HashMap<Place, Place>,
}

/// Sorts slices into stacks. The order of `slices` does not matter.
pub(super) fn stacks(mut slices: Vec<Slice>) -> Grouped {
    slices.sort_by(identity);
    let mut grouped = Grouped { stacks: Vec::new(), oddities: Vec::new(), copies: HashMap::new() };
    let mut kept: BTreeMap<String, usize> = BTreeMap::new();
    let mut dropped = Vec::new();
    let mut volumes: Vec<Vec<Slice>> = Vec::new();
    for cluster in clusters(slices) {
        match cluster[0].geometry {
            Some(geometry) => {
                let layers = layers(cluster, geometry, &mut dropped);
                if layers.len() > 1 {
                    grouped.oddities.push(Oddity::SeveralVolumes { stacks: layers.len() });
                }
                volumes.extend(layers.into_iter().flat_map(cut));
            }
            None => {
                grouped.oddities.push(Oddity::NoGeometry { slices: cluster.len() });
                volumes.push(cluster);
            }
        }
    }
    // stacks in the order in which they were taken
    volumes.sort_by(|a, b| {
        let first = |volume: &[Slice]| volume.iter().map(|slice| slice.instance_number.unwrap_or(i32::MAX)).min();
        first(a).cmp(&first(b)).then_with(|| identity(&a[0], &b[0]))
    });
    for (index, volume) in volumes.into_iter().enumerate() {
        for slice in &volume {
            *kept.entry(slice.place.to_string()).or_default() += 1;
        }
        let stack = Stack::new(volume);
        let count = stack.missing.iter().map(|hole| hole.origins_mm.len()).sum();
        if count > 0 {
            grouped.oddities.push(Oddity::MissingSlices { stack: index, count });
        } else if stack.slices.len() > 1 && stack.geometry().is_some() && !stack.is_regular() {
            let gaps = stack.gaps_mm();
            let smallest_mm = gaps.iter().copied().fold(f64::INFINITY, f64::min);
            let largest_mm = gaps.iter().copied().fold(0.0, f64::max);
            grouped.oddities.push(Oddity::IrregularSpacing { stack: index, smallest_mm, largest_mm });
        }
        grouped.stacks.push(stack);
    }
    for (slice, of) in dropped {
        if !kept.contains_key(&slice.place.to_string()) {
            grouped.copies.insert(slice.place.clone(), of.clone());
        }
        grouped.oddities.push(Oddity::DuplicateSlice { place: slice.place, frame: slice.frame, of });
    }
    grouped
}

/// A total order that knows nothing of where a slice lies nor of the order of files.
fn identity(a: &Slice, b: &Slice) -> Ordering {
    let number = |slice: &Slice| (slice.instance_number.is_none(), slice.instance_number);
    let name = |slice: &Slice| slice.path().map(Path::to_owned).unwrap_or_default();
    number(a)
        .cmp(&number(b))
        .then_with(|| natural(&name(a), &name(b)))
        .then_with(|| a.sop_instance.cmp(&b.sop_instance))
        .then_with(|| a.frame.cmp(&b.frame))
}

/// Slices of one size, spacing and orientation each, in the order of `slices`.
fn clusters(slices: Vec<Slice>) -> Vec<Vec<Slice>> {
    let mut clusters: Vec<Vec<Slice>> = Vec::new();
    for slice in slices {
        match clusters.iter_mut().find(|cluster| alike(&cluster[0], &slice)) {
            Some(cluster) => cluster.push(slice),
            None => clusters.push(vec![slice]),
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

/// Slices of one place go to layers of their own, copies are dropped. Each layer is in order along the
/// normal.
fn layers(mut cluster: Vec<Slice>, along: Geometry, dropped: &mut Vec<(Slice, Place)>) -> Vec<Vec<Slice>> {
    let normal = along.normal();
    let at = |slice: &Slice| slice.geometry.map_or(0.0, |own| dot(own.origin_mm, normal));
    cluster.sort_by(|a, b| {
        let time = |slice: &Slice| (slice.temporal_position, slice.acquisition_number);
        at(a).total_cmp(&at(b)).then_with(|| time(a).cmp(&time(b))).then_with(|| identity(a, b))
    });
    let mut layers: Vec<Vec<Slice>> = Vec::new();
    let mut place: Vec<Slice> = Vec::new();
    let mut settle = |place: &mut Vec<Slice>| {
        // within a place the time decides, so that a layer is one time or echo
        place.sort_by(|a, b| {
            let time = |slice: &Slice| (slice.temporal_position, slice.acquisition_number);
            time(a).cmp(&time(b)).then_with(|| identity(a, b))
        });
        for (layer, slice) in place.drain(..).enumerate() {
            match layers.get_mut(layer) {
                Some(layer) => layer.push(slice),
                None => layers.push(vec![slice]),
            }
        }
    };
    for slice in cluster {
        if place.first().is_some_and(|first| at(&slice) - at(first) > SAME_PLACE_MM) {
            settle(&mut place);
        }
        match place.iter().find(|other| is_copy(other, &slice)) {
            Some(other) => dropped.push((slice, other.place.clone())),
            None => place.push(slice),
        }
    }
    settle(&mut place);
    layers
}

/// Whether two slices of one plane are one picture.
fn is_copy(a: &Slice, b: &Slice) -> bool {
    let origin = |slice: &Slice| slice.geometry.map(|own| own.origin_mm);
    let same_place = match (origin(a), origin(b)) {
        (Some(a), Some(b)) => length(sub(a, b)) <= SAME_PLACE_MM,
        _ => false,
    };
    if !same_place || (a.place == b.place && a.frame == b.frame) {
        return false;
    }
    if a.frame == b.frame && a.sop_instance.is_some() && a.sop_instance == b.sop_instance {
        return true;
    }
    // several frames of one file are times of a scan, even where they are equally black
    a.place != b.place && matches!((a.pixels(), b.pixels()), (Ok(a), Ok(b)) if a == b)
}

/// Cuts a layer where its gaps say so.
fn cut(layer: Vec<Slice>) -> Vec<Vec<Slice>> {
    let whole = Stack::new(layer);
    let cuts = cuts(&whole.gaps_mm());
    let mut rest = whole.slices;
    let mut parts = Vec::new();
    for after in cuts.into_iter().rev() {
        parts.push(rest.split_off(after + 1));
    }
    parts.push(rest);
    parts.reverse();
    parts
}
