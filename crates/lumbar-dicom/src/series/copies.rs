//! Which slices of one plane are copies of each other, found by hashes in time linear in their number.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};

use crate::error::Location;
use crate::geometry::{length, sub};
use crate::header::Uid;
use crate::pixels::Pixels;
use crate::slice::Slice;

/// Positions closer than this, in mm, are the same position.
pub(super) const SAME_PLACE_MM: f64 = 0.01;

/// A cube of [`SAME_PLACE_MM`]: a position is the same only as those in its own and the neighbouring cubes.
type Cell = [i64; 3];

/// The slices of one plane that are not copies, by what makes another slice their copy.
pub(super) struct Copies<'a> {
    slices: &'a [Slice],
    hasher: RandomState,
    /// For each cell a file with a slice in it, and whether there are several files.
    files: HashMap<Cell, (&'a Location, bool)>,
    by_instance: HashMap<(Cell, usize, &'a Uid), usize>,
    /// By the pixels' hash, slices of at most two files.
    by_pixels: HashMap<(Cell, u64), Vec<usize>>,
}

impl<'a> Copies<'a> {
    /// `plane` are indices of `slices`.
    pub(super) fn new(slices: &'a [Slice], plane: &[usize]) -> Self {
        let mut files = HashMap::new();
        for slice in plane.iter().map(|index| &slices[*index]) {
            let Some(cell) = cell(slice) else { continue };
            match files.entry(cell) {
                Entry::Vacant(entry) => drop(entry.insert((&slice.location, false))),
                Entry::Occupied(mut entry) if entry.get().0 != &slice.location => entry.get_mut().1 = true,
                Entry::Occupied(_) => {}
            }
        }
        let (by_instance, by_pixels) = (HashMap::new(), HashMap::new());
        Self { slices, hasher: RandomState::new(), files, by_instance, by_pixels }
    }

    /// The earlier slice of which slice `index` is a copy: at the same position, with the same identifier and
    /// frame number, or with the same pixels in another file. A slice that is not a copy is remembered.
    ///
    /// Frames of one file with equal pixels are not copies: they are times of a scan.
    pub(super) fn original(&mut self, index: usize) -> Option<usize> {
        let slice = &self.slices[index];
        let cell = cell(slice)?;
        if let Some(uid) = &slice.sop_instance {
            let key = |cell| (cell, slice.frame, uid);
            let found = neighbours(cell).filter_map(|cell| self.by_instance.get(&key(cell))).copied();
            if let Some(found) = found.filter(|other| self.is_same_place(index, *other)).min() {
                return Some(found);
            }
            self.by_instance.entry(key(cell)).or_insert(index);
        }
        let in_another_file = |(file, several): &(&Location, bool)| *several || *file != &slice.location;
        if !neighbours(cell).filter_map(|cell| self.files.get(&cell)).any(in_another_file) {
            return None;
        }
        let pixels = slice.pixels().ok()?;
        let hash = self.hash(&pixels);
        let found = neighbours(cell).filter_map(|cell| self.by_pixels.get(&(cell, hash))).flatten().copied();
        let found = found.filter(|other| {
            let other_slice = &self.slices[*other];
            slice.location != other_slice.location
                && self.is_same_place(index, *other)
                && other_slice.pixels().is_ok_and(|other| other == pixels)
        });
        if let Some(found) = found.min() {
            return Some(found);
        }
        let known = self.by_pixels.entry((cell, hash)).or_default();
        if known.len() < 2 && known.iter().all(|other| self.slices[*other].location != slice.location) {
            known.push(index);
        }
        None
    }

    fn is_same_place(&self, a: usize, b: usize) -> bool {
        let origin = |index: usize| self.slices[index].geometry.map(|own| own.origin_mm);
        origin(a).zip(origin(b)).is_some_and(|(a, b)| length(sub(a, b)) <= SAME_PLACE_MM)
    }

    fn hash(&self, pixels: &Pixels) -> u64 {
        match pixels {
            Pixels::U8(values) => self.hasher.hash_one(values),
            Pixels::I8(values) => self.hasher.hash_one(values),
            Pixels::U16(values) => self.hasher.hash_one(values),
            Pixels::I16(values) => self.hasher.hash_one(values),
            Pixels::U32(values) => self.hasher.hash_one(values),
            Pixels::I32(values) => self.hasher.hash_one(values),
            Pixels::F32(values) => self.hasher.hash_one(bytemuck::cast_slice::<f32, u32>(values)),
            Pixels::F64(values) => self.hasher.hash_one(bytemuck::cast_slice::<f64, u64>(values)),
        }
    }
}

fn cell(slice: &Slice) -> Option<Cell> {
    // positions are within ±10⁶ mm: no cell is out of range
    slice.geometry.map(|own| own.origin_mm.map(|mm| (mm / SAME_PLACE_MM).floor() as i64))
}

/// A cell and the 26 around it.
fn neighbours([x, y, z]: Cell) -> impl Iterator<Item = Cell> {
    (-1..=1).flat_map(move |i| (-1..=1).flat_map(move |j| (-1..=1).map(move |k| [x + i, y + j, z + k])))
}
