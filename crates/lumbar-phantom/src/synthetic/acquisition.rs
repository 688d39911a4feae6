//! From anatomy to the pixels of a synthetic series: contrast, coil, texture, borders, blur, ghost, noise.

use rand::Rng;
use rand::rngs::StdRng;

use super::patches::Patch;
use super::view::Appearance;
use crate::anatomy::{Contrast, Spine, Weighting};
use crate::plane::Plane;
use crate::seed::{PixelNoise, between, chance, normal, spread};
use crate::series::Kind;
use crate::vector::Vector;

/// Places across the slice and in its plane, in thicknesses and pixels, and their weights: a slice's profile and a
/// pixel's area in two samples.
const SAMPLES: [(f32, [f32; 2]); 2] = [(-0.27, [0.25, 0.25]), (0.27, [-0.25, -0.25])];

/// How one series was acquired.
#[derive(Debug, Clone)]
pub(super) struct Acquisition {
    contrast: Contrast,
    saturated: bool,
    /// Standard deviation of noise in each channel.
    noise: f32,
    /// Depth at which the coil has half of its sensitivity at the skin.
    coil_depth_mm: f32,
    /// Relative change of sensitivity per 100 mm to the left, to the back and upwards.
    slope: [f32; 3],
    /// Strength and shift in millimetres of a ghost along rows and columns.
    ghost: (f32, [f32; 2]),
    /// Amplitude and scale in millimetres of the texture of tissues.
    textures: [(f32, f32); 3],
    /// Amplitude and scale of the irregularity of outlines, both in millimetres.
    warps: [(f32, f32); 2],
    /// Standard deviation of a blur along columns and rows, in millimetres; below 0 the image is sharpened.
    blur_mm: [f32; 2],
    /// Depth of the belly's skin in front of the spine's curve, and of the fat under it.
    belly_mm: (f32, f32),
    /// Half-planes that are black: a direction in the image and its distance from the middle, in millimetres.
    borders: Vec<([f32; 2], f32)>,
    /// Marrow, belly and back that are brighter or darker in places.
    patches: Vec<Patch>,
    /// Strength with which what is above and below the field folds into it, and how far.
    wrap: (f32, f32),
    /// Exponent of the intensities.
    gamma: f32,
    masked_air: bool,
}

impl Acquisition {
    pub(super) fn draw(
        random: &mut StdRng,
        (kind, appearance): (Kind, Appearance),
        size_mm: [f64; 2],
        spine: &Spine,
    ) -> Self {
        let stir = chance(random, 0.2);
        let weighting = match kind {
            Kind::SagittalT1 => Weighting::T1,
            _ if stir => Weighting::Stir,
            _ => Weighting::T2,
        };
        let mut contrast = Contrast::of(weighting);
        contrast.cortex_mm = between(random, 0.4, 1.1) as f32;
        contrast.cortex += between(random, 0.0, 0.08) as f32;
        let single = |value: f64| value as f32;
        if appearance == Appearance::Physical {
            return Self {
                contrast,
                saturated: chance(random, 0.75),
                noise: single(between(random, 0.004, 0.016)),
                coil_depth_mm: single(between(random, 100.0, 170.0)),
                slope: [single(spread(random, 0.0, 0.05)), 0.0, single(spread(random, 0.0, 0.06))],
                ghost: (if chance(random, 0.3) { single(between(random, 0.01, 0.04)) } else { 0.0 }, [0.0, 40.0]),
                textures: [(0.0, 1.0); 3],
                warps: [(0.0, 1.0); 2],
                blur_mm: [0.0; 2],
                belly_mm: (1_000.0, 0.0),
                borders: Vec::new(),
                patches: Vec::new(),
                wrap: (0.0, 0.0),
                gamma: 1.0,
                masked_air: chance(random, 0.7),
            };
        }
        if weighting == Weighting::T2 && chance(random, 0.2) {
            // spectral saturation of fat
            let left = single(between(random, 0.08, 0.35));
            (contrast.fat, contrast.marrow) = (contrast.fat * left, contrast.marrow * (0.4 + 0.6 * left));
        }
        match appearance {
            Appearance::Randomised => randomise(random, &mut contrast),
            _ => vary(random, &mut contrast),
        }
        let mut texture = |most: f64, scale: [f64; 2]| {
            (single(between(random, 0.0, most)), single(between(random, scale[0], scale[1])))
        };
        let textures = [texture(0.22, [2.0, 4.0]), texture(0.2, [6.0, 14.0]), texture(0.2, [20.0, 45.0])];
        let warps = [texture(0.7, [4.0, 8.0]), texture(1.8, [10.0, 24.0])];
        let blur = chance(random, 0.6);
        let mut blur_mm = || if blur { single(between(random, -0.8, 1.6)) } else { 0.0 };
        Self {
            contrast,
            blur_mm: [blur_mm(), blur_mm()],
            saturated: chance(random, 0.4),
            noise: single(between(random, 0.002, 0.03)),
            coil_depth_mm: single(pick_depth(random)),
            slope: [0.05, 0.25, 0.22].map(|sd| single(spread(random, 0.0, sd))),
            ghost: (
                if chance(random, 0.3) { single(between(random, 0.02, 0.15)) } else { 0.0 },
                [single(spread(random, 0.0, 30.0)), single(spread(random, 0.0, 45.0))],
            ),
            textures,
            warps,
            belly_mm: (single(between(random, 75.0, 190.0)), single(between(random, 8.0, 50.0))),
            borders: borders(random, size_mm),
            patches: Patch::draw(random, spine),
            wrap: if chance(random, 0.1) {
                (single(between(random, 0.1, 0.7)), single(between(random, 5.0, 35.0)))
            } else {
                (0.0, 0.0)
            },
            gamma: single((0.25 * normal(random).clamp(-2.0, 2.0)).exp()),
            masked_air: chance(random, 0.5),
        }
    }

