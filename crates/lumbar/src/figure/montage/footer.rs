//! What explains a montage, below its slices: scale bar, display window, heat map, origin.

use plotters::style::{BLACK, RGBColor};

use super::super::Tile;
use super::super::heat::{BANDS, MIN_STRENGTH};
use super::super::palette::FRAME;
use super::super::sheet::{Align, Ink, Sheet};
use super::super::text::width_px;
use super::paint::{SliceRectangle, bar_mm};

/// Width and height of a colour bar.
const BAR_PX: (f64, f64) = (64.0, 10.0);
const GAP_PX: f64 = 26.0;

/// One explanation.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    /// A scale bar: its length on the page and its text.
    Scale { length_px: f64, text: String },
    /// A bar of the grey values between two texts.
    Greys { black: String, white: String },
    /// The bands of a heat map.
    Heat,
    /// Text.
    Note(String),
    /// Text that must not be overlooked.
    Mark(String),
}

impl Item {
    fn width_px(&self, ink: Ink) -> f64 {
        let wide = |text: &str| width_px(text, ink);
        match self {
            Self::Scale { length_px, text } => length_px + 8.0 + wide(text),
            Self::Greys { black, white } => wide(black) + BAR_PX.0 + wide(white) + 12.0,
            Self::Heat => wide(HEAT.0) + BAR_PX.0 + wide(HEAT.1) + 12.0,
            Self::Note(text) => wide(text),
            Self::Mark(text) => width_px(text, Ink { bold: true, ..ink }),
        }
    }

    fn draw(&self, sheet: &mut Sheet, (x, y): (f64, f64), ink: Ink) {
        match self {
            Self::Scale { length_px, text } => {
                let end = x + length_px;
                sheet.path(&[(x, y), (end, y)], BLACK, 2.5);
                for tick in [x, end] {
                    sheet.path(&[(tick, y - 4.0), (tick, y + 4.0)], BLACK, 1.5);
                }
                sheet.text(&**text, (end + 8.0, y), Align::Left, ink);
                sheet.scale_bars.push(text.clone());
            }
            Self::Greys { black, white } => {
                let grey = |step: u8| RGBColor(step * 17, step * 17, step * 17);
                let greys: Vec<RGBColor> = (0..16).map(grey).collect();
                colour_bar(sheet, (x, y), black, &greys, white, ink);
            }
            Self::Heat => colour_bar(sheet, (x, y), HEAT.0, &BANDS, HEAT.1, ink),
            Self::Note(text) => sheet.text(&**text, (x, y), Align::Left, ink),
            Self::Mark(text) => sheet.text(&**text, (x, y), Align::Left, Ink { bold: true, colour: BLACK, ..ink }),
        }
    }
}

/// Texts before and after the bands of a heat map.
const HEAT: (&str, &str) = ("heat map 0.2", "1 (share of its maximum)");
const _: () = assert!(MIN_STRENGTH == 0.2);

fn colour_bar(sheet: &mut Sheet, (x, y): (f64, f64), before: &str, colours: &[RGBColor], after: &str, ink: Ink) {
    sheet.text(before, (x, y), Align::Left, ink);
    let left = x + width_px(before, ink) + 6.0;
    let step = BAR_PX.0 / colours.len() as f64;
    let (top, bottom) = (y - BAR_PX.1 / 2.0, y + BAR_PX.1 / 2.0);
    sheet.fill((left - 1.0, top - 1.0), (left + BAR_PX.0 + 1.0, bottom + 1.0), FRAME);
    for (number, colour) in colours.iter().enumerate() {
        let from = left + step * number as f64;
        sheet.fill((from, top), (from + step, bottom), *colour);
    }
    sheet.text(after, (left + BAR_PX.0 + 6.0, y), Align::Left, ink);
}

