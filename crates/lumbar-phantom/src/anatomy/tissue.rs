//! Signal of each tissue in each kind of series, and the small arithmetic of painting.

/// The kinds of series of a study.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weighting {
    T1,
    T2,
    Stir,
}

/// Signal by tissue, relative to cerebrospinal fluid on T2 = 1.
///
/// Orders and ratios after what textbooks describe for spin echo at 1.5 T: on T1 fat is bright and fluid dark; on
/// T2 fluid is brightest and fat next; STIR nulls fat.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contrast {
    pub(crate) fat: f32,
    pub(crate) marrow: f32,
    pub(crate) cortex: f32,
    pub(crate) annulus: f32,
    /// Nucleus of a healthy and of a degenerated disc.
    pub(crate) nucleus: [f32; 2],
    pub(crate) fluid: f32,
    pub(crate) cord: f32,
    pub(crate) root: f32,
    pub(crate) ligament: f32,
    pub(crate) muscle: f32,
    pub(crate) vessel: f32,
    pub(crate) kidney: f32,
    pub(crate) bowel: f32,
    pub(crate) skin: f32,
    pub(crate) cartilage: f32,
    /// Thickness of cortical bone, in millimetres.
    pub(crate) cortex_mm: f32,
}

/// Thickness of cortical bone where it is the same for all patients.
const CORTEX_MM: f32 = 1.1;

impl Contrast {
    /// Every signal of the table, to be changed.
    pub(crate) fn tissues(&mut self) -> [&mut f32; 16] {
        let [healthy, worn] = &mut self.nucleus;
        [
            &mut self.fat,
            &mut self.marrow,
            &mut self.cortex,
            &mut self.annulus,
            healthy,
            worn,
            &mut self.fluid,
            &mut self.cord,
            &mut self.root,
            &mut self.ligament,
            &mut self.muscle,
            &mut self.vessel,
            &mut self.kidney,
            &mut self.bowel,
            &mut self.skin,
            &mut self.cartilage,
        ]
    }

    pub(crate) fn of(weighting: Weighting) -> Self {
        match weighting {
            Weighting::T1 => Self {
                fat: 0.95,
                marrow: 0.50,
                cortex: 0.06,
                annulus: 0.24,
                nucleus: [0.34, 0.28],
                fluid: 0.13,
                cord: 0.32,
                root: 0.27,
                ligament: 0.17,
                muscle: 0.27,
                vessel: 0.06,
                kidney: 0.30,
                bowel: 0.30,
                skin: 0.4,
                cartilage: 0.28,
                cortex_mm: CORTEX_MM,
            },
            Weighting::T2 => Self {
                fat: 0.60,
                marrow: 0.34,
                cortex: 0.05,
                annulus: 0.10,
                nucleus: [0.78, 0.13],
                fluid: 1.0,
                cord: 0.36,
                root: 0.30,
                ligament: 0.10,
                muscle: 0.14,
                vessel: 0.04,
                kidney: 0.55,
                bowel: 0.35,
                skin: 0.25,
                cartilage: 0.55,
                cortex_mm: CORTEX_MM,
            },
            Weighting::Stir => Self {
                fat: 0.06,
                marrow: 0.13,
                cortex: 0.03,
                annulus: 0.08,
                nucleus: [0.75, 0.12],
                fluid: 1.0,
                cord: 0.36,
                root: 0.30,
                ligament: 0.08,
                muscle: 0.19,
                vessel: 0.05,
                kidney: 0.6,
                bowel: 0.30,
                skin: 0.2,
                cartilage: 0.6,
                cortex_mm: CORTEX_MM,
            },
        }
    }
}

/// Width over which one tissue gives way to the next, in millimetres.
const EDGE_MM: f32 = 0.7;

/// How much of a point lies inside a shape at this signed distance (negative inside), 0 to 1.
#[inline]
pub(crate) fn inside(distance_mm: f32) -> f32 {
    (0.5 - distance_mm * (1.0 / EDGE_MM)).clamp(0.0, 1.0)
}

/// Paints `tissue` over `under`.
#[inline]
pub(crate) fn paint(under: f32, tissue: f32, coverage: f32) -> f32 {
    under + (tissue - under) * coverage
}

/// A smooth bump: 1 at 0, 0 from ±1 on, and exactly 0 outside.
#[inline]
pub(crate) fn bump(x: f32) -> f32 {
    let y = (1.0 - x * x).max(0.0);
    y * y
}

/// 0 below `low`, 1 above `high`, smooth between.
#[inline]
pub(crate) fn step(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// Signed distance to an ellipse, good near its edge.
#[inline]
pub(crate) fn ellipse(x: f32, y: f32, a: f32, b: f32) -> f32 {
    let (p, q) = (x / a, y / b);
    let n = (p * p + q * q).sqrt().max(1e-3);
    // the gradient's length turns the norm into millimetres
    let slope = ((p / a) * (p / a) + (q / b) * (q / b)).sqrt().max(1e-4);
    (n - 1.0) * (n / slope).min(a.max(b))
}

/// Smooth noise on a periodic 32³ lattice, drawn once per study.
#[derive(Debug, Clone)]
pub(crate) struct Texture {
    lattice: Vec<f32>,
}

impl Texture {
    const SIDE: usize = 32;

    pub(crate) fn new(random: &mut impl rand::Rng) -> Self {
        use rand::RngExt;
        Self { lattice: (0..Self::SIDE.pow(3)).map(|_| random.random::<f32>() * 2.0 - 1.0).collect() }
    }

    /// A value in [−1, 1] that changes over about `scale_mm`.
    #[inline]
    pub(crate) fn at(&self, point: [f32; 3], scale_mm: f32) -> f32 {
        // turned against the axes, or thresholds of it would look like squares
        let inverse = 1.0 / scale_mm;
        let [x, y, z] = point.map(|place| place * inverse);
        let turned = [0.62 * x - 0.66 * y + 0.42 * z, 0.71 * x + 0.25 * y - 0.66 * z, 0.33 * x + 0.71 * y + 0.62 * z];
        let mut low = [0_usize; 3];
        let mut t = [0.0_f32; 3];
        for axis in 0..3 {
            let place = turned[axis] + 4096.0;
            let whole = place as usize;
            low[axis] = whole % Self::SIDE;
            let fraction = place - whole as f32;
            t[axis] = fraction * fraction * (3.0 - 2.0 * fraction);
        }
        let high = low.map(|index| (index + 1) % Self::SIDE);
        let value = |x: usize, y: usize, z: usize| self.lattice[(z * Self::SIDE + y) * Self::SIDE + x];
        let row = |y, z| paint(value(low[0], y, z), value(high[0], y, z), t[0]);
        let plane = |z| paint(row(low[1], z), row(high[1], z), t[1]);
        paint(plane(low[2]), plane(high[2]), t[2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ellipse_distance_is_exact_on_the_axes() {
        for (x, y, expected) in [(6.0, 0.0, 1.0), (0.0, 3.5, 0.5), (4.5, 0.0, -0.5), (5.0, 0.0, 0.0)] {
            assert!((ellipse(x, y, 5.0, 3.0) - expected).abs() < 0.12, "{x} {y}: {}", ellipse(x, y, 5.0, 3.0));
        }
    }

    #[test]
    fn bumps_end_at_one() {
        assert_eq!((bump(0.0), bump(1.0), bump(-3.0)), (1.0, 0.0, 0.0));
    }
}
