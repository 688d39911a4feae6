//! Several slices in one image.

use plotters::backend::BitMapBackend;
use plotters::drawing::IntoDrawingArea;
use plotters::element::{PathElement, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{BLACK, Color, IntoFont, RGBColor, TextStyle, WHITE};

use super::{Canvas, FONT, Figure, FigureError, Tile, fonts};

/// The layout of a [`montage()`].
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `columns` | 4 | slices in a row | ≥ 1 |
/// | `tile_px` | 240 | width and height of the square for one slice, in pixels | 32–2048 |
/// | `title` | empty | text above the slices | |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MontageConfig {
    /// Slices in a row.
    pub columns: usize,
    /// Width and height of the square for one slice, in pixels.
    pub tile_px: u32,
    /// Text above the slices.
    pub title: String,
}

impl Default for MontageConfig {
    fn default() -> Self {
        Self { columns: 4, tile_px: 240, title: String::new() }
    }
}

const GAP_PX: u32 = 6;
const CAPTION_PX: u32 = 20;
const TITLE_PX: u32 = 30;
const LABEL_COLOUR: RGBColor = RGBColor(250, 250, 250);
const LETTER_COLOUR: RGBColor = RGBColor(255, 214, 90);

/// Slices in rows. Each has true proportions, its caption below, and the letters of the patient's sides at its edges.
///
/// # Errors
/// [`FigureError::Empty`] if there are no tiles or one has no pixels, [`FigureError::Values`] if a setting is outside
/// its range.
///
/// ```
/// use lumbar::figure::{MontageConfig, Tile, montage};
/// use ndarray::Array2;
///
/// let tile = Tile::new(Array2::zeros((8, 8)).view(), 0.0, 1.0).caption("slice 1");
/// let config = MontageConfig { columns: 2, tile_px: 64, ..MontageConfig::default() };
/// let figure = montage(&[tile.clone(), tile.clone(), tile], &config)?;
/// assert_eq!(figure.width_px(), 2 * 64 + 3 * 6);
/// # Ok::<(), lumbar::figure::FigureError>(())
/// ```
pub fn montage(tiles: &[Tile], config: &MontageConfig) -> Result<Figure, FigureError> {
    let side = config.tile_px;
    if config.columns == 0 || !(32..=2048).contains(&side) {
        let reason = format!("expected columns ≥ 1 and tile_px from 32 to 2048, found {} and {side}", config.columns);
        return Err(FigureError::Values { what: "montage", reason });
    }
    if tiles.is_empty() || tiles.iter().any(|tile| tile.grey.is_empty()) {
        return Err(FigureError::Empty { what: "montage" });
    }
    let columns = config.columns.min(tiles.len()) as u32;
    let rows = tiles.len().div_ceil(columns as usize) as u32;
    let top = if config.title.is_empty() { 0 } else { TITLE_PX };
    let width = columns * (side + GAP_PX) + GAP_PX;
    let height = top + rows * (side + CAPTION_PX + GAP_PX) + GAP_PX;
    let mut rgb = vec![255_u8; width as usize * height as usize * 3];
    let rectangles: Vec<SliceRectangle> = tiles
        .iter()
        .zip(0_u32..)
        .map(|(tile, number)| {
            let corner_x = GAP_PX + number % columns * (side + GAP_PX);
            let corner_y = top + GAP_PX + number / columns * (side + CAPTION_PX + GAP_PX);
            SliceRectangle::fit(tile, corner_x, corner_y, side)
        })
        .collect();
    for (tile, rectangle) in tiles.iter().zip(&rectangles) {
        rectangle.paint(tile, &mut rgb, width);
    }
    fonts();
    {
        let area = BitMapBackend::with_buffer(&mut rgb, (width, height)).into_drawing_area();
        if !config.title.is_empty() {
            text(&area, &config.title, (GAP_PX as i32, 8), 16, BLACK, HPos::Left, VPos::Top)?;
        }
        for (tile, rectangle) in tiles.iter().zip(&rectangles) {
            rectangle.annotate(tile, &area)?;
        }
        area.present().map_err(FigureError::drawing)?;
    }
    let what = if config.title.is_empty() { "slices" } else { &config.title };
    Figure::from_rgb(format!("{what}: {} images", tiles.len()), (width, height), rgb)
}

/// The rectangle of a tile's slice in the montage, in pixels.
#[derive(Debug, Clone, Copy)]
struct SliceRectangle {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
    /// The square around it: left, top, side.
    square: (u32, u32, u32),
}