/// Numbers as short as they stay clear.
pub(super) fn value(value: f32) -> String {
    if value.abs() >= 10.0 || value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// The display window of all tiles. `None` if they differ.
pub(super) fn common_window(tiles: &[Tile]) -> Option<(f32, f32)> {
    let window = tiles.first()?.window;
    tiles.iter().all(|tile| tile.window == window).then_some(window)
}

/// Pixels per mm of all tiles. `None` if they differ by more than a hundredth or one is not known.
pub(super) fn common_scale(tiles: &[Tile], rectangles: &[SliceRectangle]) -> Option<f64> {
    let scales: Option<Vec<f64>> = tiles.iter().zip(rectangles).map(|(tile, of)| of.px_per_mm(tile)).collect();
    let scales = scales?;
    let first = *scales.first()?;
    scales.iter().all(|scale| (scale / first - 1.0).abs() < 0.01).then_some(first)
}

/// Pixels per mm of the scale bar that each slice has of its own: none if all slices have one scale; the first of a row
/// if those of each row have; else each slice whose size is known.
pub(super) fn own_bars(tiles: &[Tile], rectangles: &[SliceRectangle], columns: usize) -> Vec<Option<f64>> {
    let shared = common_scale(tiles, rectangles).is_some();
    let by_row = !shared && rows_have_scales(tiles, rectangles, columns);
    let of = |(number, (tile, rectangle)): (usize, (&Tile, &SliceRectangle))| {
        let has_bar = !shared && (!by_row || number % columns == 0);
        rectangle.px_per_mm(tile).filter(|_| has_bar)
    };
    tiles.iter().zip(rectangles).enumerate().map(of).collect()
}

/// Whether the slices of each row have one scale, and there is more than one in a row.
fn rows_have_scales(tiles: &[Tile], rectangles: &[SliceRectangle], columns: usize) -> bool {
    let mut rows = tiles.chunks(columns).zip(rectangles.chunks(columns));
    columns > 1 && rows.all(|(tiles, rectangles)| common_scale(tiles, rectangles).is_some())
}

/// What has to be explained; `columns` is the number of slices in a row.
pub(super) fn items(tiles: &[Tile], rectangles: &[SliceRectangle], columns: usize, is_synthetic: bool) -> Vec<Item> {
    let mut items = Vec::new();
    if let Some(px_per_mm) = common_scale(tiles, rectangles) {
        let room = rectangles.iter().map(|rectangle| rectangle.width).max().unwrap_or(0);
        let length_mm = bar_mm(px_per_mm, f64::from(room));
        items.push(Item::Scale { length_px: length_mm * px_per_mm, text: format!("{length_mm} mm") });
    } else if tiles.iter().all(|tile| tile.spacing_mm.is_none()) {
        items.push(Item::Note("no scale: size in mm not known".to_owned()));
    } else if rows_have_scales(tiles, rectangles, columns) {
        items.push(Item::Note("one scale in each row".to_owned()));
    }
    if let Some((black, white)) = common_window(tiles) {
        let quantity = tiles.first().map_or("value", |tile| tile.quantity);
        items.push(Item::Greys { black: format!("{quantity} {}", value(black)), white: value(white) });
    }
    if tiles.iter().any(|tile| tile.heat.is_some()) {
        items.push(Item::Heat);
    }
    if is_synthetic {
        items.push(Item::Mark("synthetic (phantom)".to_owned()));
    }
    items
}

/// Where each item begins, (x, line), in lines of `width_px`.
pub(super) fn flow(items: &[Item], width_px: f64, ink: Ink) -> Vec<(f64, u32)> {
    let (mut x, mut line) = (0.0, 0);
    let place = |item: &Item| {
        let width = item.width_px(ink);
        if x > 0.0 && x + width > width_px {
            (x, line) = (0.0, line + 1);
        }
        let at = (x, line);
        x += width + GAP_PX;
        at
    };
    items.iter().map(place).collect()
}

/// The width of the widest item.
pub(super) fn widest_px(items: &[Item], ink: Ink) -> f64 {
    items.iter().map(|item| item.width_px(ink)).fold(0.0, f64::max)
}

/// Draws the items at the places of [`flow`], with the first line at `corner`.
pub(super) fn draw(items: &[Item], places: &[(f64, u32)], sheet: &mut Sheet, corner: (f64, f64), line: f64, ink: Ink) {
    for (item, (x, number)) in items.iter().zip(places) {
        item.draw(sheet, (corner.0 + x, corner.1 + f64::from(*number) * line), ink);
        if matches!(item, Item::Note(_)) {
            // says that there cannot be a scale bar
            sheet.scale_bars.push("not known".to_owned());
        }
    }
}
