//! The measures of one patient's spine, drawn from a generator and from the degrees of disease.

use rand::Rng;

use super::curve::{Bend, Curve, Frame};
use super::section::Sections;
use super::tissue::Texture;
use crate::disease::Disease;
use crate::seed::{between, normal, spread};
use crate::target::{CONDITIONS, Condition, LEVELS, Side, TARGETS, target};
use crate::vector::Vector;

/// One vertebral body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vertebra {
    /// w of its lower and upper endplate.
    pub(crate) bottom: f32,
    pub(crate) top: f32,
    pub(crate) half_width: f32,
    pub(crate) depth: f32,
    /// Its rigid frame: origin at mid height on the posterior wall.
    pub(crate) frame: Frame,
    /// S1 and below.
    pub(crate) sacral: bool,
    /// Marrow signal relative to the table's.
    pub(crate) marrow: f32,
}

/// One disc and what lies around it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Disc {
    /// w of its middle.
    pub(crate) w: f32,
    /// Height at the posterior wall.
    pub(crate) height: f32,
    /// 0 (healthy) to 1: brightness of the nucleus.
    pub(crate) degeneration: f32,
    /// Degree of canal stenosis.
    pub(crate) canal: f32,
    /// Degree of foraminal narrowing: left, right.
    pub(crate) foramen: [f32; 2],
    /// Degree of subarticular stenosis: left, right.
    pub(crate) recess: [f32; 2],
    /// S1/S2 and below: thin, without foramina of its own.
    pub(crate) sacral: bool,
}

impl Disc {
    /// Centre of the foramen in (v, w) and its half axes.
    pub(crate) fn foramen(&self, side: usize) -> ([f32; 2], [f32; 2]) {
        let degree = self.foramen[side];
        ([2.8, self.w + 5.0], [5.3 * (1.0 - 0.66 * degree), 8.8 * (1.0 - 0.30 * degree)])
    }
}

/// Lateral place of the foramen's and the recess's centre.
pub(crate) const FORAMEN_U: f32 = 17.5;
pub(crate) const RECESS_U: f32 = 10.2;

/// One patient.
#[derive(Debug, Clone)]
pub(crate) struct Spine {
    pub(crate) curve: Curve,
    /// From below.
    pub(crate) vertebrae: Vec<Vertebra>,
    /// From below; `discs[i]` lies on `vertebrae[i]`.
    pub(crate) discs: Vec<Disc>,
    pub(crate) sections: Sections,
    pub(crate) texture: Texture,
    /// w of the tip of the spinal cord.
    pub(crate) conus: f32,
    /// Depth of subcutaneous fat at the back.
    pub(crate) back_fat: f32,
    /// Fatty streaks in the muscles, 0 to 1.
    pub(crate) muscle_fat: f32,
    /// Height of the upper endplate of S1.
    pub(crate) sacrum_z: f32,
    /// y of the skin of the back above the spine.
    pub(crate) skin_y: f32,
}

/// Bodies from S4 to T10: posterior height, half width, depth, loss of lean upwards.
const BODIES: [(f32, f32, f32, f32); 11] = [
    (17.0, 13.0, 11.0, -9.0),
    (19.0, 17.0, 13.0, -4.0),
    (22.0, 21.0, 18.0, 5.0),
    (27.0, 25.5, 30.0, 13.0),
    (23.5, 26.5, 34.5, 8.5),
    (25.5, 25.5, 34.0, 4.0),
    (26.5, 24.5, 33.5, 1.5),
    (26.5, 23.5, 32.5, 0.5),
    (26.0, 22.5, 31.5, -0.5),
    (24.5, 21.5, 30.5, -1.5),
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
    (7.0, 5.0),
    (6.2, 3.5),
    (5.0, 1.5),
    (4.5, 1.0),
];
/// Index of S1's body and of L5/S1's disc.
const S1: usize = 3;

