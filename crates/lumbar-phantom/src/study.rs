//! One study before rendering: its anatomy, series, labels, coordinates and planted oddities.

use rand::rngs::StdRng;
use rand::{Rng, RngExt};

use crate::anatomy::{Spine, Variety};
use crate::disease::{Disease, DiseaseModel, burden};
use crate::field::Field;
use crate::planting::{Planting, TRANSITIONAL};
use crate::score::Labels;
use crate::seed::{chance, generator, normal, pick};
use crate::series::{Kind, Protocol, Series, axial, sagittal};
use crate::target::{CONDITIONS, Condition, LEVELS, TARGETS, target};
use crate::{Detail, PhantomConfig};

/// A row of train_label_coordinates.csv.
#[derive(Debug, Clone)]
pub(crate) struct Coordinate {
    pub(crate) target: usize,
    pub(crate) series_id: u64,
    pub(crate) instance_number: u32,
    pub(crate) x: f64,
    pub(crate) y: f64,
}

/// A row of truth/oddities.csv.
#[derive(Debug, Clone)]
pub(crate) struct Planted {
    pub(crate) oddity: &'static str,
    pub(crate) series_id: Option<u64>,
    pub(crate) detail: String,
}

/// A study ready to be rendered and written.
#[derive(Debug, Clone)]
pub(crate) struct Study {
    pub(crate) index: usize,
    pub(crate) id: u64,
    pub(crate) spine: Spine,
    pub(crate) disease: [Disease; TARGETS],
    pub(crate) series: Vec<Series>,
    pub(crate) labels: Labels,
    pub(crate) coordinates: Vec<Coordinate>,
    pub(crate) planted: Vec<Planted>,
}

/// Standard deviation of an annotated point from the exact one along each axis of the image, in millimetres.
const CLICK_SD_MM: f64 = 1.2;
/// Share of points annotated on a neighbouring slice.
const NEIGHBOUR_CLICKS: f64 = 0.1;

impl Study {
    /// Plans the study with this index and id.
    pub(crate) fn plan(config: &PhantomConfig, planting: &Planting, index: usize, id: u64) -> Self {
        let random = |purpose: &str| generator(config.seed, index, purpose);
        let burden = match &config.variation {
            Some(variation) => burden(&mut random("burden"), variation.stenosed_levels),
            None => [0.0; TARGETS],
        };
        let model = DiseaseModel::new(config.reader_noise_sd, config.study_correlation);
        let disease = model.draw(&mut random("disease"), &burden);
        let variety =
            config.variation.map(|variation| Variety { variation, transitional: planting.has(TRANSITIONAL, index) });
        let spine = Spine::draw(&mut random("anatomy"), &disease, variety.as_ref());
        let mut study = Self {
            index,
            id,
            spine,
            disease,
            series: Vec::new(),
            labels: disease.map(|cell| Some(cell.label)),
            coordinates: Vec::new(),
            planted: Vec::new(),
        };
        for (name, detail) in std::mem::take(&mut study.spine.findings) {
            study.plant(name, None, detail);
        }
        study.plan_series(config, planting, &mut random("series"));
        study.annotate(planting, &mut random("annotation"));
        study
    }

    fn plant(&mut self, oddity: &'static str, series_id: Option<u64>, detail: impl Into<String>) {
        self.planted.push(Planted { oddity, series_id, detail: detail.into() });
    }

