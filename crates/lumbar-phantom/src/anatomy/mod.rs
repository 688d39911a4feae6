//! One patient's lumbar spine, analytically: a signal at every point of space.

mod bone;
mod canal;
mod curve;
mod section;
mod soft;
mod spine;
mod tissue;

pub(crate) use curve::Frame;
pub(crate) use spine::Spine;
pub(crate) use tissue::{Contrast, Weighting};

use crate::vector::Vector;
use tissue::step;

impl Spine {
    /// The signal of the tissue at `point` (patient coordinates), before coil, noise and motion.
    ///
    /// `hint` speeds up a walk along neighbouring points; `saturated` dims what lies in front of the spine, as a
    /// saturation band does.
    #[inline]
    pub(crate) fn signal(&self, point: Vector, contrast: &Contrast, saturated: bool, hint: &mut usize) -> f32 {
        let [x, y] = self.curve.at_height(point[2]);
        let (x, y) = (point[0] - x, point[1] - y);
        let mut signal = self.soft_tissue(x, y, point, contrast);
        if x.abs() < 60.0 && y > -62.0 && y < 62.0 {
            let at = self.curve.to_spine(point, hint);
            signal = self.bodies(signal, at, point, contrast);
            if x.abs() < 46.0 && y > -10.0 {
                signal = self.arches(signal, point, contrast);
            }
            signal = self.canal(signal, at, contrast);
        }
        if saturated {
            signal *= 1.0 - 0.82 * step(-52.0, -68.0, y);
        }
        signal
    }
}
