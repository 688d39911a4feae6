//! Where the slices of a synthetic series are, and how they look.

use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use super::SyntheticConfig;
use super::acquisition::Acquisition;
use crate::anatomy::Spine;
use crate::plane::{Plane, sagittal_directions};
use crate::seed::{between, chance, spread};
use crate::series::Kind;
use crate::target::LEVELS;
use crate::vector::{Vector, cross, unit};

/// How tissues get their signal.
///
/// | look | contrasts | acquisition |
/// |---|---|---|
/// | `physical` | the phantom's T1, T2 and STIR | the phantom's: mild fall-off, noise, a faint ghost |
/// | `varied` | the same and fat-saturated T2, each tissue brighter or darker by up to a factor of two | strong fall-off from the back, bias, texture, blur, noise, ghosts, fold-over, black borders; patches of other signal in marrow, belly and back |
/// | `randomised` | each tissue drawn anew, as in SynthSeg (Billot et al., arXiv:2107.09559) | as `varied` |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Appearance {
    /// The phantom's own.
    Physical,
    /// Physical contrasts, widely varied.
    Varied,
    /// Random contrasts.
    Randomised,
}

impl Appearance {
    /// Every look.
    pub const ALL: [Self; 3] = [Self::Physical, Self::Varied, Self::Randomised];

    /// The name, as in a config.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Physical => "physical",
            Self::Varied => "varied",
            Self::Randomised => "randomised",
        }
    }
}

/// Smallest and largest height of a sagittal field, in millimetres.
const FIELD_MM: [f64; 2] = [200.0, 350.0];
/// Free space between the outermost canal point and the edge of the field, where all are shown.
const MARGIN_MM: f64 = 8.0;
/// Share of the studies that show all five levels.
const COMPLETE: f64 = 0.92;

/// One series.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) kind: Kind,
    pub(super) appearance: Appearance,
    pub(super) acquisition: Acquisition,
    pub(super) count: usize,
    pub(super) field_mm: [f64; 2],
    middle: [f64; 3],
    directions: (Vector, Vector),
    left: Vector,
    gap_mm: f64,
    thickness_mm: f64,
}

impl View {
    pub(super) fn draw(random: &mut StdRng, config: &SyntheticConfig, spine: &Spine) -> Self {
        let appearance = {
            let at = between(random, 0.0, config.physical + config.varied + config.randomised);
            match at {
                at if at < config.physical => Appearance::Physical,
                at if at < config.physical + config.varied => Appearance::Varied,
                _ => Appearance::Randomised,
            }
        };
        let kind = if chance(random, 0.45) { Kind::SagittalT1 } else { Kind::SagittalT2 };
        let canal: Vec<[f64; 3]> = (0..LEVELS.len()).map(|level| spine.target_point(level).map(f64::from)).collect();
        let mean = |axis: usize| canal.iter().map(|point| point[axis]).sum::<f64>() / canal.len() as f64;
        let (yaw, roll) = (spread(random, 0.0, 2.0) as f32, spread(random, 0.0, 2.0) as f32);
        let directions = sagittal_directions(yaw, roll);
        let left = unit(cross(directions.1, directions.0));
        let half_length = canal.iter().map(|point| (point[2] - mean(2)).abs()).fold(0.0, f64::max);
        let least = if chance(random, COMPLETE) { 2.0 * (half_length + MARGIN_MM) } else { FIELD_MM[0] };
        let height = between(random, least.clamp(FIELD_MM[0], FIELD_MM[1] - 1.0), FIELD_MM[1]);
        let free = (0.5 * height - half_length - MARGIN_MM).clamp(10.0, 70.0);
        let width = height * if chance(random, 0.6) { 1.0 } else { between(random, 0.6, 1.0) };
        // the belly is in front: the middle of a large field is far in front of the canal
        let ahead = between(random, -12.0, (0.5 * width - 60.0).clamp(0.0, 50.0));
        let middle = [mean(0) + between(random, -8.0, 8.0), mean(1) - ahead, mean(2) + between(random, -free, free)];
        let gap_mm = between(random, config.gap_mm[0], config.gap_mm[1]);
        let half = between(random, 24.0, 34.0);
        Self {
            kind,
            appearance,
            acquisition: Acquisition::draw(random, (kind, appearance), [width, height], spine),
            count: (2.0 * half / gap_mm).ceil() as usize + 1,
            field_mm: [height, width],
            middle,
            directions,
            left,
            gap_mm,
            thickness_mm: gap_mm * between(random, 0.75, 0.97),
        }
    }

    /// The middle of a slice.
    pub(super) fn middle_of(&self, slice: usize) -> [f64; 3] {
        let offset = (slice as f64 - 0.5 * (self.count as f64 - 1.0)) * self.gap_mm;
        std::array::from_fn(|axis| self.middle[axis] + f64::from(self.left[axis]) * offset)
    }

    /// A slice with pixels of this size.
    pub(super) fn plane(&self, slice: usize, pixel_mm: f64) -> Plane {
        let [rows, columns] = self.field_mm.map(|mm| (mm / pixel_mm).round().max(1.0) as usize);
        let extent = (self.thickness_mm, self.gap_mm);
        Plane::around(self.middle_of(slice), self.directions, [pixel_mm; 2], (rows, columns), extent)
    }
}
