//! The colours of all figures and of the report's page, and how far apart they look.
//!
//! A test computes what a reader depends on: severities stay in order without colours, text on them has the contrast
//! that WCAG 2.1 asks for, and readers with protan-, deuter- or tritanopia tell them apart.

use plotters::style::RGBColor;

use crate::anatomy::{Condition, ConditionGroup, Level, Severity};

/// Colours of the three severities, from light to dark: light blue, orange, wine red. In grey they keep this order.
pub const SEVERITY_COLOURS: [RGBColor; 3] = [RGBColor(136, 190, 232), RGBColor(214, 120, 10), RGBColor(120, 10, 60)];

/// Light grey for missing labels, lighter than every severity.
pub const MISSING_COLOUR: RGBColor = RGBColor(232, 232, 232);

/// Colours of the five levels from L1/L2 to L5/S1, for rings and lines on slices: Okabe and Ito's palette for
/// colour-blind readers (<https://jfly.uni-koeln.de/color/>) without orange, which is close to yellow.
pub const LEVEL_COLOURS: [RGBColor; 5] = [
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(240, 228, 66),
    RGBColor(204, 121, 167),
];

/// Colours of the three condition groups (canal, foramina, recesses), for rings and lines on slices.
const GROUP_COLOURS: [RGBColor; 3] = [RGBColor(240, 228, 66), RGBColor(86, 180, 233), RGBColor(225, 120, 200)];

/// The colour of a model, of headings and of links.
pub(crate) const MODEL_COLOUR: RGBColor = RGBColor(0, 90, 150);

/// Secondary text: axes, counts, notes.
pub(super) const QUIET: RGBColor = RGBColor(84, 84, 84);
/// Lines behind the data.
pub(super) const GRID: RGBColor = RGBColor(226, 226, 226);
/// Frames and axes.
pub(super) const FRAME: RGBColor = RGBColor(140, 140, 140);

/// Colours of curves, from Okabe and Ito's palette without yellow, which is too light for lines on white.
pub(super) const CURVE_COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 130, 95),
    RGBColor(170, 80, 130),
    RGBColor(190, 125, 0),
    RGBColor(40, 130, 190),
    RGBColor(0, 0, 0),
];

/// The colour of a severity.
///
/// ```
/// use lumbar::anatomy::Severity;
/// use lumbar::figure::{SEVERITY_COLOURS, severity_colour};
///
/// assert_eq!(severity_colour(Severity::Severe), SEVERITY_COLOURS[2]);
/// ```
#[must_use]
pub const fn severity_colour(severity: Severity) -> RGBColor {
    SEVERITY_COLOURS[severity.index()]
}

/// The colour of a level on slices.
#[must_use]
pub const fn level_colour(level: Level) -> RGBColor {
    LEVEL_COLOURS[level.index()]
}

/// The colour of a condition on slices. Left and right have the same one.
#[must_use]
pub fn condition_colour(condition: Condition) -> RGBColor {
    match condition.group() {
        ConditionGroup::Spinal => GROUP_COLOURS[0],
        ConditionGroup::Foraminal => GROUP_COLOURS[1],
        ConditionGroup::Subarticular => GROUP_COLOURS[2],
    }
}

/// White or black, whichever has more contrast with a colour.
pub(super) fn readable_on(colour: RGBColor) -> RGBColor {
    let (black, white) = (RGBColor(0, 0, 0), RGBColor(255, 255, 255));
    if contrast(colour, black) >= contrast(colour, white) { black } else { white }
}

