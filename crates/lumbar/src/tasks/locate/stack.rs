//! The sagittal stacks of a study as small images of fixed millimetres, as they are cached.

use std::cmp::Reverse;
use std::collections::HashMap;

use lumbar_dicom::{Geometry, Plane, Slice, Stack};
use serde::{Deserialize, Serialize};

use super::LocateSourceConfig;
use super::agreement::{Contradiction, keep_consistent};
use super::grid::StackGrid;
use crate::anatomy::Target;
use crate::data::SeriesKind;
use crate::data::augment::Augmentation;
use crate::data::cache::Block;
use crate::data::crop::{CropConfig, CropFrame, CropPlace, crop};
use crate::data::intensity::IntensityWindow;
use crate::data::loader::BoxError;
use crate::data::manifest::StudyRecord;
use crate::data::render::{Normalisation, Renderer};
use crate::data::study::{Study, StudyPoint, StudyPoints};

/// Stored pixels are this much smaller than those that the network sees, so that an augmented image loses little.
const FINER: f64 = 0.75;
/// An image is rendered at most this many times finer before it is averaged down.
const FINEST: usize = 8;
/// Largest stored side in the patient. Sagittal lumbar fields are 200 to 400 mm.
const FARTHEST_MM: f64 = 400.0;
/// Slices of a stack are parallel: the cosine of the angle between their normals is at least this.
const PARALLEL: f64 = 0.999;

/// What is stored of a study beside its pixels.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) stacks: Vec<StoredStack>,
    /// The annotated points in patient mm, over [`Target::ALL`], without levels that contradict themselves.
    pub(super) points: Vec<Option<[f64; 3]>>,
    pub(super) warnings: Vec<String>,
}

/// One stored stack: slices × rows × columns pixels from `start` on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredStack {
    pub(super) grid: StackGrid,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) start: usize,
}

/// Side of a stored pixel.
pub(super) fn stored_pixel_mm(config: &LocateSourceConfig) -> f64 {
    config.pixel_mm * FINER
}

/// The sagittal stacks of a study: the largest of each kind.
pub(super) fn block(record: &StudyRecord, config: &LocateSourceConfig) -> Result<Block, BoxError> {
    let study = Study::open_lossy(record);
    let mut points = StudyPoints::locate(&study, record).points.map(|point| match point {
        StudyPoint::Annotated { position_mm, .. } => Some(position_mm),
        _ => None,
    });
    let contradictions = keep_consistent(&mut points);
    let mut about = About { points: points.to_vec(), ..About::default() };
    about.warnings.extend(study.warnings.iter().map(ToString::to_string));
    about.warnings.extend(contradictions.iter().map(Contradiction::words));
    let mut pixels = Vec::new();
    for kind in [SeriesKind::SagittalT1, SeriesKind::SagittalT2] {
        let of_kind =
            study.series_of(kind).flat_map(|series| series.data.stacks.iter().map(move |stack| (series, stack)));
        let sagittal = of_kind.filter(|(_, stack)| stack.plane() == Some(Plane::Sagittal));
        // of equally large ones the first, in rising order of series
        let largest = sagittal.enumerate().max_by_key(|(place, (_, stack))| (stack.slices.len(), Reverse(*place)));
        let Some((_, (series, stack))) = largest else { continue };
        let window = IntensityWindow::of_series(&series.data, &config.intensity)?;
        if let Some(stored) = store(kind, stack, &window, stored_pixel_mm(config), &mut pixels)? {
            about.stacks.push(stored);
        }
    }
    Ok(Block { shape: [1, 1, pixels.len()], pixels, about: serde_json::to_value(about)? })
}

