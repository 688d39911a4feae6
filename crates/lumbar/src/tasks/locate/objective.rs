use std::collections::HashMap;
use std::path::Path;

use tch::{Device, Tensor};

use super::decode::{Precision, StackMaps, decode};
use super::truth::LocateTruth;
use super::{MAPS, SAGITTAL};
use crate::anatomy::{Level, Target};
use crate::data::StudyId;
use crate::data::found_points::FoundPoints;
use crate::train::{Objective, OutOfFold, TrainError, ValidationScore};

/// A point that is farther off counts as this far, and so does one that was not found.
const FARTHEST_MM: f64 = 20.0;

/// Trains and judges a localiser.
///
/// The loss of a target is the cross-entropy between the softmax of its map over all slices and pixels of a series and
/// a Gaussian about its annotated point; foramina have one of the left and one of the right slices. Points that are
/// unknown, outside of the image or on none of the slices have none.
#[derive(Debug, Default)]
pub struct Locating {
    points: HashMap<StudyId, [Option<[f64; 3]>; Target::COUNT]>,
}

impl Locating {
    /// The objective with the annotated points by which found ones are judged. Without any, studies can be predicted
    /// and have no score.
    #[must_use]
    pub const fn new(points: HashMap<StudyId, [Option<[f64; 3]>; Target::COUNT]>) -> Self {
        Self { points }
    }
}

impl Objective for Locating {
    type Truth = LocateTruth;
    type Table = FoundPoints;

    fn loss(&self, output: &Tensor, truth: &LocateTruth) -> Result<Tensor, TrainError> {
        check_maps(output, truth)?;
        let (mut start, mut shown, mut sum) = (0, 0, None);
        for stack in &truth.stacks {
            let slices = stack.slices as i64;
            if let Some(maps) = &stack.maps {
                let loss = maps.cross_entropy(&output.f_narrow(0, start, slices)?)?;
                sum = Some(match sum {
                    Some(sum) => loss.f_add(&sum)?,
                    None => loss,
                });
                shown += maps.shown;
            }
            start += slices;
        }
        match sum {
            Some(sum) => Ok(sum.f_div_scalar(shown.max(1) as f64)?),
            // no study of the batch has a sagittal series: nothing to learn
            None => Ok(output.f_sum(output.kind())?.f_mul_scalar(0.0)?),
        }
    }

    fn predict(
        &self,
        table: &mut FoundPoints,
        studies: &[StudyId],
        output: &Tensor,
        truth: &LocateTruth,
    ) -> Result<(), TrainError> {
        check_maps(output, truth)?;
        let area = output.size()[1..].iter().product::<i64>() as usize;
        let logits =
            Vec::<f32>::try_from(output.f_to_device(Device::Cpu)?.f_to_kind(tch::Kind::Float)?.f_flatten(0, -1)?)?;
        for (place, &study) in studies.iter().enumerate() {
            let mut start = 0;
            let mut stacks = Vec::new();
            for stack in &truth.stacks {
                let logits = &logits[start * area..(start + stack.slices) * area];
                if stack.study == place {
                    let (grid, precision) = (&stack.grid, Precision::Double);
                    stacks.push(StackMaps { grid, image: truth.image, logits, precision });
                }
                start += stack.slices;
            }
            table.insert(study, decode(&stacks))?;
        }
        Ok(())
    }

    /// Mean in-plane errors of canal and foramina against the annotated points, in millimetres, each at most 20; and the
    /// share of canal points that are nearest to another level's annotated point, in percent.
    fn score(&self, table: &FoundPoints) -> Result<Option<ValidationScore>, TrainError> {
        let (mut errors, mut named) = ([Vec::new(), Vec::new()], Vec::new());
        for (study, found) in table.iter() {
            let Some(points) = self.points.get(&study) else { continue };
            for (target, (found, point)) in found.iter().zip(points).enumerate().take(SAGITTAL) {
                let Some(point) = *point else { continue };
                let error = found.map_or(FARTHEST_MM, |found| in_plane_mm(found.position_mm, point).min(FARTHEST_MM));
                errors[usize::from(target >= Level::ALL.len())].push(error);
                if target < Level::ALL.len() {
                    named.push(found.is_some_and(|found| nearest_level(found.position_mm, points) == Some(target)));
                }
            }
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let [canal, foramen] = errors;
        if canal.is_empty() || foramen.is_empty() {
            return Ok(None);
        }
        let wrong = 100.0 * named.iter().filter(|right| !**right).count() as f64 / named.len() as f64;
        let parts = [("canal_mm", mean(&canal)), ("foramen_mm", mean(&foramen)), ("levels_wrong_percent", wrong)];
        Ok(Some(ValidationScore::new(parts)))
    }
}

/// Distance of two points in the sagittal plane of the patient.
#[must_use]
pub fn in_plane_mm(a: [f64; 3], b: [f64; 3]) -> f64 {
    (a[1] - b[1]).hypot(a[2] - b[2])
}

/// The level whose canal point is nearest in the sagittal plane, as the index of its target.
#[must_use]
pub fn nearest_level(position_mm: [f64; 3], points: &[Option<[f64; 3]>; Target::COUNT]) -> Option<usize> {
    let canal = points.iter().take(Level::ALL.len()).enumerate();
    let distances = canal.filter_map(|(level, point)| Some((level, in_plane_mm(position_mm, (*point)?))));
    distances.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(level, _)| level)
}

fn check_maps(output: &Tensor, truth: &LocateTruth) -> Result<(), TrainError> {
    let slices: usize = truth.stacks.iter().map(|stack| stack.slices).sum();
    let (rows, columns) = truth.image.map_size();
    let expected = [slices, MAPS, rows, columns].map(|side| side as i64);
    if output.size() == expected {
        return Ok(());
    }
    Err(TrainError::Shape { what: "maps", expected: format!("{expected:?}"), found: output.size() })
}

impl OutOfFold for FoundPoints {
    fn write(&self, path: &Path) -> Result<(), TrainError> {
        Ok(Self::write(self, path)?)
    }

    fn read(path: &Path) -> Result<Self, TrainError> {
        Ok(Self::read(path)?)
    }

    fn add(&mut self, study: StudyId, from: &Self) -> Result<bool, TrainError> {
        match from.get(study) {
            Some(points) => self.insert(study, *points).map(|()| true).map_err(TrainError::from),
            None => Ok(false),
        }
    }
}