/// The linear mix of two colours.
pub(super) fn between(from: RGBColor, to: RGBColor, share: f64) -> RGBColor {
    let mix = |from: u8, to: u8| (f64::from(from) + (f64::from(to) - f64::from(from)) * share).round() as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

/// A colour as CSS and SVG write it, for example `#785a3c`.
pub(crate) fn hex(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// Red, green and blue of a colour in linear light, 0–1 (IEC 61966-2-1).
fn linear(RGBColor(red, green, blue): RGBColor) -> [f64; 3] {
    [red, green, blue].map(|value| {
        let value = f64::from(value) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    })
}

/// The relative luminance of a colour, 0–1 (WCAG 2.1).
fn luminance(colour: RGBColor) -> f64 {
    let [red, green, blue] = linear(colour);
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/// The contrast ratio of two colours, 1–21 (WCAG 2.1).
fn contrast(one: RGBColor, other: RGBColor) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What readers without one kind of cones see, as a matrix on linear light: Machado, Oliveira and Fernandes 2009,
    /// doi:10.1109/TVCG.2009.113, severity 1.
    const DEFICIENCIES: [(&str, [[f64; 3]; 3]); 4] = [
        ("none", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        (
            "protanopia",
            [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        ),
        (
            "deuteranopia",
            [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        ),
        (
            "tritanopia",
            [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
        ),
    ];

    /// CIE L*a*b* under D65.
    fn lab([red, green, blue]: [f64; 3]) -> [f64; 3] {
        let x = 0.4124564 * red + 0.3575761 * green + 0.1804375 * blue;
        let y = 0.2126729 * red + 0.7151522 * green + 0.0721750 * blue;
        let z = 0.0193339 * red + 0.1191920 * green + 0.9503041 * blue;
        let root = |t: f64| if t > 0.008_856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
        let (x, y, z) = (root(x / 0.95047), root(y), root(z / 1.08883));
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    /// The smallest ΔE (CIE 1976) between two of the colours, as a reader with the deficiency sees them.
    fn smallest_difference(colours: &[RGBColor], deficiency: &[[f64; 3]; 3]) -> f64 {
        let seen: Vec<[f64; 3]> = colours
            .iter()
            .map(|colour| {
                let light = linear(*colour);
                lab(deficiency.map(|row| (0..3).map(|k| row[k] * light[k]).sum::<f64>().clamp(0.0, 1.0)))
            })
            .collect();
        let mut least = f64::MAX;
        for (place, one) in seen.iter().enumerate() {
            for other in &seen[place + 1..] {
                least = least.min((0..3).map(|k| (one[k] - other[k]).powi(2)).sum::<f64>().sqrt());
            }
        }
        least
    }

    #[test]
    fn severities_stay_in_order_in_grey() {
        let order = [MISSING_COLOUR, SEVERITY_COLOURS[0], SEVERITY_COLOURS[1], SEVERITY_COLOURS[2]];
        for pair in order.windows(2) {
            assert!(luminance(pair[0]) > luminance(pair[1]), "{pair:?}");
            assert!(contrast(pair[0], pair[1]) >= 1.5, "{pair:?}: {:.2}", contrast(pair[0], pair[1]));
        }
    }

    #[test]
    fn text_on_every_colour_is_readable() {
        for colour in SEVERITY_COLOURS.into_iter().chain([MISSING_COLOUR, MODEL_COLOUR]) {
            let ratio = contrast(colour, readable_on(colour));
            assert!(ratio >= 4.5, "{colour:?}: {ratio:.2}");
        }
        for text in [QUIET, MODEL_COLOUR] {
            let ratio = contrast(text, RGBColor(255, 255, 255));
            assert!(ratio >= 4.5, "{text:?} on white: {ratio:.2}");
        }
    }

    #[test]
    fn colour_blind_readers_tell_severities_and_levels_apart() {
        for (name, deficiency) in &DEFICIENCIES {
            let severities = smallest_difference(&SEVERITY_COLOURS, deficiency);
            assert!(severities >= 30.0, "severities, {name}: ΔE {severities:.1}");
            // levels have their names beside them as well
            let levels = smallest_difference(&LEVEL_COLOURS, deficiency);
            assert!(levels >= 15.0, "levels, {name}: ΔE {levels:.1}");
        }
    }

    #[test]
    fn contrast_and_lab_equal_published_values() {
        // WCAG 2.1: black on white is 21:1; #767676 is the lightest grey with 4.5:1 on white
        assert!((contrast(RGBColor(0, 0, 0), RGBColor(255, 255, 255)) - 21.0).abs() < 1e-9);
        assert!((contrast(RGBColor(0x76, 0x76, 0x76), RGBColor(255, 255, 255)) - 4.54).abs() < 0.01);
        // sRGB red in CIELAB (Lindbloom): 53.24, 80.09, 67.20
        let [l, a, b] = lab(linear(RGBColor(255, 0, 0)));
        assert!((l - 53.24).abs() < 0.05 && (a - 80.09).abs() < 0.05 && (b - 67.20).abs() < 0.05, "{l} {a} {b}");
    }

    #[test]
    fn colours_are_written_as_css_reads_them() {
        assert_eq!(hex(RGBColor(0, 90, 150)), "#005a96");
    }
}
