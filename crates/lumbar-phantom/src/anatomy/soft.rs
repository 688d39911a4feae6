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
        let tissue = if depth < fat_depth + 1.5 {
            self.under_skin(depth, fat_depth, point, contrast)
        } else if y > 10.0 {
            self.back_muscles(x, y, above, point, contrast)
        } else {
            self.abdomen(x, y, above, point, contrast)
        };
        tissue * inside(-depth)
    }

    /// Depth below the skin of the back in millimetres, negative outside.
    #[inline]
    pub(crate) fn skin_depth(&self, point: Vector) -> f32 {
        let waist = 0.0011 * (point[2] - self.sacrum_z - 70.0).powi(2).min(4_000.0);
        self.skin_y + self.back_fat + waist - 0.0042 * point[0] * point[0] - point[1]
    }

    #[inline]
    fn under_skin(&self, depth: f32, fat_depth: f32, point: Vector, contrast: &Contrast) -> f32 {
        if depth < 1.8 {
            return contrast.skin;
        }
        if depth > fat_depth {
            return contrast.ligament;
        }
        // thin septa run through the fat
        let septum = (self.texture.at(point, 11.0).abs() < 0.05) as u8 as f32;
        contrast.fat * (1.0 - 0.25 * septum) * (1.0 + 0.05 * self.texture.at(point, 5.0))
    }

    #[inline]
    fn back_muscles(&self, x: f32, y: f32, above: f32, point: Vector, contrast: &Contrast) -> f32 {
        let side = x.abs();
        if side < 2.2 {
            // between the spinous processes
            return 0.5 * (contrast.ligament + contrast.fat) * (1.0 + 0.3 * self.texture.at(point, 4.0));
        }
        // streaks run along the fibres: stretched noise; more of them deep, medial and low
        let stretched = [point[0], point[1], 0.22 * point[2]];
        let streak = self.texture.at(stretched, 3.4) + 0.6 * self.texture.at(stretched, 8.0);
        let prone = self.muscle_fat * (0.6 + 0.5 * step(22.0, 5.0, side) + 0.4 * step(60.0, -10.0, above));
        let fat = step(0.95 - prone, 1.35 - prone, streak);
        let mut tissue = contrast.muscle * (1.0 + 0.12 * streak);
        tissue = paint(tissue, contrast.fat, fat);
        // septa: multifidus | longissimus | iliocostalis, and the lateral border
        for (place, lean, width) in [(21.0, 0.18, 0.9), (44.0, -0.1, 0.8)] {
            let septum = (side - place - lean * (y - 30.0)).abs() - width;
            tissue = paint(tissue, contrast.fat, 0.8 * inside(septum));
        }
        paint(tissue, contrast.fat * 0.9, inside(72.0 - side - 0.15 * y))
    }

    #[inline]
    fn abdomen(&self, x: f32, y: f32, above: f32, point: Vector, contrast: &Contrast) -> f32 {
        let side = x.abs();
        let mut tissue = contrast.fat * (0.88 + 0.10 * self.texture.at(point, 6.0));
        // bowel loops far in front
        if y < -62.0 {
            let loops = self.texture.at(point, 24.0) + 0.3 * self.texture.at(point, 7.0);
            tissue =
                paint(tissue, contrast.bowel * (1.0 + 0.6 * loops), step(-62.0, -74.0, y) * step(-0.3, 0.1, loops));
        }
        // psoas grows from L1 down and moves to the side
        let down = ((165.0 - above) / 150.0).clamp(0.0, 1.1);
        if down > 0.02 && above > -45.0 {
            let (a, b) = (6.0 + 15.0 * down, 7.0 + 17.0 * down);
            let psoas = ellipse(side - 30.0 - 11.0 * down, y + 13.0 + 9.0 * down, a * 0.85, b * 0.85);
            let fibre = self.texture.at([point[0], point[1], 0.2 * point[2]], 4.0);
            let flesh = contrast.muscle * (1.0 + 0.12 * fibre);
            tissue = paint(tissue, paint(flesh, contrast.fat, 0.5 * step(0.62, 0.9, fibre)), inside(psoas));
        }
        // quadratus lumborum
        if above > 10.0 {
            let quadratus = ellipse(side - 62.0, y - 4.0, 17.0, 7.0);
            tissue = paint(tissue, contrast.muscle, inside(quadratus));
        }
        // kidneys
        if above > 85.0 {
            let rise = (above - 150.0) / 58.0;
            let shrink = (1.0 - rise * rise).max(0.0).sqrt();
            let kidney = ellipse(side - 66.0, y + 22.0, 27.0 * shrink + 0.1, 23.0 * shrink + 0.1);
            tissue = paint(tissue, contrast.kidney, inside(kidney));
        }
        tissue = self.vessels(tissue, x, y, above, contrast);
        // iliac bones
        if above < 34.0 && side > 40.0 {
            let plate = (0.62 * (side - 62.0) + 0.78 * (y - 12.0)).abs() - 5.5;
            let top = above - 30.0 + 0.02 * (side - 75.0).powi(2);
            let ilium = plate.max(top).max(side - 105.0).max(-50.0 - y);
            tissue = paint(tissue, contrast.cortex, inside(ilium));
            tissue = paint(tissue, contrast.marrow, inside(ilium + 1.6));
        }
        tissue
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
