use super::*;
use crate::data::SeriesKind;
use crate::tasks::locate::LocateSourceConfig;
use lumbar_dicom::Geometry;

const SLICES: usize = 13;
const GAP_MM: f64 = 4.0;

/// A stack in the middle of the patient, its maps flat.
struct Maps {
    grid: StackGrid,
    image: ImageGrid,
    logits: Vec<f32>,
}

impl Maps {
    fn flat() -> Self {
        let image = ImageGrid::of(&LocateSourceConfig::default());
        let (rows, columns) = image.map_size();
        let middle = Geometry::new([0.0; 3], [0.0, 1.0, 0.0, 0.0, 0.0, -1.0], [1.0, 1.0]).unwrap();
        let offsets = (0..SLICES).map(|slice| (slice as f64 - 6.0) * GAP_MM).collect();
        let grid = StackGrid::new(SeriesKind::SagittalT2, &middle, [0.0, 0.0], offsets);
        Self { grid, image, logits: vec![-12.0; SLICES * MAPS * rows * columns] }
    }

    /// Raises a map about patient mm, to `height` at the point itself.
    fn peak(&mut self, map: usize, [x, y, z]: [f64; 3], height: f32) {
        let (rows, columns) = self.image.map_size();
        for (slice, offset) in self.grid.offsets_mm.iter().enumerate() {
            for pixel in 0..rows * columns {
                let [back, down] = self.image.map_position([(pixel % columns) as f64, (pixel / columns) as f64]);
                let squared = (offset - x).powi(2) + (back - y).powi(2) + (down + z).powi(2);
                let at = &mut self.logits[(slice * MAPS + map) * rows * columns + pixel];
                *at = at.max(height - (squared / 50.0) as f32);
            }
        }
    }

    fn spine() -> Self {
        let mut maps = Self::flat();
        for level in Level::ALL {
            let canal = canal_mm(level);
            maps.peak(level.index(), canal, 0.0);
            for side in [Side::Left, Side::Right] {
                maps.peak(LEVELS + level.index(), foramen_mm(level, side), 0.0);
            }
        }
        maps
    }

    fn at(&self, precision: Precision) -> StackMaps<'_> {
        StackMaps { grid: &self.grid, image: self.image, logits: &self.logits, precision }
    }

    fn stack(&self) -> StackMaps<'_> {
        self.at(Precision::Double)
    }

    fn points(&self) -> StudyFoundPoints {
        decode(&[self.stack()])
    }
}

fn canal_mm(level: Level) -> [f64; 3] {
    [1.0, 10.0 - 3.0 * level.index() as f64, 71.0 - 35.0 * level.index() as f64]
}

fn foramen_mm(level: Level, side: Side) -> [f64; 3] {
    let [x, y, z] = canal_mm(level);
    [if side == Side::Left { x + 13.0 } else { x - 13.0 }, y - 5.0, z + 4.0]
}

fn expected_mm(target: Target) -> [f64; 3] {
    match target.condition.side() {
        Some(side) => foramen_mm(target.level, side),
        None => canal_mm(target.level),
    }
}

