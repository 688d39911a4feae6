//! Which disc is which: an ordered chain of candidates, one for each level.
//!
//! Candidates are places in the sagittal plane that may be a level's canal point. A chain assigns candidates to levels
//! from top to bottom; a level may have none. Its log-odds are the sum of the evidence that each map gives, and of how
//! well the steps from point to point fit real spines. The best chain is found by dynamic programming.

use crate::anatomy::{CANAL_STEPS, Level};

const LEVELS: usize = Level::ALL.len();

/// Direction of the steps between neighbouring canal points from vertical, in degrees, positive to the back: medians
/// over the studies of [`CANAL_STEPS`].
const DIRECTIONS_DEG: [f64; LEVELS - 1] = [-12.0, -8.0, 2.0, 16.0];
/// Mean distance of neighbouring canal points in adults, and how far people differ from it. Wide: a child's or a tall
/// man's spine is within two standard deviations.
const MEAN_STEP_MM: f64 = 35.0;
const STEP_SPREAD: f64 = 0.22;
/// Spread of the direction. Wide, too: scoliosis, slips and a tilted patient turn steps by as much.
const DIRECTION_SPREAD_DEG: f64 = 16.0;
/// Log-odds of a level without a point: it is outside of the image, or no map shows it.
const MISSING: f64 = -1.5;
/// Two assignments differ if a level's points are farther apart than this.
const OTHER_MM: f64 = 12.0;

/// A place that may be a level's canal point.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Candidate {
    /// Millimetres to the back and to the feet.
    pub(super) at_mm: [f64; 2],
    /// Log-odds of this place in each level's map against a flat map, the sum over series.
    pub(super) evidence: [f64; LEVELS],
}

/// The best chain.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chain {
    /// For each level the number of its candidate.
    pub(super) levels: [Option<usize>; LEVELS],
    /// For each level the log-odds of this chain against the best one in which the level's point is elsewhere.
    /// Infinite if there is none.
    pub(super) margins: [f64; LEVELS],
}

/// The best chain over candidates; no level has a point if there are no candidates.
pub(super) fn best_chain(candidates: &[Candidate]) -> Chain {
    let steps = Steps::new(candidates);
    let (best, levels) = solve(candidates, &steps, |_, _| true);
    let margins = std::array::from_fn(|level| {
        let Some(chosen) = levels[level] else { return 0.0 };
        let elsewhere = |at: usize, candidate: usize| {
            at != level || distance(candidates[candidate].at_mm, candidates[chosen].at_mm) > OTHER_MM
        };
        // with the level's point elsewhere, or without one
        best - solve(candidates, &steps, elsewhere).0
    });
    Chain { levels, margins }
}

/// The evidence of the best chain that ends at a candidate, and the level and the candidate before it.
type Scored = (f64, Option<(usize, usize)>);

/// Log-odds and candidates of the best chain in which (level, candidate) is allowed.
fn solve(
    candidates: &[Candidate],
    steps: &Steps,
    allowed: impl Fn(usize, usize) -> bool,
) -> (f64, [Option<usize>; LEVELS]) {
    // best[level][candidate]: log-odds of the best chain down to this level, which ends with this candidate, and the
    // level and candidate before
    let mut best: Vec<Vec<Scored>> = Vec::new();
    for level in 0..LEVELS {
        let end = |(number, candidate): (usize, &Candidate)| {
            if !allowed(level, number) {
                return (f64::NEG_INFINITY, None);
            }
            let mut chain = (level as f64 * MISSING, None);
            for (above, row) in best.iter().enumerate() {
                let missing = (level - above - 1) as f64 * MISSING;
                for (other, (log_odds, _)) in row.iter().enumerate() {
                    let sum = log_odds + missing + steps.log_odds(above, level, other, number);
                    if sum > chain.0 {
                        chain = (sum, Some((above, other)));
                    }
                }
            }
            (chain.0 + candidate.evidence[level], chain.1)
        };
        let row = candidates.iter().enumerate().map(end).collect();
        best.push(row);
    }
    let mut ends = (LEVELS as f64 * MISSING, None);
    for (level, row) in best.iter().enumerate() {
        for (candidate, (log_odds, _)) in row.iter().enumerate() {
            let sum = log_odds + (LEVELS - 1 - level) as f64 * MISSING;
            if sum > ends.0 {
                ends = (sum, Some((level, candidate)));
            }
        }
    }
    let (mut levels, mut place) = ([None; LEVELS], ends.1);
    while let Some((level, candidate)) = place {
        levels[level] = Some(candidate);
        place = best[level][candidate].1;
    }
    (ends.0, levels)
}

