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
}

impl Frame {
    /// A frame whose `up` leans to the front by `tilt_deg` and to the left by `roll_deg`.
    fn leaning(w: f32, origin: Vector, tilt_deg: f32, roll_deg: f32) -> Self {
        let (tilt_sin, tilt_cos) = tilt_deg.to_radians().sin_cos();
        let (roll_sin, roll_cos) = roll_deg.to_radians().sin_cos();
        let up = [roll_sin, -tilt_sin * roll_cos, tilt_cos * roll_cos];
        Self::upright(w, origin, up, [1.0, 0.0, 0.0])
    }

    #[inline]
    fn upright(w: f32, origin: Vector, up: Vector, left: Vector) -> Self {
        let left = unit(along(left, up, -dot(left, up)));
        Self { w, origin, left, back: cross(up, left), up }
    }

    /// The rigid coordinates of a point in this frame; the third counts from the frame's own origin.
    #[inline]
    pub(crate) fn local(&self, point: Vector) -> Vector {
        let offset = minus(point, self.origin);
        [dot(offset, self.left), dot(offset, self.back), dot(offset, self.up)]
    }
}

/// One knot of the curve to be: the height of the step below it and its lean.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bend {
    pub(crate) height_mm: f32,
    pub(crate) tilt_deg: f32,
    pub(crate) roll_deg: f32,
}

/// The curve along the posterior wall of the vertebral bodies.
#[derive(Debug, Clone)]
pub(crate) struct Curve {
    frames: Vec<Frame>,
    lowest_z: f32,
    /// x and y of the curve at every millimetre of z.
    by_height: Vec<[f32; 2]>,
}

impl Curve {
    /// Bends, from the lowest; the first has no step below. `zero` is the knot at which w = 0, `origin` its place.
    pub(crate) fn new(bends: &[Bend], zero: usize, origin: Vector) -> Self {
        let mut frames: Vec<Frame> = Vec::with_capacity(bends.len());
        for bend in bends {
            let mut frame = Frame::leaning(0.0, [0.0; 3], bend.tilt_deg, bend.roll_deg);
            if let Some(below) = frames.last() {
                let step = unit([below.up[0] + frame.up[0], below.up[1] + frame.up[1], below.up[2] + frame.up[2]]);
                frame.w = below.w + bend.height_mm;
                frame.origin = along(below.origin, step, bend.height_mm);
            }
            frames.push(frame);
        }
        let (shift, w) = (minus(origin, frames[zero].origin), frames[zero].w);
        for frame in &mut frames {
            frame.origin = along(frame.origin, shift, 1.0);
            frame.w -= w;
        }
        let mut curve = Self { frames, lowest_z: 0.0, by_height: Vec::new() };
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
        Frame::upright(a.w + (b.w - a.w) * t, blend(a.origin, b.origin, t), up, blend(a.left, b.left, t))
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
        along(along(frame.origin, frame.left, u), frame.back, v)
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
        let frame = self.between(index, below / (below - above).max(1e-3));
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
                .map(|(height_mm, tilt_deg, roll_deg)| Bend { height_mm, tilt_deg, roll_deg })
                .to_vec();
        Curve::new(&bends, 1, [3.0, -10.0, 40.0])
    }

    #[test]
    fn spine_coordinates_invert() {
        let curve = lordotic();
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
