use serde::{Deserialize, Serialize};

use lumbar_dicom::{Geometry, Stack};

use super::Area;
use crate::data::augment::AugmentConfig;
use crate::data::crop::{CropConfig, CropFrame, CropPlace};
use crate::data::render::Region;
use crate::data::study::Study;
use crate::data::{SeriesId, SeriesKind};

/// How far from its point a crop can reach, whatever augmentation is drawn: the part of a study that is cached.
///
/// Two configurations with the same extent can use the same cached studies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CropExtent {
    /// Along the crop's columns and its rows, in mm.
    pub in_plane_mm: [f64; 2],
    /// Slices on each side of the nearest one.
    pub slices: usize,
    /// By how much the point itself may be moved along each axis of the patient.
    pub jitter_mm: f64,
}

/// Slices of one stack are parallel to half a degree: this part of the extent, and two pixels for interpolation.
const TILT: f64 = 0.01;
const SPARE_PX: f64 = 2.0;

impl CropExtent {
    /// The extent of straight crops ([`CropPlace::at`]) under everything that `augment` may draw.
    #[must_use]
    pub fn new(crop: &CropConfig, augment: &AugmentConfig, jitter_mm: f64) -> Self {
        let size = [crop.width_px as f64, crop.height_px as f64];
        // A lens moves the rim by up to its coefficient, and a grid ends at the image's edge. The centres of the
        // pixels and of the area are half a pixel apart.
        let lens = if augment.distortion.p > 0.0 { augment.distortion.optical } else { 0.0 };
        let mut extent = size.map(|side| side / 2.0 * (1.0 + lens) + 1.5);
        let affine = &augment.affine;
        if affine.p > 0.0 {
            let shifted = [extent[0] + affine.shift * size[0], extent[1] + affine.shift * size[1]];
            let sin = affine.rotate_deg.min(90.0).to_radians().sin();
            let turned = [shifted[0] + sin * shifted[1], shifted[1] + sin * shifted[0]];
            let longest = shifted[0].hypot(shifted[1]);
            let turned = turned.map(|side| side.min(longest));
            let slanted = turned[0] + affine.shear_deg.to_radians().tan() * turned[1];
            extent = [slanted, turned[1]].map(|side| side / (1.0 - affine.scale));
        }
        let in_plane_mm = [extent[0] * crop.width_mm / size[0], extent[1] * crop.height_mm / size[1]];
        Self { in_plane_mm, slices: crop.slices / 2, jitter_mm }
    }

    /// The parts of a study's series of `kind` that crops about `point_mm` can show.
    pub(super) fn areas(&self, study: &Study, kind: SeriesKind, point_mm: [f64; 3]) -> Vec<Area> {
        let stacks = || {
            study.series_of(kind).flat_map(|series| {
                series.data.stacks.iter().enumerate().map(move |(index, stack)| (series.id, index, stack))
            })
        };
        // The slice that shows the moved point is no farther than this.
        let limit_mm =
            stacks().filter_map(|(_, _, stack)| self.farthest_mm(stack, point_mm)).fold(f64::INFINITY, f64::min);
        stacks().flat_map(|(series, index, stack)| self.in_stack(series, index, stack, point_mm, limit_mm)).collect()
    }

    /// By how much the jitter may move the point along a direction.
    fn jitter_along(&self, axis: [f64; 3]) -> f64 {
        self.jitter_mm * axis.iter().map(|part| part.abs()).sum::<f64>()
    }

    /// How far the nearest slice can be, if this stack covers the point wherever it is moved to.
    fn farthest_mm(&self, stack: &Stack, point_mm: [f64; 3]) -> Option<f64> {
        let nearest = stack.nearest_slice(point_mm)?;
        let jitter = self.jitter_along(stack.geometry()?.normal());
        let distance = nearest.projection.distance_mm.abs();
        let covers = |geometry: &Geometry, rows: usize, columns: usize, thickness_mm: Option<f64>| {
            let seen = geometry.project(point_mm);
            let spare = [
                self.jitter_along(geometry.row_axis) / geometry.column_spacing_mm,
                self.jitter_along(geometry.column_axis) / geometry.row_spacing_mm,
            ];
            let inside = |at: f64, size: usize, spare: f64| at - spare >= -0.5 && at + spare <= size as f64 - 0.5;
            let half_mm = stack.spacing_mm().unwrap_or(0.0).max(thickness_mm.unwrap_or(0.0)) / 2.0;
            inside(seen.column, columns, spare[0]) && inside(seen.row, rows, spare[1]) && distance + jitter <= half_mm
        };
        let candidates = stack.slices.iter().filter_map(|slice| Some((slice, slice.geometry.as_ref()?)));
        let mut candidates = candidates
            .filter(|(_, geometry)| geometry.project(point_mm).distance_mm.abs() <= distance + 2.0 * jitter)
            .map(|(slice, geometry)| covers(geometry, slice.rows, slice.columns, slice.thickness_mm));
        candidates.all(|covers| covers).then_some(distance + jitter)
    }

    fn in_stack(&self, series: SeriesId, index: usize, stack: &Stack, point_mm: [f64; 3], limit_mm: f64) -> Vec<Area> {
        let config = CropConfig { slices: 1, ..CropConfig::default() };
        let Some(frame) = CropFrame::new(stack, &CropPlace::at(point_mm), &config) else { return Vec::new() };
        let Some(normal) = stack.geometry().map(Geometry::normal) else { return Vec::new() };
        let neighbours_mm = (self.slices as f64 + 0.5) * stack.spacing_mm().unwrap_or(0.0);
        let far_mm = (limit_mm + self.jitter_along(normal) + neighbours_mm) * (1.0 + 1e-6) + 1e-3;
        let step_mm = [config.width_mm / config.width_px as f64, config.height_mm / config.height_px as f64];
        let middle = [(config.width_px as f64 - 1.0) / 2.0, (config.height_px as f64 - 1.0) / 2.0];
        let mut areas = Vec::new();
        for (slice, head) in stack.slices.iter().enumerate() {
            let Some(geometry) = &head.geometry else { continue };
            if geometry.project(point_mm).distance_mm.abs() > far_mm {
                continue;
            }
            let from_crop = frame.from_crop(geometry);
            let spare = [
                self.jitter_along(geometry.row_axis) / geometry.column_spacing_mm + SPARE_PX,
                self.jitter_along(geometry.column_axis) / geometry.row_spacing_mm + SPARE_PX,
            ];
            let corners = [[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]].map(|signs: [f64; 2]| {
                from_crop.apply(std::array::from_fn(|k| {
                    middle[k] + signs[k] * self.in_plane_mm[k] * (1.0 + TILT) / step_mm[k]
                }))
            });
            let span = |axis: usize, size: usize| {
                let (low, high) = corners.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), corner| {
                    (low.min(corner[axis]), high.max(corner[axis]))
                });
                // one pixel more on each side, for interpolation
                let first = (low - spare[axis]).floor().clamp(0.0, size as f64) as usize;
                let end = (high + spare[axis]).ceil().clamp(0.0, size as f64) as usize;
                (first, end.saturating_sub(first))
            };
            let ((x, width), (y, height)) = (span(0, head.columns), span(1, head.rows));
            if width > 0 && height > 0 {
                areas.push(Area { series, stack: index, slice, region: Region { x, y, width, height } });
            }
        }
        areas
    }
}
