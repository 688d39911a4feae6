//! A figure's marks as pixels at twice the resolution.

use plotters::style::RGBColor;

use super::sheet::{Align, Ink, Mark, Role, Sheet};
use super::text::{baseline_px, outline, width_px};

/// Pixels of the PNG for each pixel of the layout, in both directions.
pub(super) const DENSITY: u32 = 2;

/// Levels of the transparency of edges. Few, so that edges have few colours and the PNG file is small.
const LEVELS: f32 = 8.0;

/// Width of the dark outline of text on slices, in pixels of the PNG.
const OUTLINE_PX: i32 = 2;

/// An image with white background.
struct Pixels {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

/// Draws all marks on white. Returns the size in pixels, which is [`DENSITY`] times `size_px`, and red, green and blue
/// bytes.
pub(super) fn render(sheet: &Sheet, size_px: (u32, u32)) -> ((u32, u32), Vec<u8>) {
    let size = (size_px.0 * DENSITY, size_px.1 * DENSITY);
    let (width, height) = (size.0 as usize, size.1 as usize);
    let mut pixels = Pixels { width, height, rgb: vec![255; width * height * 3] };
    for mark in &sheet.marks {
        pixels.draw(mark);
    }
    (size, pixels.rgb)
}

/// In pixels of the PNG.
fn dense(value: f64) -> f32 {
    (value * f64::from(DENSITY)) as f32
}

impl Pixels {
    fn draw(&mut self, mark: &Mark) {
        match mark {
            Mark::Fill { box_px, colour } => {
                let [left, top, right, bottom] = box_px.map(|value| dense(value).round() as i32);
                for y in top..bottom {
                    for x in left..right {
                        self.blend(x, y, *colour, 1.0);
                    }
                }
            }
            Mark::Path { points, colour, width } => {
                let points: Vec<(f32, f32)> = points.iter().map(|(x, y)| (dense(*x), dense(*y))).collect();
                self.path(&points, dense(*width) / 2.0, *colour);
            }
            Mark::Disc { at, radius, colour } => {
                let (centre, radius) = ((dense(at.0), dense(at.1)), dense(*radius));
                self.shape(&[centre], radius, *colour, |x, y| radius - (x - centre.0).hypot(y - centre.1));
            }
            Mark::Ring { at, radius, colour, width } => {
                let (centre, radius, half) = ((dense(at.0), dense(at.1)), dense(*radius), dense(*width) / 2.0);
                let inside = |x: f32, y: f32| half - ((x - centre.0).hypot(y - centre.1) - radius).abs();
                self.shape(&[centre], radius + half, *colour, inside);
            }
            Mark::Text { text, at, align, ink, role } => self.text(text, *at, *align, *ink, *role),
            Mark::Image { at, size, rgb } => self.image(*at, *size, rgb),
        }
    }

    /// Paints the pixels around `points` whose `depth` inside the shape, in pixels from its edge, is above −½.
    fn shape(&mut self, points: &[(f32, f32)], margin: f32, colour: RGBColor, depth: impl Fn(f32, f32) -> f32) {
        let [left, top, right, bottom] = self.area(points, margin);
        for y in top..bottom {
            for x in left..right {
                let coverage = (depth(x as f32 + 0.5, y as f32 + 0.5) + 0.5).clamp(0.0, 1.0);
                if coverage > 0.0 {
                    self.blend(x, y, colour, coverage);
                }
            }
        }
    }

    /// Paints a line through points, `half` of its width on both sides. Each of its pieces is looked at in its own
    /// surroundings only, and a pixel is painted once, with the largest of the pieces' coverages.
    fn path(&mut self, points: &[(f32, f32)], half: f32, colour: RGBColor) {
        let [left, top, right, bottom] = self.area(points, half);
        let columns = (right - left).max(0) as usize;
        let mut covered = vec![0.0_f32; columns * (bottom - top).max(0) as usize];
        for piece in points.windows(2) {
            let [from_x, from_y, to_x, to_y] = self.area(piece, half);
            for y in from_y..to_y {
                for x in from_x..to_x {
                    let away = distance((x as f32 + 0.5, y as f32 + 0.5), piece[0], piece[1]);
                    let coverage = &mut covered[(y - top) as usize * columns + (x - left) as usize];
                    *coverage = coverage.max((half - away + 0.5).clamp(0.0, 1.0));
                }
            }
        }
        for (place, coverage) in covered.into_iter().enumerate().filter(|(_, coverage)| *coverage > 0.0) {
            self.blend(left + (place % columns) as i32, top + (place / columns) as i32, colour, coverage);
        }
    }

