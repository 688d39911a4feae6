//! Several slices in one image.

mod footer;
pub(super) mod paint;
mod stack;

use lumbar_dicom::counted;
use plotters::style::RGBColor;

use self::footer::{common_window, value};
use self::paint::SliceRectangle;
pub use self::stack::stack_montage;
pub(super) use self::stack::stack_title;
use super::checklist::FigureKind;
use super::palette::{LEVEL_COLOURS, SEVERITY_COLOURS, condition_colour};
use super::sheet::{Align, Ink};
use super::text::{width_px, wrapped};
use super::{Figure, FigureError, Tile};
use crate::anatomy::{Condition, Level, Severity};

/// The layout of a [`montage()`].
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `columns` | 4 | slices in a row | ≥ 1 |
/// | `tile_px` | 240 | width and height of the square for one slice, in pixels | 32–2048 |
/// | `title` | empty | text above the slices | |
/// | `row_names` | empty | a heading above each row; rows without one have none | |
/// | `legend` | empty | what the colours of rings and lines mean | |
/// | `is_synthetic` | false | whether the slices are drawn by a program; the figure then says so | |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MontageConfig {
    /// Slices in a row.
    pub columns: usize,
    /// Width and height of the square for one slice, in pixels.
    pub tile_px: u32,
    /// Text above the slices.
    pub title: String,
    /// Headings above the rows.
    pub row_names: Vec<String>,
    /// What the colours of rings and lines mean.
    pub legend: Vec<LegendEntry>,
    /// Whether the slices are synthetic, for example the phantom's:
    /// [`Manifest::is_synthetic`](crate::data::manifest::Manifest::is_synthetic).
    pub is_synthetic: bool,
}

impl Default for MontageConfig {
    fn default() -> Self {
        Self {
            columns: 4,
            tile_px: 240,
            title: String::new(),
            row_names: Vec::new(),
            legend: Vec::new(),
            is_synthetic: false,
        }
    }
}

/// A colour and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegendEntry {
    /// What it means.
    pub name: String,
    /// The colour.
    pub colour: RGBColor,
}

impl LegendEntry {
    /// An entry.
    pub fn new(name: impl Into<String>, colour: RGBColor) -> Self {
        Self { name: name.into(), colour }
    }

    /// The three severities in [`SEVERITY_COLOURS`].
    #[must_use]
    pub fn severities() -> Vec<Self> {
        Severity::ALL.map(|severity| Self::new(severity.title(), SEVERITY_COLOURS[severity.index()])).into()
    }

    /// The five levels in [`LEVEL_COLOURS`](super::LEVEL_COLOURS).
    #[must_use]
    pub fn levels() -> Vec<Self> {
        Level::ALL.map(|level| Self::new(level.title(), LEVEL_COLOURS[level.index()])).into()
    }

    /// The three condition groups in the colours of [`condition_colour`](super::condition_colour()).
    #[must_use]
    pub fn conditions() -> Vec<Self> {
        let of = |condition: Condition| Self::new(condition.group().name(), condition_colour(condition));
        [Condition::SpinalCanalStenosis, Condition::LeftNeuralForaminalNarrowing, Condition::LeftSubarticularStenosis]
            .map(of)
            .into()
    }
}

const GAP_PX: u32 = 6;
/// Smallest width of a figure: room for a title and for what is below the slices.
const MIN_WIDTH_PX: u32 = 200;
/// Width above which text grows, so that it can be read when the figure is shown at this width.
const READABLE_PX: u32 = 900;

