//! The series of a study: position and numbering of their slices.

use rand::rngs::StdRng;
use rand::{Rng, RngExt};

use crate::Detail;
use crate::anatomy::{Frame, Spine, Weighting};
use crate::field::Field;
use crate::plane::{Plane, axial_directions, sagittal_directions};
use crate::render::Look;
use crate::seed::{between, chance, pick, spread};
use crate::target::LEVELS;
use crate::vector::{Vector, along, dot, minus, unit};

/// The three kinds of series, named as in train_series_descriptions.csv.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    SagittalT1,
    SagittalT2,
    AxialT2,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SagittalT1 => "Sagittal T1",
            Self::SagittalT2 => "Sagittal T2/STIR",
            Self::AxialT2 => "Axial T2",
        }
    }

    /// SeriesDescription in the files.
    pub(crate) fn description(self) -> &'static str {
        if self == Self::SagittalT1 { "T1" } else { "T2" }
    }
}

/// One series, slices in the order of their instance numbers.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) kind: Kind,
    pub(crate) id: u64,
    pub(crate) look: Look,
    pub(crate) planes: Vec<Plane>,
    pub(crate) instance_numbers: Vec<u32>,
}

impl Series {
    fn numbered(kind: Kind, look: Look, planes: Vec<Plane>) -> Self {
        let instance_numbers = (1..=planes.len() as u32).collect();
        Self { kind, id: 0, look, planes, instance_numbers }
    }

    /// The nearest slice that shows the point; `None` if no slice does.
    pub(crate) fn nearest(&self, point: [f64; 3]) -> Option<(usize, crate::plane::Projection)> {
        let seen = self.planes.iter().map(|plane| plane.project(point)).enumerate();
        seen.filter(|(index, seen)| self.planes[*index].shows(seen))
            .min_by(|(_, a), (_, b)| a.distance_mm.abs().total_cmp(&b.distance_mm.abs()))
    }

    /// Inserts a gap into the instance numbers or makes them start above 1; returns a description.
    pub(crate) fn break_numbers(&mut self, random: &mut impl Rng) -> String {
        let count = self.planes.len() as u32;
        if chance(random, 0.4) {
            let first = random.random_range(2..=9);
            self.instance_numbers.iter_mut().for_each(|number| *number += first - 1);
            return format!("instance numbers start at {first}");
        }
        let after = random.random_range(1..count);
        let jump = pick(random, &[1, 2, 3, 97, 5_006]);
        self.instance_numbers.iter_mut().filter(|number| **number > after).for_each(|number| *number += jump);
        format!("instance numbers jump from {after} to {}", after + 1 + jump)
    }
}

/// What the sagittal and axial series of a study share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Protocol<'a> {
    pub(crate) spine: &'a Spine,
    pub(crate) detail: Detail,
    /// `None`: the field follows the anatomy.
    pub(crate) field: Option<&'a Field>,
}

/// A sagittal series. Instance numbers increase towards the patient's left, unless `flipped`.
pub(crate) fn sagittal(random: &mut StdRng, protocol: Protocol<'_>, kind: Kind, flipped: bool) -> Series {
    let Protocol { spine, detail, field } = protocol;
    let stir = kind == Kind::SagittalT2 && chance(random, 0.15);
    let weighting = match kind {
        Kind::SagittalT1 => Weighting::T1,
        _ if stir => Weighting::Stir,
        _ => Weighting::T2,
    };
    let saturated = chance(random, 0.75);
    let look = Look::draw(random, weighting, saturated, spine.varied);
    let matrix = match detail {
        Detail::Coarse => pick(random, &[(160, 112), (176, 128), (192, 128)]),
        Detail::Standard => pick(random, &[(256, 176), (256, 192), (288, 200), (320, 208), (320, 224)]),
        Detail::Full => {
            pick(random, &[(320, 320), (384, 384), (448, 448), (512, 512), (462, 448), (320, 232), (640, 448)])
        }
    };
    let count: usize = match detail {
        Detail::Coarse => pick(random, &[11, 12, 13]),
        Detail::Standard => pick(random, &[11, 12, 13, 13, 14, 15, 17]),
        Detail::Full => pick(random, &[15, 16, 17, 18, 19, 21]),
    };
    let field_mm = between(random, 250.0, 275.0);
    // The slices cover both foramina.
    let gap = rounded((52.0 / (count - 1) as f64).clamp(3.3, 5.2) + between(random, 0.0, 0.3), 1e2);
    let thin = between(random, 0.82, 0.96);
    let directions = sagittal_directions(spread(random, 0.0, 1.0) as f32, spread(random, 0.0, 0.8) as f32);
    let frames: Vec<Frame> = (0..LEVELS.len()).map(|level| spine.level_frame(level)).collect();
    let mean = |axis: usize| frames.iter().map(|f| f64::from(f.origin[axis])).sum::<f64>() / frames.len() as f64;
    let middle = [mean(0), mean(1) + spread(random, 8.0, 4.0), f64::from(spine.sacrum_z) + spread(random, 80.0, 5.0)];
    let left = unit(crate::vector::cross(directions.1, directions.0));
    debug_assert!(left[0] > 0.9);
    let (field_mm, middle, count, gap) = match field {
        None => (field_mm, middle, count, gap),
        Some(field) => {
            let middle = field.middle.map(|place| place + between(random, -2.0, 2.0));
            let (count, gap) = field.slices(random, middle, left);
            (field.height_mm, middle, count, rounded(gap, 1e2))
        }
    };
    let spacing = rounded(field_mm / matrix.0 as f64, 1e4);
    let thickness = rounded(gap * thin, 1e1);
    let mut planes: Vec<Plane> = (0..count)
        .map(|index| {
            let offset = (index as f64 - 0.5 * (count - 1) as f64) * gap;
            let middle = std::array::from_fn(|axis| middle[axis] + f64::from(left[axis]) * offset);
            Plane::around(middle, directions, [spacing; 2], matrix, (thickness, gap))
        })
        .collect();
    if flipped {
        planes.reverse();
    }
    Series::numbered(kind, look, planes)
}

