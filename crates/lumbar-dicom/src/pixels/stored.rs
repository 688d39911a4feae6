//! Stored values and what the header says of their bits.

use std::sync::Arc;

use crate::header::{Bits, Rescale};

/// Stored values of a slice, row-major. Cloning shares them.
///
/// MR slices are nearly always [`Pixels::U16`], for which there is a fast path everywhere.
#[derive(Debug, Clone, PartialEq)]
pub enum Pixels {
    /// Up to 8 bits, unsigned.
    U8(Arc<Vec<u8>>),
    /// Up to 8 bits, signed.
    I8(Arc<Vec<i8>>),
    /// Up to 16 bits, unsigned.
    U16(Arc<Vec<u16>>),
    /// Up to 16 bits, signed.
    I16(Arc<Vec<i16>>),
    /// Up to 32 bits, unsigned.
    U32(Arc<Vec<u32>>),
    /// Up to 32 bits, signed.
    I32(Arc<Vec<i32>>),
    /// Float pixels.
    F32(Arc<Vec<f32>>),
    /// Double float pixels.
    F64(Arc<Vec<f64>>),
}

/// Runs `$body` with `$values` bound to the slice of values, whatever their type.
macro_rules! each_type {
    ($pixels:expr, $values:ident => $body:expr) => {
        match $pixels {
            $crate::Pixels::U8($values) => $body,
            $crate::Pixels::I8($values) => $body,
            $crate::Pixels::U16($values) => $body,
            $crate::Pixels::I16($values) => $body,
            $crate::Pixels::U32($values) => $body,
            $crate::Pixels::I32($values) => $body,
            $crate::Pixels::F32($values) => $body,
            $crate::Pixels::F64($values) => $body,
        }
    };
}

