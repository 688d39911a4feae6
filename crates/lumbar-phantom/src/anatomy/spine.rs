//! The measures of one patient's spine, drawn from a generator and from the degrees of disease.

use rand::Rng;

use super::curve::{Curve, Frame};
use super::section::Sections;
use super::shape::Shape;
use super::tissue::Texture;
use super::varied::Variety;
use crate::disease::Disease;
use crate::seed::{between, spread};
use crate::target::{CONDITIONS, Condition, LEVELS, Side, TARGETS};
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
    /// How much higher than usual iliac crests, vessels, kidneys and conus lie over the named S1.
    pub(crate) landmarks_mm: f32,
    /// Drawn with the variety of real spines, and with the finer soft tissue that goes with it.
    pub(crate) varied: bool,
    /// What distinguishes this spine, for the truth's table: name and detail.
    pub(crate) findings: Vec<(&'static str, String)>,
    /// Index of S1's body and of the disc on it.
    pub(crate) s1: usize,
}

impl Spine {
    /// Draws a patient around the degrees of disease.
    pub(crate) fn draw(random: &mut impl Rng, disease: &[Disease; TARGETS], variety: Option<&Variety>) -> Self {
        let shape = match variety {
            None => Shape::uniform(random, disease),
            Some(variety) => Shape::varied(random, disease, variety),
        };
        let Shape { s1, mut discs, bodies, bends, breadth, .. } = shape;
        let zero = 2 * s1 + 1;
        let origin: Vector =
            [spread(random, 0.0, 6.0) as f32, spread(random, 0.0, 12.0) as f32, spread(random, -85.0, 12.0) as f32];
        let mut curve = Curve::new(&bends, zero, origin, breadth);

        let mut w = -bends[1..=zero].iter().map(|bend| bend.height_mm).sum::<f32>();
        let mut vertebrae = Vec::new();
        for (index, body) in bodies.into_iter().enumerate() {
            let (bottom, top) = (w, w + bends[2 * index + 1].height_mm);
            vertebrae.push(Vertebra {
                bottom,
                top,
                half_width: body.half_width,
                depth: body.depth,
                frame: curve.frame(0.5 * (bottom + top)),
                sacral: index <= s1,
                marrow: spread(random, 1.0, 0.05) as f32,
            });
            if let Some(disc) = discs.get_mut(index) {
                disc.w = top + 0.5 * disc.height;
                w = top + disc.height;
            }
        }
        let mut width = spread(random, 1.0, 0.012) as f32;
        if let Some([least, most]) = variety.map(|variety| variety.variation.canal_width).filter(|[a, b]| a < b) {
            width *= between(random, least, most) as f32;
        }
        let conus = discs[s1 + LEVELS.len() - 1].w + shape.landmarks_mm + spread(random, 6.0, 9.0) as f32;
        if variety.is_some() {
            curve.smooth_surroundings(12);
        }
        Self {
            sections: Sections::new(&discs, &vertebrae, width),
            texture: Texture::new(random),
            conus,
            back_fat: between(random, 9.0, 26.0) as f32,
            muscle_fat: (between(random, 0.1, 0.6) + shape.age).clamp(0.05, 0.9) as f32,
            sacrum_z: origin[2],
            skin_y: rearmost(&curve, origin[2], variety.is_some()) + between(random, 52.0, 60.0) as f32,
            landmarks_mm: shape.landmarks_mm,
            varied: variety.is_some(),
            findings: shape.findings,
            s1,
            curve,
            vertebrae,
            discs,
        }
    }

    /// The disc of a level, 0 = L1/L2 … 4 = L5/S1.
    pub(crate) fn level(&self, level: usize) -> &Disc {
        &self.discs[self.s1 + LEVELS.len() - 1 - level]
    }

    /// The frame in the middle of a level's disc.
    pub(crate) fn level_frame(&self, level: usize) -> Frame {
        self.curve.frame(self.level(level).w)
    }

    /// Where the target with this index is.
    pub(crate) fn target_point(&self, target: usize) -> Vector {
        self.point(CONDITIONS[target / LEVELS.len()], target % LEVELS.len())
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

/// y of the rearmost place of the curve, over which the back's skin lies.
fn rearmost(curve: &Curve, sacrum_z: f32, whole: bool) -> f32 {
    if whole {
        // the skin's own hollow over the loin, see `skin_depth`
        let hollow = |above: f32| 0.0011 * (above - 70.0).powi(2).min(4_000.0);
        let heights = (-2..30).map(|i| 8.0 * i as f32);
        return heights.map(|h| curve.at_height(sacrum_z + h)[1] - hollow(h)).fold(f32::MIN, f32::max);
    }
    (0..22).map(|i| curve.at_height(sacrum_z + 8.0 * i as f32)[1]).fold(f32::MIN, f32::max)
}