impl SliceRectangle {
    /// As large as fits into the square, and centred in it.
    fn fit(tile: &Tile, corner_x: u32, corner_y: u32, side: u32) -> Self {
        let (height_mm, width_mm) = tile.size_mm();
        let scale = f64::from(side) / height_mm.max(width_mm);
        let pixels = |length_mm: f64| ((length_mm * scale).round() as u32).clamp(1, side);
        let (width, height) = (pixels(width_mm), pixels(height_mm));
        Self {
            x: corner_x + (side - width) / 2,
            y: corner_y + (side - height) / 2,
            width,
            height,
            square: (corner_x, corner_y, side),
        }
    }

    /// Draws the slice's grey values, interpolated linearly if enlarged and averaged if reduced.
    fn paint(&self, tile: &Tile, rgb: &mut [u8], stride: u32) {
        let (rows, columns) = tile.grey.dim();
        let across = Spans::new(columns, self.width as usize);
        let down = Spans::new(rows, self.height as usize);
        for (y, vertical) in down.0.iter().enumerate() {
            for (x, horizontal) in across.0.iter().enumerate() {
                let mut sum = 0.0;
                for &(row, row_weight) in vertical {
                    for &(column, column_weight) in horizontal {
                        sum += f32::from(tile.grey[[row, column]]) * row_weight * column_weight;
                    }
                }
                let at = ((self.y as usize + y) * stride as usize + self.x as usize + x) * 3;
                if let Some(heat) = &tile.heat {
                    let share = |pixel: usize, of: u32| (pixel as f64 + 0.5) / f64::from(of);
                    let colour = heat.over(sum, share(x, self.width), share(y, self.height));
                    rgb[at..at + 3].copy_from_slice(&colour);
                    continue;
                }
                // 64 grey values: see `encode`
                let grey = (sum / 255.0 * 63.0).round() as u32 * 255 / 63;
                rgb[at..at + 3].fill(grey as u8);
            }
        }
    }

    /// The montage's pixel coordinates of a position in the slice.
    fn at(&self, tile: &Tile, column: f64, row: f64) -> (i32, i32) {
        let (rows, columns) = tile.grey.dim();
        let x = f64::from(self.x) + (column + 0.5) * f64::from(self.width) / columns as f64;
        let y = f64::from(self.y) + (row + 0.5) * f64::from(self.height) / rows as f64;
        (x.round() as i32, y.round() as i32)
    }

    fn annotate(&self, tile: &Tile, area: &Canvas<'_>) -> Result<(), FigureError> {
        for line in &tile.lines {
            let ends = [line.from, line.to].map(|[column, row]| self.at(tile, column, row));
            area.draw(&PathElement::new(ends.to_vec(), line.colour.stroke_width(1))).map_err(FigureError::drawing)?;
            let (x, y) = ends[1];
            text(area, &line.label, (x - 2, y - 2), 11, LABEL_COLOUR, HPos::Right, VPos::Bottom)?;
        }
        for marker in &tile.markers {
            let (x, y) = self.at(tile, marker.column, marker.row);
            for cross in [[(x - 5, y), (x + 5, y)], [(x, y - 5), (x, y + 5)]] {
                let stroke = marker.colour.stroke_width(2);
                area.draw(&PathElement::new(cross.to_vec(), stroke)).map_err(FigureError::drawing)?;
            }
            text(area, &marker.label, (x + 7, y), 12, LABEL_COLOUR, HPos::Left, VPos::Center)?;
        }
        if let Some(sides) = &tile.sides {
            let (x, y, w, h) = (self.x as i32, self.y as i32, self.width as i32, self.height as i32);
            let put = |letters: &str, at, h, v| text(area, letters, at, 12, LETTER_COLOUR, h, v);
            put(&sides.left, (x + 4, y + h / 2), HPos::Left, VPos::Center)?;
            put(&sides.right, (x + w - 4, y + h / 2), HPos::Right, VPos::Center)?;
            put(&sides.top, (x + w / 2, y + 3), HPos::Center, VPos::Top)?;
            put(&sides.bottom, (x + w / 2, y + h - 3), HPos::Center, VPos::Bottom)?;
        }
        let (x, y, side) = self.square;
        let room = (side / 7) as usize;
        let mut caption: String = tile.caption.chars().take(room).collect();
        if tile.caption.chars().count() > room {
            caption.pop();
            caption.push('…');
        }
        text(area, &caption, ((x + side / 2) as i32, (y + side + 3) as i32), 12, BLACK, HPos::Center, VPos::Top)
    }
}

/// For each target pixel the source pixels that contribute to it, with weights that sum to one.
struct Spans(Vec<Vec<(usize, f32)>>);

