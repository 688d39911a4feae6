//! The width and the outlines of text in DejaVu Sans.

use std::sync::OnceLock;

use ab_glyph::{Font, FontRef, GlyphId, PxScale, ScaleFont, point};

use super::sheet::Ink;

/// The embedded fonts, normal and bold. `None` if a file is damaged, which a test excludes.
fn fonts() -> Option<&'static [FontRef<'static>; 2]> {
    static FONTS: OnceLock<Option<[FontRef<'static>; 2]>> = OnceLock::new();
    let read = || {
        let normal = FontRef::try_from_slice(include_bytes!("fonts/DejaVuSans.ttf")).ok()?;
        let bold = FontRef::try_from_slice(include_bytes!("fonts/DejaVuSans-Bold.ttf")).ok()?;
        Some([normal, bold])
    };
    FONTS.get_or_init(read).as_ref()
}

/// Glyphs with the x coordinate of their origins, and the width of the whole text, all in pixels. Positions are not
/// rounded, so that letters have even distances at every size.
fn layout(font: &FontRef<'static>, scale: PxScale, text: &str) -> (Vec<(GlyphId, f32)>, f32) {
    let scaled = font.as_scaled(scale);
    let (mut x, mut before) = (0.0, None);
    let mut glyphs = Vec::with_capacity(text.len());
    for letter in text.chars() {
        let glyph = scaled.glyph_id(letter);
        if let Some(before) = before {
            x += scaled.kern(before, glyph);
        }
        glyphs.push((glyph, x));
        x += scaled.h_advance(glyph);
        before = Some(glyph);
    }
    (glyphs, x)
}

/// The scale at which one em has `size_px` pixels, as CSS's font-size.
fn scale(font: &FontRef<'static>, size_px: f32) -> PxScale {
    let em = font.units_per_em().unwrap_or(2048.0);
    PxScale::from(size_px * font.height_unscaled() / em)
}

/// The width of a text in pixels.
pub(super) fn width_px(text: &str, ink: Ink) -> f64 {
    let Some(fonts) = fonts() else { return 0.0 };
    let font = &fonts[usize::from(ink.bold)];
    f64::from(layout(font, scale(font, ink.size as f32), text).1)
}

/// The distance of the baseline below the middle of capital letters: half of DejaVu's cap height of 0.729 em.
pub(super) fn baseline_px(size: u32) -> f64 {
    0.3645 * f64::from(size)
}

/// Calls `draw` with pixel coordinates and coverage (0–1) of a text whose baseline begins at (x, y).
pub(super) fn outline(text: &str, bold: bool, size_px: f32, (x, y): (f32, f32), draw: &mut impl FnMut(i32, i32, f32)) {
    let Some(fonts) = fonts() else { return };
    let font = &fonts[usize::from(bold)];
    let scale = scale(font, size_px);
    for (glyph, across) in layout(font, scale, text).0 {
        let Some(outline) = font.outline_glyph(glyph.with_scale_and_position(scale, point(x + across, y))) else {
            continue;
        };
        let corner = outline.px_bounds().min;
        outline.draw(|column, row, coverage| {
            draw(corner.x as i32 + column as i32, corner.y as i32 + row as i32, coverage);
        });
    }
}

/// A text in lines that are no wider than `room_px`, broken at spaces. A word that is wider stays whole.
pub(super) fn wrapped(text: &str, room_px: f64, ink: Ink) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width_px(&format!("{line} {word}"), ink) <= room_px => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_fonts_are_valid() {
        assert!(fonts().is_some());
    }

    #[test]
    fn widths_are_those_of_the_font() {
        // DejaVu Sans: the digits are 1303 of 2048 units wide, in bold 1425
        let digit = |bold| width_px("0", Ink { size: 16, bold, ..Ink::BODY });
        assert!((digit(false) - 16.0 * 1303.0 / 2048.0).abs() < 0.01, "{}", digit(false));
        assert!((digit(true) - 16.0 * 1425.0 / 2048.0).abs() < 0.01, "{}", digit(true));
    }

    #[test]
    fn text_breaks_at_spaces_and_nothing_is_lost() {
        let text = "Left Subarticular Stenosis, L4/L5: Normal/Mild";
        let lines = wrapped(text, 120.0, Ink::BODY);
        assert!(lines.len() > 2 && lines.iter().all(|line| width_px(line, Ink::BODY) <= 120.0), "{lines:?}");
        assert_eq!(lines.join(" "), text);
        assert_eq!(wrapped("unbreakable", 5.0, Ink::BODY), ["unbreakable"]);
        assert!(wrapped("", 5.0, Ink::BODY).is_empty());
    }
}