/// Slices in rows. Each has true proportions, its caption below, and the letters of the patient's sides at its edges.
/// Below all of them are the display window and a scale bar. Where tiles differ in scale, each row of one scale has its
/// own bar, in its first slice, or else each slice; where they differ in window, each has its own.
///
/// # Errors
/// [`FigureError::Empty`] if there are no tiles or one has no pixels, [`FigureError::Values`] if a setting is outside
/// its range.
///
/// ```
/// use lumbar::figure::{MontageConfig, Tile, montage};
/// use ndarray::Array2;
///
/// let tile = Tile::new(Array2::zeros((8, 8)).view(), 0.0, 1.0).caption("slice 1").pixel_mm(1.0, 1.0);
/// let config = MontageConfig { columns: 2, tile_px: 128, ..MontageConfig::default() };
/// let figure = montage(&[tile.clone(), tile.clone(), tile], &config)?;
/// assert_eq!(figure.width_px(), 2 * 128 + 3 * 6);
/// assert!(figure.faults().is_empty());
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
    let columns = config.columns.min(tiles.len());
    let tiles_px = columns as u32 * (side + GAP_PX) + GAP_PX;
    let text_px = (12 * tiles_px).div_ceil(READABLE_PX).max(12);
    let line_px = text_px * 5 / 4 + 1;
    let note = Ink { size: text_px, ..Ink::NOTE };
    let captions = captions(tiles, side, text_px);

    let mut y = if config.title.is_empty() { 0 } else { 34 };
    let legend_y = y + 12;
    if !config.legend.is_empty() {
        y += 26;
    }
    let mut rectangles = Vec::with_capacity(tiles.len());
    let mut headings = Vec::new();
    for (row, of_row) in tiles.chunks(columns).enumerate() {
        if let Some(name) = config.row_names.get(row).filter(|name| !name.is_empty()) {
            headings.push((name.as_str(), y + GAP_PX + line_px / 2));
            y += line_px + 4;
        }
        y += GAP_PX;
        for (tile, column) in of_row.iter().zip(0_u32..) {
            rectangles.push(SliceRectangle::fit(tile, GAP_PX + column * (side + GAP_PX), y, side));
        }
        let lines = captions[row * columns..][..of_row.len()].iter().map(Vec::len).max().unwrap_or(0);
        y += side + lines as u32 * line_px + 4;
    }
    let items = footer::items(tiles, &rectangles, columns, config.is_synthetic);
    let legend_px = legend_width(&config.legend);
    let width = f64::from(tiles_px.max(MIN_WIDTH_PX)).max(footer::widest_px(&items, note) + 14.0).max(legend_px);
    let places = footer::flow(&items, width - 12.0, note);
    let lines = places.last().map_or(0, |(_, line)| line + 1);
    let footer_y = y + line_px / 2 + 6;
    let height = y + lines * (line_px + 4) + 10;
    let what = if config.title.is_empty() { "slices" } else { &config.title };
    let synthetic = if config.is_synthetic { ", synthetic" } else { "" };
    let images = counted(tiles.len(), "image");
    let alt = format!("{what}: {images}{synthetic}{}", described(tiles));
    let size = (width.ceil() as i32, height as i32);
    Figure::of_sheet(alt, &config.title, size, FigureKind::Images, |sheet| {
        if !config.legend.is_empty() {
            let entries: Vec<_> = config.legend.iter().map(|entry| (entry.name.as_str(), entry.colour)).collect();
            sheet.legend("", &entries, (14, legend_y as i32));
        }
        for (name, y) in headings {
            let ink = Ink { size: text_px + 1, ..Ink::HEAD };
            sheet.text(name, (f64::from(GAP_PX), f64::from(y)), Align::Left, ink);
        }
        let bars = footer::own_bars(tiles, &rectangles, columns);
        for (((tile, rectangle), caption), bar) in tiles.iter().zip(&rectangles).zip(&captions).zip(bars) {
            let size = (rectangle.width, rectangle.height);
            sheet.image((rectangle.x, rectangle.y), size, rectangle.paint(tile));
            rectangle.annotate(tile, sheet, text_px);
            if let Some(px_per_mm) = bar {
                rectangle.scale_bar(px_per_mm, sheet, text_px);
            }
            let (x, y, side) = rectangle.square;
            for (number, (line, ink)) in caption.iter().enumerate() {
                let down = side + 4 + line_px / 2 + number as u32 * line_px;
                let at = (f64::from(x) + f64::from(side) / 2.0, f64::from(y + down));
                sheet.text(&**line, at, Align::Centre, *ink);
            }
        }
        let corner = (f64::from(GAP_PX), f64::from(footer_y));
        footer::draw(&items, &places, sheet, corner, f64::from(line_px + 4), note);
    })
}

