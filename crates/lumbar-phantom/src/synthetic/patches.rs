//! Ellipsoids in which tissue is brighter or darker: what patients have here and there, without a drawing of its own.

use rand::rngs::StdRng;

use crate::anatomy::Spine;
use crate::plane::Plane;
use crate::seed::{between, chance, normal};
use crate::vector::{Vector, along, dot, minus};

/// Share of vertebrae with changes along an end plate, and with a spot in the marrow.
const END_PLATE: f64 = 0.15;
const MARROW: f64 = 0.12;
/// Most bowel loops, vessels, nodes and cysts in front of the spine.
const BELLY: f64 = 14.0;
/// Share of studies with a scar, an oedema or a cyst behind the canal.
const BEHIND: f64 = 0.3;

/// One ellipsoid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patch {
    middle: Vector,
    axes: [Vector; 3],
    /// In millimetres, along the axes.
    radii_mm: [f32; 3],
    /// What the signal is multiplied with in the middle.
    factor: f32,
}

impl Patch {
    /// Those of one study.
    pub(super) fn draw(random: &mut StdRng, spine: &Spine) -> Vec<Self> {
        let mut patches = Vec::new();
        let single = |value: f64| value as f32;
        for vertebra in &spine.vertebrae {
            let (frame, half) = (vertebra.frame, 0.5 * (vertebra.top - vertebra.bottom));
            let axes = [frame.left, frame.back, frame.up];
            let middle = along(frame.origin, frame.back, -0.5 * vertebra.depth);
            let factor = |random: &mut StdRng| single((0.7 * normal(random).clamp(-2.0, 2.0)).exp());
            if chance(random, END_PLATE) {
                // oedema, fat or sclerosis along an end plate, or a node that breaks through it
                let side = if chance(random, 0.5) { half } else { -half };
                let at = along(middle, frame.up, side);
                let at = along(at, frame.back, single(between(random, -0.4, 0.4)) * vertebra.depth);
                let radii_mm = [between(random, 6.0, 20.0), between(random, 4.0, 18.0), between(random, 3.0, 9.0)];
                patches.push(Self { middle: at, axes, radii_mm: radii_mm.map(single), factor: factor(random) });
            }
            if chance(random, MARROW) {
                let at = along(middle, frame.up, single(between(random, -0.6, 0.6)) * half);
                let at = along(at, frame.left, single(between(random, -0.6, 0.6)) * vertebra.half_width);
                let radius_mm = single(between(random, 3.0, 10.0));
                patches.push(Self { middle: at, axes, radii_mm: [radius_mm; 3], factor: factor(random) });
            }
        }
        for _ in 0..between(random, 0.0, BELLY) as usize {
            let frame = spine.level_frame(between(random, 0.0, 4.99) as usize);
            let ahead_mm = between(random, 50.0, 140.0);
            let middle = along(frame.origin, frame.back, -single(ahead_mm));
            let middle = along(middle, frame.left, single(between(random, -45.0, 45.0)));
            let radii_mm = [0, 1, 2].map(|_| single(between(random, 5.0, 0.3 * ahead_mm)));
            // gas is black, fluid bright
            let factor = if chance(random, 0.3) { 0.05 } else { single(between(random, 0.2, 2.6)) };
            patches.push(Self { middle, axes: [frame.left, frame.back, frame.up], radii_mm, factor });
        }
        if chance(random, BEHIND) {
            let frame = spine.level_frame(between(random, 0.0, 4.99) as usize);
            let middle = along(frame.origin, frame.back, single(between(random, 32.0, 60.0)));
            let radii_mm =
                [between(random, 4.0, 18.0), between(random, 4.0, 12.0), between(random, 6.0, 40.0)].map(single);
            let factor = single(between(random, 0.3, 2.6));
            patches.push(Self { middle, axes: [frame.left, frame.back, frame.up], radii_mm, factor });
        }
        patches
    }

    /// Whether a slice cuts it.
    pub(super) fn meets(&self, plane: &Plane) -> bool {
        let [offset, normal] = [
            std::array::from_fn(|axis| self.middle[axis] - plane.position[axis] as f32),
            plane.normal().map(|value| value as f32),
        ];
        let reach_mm = self.radii_mm.into_iter().fold(0.0, f32::max) + 0.5 * plane.thickness_mm as f32;
        dot(offset, normal).abs() < reach_mm
    }

    /// What the signal at a point is multiplied with; outlines are soft.
    pub(super) fn gain(&self, point: Vector) -> f32 {
        let offset = minus(point, self.middle);
        let mut distance = 0.0;
        for (axis, radius_mm) in self.axes.iter().zip(self.radii_mm) {
            distance += (dot(offset, *axis) / radius_mm).powi(2);
            if distance >= 1.0 {
                return 1.0;
            }
        }
        1.0 + (self.factor - 1.0) * (2.5 * (1.0 - distance)).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SyntheticConfig, SyntheticStudy};
    use super::*;
    use crate::seed::generator;

    #[test]
    fn a_patch_changes_its_middle_and_nothing_beyond_its_radii() {
        let study = SyntheticStudy::draw(&SyntheticConfig::default(), 2, 2);
        let patches = Patch::draw(&mut generator(4, 0, "test"), &study.spine);
        assert!(!patches.is_empty());
        for patch in patches {
            assert!((patch.gain(patch.middle) - patch.factor).abs() < 1e-6);
            for (axis, radius_mm) in patch.axes.into_iter().zip(patch.radii_mm) {
                let beyond = along(patch.middle, axis, 1.01 * radius_mm);
                assert!((patch.gain(beyond) - 1.0).abs() < 1e-6);
            }
        }
    }
}
