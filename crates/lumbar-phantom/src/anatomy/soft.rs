//! Everything around the spine: skin, fat, muscles, vessels, kidneys, bowel, iliac bones.

use super::spine::Spine;
use super::tissue::{Contrast, ellipse, inside, paint, step};
use crate::vector::Vector;

impl Spine {
    /// The signal before the spine is painted; `x` and `y` count from the curve at this height.
    #[inline]
    pub(super) fn soft_tissue(&self, x: f32, y: f32, point: Vector, contrast: &Contrast) -> f32 {
        let depth = self.skin_depth(point);
        if depth < -0.5 {
            return 0.0;
        }
        let above = point[2] - self.sacrum_z;
        let fat_depth = self.back_fat * (1.2 - 0.002 * above).clamp(0.7, 1.25);
        let tissue = if x.abs() < 15.0 && (-22.0..-4.0).contains(&y) && (0.0..190.0).contains(&above) {
            // bodies and discs are painted over all of this
            contrast.annulus
        } else if depth < fat_depth + 1.2 {
            self.under_skin(depth, fat_depth, point, contrast)
        } else if y > 9.0 {
            self.back_muscles(x, y, depth - fat_depth, point, contrast)
        } else {
            self.abdomen(x, y, above - self.landmarks_mm, point, contrast)
        };
        iliac_bone(tissue, x.abs(), y, above - self.landmarks_mm, contrast) * inside(-depth)
    }

    /// Depth below the skin of the back in millimetres, negative outside.
    #[inline]
    pub(crate) fn skin_depth(&self, point: Vector) -> f32 {
        let waist = 0.0011 * (point[2] - self.sacrum_z - 70.0).powi(2).min(4_000.0);
        self.skin_y + self.back_fat + waist - 0.0042 * point[0] * point[0] - point[1]
    }

    #[inline]
    fn under_skin(&self, depth: f32, fat_depth: f32, point: Vector, contrast: &Contrast) -> f32 {
        // thin septa run through the fat
        let septum = step(0.07, 0.02, self.texture.at(point, 9.0).abs());
        let fat = contrast.fat * (1.0 - 0.2 * septum) * (1.0 + 0.05 * self.texture.at(point, 5.0));
        let fat = paint(fat, contrast.skin, inside(depth - 1.8));
        paint(fat, contrast.ligament, inside(fat_depth - depth))
    }

    #[inline]
    fn back_muscles(&self, x: f32, y: f32, under_fascia: f32, point: Vector, contrast: &Contrast) -> f32 {
        let (side, above) = (x.abs(), point[2] - self.sacrum_z);
        let half_depth = 0.5 * (y + under_fascia - 9.0).max(12.0);
        let middle = 9.0 + half_depth;
        let fat = contrast.fat * (0.9 + 0.08 * self.texture.at(point, 6.0));
        // streaks run along the fibres: stretched noise; more of them deep, medial and low
        let stretched = [point[0], point[1], 0.22 * point[2]];
        let streak = self.texture.at(stretched, 2.6) + 0.7 * self.texture.at(stretched, 6.5);
        let prone = self.muscle_fat * (0.6 + 0.5 * step(22.0, 5.0, side) + 0.4 * step(60.0, -10.0, above));
        let flesh = contrast.muscle * (1.0 + 0.12 * streak);
        let flesh = paint(flesh, contrast.fat, step(0.95 - prone, 1.5 - prone, streak));
        // multifidus beside the spinous processes, erector spinae lateral of it, fat between and around
        let waver = 2.0 * self.texture.at(point, 15.0);
        let low = step(90.0, 0.0, above);
        let multifidus = ellipse(side - 13.0 - 2.0 * low, y - middle - 0.5, 11.5 + 3.0 * low, half_depth);
        let erector = ellipse(side - 41.0 + 7.0 * low, y - middle - 1.0, 28.0 - 8.0 * low, half_depth);
        let muscle = (multifidus + 0.4 * waver).min(erector + waver);
        let between = (multifidus - erector).abs() - 0.7;
        let tissue = if self.varied {
            // Ragged, soft borders: slices that graze a muscle show no rings.
            let ragged = 0.45 * (muscle + 0.8 * streak + 0.6 * waver);
            let cleft = 0.5 * (between + 1.8 * streak + 1.0);
            paint(paint(fat, flesh, inside(ragged)), contrast.fat, 0.45 * inside(cleft.max(ragged)))
        } else {
            paint(paint(fat, flesh, inside(muscle)), contrast.fat, 0.7 * inside(between.max(muscle)))
        };
        // between the spinous processes: ligament with fat
        if side > if self.varied { 5.0 } else { 3.5 } {
            return tissue;
        }
        let midline = 0.5 * (contrast.ligament + contrast.fat) * (1.0 + 0.35 * self.texture.at(point, 4.0));
        if self.varied {
            return paint(tissue, midline, step(5.0, 0.8, side) * inside(8.0 - y));
        }
        paint(tissue, midline, inside((side - 2.6).max(8.0 - y)))
    }

