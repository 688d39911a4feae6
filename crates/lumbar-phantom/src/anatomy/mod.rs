//! One patient's lumbar spine, analytically: a signal at every point of space.

mod bone;
mod canal;
mod curve;
mod section;
mod shape;
mod soft;
mod spine;
mod tissue;
mod varied;

pub(crate) use curve::Frame;
pub(crate) use spine::Spine;
pub(crate) use tissue::{Contrast, Weighting};
pub(crate) use varied::Variety;

use crate::vector::Vector;
use tissue::step;

impl Spine {
    /// The signal of the tissue at `point` (patient coordinates), before coil, noise and motion.
    ///
    /// `hint` speeds up a walk along neighbouring points; `saturated` dims what lies in front of the spine, as a
    /// saturation band does.
    #[inline]
    pub(crate) fn signal(&self, point: Vector, contrast: &Contrast, saturated: bool, hint: &mut usize) -> f32 {
        let surroundings = self.surroundings(point, contrast);
        self.signal_over(surroundings, point, contrast, saturated, hint)
    }

    /// The signal around the spine at `point`, as if there were no spine.
    #[inline]
    pub(crate) fn surroundings(&self, point: Vector, contrast: &Contrast) -> f32 {
        let [x, y] = self.curve.at_height(point[2]);
        self.soft_tissue(point[0] - x, point[1] - y, point, contrast)
    }

    /// [`signal`](Self::signal) with the surroundings already known.
    #[inline]
    pub(crate) fn signal_over(
        &self,
        surroundings: f32,
        point: Vector,
        contrast: &Contrast,
        saturated: bool,
        hint: &mut usize,
    ) -> f32 {
        let [x, y] = self.curve.at_height(point[2]);
        let (x, y) = (point[0] - x, point[1] - y);
        let mut signal = surroundings;
        if x.abs() < 60.0 && y > -62.0 && y < 62.0 {
            let at = self.curve.to_spine(point, hint);
            signal = self.bodies(signal, at, point, contrast);
            if x.abs() < 46.0 && y > -10.0 {
                signal = self.arches(signal, at[2], point, contrast);
            }
            signal = self.canal(signal, at, contrast);
        }
        if saturated {
            signal *= 1.0 - 0.82 * step(-52.0, -68.0, y);
        }
        signal
    }
}

#[cfg(test)]
mod tests {
    use super::section::Sections;
    use super::*;
    use crate::disease::DiseaseModel;
    use crate::seed::generator;
    use crate::target::{CONDITIONS, Condition, LEVELS, Side, TARGETS};
    use crate::vector::minus;

    fn healthy() -> Spine {
        let disease = DiseaseModel::new(0.5, 0.4).draw(&mut generator(5, 0, "disease"), &[0.0; TARGETS]);
        let mut spine = Spine::draw(&mut generator(5, 0, "anatomy"), &disease, None);
        for disc in &mut spine.discs {
            (disc.canal, disc.foramen, disc.recess) = (0.1, [0.1; 2], [0.1; 2]);
        }
        spine.sections = Sections::new(&spine.discs, &spine.vertebrae, 1.0);
        spine
    }

    /// The same spine with one target at degree 0.9.
    fn with_one(spine: &Spine, condition: Condition, level: usize) -> Spine {
        let mut spine = spine.clone();
        let w = spine.level(level).w;
        let disc = spine.discs.iter_mut().find(|disc| disc.w == w).unwrap();
        match condition {
            Condition::Spinal => disc.canal = 0.9,
            Condition::Foraminal(side) => disc.foramen[usize::from(side == Side::Right)] = 0.9,
            Condition::Subarticular(side) => disc.recess[usize::from(side == Side::Right)] = 0.9,
        }
        spine.sections = Sections::new(&spine.discs, &spine.vertebrae, 1.0);
        spine
    }

    #[test]
    fn disease_changes_the_picture_around_its_own_point_and_nowhere_else() {
        let spine = healthy();
        let contrast = Contrast::of(Weighting::T2);
        for condition in CONDITIONS {
            for level in 0..LEVELS.len() {
                let sick = with_one(&spine, condition, level);
                let middle = spine.level_frame(level);
                let point = spine.point(condition, level);
                let (mut changed, mut farthest) = (0, 0.0_f32);
                for step in 0..80_i32.pow(3) {
                    let place = [step % 80, step / 80 % 80, step / 6_400].map(|i| 1.5 * (i as f32 - 40.0));
                    let at = [0, 1, 2].map(|axis| middle.origin[axis] + place[axis]);
                    let mut hints = (0, 0);
                    let before = spine.signal(at, &contrast, false, &mut hints.0);
                    let after = sick.signal(at, &contrast, false, &mut hints.1);
                    if (before - after).abs() > 0.02 {
                        changed += 1;
                        let offset = minus(at, point);
                        farthest = farthest.max(crate::vector::dot(offset, offset).sqrt());
                    }
                }
                assert!(changed > 20, "{condition:?} at {level}: {changed} points changed");
                // 18 mm: the height of a foramen, the length of a narrowed canal
                assert!(farthest < 18.0, "{condition:?} at {level}: {farthest} mm away");
            }
        }
    }

    #[test]
    fn the_aorta_lies_on_the_left() {
        let spine = healthy();
        let frame = spine.level_frame(1);
        let at = |u: f32| {
            let [x, y] = spine.curve.at_height(frame.origin[2]);
            spine.signal([x + u, y - 46.0, frame.origin[2]], &Contrast::of(Weighting::T2), false, &mut 0)
        };
        // both are flow voids; the vein's border reaches farther to the right than the artery's to the left
        assert!(at(9.0) < 0.1 && at(-23.0) < 0.15 && at(23.0) > 0.3);
    }
}
