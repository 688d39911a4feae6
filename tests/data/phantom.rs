//! The whole way on the phantom: tables, studies, points, crops.

use lumbar::anatomy::Target;
use lumbar::data::augment::Augmentation;
use lumbar::data::crop::{CropConfig, CropFrame, CropPlace, crop};
use lumbar::data::intensity::{IntensityConfig, IntensityWindow};
use lumbar::data::manifest::Manifest;
use lumbar::data::render::Renderer;
use lumbar::data::study::Study;
use lumbar::data::{DataSplit, SeriesKind};
use lumbar_phantom::{PhantomConfig, PhantomPreset, generate};

#[test]
fn the_crop_of_each_target_is_centred_on_it() {
    let folder = lumbar_tests::scratch();
    let mut config = PhantomConfig::preset(PhantomPreset::Tiny);
    config.studies = 3;
    generate(&config, folder.path(), &|_| {}).expect("a phantom");
    let manifest = Manifest::read(folder.path()).expect("the phantom is a data set");
    let crop_config = CropConfig::default();
    let (mut renderer, mut seen) = (Renderer::new(), 0);
    for record in manifest.of(DataSplit::Train) {
        let study = Study::open(record).and_then(Study::load).expect("a readable study");
        for point in &record.points {
            let Ok(position_mm) = study.locate(point) else { continue };
            let kind = SeriesKind::annotated_for(point.target.condition);
            let slice_match = study.find(position_mm, kind, Some(point.series)).expect("its own series shows it");
            let series = study.series(slice_match.series).expect("the series that was found");
            let stack = &series.data.stacks[slice_match.place.stack];
            let place = CropPlace::at(position_mm);
            let frame = CropFrame::new(stack, &place, &crop_config).expect("a place");
            let [column, row] = frame.project(position_mm);
            assert!((column - 47.5).abs() < 1e-9 && (row - 47.5).abs() < 1e-9);
            // the middle of the crop is on the annotated pixel of the annotated slice
            let slice = &stack.slices[frame.slice(2).expect("the middle slice")];
            let [x, y] = frame.from_crop(&slice.geometry.expect("a place")).apply([47.5, 47.5]);
            if slice.path().and_then(|path| path.file_stem()?.to_str()?.parse().ok()) == Some(point.instance) {
                assert!((x - point.x_px).abs() < 0.01 && (y - point.y_px).abs() < 0.01, "{x} {y}, {point:?}");
                seen += 1;
            }
            let window = IntensityWindow::of_series(&series.data, &IntensityConfig::default()).expect("a window");
            let crop = crop(stack, &place, &window, &crop_config, &Augmentation::NONE, &mut renderer).expect("a crop");
            assert_eq!(crop.dim(), (5, 96, 96));
            let mean = crop.index_axis(ndarray::Axis(0), 2).mean().expect("pixels");
            assert!((0.02..0.98).contains(&mean), "something is to be seen: {mean}");
        }
    }
    assert!(seen > 2 * Target::COUNT, "{seen} annotations were found again");
}
