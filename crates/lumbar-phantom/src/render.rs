//! From anatomy to pixels: partial volume, coil sensitivity, motion, noise, quantisation.

use rand::Rng;

use crate::anatomy::{Contrast, Spine, Weighting};
use crate::plane::Plane;
use crate::seed::{PixelNoise, between, chance, spread};
use crate::vector::Vector;

/// How one series was acquired, apart from its geometry.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub(crate) contrast: Contrast,
    /// Signal in front of the spine is suppressed.
    pub(crate) saturated: bool,
    /// Pixel value of signal 1.
    pub(crate) scale: f32,
    /// Standard deviation of noise in each channel, relative to signal 1.
    pub(crate) noise: f32,
    /// Depth in millimetres at which the coil has half of its sensitivity at the skin.
    pub(crate) coil_depth: f32,
    /// Relative change of sensitivity per 100 mm to the left and upwards.
    pub(crate) coil_slope: [f32; 2],
    /// Strength and shift (in rows or columns) of a motion ghost.
    pub(crate) ghost: (f32, usize),
    /// Pixels in air are exactly zero, as some scanners write them.
    pub(crate) masked_air: bool,
}

impl Look {
    pub(crate) fn draw(random: &mut impl Rng, weighting: Weighting, saturated: bool, varied: bool) -> Self {
        let mut contrast = Contrast::of(weighting);
        if varied {
            // Thin cortical bone shares its voxels with marrow and fat: its outline is rarely black.
            contrast.cortex_mm = between(random, 0.5, 0.95) as f32;
            contrast.cortex += between(random, 0.02, 0.08) as f32;
        }
        Self {
            contrast,
            saturated,
            scale: between(random, 520.0, 1_150.0) as f32,
            noise: between(random, 0.012, 0.026) as f32,
            coil_depth: between(random, 110.0, 170.0) as f32,
            coil_slope: [spread(random, 0.0, 0.05) as f32, spread(random, 0.0, 0.06) as f32],
            ghost: (
                if chance(random, 0.3) { between(random, 0.01, 0.04) as f32 } else { 0.0 },
                between(random, 18.0, 60.0) as usize,
            ),
            masked_air: chance(random, 0.7),
        }
    }
}

/// Positions across the slice and their weights: a slice profile of three samples.
const PROFILE: [(f32, f32); 3] = [(-0.31, 0.29), (0.0, 0.42), (0.31, 0.29)];

/// Largest value of 12 bits.
pub(crate) const LARGEST: u16 = 4095;

/// Renders one slice.
pub(crate) fn render(spine: &Spine, plane: &Plane, look: &Look, noise: &mut PixelNoise) -> Vec<u16> {
    let mut signal = vec![0.0_f32; plane.rows * plane.columns];
    let single = |v: [f64; 3]| v.map(|x| x as f32);
    let (position, normal) = (single(plane.position), single(plane.normal()));
    let column_step = single(plane.along_columns).map(|x| x * plane.spacing_mm[1] as f32);
    let row_step = single(plane.along_rows).map(|x| x * plane.spacing_mm[0] as f32);
    let mut hint = 0;
    // Soft tissue changes little across a slice: spines with finer surroundings take it from the slice's middle.
    let mut surroundings = vec![0.0; if spine.varied { plane.columns } else { 0 }];
    for (row, line) in signal.chunks_exact_mut(plane.columns).enumerate() {
        let middle: Vector = std::array::from_fn(|axis| position[axis] + row_step[axis] * row as f32);
        for (column, value) in surroundings.iter_mut().enumerate() {
            let point = std::array::from_fn(|axis| middle[axis] + column_step[axis] * column as f32);
            *value = spine.surroundings(point, &look.contrast);
        }
        for (place, weight) in PROFILE {
            let shift = place * plane.thickness_mm as f32;
            let start: Vector =
                std::array::from_fn(|axis| position[axis] + row_step[axis] * row as f32 + normal[axis] * shift);
            for (column, value) in line.iter_mut().enumerate() {
                let point = std::array::from_fn(|axis| start[axis] + column_step[axis] * column as f32);
                let contrast = &look.contrast;
                *value += weight
                    * match surroundings.get(column) {
                        Some(&known) => spine.signal_over(known, point, contrast, look.saturated, &mut hint),
                        None => spine.signal(point, contrast, look.saturated, &mut hint),
                    };
            }
        }
        for (column, value) in line.iter_mut().enumerate() {
            let point: Vector = std::array::from_fn(|axis| middle[axis] + column_step[axis] * column as f32);
            let depth = spine.skin_depth(point).max(0.0) / look.coil_depth;
            let slope = look.coil_slope[0] * point[0] + look.coil_slope[1] * point[2];
            *value *= 1.25 / (1.0 + depth * depth) * (1.0 + 0.01 * slope);
        }
    }
    ghost(&mut signal, plane, look);
    quantise(&signal, look, noise)
}

/// Adds a weak copy shifted along the phase direction (rows), as breathing causes it.
fn ghost(signal: &mut [f32], plane: &Plane, look: &Look) {
    let (strength, shift) = look.ghost;
    let shift = shift * plane.columns;
    if strength == 0.0 || shift >= signal.len() {
        return;
    }
    let original = signal.to_vec();
    for (value, ghost) in signal[shift..].iter_mut().zip(&original) {
        *value += strength * ghost;
    }
}

/// The magnitude of signal plus noise in two channels (Rician), in whole steps of 12 bits.
fn quantise(signal: &[f32], look: &Look, noise: &mut PixelNoise) -> Vec<u16> {
    signal
        .iter()
        .map(|&value| {
            if look.masked_air && value < 0.004 {
                return 0;
            }
            let (real, imaginary) = (value + look.noise * noise.normal(), look.noise * noise.normal());
            let magnitude = (real * real + imaginary * imaginary).sqrt();
            ((magnitude * look.scale + 0.5) as u16).min(LARGEST)
        })
        .collect()
}
