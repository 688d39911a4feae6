//! What the canal, the recesses and the foramina hold: fat, dural sac, cord, roots, ligament, bulging disc.

use super::section::Section;
use super::spine::{FORAMEN_U, Spine};
use super::tissue::{Contrast, ellipse, inside, paint, step};
use crate::vector::Vector;

/// Roots of the cauda equina in one half of the sac.
const ROOTS: usize = 6;

impl Spine {
    /// Paints canal and foramina over bone.
    #[inline]
    pub(super) fn canal(&self, signal: f32, at: Vector, contrast: &Contrast) -> f32 {
        let [u, v, w] = at;
        let side = u.abs();
        if !(-7.0..24.0).contains(&v) || side > 27.5 {
            return signal;
        }
        let section = self.sections.at(w);
        let mut signal = signal;
        if side < 15.0 {
            signal = self.content(signal, at, section, contrast);
        }
        if side > 11.5 && w > -4.0 {
            signal = self.foramen(signal, at, contrast);
        }
        signal
    }

    #[inline]
    fn content(&self, signal: f32, [u, v, w]: Vector, section: &Section, contrast: &Contrast) -> f32 {
        let (wall, bone) = (Section::wall(u) - 0.6, section.bone(u));
        let bony = (wall - v).max(v - bone).max(u.abs() - section.half_width);
        if bony > 0.5 {
            return signal;
        }
        let (front, back) = (section.front(u), section.back(u));
        let room = (front - v).max(v - back);
        // beside the midline behind the bodies: veins; else fat
        let veins = (1.0 - section.at_disc) * step(6.0, 3.0, v);
        let fat = contrast.fat * (1.0 - 0.25 * veins);
        let mut content = if v < 0.5 * (front + back) { contrast.annulus } else { contrast.ligament };
        content = paint(content, fat, inside(room));
        content = self.sac(content, u, v, w, section, room, contrast);
        if section.at_disc > 0.5 {
            // the traversing root beside the sac
            let opening = back - front;
            let size = 1.5_f32.min(0.28 * opening);
            let root = ellipse(u.abs() - 7.9, v - front - 0.45 * opening, size, size).max(room);
            content = paint(content, contrast.root, inside(root));
        }
        paint(signal, content, inside(bony))
    }

    #[inline]
    #[expect(clippy::too_many_arguments, reason = "one point of one section, already taken apart by the caller")]
    fn sac(&self, under: f32, u: f32, v: f32, w: f32, section: &Section, room: f32, contrast: &Contrast) -> f32 {
        let [front, back] = section.sac;
        let (middle, mut half) = (0.5 * (front + back), 0.5 * (back - front));
        if self.varied && w < -34.0 {
            // The sac ends at S2.
            half *= step(-50.0, -34.0, w);
        }
        if half < 0.6 {
            return under;
        }
        let distance = ellipse(u, v - middle, section.sac_half_width, half).max(room + 0.3);
        if distance > 1.0 {
            return under;
        }
        let mut content = contrast.fluid;
        let (x, y) = (u / section.sac_half_width, (v - middle) / half);
        let from_tip = w - self.conus;
        if from_tip > 0.0 {
            let taper = (from_tip / 22.0).min(1.0).sqrt();
            let cord = ellipse(u, v - middle - 0.5, 4.7 * taper, 3.9 * taper);
            content = paint(content, contrast.cord, inside(cord));
        }
        if from_tip < 25.0 {
            content = paint(content, contrast.root, self.roots(x, y, w, section.sac_half_width, half));
        }
        // dura: a thin dark line
        let under = paint(under, contrast.ligament, 0.7 * inside(distance - 0.5));
        paint(under, content, inside(distance))
    }

    /// Coverage by roots of the cauda equina at relative sac coordinates: they lie behind, and each one that is
    /// about to leave moves forwards and to the side.
    #[inline]
    fn roots(&self, x: f32, y: f32, w: f32, half_width: f32, half_depth: f32) -> f32 {
        let mut cover = 0.0_f32;
        for root in 0..ROOTS {
            // root 0 leaves at L1/L2, 4 at L5/S1, 5 runs on to the sacrum
            let leaves = if root < 5 { self.level(root).w + 3.0 } else { self.level(4).w - 34.0 };
            let left = w - leaves;
            if left < -4.0 {
                continue;
            }
            let order = (ROOTS - 1 - root) as f32;
            let leaving = step(30.0, 0.0, left);
            let wave = 0.05 * (0.11 * w + root as f32).sin();
            let (x0, y0) = (0.10 + 0.13 * (ROOTS as f32 - order) + wave, 0.62 - 0.09 * (ROOTS as f32 - order) + wave);
            let (x1, y1) = (0.80, -0.05);
            let (rx, ry) = (x0 + (x1 - x0) * leaving, y0 + (y1 - y0) * leaving);
            // a crowded sac presses roots together, they do not shrink as much as it does
            let radius = 0.80 * (half_depth / 7.0).sqrt();
            let distance = ellipse((x.abs() - rx) * half_width, (y - ry) * half_depth, radius, radius);
            cover = cover.max(inside(distance));
        }
        cover
    }

    #[inline]
    fn foramen(&self, signal: f32, [u, v, w]: Vector, contrast: &Contrast) -> f32 {
        let disc = &self.discs[self.sections.disc(w - 4.0)];
        if disc.sacral {
            return signal;
        }
        let side = u.abs();
        let index = usize::from(u < 0.0);
        let ([middle_v, middle_w], [half_v, half_w]) = disc.foramen(index);
        let (dv, dw) = (v - middle_v, w - middle_w);
        if dw.abs() > 12.0 || dv.abs() > 9.0 {
            return signal;
        }
        // a keyhole: narrow below, between disc and superior facet
        let keyhole = 0.66 + 0.34 * step(-3.0, 2.5, dw);
        // what fat does not fill of the bony opening is ligament, capsule and disc
        let opening = ellipse(dv, dw, 4.2 + 2.4 * keyhole, 10.2).max(12.3 - side);
        let capsule = inside(opening) * step(22.5, 18.5, side);
        let mut signal = paint(signal, 0.5 * (contrast.ligament + contrast.muscle), capsule);
        // laterally the foramen opens into the fat around the psoas
        let corridor = (side - 26.5).max(12.3 - side);
        let flare = 1.8 * (side - 22.0).max(0.0);
        let mut fat = ellipse(dv, dw, half_v * keyhole + flare, half_w + flare).max(corridor);
        if self.varied {
            // the flare has no corners
            fat = fat.max(ellipse(dv, dw, 8.4, 11.4));
        }
        signal = paint(signal, contrast.fat, inside(fat) * step(26.5, 22.5, side));
        let slope = 0.35 * (side - FORAMEN_U);
        let (root_v, root_w) = ((0.62 * half_v).min(2.5), 2.9_f32.min(0.42 * half_w));
        let root = ellipse(dv + 0.15 * half_v, dw - 0.30 * half_w + slope, root_v, root_w).max(corridor);
        signal = paint(signal, contrast.root, inside(root));
        let vessel = ellipse(dv - 0.25 * half_v, dw + 0.45 * half_w, 0.8, 1.0).max(corridor);
        paint(signal, contrast.vessel, 0.7 * inside(vessel))
    }
}