    /// The pixels within `margin` of points, and one more for the edge: left, top, right, bottom.
    fn area(&self, points: &[(f32, f32)], margin: f32) -> [i32; 4] {
        let ends = |values: &mut dyn Iterator<Item = f32>| {
            values.fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(value), high.max(value)))
        };
        let (left, right) = ends(&mut points.iter().map(|point| point.0));
        let (top, bottom) = ends(&mut points.iter().map(|point| point.1));
        let low = |value: f32| (value - margin - 1.0).floor().max(0.0) as i32;
        let high = |value: f32, size: usize| (value + margin + 1.0).ceil().min(size as f32) as i32;
        [low(left), low(top), high(right, self.width), high(bottom, self.height)]
    }

    fn text(&mut self, text: &str, at: (f64, f64), align: Align, ink: Ink, role: Role) {
        let shift = match align {
            Align::Left => 0.0,
            Align::Centre => width_px(text, ink) / 2.0,
            Align::Right => width_px(text, ink),
        };
        let start = (dense(at.0 - shift), dense(at.1 + baseline_px(ink.size)));
        let mut glyphs: Vec<(i32, i32, f32)> = Vec::new();
        outline(text, ink.bold, dense(f64::from(ink.size)), start, &mut |x, y, coverage| {
            if coverage > 0.0 {
                glyphs.push((x, y, coverage));
            }
        });
        if role == Role::OnSlice {
            // the first pass darkens the pixels around every glyph, the second draws the glyphs
            for &(x, y, coverage) in &glyphs {
                for (dx, dy) in
                    (-OUTLINE_PX..=OUTLINE_PX).flat_map(|dx| (-OUTLINE_PX..=OUTLINE_PX).map(move |dy| (dx, dy)))
                {
                    if dx * dx + dy * dy <= OUTLINE_PX * OUTLINE_PX && coverage > 0.5 {
                        self.blend(x + dx, y + dy, RGBColor(0, 0, 0), 1.0);
                    }
                }
            }
        }
        for (x, y, coverage) in glyphs {
            self.blend(x, y, ink.colour, coverage);
        }
    }

    /// Each pixel becomes a square of [`DENSITY`]² pixels: the file stays small, and nothing is sharper than the slice.
    fn image(&mut self, at: (u32, u32), size: (u32, u32), rgb: &[u8]) {
        let density = DENSITY as usize;
        for (row, line) in rgb.chunks_exact(size.0 as usize * 3).enumerate() {
            for (column, colour) in line.as_chunks::<3>().0.iter().enumerate() {
                let (x, y) = ((at.0 as usize + column) * density, (at.1 as usize + row) * density);
                for (down, across) in (0..density).flat_map(|down| (0..density).map(move |across| (down, across))) {
                    if x + across < self.width && y + down < self.height {
                        let place = ((y + down) * self.width + x + across) * 3;
                        self.rgb[place..place + 3].copy_from_slice(colour);
                    }
                }
            }
        }
    }

    fn blend(&mut self, x: i32, y: i32, colour: RGBColor, coverage: f32) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { return };
        if x >= self.width || y >= self.height {
            return;
        }
        let coverage = (coverage * LEVELS).round() / LEVELS;
        let place = (y * self.width + x) * 3;
        if coverage >= 1.0 {
            self.rgb[place..place + 3].copy_from_slice(&[colour.0, colour.1, colour.2]);
            return;
        }
        for (value, colour) in self.rgb[place..place + 3].iter_mut().zip([colour.0, colour.1, colour.2]) {
            *value = (f32::from(*value) * (1.0 - coverage) + f32::from(colour) * coverage).round() as u8;
        }
    }
}

/// The distance of a point from the line between two others.
fn distance(point: (f32, f32), from: (f32, f32), to: (f32, f32)) -> f32 {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length = (dx * dx + dy * dy).max(f32::MIN_POSITIVE);
    let along = (((point.0 - from.0) * dx + (point.1 - from.1) * dy) / length).clamp(0.0, 1.0);
    (point.0 - from.0 - along * dx).hypot(point.1 - from.1 - along * dy)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: RGBColor = RGBColor(255, 0, 0);

    /// The sum of the ink of a figure in pixels of the PNG, from the green bytes of red marks on white.
    fn ink(draw: impl FnOnce(&mut Sheet)) -> f64 {
        let mut sheet = Sheet::default();
        draw(&mut sheet);
        let (_, rgb) = render(&sheet, (100, 100));
        rgb.iter().skip(1).step_by(3).map(|green| f64::from(255 - green) / 255.0).sum()
    }

    #[test]
    fn lines_are_as_thick_at_every_angle() {
        for degrees in [0.0, 13.0, 45.0, 71.0, 90.0_f64] {
            let (sin, cos) = degrees.to_radians().sin_cos();
            let ends = [(50.0 - 30.0 * cos, 50.0 - 30.0 * sin), (50.0 + 30.0 * cos, 50.0 + 30.0 * sin)];
            // 120 pixels of the PNG long and 4 wide, with round ends
            let expected = 120.0 * 4.0 + std::f64::consts::PI * 4.0;
            let found = ink(|sheet| sheet.path(&ends, RED, 2.0));
            assert!((found / expected - 1.0).abs() < 0.03, "{degrees}°: {found:.0}, expected {expected:.0}");
        }
    }

    #[test]
    fn a_ring_leaves_its_centre_free() {
        let mut sheet = Sheet::default();
        sheet.ring((50.0, 50.0), 10.0, RED);
        let (size, rgb) = render(&sheet, (100, 100));
        let at = |x: u32, y: u32| &rgb[((y * size.0 + x) * 3) as usize..][..3];
        assert_eq!((at(100, 100), at(120, 100), at(100, 80)), (&[255; 3][..], &[255, 0, 0][..], &[255, 0, 0][..]));
    }

    #[test]
    fn text_has_even_distances() {
        // the same letter at positions that differ by fractions of a pixel has the same ink everywhere
        let one = ink(|sheet| sheet.text("l", (10, 50), Align::Left, Ink { size: 13, ..Ink::BODY.colour(RED) }));
        let ten =
            ink(|sheet| sheet.text("llllllllll", (10, 50), Align::Left, Ink { size: 13, ..Ink::BODY.colour(RED) }));
        assert!(one > 10.0 && (ten / one / 10.0 - 1.0).abs() < 0.06, "{one} {ten}");
    }

    #[test]
    fn marks_outside_of_the_figure_are_not_drawn() {
        assert_eq!(ink(|sheet| sheet.path(&[(-20, -20), (-5, 300)], RED, 1.0)), 0.0);
        assert_eq!(ink(|sheet| sheet.dot((500, 500), 4.0, RED)), 0.0);
        assert!(ink(|sheet| sheet.fill((-10, -10), (10, 10), RED)) == 400.0);
    }
}