    /// Renders one slice.
    pub(super) fn render(&self, spine: &Spine, plane: &Plane, random: &mut StdRng) -> Vec<f32> {
        let mut signal = vec![0.0_f32; plane.rows * plane.columns];
        let single = |v: [f64; 3]| v.map(|x| x as f32);
        let (position, normal) = (single(plane.position), single(plane.normal()));
        let column_step = single(plane.along_columns).map(|x| x * plane.spacing_mm[1] as f32);
        let row_step = single(plane.along_rows).map(|x| x * plane.spacing_mm[0] as f32);
        let middle = [plane.columns, plane.rows].map(|count| 0.5 * (count as f32 - 1.0));
        let patches: Vec<&Patch> = self.patches.iter().filter(|patch| patch.meets(plane)).collect();
        let place = |down: f32, back: f32, across: f32| -> Vector {
            std::array::from_fn(|k| position[k] + row_step[k] * down + column_step[k] * back + normal[k] * across)
        };
        let mut hint = 0;
        let mut at = |down: f32, back: f32| {
            let own = place(down, back, 0.0);
            let shift = self.warp(spine, own);
            let moved = |point: Vector| -> Vector { std::array::from_fn(|k| point[k] + shift[k]) };
            let surroundings = spine.surroundings(moved(own), &self.contrast);
            let mut sum = 0.0;
            for (across, inside) in SAMPLES {
                let point = moved(place(down + inside[1], back + inside[0], across * plane.thickness_mm as f32));
                sum += spine.signal_over(surroundings, point, &self.contrast, self.saturated, &mut hint);
            }
            let here = moved(own);
            let gain: f32 = patches.iter().map(|patch| patch.gain(here)).product();
            sum / SAMPLES.len() as f32 * gain * self.sensitivity(spine, own)
        };
        let (rows, folded_px) = (plane.rows as f32, self.wrap.1 / plane.spacing_mm[0] as f32);
        for (row, line) in signal.chunks_exact_mut(plane.columns).enumerate() {
            for (column, value) in line.iter_mut().enumerate() {
                let (down, back) = (row as f32, column as f32);
                let mm =
                    [(back - middle[0]) * plane.spacing_mm[1] as f32, (down - middle[1]) * plane.spacing_mm[0] as f32];
                if self.borders.iter().any(|(side, at)| side[0] * mm[0] + side[1] * mm[1] > *at) {
                    continue;
                }
                *value = at(down, back);
                if self.wrap.0 > 0.0 {
                    // what is below the field folds over its top, and the reverse
                    if down < folded_px {
                        *value += self.wrap.0 * (1.0 - down / folded_px) * at(down + rows, back);
                    } else if rows - down < folded_px {
                        *value += self.wrap.0 * (1.0 - (rows - down) / folded_px) * at(down - rows, back);
                    }
                }
            }
        }
        self.finish(signal, plane, random)
    }

