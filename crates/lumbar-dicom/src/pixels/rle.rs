//! RLE Lossless (PS3.5 annex G): each byte of a pixel is a plane of its own, packed with PackBits, the
//! most significant plane first.

use std::cell::RefCell;

use super::stored::Raw;

const CODEC: &str = "RLE";
/// The header: the number of segments, then fifteen offsets.
const HEADER: usize = 64;
/// Bytes written at a time, and most that one step reads or writes beyond what it needs.
const STEP: usize = 32;
/// Values that are joined at a time.
const BLOCK: usize = 8 << 10;
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
    PLANES.with_borrow_mut(|scratch| {
        scratch.resize(4 * (BLOCK + SLACK), 0);
        let mut planes = scratch.chunks_exact_mut(BLOCK + SLACK);
        let mut planes = segments.map(|segment| Plane {
            segment,
            read: 0,
            ready: 0,
            bytes: planes.next().expect("there are four planes"),
        });
        match &mut planes[..width] {
            [only] => in_blocks(count, |out: &mut Vec<u8>, block| {
                only.fill(block)?;
                out.extend_from_slice(&only.bytes[..block]);
                only.advance(block);
                Ok(())
            })
            .map(Raw::U8),
            [high, low] => in_blocks(count, |out: &mut Vec<u16>, block| {
                high.fill(block)?;
                low.fill(block)?;
                let pairs = high.bytes[..block].iter().zip(&low.bytes[..block]);
                out.extend(pairs.map(|(high, low)| u16::from_be_bytes([*high, *low])));
                high.advance(block);
                low.advance(block);
                Ok(())
            })
            .map(Raw::U16),
            planes => in_blocks(count, |out: &mut Vec<u32>, block| {
                planes.iter_mut().try_for_each(|plane| plane.fill(block))?;
                let byte = |plane: usize, k: usize| u32::from(planes[plane].bytes[k]);
                out.extend((0..block).map(|k| byte(0, k) << 24 | byte(1, k) << 16 | byte(2, k) << 8 | byte(3, k)));
                planes.iter_mut().for_each(|plane| plane.advance(block));
                Ok(())
            })
            .map(Raw::U32),
        }
    })
}

/// Fills `count` values block by block: what is unpacked is still in the nearest cache when it is joined.
fn in_blocks<T>(
    count: usize,
    mut next: impl FnMut(&mut Vec<T>, usize) -> Result<(), Broken>,
) -> Result<Vec<T>, Broken> {
    let mut out = Vec::with_capacity(count);
    while out.len() < count {
        let block = BLOCK.min(count - out.len());
        next(&mut out, block)?;
    }
    Ok(out)
}

/// A segment that is being unpacked.
struct Plane<'a> {
    segment: &'a [u8],
    /// Bytes of the segment that are done.
    read: usize,
    /// Bytes that are unpacked and not yet taken: the last token may have given more than were wanted.
    ready: usize,
    bytes: &'a mut [u8],
}

impl Plane<'_> {
    fn fill(&mut self, block: usize) -> Result<(), Broken> {
        if self.ready < block {
            (self.read, self.ready) = unpack(self.segment, self.read, self.bytes, self.ready, block)?;
        }
        Ok(())
    }

    fn advance(&mut self, block: usize) {
        self.bytes.copy_within(block..self.ready, 0);
        self.ready -= block;
    }
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

/// Unpacks tokens of a segment from byte `read` on into `plane`, of which `written` bytes are there, until
/// there are `count` or up to 127 more; returns how far both have come. `plane` is `SLACK` longer than
/// `count`.
///
/// Noisy pictures are made of tokens of a few bytes, alternately runs and copies: a branch on the kind
/// would be mispredicted every other time. So each step blends the copy and the run under a mask and
/// writes 32 bytes, of which the token's length counts.
fn unpack(
    segment: &[u8],
    mut read: usize,
    plane: &mut [u8],
    mut written: usize,
    count: usize,
) -> Result<(usize, usize), Broken> {
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
    Ok((read, written))
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
                    out.extend(std::iter::repeat_n(*value, (1 - isize::from(n)) as usize));
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
            // some longer than a block
            let segment = noise(seed, 3 + 97 * seed as usize % 30_000);
            let expected = unpack_simply(&segment);
            for count in [1, expected.len() / 2, expected.len()] {
                // as a frame of one plane
                let mut frame = vec![0; HEADER];
                (frame[0], frame[4]) = (1, 64);
                frame.extend(&segment);
                let Ok(Raw::U8(plane)) = decode(&frame, count, 1) else { panic!("seed {seed}") };
                assert_eq!(plane[..], expected[..count], "seed {seed}");
            }
            let count = expected.len() + 1;
            assert!(unpack(&segment, 0, &mut vec![0; count + SLACK], 0, count).is_err());
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
