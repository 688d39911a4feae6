use serde::{Deserialize, Serialize};

/// An affine map of the plane, `[x, y] → [a·x + b·y + c, d·x + e·y + f]`, in pixels.
///
/// ```
/// use lumbar::data::Affine2;
///
/// let turn = Affine2::rotation_deg(90.0, [2.0, 2.0]);
/// let [x, y] = turn.apply([3.0, 2.0]);
/// assert!((x - 2.0).abs() < 1e-12 && (y - 3.0).abs() < 1e-12);
/// let back = turn.inverse().unwrap().apply([x, y]);
/// assert!((back[0] - 3.0).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Affine2(pub [[f64; 3]; 2]);

impl Affine2 {
    /// The identity.
    pub const IDENTITY: Self = Self([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]);

    /// Translates by `[x, y]`.
    #[must_use]
    pub const fn shift(by: [f64; 2]) -> Self {
        Self([[1.0, 0.0, by[0]], [0.0, 1.0, by[1]]])
    }

    /// Scales by `[x, y]` about `centre`.
    #[must_use]
    pub fn scale(by: [f64; 2], centre: [f64; 2]) -> Self {
        Self([[by[0], 0.0, centre[0] * (1.0 - by[0])], [0.0, by[1], centre[1] * (1.0 - by[1])]])
    }

    /// Rotates about `centre`, from +x towards +y: clockwise on a screen, where y points down.
    #[must_use]
    pub fn rotation_deg(angle_deg: f64, centre: [f64; 2]) -> Self {
        let (sin, cos) = angle_deg.to_radians().sin_cos();
        Self([[cos, -sin, 0.0], [sin, cos, 0.0]]).about(centre)
    }

    /// Shears by angles along x and y about `centre`: `x + tan(angle)·y`.
    #[must_use]
    pub fn shear_deg(angle_deg: [f64; 2], centre: [f64; 2]) -> Self {
        let [x, y] = angle_deg.map(|angle| angle.to_radians().tan());
        Self([[1.0, x, 0.0], [y, 1.0, 0.0]]).about(centre)
    }

    /// Reverses the columns of an image with `columns` columns.
    #[must_use]
    pub fn flip_columns(columns: usize) -> Self {
        Self([[-1.0, 0.0, columns as f64 - 1.0], [0.0, 1.0, 0.0]])
    }

    /// This map, shifted so that `centre` is its fixed point.
    fn about(self, centre: [f64; 2]) -> Self {
        Self::shift(centre.map(|c| -c)).then(&self).then(&Self::shift(centre))
    }

    /// The image of a point.
    #[must_use]
    pub fn apply(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        self.0.map(|[a, b, c]| a * x + b * y + c)
    }

    /// This map first, `after` second.
    #[must_use]
    pub fn then(&self, after: &Self) -> Self {
        let [[a, b, c], [d, e, f]] = self.0;
        Self(after.0.map(|[p, q, r]| [p * a + q * d, p * b + q * e, p * c + q * f + r]))
    }

    /// The inverse; `None` if the map is not invertible.
    #[must_use]
    pub fn inverse(&self) -> Option<Self> {
        let [[a, b, c], [d, e, f]] = self.0;
        let determinant = a * e - b * d;
        if !determinant.is_finite() || determinant.abs() < 1e-12 {
            return None;
        }
        let [[a, b], [d, e]] = [[e / determinant, -b / determinant], [-d / determinant, a / determinant]];
        Some(Self([[a, b, -(a * c + b * f)], [d, e, -(d * c + e * f)]]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_and_its_inverse_are_the_identity() {
        let map = Affine2::rotation_deg(33.0, [10.0, 20.0])
            .then(&Affine2::scale([1.2, 0.7], [3.0, 4.0]))
            .then(&Affine2::shear_deg([5.0, -3.0], [1.0, 2.0]))
            .then(&Affine2::shift([-4.0, 9.0]));
        let there = map.apply([17.0, -5.0]);
        let back = map.inverse().unwrap().apply(there);
        assert!((back[0] - 17.0).abs() < 1e-9 && (back[1] + 5.0).abs() < 1e-9, "{back:?}");
        assert_eq!(Affine2::scale([0.0, 1.0], [0.0, 0.0]).inverse(), None);
    }

    #[test]
    fn flipping_columns_twice_is_the_identity() {
        let flip = Affine2::flip_columns(96);
        assert_eq!(flip.apply([0.0, 7.0]), [95.0, 7.0]);
        assert_eq!(flip.then(&flip), Affine2::IDENTITY);
    }
}