impl Spans {
    fn new(source: usize, target: usize) -> Self {
        let step = source as f64 / target as f64;
        Self(
            (0..target)
                .map(|pixel| {
                    // a triangle with the width of the larger of the two pixels on each side
                    let centre = (pixel as f64 + 0.5) * step - 0.5;
                    let half_width = step.max(1.0);
                    let first = (centre - half_width).ceil().max(0.0) as usize;
                    let last = ((centre + half_width).floor().max(0.0) as usize).min(source - 1);
                    let weights: Vec<_> = (first.min(last)..=last)
                        .map(|index| (index, (1.0 - (index as f64 - centre).abs() / half_width).max(1e-6)))
                        .collect();
                    let sum: f64 = weights.iter().map(|(_, weight)| weight).sum();
                    weights.into_iter().map(|(index, weight)| (index, (weight / sum) as f32)).collect()
                })
                .collect(),
        )
    }
}

/// Text; light text has a dark rim, so that it can be read on any slice.
fn text(
    area: &Canvas<'_>,
    what: &str,
    at: (i32, i32),
    size: u32,
    colour: RGBColor,
    h: HPos,
    v: VPos,
) -> Result<(), FigureError> {
    if what.is_empty() {
        return Ok(());
    }
    let put = |at: (i32, i32), colour: &RGBColor| {
        let style = TextStyle::from((FONT, size).into_font()).color(colour).pos(Pos::new(h, v));
        area.draw(&Text::new(what.to_owned(), at, style)).map_err(FigureError::drawing)
    };
    let light = u32::from(colour.0) + u32::from(colour.1) + u32::from(colour.2) > 300;
    if light && colour != WHITE {
        for (x, y) in [(-1, 0), (1, 0), (0, -1), (0, 1)] {
            put((at.0 + x, at.1 + y), &BLACK)?;
        }
    }
    put(at, &colour)
}

#[cfg(test)]
mod tests {
    use super::super::Marker;
    use super::*;
    use ndarray::Array2;

    fn decode(figure: &Figure) -> image::RgbImage {
        image::load_from_memory(figure.png()).unwrap().to_rgb8()
    }

    fn config(tile_px: u32) -> MontageConfig {
        MontageConfig { columns: 1, tile_px, title: String::new() }
    }

    #[test]
    fn pixels_that_are_not_square_keep_their_proportions() {
        let white = Array2::from_elem((10, 40), 1.0);
        let tile = Tile::new(white.view(), 0.0, 2.0).pixel_mm(4.0, 0.5);
        let rectangle = SliceRectangle::fit(&tile, 0, 0, 100);
        assert_eq!((rectangle.width, rectangle.height), (50, 100));
    }

    #[test]
    fn a_marker_is_drawn_at_its_pixel() {
        let marker = Marker { column: 3.0, row: 1.0, label: String::new(), colour: RGBColor(255, 0, 0) };
        let tile = Tile::new(Array2::zeros((4, 4)).view(), 0.0, 1.0).marker(marker);
        let image = decode(&montage(&[tile], &config(80)).unwrap());
        assert_eq!(image.get_pixel(6 + 70, 6 + 30).0, [255, 0, 0]);
        assert_eq!(image.get_pixel(6 + 30, 6 + 70).0, [0, 0, 0]);
    }

    #[test]
    fn weights_sum_to_one_when_enlarging_and_when_reducing() {
        for (source, target) in [(3, 17), (17, 3), (5, 5), (1, 9)] {
            for span in Spans::new(source, target).0 {
                let sum: f32 = span.iter().map(|(_, weight)| weight).sum();
                assert!((sum - 1.0).abs() < 1e-5 && span.iter().all(|(index, _)| *index < source));
            }
        }
    }

    #[test]
    fn pixels_are_unchanged_at_the_same_size() {
        let values = Array2::from_shape_fn((64, 64), |(row, column)| (row * 3 + column) as f32);
        let image = decode(&montage(&[Tile::new(values.view(), 0.0, 255.0)], &config(64)).unwrap());
        assert!(image.get_pixel(6 + 10, 6 + 20).0.iter().all(|grey| grey.abs_diff(70) <= 2));
    }

    #[test]
    fn nothing_to_draw_is_an_error() {
        assert!(matches!(montage(&[], &config(64)), Err(FigureError::Empty { .. })));
        let empty = Tile::new(Array2::zeros((0, 4)).view(), 0.0, 1.0);
        assert!(matches!(montage(&[empty], &config(64)), Err(FigureError::Empty { .. })));
    }
}
