//! The shape of a spine before it is put in place: bodies, discs and the bends between them.

use rand::Rng;

use super::curve::Bend;
use super::spine::Disc;
use crate::disease::Disease;
use crate::seed::{between, normal, spread};
use crate::target::{CONDITIONS, LEVELS, TARGETS, target};

/// The outline of one body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Body {
    pub(crate) half_width: f32,
    pub(crate) depth: f32,
}

/// What is drawn before anything has its place in space.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// Index of S1's body and of the disc on it.
    pub(crate) s1: usize,
    /// From below.
    pub(crate) bodies: Vec<Body>,
    /// From below; their `w` is set later.
    pub(crate) discs: Vec<Disc>,
    /// Endplates, from the lowest; the step below each is a body or a disc.
    pub(crate) bends: Vec<Bend>,
    /// Width relative to the plan.
    pub(crate) breadth: f32,
    /// How much higher than usual iliac crests, vessels, kidneys and conus lie over the named S1.
    pub(crate) landmarks_mm: f32,
    /// Wear beyond the mean: more degenerated discs, more fat in the muscles.
    pub(crate) age: f64,
    /// What distinguishes this spine, for the truth's table.
    pub(crate) findings: Vec<(&'static str, String)>,
}

/// Bodies from S4 to T11: posterior height, half width, depth, loss of lean upwards.
const BODIES: [(f32, f32, f32, f32); 11] = [
    (17.0, 13.0, 11.0, -10.0),
    (19.0, 17.0, 13.0, -7.0),
    (22.0, 21.0, 18.0, 1.0),
    (27.0, 25.5, 30.0, 8.0),
    (23.5, 26.5, 34.5, 8.5),
    (25.5, 25.5, 34.0, 4.5),
    (26.5, 24.5, 33.5, 3.0),
    (26.5, 23.5, 32.5, 2.0),
    (26.0, 22.5, 31.5, 1.0),
    (24.5, 21.5, 30.5, 0.0),
    (23.0, 20.5, 29.5, -2.0),
];
/// Discs above them: posterior height, loss of lean.
const DISCS: [(f32, f32); 10] = [
    (1.5, 0.5),
    (1.5, 0.5),
    (2.2, 1.0),
    (6.8, 9.5),
    (7.4, 8.0),
    (7.4, 6.5),
    (7.0, 5.5),
    (6.2, 4.5),
    (5.0, 2.5),
    (4.5, 1.0),
];
/// Index of S1's body and of L5/S1's disc.
const S1: usize = 3;

impl Shape {
    /// A spine of the one plan, with little variation: size, slope of the sacrum, lordosis and a slight scoliosis.
    pub(crate) fn uniform(random: &mut impl Rng, disease: &[Disease; TARGETS]) -> Self {
        let size = spread(random, 1.0, 0.04) as f32;
        let sacral_slope = spread(random, 37.0, 5.0) as f32;
        let lordosis = spread(random, 1.05, 0.10) as f32;
        let scoliosis_deg = spread(random, 0.0, 1.5) as f32;
        let phase = between(random, 0.0, 3.0) as f32;
        let age = between(random, -0.15, 0.25);
        let heights = DISCS.map(|(height, _)| height * size);
        let discs = draw_discs(random, disease, age, &heights, S1);

        // knots from the lowest endplate up; the lean is counted back from S1's upper endplate
        let mut heights = vec![0.0];
        let mut turns = Vec::new();
        for (index, (height, _, _, turn)) in BODIES.into_iter().enumerate() {
            heights.push(height * size);
            turns.push(if index > S1 { turn * lordosis } else { turn });
            if let Some(disc) = discs.get(index) {
                heights.push(disc.height);
                let turn = DISCS[index].1 * (disc.height / DISCS[index].0).min(1.0);
                turns.push(if index >= S1 { turn * lordosis } else { turn });
            }
        }
        let zero = 2 * S1 + 1;
        let mut tilt = sacral_slope + turns[..zero].iter().sum::<f32>();
        let bends: Vec<Bend> = heights
            .iter()
            .enumerate()
            .map(|(knot, &height_mm)| {
                if knot > 0 {
                    tilt -= turns[knot - 1];
                }
                let above = knot.saturating_sub(zero) as f32;
                let roll_deg = scoliosis_deg * ((above * 0.45 + phase).sin() - phase.sin()) * (above / 6.0).min(1.0);
                Bend { height_mm, tilt_deg: tilt, roll_deg, ..Bend::default() }
            })
            .collect();
        let bodies =
            BODIES.map(|(_, half_width, depth, _)| Body { half_width: half_width * size, depth: depth * size });
        Self {
            s1: S1,
            bodies: bodies.to_vec(),
            discs,
            bends,
            breadth: 1.0,
            landmarks_mm: 0.0,
            age,
            findings: Vec::new(),
        }
    }
}

/// Discs of these healthy heights, worn as the degrees of disease around them say.
pub(super) fn draw_discs(
    random: &mut impl Rng,
    disease: &[Disease; TARGETS],
    age: f64,
    heights_mm: &[f32],
    s1: usize,
) -> Vec<Disc> {
    heights_mm
        .iter()
        .enumerate()
        .map(|(index, &height)| {
            let mut disc = Disc { height, sacral: index < s1, ..Disc::default() };
            let mut degeneration = 0.25 + age + 0.12 * normal(random);
            if (s1..s1 + LEVELS.len()).contains(&index) {
                let level = s1 + LEVELS.len() - 1 - index;
                let degree = |condition: usize| disease[target(condition, level)].degree;
                disc.canal = degree(0) as f32;
                disc.foramen = [degree(1) as f32, degree(2) as f32];
                disc.recess = [degree(3) as f32, degree(4) as f32];
                let mean = (0..CONDITIONS.len()).map(degree).sum::<f64>() / CONDITIONS.len() as f64;
                degeneration += 1.1 * (mean - 0.2);
            }
            disc.degeneration = degeneration.clamp(0.0, 1.0) as f32;
            disc.height *= 1.0 - 0.30 * disc.degeneration;
            disc
        })
        .collect()
}
