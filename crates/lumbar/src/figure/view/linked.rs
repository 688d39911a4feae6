//! Sagittal and axial slices of a study, linked by a crosshair.

use lumbar_dicom::{Series, Slice};
use plotters::style::RGBColor;

use super::super::{Figure, FigureError, Line, Marker, MontageConfig, Tile, level_colour, montage, window_of};
use super::atlas::{Part, Source, ViewMark, encode};
use super::grades::Grades;
use super::html::{ViewData, bytes_left, element, slices_are, static_image, view_code};
use crate::anatomy::{Condition, Level, Target};
use crate::data::SeriesKind;
use crate::data::manifest::StudyRecord;
use crate::data::study::{Study, StudyPoint, StudyPoints};

const WHAT: &str = "linked view";
/// Largest side of a slice in pixels of the page: two fit beside each other.
const SIDE_PX: u32 = 400;
const SCOUT: RGBColor = RGBColor(255, 214, 0);

/// What a [`LinkedView`] shows beside the slices.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `title` | empty | text above the slices | |
/// | `target` | spinal canal L4/L5 | where the crosshair is at the start; if it is not annotated, the first annotated target | |
/// | `predictions` | `None` | the study's probabilities, over [`Target::ALL`] | rows of probabilities |
/// | `is_synthetic` | false | whether a program drew the slices; the view then says so | |
#[derive(Debug, Clone, PartialEq)]
pub struct LinkedViewConfig {
    /// Text above the slices.
    pub title: String,
    /// Where the crosshair is at the start.
    pub target: Target,
    /// The study's probabilities, over [`Target::ALL`].
    pub predictions: Option<[[f64; 3]; Target::COUNT]>,
    /// Whether the slices are synthetic.
    pub is_synthetic: bool,
}

impl Default for LinkedViewConfig {
    fn default() -> Self {
        Self {
            title: String::new(),
            target: Target::new(Condition::SpinalCanalStenosis, Level::L4L5),
            predictions: None,
            is_synthetic: false,
        }
    }
}

/// Sagittal T2 and axial T2 slices of a study side by side. A click in one goes to the same patient point in the other;
/// scout lines show where each slice cuts the other; rings mark the annotations. Below is the table of the 25 targets,
/// with labels or predictions, and a click on a target goes to its annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedView {
    figure: Figure,
    html: String,
    /// Bytes of `html` before style and script.
    element_bytes: usize,
}

impl LinkedView {
    /// A view of a study. Its labels and annotations come from `record`.
    ///
    /// # Errors
    /// [`FigureError::Values`] if the study has no sagittal T2 or no axial T2 slice with a position in the patient, has
    /// no annotation with a position, or a prediction is not a row of probabilities; [`FigureError::Drawing`] if pixels
    /// cannot be decoded.
    pub fn of_study(study: &Study, record: &StudyRecord, config: &LinkedViewConfig) -> Result<Self, FigureError> {
        let positions_mm = StudyPoints::locate(study, record).points.map(|point| match point {
            StudyPoint::Annotated { position_mm, .. } => Some(position_mm),
            _ => None,
        });
        let start = std::iter::once(config.target)
            .chain(Target::ALL)
            .find_map(|target| positions_mm[target.index()].map(|position_mm| (target, position_mm)));
        let (target, point_mm) = start.ok_or_else(|| values("the study has no annotation with a position".into()))?;
        let kinds = [SeriesKind::SagittalT2, SeriesKind::AxialT2];
        let [sagittal, axial] = kinds.map(|kind| nearest_slice(study, kind, point_mm));
        let figure = static_figure([sagittal?, axial?], (target, point_mm), config)?;

        let mut left_out = 0;
        let sources: Vec<Source<'_>> = kinds
            .into_iter()
            .map(|kind| {
                let series: Vec<&Series> = study.series_of(kind).map(|series| &series.data).collect();
                let mut parts: Vec<Part<'_>> =
                    series.iter().flat_map(|series| &series.stacks).flat_map(Part::of_stack).collect();
                parts.retain(|part| part.slice.geometry.is_some());
                left_out += series.iter().map(|series| series.len()).sum::<usize>() - parts.len();
                Source { name: kind.title().to_owned(), parts, first: 0, side_px: SIDE_PX }
            })
            .collect();
        let (panes, reduced) = encode(&sources, bytes_left(&figure))?;
        let label = |target| record.labels.and_then(|labels| labels.get(target));
        let grades = Grades::new(config.predictions.as_ref(), label, &positions_mm)?;
        let marks = Target::ALL.into_iter().filter_map(|target| {
            let position_mm = positions_mm[target.index()]?;
            let name = target.level.title();
            Some(ViewMark::new(name, level_colour(target.level), position_mm, Some(target.index())))
        });
        let mut title = config.title.clone();
        if config.is_synthetic {
            title.push_str(if title.is_empty() { "synthetic" } else { ", synthetic" });
        }
        let table = grades.table();
        let data = ViewData {
            title,
            note: notes(study, left_out) + &reduced,
            panes,
            point: Some(point_mm),
            marks: marks.collect(),
            selected: i32::try_from(target.index()).unwrap_or(-1),
            grades: Some(grades),
        };
        let mut html = element(&data, &(static_image(&figure) + &table));
        let element_bytes = html.len();
        html.push_str(&view_code());
        Ok(Self { figure, html, element_bytes })
    }

