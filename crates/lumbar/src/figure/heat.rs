//! A heat map over a slice.

use ndarray::{Array2, ArrayView2};
use plotters::style::RGBColor;

/// Colours of the bands from weak to strong: the upper half of plasma (matplotlib; van der Walt and Smith). Its
/// lightness rises evenly, so that the order is visible without colours.
pub(super) const BANDS: [RGBColor; 5] = [
    RGBColor(126, 3, 168),
    RGBColor(186, 51, 136),
    RGBColor(225, 100, 98),
    RGBColor(249, 151, 63),
    RGBColor(247, 226, 37),
];

/// Smaller values are not drawn.
pub(super) const MIN_STRENGTH: f32 = 0.2;

/// Number of grey values under the bands, minus one. Few, so that slice, bands and text together have at most 256
/// colours and the PNG is small.
const GREYS: f32 = 31.0;

/// Values from 0 to 1 that are drawn over a slice, in bands of equal width.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Heat {
    values: Array2<f32>,
}

impl Heat {
    pub(super) fn new(values: ArrayView2<'_, f32>) -> Self {
        Self { values: values.mapv(|value| if value.is_finite() { value.clamp(0.0, 1.0) } else { 0.0 }) }
    }

    /// The colour of a pixel with this grey value, 0–255. `across` and `down` are its position as shares of the slice's
    /// width and height.
    pub(super) fn over(&self, grey: f32, across: f64, down: f64) -> [u8; 3] {
        let strength = self.at(across, down);
        let grey = (grey / 255.0 * GREYS).round() / GREYS * 255.0;
        let Some(band) = band(strength) else { return [grey as u8; 3] };
        let RGBColor(red, green, blue) = BANDS[band];
        // stronger bands are less transparent; the slice is visible through all of them
        let cover = 0.22 + 0.05 * band as f32;
        [red, green, blue].map(|colour| (grey * (1.0 - cover) + f32::from(colour) * cover).round() as u8)
    }

    /// The bilinearly interpolated value.
    fn at(&self, across: f64, down: f64) -> f32 {
        let (rows, columns) = self.values.dim();
        if rows == 0 || columns == 0 {
            return 0.0;
        }
        let position = |share: f64, count: usize| {
            let at = (share * count as f64 - 0.5).clamp(0.0, (count - 1) as f64);
            let first = at.floor() as usize;
            (first, (first + 1).min(count - 1), (at - first as f64) as f32)
        };
        let (top, bottom, below) = position(down, rows);
        let (left, right, beyond) = position(across, columns);
        let line = |row: usize| self.values[[row, left]] * (1.0 - beyond) + self.values[[row, right]] * beyond;
        line(top) * (1.0 - below) + line(bottom) * below
    }
}

/// The band of a strength; `None` if it is too weak to be drawn.
fn band(strength: f32) -> Option<usize> {
    if strength < MIN_STRENGTH {
        return None;
    }
    let count = BANDS.len();
    Some((((strength - MIN_STRENGTH) / (1.0 - MIN_STRENGTH) * count as f32) as usize).min(count - 1))
}

#[cfg(test)]
mod tests {
    use super::super::{MontageConfig, Tile, montage};
    use super::*;

    #[test]
    fn bands_rise_with_the_strength_and_weak_values_stay_grey() {
        assert_eq!([0.0, 0.19, 0.2, 0.5, 0.99, 1.0].map(band), [None, None, Some(0), Some(1), Some(4), Some(4)]);
        let light = |RGBColor(red, green, blue): RGBColor| u32::from(red) * 3 + u32::from(green) * 6 + u32::from(blue);
        assert!(BANDS.is_sorted_by_key(|colour| light(*colour)));
    }

    #[test]
    fn a_map_of_any_size_covers_the_whole_slice() {
        let map = Array2::from_shape_vec((1, 2), vec![0.0, 1.0]).unwrap();
        let heat = Heat::new(map.view());
        assert_eq!((heat.at(0.1, 0.5), heat.at(0.9, 0.5)), (0.0, 1.0));
        assert!((heat.at(0.5, 0.5) - 0.5).abs() < 1e-6);
        let nothing = Heat::new(Array2::from_elem((2, 2), f32::NAN).view());
        assert_eq!(nothing.over(255.0, 0.5, 0.5), [255; 3]);
    }

    #[test]
    fn the_hot_side_of_a_slice_is_coloured_and_the_cold_one_is_not() {
        let map = Array2::from_shape_fn((8, 8), |(_, column)| if column < 4 { 0.0 } else { 1.0 });
        let slice = Array2::from_elem((32, 32), 0.5_f32);
        let tile = Tile::new(slice.view(), 0.0, 1.0).heat(map.view());
        let config = MontageConfig { columns: 1, tile_px: 64, ..MontageConfig::default() };
        let figure = montage(&[tile], &config).unwrap();
        let image = image::load_from_memory(figure.png()).unwrap().to_rgb8();
        let [red, green, blue] = image.get_pixel(2 * (6 + 8), 2 * (6 + 32)).0;
        assert!(red == green && green == blue);
        let [red, _, blue] = image.get_pixel(2 * (6 + 56), 2 * (6 + 32)).0;
        assert!(red > blue + 40);
    }
}
