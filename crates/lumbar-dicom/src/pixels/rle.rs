//! RLE Lossless (PS3.5 annex G): each byte of a pixel is a plane of its own, packed with PackBits, the
//! most significant plane first.

use std::cell::RefCell;

use super::stored::Raw;

const CODEC: &str = "RLE";
/// The header: the number of segments, then fifteen offsets.
const HEADER: usize = 64;
/// Bytes written at a time, and most that one step reads or writes beyond what it needs.
const STEP: usize = 32;
/// A token gives at most 128 bytes; written in steps it never goes further than this past the end.
const SLACK: usize = 128 + STEP;

thread_local! {
    static PLANES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Why a frame does not decode.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) String);

impl Broken {
    pub(crate) fn codec(self) -> crate::error::Cause {
        crate::error::Cause::Codec { codec: CODEC, why: self.0 }
    }
}

/// One frame of `count` values of `width` bytes (1, 2 or 4).
pub(crate) fn decode(frame: &[u8], count: usize, width: usize) -> Result<Raw, Broken> {
    let segments = segments(frame, width)?;
    // no token of two bytes gives more than 128: what cannot fill the picture is refused before any
    // memory is taken for it
    for segment in &segments[..width] {
        if segment.len().saturating_mul(64) < count {
            return Err(short(segment.len().saturating_mul(64), count));
        }
    }
    if width == 1 {
        let mut plane = vec![0; count + SLACK];
        unpack(segments[0], &mut plane, count)?;
        plane.truncate(count);
        return Ok(Raw::U8(plane));
    }
    PLANES.with_borrow_mut(|planes| {
        let stride = count + SLACK;
        if planes.len() < stride * width {
            planes.resize(stride * width, 0);
        }
        for (segment, plane) in segments.iter().zip(planes.chunks_exact_mut(stride)).take(width) {
            unpack(segment, plane, count)?;
        }
        let plane = |k: usize| &planes[k * stride..k * stride + count];
        let raw = if width == 2 {
            let pairs = plane(0).iter().zip(plane(1));
            Raw::U16(pairs.map(|(high, low)| u16::from_be_bytes([*high, *low])).collect())
        } else {
            let (upper, lower) = (plane(0).iter().zip(plane(1)), plane(2).iter().zip(plane(3)));
            Raw::U32(upper.zip(lower).map(|((a, b), (c, d))| u32::from_be_bytes([*a, *b, *c, *d])).collect())
        };
        if planes.len() > 8 << 20 {
            *planes = Vec::new();
        }
        Ok(raw)
    })
}

/// The `width` segments of a frame.
fn segments(frame: &[u8], width: usize) -> Result<[&[u8]; 4], Broken> {
    let Some(header) = frame.get(..HEADER) else {
        return Err(Broken(format!("the header has {HEADER} bytes, {} are there", frame.len())));
    };
    let word = |k: usize| u32::from_le_bytes(header[4 * k..4 * k + 4].try_into().expect("four bytes")) as usize;
    if word(0) != width {
        return Err(Broken(format!("expected {width} segments, found {}", word(0))));
    }
    let mut segments = [[].as_slice(); 4];
    for (k, segment) in segments.iter_mut().enumerate().take(width) {
        let start = word(k + 1);
        let end = if k + 1 < width { word(k + 2) } else { frame.len() };
        *segment = frame.get(start..end).filter(|_| start >= HEADER).ok_or_else(|| {
            Broken(format!("segment {} is said to span bytes {start} to {end} of {}", k + 1, frame.len()))
        })?;
    }
    Ok(segments)
}

fn short(found: usize, count: usize) -> Broken {
    Broken(format!("a segment holds at most {found} of {count} bytes"))
}

