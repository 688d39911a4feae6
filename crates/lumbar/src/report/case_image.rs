//! The image of a badly predicted cell.

use lumbar_dicom::Plane;

use crate::anatomy::Target;
use crate::data::SeriesKind;
use crate::data::study::Study;
use crate::explain::CellCam;
use crate::figure::{Figure, FigureError, Marker, MontageConfig, Tile, condition_colour, montage, window_of};

/// Which slices a [`CellCam`] shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CamView {
    /// Their plane. The orientation is that of [crops](crate::data::crop).
    pub plane: Plane,
    /// Height and width in the patient, if they are the same for every study.
    pub size_mm: Option<(f64, f64)>,
}

/// The slice that shows a position best, with an open ring around it.
///
/// `None` if no series of the target's kind has a position in the patient, or if the slice's file says that its pixels
/// may show a name ([`Slice::burned_in_annotation`](lumbar_dicom::Slice::burned_in_annotation)).
///
/// # Errors
/// When the slice cannot be decoded.
pub fn slice_tile(study: &Study, target: Target, position_mm: [f64; 3]) -> Result<Option<Tile>, FigureError> {
    let kind = SeriesKind::annotated_for(target.condition);
    let Some(slice_match) = study.find(position_mm, kind, None) else { return Ok(None) };
    let stack = study.series(slice_match.series).and_then(|series| series.data.stacks.get(slice_match.place.stack));
    let Some(stack) = stack else { return Ok(None) };
    let nearest = slice_match.place.nearest;
    let slice = stack.slices.get(nearest.slice).filter(|slice| !slice.burned_in_annotation);
    let Some(slice) = slice else { return Ok(None) };
    let (column, row) = (nearest.projection.column, nearest.projection.row);
    let colour = condition_colour(target.condition);
    let marker = Marker { column, row, label: target.level.title().to_owned(), colour };
    let number = slice.instance_number.map_or_else(String::new, |number| format!(", slice {number}"));
    let tile = Tile::of_slice(slice, window_of(stack)?)?;
    Ok(Some(tile.caption(format!("{}{number}", kind.title())).marker(marker)))
}

/// What the network saw of a cell: the slice with the greatest weight, without and with the map. With `view` the tiles
/// have side letters and a scale.
#[must_use]
pub fn cam_tiles(cam: &CellCam, view: Option<CamView>) -> Vec<Tile> {
    let place = cam.strongest();
    let Some((slice, map)) = cam.slice(place) else { return Vec::new() };
    let finite = slice.iter().copied().filter(|value| value.is_finite());
    let (black, white) = finite.fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(value), high.max(value)));
    let mut tile = Tile::new(slice.view(), black, white);
    if let Some(CamView { plane, size_mm }) = view {
        tile = tile.crop_sides(plane, cam.is_mirrored);
        if let Some((height_mm, width_mm)) = size_mm {
            let (rows, columns) = slice.dim();
            tile = tile.pixel_mm(height_mm / rows as f64, width_mm / columns as f64);
        }
    }
    let mirrored = if cam.is_mirrored { ", mirrored" } else { "" };
    let seen = match cam.weights.len() {
        1 => format!("what the network saw{mirrored}"),
        count => format!("what the network saw{mirrored}: slice {} of {count}", place + 1),
    };
    // the features may lower the severity's logit everywhere
    let heat = if map.iter().any(|value| *value > 0.0) { "Grad-CAM" } else { "Grad-CAM: zero everywhere" };
    vec![tile.clone().caption(seen), tile.heat(map.view()).caption(heat)]
}

/// Slice, crop and map side by side. `is_synthetic` says whether a program drew the slices.
///
/// # Errors
/// When `tiles` is empty.
pub fn case_image(target: Target, tiles: &[Tile], is_synthetic: bool) -> Result<Figure, FigureError> {
    let title = target.to_string();
    montage(tiles, &MontageConfig { columns: 3, tile_px: 250, title, is_synthetic, ..MontageConfig::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    #[test]
    fn the_slice_with_the_greatest_weight_is_shown_and_called_mirrored_if_it_is() {
        let slices = Array3::from_shape_fn((3, 8, 8), |(_, row, column)| (row + column) as f32);
        for (is_mirrored, caption) in
            [(true, "what the network saw, mirrored: slice 2 of 3"), (false, "what the network saw: slice 2 of 3")]
        {
            let weights = vec![0.2, 0.7, 0.1];
            let cam = CellCam { slices: slices.clone(), maps: &slices / 14.0, weights, is_mirrored };
            let view = CamView { plane: Plane::Axial, size_mm: Some((40.0, 40.0)) };
            let tiles = cam_tiles(&cam, Some(view));
            assert_eq!(tiles.len(), 2);
            assert!(format!("{:?}", tiles[0]).contains(&format!("{caption:?}")));
            let figure = case_image(Target::ALL[0], &tiles, true).unwrap();
            assert_eq!((figure.width_px(), figure.faults()), (2 * 250 + 3 * 6, &[][..]));
        }
    }
}