/// The axial slices over some levels: one block, or one oblique stack per disc. Instance numbers increase
/// downwards, unless `reversed`.
pub(crate) fn axial(
    random: &mut StdRng,
    protocol: Protocol<'_>,
    levels: std::ops::Range<usize>,
    (stacks, reversed): (bool, bool),
) -> Series {
    let Protocol { spine, detail, field } = protocol;
    let look = Look::draw(random, Weighting::T2, false, spine.varied);
    let (rows, columns) = match detail {
        Detail::Coarse => pick(random, &[(128, 128), (144, 128), (160, 160)]),
        Detail::Standard => pick(random, &[(192, 192), (208, 192), (224, 224), (256, 208), (256, 256)]),
        Detail::Full => pick(random, &[(256, 256), (320, 320), (384, 384), (320, 290), (512, 512)]),
    };
    let gap = match detail {
        _ if stacks => between(random, 3.8, 4.6),
        Detail::Coarse => between(random, 5.4, 6.0),
        Detail::Standard => between(random, 4.9, 6.0),
        Detail::Full => between(random, 3.6, 4.8),
    };
    let gap = rounded(gap, 1e2);
    let thickness = rounded(gap * between(random, 0.85, 1.0), 1e1);
    let spacing = rounded(between(random, 160.0, 178.0) / rows as f64, 1e4);
    let slice = |middle: Vector, up: Vector| {
        let directions = axial_directions(up);
        let middle = field.map_or(middle, |field| field.shift_axial(middle, directions));
        Plane::around(middle.map(f64::from), directions, [spacing; 2], (rows, columns), (thickness, gap))
    };
    let mut planes = Vec::new();
    if stacks {
        let count: usize = if detail == Detail::Full { pick(random, &[5, 6, 7]) } else { pick(random, &[4, 5, 5]) };
        for level in levels {
            let frame = spine.level_frame(level);
            let tilt = spread(random, 0.0, 2.5).to_radians() as f32;
            let up = unit(along(frame.up, frame.back, tilt));
            let middle = along(frame.origin, frame.back, -4.0);
            for index in 0..count {
                let offset = (0.5 * (count - 1) as f64 - index as f64) * gap;
                planes.push(slice(along(middle, up, offset as f32), up));
            }
        }
    } else {
        let (top, bottom) = (spine.level_frame(levels.start), spine.level_frame(levels.end - 1));
        let axis = minus(top.origin, bottom.origin);
        let lean = spread(random, 0.08, 0.04) as f32;
        let up = unit(along(unit(axis), [0.0, -1.0, 0.0], lean));
        let reach = dot(axis, up) + 2.0 * between(random, 8.0, 13.0) as f32;
        let count = (f64::from(reach) / gap).ceil() as usize + 1;
        let middle = along(along(bottom.origin, axis, 0.5), [0.0, 1.0, 0.0], -4.0);
        for index in 0..count {
            let offset = (0.5 * (count - 1) as f64 - index as f64) * gap;
            planes.push(slice(along(middle, up, offset as f32), up));
        }
    }
    if reversed {
        planes.reverse();
    }
    Series::numbered(Kind::AxialT2, look, planes)
}

fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}