    /// How far the anatomy at a point is displaced: outlines are irregular.
    fn warp(&self, spine: &Spine, point: Vector) -> Vector {
        let mut shift = [0.0; 3];
        for (number, (amplitude_mm, scale_mm)) in self.warps.into_iter().enumerate() {
            if amplitude_mm > 0.05 {
                let apart = 61.0 * (number as f32 + 1.0);
                shift[1] += amplitude_mm * spine.texture.at(point.map(|mm| mm + apart), scale_mm);
                shift[2] += amplitude_mm * spine.texture.at(point.map(|mm| mm - apart), scale_mm);
            }
        }
        shift
    }

    /// Sensitivity of the coil times texture of the tissue, and the belly's skin.
    fn sensitivity(&self, spine: &Spine, point: Vector) -> f32 {
        let depth = spine.skin_depth(point).max(0.0) / self.coil_depth_mm;
        let from_sacrum = [point[0], point[1] - spine.skin_y, point[2] - spine.sacrum_z - 80.0];
        let slope: f32 = self.slope.iter().zip(from_sacrum).map(|(slope, mm)| 0.01 * slope * mm).sum();
        let mut gain = 1.25 / (1.0 + depth * depth) * slope.clamp(-2.0, 2.0).exp();
        for (amplitude, scale_mm) in self.textures {
            if amplitude > 0.01 {
                gain *= 1.0 + amplitude * spine.texture.at(point, scale_mm);
            }
        }
        let ahead = self.belly_mm.0 + spine.skin_y - 55.0 - spine.skin_depth(point).max(0.0) + spine.back_fat;
        if ahead < 0.0 { 0.0 } else { gain }
    }

    fn finish(&self, mut signal: Vec<f32>, plane: &Plane, random: &mut StdRng) -> Vec<f32> {
        let spacing = plane.spacing_mm.map(|mm| mm as f32);
        if self.ghost.0 > 0.0 {
            ghost(&mut signal, plane, self.ghost.0, self.ghost.1.map(|mm| (mm / spacing[0]) as isize));
        }
        if self.blur_mm != [0.0; 2] {
            blur(&mut signal, plane.columns, self.blur_mm[0] / spacing[1], 1);
            blur(&mut signal, plane.columns, self.blur_mm[1] / spacing[0], plane.columns);
        }
        let mut noise = PixelNoise::new(random);
        for value in &mut signal {
            if *value < 0.004 && (self.masked_air || *value == 0.0) {
                *value = 0.0;
                continue;
            }
            let (real, imaginary) = (*value + self.noise * noise.normal(), self.noise * noise.normal());
            *value = (real * real + imaginary * imaginary).sqrt();
            if self.gamma != 1.0 {
                *value = value.powf(self.gamma);
            }
        }
        signal
    }
}

/// A third of the series come from surface coils without correction, which leave the belly dark.
fn pick_depth(random: &mut StdRng) -> f64 {
    if chance(random, 0.33) { between(random, 60.0, 100.0) } else { between(random, 100.0, 300.0) }
}

/// Each tissue brighter or darker by its own factor.
fn vary(random: &mut impl Rng, contrast: &mut Contrast) {
    let spread = between(random, 0.05, 0.32);
    for tissue in contrast.tissues() {
        *tissue *= (spread * normal(random).clamp(-2.2, 2.2)).exp() as f32;
    }
}

