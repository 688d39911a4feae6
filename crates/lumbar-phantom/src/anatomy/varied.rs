//! Spines that differ as real ones do.
//!
//! Bends and lengths are drawn so that annotated points have the percentiles counted on 1,974 real studies (distance
//! between neighbouring canal points over their mean, direction of the steps from vertical, turn from first to last
//! step, slices between the foramina, rows between the recesses); the tests in `real_spines.rs` hold the tables.

use rand::{Rng, RngExt};

use super::curve::Bend;
use super::shape::{Body, Shape, draw_discs};
use super::spine::Disc;
use crate::config::Variation;
use crate::disease::Disease;
use crate::seed::{between, chance, normal, pick, spread};
use crate::target::{LEVELS, TARGETS};

/// What is decided about a spine before it is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variety {
    pub(crate) variation: Variation,
    /// Four or six lumbar bodies.
    pub(crate) transitional: bool,
}

/// Bodies from the coccyx to T7: posterior height, half width, depth.
const BODIES: [(f32, f32, f32); 17] = [
    (12.0, 9.0, 7.0),
    (14.0, 11.0, 9.0),
    (17.0, 13.0, 11.0),
    (19.0, 17.0, 13.0),
    (22.0, 21.0, 18.0),
    (27.0, 25.5, 30.0),
    (23.5, 26.5, 34.5),
    (26.7, 25.5, 34.0),
    (28.0, 24.5, 33.5),
    (28.6, 23.5, 32.5),
    (27.6, 22.5, 31.5),
    (26.0, 21.5, 30.5),
    (24.5, 20.5, 29.5),
    (23.5, 19.5, 28.5),
    (23.0, 18.5, 27.5),
    (22.0, 18.0, 27.0),
    (21.5, 17.5, 26.5),
];
/// Healthy discs above them: posterior height.
const DISCS: [f32; 16] = [1.0, 1.2, 1.5, 1.5, 2.2, 6.8, 7.4, 7.4, 7.0, 6.2, 5.0, 4.5, 4.2, 4.0, 3.8, 3.6];
/// Index of S1's body and of L5/S1's disc.
const S1: usize = 5;
/// Loss of lean from each knot below S1's upper endplate to the next, from the coccyx up, in degrees.
const SACRAL_TURNS: [f32; 2 * S1 + 1] = [-16.0, 0.5, -14.0, 0.5, -10.0, 0.5, -7.0, 0.5, 1.0, 1.0, 8.0];
/// Gain of lean from body to body, from L1 to T7: the thoracic spine bends forwards again.
const THORACIC_TURNS: [f64; 7] = [-4.5, -3.0, -1.0, 2.0, 3.5, 4.0, 4.0];
/// Share of the turn between the middles of two bodies that each body takes; the disc between takes the rest.
const WEDGE: f32 = 0.23;