/// Unpacks one segment into the first `count` bytes of `plane`, which is `SLACK` longer. What a segment
/// holds beyond `count` is padding.
///
/// Noisy pictures are made of tokens of a few bytes, alternately runs and copies: a branch on the kind
/// would be mispredicted every other time. So each step blends the copy and the run under a mask and
/// writes 32 bytes, of which the token's length counts.
fn unpack(segment: &[u8], plane: &mut [u8], count: usize) -> Result<(), Broken> {
    let (mut read, mut written) = (0, 0);
    while written < count
        && let Some(window) = segment.get(read..read + 1 + STEP)
    {
        let control = usize::from(window[0]);
        let is_run = control > 128;
        let length = if is_run { 257 - control } else { control + 1 };
        let next: &[u8; STEP] = window[1..].try_into().expect("the window is one longer than a step");
        let (mask, value) = (u8::from(is_run).wrapping_neg(), next[0]);
        let Some((out, _)) = plane[written..].split_first_chunk_mut::<STEP>() else { break };
        for (to, from) in out.iter_mut().zip(next) {
            *to = (from & !mask) | (value & mask);
        }
        if length > STEP {
            if control == 128 {
                read += 1;
                continue;
            }
            let rest = &mut plane[written + STEP..written + length];
            if is_run {
                rest.fill(value);
            } else {
                let Some(bytes) = segment.get(read + 1 + STEP..read + 1 + length) else { break };
                rest.copy_from_slice(bytes);
            }
        }
        written += length;
        read += if is_run { 2 } else { 1 + length };
    }
    // the last bytes of the segment, one token at a time
    while written < count {
        let Some(&control) = segment.get(read) else { return Err(short(written, count)) };
        let control = usize::from(control);
        read += 1;
        match control {
            0..128 => {
                let length = control + 1;
                let bytes = &segment[read..(read + length).min(segment.len())];
                plane[written..written + bytes.len()].copy_from_slice(bytes);
                written += bytes.len();
                read += length;
            }
            128 => {}
            _ => {
                let Some(&value) = segment.get(read) else { return Err(short(written, count)) };
                plane[written..written + 257 - control].fill(value);
                written += 257 - control;
                read += 1;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PackBits as annex G describes it, one byte at a time: the decoder's oracle.
    fn unpack_simply(segment: &[u8]) -> Vec<u8> {
        let (mut at, mut out) = (0, Vec::new());
        while at < segment.len() {
            let n = segment[at] as i8;
            match n {
                0..=127 => {
                    out.extend(&segment[at + 1..(at + 2 + n as usize).min(segment.len())]);
                    at += 2 + n as usize;
                }
                -128 => at += 1,
                _ => {
                    let Some(value) = segment.get(at + 1) else { break };
                    out.extend(std::iter::repeat_n(*value, 1 - n as isize as usize));
                    at += 2;
                }
            }
        }
        out
    }

    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        })
        .take(length)
        .collect()
    }

    #[test]
    fn any_bytes_unpack_as_the_standard_says() {
        for seed in 0..400 {
            let segment = noise(seed, 3 + 7 * seed as usize % 900);
            let expected = unpack_simply(&segment);
            for count in [1, expected.len() / 2, expected.len()] {
                let mut plane = vec![0; count + SLACK];
                assert_eq!(unpack(&segment, &mut plane, count), Ok(()), "seed {seed}");
                assert_eq!(plane[..count], expected[..count], "seed {seed}");
            }
            let count = expected.len() + 1;
            assert!(unpack(&segment, &mut vec![0; count + SLACK], count).is_err());
        }
    }

    #[test]
    fn planes_come_most_significant_first() {
        let mut frame = vec![0; HEADER];
        frame[0] = 2;
        frame[4] = 64;
        frame[8] = 66;
        frame.extend([0xFF, 0x01, 0x01, 0x02, 0x03]);
        let Ok(Raw::U16(values)) = decode(&frame, 2, 2) else { panic!("two planes of two bytes") };
        assert_eq!(values, [0x0102, 0x0103]);
    }

    #[test]
    fn segments_that_lie_are_refused_in_words() {
        let frame = |words: &[u32], data: &[u8]| {
            let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            bytes.resize(HEADER, 0);
            bytes.extend(data);
            bytes
        };
        let why = |frame: &[u8], count: usize| decode(frame, count, 2).err().expect("a lie").0;
        assert_eq!(why(&[1, 0], 4), "the header has 64 bytes, 2 are there");
        assert_eq!(why(&frame(&[3, 64, 65, 66], &[0; 9]), 4), "expected 2 segments, found 3");
        assert_eq!(why(&frame(&[2, 64, 9], &[0; 9]), 4), "segment 1 is said to span bytes 64 to 9 of 73");
        assert_eq!(
            why(&frame(&[2, 64, u32::MAX], &[0; 9]), 4),
            "segment 1 is said to span bytes 64 to 4294967295 of 73"
        );
        assert_eq!(why(&frame(&[2, 64, 66], &[0xFD, 1, 0xFD, 1]), 5), "a segment holds at most 4 of 5 bytes");
        assert_eq!(
            why(&frame(&[2, 64, 66], &[0xFD, 1, 0xFD, 1]), 1 << 30),
            "a segment holds at most 128 of 1073741824 bytes"
        );
    }
}
