use rand::{Rng, RngExt};

/// Assigns samples to folds by iterative stratification: the rarest remaining label first, each of its samples to the
/// fold that needs the label most, then to the one that needs samples most, then at random.
///
/// `samples` are the labels of each sample, numbers below `labels`.
pub(super) fn assign(samples: &[Vec<usize>], labels: usize, folds: usize, random: &mut impl Rng) -> Vec<usize> {
    // Each fold gets its share of every label and of the samples; folds are full at a whole number.
    let mut left = vec![0_usize; labels];
    samples.iter().flatten().for_each(|label| left[*label] += 1);
    let mut wanted: Vec<Vec<f64>> = vec![left.iter().map(|count| *count as f64 / folds as f64).collect(); folds];
    let mut places = vec![samples.len() as f64 / folds as f64; folds];

    let mut assigned: Vec<Option<usize>> = vec![None; samples.len()];
    loop {
        let rarest = (0..labels).filter(|label| left[*label] > 0).min_by_key(|label| left[*label]);
        let members: Vec<usize> = (0..samples.len())
            .filter(|sample| assigned[*sample].is_none())
            .filter(|sample| rarest.is_none_or(|label| samples[*sample].contains(&label)))
            .collect();
        if members.is_empty() {
            break;
        }
        for sample in members {
            let need = |fold: usize| rarest.map_or(places[fold], |label| wanted[fold][label]);
            let fold = neediest(folds, need, |fold| places[fold], random);
            assigned[sample] = Some(fold);
            places[fold] -= 1.0;
            for label in &samples[sample] {
                wanted[fold][*label] -= 1.0;
                left[*label] -= 1;
            }
        }
    }
    assigned.into_iter().map(|fold| fold.expect("the loop ends when all are assigned")).collect()
}

fn neediest(folds: usize, first: impl Fn(usize) -> f64, second: impl Fn(usize) -> f64, random: &mut impl Rng) -> usize {
    const SAME: f64 = 1e-9;
    let best_of = |candidates: Vec<usize>, need: &dyn Fn(usize) -> f64| -> Vec<usize> {
        let most = candidates.iter().map(|fold| need(*fold)).fold(f64::NEG_INFINITY, f64::max);
        candidates.into_iter().filter(|fold| need(*fold) > most - SAME).collect()
    };
    let best = best_of(best_of((0..folds).collect(), &first), &second);
    best[random.random_range(0..best.len())]
}