impl Pixels {
    /// How many values.
    pub fn len(&self) -> usize {
        each_type!(self, values => values.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of one value: 1, 2, 4 or 8.
    pub fn bytes_each(&self) -> usize {
        match self {
            Self::U8(_) | Self::I8(_) => 1,
            Self::U16(_) | Self::I16(_) => 2,
            Self::U32(_) | Self::I32(_) | Self::F32(_) => 4,
            Self::F64(_) => 8,
        }
    }

    /// Whether values can be negative.
    pub fn is_signed(&self) -> bool {
        !matches!(self, Self::U8(_) | Self::U16(_) | Self::U32(_))
    }

    /// The values of [`Pixels::U16`]; `None` for any other type.
    pub fn as_u16(&self) -> Option<&[u16]> {
        match self {
            Self::U16(values) => Some(values),
            _ => None,
        }
    }

    /// One value; `None` past the end.
    pub fn get(&self, index: usize) -> Option<f64> {
        match self {
            Self::U8(values) => values.get(index).map(|v| f64::from(*v)),
            Self::I8(values) => values.get(index).map(|v| f64::from(*v)),
            Self::U16(values) => values.get(index).map(|v| f64::from(*v)),
            Self::I16(values) => values.get(index).map(|v| f64::from(*v)),
            Self::U32(values) => values.get(index).map(|v| f64::from(*v)),
            Self::I32(values) => values.get(index).map(|v| f64::from(*v)),
            Self::F32(values) => values.get(index).map(|v| f64::from(*v)),
            Self::F64(values) => values.get(index).copied(),
        }
    }

    /// slope · value + intercept for every value.
    pub fn rescaled(&self, rescale: Rescale) -> Vec<f32> {
        let (slope, intercept) = (rescale.slope as f32, rescale.intercept as f32);
        match self {
            // 16 bits fit an f32 without loss; wider values are scaled before they are rounded
            Self::U16(values) if rescale.is_none() => values.iter().map(|v| f32::from(*v)).collect(),
            Self::U16(values) => values.iter().map(|v| f32::from(*v).mul_add_plain(slope, intercept)).collect(),
            Self::I16(values) => values.iter().map(|v| f32::from(*v).mul_add_plain(slope, intercept)).collect(),
            Self::U8(values) => values.iter().map(|v| f32::from(*v).mul_add_plain(slope, intercept)).collect(),
            Self::I8(values) => values.iter().map(|v| f32::from(*v).mul_add_plain(slope, intercept)).collect(),
            Self::U32(values) => values.iter().map(|v| wide(f64::from(*v), rescale)).collect(),
            Self::I32(values) => values.iter().map(|v| wide(f64::from(*v), rescale)).collect(),
            Self::F32(values) => values.iter().map(|v| wide(f64::from(*v), rescale)).collect(),
            Self::F64(values) => values.iter().map(|v| wide(*v, rescale)).collect(),
        }
    }
}

fn wide(value: f64, rescale: Rescale) -> f32 {
    (value * rescale.slope + rescale.intercept) as f32
}

trait MulAddPlain {
    /// Multiply, then add: two roundings, but two fast instructions on any processor.
    fn mul_add_plain(self, slope: f32, intercept: f32) -> f32;
}

impl MulAddPlain for f32 {
    fn mul_add_plain(self, slope: f32, intercept: f32) -> f32 {
        self * slope + intercept
    }
}

/// Values as they come from a decoder, before HighBit and BitsStored are applied.
pub(crate) enum Raw {
    U8(Vec<u8>),
    U16(Vec<u16>),
    /// Without the bits above HighBit, see [`mask`].
    Masked(Vec<u16>),
    U32(Vec<u32>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Raw {
    /// Shifts the value down from HighBit, masks the bits above it, extends the sign.
    pub(crate) fn finish(self, bits: Bits) -> Pixels {
        let low = u32::from((bits.high + 1).saturating_sub(bits.stored));
        macro_rules! finish {
            ($values:ident, $unsigned:ty, $signed:ty, $plain:ident, $extended:ident) => {{
                let mut values = $values;
                // from the bit under the value, up to the top: one shift left drops the bits above it
                let up = <$unsigned>::BITS.saturating_sub(low + u32::from(bits.stored));
                let down = up + low;
                if bits.signed {
                    let extended: Vec<$signed> = reinterpret(values, |v: $unsigned| ((v << up) as $signed) >> down);
                    Pixels::$extended(Arc::new(extended))
                } else {
                    if down > 0 {
                        for value in &mut values {
                            *value = (*value << up) >> down;
                        }
                    }
                    Pixels::$plain(Arc::new(values))
                }
            }};
        }
        match self {
            Self::U8(values) => finish!(values, u8, i8, U8, I8),
            Self::Masked(values) if low == 0 && !bits.signed => Pixels::U16(Arc::new(values)),
            Self::U16(values) | Self::Masked(values) => finish!(values, u16, i16, U16, I16),
            Self::U32(values) => finish!(values, u32, i32, U32, I32),
            Self::F32(values) => Pixels::F32(Arc::new(values)),
            Self::F64(values) => Pixels::F64(Arc::new(values)),
        }
    }
}

/// The bits of a 16-bit value up to HighBit. A decoder removes the others while it writes each value, which
/// saves a pass over the image.
pub(crate) fn mask(bits: Bits) -> u16 {
    u16::MAX >> 15_u16.saturating_sub(bits.high)
}

/// A value that a decoder writes.
pub(crate) trait Sample: Copy + Default {
    /// Bits of a value.
    const BITS: u32;
    /// The lowest bits of a number.
    fn of(number: i32) -> Self;
    fn value(self) -> i32;
}

impl Sample for u8 {
    const BITS: u32 = 8;

    fn of(number: i32) -> Self {
        number as u8
    }

    fn value(self) -> i32 {
        self.into()
    }
}

impl Sample for u16 {
    const BITS: u32 = 16;

    fn of(number: i32) -> Self {
        number as u16
    }

    fn value(self) -> i32 {
        self.into()
    }
}

/// Collects in place: source and target have the same size, so the standard library reuses the memory.
fn reinterpret<A, B>(values: Vec<A>, change: impl FnMut(A) -> B) -> Vec<B> {
    values.into_iter().map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(allocated: u16, stored: u16, high: u16, signed: bool) -> Bits {
        Bits { allocated, stored, high, signed }
    }

    #[test]
    fn values_are_shifted_down_from_the_high_bit_and_masked() {
        let raw = || Raw::U16(vec![0xF123, 0x8FF0]);
        assert_eq!(raw().finish(bits(16, 12, 11, false)), Pixels::U16(Arc::new(vec![0x123, 0xFF0])));
        assert_eq!(raw().finish(bits(16, 12, 15, false)), Pixels::U16(Arc::new(vec![0xF12, 0x8FF])));
        assert_eq!(raw().finish(bits(16, 16, 15, false)), Pixels::U16(Arc::new(vec![0xF123, 0x8FF0])));
    }

    #[test]
    fn the_sign_bit_is_the_highest_stored_one() {
        let raw = Raw::U16(vec![0x0800, 0x07FF, 0x0FFF]);
        assert_eq!(raw.finish(bits(16, 12, 11, true)), Pixels::I16(Arc::new(vec![-2048, 2047, -1])));
        assert_eq!(Raw::U8(vec![0xFF]).finish(bits(8, 8, 7, true)), Pixels::I8(Arc::new(vec![-1])));
        assert_eq!(Raw::U32(vec![u32::MAX]).finish(bits(32, 32, 31, true)), Pixels::I32(Arc::new(vec![-1])));
    }
}
