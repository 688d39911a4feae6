//! Wide anatomy: what patients have that the default phantom's spines lack.

use rand::rngs::StdRng;

use crate::anatomy::{Spine, Variety};
use crate::config::Variation;
use crate::seed::{between, chance, normal};

/// Share of spines of the default kind with four or six lumbar bodies: that of the default phantom.
const TRANSITIONAL: f64 = 0.065;

/// What is decided about a spine before it is drawn.
pub(super) fn variety(random: &mut StdRng, is_wide: bool) -> Variety {
    if !is_wide {
        return Variety { variation: Variation::default(), transitional: chance(random, TRANSITIONAL) };
    }
    let most = between(random, 0.0, 35.0);
    let worst = between(random, 0.0, 5.99) as usize;
    let collapsed_discs = if chance(random, 0.6) { between(random, 0.05, 0.8) } else { 0.0 };
    let variation = Variation {
        transitional: 0.0,
        scoliosis_deg: [0.3 * most, most],
        collapsed_discs,
        slips: 0.35,
        stenosed_levels: [0, worst],
        wedged_bodies: if chance(random, 0.3) { 0.25 } else { 0.0 },
        rudimentary_disc: 0.3,
        sacral_curve: [0.4, 2.2],
        canal_width: [0.8, 1.2],
    };
    Variety { variation, transitional: chance(random, TRANSITIONAL) }
}

/// Changes of signal and of soft tissue that do not move a point.
pub(super) fn widen(random: &mut StdRng, spine: &mut Spine) {
    let patchy = between(random, 0.03, 0.3);
    for vertebra in &mut spine.vertebrae {
        vertebra.marrow = (patchy * normal(random).clamp(-2.5, 2.5)).exp() as f32;
    }
    // nuclei need not follow the degrees of disease
    let loose = chance(random, 0.5);
    for disc in &mut spine.discs {
        let drawn = between(random, 0.0, 1.0) as f32;
        if loose && disc.degeneration < 1.0 {
            disc.degeneration = drawn;
        }
    }
    spine.back_fat = between(random, 5.0, 60.0) as f32;
    spine.muscle_fat = between(random, 0.05, 0.95) as f32;
    // a narrow sac in a canal full of fat, most of it behind
    let (share, in_front) = (between(random, 0.65, 1.0) as f32, between(random, 0.0, 0.6) as f32);
    spine.sections.narrow_sac(share, in_front);
    spine.conus += 12.0 * normal(random).clamp(-2.0, 2.0) as f32;
}
