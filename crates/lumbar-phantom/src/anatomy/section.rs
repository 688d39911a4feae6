//! The canal's cross-section along the spine: bony roof, bulging disc, thick ligament, dural sac.

use super::spine::{Disc, RECESS_U, Vertebra};
use super::tissue::bump;

/// Measures of the cross-section at one w; lengths in millimetres, `[left, right]` for sides.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Section {
    /// 1 at a disc, 0 behind a body.
    pub(crate) at_disc: f32,
    /// Front and back of the dural sac at the midline.
    pub(crate) sac: [f32; 2],
    pub(crate) sac_half_width: f32,
    /// How far the disc bulges: midline, left, right.
    pub(crate) bulge: [f32; 3],
    /// Thickness of ligament (and facet) under the bony roof: midline, left, right.
    pub(crate) ligament: [f32; 3],
    /// v of the bony roof at the midline.
    pub(crate) roof: f32,
    /// Distance of the pedicles from the midline.
    pub(crate) half_width: f32,
}

impl Section {
    /// The front wall without bulge: the posterior wall of the bodies falls away to the sides.
    #[inline]
    pub(crate) fn wall(u: f32) -> f32 {
        -0.0105 * u * u
    }

    /// v of the front border of the canal's soft content.
    #[inline]
    pub(crate) fn front(&self, u: f32) -> f32 {
        let side = usize::from(u < 0.0) + 1;
        Self::wall(u) + self.bulge[0] * bump(u / 9.0) + self.bulge[side] * bump((u.abs() - RECESS_U) / 5.0) + 0.3
    }

    /// v of the bony roof: the laminae meet at the midline.
    #[inline]
    pub(crate) fn bone(&self, u: f32) -> f32 {
        self.roof - ((u * u + 4.0).sqrt() - 2.0)
    }

    /// v of the back border of the canal's soft content.
    #[inline]
    pub(crate) fn back(&self, u: f32) -> f32 {
        let side = usize::from(u < 0.0) + 1;
        self.bone(u) - self.ligament[0] * bump(u / 9.0) - self.ligament[side] * bump((u.abs() - RECESS_U) / 5.5) - 0.4
    }
}

/// Sections every half millimetre.
#[derive(Debug, Clone)]
pub(crate) struct Sections {
    lowest: f32,
    table: Vec<Section>,
    /// Index of the nearest disc at each entry.
    nearest: Vec<u8>,
}

const STEP_MM: f32 = 0.5;
/// Front-to-back diameter of a healthy dural sac, and how much of it the worst stenosis takes.
const SAC_MM: f32 = 14.0;
const SAC_LOST: f32 = 0.72;
/// Opening of a healthy lateral recess, and how much of it the worst stenosis takes.
const RECESS_MM: f32 = 6.0;
const RECESS_LOST: f32 = 0.84;

impl Sections {
    /// `width`: this patient's canal relative to the mean.
    pub(crate) fn new(discs: &[Disc], vertebrae: &[Vertebra], width: f32) -> Self {
        let (lowest, highest) = (vertebrae[0].bottom, vertebrae[vertebrae.len() - 1].top);
        let count = ((highest - lowest) / STEP_MM) as usize + 1;
        let places = (0..count).map(|index| lowest + STEP_MM * index as f32);
        let nearest = |w: f32| {
            let distance = |disc: &Disc| (disc.w - w).abs();
            (0..discs.len()).min_by(|&a, &b| distance(&discs[a]).total_cmp(&distance(&discs[b]))).unwrap_or(0)
        };
        Self {
            lowest,
            table: places.clone().map(|w| section(w, &discs[nearest(w)], width)).collect(),
            nearest: places.map(|w| nearest(w) as u8).collect(),
        }
    }

    #[inline]
    fn place(&self, w: f32) -> usize {
        (((w - self.lowest) / STEP_MM + 0.5).max(0.0) as usize).min(self.table.len() - 1)
    }

    /// The section nearest to w.
    #[inline]
    pub(crate) fn at(&self, w: f32) -> &Section {
        &self.table[self.place(w)]
    }

    /// The disc nearest to w.
    #[inline]
    pub(crate) fn disc(&self, w: f32) -> usize {
        usize::from(self.nearest[self.place(w)])
    }

