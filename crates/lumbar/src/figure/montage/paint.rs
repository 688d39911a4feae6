//! The rectangle of a slice in a montage, its pixels, and everything that is drawn on them.

use plotters::style::RGBColor;

use super::super::Tile;
use super::super::sheet::{Align, Ink, Sheet};
use super::super::text::width_px;

const LABEL_COLOUR: RGBColor = RGBColor(250, 250, 250);
const LETTER_COLOUR: RGBColor = RGBColor(255, 214, 90);

/// The rectangle of a tile's slice in the montage, in pixels of the page.
#[derive(Debug, Clone, Copy)]
pub(super) struct SliceRectangle {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Left and top of the square around it, and its side.
    pub(super) square: (u32, u32, u32),
}

impl SliceRectangle {
    /// As large as fits into the square, and centred in it.
    pub(super) fn fit(tile: &Tile, corner_x: u32, corner_y: u32, side: u32) -> Self {
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

    /// Pixels of the page for each mm. `None` if the tile's size in mm is not known.
    pub(super) fn px_per_mm(&self, tile: &Tile) -> Option<f64> {
        tile.spacing_mm.map(|_| f64::from(self.square.2) / tile.size_mm().0.max(tile.size_mm().1))
    }

    /// The slice's grey values as red, green and blue bytes, interpolated linearly if enlarged and averaged if reduced.
    pub(super) fn paint(&self, tile: &Tile) -> Vec<u8> {
        let (rows, columns) = tile.grey.dim();
        let across = Spans::new(columns, self.width as usize);
        let down = Spans::new(rows, self.height as usize);
        let mut rgb = Vec::with_capacity(self.width as usize * self.height as usize * 3);
        for (y, vertical) in down.0.iter().enumerate() {
            for (x, horizontal) in across.0.iter().enumerate() {
                let mut sum = 0.0;
                for &(row, row_weight) in vertical {
                    for &(column, column_weight) in horizontal {
                        sum += f32::from(tile.grey[[row, column]]) * row_weight * column_weight;
                    }
                }
                if let Some(heat) = &tile.heat {
                    let share = |pixel: usize, of: u32| (pixel as f64 + 0.5) / f64::from(of);
                    rgb.extend(heat.over(sum, share(x, self.width), share(y, self.height)));
                } else {
                    // 64 grey values: see `encode`
                    rgb.extend([((sum / 255.0 * 63.0).round() as u32 * 255 / 63) as u8; 3]);
                }
            }
        }
        rgb
    }

    /// The montage's coordinates of a position in the slice.
    fn at(&self, tile: &Tile, column: f64, row: f64) -> (f64, f64) {
        let (rows, columns) = tile.grey.dim();
        let x = f64::from(self.x) + (column + 0.5) * f64::from(self.width) / columns as f64;
        let y = f64::from(self.y) + (row + 0.5) * f64::from(self.height) / rows as f64;
        (x, y)
    }

    /// Lines, rings and side letters; `text_px` is the size of text.
    pub(super) fn annotate(&self, tile: &Tile, sheet: &mut Sheet, text_px: u32) {
        let label = Ink { size: text_px, colour: LABEL_COLOUR, bold: false };
        let (left, top) = (f64::from(self.x), f64::from(self.y));
        let (right, bottom) = (left + f64::from(self.width), top + f64::from(self.height));
        let half = f64::from(text_px) * 0.7;
        let radius = (f64::from(self.square.2) / 30.0).clamp(5.0, 9.0);
        let middle = ((left + right) / 2.0, (top + bottom) / 2.0);
        // rings and side letters, then the labels that are set: the next label is beside them if there is room
        let around = |(x, y): (f64, f64), away: f64| [x - away, y - away, x + away, y + away];
        let rings = tile.markers.iter().map(|marker| around(self.at(tile, marker.column, marker.row), radius));
        let mut taken: Vec<[f64; 4]> = rings.collect();
        if tile.sides.is_some() {
            let (x, y) = middle;
            let letters = [(left + half, y), (right - half, y), (x, top + half), (x, bottom - half)];
            taken.extend(letters.map(|at| around(at, half)));
        }
        for line in &tile.lines {
            let ends = [line.from, line.to].map(|[column, row]| self.at(tile, column, row));
            sheet.path(&ends, RGBColor(0, 0, 0), 3.0);
            sheet.path(&ends, line.colour, 1.5);
            if line.label.is_empty() {
                continue;
            }
            let width = width_px(&line.label, label);
            let places = [ends[1], ends[0]].map(|end| {
                let x = (end.0 - 4.0).min(right - 16.0).max(left + width + 2.0);
                let y = (end.1 - half).clamp(top + half, bottom - half);
                [x - width, y - half, x, y + half]
            });
            let [_, y, x, _] = free_of(&places, &mut taken);
            sheet.label(&*line.label, (x, y + half), Align::Right, label.colour(line.colour));
        }
        for marker in &tile.markers {
            let (x, y) = self.at(tile, marker.column, marker.row);
            sheet.ring((x, y), radius, marker.colour);
            if marker.label.is_empty() {
                continue;
            }
            // on the left where there is no room on the right, and below or above where there is none on both sides
            let (away, width) = (radius + 5.0, width_px(&marker.label, label));
            let to_right = [x + away, y - half, x + away + width, y + half];
            let to_left = [x - away - width, y - half, x - away, y + half];
            let places = match (to_right[2] <= right, to_left[0] >= left) {
                (true, true) => vec![to_right, to_left],
                (true, false) => vec![to_right],
                (false, true) => vec![to_left],
                (false, false) => {
                    let start = (x - width / 2.0).min(right - width - 2.0).max(left + 2.0);
                    let at = |y: f64| [start, y - half, start + width, y + half];
                    vec![at(y + away + half), at(y - away - half)]
                }
            };
            let [start, upper, _, lower] = free_of(&places, &mut taken);
            let at = (start, (upper + lower) / 2.0);
            sheet.label(&*marker.label, at, Align::Left, label.colour(marker.colour));
        }
        if let Some(sides) = &tile.sides {
            let ink = Ink { size: text_px, colour: LETTER_COLOUR, bold: true };
            sheet.label(&*sides.left, (left + 4.0, middle.1), Align::Left, ink);
            sheet.label(&*sides.right, (right - 4.0, middle.1), Align::Right, ink);
            sheet.label(&*sides.top, (middle.0, top + half + 1.0), Align::Centre, ink);
            sheet.label(&*sides.bottom, (middle.0, bottom - half - 1.0), Align::Centre, ink);
        }
    }

    /// A scale bar in the slice's lower left corner.
    pub(super) fn scale_bar(&self, px_per_mm: f64, sheet: &mut Sheet, text_px: u32) {
        let length_mm = bar_mm(px_per_mm, f64::from(self.width));
        let (x, y) = (f64::from(self.x) + 8.0, f64::from(self.y + self.height) - 8.0);
        let end = x + length_mm * px_per_mm;
        sheet.path(&[(x, y), (end, y)], RGBColor(0, 0, 0), 5.0);
        sheet.path(&[(x, y), (end, y)], LABEL_COLOUR, 2.5);
        let text = format!("{length_mm} mm");
        let ink = Ink { size: text_px, colour: LABEL_COLOUR, bold: false };
        sheet.label(&*text, (x, y - f64::from(text_px)), Align::Left, ink);
        sheet.scale_bars.push(text);
    }
}

/// The length of a scale bar: the longest round one that takes at most four tenths of the room.
pub(super) fn bar_mm(px_per_mm: f64, room_px: f64) -> f64 {
    const LENGTHS_MM: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];
    LENGTHS_MM.into_iter().rev().find(|length| length * px_per_mm <= 0.4 * room_px).unwrap_or(LENGTHS_MM[0])
}