impl Spine {
    /// Draws a patient around the degrees of disease.
    pub(crate) fn draw(random: &mut impl Rng, disease: &[Disease; TARGETS]) -> Self {
        let size = spread(random, 1.0, 0.04) as f32;
        let sacral_slope = spread(random, 39.0, 5.0) as f32;
        let lordosis = spread(random, 1.0, 0.12) as f32;
        let scoliosis_deg = spread(random, 0.0, 3.0) as f32;
        let phase = between(random, 0.0, 3.0) as f32;
        let age = between(random, -0.15, 0.25);
        let mut discs = discs(random, disease, age, size);

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
                Bend { height_mm, tilt_deg: tilt, roll_deg }
            })
            .collect();
        let origin: Vector =
            [spread(random, 0.0, 6.0) as f32, spread(random, 0.0, 12.0) as f32, spread(random, -85.0, 12.0) as f32];
        let curve = Curve::new(&bends, zero, origin);

        let mut w = -heights[1..=zero].iter().sum::<f32>();
        let mut vertebrae = Vec::new();
        for (index, (_, half_width, depth, _)) in BODIES.into_iter().enumerate() {
            let (bottom, top) = (w, w + heights[2 * index + 1]);
            vertebrae.push(Vertebra {
                bottom,
                top,
                half_width: half_width * size,
                depth: depth * size,
                frame: curve.frame(0.5 * (bottom + top)),
                sacral: index <= S1,
                marrow: spread(random, 1.0, 0.05) as f32,
            });
            if let Some(disc) = discs.get_mut(index) {
                disc.w = top + 0.5 * disc.height;
                w = top + disc.height;
            }
        }
        let width = spread(random, 1.0, 0.015) as f32;
        let conus = discs[S1 + LEVELS.len() - 1].w + spread(random, 6.0, 9.0) as f32;
        let nearest_skin = (0..22).map(|i| curve.at_height(origin[2] + 8.0 * i as f32)[1]).fold(f32::MIN, f32::max);
        Self {
            sections: Sections::new(&discs, &vertebrae, width),
            texture: Texture::new(random),
            conus,
            back_fat: between(random, 9.0, 26.0) as f32,
            muscle_fat: (between(random, 0.1, 0.6) + age).clamp(0.05, 0.9) as f32,
            sacrum_z: origin[2],
            skin_y: nearest_skin + between(random, 52.0, 60.0) as f32,
            curve,
            vertebrae,
            discs,
        }
    }

    /// The disc of a level, 0 = L1/L2 … 4 = L5/S1.
    pub(crate) fn level(&self, level: usize) -> &Disc {
        &self.discs[S1 + LEVELS.len() - 1 - level]
    }

    /// The frame in the middle of a level's disc.
    pub(crate) fn level_frame(&self, level: usize) -> Frame {
        self.curve.frame(self.level(level).w)
    }

    /// Where a target is: the middle of the canal, of the foramen beside its root, of the recess.
    pub(crate) fn point(&self, condition: Condition, level: usize) -> Vector {
        let disc = self.level(level);
        let index = |side: Side| usize::from(side == Side::Right);
        let spine_point = match condition {
            Condition::Spinal => [0.0, self.sections.canal_middle(disc.w), disc.w],
            Condition::Foraminal(side) => {
                let ([v, w], _) = disc.foramen(index(side));
                [side.sign() as f32 * FORAMEN_U, v, w]
            }
            Condition::Subarticular(side) => {
                let u = side.sign() as f32 * RECESS_U;
                [u, self.sections.recess_middle(u, disc.w), disc.w]
            }
        };
        self.curve.to_patient(spine_point)
    }
}

fn discs(random: &mut impl Rng, disease: &[Disease; TARGETS], age: f64, size: f32) -> Vec<Disc> {
    DISCS
        .iter()
        .enumerate()
        .map(|(index, &(height, _))| {
            let mut disc = Disc { height: height * size, sacral: index < S1, ..Disc::default() };
            let mut degeneration = 0.25 + age + 0.12 * normal(random);
            if (S1..S1 + LEVELS.len()).contains(&index) {
                let level = S1 + LEVELS.len() - 1 - index;
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