/// Each tissue at any brightness; cortical bone and ligament stay dark in three of four series.
fn randomise(random: &mut impl Rng, contrast: &mut Contrast) {
    let (cortex, ligament) = (contrast.cortex, contrast.ligament);
    for tissue in contrast.tissues() {
        *tissue = between(random, 0.03, 1.0) as f32;
    }
    if chance(random, 0.75) {
        (contrast.cortex, contrast.ligament) = (cortex, ligament);
    }
    // a healthy nucleus and a worn one differ little in most contrasts
    if chance(random, 0.5) {
        contrast.nucleus[1] = 0.5 * (contrast.nucleus[0] + contrast.nucleus[1]);
    }
}

/// Black borders: slanted after a correction of geometry, straight where a matrix was padded with zeros.
fn borders(random: &mut StdRng, [width, height]: [f64; 2]) -> Vec<([f32; 2], f32)> {
    let mut borders = Vec::new();
    for (side, size) in [([1.0, 0.0], width), ([-1.0, 0.0], width), ([0.0, 1.0], height), ([0.0, -1.0], height)] {
        let (has, slanted) = (chance(random, 0.12), chance(random, 0.6));
        let (inwards, tilt) = (between(random, 1.0, 22.0), spread(random, 0.0, 3.0).to_radians());
        if has {
            let (sin, cos) = if slanted { tilt.sin_cos() } else { (0.0, 1.0) };
            let [x, y]: [f64; 2] = side;
            let turned = [x * cos - y * sin, x * sin + y * cos].map(|value| value as f32);
            borders.push((turned, (0.5 * size - inwards) as f32));
        }
    }
    borders
}

/// Adds a weak copy, shifted by columns and rows.
fn ghost(signal: &mut [f32], plane: &Plane, strength: f32, [columns, rows]: [isize; 2]) {
    let original = signal.to_vec();
    for row in 0..plane.rows {
        let Some(from_row) = row.checked_add_signed(-rows).filter(|from| *from < plane.rows) else { continue };
        for column in 0..plane.columns {
            let Some(from) = column.checked_add_signed(-columns).filter(|from| *from < plane.columns) else { continue };
            signal[row * plane.columns + column] += strength * original[from_row * plane.columns + from];
        }
    }
}

/// Blurs along one direction by a kernel of three pixels with this standard deviation; below 0 it sharpens by as much.
fn blur(signal: &mut [f32], columns: usize, sigma_px: f32, step: usize) {
    let side = (0.5 * sigma_px * sigma_px).min(0.3) * sigma_px.signum() * if sigma_px < 0.0 { 0.6 } else { 1.0 };
    let original = signal.to_vec();
    let rows = signal.len() / columns;
    for row in 0..rows {
        for column in 0..columns {
            let at = row * columns + column;
            let (first, last) =
                if step == 1 { (column == 0, column + 1 == columns) } else { (row == 0, row + 1 == rows) };
            let before = original[if first { at } else { at - step }];
            let after = original[if last { at } else { at + step }];
            signal[at] = ((1.0 - 2.0 * side) * original[at] + side * (before + after)).max(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::generator;

    #[test]
    fn a_blur_keeps_the_sum_and_a_sharpening_widens_the_range() {
        let mut image: Vec<f32> = (0..64).map(|at| if at % 8 > 3 { 1.0 } else { 0.5 }).collect();
        let sum: f32 = image.iter().sum();
        let sharp = image.clone();
        blur(&mut image, 8, 1.0, 1);
        assert!((image.iter().sum::<f32>() - sum).abs() < 1e-3);
        let mut sharpened = sharp;
        blur(&mut sharpened, 8, -0.8, 1);
        assert!(sharpened.iter().fold(0.0_f32, |most, value| most.max(*value)) > 1.0);
    }

    #[test]
    fn randomised_contrasts_invert_bone_and_disc_in_some_series() {
        let brighter = (0..40).filter(|&number| {
            let mut contrast = Contrast::of(Weighting::T1);
            randomise(&mut generator(3, number, "test"), &mut contrast);
            contrast.annulus > contrast.marrow
        });
        assert!((8..32).contains(&brighter.count()));
    }

    #[test]
    fn a_border_blackens_its_side() {
        let mut random = generator(1, 0, "test");
        let found = (0..200).map(|_| borders(&mut random, [240.0, 280.0]).len()).sum::<usize>();
        assert!((50..150).contains(&found), "{found}");
    }
}