/// The lines of each tile's caption. Where display windows differ, the last line is the tile's own.
fn captions(tiles: &[Tile], side: u32, text_px: u32) -> Vec<Vec<(String, Ink)>> {
    let (body, note) = (Ink { size: text_px, ..Ink::BODY }, Ink { size: text_px, ..Ink::NOTE });
    let is_shared = common_window(tiles).is_some();
    let of = |tile: &Tile| {
        let caption = wrapped(&tile.caption, f64::from(side), body).into_iter().map(|line| (line, body));
        let (black, white) = tile.window;
        let window = format!("{} {} to {}", tile.quantity, value(black), value(white));
        let own = if is_shared { Vec::new() } else { wrapped(&window, f64::from(side), note) };
        caption.chain(own.into_iter().map(|line| (line, note))).collect()
    };
    tiles.iter().map(of).collect()
}

fn legend_width(legend: &[LegendEntry]) -> f64 {
    let entries = legend.iter().map(|entry| 34.0 + width_px(&entry.name, Ink::BODY).ceil());
    if legend.is_empty() { 0.0 } else { 20.0 + entries.sum::<f64>() }
}

/// The captions and labels of the tiles, for readers who do not see them.
fn described(tiles: &[Tile]) -> String {
    let of = |tile: &Tile| {
        let labels = tile.markers.iter().map(|marker| marker.label.as_str());
        [tile.caption.as_str()].into_iter().chain(labels).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ")
    };
    let texts: Vec<String> = tiles.iter().map(of).filter(|text| !text.is_empty()).collect();
    if texts.is_empty() { String::new() } else { format!(" ({})", texts.join("; ")) }
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
        MontageConfig { columns: 1, tile_px, ..MontageConfig::default() }
    }

    #[test]
    fn pixels_that_are_not_square_keep_their_proportions() {
        let white = Array2::from_elem((10, 40), 1.0);
        let tile = Tile::new(white.view(), 0.0, 2.0).pixel_mm(4.0, 0.5);
        let rectangle = SliceRectangle::fit(&tile, 0, 0, 100);
        assert_eq!((rectangle.width, rectangle.height), (50, 100));
    }

    #[test]
    fn a_ring_is_drawn_around_its_pixel_and_leaves_it_free() {
        let marker = Marker { column: 3.0, row: 1.0, label: String::new(), colour: RGBColor(255, 0, 0) };
        let tile = Tile::new(Array2::zeros((4, 4)).view(), 0.0, 1.0).marker(marker);
        let image = decode(&montage(&[tile], &config(80)).unwrap());
        // twice the resolution; a ring with a radius of 5 around (6 + 70, 6 + 30)
        let at = |x: u32, y: u32| image.get_pixel(2 * x, 2 * y).0;
        assert_eq!((at(6 + 75, 6 + 30), at(6 + 65, 6 + 30)), ([255, 0, 0], [255, 0, 0]));
        assert_eq!((at(6 + 70, 6 + 30), at(6 + 30, 6 + 70)), ([0, 0, 0], [0, 0, 0]), "the lesion is uncovered");
    }

    #[test]
    fn weights_sum_to_one_when_enlarging_and_when_reducing() {
        for (source, target) in [(3, 17), (17, 3), (5, 5), (1, 9)] {
            for span in paint::Spans::new(source, target).0 {
                let sum: f32 = span.iter().map(|(_, weight)| weight).sum();
                assert!((sum - 1.0).abs() < 1e-5 && span.iter().all(|(index, _)| *index < source));
            }
        }
    }

    #[test]
    fn pixels_are_unchanged_at_the_same_size() {
        let values = Array2::from_shape_fn((64, 64), |(row, column)| (row * 3 + column) as f32);
        let image = decode(&montage(&[Tile::new(values.view(), 0.0, 255.0)], &config(64)).unwrap());
        assert!(image.get_pixel(2 * (6 + 10), 2 * (6 + 20)).0.iter().all(|grey| grey.abs_diff(70) <= 2));
    }

    #[test]
    fn captions_and_titles_are_never_cut() {
        let long = "Left Neural Foraminal Narrowing, L4/L5: Normal/Mild, labelled by one reader";
        let tile = Tile::new(Array2::zeros((4, 4)).view(), 0.0, 1.0).pixel_mm(1.0, 1.0).caption(long);
        let title = "a title that is longer than two tiles are wide".to_owned();
        let row_names = vec!["first row".to_owned(), "second row".to_owned()];
        let legend = LegendEntry::levels();
        let config = MontageConfig { columns: 2, tile_px: 110, title, row_names, legend, is_synthetic: true };
        let figure = montage(&vec![tile; 3], &config).unwrap();
        assert_eq!(figure.faults(), [""; 0]);
        assert!(figure.alt().contains("synthetic") && figure.alt().contains(long), "{}", figure.alt());
    }

    #[test]
    fn tiles_with_one_scale_share_a_bar_and_others_have_their_own() {
        let tile = |mm: f64| Tile::new(Array2::zeros((40, 40)).view(), 0.0, 1.0).pixel_mm(mm, mm);
        let bars = |tiles: &[Tile]| {
            let of = |tile: &Tile| SliceRectangle::fit(tile, 0, 0, 120);
            let rectangles: Vec<_> = tiles.iter().map(of).collect();
            footer::items(tiles, &rectangles, 1, false)
        };
        let shared = bars(&[tile(1.0), tile(1.0)]);
        assert_eq!(shared[0], footer::Item::Scale { length_px: 30.0, text: "10 mm".to_owned() });
        assert!(!bars(&[tile(1.0), tile(0.5)]).iter().any(|item| matches!(item, footer::Item::Scale { .. })));
        let figure = montage(&[tile(1.0), tile(0.5)], &config(120)).unwrap();
        assert_eq!(figure.faults(), [""; 0]);
        // two rows, each of one scale
        let rows = [tile(1.0), tile(1.0), tile(0.5), tile(0.5)];
        let rectangles: Vec<_> = rows.iter().map(|tile| SliceRectangle::fit(tile, 0, 0, 120)).collect();
        let own = |columns| footer::own_bars(&rows, &rectangles, columns).into_iter().map(|bar| bar.is_some());
        assert!(own(2).eq([true, false, true, false]) && own(3).eq([true; 4]));
        let notes = |columns| footer::items(&rows, &rectangles, columns, false).len();
        assert_eq!((notes(2), notes(3)), (2, 1), "the rows' bars are explained");
        let unknown = Tile::new(Array2::zeros((4, 4)).view(), 0.0, 1.0);
        assert_eq!(bars(&[unknown])[0], footer::Item::Note("no scale: size in mm not known".to_owned()));
    }

    #[test]
    fn a_wide_montage_has_larger_text() {
        let tile = Tile::new(Array2::zeros((4, 4)).view(), 0.0, 1.0).pixel_mm(1.0, 1.0).caption("slice 1");
        let config = MontageConfig { columns: 6, tile_px: 300, ..MontageConfig::default() };
        assert_eq!(montage(&vec![tile; 6], &config).unwrap().faults(), [""; 0]);
    }

    #[test]
    fn nothing_to_draw_is_an_error() {
        assert!(matches!(montage(&[], &config(64)), Err(FigureError::Empty { .. })));
        let empty = Tile::new(Array2::zeros((0, 4)).view(), 0.0, 1.0);
        assert!(matches!(montage(&[empty], &config(64)), Err(FigureError::Empty { .. })));
    }
}