    #[inline]
    fn abdomen(&self, x: f32, y: f32, above: f32, point: Vector, contrast: &Contrast) -> f32 {
        let side = x.abs();
        let waver = 2.2 * self.texture.at(point, 16.0);
        let mut tissue = contrast.fat * (0.88 + 0.10 * self.texture.at(point, 6.0));
        // bowel loops far in front
        if y < -54.0 {
            let loops = self.texture.at(point, 24.0) + 0.3 * self.texture.at(point, 7.0);
            tissue =
                paint(tissue, contrast.bowel * (1.0 + 0.6 * loops), step(-54.0, -66.0, y) * step(-0.3, 0.1, loops));
        }
        // psoas grows from L1 down and moves to the side
        let down = ((165.0 - above) / 150.0).clamp(0.0, 1.1);
        if down > 0.02 && above > -45.0 {
            let (a, b) = (6.0 + 15.0 * down, 7.0 + 17.0 * down);
            let psoas = ellipse(side - 30.0 - 11.0 * down, y + 13.0 + 9.0 * down, a * 0.85, b * 0.85) + waver;
            let fibre = self.texture.at([point[0], point[1], 0.2 * point[2]], 4.0);
            let flesh = contrast.muscle * (1.0 + 0.12 * fibre);
            tissue = paint(tissue, paint(flesh, contrast.fat, 0.5 * step(0.62, 0.9, fibre)), inside(psoas));
        }
        // quadratus lumborum
        if above > 10.0 {
            let quadratus = ellipse(side - 62.0, y + 1.0 + 0.15 * (side - 62.0), 17.0, 8.0) + waver;
            tissue = paint(tissue, contrast.muscle, inside(quadratus));
        }
        // kidneys
        if above > 85.0 {
            let rise = (above - 150.0) / 58.0;
            let shrink = (1.0 - rise * rise).max(0.0).sqrt();
            let kidney = ellipse(side - 66.0, y + 22.0, 27.0 * shrink + 0.1, 23.0 * shrink + 0.1) + 0.6 * waver;
            tissue = paint(tissue, contrast.kidney, inside(kidney));
        }
        self.vessels(tissue, x, y, above, contrast)
    }

    /// Aorta in front and to the left, vena cava to the right; below L4 they part into the iliac vessels.
    #[inline]
    fn vessels(&self, tissue: f32, x: f32, y: f32, above: f32, contrast: &Contrast) -> f32 {
        if !(-80.0..-28.0).contains(&y) || x.abs() > 60.0 {
            return tissue;
        }
        let part = step(58.0, -30.0, above) * 30.0;
        let shrink = step(35.0, 62.0, above);
        let depth = -46.0 + 0.12 * part;
        if self.varied {
            return parting_vessels(tissue, x, y - depth, part, above, contrast);
        }
        let aorta = if shrink > 0.5 {
            ellipse(x - 9.0, y - depth, 8.5, 8.5)
        } else {
            ellipse(x - 7.0 - part, y - depth, 5.5, 5.5).min(ellipse(x + part - 4.0, y - depth, 5.5, 5.5))
        };
        let vein = if shrink > 0.5 {
            ellipse(x + 14.0, y - depth - 1.0, 10.5, 8.0)
        } else {
            ellipse(x + 12.0 + part, y - depth - 6.0, 7.0, 5.5).min(ellipse(x + 8.0 - part, y - depth - 8.0, 7.0, 5.0))
        };
        let tissue = paint(tissue, contrast.vessel + 0.05, inside(vein));
        let tissue = paint(tissue, contrast.muscle, inside(aorta - 1.2));
        paint(tissue, contrast.vessel, inside(aorta))
    }
}

/// Aorta and vena cava that taper off over two centimetres where their branches begin; `y` counts from their middle.
#[inline]
fn parting_vessels(tissue: f32, x: f32, y: f32, part: f32, above: f32, contrast: &Contrast) -> f32 {
    let trunk = step(34.0, 62.0, above).max(0.02);
    let mut aorta = ellipse(x - 9.0 + 3.0 * (1.0 - trunk), y, 8.5 * trunk, 8.5 * trunk);
    let mut vein = ellipse(x + 14.0 + 2.0 * (1.0 - trunk), y - 1.0 - 5.0 * (1.0 - trunk), 10.5 * trunk, 8.0 * trunk);
    if above < 64.0 {
        let begin = step(66.0, 48.0, above).max(0.02);
        let artery = |at: f32| ellipse(x - at, y, 5.5 * begin, 5.5 * begin);
        aorta = aorta.min(artery(7.0 + part)).min(artery(4.0 - part));
        let branch = |at: f32, behind: f32| ellipse(x - at, y - behind, 7.0 * begin, 5.3 * begin);
        vein = vein.min(branch(-12.0 - part, 6.0)).min(branch(part - 8.0, 8.0));
    }
    let tissue = paint(tissue, contrast.vessel + 0.05, inside(vein));
    let tissue = paint(tissue, 0.5 * (contrast.muscle + contrast.vessel), inside(aorta - 0.8));
    paint(tissue, contrast.vessel, inside(aorta))
}

/// The wing of the ilium: an oblique plate beside the sacrum, from its crest at L4/L5 down.
#[inline]
fn iliac_bone(tissue: f32, side: f32, y: f32, above: f32, contrast: &Contrast) -> f32 {
    if above > 34.0 || side < 36.0 {
        return tissue;
    }
    let plate = (0.62 * (side - 62.0) + 0.78 * (y - 12.0)).abs() - 5.5;
    let top = above - 30.0 + 0.02 * (side - 75.0).powi(2);
    let distance = plate.max(top).max(side - 105.0).max(-50.0 - y).max(38.0 - side);
    let tissue = paint(tissue, contrast.cortex, inside(distance));
    paint(tissue, contrast.marrow, inside(distance + 1.6))
}
