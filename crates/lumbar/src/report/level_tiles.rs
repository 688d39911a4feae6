//! A localiser's maps and points on slices.

use plotters::style::RGBColor;
use tch::Device;

use crate::anatomy::{Condition, ConditionGroup, Level, Side, Target};
use crate::data::SeriesKind;
use crate::data::found_points::StudyFoundPoints;
use crate::data::manifest::StudyRecord;
use crate::data::study::Study;
use crate::figure::{FigureError, Marker, Tile, condition_colour, window_of};
use crate::run::{Run, RunError};
use crate::tasks::locate::{LevelMaps, LocateTask};

/// The colour of annotated points beside found ones.
const ANNOTATED: RGBColor = RGBColor(255, 255, 255);

/// What the localiser of a fold sees in a study: of each sagittal series the slice on which the canal is most probable
/// and the one for the foramina, each without and with the maps of all five levels.
///
/// # Errors
/// [`RunError::NoLocaliser`] for a run without one, when the fold is not trained, and when the study cannot be decoded.
pub fn level_tiles(run: &Run, fold: usize, record: &StudyRecord, device: Device) -> Result<Vec<Tile>, RunError> {
    let localiser = run.localiser().ok_or_else(|| RunError::NoLocaliser { folder: run.folder().to_owned() })?;
    let network = localiser.network::<LocateTask>(fold, device)?;
    let mut tiles = Vec::new();
    let Some(task) = localiser.config().task.get::<LocateTask>() else { return Ok(tiles) };
    for maps in task.maps(&network, record, device)? {
        for (name, map) in [("canal", &maps.canal), ("foramina", &maps.foramina)] {
            let slice = LevelMaps::strongest(map);
            let (image, map) =
                (maps.images.index_axis(ndarray::Axis(0), slice), map.index_axis(ndarray::Axis(0), slice));
            let finite = image.iter().copied().filter(|value| value.is_finite());
            let (black, white) =
                finite.fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(value), high.max(value)));
            let tile = Tile::new(image, black, white)
                .crop_sides(lumbar_dicom::Plane::Sagittal, false)
                .pixel_mm(maps.pixel_mm(), maps.pixel_mm());
            let caption = format!("{}, slice {} of {}", maps.kind.title(), slice + 1, maps.images.dim().0);
            tiles.push(tile.clone().caption(caption));
            // the peak is 1, so that five levels with sharp maps and one with a flat map can be told apart
            let highest = map.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
            tiles.push(tile.caption(format!("where the {name} may be")).heat(map.mapv(|value| value / highest).view()));
        }
    }
    Ok(tiles)
}

/// One sagittal slice with the found points of a condition, each with its level and its reliability in percent, and
/// with the annotated points in white.
///
/// The slice is the one nearest to the middle of the found points. `None` if no point was found, no series of the
/// condition's kind shows it, or the slice's file says that its pixels may show a name. Points of a recess are on
/// several axial slices: see [`slice_tile`](super::slice_tile).
///
/// # Errors
/// When the slice cannot be decoded.
pub fn points_tile(
    study: &Study,
    condition: Condition,
    found: &StudyFoundPoints,
    annotated: Option<&StudyFoundPoints>,
) -> Result<Option<Tile>, FigureError> {
    let targets = Level::ALL.map(|level| Target::new(condition, level));
    let positions: Vec<[f64; 3]> =
        targets.iter().filter_map(|target| Some(found[target.index()]?.position_mm)).collect();
    if positions.is_empty() || condition.group() == ConditionGroup::Subarticular {
        return Ok(None);
    }
    let middle_mm = std::array::from_fn(|k| {
        let mut values: Vec<f64> = positions.iter().map(|position| position[k]).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    });
    let kinds = [SeriesKind::annotated_for(condition), SeriesKind::SagittalT2, SeriesKind::SagittalT1];
    let Some(slice_match) = kinds.into_iter().find_map(|kind| study.find(middle_mm, kind, None)) else {
        return Ok(None);
    };
    let stack = study.series(slice_match.series).and_then(|series| series.data.stacks.get(slice_match.place.stack));
    let Some(stack) = stack else { return Ok(None) };
    let slice = stack.slices.get(slice_match.place.nearest.slice).filter(|slice| !slice.burned_in_annotation);
    let Some((slice, geometry)) = slice.and_then(|slice| Some((slice, slice.geometry?))) else { return Ok(None) };
    let mut tile = Tile::of_slice(slice, window_of(stack)?)?;
    let marker = |position_mm: [f64; 3], label: String, colour| {
        let at = geometry.project(position_mm);
        Marker { column: at.column, row: at.row, label, colour }
    };
    for target in targets {
        if let Some(point) = annotated.and_then(|points| points[target.index()]) {
            tile = tile.marker(marker(point.position_mm, String::new(), ANNOTATED));
        }
        if let Some(point) = found[target.index()] {
            let label = format!("{} {:.0}%", target.level.title(), 100.0 * point.reliability);
            tile = tile.marker(marker(point.position_mm, label, condition_colour(condition)));
        }
    }
    let side = match condition.side() {
        None => "canal",
        Some(Side::Left) => "left foramina",
        Some(Side::Right) => "right foramina",
    };
    Ok(Some(tile.caption(format!(
        "{side}: found, with reliability{}",
        if annotated.is_some() { "; white: annotated" } else { "" }
    ))))
}