    fn plan_series(&mut self, config: &PhantomConfig, planting: &Planting, random: &mut StdRng) {
        let has = |name: &str| planting.has(name, self.index);
        let (flipped, reversed) = (has("flipped_sagittal"), has("reversed_axial"));
        let (stacks, split, short) = (has("axial_stacks"), has("split_axial"), has("short_axial"));
        let (no_t1, no_t2, second_t1) = (has("missing_t1"), has("missing_t2"), has("second_t1"));
        let gap = has("instance_gap");
        let field = config.shifted_field.map(|shifted| {
            // real slices are 3 to 4.5 mm thick and a little farther apart
            let gap_mm = if config.detail == Detail::Full { [3.3, 4.7] } else { [3.5, 5.3] };
            Field::draw(&mut generator(config.seed, self.index, "field"), &shifted, &self.spine, gap_mm)
        });
        let protocol = Protocol { spine: &self.spine, detail: config.detail, field: field.as_ref() };
        let mut series = Vec::new();
        for (kind, count) in [
            (Kind::SagittalT1, 1 - usize::from(no_t1) + usize::from(second_t1)),
            (Kind::SagittalT2, 1 - usize::from(no_t2)),
        ] {
            for _ in 0..count {
                series.push(sagittal(random, protocol, kind, flipped));
            }
        }
        let first = if short { pick(random, &[1, 1, 2]) } else { 0 };
        let cut = if split { 3 } else { LEVELS.len() };
        for levels in [first..cut, cut..LEVELS.len()].into_iter().filter(|levels| !levels.is_empty()) {
            series.push(axial(random, protocol, levels, (stacks, reversed)));
        }
        for (place, series) in series.iter_mut().enumerate() {
            // The study's index makes the ids unique.
            series.id = (random.random_range(1..4_000_u64) * 100_000 + self.index as u64) * 10 + place as u64;
        }
        self.series = series;
        for (planted, oddity) in
            [(no_t1, "missing_t1"), (no_t2, "missing_t2"), (second_t1, "second_t1"), (short, "short_axial")]
        {
            if planted {
                self.plant(oddity, None, "");
            }
        }
        if gap {
            let place = random.random_range(0..self.series.len());
            let detail = self.series[place].break_numbers(random);
            self.plant("instance_gap", Some(self.series[place].id), detail);
        }
        for place in 0..self.series.len() {
            let (kind, id) = (self.series[place].kind, self.series[place].id);
            let turned =
                self.series[place].planes.iter().any(|p| p.along_rows != self.series[place].planes[0].along_rows);
            let planted = match kind {
                Kind::AxialT2 => [(reversed, "reversed_axial"), (turned, "axial_stacks"), (split, "split_axial")],
                _ => [(flipped, "flipped_sagittal"), (false, ""), (false, "")],
            };
            for (_, oddity) in planted.into_iter().filter(|(planted, _)| *planted) {
                self.plant(oddity, Some(id), "");
            }
        }
    }

    /// The exact position of a target, patient coordinates in millimetres.
    pub(crate) fn point(&self, target: usize) -> [f64; 3] {
        self.spine.target_point(target).map(f64::from)
    }

    /// Adds labels and annotated points, as readers would.
    fn annotate(&mut self, planting: &Planting, random: &mut StdRng) {
        let slipped = planting.has("level_slip", self.index).then(|| random.random_range(0..3));
        if let Some(group) = slipped {
            let name = ["spinal canal", "foramina", "recesses"][group];
            self.plant(
                "level_slip",
                None,
                format!("labels and coordinates of the {name} are those of the level below"),
            );
        }
        for at in 0..TARGETS {
            let (condition, level) = (at / LEVELS.len(), at % LEVELS.len());
            let slip = slipped == Some(CONDITIONS[condition].group());
            let seen = if slip { target(condition, (level + 1).min(LEVELS.len() - 1)) } else { at };
            self.labels[at] = Some(self.disease[seen].label);
            let click = self.click(random, CONDITIONS[condition], seen);
            if click.is_none() && matches!(CONDITIONS[condition], Condition::Subarticular(_)) {
                // The axial slices do not reach the level, so it cannot be graded.
                self.labels[at] = None;
            }
            self.coordinates.extend(click.map(|click| Coordinate { target: at, ..click }));
        }
        let own = |name| planting.has(name, self.index);
        let (label, coordinate, unlabelled) =
            (own("missing_label"), own("missing_coordinate"), own("unlabelled_coordinate"));
        if label {
            let at = random.random_range(0..TARGETS);
            self.labels[at] = None;
            self.coordinates.retain(|click| click.target != at);
            self.plant("missing_label", None, crate::target::column(at));
        }
        for (planted, oddity) in [(coordinate, "missing_coordinate"), (unlabelled, "unlabelled_coordinate")] {
            let places: Vec<usize> =
                (0..self.coordinates.len()).filter(|&i| self.labels[self.coordinates[i].target].is_some()).collect();
            if planted && !places.is_empty() {
                let place = pick(random, &places);
                let at = self.coordinates[place].target;
                if oddity == "missing_coordinate" {
                    self.coordinates.remove(place);
                } else {
                    self.labels[at] = None;
                }
                self.plant(oddity, None, crate::target::column(at));
            }
        }
    }