    /// The static image: both planes at the first point.
    #[must_use]
    pub fn figure(&self) -> &Figure {
        &self.figure
    }

    /// All of it as HTML, with the static image, a static table, style and script.
    #[must_use]
    pub fn html(&self) -> &str {
        &self.html
    }

    /// The same without style and script, for a page with several views: [`view_code`] follows the last of them.
    #[must_use]
    pub fn element(&self) -> &str {
        &self.html[..self.element_bytes]
    }
}

fn values(reason: String) -> FigureError {
    FigureError::Values { what: WHAT, reason }
}

/// The slice of all series of a kind that shows a position best, and its display window.
fn nearest_slice(study: &Study, kind: SeriesKind, point_mm: [f64; 3]) -> Result<(&Slice, (f32, f32)), FigureError> {
    let found = study.find(point_mm, kind, None).and_then(|found| {
        let stack = study.series(found.series)?.data.stacks.get(found.place.stack)?;
        let slice = stack.slices.get(found.place.nearest.slice)?;
        (!slice.burned_in_annotation).then_some((slice, stack))
    });
    let (slice, stack) = found.ok_or_else(|| values(format!("no {kind} slice shows the annotated position")))?;
    Ok((slice, window_of(stack)?))
}

/// Both slices with ring and scout lines.
fn static_figure(
    slices: [(&Slice, (f32, f32)); 2],
    (target, point_mm): (Target, [f64; 3]),
    config: &LinkedViewConfig,
) -> Result<Figure, FigureError> {
    let mut tiles = Vec::with_capacity(2);
    let kinds = [SeriesKind::SagittalT2, SeriesKind::AxialT2];
    for (number, ((slice, window), kind)) in slices.into_iter().zip(kinds).enumerate() {
        let place = slice.instance_number.map_or_else(String::new, |number| format!(", slice {number}"));
        let mut tile = Tile::of_slice(slice, window)?.caption(format!("{}{place}", kind.title()));
        let other = slices[1 - number].0;
        if let (Some(own), Some(other)) = (slice.geometry, other.geometry) {
            let seen = own.project(point_mm);
            let (label, colour) = (target.level.title().to_owned(), level_colour(target.level));
            tile = tile.marker(Marker { column: seen.column, row: seen.row, label, colour });
            if let Some([from, to]) = own.scout_line(&other, slice.rows, slice.columns) {
                tile = tile.line(Line { from, to, label: String::new(), colour: SCOUT });
            }
        }
        tiles.push(tile);
    }
    let title = if config.title.is_empty() { target.to_string() } else { config.title.clone() };
    let is_synthetic = config.is_synthetic;
    montage(&tiles, &MontageConfig { columns: 2, tile_px: 320, title, is_synthetic, ..MontageConfig::default() })
}

/// What a reader has to know of the study.
fn notes(study: &Study, left_out: usize) -> String {
    let mut notes = String::new();
    let frames: Vec<_> = [SeriesKind::SagittalT2, SeriesKind::AxialT2]
        .into_iter()
        .flat_map(|kind| study.series_of(kind))
        .map(|series| &series.data.frame_of_reference)
        .collect();
    if frames.windows(2).any(|pair| pair[0].is_none() || pair[0] != pair[1]) {
        notes.push_str("The series have different frames of reference: the patient may have moved between them. ");
    }
    if left_out > 0 {
        notes.push_str(&format!(
            "{} not shown: they have no position, or their files say that pixels may show a name. ",
            slices_are(left_out)
        ));
    }
    notes
}
