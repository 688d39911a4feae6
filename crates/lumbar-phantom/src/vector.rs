//! Three-vectors in patient coordinates: LPS millimetres (+x left, +y back, +z up).

/// A point or direction; single precision is enough for rendering (0.03 µm at 300 mm).
pub(crate) type Vector = [f32; 3];

#[inline]
pub(crate) fn dot(a: Vector, b: Vector) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

#[inline]
pub(crate) fn cross(a: Vector, b: Vector) -> Vector {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

#[inline]
pub(crate) fn minus(a: Vector, b: Vector) -> Vector {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

/// a + b·scale
#[inline]
pub(crate) fn along(a: Vector, b: Vector, scale: f32) -> Vector {
    [a[0] + b[0] * scale, a[1] + b[1] * scale, a[2] + b[2] * scale]
}

#[inline]
pub(crate) fn blend(a: Vector, b: Vector, t: f32) -> Vector {
    along(a, minus(b, a), t)
}

#[inline]
pub(crate) fn unit(a: Vector) -> Vector {
    let scale = 1.0 / dot(a, a).sqrt();
    [a[0] * scale, a[1] * scale, a[2] * scale]
}