/// [`step_log_odds`] for each pair of levels and each pair of candidates.
struct Steps {
    candidates: usize,
    values: Vec<f64>,
}

impl Steps {
    fn new(candidates: &[Candidate]) -> Self {
        let mut values = Vec::new();
        for (above, below) in (0..LEVELS).flat_map(|above| (0..LEVELS).map(move |below| (above, below))) {
            for from in candidates {
                // a level is not above itself
                let step = |to: &Candidate| match above < below {
                    true => step_log_odds(above, below, from.at_mm, to.at_mm),
                    false => f64::NEG_INFINITY,
                };
                values.extend(candidates.iter().map(step));
            }
        }
        Self { candidates: candidates.len(), values }
    }

    fn log_odds(&self, above: usize, below: usize, from: usize, to: usize) -> f64 {
        self.values[((above * LEVELS + below) * self.candidates + from) * self.candidates + to]
    }
}

/// How well the step between the points of two levels fits real spines.
fn step_log_odds(above: usize, below: usize, from: [f64; 2], to: [f64; 2]) -> f64 {
    let [back, down] = [to[0] - from[0], to[1] - from[1]];
    if down <= 0.0 {
        return f64::NEG_INFINITY;
    }
    let (steps, count) = (above..below, (below - above) as f64);
    let expected_mm = MEAN_STEP_MM * steps.clone().map(|step| CANAL_STEPS[step]).sum::<f64>();
    let expected_deg = steps.map(|step| DIRECTIONS_DEG[step]).sum::<f64>() / count;
    let distance = (back.hypot(down) / expected_mm - 1.0) / STEP_SPREAD;
    let direction = (back.atan2(down).to_degrees() - expected_deg) / DIRECTION_SPREAD_DEG;
    -0.5 * (distance * distance + direction * direction)
}

pub(super) fn distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The evidence of a map that is sure.
    const SURE: f64 = 5.5;

    /// Candidates 35 mm apart; the evidence is strong for the level of the same number, minus `first`.
    fn discs(count: usize, first: usize, strength: f64) -> Vec<Candidate> {
        let evidence =
            |disc: usize| std::array::from_fn(|level| if level + first == disc { SURE } else { SURE - strength });
        (0..count).map(|disc| Candidate { at_mm: [0.0, 35.0 * disc as f64], evidence: evidence(disc) }).collect()
    }

    #[test]
    fn evidence_names_the_levels_and_the_margin_says_how_surely() {
        let chain = best_chain(&discs(7, 1, 4.0));
        assert_eq!(chain.levels, [1, 2, 3, 4, 5].map(Some));
        // a shift by one costs five times the evidence; one level elsewhere costs less
        assert!(chain.margins.iter().all(|margin| (2.0..=20.1).contains(margin)), "{:?}", chain.margins);
        let unsure = best_chain(&discs(7, 1, 0.1));
        assert!(unsure.margins.iter().all(|margin| *margin < 1.0), "{:?}", unsure.margins);
    }

    #[test]
    fn two_levels_that_collapse_onto_one_disc_are_pulled_apart() {
        let mut candidates = discs(5, 0, 3.0);
        // the map of L3/L4 prefers the disc of L4/L5
        candidates[3].evidence[2] = SURE;
        candidates[2].evidence[2] = SURE - 1.0;
        assert_eq!(best_chain(&candidates).levels, [0, 1, 2, 3, 4].map(Some));
    }

    #[test]
    fn a_level_without_a_candidate_is_missing_and_the_others_keep_their_names() {
        let mut candidates = discs(5, 0, 9.0);
        candidates.remove(2);
        assert_eq!(best_chain(&candidates).levels, [Some(0), Some(1), None, Some(2), Some(3)]);
        assert_eq!(best_chain(&discs(5, 0, 9.0)[2..]).levels, [None, None, Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn order_is_from_head_to_feet() {
        let mut candidates = discs(5, 0, 2.0);
        candidates.reverse();
        let levels = best_chain(&candidates).levels;
        assert_eq!(levels, [4, 3, 2, 1, 0].map(Some));
        // maps upside down: no chain follows them
        for (number, candidate) in candidates.iter_mut().enumerate() {
            candidate.evidence = std::array::from_fn(|level| if level == number { SURE } else { SURE - 2.0 });
        }
        let named: Vec<usize> = best_chain(&candidates).levels.into_iter().flatten().collect();
        assert!(named.windows(2).all(|pair| pair[0] > pair[1]), "{named:?}");
    }

    #[test]
    fn without_candidates_no_level_has_a_point() {
        assert_eq!(best_chain(&[]).levels, [None; LEVELS]);
    }
}
