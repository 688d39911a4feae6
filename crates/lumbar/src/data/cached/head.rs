use std::sync::Arc;

use lumbar_dicom::{Geometry, Photometric, Pixels, ReadReport, Rescale, Series, Slice, Stack, Uid};
use serde::{Deserialize, Serialize};

use super::{Area, Kind};
use crate::anatomy::Target;
use crate::data::intensity::IntensityWindow;
use crate::data::study::{Study, StudySeries};
use crate::data::{DataSplit, SeriesId, SeriesKind, StudyId};

/// A float as its bits, because decimal digits in JSON do not always give the same float again.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
struct Exact(u64);

fn exact<const N: usize>(values: [f64; N]) -> [Exact; N] {
    values.map(|value| Exact(value.to_bits()))
}

fn floats<const N: usize>(values: [Exact; N]) -> [f64; N] {
    values.map(|value| f64::from_bits(value.0))
}

/// What a crop needs of a study besides pixels, as it is stored.
#[derive(Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) study: StudyId,
    pub(super) split: DataSplit,
    series: Vec<SeriesHead>,
    points: Vec<Option<[Exact; 3]>>,
    #[serde(alias = "oddities")]
    pub(super) warnings: Vec<String>,
    pub(super) parts: Vec<(Area, Kind)>,
}

#[derive(Serialize, Deserialize)]
struct SeriesHead {
    id: SeriesId,
    kind: SeriesKind,
    /// A number in place of the real identifier: only whether two series have the same one matters.
    frame_of_reference: Option<Uid>,
    window: [Exact; 2],
    stacks: Vec<Vec<SliceHead>>,
}

#[derive(Serialize, Deserialize)]
struct SliceHead {
    rows: usize,
    columns: usize,
    /// Origin, row axis, column axis, row spacing, column spacing.
    geometry: Option<[Exact; 11]>,
    thickness_mm: Option<[Exact; 1]>,
    rescale: [Exact; 2],
    inverted: bool,
}

impl SliceHead {
    fn of(slice: &Slice) -> Self {
        let geometry = slice.geometry.map(|geometry| {
            let Geometry { origin_mm: o, row_axis: r, column_axis: c, row_spacing_mm, column_spacing_mm } = geometry;
            exact([o[0], o[1], o[2], r[0], r[1], r[2], c[0], c[1], c[2], row_spacing_mm, column_spacing_mm])
        });
        Self {
            rows: slice.rows,
            columns: slice.columns,
            geometry,
            thickness_mm: slice.thickness_mm.map(|thickness| exact([thickness])),
            rescale: exact([slice.rescale.slope, slice.rescale.intercept]),
            inverted: slice.is_inverted(),
        }
    }

    /// The slice without pixels, which are in the cached parts.
    fn slice(&self) -> Result<Slice, lumbar_dicom::Error> {
        let geometry = self.geometry.map(|values| {
            let [o0, o1, o2, r0, r1, r2, c0, c1, c2, row_spacing_mm, column_spacing_mm] = floats(values);
            let (origin_mm, row_axis, column_axis) = ([o0, o1, o2], [r0, r1, r2], [c0, c1, c2]);
            Geometry { origin_mm, row_axis, column_axis, row_spacing_mm, column_spacing_mm }
        });
        let mut slice = Slice::in_memory(0, 0, Pixels::U16(Arc::new(Vec::new())), geometry, None)?;
        (slice.rows, slice.columns) = (self.rows, self.columns);
        slice.thickness_mm = self.thickness_mm.map(|thickness| floats(thickness)[0]);
        let [slope, intercept] = floats(self.rescale);
        slice.rescale = Rescale { slope, intercept };
        if self.inverted {
            slice.photometric = Photometric::Monochrome1;
        }
        Ok(slice)
    }
}

impl Head {
    /// `windows` are those of the study's series, in their order.
    pub(super) fn new(
        study: &Study,
        windows: &[IntensityWindow],
        points: &[Option<[f64; 3]>; Target::COUNT],
        warnings: Vec<String>,
        parts: Vec<(Area, Kind)>,
    ) -> Self {
        let frames: Vec<Option<&Uid>> =
            study.series.iter().map(|series| series.data.frame_of_reference.as_ref()).collect();
        let frame_of = |series: &StudySeries| {
            let own = series.data.frame_of_reference.as_ref()?;
            let first = frames.iter().position(|frame| *frame == Some(own))?;
            Some(Uid::new(&first.to_string()))
        };
        let series = study.series.iter().zip(windows).filter_map(|(series, window)| {
            Some(SeriesHead {
                id: series.id,
                // A series without a kind is never searched.
                kind: series.kind?,
                frame_of_reference: frame_of(series),
                window: exact([f64::from(window.low), f64::from(window.high)]),
                stacks: series
                    .data
                    .stacks
                    .iter()
                    .map(|stack| stack.slices.iter().map(SliceHead::of).collect())
                    .collect(),
            })
        });
        Self {
            study: study.id,
            split: study.split,
            series: series.collect(),
            points: points.iter().map(|point| point.map(exact)).collect(),
            warnings,
            parts,
        }
    }

    /// The study with the heads of its slices and no pixels, and the windows of its series.
    pub(super) fn study(&self) -> Result<(Study, Vec<(SeriesId, IntensityWindow)>), lumbar_dicom::Error> {
        let mut study = Study { id: self.study, split: self.split, series: Vec::new(), warnings: Vec::new() };
        let mut windows = Vec::new();
        for head in &self.series {
            let stacks = head.stacks.iter().map(|slices| {
                Ok(Stack::new(slices.iter().map(SliceHead::slice).collect::<Result<_, lumbar_dicom::Error>>()?))
            });
            let data = Series {
                uid: None,
                study: None,
                frame_of_reference: head.frame_of_reference.clone(),
                number: None,
                modality: None,
                description: None,
                stacks: stacks.collect::<Result<_, lumbar_dicom::Error>>()?,
                report: ReadReport::default(),
            };
            study.series.push(StudySeries { id: head.id, kind: Some(head.kind), data });
            let [low, high] = floats(head.window);
            windows.push((head.id, IntensityWindow { low: low as f32, high: high as f32 }));
        }
        Ok((study, windows))
    }

    /// The positions of the targets in patient mm.
    pub(super) fn points(&self) -> [Option<[f64; 3]>; Target::COUNT] {
        std::array::from_fn(|target| self.points.get(target).copied().flatten().map(floats))
    }
}
