//! A slice to sample from: stored values of some kind, all of a slice or a part of it.

use serde::{Deserialize, Serialize};

use super::super::Affine2;
use super::sample::Pairs;

/// A stored value that can be converted into a float.
pub(super) trait Pixel: Copy {
    /// Two neighbours in a row, packed.
    type Pair: Copy;

    fn value(self) -> f32;
    fn pair(left: Self, right: Self) -> Self::Pair;
    fn values(pair: Self::Pair) -> [f32; 2];
    fn pairs(pairs: &mut Pairs) -> &mut [Vec<Self::Pair>; 2];
}

/// Values of up to 16 bits: a pair has 32.
macro_rules! narrow {
    ($($kind:ty => $values:ident),*) => {
        $(impl Pixel for $kind {
            type Pair = u32;

            #[inline(always)]
            fn value(self) -> f32 {
                f32::from(self)
            }

            #[inline(always)]
            fn pair(left: Self, right: Self) -> u32 {
                let half = |value: Self| u32::from(i32::from(value) as u16);
                half(left) | half(right) << 16
            }

            #[inline(always)]
            fn values(pair: u32) -> [f32; 2] {
                $values(pair).map(|value| value as f32)
            }

            #[inline(always)]
            fn pairs(pairs: &mut Pairs) -> &mut [Vec<u32>; 2] {
                &mut pairs.narrow
            }
        })*
    };
}

#[inline(always)]
const fn unsigned(pair: u32) -> [i32; 2] {
    [(pair & 0xffff) as i32, (pair >> 16) as i32]
}

#[inline(always)]
const fn signed(pair: u32) -> [i32; 2] {
    [(pair << 16) as i32 >> 16, pair as i32 >> 16]
}
narrow!(u8 => unsigned, i8 => signed, u16 => unsigned, i16 => signed);

impl Pixel for f32 {
    type Pair = u64;

    #[inline(always)]
    fn value(self) -> f32 {
        self
    }

    #[inline(always)]
    fn pair(left: Self, right: Self) -> u64 {
        u64::from(left.to_bits()) | u64::from(right.to_bits()) << 32
    }

    #[inline(always)]
    fn values(pair: u64) -> [f32; 2] {
        [Self::from_bits(pair as u32), Self::from_bits((pair >> 32) as u32)]
    }

    #[inline(always)]
    fn pairs(pairs: &mut Pairs) -> &mut [Vec<u64>; 2] {
        &mut pairs.wide
    }
}

/// Stored values of one of the kinds that can be sampled without conversion.
///
/// An enum and not a type parameter, so that the code is compiled (and optimised) in this crate.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the kinds' names say it")]
pub enum Samples<'a> {
    U8(&'a [u8]),
    I8(&'a [i8]),
    U16(&'a [u16]),
    I16(&'a [i16]),
    F32(&'a [f32]),
}

macro_rules! kinds {
    ($($kind:ty => $name:ident),*) => {
        $(impl<'a> From<&'a [$kind]> for Samples<'a> {
            fn from(pixels: &'a [$kind]) -> Self {
                Self::$name(pixels)
            }
        })*

        impl Samples<'_> {
            /// The number of values.
            #[must_use]
            pub const fn len(&self) -> usize {
                match self {
                    $(Self::$name(pixels) => pixels.len(),)*
                }
            }

            /// Whether there are no values.
            #[must_use]
            pub const fn is_empty(&self) -> bool {
                self.len() == 0
            }
        }
    };
}
kinds!(u8 => U8, i8 => I8, u16 => U16, i16 => I16, f32 => F32);

/// One slice of pixels to sample from.
#[derive(Debug, Clone, Copy)]
pub struct SourceImage<'a> {
    /// Row-major, the region's height × width.
    pub pixels: Samples<'a>,
    /// Height of the slice.
    pub rows: usize,
    /// Width of the slice.
    pub columns: usize,
    /// The part of the slice that `pixels` are: all of it ([`Region::whole`]), or the cached part.
    pub region: Region,
    /// The map from pixels of the crop, before augmentation, to pixels of this slice.
    pub from_crop: Affine2,
    /// A stored value times `gain` plus `offset`, clamped to 0…1, is the value.
    pub gain: f32,
    /// See `gain`.
    pub offset: f32,
}

/// A part of a slice: columns `x..x + width`, rows `y..y + height`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// First column.
    pub x: usize,
    /// First row.
    pub y: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Region {
    /// All of a slice.
    #[must_use]
    pub const fn whole(rows: usize, columns: usize) -> Self {
        Self { x: 0, y: 0, width: columns, height: rows }
    }

    /// The index of a pixel of the slice in the row-major pixels of the region; `None` outside of it.
    #[must_use]
    pub const fn index(&self, column: usize, row: usize) -> Option<usize> {
        let (column, row) = (column.wrapping_sub(self.x), row.wrapping_sub(self.y));
        if column < self.width && row < self.height { Some(row * self.width + column) } else { None }
    }

    /// The smallest region that contains both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let (right, bottom) =
            ((self.x + self.width).max(other.x + other.width), (self.y + self.height).max(other.y + other.height));
        Self { x, y, width: right - x, height: bottom - y }
    }
}

/// A crop shows a pixel of the slice that is outside the cached part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the crop shows column {column}, row {row} of the slice, which is not cached")]
pub struct NotCached {
    /// Of the slice.
    pub column: usize,
    /// Of the slice.
    pub row: usize,
}
