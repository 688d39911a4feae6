//! The spine's curve and the coordinates that follow it.
//!
//! Anatomy is described on a straightened spine: u to the left, v to the back from the posterior wall of the
//! vertebral bodies, w upwards along that wall from the upper endplate of S1, all in millimetres. The curve bends
//! this into lordosis and scoliosis. Between two knots the planes of equal w turn about the line in which the
//! knots' planes meet; the steps between knots run along the bisector, so the map is inverted exactly.

use crate::vector::{Vector, along, blend, cross, dot, minus, unit};

/// An orthonormal frame on the curve.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) w: f32,
    pub(crate) origin: Vector,
    pub(crate) left: Vector,
    pub(crate) back: Vector,
    pub(crate) up: Vector,
    /// u of a point one millimetre to the left: above 1 in patients narrower than the plan.
    per_mm: f32,
}

impl Frame {
    /// A frame whose `up` leans as the bend says.
    fn leaning(origin: Vector, bend: &Bend, per_mm: f32) -> Self {
        let (tilt_sin, tilt_cos) = bend.tilt_deg.to_radians().sin_cos();
        let (roll_sin, roll_cos) = bend.roll_deg.to_radians().sin_cos();
        let (turn_sin, turn_cos) = bend.turn_deg.to_radians().sin_cos();
        let up = [roll_sin, -tilt_sin * roll_cos, tilt_cos * roll_cos];
        Self::upright(0.0, origin, up, [turn_cos, turn_sin, 0.0], per_mm)
    }

    #[inline]
    fn upright(w: f32, origin: Vector, up: Vector, left: Vector, per_mm: f32) -> Self {
        let left = unit(along(left, up, -dot(left, up)));
        Self { w, origin, left, back: cross(up, left), up, per_mm }
    }

    /// The rigid coordinates of a point in this frame; the third counts from the frame's own origin.
    #[inline]
    pub(crate) fn local(&self, point: Vector) -> Vector {
        let offset = minus(point, self.origin);
        [self.per_mm * dot(offset, self.left), dot(offset, self.back), dot(offset, self.up)]
    }
}

/// One knot of the curve to be: the height of the step below it, and how the plane there stands.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bend {
    pub(crate) height_mm: f32,
    /// Lean to the front.
    pub(crate) tilt_deg: f32,
    /// Lean to the left.
    pub(crate) roll_deg: f32,
    /// Rotation about the spine, left side to the back.
    pub(crate) turn_deg: f32,
    /// How far this knot and all above have slipped to the front over the knot below.
    pub(crate) slip_mm: f32,
}

/// The curve along the posterior wall of the vertebral bodies.
#[derive(Debug, Clone)]
pub(crate) struct Curve {
    frames: Vec<Frame>,
    /// How far the step above each knot departs from the bisector, times the turn of the planes: 0 without a slip.
    shears: Vec<f32>,
    lowest_z: f32,
    /// x and y of the curve at every millimetre of z.
    by_height: Vec<[f32; 2]>,
}

impl Curve {
    /// Bends, from the lowest; the first has no step below. `zero` is the knot at which w = 0, `origin` its place,
    /// `breadth` this patient's width relative to the plan.
    pub(crate) fn new(bends: &[Bend], zero: usize, origin: Vector, breadth: f32) -> Self {
        let mut frames: Vec<Frame> = Vec::with_capacity(bends.len());
        for bend in bends {
            let mut frame = Frame::leaning([0.0; 3], bend, 1.0 / breadth);
            if let Some(below) = frames.last() {
                let step = unit([below.up[0] + frame.up[0], below.up[1] + frame.up[1], below.up[2] + frame.up[2]]);
                frame.w = below.w + bend.height_mm;
                frame.origin = along(along(below.origin, step, bend.height_mm), below.back, -bend.slip_mm);
            }
            frames.push(frame);
        }
        let (shift, w) = (minus(origin, frames[zero].origin), frames[zero].w);
        for frame in &mut frames {
            frame.origin = along(frame.origin, shift, 1.0);
            frame.w -= w;
        }
        let shear = |(pair, bend): (&[Frame], &Bend)| {
            let (step, turn) = (minus(pair[1].origin, pair[0].origin), minus(pair[1].up, pair[0].up));
            if bend.slip_mm == 0.0 { 0.0 } else { dot(step, turn) }
        };
        let shears = frames.windows(2).zip(&bends[1..]).map(shear).collect();
        let mut curve = Self { frames, shears, lowest_z: 0.0, by_height: Vec::new() };
        curve.tabulate();
        curve
    }

    fn tabulate(&mut self) {
        let (first, last) = (self.frames[0], self.frames[self.frames.len() - 1]);
        self.lowest_z = first.origin[2];
        let mut w = first.w;
        let mut z = self.lowest_z;
        while w < last.w {
            let point = self.to_patient([0.0, 0.0, w]);
            while point[2] >= z {
                self.by_height.push([point[0], point[1]]);
                z += 1.0;
            }
            w += 0.25;
        }
    }

    /// Averages the curve's place by height over `reach_mm` upwards and downwards, so that what lies around the spine
    /// does not jump where a vertebra has slipped.
    pub(crate) fn smooth_surroundings(&mut self, reach_mm: usize) {
        let sharp = std::mem::take(&mut self.by_height);
        self.by_height = (0..sharp.len())
            .map(|index| {
                let near = &sharp[index.saturating_sub(reach_mm)..(index + reach_mm + 1).min(sharp.len())];
                [0, 1].map(|axis| near.iter().map(|place| place[axis]).sum::<f32>() / near.len() as f32)
            })
            .collect();
    }

