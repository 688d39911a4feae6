//! Vertebral bodies, discs, sacrum, and the arches behind the canal.

use super::curve::Frame;
use super::spine::{Disc, Spine, Vertebra};
use super::tissue::{Contrast, bump, ellipse, inside, paint, step};
use crate::vector::{Vector, dot, minus};

/// Cortical bone around marrow.
#[inline]
fn bone(signal: f32, distance: f32, marrow: f32, contrast: &Contrast) -> f32 {
    if distance > 0.5 {
        return signal;
    }
    paint(paint(signal, contrast.cortex, inside(distance)), marrow, inside(distance + contrast.cortex_mm))
}

/// Signed distance to the outline of a body of this depth: between an ellipse and a box, flat behind.
#[inline]
fn outline(u: f32, v: f32, half_width: f32, depth: f32) -> f32 {
    let half_depth = 0.5 * depth;
    let (p, q) = (u / half_width, (v + half_depth) / half_depth);
    let (p2, q2) = (p * p, q * q);
    let round = (p2 + q2).sqrt();
    let square = (p2 * p2 + q2 * q2).sqrt().sqrt();
    let radius = (half_width * p2 + half_depth * q2) / (p2 + q2 + 1e-6);
    (0.4 * round + 0.6 * square - 1.0) * radius
}

impl Spine {
    /// Paints vertebral bodies, discs and the sacral wings.
    #[inline]
    pub(super) fn bodies(&self, signal: f32, at: Vector, point: Vector, contrast: &Contrast) -> f32 {
        let [u, v, w] = at;
        if v > 16.0 || u.abs() > 60.0 {
            return signal;
        }
        let index = self.sections.disc(w);
        let disc = &self.discs[index];
        let vertebra = if w < disc.w { &self.vertebrae[index] } else { &self.vertebrae[index + 1] };
        let mut signal = signal;
        if vertebra.sacral {
            signal = self.sacral_wing(signal, at, vertebra, contrast);
        }
        if !(-40.0..=3.0).contains(&v) || u.abs() > 32.0 {
            return signal;
        }
        signal = self.disc(signal, at, disc, vertebra, contrast);
        self.body(signal, at, point, vertebra, contrast)
    }

    #[inline]
    fn body(&self, signal: f32, [u, v, w]: Vector, point: Vector, vertebra: &Vertebra, contrast: &Contrast) -> f32 {
        let half_height = 0.5 * (vertebra.top - vertebra.bottom);
        let from_middle = w - 0.5 * (vertebra.top + vertebra.bottom);
        let relative = from_middle / half_height;
        let waist = 2.6 * (1.0 - relative * relative).max(0.0);
        let across = outline(u, v, vertebra.half_width - 0.8 * waist, vertebra.depth - waist);
        // endplates are hollow in the middle
        let hollow = 1.3 * bump(u / vertebra.half_width) * bump((v + 0.55 * vertebra.depth) / (0.6 * vertebra.depth));
        let distance = across.max(from_middle.abs() - half_height + hollow);
        if distance > 0.5 {
            return signal;
        }
        let grain = 1.0 + 0.10 * self.texture.at(point, 2.2) + 0.08 * self.texture.at(point, 9.0);
        let mut marrow = contrast.marrow * vertebra.marrow * grain;
        // basivertebral vein: a notch in the middle of the posterior wall
        let vein = bump(u / 5.0) * bump(from_middle / 3.0) * step(-13.0, -2.0, v);
        marrow = paint(marrow, 0.6 * contrast.fluid.max(contrast.fat), 0.75 * vein);
        bone(signal, distance, marrow, contrast)
    }

    #[inline]
    fn disc(&self, signal: f32, [u, v, w]: Vector, disc: &Disc, vertebra: &Vertebra, contrast: &Contrast) -> f32 {
        let half_height = 0.5 * disc.height;
        let from_middle = w - disc.w;
        if from_middle.abs() > half_height + 2.5 {
            return signal;
        }
        let across = outline(u, v, vertebra.half_width + 0.8, vertebra.depth + 0.8) + 0.4;
        let signal = paint(signal, contrast.annulus, inside(across.max(from_middle.abs() - half_height - 1.6)));
        if disc.sacral || across > 0.0 {
            return signal;
        }
        let (du, dv) = (u / (0.66 * vertebra.half_width), (v + 0.52 * vertebra.depth) / (0.36 * vertebra.depth));
        let across = (du * du + dv * dv).sqrt();
        let bright = paint(contrast.nucleus[0], contrast.nucleus[1], disc.degeneration);
        // a dark cleft divides the nucleus of a middle-aged disc
        let cleft = 0.35 * bump((disc.degeneration - 0.35) / 0.4) * bump(from_middle / 1.0);
        let thick = (half_height + 0.6) * (1.0 - across * across).max(0.0).sqrt();
        let within = step(1.05, 0.75, across) * inside((from_middle.abs() - thick) * 0.7);
        paint(signal, bright * (1.0 - cleft), within)
    }

