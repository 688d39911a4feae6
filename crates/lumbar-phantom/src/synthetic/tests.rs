use super::*;
use crate::target::LEVELS;

fn studies(config: SyntheticConfig, count: u64) -> impl Iterator<Item = SyntheticStudy> {
    (0..count).map(move |number| SyntheticStudy::draw(&config, 5, number))
}

#[test]
fn the_same_number_gives_the_same_pixels_and_another_one_others() {
    let [one, same, other] = [1, 1, 2].map(|number| SyntheticStudy::draw(&SyntheticConfig::default(), 3, number));
    assert_eq!(one.render(4, 4.0), same.render(4, 4.0));
    assert_ne!(one.points(), other.points());
}

#[test]
fn nearly_all_studies_show_all_canal_points_and_slices_run_to_the_left() {
    let mut complete = 0;
    for study in studies(SyntheticConfig::default(), 100) {
        let [height, width] = study.field_mm();
        let place = study.place(study.slice_count() / 2);
        let along = |axis: [f64; 3], point: [f64; 3]| -> f64 {
            (0..3).map(|k| axis[k] * (point[k] - place.middle_mm[k])).sum()
        };
        let is_inside = |point: &[f64; 3]| {
            along(place.along_rows, *point).abs() < 0.5 * height
                && along(place.along_columns, *point).abs() < 0.5 * width
        };
        complete += usize::from(study.points()[..LEVELS.len()].iter().all(is_inside));
        assert!(study.place(1).middle_mm[0] > study.place(0).middle_mm[0]);
    }
    assert!((85..=100).contains(&complete), "{complete} of 100");
}

#[test]
fn every_look_has_finite_pixels_that_differ_across_the_image() {
    for look in Appearance::ALL {
        for study in studies(SyntheticConfig::only(look), 6) {
            assert_eq!(study.look(), look);
            let pixels = study.render(study.slice_count() / 2, 3.0);
            assert!(pixels.values.iter().all(|value| value.is_finite() && *value >= 0.0));
            let mean = pixels.values.iter().sum::<f32>() / pixels.values.len() as f32;
            let spread = pixels.values.iter().map(|value| (value - mean).powi(2)).sum::<f32>();
            assert!((spread / pixels.values.len() as f32).sqrt() > 0.2 * mean, "{} is flat", look.name());
        }
    }
}

#[test]
fn neighbouring_levels_stay_apart_in_wide_anatomy() {
    for study in studies(SyntheticConfig { wide: 1.0, ..SyntheticConfig::default() }, 200) {
        for pair in study.points()[..LEVELS.len()].windows(2) {
            let step = (0..3).map(|k| (pair[0][k] - pair[1][k]).powi(2)).sum::<f64>().sqrt();
            assert!((14.0..50.0).contains(&step), "{step} mm");
        }
    }
}

#[test]
fn weights_that_are_all_zero_are_refused() {
    let config = SyntheticConfig { physical: 0.0, varied: 0.0, randomised: 0.0, ..SyntheticConfig::default() };
    assert!(config.check().unwrap_err().to_string().contains("one weight above 0"));
    SyntheticConfig::default().check().unwrap();
}