    /// A reader's point for a target, on the kind of series on which its condition is graded; `None` if no slice
    /// shows the target.
    fn click(&self, random: &mut impl Rng, condition: Condition, seen: usize) -> Option<Coordinate> {
        let kind = match condition {
            Condition::Spinal => Kind::SagittalT2,
            Condition::Foraminal(_) => Kind::SagittalT1,
            Condition::Subarticular(_) => Kind::AxialT2,
        };
        let point = self.point(seen);
        let (series, (mut slice, mut at)) = self
            .series
            .iter()
            .filter(|series| series.kind == kind)
            .filter_map(|series| series.nearest(point).map(|nearest| (series, nearest)))
            .min_by(|(_, (_, a)), (_, (_, b))| a.distance_mm.abs().total_cmp(&b.distance_mm.abs()))?;
        let (dx, dy) = (CLICK_SD_MM * normal(random), CLICK_SD_MM * normal(random));
        if chance(random, NEIGHBOUR_CLICKS) && kind != Kind::AxialT2 {
            // To either side, if there is a slice.
            let next = if chance(random, 0.5) { slice + 1 } else { slice.wrapping_sub(1) };
            if let Some(plane) = series.planes.get(next) {
                (slice, at) = (next, plane.project(point));
            }
        }
        let [row_mm, column_mm] = series.planes[slice].spacing_mm;
        Some(Coordinate {
            target: seen,
            series_id: series.id,
            instance_number: series.instance_numbers[slice],
            x: at.column + dx / column_mm,
            y: at.row + dy / row_mm,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OddityRates, PhantomPreset};

    #[test]
    fn every_target_of_a_plain_study_is_labelled_and_annotated_near_its_point() {
        let config =
            PhantomConfig { oddities: OddityRates::none(), studies: 30, ..PhantomConfig::preset(PhantomPreset::Tiny) };
        let planting = Planting::new(&config);
        for index in 0..config.studies {
            let study = Study::plan(&config, &planting, index, 1);
            assert!(study.labels.iter().all(Option::is_some), "study {index}");
            assert_eq!(study.coordinates.len(), TARGETS, "study {index}");
            for click in &study.coordinates {
                let series = study.series.iter().find(|series| series.id == click.series_id).unwrap();
                let slice = series.instance_numbers.iter().position(|&n| n == click.instance_number).unwrap();
                let plane = &series.planes[slice];
                let at = plane.project(study.point(click.target));
                let off_mm = (at.column - click.x).hypot(at.row - click.y) * plane.spacing_mm[0];
                assert!(off_mm < 6.0 && at.distance_mm.abs() < 1.6 * plane.gap_mm, "{off_mm} mm, {at:?}");
            }
        }
    }

    #[test]
    fn the_aligned_preset_draws_the_spines_it_drew_when_other_presets_were_added() {
        let config = PhantomConfig::preset(PhantomPreset::Aligned);
        let study = Study::plan(&config, &Planting::new(&config), 0, 1);
        let expected = [(0, [-2.640289, -4.359200, 27.640905]), (TARGETS - 1, [-17.132465, 13.555895, -93.047874])];
        for (target, point) in expected {
            let found = study.point(target);
            let off_mm = (0..3).map(|axis| (found[axis] - point[axis]).abs()).fold(0.0_f64, f64::max);
            assert!(off_mm < 1e-3, "{found:?}, expected {point:?}");
        }
    }

    #[test]
    fn left_targets_have_larger_x() {
        let config = PhantomConfig::preset(PhantomPreset::Tiny);
        let study = Study::plan(&config, &Planting::new(&config), 0, 1);
        for level in 0..LEVELS.len() {
            for left in [1, 3] {
                assert!(study.point(target(left, level))[0] > study.point(target(left + 1, level))[0] + 15.0);
            }
        }
    }
}