fn off_mm(found: &FoundPoint, at_mm: [f64; 3]) -> f64 {
    (0..3).map(|k| (found.position_mm[k] - at_mm[k]).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn points_are_found_to_a_fraction_of_a_pixel_and_recesses_are_not() {
    let points = Maps::spine().points();
    for target in Target::ALL {
        match points[target.index()] {
            Some(found) => {
                assert!(off_mm(&found, expected_mm(target)) < 1.0, "{target}: {found:?}");
                assert!(found.reliability > 0.3, "{target}: {found:?}");
            }
            None => assert_eq!(target.condition.group(), ConditionGroup::Subarticular, "{target}"),
        }
    }
}

#[test]
fn of_two_peaks_the_higher_is_the_point_and_not_their_middle() {
    let mut maps = Maps::spine();
    let [x, y, z] = foramen_mm(Level::L3L4, Side::Left);
    maps.peak(LEVELS + 2, [x, y - 2.0, z + 12.0], -0.5);
    let target = Target::new(Condition::LeftNeuralForaminalNarrowing, Level::L3L4);
    let found = maps.points()[target.index()].unwrap();
    assert!(off_mm(&found, [x, y, z]) < 2.0, "{found:?}");
}

#[test]
fn a_foramen_of_another_level_is_not_taken() {
    let mut maps = Maps::spine();
    // the map of L2/L3 shows the foramen of L3/L4 more clearly than its own
    maps.peak(LEVELS + 1, foramen_mm(Level::L3L4, Side::Left), 3.0);
    let target = Target::new(Condition::LeftNeuralForaminalNarrowing, Level::L2L3);
    let [unsure, sure] = [maps, Maps::spine()].map(|maps| maps.points()[target.index()].unwrap());
    assert!(off_mm(&unsure, foramen_mm(Level::L2L3, Side::Left)) < 1.5, "{unsure:?}");
    assert!(unsure.reliability < 0.3 * sure.reliability, "{unsure:?} {sure:?}");
}

#[test]
fn slices_in_reverse_order_give_the_same_points() {
    let maps = Maps::spine();
    let area = maps.stack().area() * MAPS;
    let mut reversed = Maps { grid: maps.grid.clone(), image: maps.image, logits: Vec::new() };
    reversed.grid.offsets_mm.reverse();
    reversed.logits = maps.logits.chunks_exact(area).rev().flatten().copied().collect();
    for (one, other) in maps.points().iter().zip(reversed.points()) {
        match (one, other) {
            (Some(one), Some(other)) => assert!(off_mm(one, other.position_mm) < 1e-6),
            (one, other) => assert_eq!((one.is_none(), other.is_none()), (true, true)),
        }
    }
}

#[test]
fn left_is_left_of_the_canal_whatever_the_maps_say() {
    let mut maps = Maps::spine();
    let mut state = 7_u32;
    for value in &mut maps.logits {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *value += (state >> 8) as f32 / (1 << 24) as f32 * 12.0;
    }
    let points = maps.points();
    for level in Level::ALL {
        let x = |condition| points[Target::new(condition, level).index()].map(|found| found.position_mm[0]);
        let Some(canal) = x(Condition::SpinalCanalStenosis) else { continue };
        let [left, right] = [Side::Left, Side::Right].map(|side| x(Condition::of(ConditionGroup::Foraminal, side)));
        assert!(left.is_none_or(|left| left > canal) && right.is_none_or(|right| right < canal), "{level}");
    }
}

#[test]
fn one_stack_is_as_good_as_two_and_a_wrong_one_costs_reliability() {
    let (spine, flat) = (Maps::spine(), Maps::flat());
    let (one, two) = (spine.points(), decode(&[spine.stack(), spine.stack()]));
    let unsure = decode(&[spine.stack(), flat.stack()]);
    for target in &Target::ALL[..15] {
        let [one, two, unsure] = [one, two, unsure].map(|points| points[target.index()].unwrap());
        assert!(off_mm(&one, two.position_mm) < 1e-6, "{target}");
        assert!(off_mm(&one, unsure.position_mm) < 0.5, "{target}");
        assert!(unsure.reliability < 0.8 * one.reliability, "{target}: {unsure:?} {one:?}");
    }
}

#[test]
fn single_precision_finds_the_same_points() {
    let spine = Maps::spine();
    let [double, single] = [Precision::Double, Precision::Single].map(|precision| decode(&[spine.at(precision)]));
    for target in &Target::ALL[..15] {
        let [double, single] = [double, single].map(|points| points[target.index()].unwrap());
        assert!(off_mm(&double, single.position_mm) < 1e-4, "{target}");
        assert!((double.reliability - single.reliability).abs() < 1e-5, "{target}");
    }
}

#[test]
fn without_a_spine_nothing_is_reliable_and_without_a_stack_nothing_is_found() {
    assert_eq!(decode(&[]), [None; Target::COUNT]);
    let mut maps = Maps::flat();
    assert!(maps.points().iter().flatten().all(|found| found.reliability < 0.05), "{:?}", maps.points());
    maps.logits.fill(f32::NAN);
    assert!(maps.points().iter().flatten().all(|found| found.reliability < 0.05));
}

#[test]
fn a_level_outside_of_the_image_has_no_point() {
    let mut maps = Maps::flat();
    for level in &Level::ALL[1..] {
        maps.peak(level.index(), canal_mm(*level), 0.0);
    }
    let points = maps.points();
    assert!(points[0].is_none(), "{:?}", points[0]);
    assert!(points[1..5].iter().all(Option::is_some));
}