/// For each target pixel the source pixels that contribute to it, with weights that sum to one.
pub(in crate::figure) struct Spans(pub(in crate::figure) Vec<Vec<(usize, f32)>>);

impl Spans {
    pub(in crate::figure) fn new(source: usize, target: usize) -> Self {
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

/// The first of some boxes (left, top, right, bottom) that covers none of those that are taken, or else the first of
/// all. It is taken from then on.
fn free_of(places: &[[f64; 4]], taken: &mut Vec<[f64; 4]>) -> [f64; 4] {
    let covers = |one: &[f64; 4], other: &[f64; 4]| {
        one[0] < other[2] && other[0] < one[2] && one[1] < other[3] && other[1] < one[3]
    };
    let is_free = |place: &&[f64; 4]| !taken.iter().any(|other| covers(place, other));
    let place = places.iter().find(is_free).or(places.first()).copied().unwrap_or_default();
    taken.push(place);
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_where_nothing_else_is_and_otherwise_where_it_would_be() {
        let mut taken = vec![[10.0, 0.0, 20.0, 10.0]];
        let (right, left) = ([15.0, 2.0, 40.0, 12.0], [-30.0, 2.0, -5.0, 12.0]);
        assert_eq!(free_of(&[right, left], &mut taken), left);
        assert_eq!(free_of(&[right, left], &mut taken), right, "both are taken");
        assert_eq!(free_of(&[[50.0, 0.0, 60.0, 5.0], left], &mut taken), [50.0, 0.0, 60.0, 5.0]);
        assert_eq!(taken.len(), 4);
    }
}