    /// x and y of the curve at this height; below and above its ends, the end's.
    #[inline]
    pub(crate) fn at_height(&self, z: f32) -> [f32; 2] {
        let place = (z - self.lowest_z).clamp(0.0, (self.by_height.len() - 2) as f32);
        let (index, t) = (place as usize, place.fract());
        let (a, b) = (self.by_height[index], self.by_height[index + 1]);
        [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t]
    }

    #[inline]
    fn between(&self, index: usize, t: f32) -> Frame {
        let (a, b) = (&self.frames[index], &self.frames[index + 1]);
        let up = unit(blend(a.up, b.up, t));
        Frame::upright(a.w + (b.w - a.w) * t, blend(a.origin, b.origin, t), up, blend(a.left, b.left, t), a.per_mm)
    }

    /// The frame at w.
    pub(crate) fn frame(&self, w: f32) -> Frame {
        let last = self.frames.len() - 2;
        let index = self.frames.iter().skip(1).position(|frame| w < frame.w).unwrap_or(last).min(last);
        let (a, b) = (&self.frames[index], &self.frames[index + 1]);
        self.between(index, (w - a.w) / (b.w - a.w))
    }

    /// From spine coordinates (u, v, w) to patient coordinates.
    pub(crate) fn to_patient(&self, [u, v, w]: Vector) -> Vector {
        let frame = self.frame(w);
        along(along(frame.origin, frame.left, u / frame.per_mm), frame.back, v)
    }

    /// From patient coordinates to spine coordinates. `hint` remembers the knot for the next point nearby.
    #[inline]
    pub(crate) fn to_spine(&self, point: Vector, hint: &mut usize) -> Vector {
        let height = |index: usize| dot(minus(point, self.frames[index].origin), self.frames[index].up);
        let last = self.frames.len() - 2;
        let mut index = (*hint).min(last);
        let mut below = height(index);
        while below < 0.0 && index > 0 {
            index -= 1;
            below = height(index);
        }
        let mut above = height(index + 1);
        while above >= 0.0 && index < last {
            index += 1;
            below = above;
            above = height(index + 1);
        }
        *hint = index;
        let length = (below - above).max(1e-3);
        let mut t = below / length;
        let shear = self.shears[index];
        if shear != 0.0 {
            // The plane through the point satisfies shear·t² + (length − shear)·t − below = 0.
            let linear = length - shear;
            t = 2.0 * below / (linear + (linear * linear + 4.0 * shear * below).max(0.0).sqrt());
        }
        let frame = self.between(index, t);
        let [u, v, _] = frame.local(point);
        [u, v, frame.w]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lordotic() -> Curve {
        let bends: Vec<Bend> =
            [(0.0, 55.0, -2.0), (20.0, 40.0, 0.0), (7.0, 31.0, 1.0), (26.0, 22.0, 2.0), (30.0, -8.0, -1.0)]
                .map(|(height_mm, tilt_deg, roll_deg)| Bend { height_mm, tilt_deg, roll_deg, ..Bend::default() })
                .to_vec();
        Curve::new(&bends, 1, [3.0, -10.0, 40.0], 1.0)
    }

    /// Narrow, rotated, with a vertebra slipped by 8 mm over the disc from w = 0 to 7.
    fn slipped() -> Curve {
        let mut bends: Vec<Bend> = [(0.0, 55.0, -6.0), (20.0, 40.0, 0.0), (7.0, 28.0, 4.0), (26.0, 22.0, 9.0)]
            .map(|(height_mm, tilt_deg, roll_deg)| Bend {
                height_mm,
                tilt_deg,
                roll_deg,
                turn_deg: 8.0,
                ..Bend::default()
            })
            .to_vec();
        bends[2].slip_mm = 8.0;
        Curve::new(&bends, 1, [3.0, -10.0, 40.0], 0.85)
    }

    #[test]
    fn spine_coordinates_invert() {
        spine_coordinates_of_this_curve_invert(&lordotic());
    }

    #[test]
    fn spine_coordinates_invert_across_a_slip() {
        spine_coordinates_of_this_curve_invert(&slipped());
    }

    #[test]
    fn a_slip_moves_everything_above_to_the_front() {
        let curve = slipped();
        let frame = curve.frame(0.0);
        let above = frame.local(curve.to_patient([0.0, 0.0, 7.0]));
        assert!((above[1] + 8.0).abs() < 1.5, "{above:?}");
    }

    fn spine_coordinates_of_this_curve_invert(curve: &Curve) {
        let mut hint = 0;
        for w in [-15.0, -1.0, 0.0, 3.0, 6.9, 7.1, 20.0, 50.0] {
            for (u, v) in [(0.0, 0.0), (18.0, 5.0), (-25.0, -30.0), (10.0, 20.0)] {
                let found = curve.to_spine(curve.to_patient([u, v, w]), &mut hint);
                let error = minus(found, [u, v, w]).iter().fold(0.0_f32, |most, e| most.max(e.abs()));
                assert!(error < 1e-3, "{:?} came back as {found:?}", [u, v, w]);
            }
        }
    }

    #[test]
    fn left_is_positive_x_and_back_is_positive_y() {
        let curve = lordotic();
        let origin = curve.to_patient([0.0, 0.0, 20.0]);
        assert!(curve.to_patient([10.0, 0.0, 20.0])[0] > origin[0] + 9.0);
        assert!(curve.to_patient([0.0, 10.0, 20.0])[1] > origin[1] + 8.0);
        assert_eq!(curve.to_patient([0.0, 0.0, 0.0]), [3.0, -10.0, 40.0]);
    }
}