/// Appends the images of a stack's slices; `None` if it has no slice with a position in the patient.
fn store(
    kind: SeriesKind,
    stack: &Stack,
    window: &IntensityWindow,
    pixel_mm: f64,
    pixels: &mut Vec<u16>,
) -> Result<Option<StoredStack>, BoxError> {
    let placed: Vec<(&Slice, Geometry)> =
        stack.slices.iter().filter_map(|slice| Some((slice, slice.geometry?))).collect();
    let Some(&(slice, geometry)) = placed.get(placed.len() / 2) else { return Ok(None) };
    let middle_mm = geometry.patient_at((slice.columns as f64 - 1.0) / 2.0, (slice.rows as f64 - 1.0) / 2.0);
    let unit = CropConfig { slices: 1, ..CropConfig::default() };
    let frame = CropFrame::new(stack, &CropPlace::at(middle_mm), &unit).and_then(|frame| frame.geometry());
    let Some(frame) = frame else { return Ok(None) };
    let at = frame.project(middle_mm);
    let mut grid = StackGrid::new(kind, &frame, [at.column, at.row], Vec::new());
    let dot = |a: [f64; 3], b: [f64; 3]| (0..3).map(|k| a[k] * b[k]).sum::<f64>();
    // corners of the image in the grid's coordinates
    let corners = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(x, y)| {
        let edge = |far: usize, size: usize| if far == 1 { size as f64 - 0.5 } else { -0.5 };
        grid.project(geometry.patient_at(edge(x, slice.columns), edge(y, slice.rows)))
    });
    let side = |mm: fn(&super::grid::StackPosition) -> f64| {
        let farthest = corners.iter().map(|corner| mm(corner).abs()).fold(0.0, f64::max);
        ((2.0 * farthest).min(FARTHEST_MM) / pixel_mm).round().max(1.0) as usize
    };
    let (columns, rows) = (side(|at| at.back_mm), side(|at| at.down_mm));
    let mut slices: Vec<(f64, &Slice)> = placed
        .iter()
        .filter(|(_, other)| dot(other.normal(), geometry.normal()).abs() >= PARALLEL)
        .map(|(slice, other)| {
            let own = other.patient_at((slice.columns as f64 - 1.0) / 2.0, (slice.rows as f64 - 1.0) / 2.0);
            (grid.project(own).left_mm, *slice)
        })
        .collect();
    slices.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.instance_number.cmp(&b.1.instance_number)));
    // a second slice at the same place shows nothing new
    slices.dedup_by(|next, before| (next.0 - before.0).abs() < 0.1);
    let start = pixels.len();
    let mut renderer = Renderer::new();
    let own_mm = geometry.column_spacing_mm.min(geometry.row_spacing_mm);
    let finer = ((pixel_mm / own_mm).round() as usize).clamp(1, FINEST);
    let size = CropConfig {
        width_mm: pixel_mm * columns as f64,
        height_mm: pixel_mm * rows as f64,
        width_px: columns * finer,
        height_px: rows * finer,
        slices: 1,
        outside: 0.0,
        normalisation: Normalisation::NONE,
    };
    for (offset, slice) in &slices {
        let centre_mm: [f64; 3] = std::array::from_fn(|k| grid.middle_mm[k] + grid.left[k] * offset);
        let alone = Stack::new(vec![(*slice).clone()]);
        let fine = crop(&alone, &CropPlace::at(centre_mm), window, &size, &Augmentation::NONE, &mut renderer)?;
        average(fine.as_slice().unwrap_or_default(), columns, finer, pixels);
    }
    grid.offsets_mm = slices.into_iter().map(|(offset, _)| offset).collect();
    Ok(Some(StoredStack { grid, rows, columns, start }))
}

/// Appends the means of `finer` × `finer` values each, 0…1 as 0…65535.
fn average(fine: &[f32], columns: usize, finer: usize, pixels: &mut Vec<u16>) {
    let scale = f32::from(u16::MAX) / (finer * finer) as f32;
    for rows in fine.chunks_exact(columns * finer * finer) {
        for x in 0..columns {
            let sum: f32 = rows.chunks_exact(columns * finer).flat_map(|row| &row[x * finer..(x + 1) * finer]).sum();
            pixels.push((sum * scale).round() as u16);
        }
    }
}

/// The points of a study over [`Target::ALL`]; missing ones are `None`.
pub(super) fn points_of(about: &About) -> [Option<[f64; 3]>; Target::COUNT] {
    std::array::from_fn(|target| about.points.get(target).copied().flatten())
}

/// Annotated points by study.
pub(super) type AnnotatedPoints = HashMap<crate::data::StudyId, [Option<[f64; 3]>; Target::COUNT]>;