impl Shape {
    /// A spine drawn with the variation of real ones, and with what `variety` adds.
    pub(crate) fn varied(random: &mut impl Rng, disease: &[Disease; TARGETS], variety: &Variety) -> Self {
        let variation = &variety.variation;
        let size = spread(random, 1.02, 0.05) as f32;
        let age = between(random, -0.15, 0.25);
        let mut findings = Vec::new();
        let mut heights: Vec<f32> =
            DISCS.iter().map(|height| height * size * spread(random, 1.0, 0.08) as f32).collect();
        heights[S1 - 1] *= between(random, 0.4, 1.4) as f32;
        let mut bodies = BODIES.map(|(height, half_width, depth)| {
            let noise = [0.042, 0.03, 0.03].map(|sd| size * spread(random, 1.0, sd) as f32);
            (height * noise[0], half_width * noise[1], depth * noise[2])
        });
        bodies[S1 + 1].0 *= spread(random, 1.0, 0.085) as f32;
        let mut lean = lean_of_bodies(random);
        let mut sacral_disc_wedge = spread(random, 13.0, 3.0) as f32;
        let landmarks_mm = if variety.transitional {
            let (name, shift) = if chance(random, 0.5) {
                // the body below the lowest named disc has joined the sacrum: a remnant of a disc lies under it
                bodies[S1] = (25.5 * size, 26.5 * size, 33.0 * size);
                bodies[S1 - 1] = (25.0 * size, 24.0 * size, 26.0 * size);
                heights[S1 - 1] = between(random, 3.0, 4.2) as f32;
                ("four lumbar bodies: the lowest has joined the sacrum", -31.0)
            } else {
                // the body above the lowest named disc is the uppermost sacral one, separated
                bodies[S1 + 1] = (25.0 * size, 26.0 * size, 31.5 * size);
                bodies[S1] = (23.0 * size, 22.0 * size, 22.0 * size);
                heights[S1] *= between(random, 0.6, 0.75) as f32;
                sacral_disc_wedge *= 0.6;
                ("six lumbar bodies: the uppermost sacral one has separated", 31.0)
            };
            findings.push(("transitional", name.to_owned()));
            shift * size
        } else {
            spread(random, 0.0, 5.0) as f32
        };
        if variation.rudimentary_disc > 0.0 && chance(random, variation.rudimentary_disc) {
            heights[S1 - 1] = between(random, 3.0, 6.0) as f32;
            bodies[S1].2 *= between(random, 0.85, 1.0) as f32;
        }
        let mut discs = draw_discs(random, disease, age, &heights, S1);
        collapse(random, &mut discs, variation.collapsed_discs, &mut findings);

        let mut bends = vec![Bend::default()];
        for (index, &(height_mm, _, _)) in bodies.iter().enumerate() {
            bends.push(Bend { height_mm, ..Bend::default() });
            if let Some(disc) = discs.get(index) {
                bends.push(Bend { height_mm: disc.height, ..Bend::default() });
            }
        }
        lean[0] += sacral_disc_wedge;
        tilt(&mut bends, &lean);
        curve_sacrum(random, &mut bends, variation.sacral_curve);
        wedge(random, &mut bends, variation.wedged_bodies, &mut findings);
        lateral(random, &mut bends, variation.scoliosis_deg, &mut findings);
        if chance(random, variation.slips) {
            slip(random, &mut bends, &mut findings);
        }
        let bodies = bodies.iter().map(|&(_, half_width, depth)| Body { half_width, depth }).collect();
        let breadth = spread(random, 0.89, 0.05) as f32;
        Self { s1: S1, bodies, discs, bends, breadth, landmarks_mm, age, findings }
    }
}

/// Lean to the front, in degrees: S1's upper endplate less the wedge of its disc, then the middles of L5 to T7.
///
/// Steps between neighbouring canal points run along the body between them, so the lean of L5, L4, L3 and L2 has the
/// means and deviations of the table of directions, less the clicks' scatter (3 degrees). Three modes share them:
/// how the patient lies, how strong the lordosis is, and how high its apex.
fn lean_of_bodies(random: &mut impl Rng) -> Vec<f32> {
    let mut draw = |sd: f64| sd * normal(random).clamp(-2.6, 2.6);
    let (posture, lordosis, apex) = (draw(3.4), draw(1.0), draw(1.0));
    let l5 = 13.4 + posture + 7.2 * lordosis + 0.8 * apex + draw(5.2);
    // The directions at L4 have a longer tail to the back.
    let own = draw(1.0);
    let l4 = 1.6 + posture + 3.2 * lordosis + 4.2 * apex + 6.0 * (own + 0.4 * (own * own - 1.0));
    let l3 = -8.6 + posture - 1.6 * lordosis + 3.4 * apex + draw(3.2);
    let l2 = -11.8 + posture - 3.8 * lordosis + 0.4 * apex + draw(2.2);
    let s1 = l5 + 4.2 + draw(1.0);
    let mut lean = vec![s1, l5, l4, l3, l2];
    let mut above = l2;
    for turn in THORACIC_TURNS {
        above += turn + draw(1.2);
        lean.push(above);
    }
    lean.into_iter().map(|degrees| degrees as f32).collect()
}

/// Sets the lean of every knot from that of S1's upper endplate and of the bodies above.
fn tilt(bends: &mut [Bend], lean: &[f32]) {
    let zero = 2 * S1 + 1;
    bends[zero].tilt_deg = lean[0];
    for knot in (0..zero).rev() {
        bends[knot].tilt_deg = bends[knot + 1].tilt_deg + SACRAL_TURNS[knot];
    }
    for (index, &middle) in lean.iter().enumerate().skip(1) {
        let (bottom, top) = (2 * (S1 + index), 2 * (S1 + index) + 1);
        let below = if index == 1 { middle + 4.2 / WEDGE } else { lean[index - 1] };
        let above = lean.get(index + 1).copied().unwrap_or(middle);
        bends[bottom].tilt_deg = middle + WEDGE * (below - middle);
        bends[top].tilt_deg = middle + WEDGE * (above - middle);
    }
}