    #[inline]
    fn sacral_wing(&self, signal: f32, [u, v, w]: Vector, vertebra: &Vertebra, contrast: &Contrast) -> f32 {
        if w > 1.0 {
            return signal;
        }
        let below = (-w / 80.0).clamp(0.0, 1.0);
        let reach = 52.0 - 26.0 * below;
        let distance = ellipse(u, v + 2.0, reach, 12.0 - 3.0 * below).max(w + 2.0 + 0.12 * u.abs());
        // the sacral foramina open beside the canal
        let foramen = ellipse(u.abs() - 19.0, v - 1.0, 4.0, 4.5).max((w - vertebra.bottom).abs() - 6.0);
        let signal = bone(signal, distance.max(-foramen), contrast.marrow * 1.1, contrast);
        paint(signal, contrast.fat, inside(foramen + 0.5))
    }

    /// Paints pedicles, laminae, spinous and transverse processes and facet joints.
    #[inline]
    pub(super) fn arches(&self, signal: f32, w: f32, point: Vector, contrast: &Contrast) -> f32 {
        let mut signal = signal;
        // No arch reaches farther than to the second vertebra above or below.
        let (first, last) = match self.sections.disc(w) {
            near if self.varied => ((near.saturating_sub(2)).max(self.s1 - 1), (near + 4).min(self.vertebrae.len())),
            _ => (self.s1 - 1, self.vertebrae.len()),
        };
        for (index, vertebra) in self.vertebrae.iter().enumerate().take(last).skip(first) {
            let frame: &Frame = &vertebra.frame;
            if dot(minus(point, frame.origin), frame.up).abs() > 34.0 {
                continue;
            }
            let at = frame.local(point);
            if !(-7.0..=58.0).contains(&at[1]) {
                continue;
            }
            signal = if vertebra.sacral {
                crest(signal, at, vertebra, contrast)
            } else {
                arch(signal, at, vertebra, &self.discs[index - 1], contrast)
            };
        }
        signal
    }
}

/// The fused arches of the sacrum behind its canal.
#[inline]
fn crest(signal: f32, [u, v, w]: Vector, vertebra: &Vertebra, contrast: &Contrast) -> f32 {
    let half_height = 0.5 * (vertebra.top - vertebra.bottom);
    let plate = ((v - 16.0 + 0.35 * u.abs()).abs() - 3.0).max(u.abs() - 21.0);
    let spine = (u.abs() - 2.5).max((v - 20.0).abs() - 5.0);
    let distance = plate.min(spine).max(w.abs() - half_height + 1.0).max(-(v - 8.0));
    bone(signal, distance, contrast.marrow, contrast)
}

#[inline]
fn arch(signal: f32, [u, v, w]: Vector, vertebra: &Vertebra, below: &Disc, contrast: &Contrast) -> f32 {
    let half_height = 0.5 * (vertebra.top - vertebra.bottom);
    let side = u.abs();
    let marrow = contrast.marrow;
    let mut signal = signal;
    if side > 11.0 && v < 22.0 {
        let upper = w - 0.36 * half_height;
        let pedicle = ellipse(side - 17.4, upper, 4.7, 7.2).max(-v - 5.0).max(v - 12.0);
        let transverse = ellipse(v - 11.0 - 0.12 * (side - 20.0), upper, 3.2, 5.0).max(20.0 - side).max(side - 41.0);
        signal = bone(signal, pedicle.min(transverse), marrow, contrast);
    }
    if v > 3.0 && side < 19.0 {
        let roof = 18.9 - 0.95 * ((side * side + 4.0).sqrt() - 2.0);
        let plate = ((v - roof - 3.2).abs() - 3.0).max((w + 5.0).abs() - 9.0).max(side - 17.0);
        let drop = w + 7.0 + 0.22 * (v - 22.0);
        let thick = 3.1 + 1.4 * step(34.0, 44.0, v);
        // a rounded plate, thicker at its end
        let (p, q) = ((v - 32.0) / 14.0, drop / (9.0 + 1.5 * step(24.0, 42.0, v)));
        let profile = (((p * p).powi(2) + (q * q).powi(2)).sqrt().sqrt() - 1.0) * 11.0;
        let process = profile.max(side - thick);
        signal = bone(signal, plate.min(process), marrow, contrast);
    }
    if side > 9.0 && v > 4.0 {
        signal = facet(signal, side, v, w + half_height + 0.5 * below.height, contrast);
    }
    signal
}

/// The joint between this vertebra's inferior and the next one's superior articular process; `w` counts from the
/// middle of the disc.
#[inline]
fn facet(signal: f32, side: f32, v: f32, w: f32, contrast: &Contrast) -> f32 {
    let level = (w + 1.0) / 12.5;
    if level.abs() > 1.05 {
        return signal;
    }
    let shrink = (1.0 - level * level).max(0.02).sqrt();
    let (x, y) = (side - 18.2, v - 14.0);
    // the joint line runs from front and medial to back and lateral, bent around the superior process
    let (across, lengthwise) = (0.72 * x - 0.69 * y, 0.69 * x + 0.72 * y);
    let distance = ellipse(across, lengthwise, 7.4 * shrink, 8.2 * shrink);
    let signal = bone(signal, distance, contrast.marrow * 0.95, contrast);
    let gap = (across + 0.2 - 0.03 * lengthwise * lengthwise).abs();
    let signal = paint(signal, contrast.cortex, inside((gap - 1.5).max(distance)));
    paint(signal, contrast.cartilage, inside((gap - 0.45).max(distance + 0.8)))
}