    /// v of the middle of the dural sac.
    pub(crate) fn canal_middle(&self, w: f32) -> f32 {
        let [front, back] = self.at(w).sac;
        0.5 * (front + back)
    }

    /// Makes the dural sac smaller, to this share of its depth; fat takes the room, this part of it in front.
    pub(crate) fn narrow_sac(&mut self, share: f32, in_front: f32) {
        for section in &mut self.table {
            let free = (1.0 - share) * (section.sac[1] - section.sac[0]);
            section.sac[0] += in_front * free;
            section.sac[1] -= (1.0 - in_front) * free;
        }
    }

    /// v of the middle of the recess at u.
    pub(crate) fn recess_middle(&self, u: f32, w: f32) -> f32 {
        let section = self.at(w);
        0.5 * (section.front(u) + section.back(u))
    }
}

fn section(w: f32, disc: &Disc, width: f32) -> Section {
    // flat over the disc's height and a little beyond, gone behind the middle of the bodies
    let offset = ((w - disc.w) / 7.5).powi(2);
    let at_disc = if disc.sacral { 0.0 } else { 1.0 / (1.0 + offset.powi(4)) };
    // below S1 the sacral canal narrows and the sac ends at S2
    let sacral = (-w / 45.0).clamp(0.0, 1.0);
    let roof = 18.6 * width - 7.0 * sacral;
    let lost = SAC_MM * SAC_LOST * disc.canal * at_disc;
    let sac_mm = SAC_MM * width * (1.0 - 0.75 * sacral) - lost;
    // at L5/S1 fat lies between disc and sac
    let fat_in_front = 1.2 + 1.6 * (1.0 - (w - 5.0).abs() / 22.0).max(0.0) * (1.0 - disc.canal);
    let front = fat_in_front + 0.55 * lost;
    let recess_lost = disc.recess.map(|degree| RECESS_MM * RECESS_LOST * degree * at_disc);
    let recess_free = roof - 8.4 - Section::wall(RECESS_U) - 0.7 - RECESS_MM * width;
    Section {
        at_disc,
        sac: [front, front + sac_mm],
        sac_half_width: (9.4 - 0.8 * at_disc - 1.6 * disc.canal * at_disc) * (1.0 - 0.7 * sacral),
        bulge: [0.2 * at_disc + 0.55 * lost, 0.5 * recess_lost[0], 0.5 * recess_lost[1]],
        ligament: [
            0.8 * at_disc + 0.55 * lost,
            recess_free.max(0.0) * at_disc + 0.5 * recess_lost[0],
            recess_free.max(0.0) * at_disc + 0.5 * recess_lost[1],
        ],
        roof,
        half_width: 13.2 - 5.0 * sacral,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(canal: f32, recess: [f32; 2]) -> Section {
        section(40.0, &Disc { w: 40.0, height: 7.0, canal, recess, ..Disc::default() }, 1.0)
    }

    #[test]
    fn a_stenosis_narrows_its_own_part_of_the_canal_only() {
        let (healthy, canal) = (with(0.0, [0.0; 2]), with(0.9, [0.0; 2]));
        let (left, opening) = (with(0.0, [0.9, 0.0]), |s: &Section, u: f32| s.back(u) - s.front(u));
        assert!(canal.sac[1] - canal.sac[0] < 0.4 * (healthy.sac[1] - healthy.sac[0]));
        assert_eq!(opening(&canal, RECESS_U), opening(&healthy, RECESS_U));
        assert!(opening(&left, RECESS_U) < 0.3 * opening(&healthy, RECESS_U));
        assert_eq!(opening(&left, -RECESS_U), opening(&healthy, -RECESS_U));
        assert_eq!(opening(&left, 0.0), opening(&healthy, 0.0));
        assert!((opening(&healthy, RECESS_U) - RECESS_MM).abs() < 0.3, "{}", opening(&healthy, RECESS_U));
    }

    #[test]
    fn the_sac_stays_between_disc_and_ligament() {
        for degree in [0.0, 0.3, 0.6, 1.0] {
            let section = with(degree, [degree; 2]);
            assert!(section.sac[0] > section.front(0.0), "front at {degree}");
            assert!(section.sac[1] < section.back(0.0), "back at {degree}");
        }
    }
}