/// Turns the knots below S1's upper endplate by more or less than the plan does.
fn curve_sacrum(random: &mut impl Rng, bends: &mut [Bend], [least, most]: [f64; 2]) {
    if least == most {
        return;
    }
    let factor = between(random, least, most) as f32;
    let zero = bends[2 * S1 + 1].tilt_deg;
    for bend in &mut bends[..2 * S1 + 1] {
        bend.tilt_deg = zero + factor * (bend.tilt_deg - zero);
    }
}

/// Makes lumbar and lower thoracic bodies lower in front, each with this probability; the spine above leans forwards
/// by half of it, the discs next to it take the rest.
fn wedge(random: &mut impl Rng, bends: &mut [Bend], rate: f64, findings: &mut Vec<(&'static str, String)>) {
    if rate == 0.0 {
        return;
    }
    for body in S1 + 1..bends.len() / 2 {
        let (is_wedged, degrees) = (chance(random, rate), between(random, 5.0, 20.0) as f32);
        if is_wedged {
            bends[2 * body].tilt_deg -= 0.25 * degrees;
            bends[2 * body + 1].tilt_deg += 0.25 * degrees;
            bends[2 * body + 2..].iter_mut().for_each(|bend| bend.tilt_deg += 0.5 * degrees);
            findings.push(("wedged_body", format!("body {body} from the coccyx by {degrees:.0} degrees")));
        }
    }
}

/// Bends to the side: the pelvis' obliquity, a curve of this Cobb angle, and the rotation that goes with both.
fn lateral(
    random: &mut impl Rng,
    bends: &mut [Bend],
    [least, most]: [f64; 2],
    findings: &mut Vec<(&'static str, String)>,
) {
    use std::f32::consts::PI;
    let cobb = between(random, least, most) as f32;
    let side = if chance(random, 0.5) { 1.0 } else { -1.0 };
    let (oblique, rotation) = (spread(random, 0.0, 1.2) as f32, 3.2 * normal(random).clamp(-2.6, 2.6) as f32);
    let (start, length) = (between(random, 15.0, 45.0) as f32, between(random, 105.0, 130.0) as f32);
    let mut height = 0.0;
    for (knot, bend) in bends.iter_mut().enumerate() {
        if knot > 2 * S1 + 1 {
            height += bend.height_mm;
        }
        let place = ((height - start) / length).clamp(0.0, 1.0);
        // from the sacrum the spine leans over to one side, bends back, and returns to upright above
        let (over, back) = ((height / start).min(1.0), ((height - start) / length - 1.0).clamp(0.0, 1.0));
        let curve = -(PI * place).cos() * over - 0.8 * back;
        bend.roll_deg = oblique + 0.5 * side * cobb * curve;
        bend.turn_deg = rotation + 0.4 * side * cobb * (PI * place).sin();
    }
    if cobb >= 10.0 {
        findings.push(("scoliosis", format!("Cobb angle {cobb:.0} degrees")));
    }
}

/// Makes discs black and narrow, each with this probability.
fn collapse(random: &mut impl Rng, discs: &mut [Disc], rate: f64, findings: &mut Vec<(&'static str, String)>) {
    for level in 0..LEVELS.len() {
        let (collapsed, height) = (chance(random, rate), between(random, 0.3, 0.5) as f32);
        if collapsed {
            let disc = &mut discs[S1 + LEVELS.len() - 1 - level];
            disc.degeneration = 1.0;
            disc.height *= height;
            findings.push(("collapsed_disc", LEVELS[level].1.to_owned()));
        }
    }
}

/// Lets one vertebra slip over the next: to the front, more rarely to the back.
fn slip(random: &mut impl Rng, bends: &mut [Bend], findings: &mut Vec<(&'static str, String)>) {
    let level = pick(random, &[3, 3, 3, 2, 2, 4]);
    let (amount, direction) = match random.random::<f64>() < 0.8 {
        true => (between(random, 4.0, 9.0), "front"),
        false => (-between(random, 3.0, 5.0), "back"),
    };
    bends[2 * (S1 + LEVELS.len() - level)].slip_mm = amount as f32;
    findings.push(("slip", format!("{} by {:.1} mm to the {direction}", LEVELS[level].1, amount.abs())));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anatomy::Spine;
    use crate::disease::DiseaseModel;
    use crate::seed::generator;
    use crate::target::Condition;
    use crate::vector::{dot, minus};

    fn spines(variation: Variation, transitional: bool, count: usize) -> impl Iterator<Item = Spine> {
        let model = DiseaseModel::new(0.5, 0.4);
        let variety = Variety { variation, transitional };
        (0..count).map(move |study| {
            let disease = model.draw(&mut generator(11, study, "disease"), &[0.0; TARGETS]);
            Spine::draw(&mut generator(11, study, "anatomy"), &disease, Some(&variety))
        })
    }

    fn hard() -> Variation {
        let mut config = crate::PhantomConfig::preset(crate::PhantomPreset::Hard);
        config.variation.take().unwrap()
    }

    #[test]
    fn a_scoliosis_moves_the_canal_points_to_the_side_and_back() {
        let straight = Variation { scoliosis_deg: [0.0, 0.0], ..Variation::default() };
        let curved = Variation { scoliosis_deg: [25.0, 25.0], ..Variation::default() };
        // how far L2/3 and L3/4 lie beside the line from L1/2 to L5/S1
        let bow = |spine: &Spine| {
            let x = |level: usize| spine.point(Condition::Spinal, level)[0];
            (0.5 * (x(1) + x(2)) - 0.5 * (x(0) + x(4))).abs()
        };
        let mean = |variation| spines(variation, false, 60).map(|spine| bow(&spine)).sum::<f32>() / 60.0;
        let (straight, curved) = (mean(straight), mean(curved));
        assert!(straight < 1.0 && curved > 4.0, "{straight} mm and {curved} mm");
    }

    #[test]
    fn a_slipped_vertebra_stands_in_front_of_the_one_below() {
        let variation = Variation { slips: 1.0, ..Variation::default() };
        for spine in spines(variation, false, 20) {
            let (_, detail) = spine.findings.iter().find(|(name, _)| *name == "slip").unwrap();
            let level = LEVELS.iter().position(|(_, name)| detail.starts_with(name)).unwrap();
            let words: Vec<&str> = detail.split(' ').collect();
            let amount: f32 = words[2].parse().unwrap();
            let disc = spine.level(level);
            let frame = spine.curve.frame(disc.w - 0.5 * disc.height - 0.01);
            let above = frame.local(spine.curve.to_patient([0.0, 0.0, disc.w + 0.5 * disc.height + 0.01]));
            let found = if detail.ends_with("front") { -above[1] } else { above[1] };
            assert!((found - amount).abs() < 1.6, "{detail}, found {found}");
        }
    }

    #[test]
    fn collapsed_discs_are_black_and_narrow() {
        let variation = Variation { collapsed_discs: 1.0, ..Variation::default() };
        for spine in spines(variation, false, 10) {
            for level in 0..LEVELS.len() {
                let disc = spine.level(level);
                assert!(disc.degeneration == 1.0 && disc.height < 5.0, "level {level}: {} mm", disc.height);
            }
        }
    }

    #[test]
    fn neighbouring_canal_points_stay_apart_in_the_hardest_spines() {
        for transitional in [false, true] {
            for spine in spines(hard(), transitional, 200) {
                for level in 0..4 {
                    let step = minus(spine.point(Condition::Spinal, level), spine.point(Condition::Spinal, level + 1));
                    let length = dot(step, step).sqrt();
                    assert!((17.0..45.0).contains(&length), "level {level}: {length} mm");
                }
            }
        }
    }

    #[test]
    fn with_six_lumbar_bodies_the_conus_lies_higher_over_the_named_levels_than_with_four() {
        let (mut heights, mut counts) = ([0.0; 2], [0.0_f32; 2]);
        for spine in spines(Variation::default(), true, 60) {
            let six = usize::from(spine.findings[0].1.starts_with("six"));
            heights[six] += spine.conus - spine.level(0).w;
            counts[six] += 1.0;
        }
        let difference = heights[1] / counts[1] - heights[0] / counts[0];
        assert!((difference - 62.0).abs() < 8.0, "{difference} mm");
    }
}
