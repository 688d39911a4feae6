//! RLE Lossless (PS3.5 annex G): each byte of a pixel is a separate plane, packed with PackBits, the most
//! significant plane first.
//!
//! Noisy images are tokens of a few bytes, alternately runs and copies. A branch on the kind would be
//! mispredicted every other time, and the position of each token depends on the one before. So a token is
//! looked up in a table and written as a blend of copy and run, in steps of fixed width of which only the
//! token's length counts; and the two planes of an image are unpacked alternately, so that the processor works
//! on one while it waits for the other.

use std::cell::RefCell;

use super::stored::Raw;

const CODEC: &str = "RLE";
/// The header: the number of segments, then fifteen offsets.
const HEADER: usize = 64;
/// The most bytes that a token gives.
const LONGEST: usize = 128;
/// Values that are joined at a time.
const BLOCK: usize = 8 << 10;
/// A token that begins in a block may end beyond it.
const ROOM: usize = BLOCK + LONGEST;

thread_local! {
    static PLANES: RefCell<Vec<[u8; ROOM]>> = const { RefCell::new(Vec::new()) };
}

/// Why a frame does not decode.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) String);

impl Broken {
    pub(crate) fn codec(self) -> crate::error::Cause {
        crate::error::Cause::Codec { codec: CODEC, why: self.0 }
    }
}

/// One frame of `count` values of `width` bytes (1, 2 or 4); of values of two bytes only the bits of `mask`.
pub(crate) fn decode(frame: &[u8], count: usize, width: usize, mask: u16) -> Result<Raw, Broken> {
    if !matches!(width, 1 | 2 | 4) {
        return Err(Broken(format!("expected pixels of 1, 2 or 4 bytes, found {width}")));
    }
    let segments = segments(frame, width)?;
    // no token of two bytes gives more than 128: a segment that cannot fill the image is refused before any
    // memory is taken for it
    for segment in &segments[..width] {
        if segment.len().saturating_mul(64) < count {
            return Err(short(segment.len().saturating_mul(64), count));
        }
    }
    PLANES.with_borrow_mut(|scratch| {
        scratch.resize(4, [0; ROOM]);
        let mut room = scratch.iter_mut();
        let mut planes =
            segments.map(|rest| Plane { rest, ready: 0, bytes: room.next().expect("there is room for four planes") });
        match &mut planes[..width] {
            [only] => in_blocks(count, |out: &mut Vec<u8>, block| {
                only.fill(block)?;
                out.extend_from_slice(&only.bytes[..block]);
                only.let_go(block);
                Ok(())
            })
            .map(Raw::U8),
            [high, low] => in_blocks(count, |out: &mut Vec<u16>, block| {
                alternately(high, low, block);
                high.fill(block)?;
                low.fill(block)?;
                let pairs = high.bytes[..block].iter().zip(&low.bytes[..block]);
                out.extend(pairs.map(|(high, low)| u16::from_be_bytes([*high, *low]) & mask));
                high.let_go(block);
                low.let_go(block);
                Ok(())
            })
            .map(Raw::Masked),
            planes => in_blocks(count, |out: &mut Vec<u32>, block| {
                planes.iter_mut().try_for_each(|plane| plane.fill(block))?;
                let byte = |plane: usize, k: usize| u32::from(planes[plane].bytes[k]);
                out.extend((0..block).map(|k| byte(0, k) << 24 | byte(1, k) << 16 | byte(2, k) << 8 | byte(3, k)));
                planes.iter_mut().for_each(|plane| plane.let_go(block));
                Ok(())
            })
            .map(Raw::U32),
        }
    })
}

/// Fills `count` values block by block: what is unpacked is still in the nearest cache when it is joined.
/// `next` appends a block, or returns how much of it there is.
fn in_blocks<T>(count: usize, mut next: impl FnMut(&mut Vec<T>, usize) -> Result<(), Ended>) -> Result<Vec<T>, Broken> {
    let mut out = Vec::with_capacity(count);
    while out.len() < count {
        let block = BLOCK.min(count - out.len());
        next(&mut out, block).map_err(|Ended { ready }| short(out.len() + ready, count))?;
    }
    Ok(out)
}

/// A segment ends before its block is full.
struct Ended {
    ready: usize,
}

/// A segment that is being unpacked.
struct Plane<'a> {
    /// The part of the segment that is still packed.
    rest: &'a [u8],
    /// Bytes that are unpacked and not yet used: the last token may give more than a block needs.
    ready: usize,
    bytes: &'a mut [u8; ROOM],
}

impl Plane<'_> {
    /// Unpacks until there are `block` bytes or up to 127 more.
    fn fill(&mut self, block: usize) -> Result<(), Ended> {
        while let Some((rest, ready)) = token(self.rest, self.bytes, self.ready, block) {
            (self.rest, self.ready) = (rest, ready);
        }
        // the last bytes of the segment, where a token may be cut short
        while self.ready < block {
            let Some((&control, next)) = self.rest.split_first() else { return Err(Ended { ready: self.ready }) };
            let Token { keep, length, advance } = TOKENS[usize::from(control)];
            let out = &mut self.bytes[self.ready..][..length as usize];
            match next.first() {
                _ if length == 0 => {}
                None => return Err(Ended { ready: self.ready }),
                Some(value) if keep == 0 => {
                    out.fill(*value);
                    self.ready += out.len();
                }
                Some(_) => {
                    let bytes = &next[..out.len().min(next.len())];
                    out[..bytes.len()].copy_from_slice(bytes);
                    self.ready += bytes.len();
                }
            }
            self.rest = self.rest.get(advance as usize..).unwrap_or_default();
        }
        Ok(())
    }

    /// Moves what comes after `block` bytes to the front.
    fn let_go(&mut self, block: usize) {
        self.bytes.copy_within(block..self.ready, 0);
        self.ready -= block;
    }
}

/// Unpacks tokens of both planes alternately, until one of them has `block` bytes or ends.
fn alternately(a: &mut Plane<'_>, b: &mut Plane<'_>, block: usize) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512bw") && std::arch::is_x86_feature_detected!("avx512vl") {
        // SAFETY: the processor has these instructions, as was just checked.
        unsafe { alternately_avx512(a, b, block) };
        return;
    } else if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has these instructions, as was just checked.
        unsafe { alternately_avx2(a, b, block) };
        return;
    }
    alternately_here(a, b, block);
}

/// The same code compiled for AVX-512: a token is two steps instead of four.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512bw,avx512vl")]
fn alternately_avx512(a: &mut Plane<'_>, b: &mut Plane<'_>, block: usize) {
    alternately_here(a, b, block);
}

/// The same code compiled for AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn alternately_avx2(a: &mut Plane<'_>, b: &mut Plane<'_>, block: usize) {
    alternately_here(a, b, block);
}

#[inline(always)]
fn alternately_here(a: &mut Plane<'_>, b: &mut Plane<'_>, block: usize) {
    let (mut first, mut second) = ((a.rest, a.ready), (b.rest, b.ready));
    while let Some(next) = token(first.0, a.bytes, first.1, block) {
        first = next;
        let Some(next) = token(second.0, b.bytes, second.1, block) else { break };
        second = next;
    }
    (a.rest, a.ready) = first;
    (b.rest, b.ready) = second;
}

/// Unpacks the first token of `rest` after the bytes that are `ready`, if fewer than `block` are and there is
/// room to read and write 128; returns what is then still packed and how many bytes are ready.
#[inline(always)]
fn token<'a>(rest: &'a [u8], bytes: &mut [u8; ROOM], ready: usize, block: usize) -> Option<(&'a [u8], usize)> {
    if ready >= block {
        return None;
    }
    let [control, next @ ..] = rest.first_chunk::<{ 1 + LONGEST }>()?;
    let out = bytes.get_mut(ready..ready + LONGEST)?;
    let Token { keep, length, advance } = TOKENS[usize::from(*control)];
    let run = !keep & (0x0101_0101_0101_0101 * u64::from(next[0]));
    out.copy_from_slice(&blend(next, keep, run));
    Some((rest.get(advance as usize..)?, ready + length as usize))
}

/// The meaning of a control byte.
#[derive(Clone, Copy)]
struct Token {
    /// Ones where the bytes that follow are copied, zeros for a run of the first of them.
    keep: u64,
    /// Bytes that it gives.
    length: u32,
    /// Bytes that it takes, itself included.
    advance: u32,
}

static TOKENS: [Token; 256] = {
    // 128 does nothing
    let mut tokens = [Token { keep: 0, length: 0, advance: 1 }; 256];
    let mut n = 0;
    while n < 128 {
        tokens[n] = Token { keep: u64::MAX, length: n as u32 + 1, advance: n as u32 + 2 };
        if n > 0 {
            tokens[256 - n] = Token { keep: 0, length: n as u32 + 1, advance: 2 };
        }
        n += 1;
    }
    tokens
};

/// The bytes under `keep`, and `run` elsewhere.
#[inline(always)]
fn blend(bytes: &[u8; LONGEST], keep: u64, run: u64) -> [u8; LONGEST] {
    let mut out = [0; LONGEST];
    for (to, from) in out.as_chunks_mut::<8>().0.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *to = ((u64::from_ne_bytes(*from) & keep) | run).to_ne_bytes();
    }
    out
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
                let Ok(Raw::U8(plane)) = decode(&frame, count, 1, u16::MAX) else { panic!("seed {seed}") };
                assert_eq!(plane[..], expected[..count], "seed {seed}");
            }
            let mut frame = vec![0; HEADER];
            (frame[0], frame[4]) = (1, 64);
            frame.extend(&segment);
            assert!(decode(&frame, expected.len() + 1, 1, u16::MAX).is_err(), "seed {seed}");
        }
    }

    #[test]
    fn two_planes_of_any_bytes_unpack_as_each_alone() {
        for seed in 0..200 {
            // as long as each other, or one much shorter: then the other is unpacked alone
            let high = noise(seed, 3 + 211 * seed as usize % 40_000);
            let low = noise(seed + 1000, if seed % 3 == 0 { high.len() } else { 3 + 97 * seed as usize % 9000 });
            let (first, second) = (unpack_simply(&high), unpack_simply(&low));
            let mut frame = vec![0; HEADER];
            (frame[0], frame[4]) = (2, 64);
            frame[8..12].copy_from_slice(&(64 + high.len() as u32).to_le_bytes());
            frame.extend(high.iter().chain(&low));
            let count = first.len().min(second.len());
            let Ok(Raw::Masked(values)) = decode(&frame, count, 2, 0x3FFF) else { panic!("seed {seed}") };
            let expected = first.iter().zip(&second).map(|(high, low)| u16::from_be_bytes([*high, *low]) & 0x3FFF);
            assert!(values.iter().copied().eq(expected), "seed {seed}");
            assert!(decode(&frame, count + 1, 2, u16::MAX).is_err(), "seed {seed}");
        }
    }

    #[test]
    fn pixels_of_eight_bytes_are_an_error() {
        let mut frame = vec![0; HEADER + 64];
        frame[0] = 8;
        (1..=8).for_each(|segment| frame[4 * segment] = HEADER as u8);
        let why = decode(&frame, 1, 8, u16::MAX).err().expect("no such width").0;
        assert_eq!(why, "expected pixels of 1, 2 or 4 bytes, found 8");
    }

    #[test]
    fn planes_come_most_significant_first() {
        let mut frame = vec![0; HEADER];
        frame[0] = 2;
        frame[4] = 64;
        frame[8] = 66;
        frame.extend([0xFF, 0x01, 0x01, 0x02, 0x03]);
        let Ok(Raw::Masked(values)) = decode(&frame, 2, 2, 0x0FFF) else { panic!("two planes of two bytes") };
        assert_eq!(values, [0x0102, 0x0103]);
    }

    #[test]
    fn wrong_segments_are_errors_that_say_what_is_wrong() {
        let frame = |words: &[u32], data: &[u8]| {
            let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            bytes.resize(HEADER, 0);
            bytes.extend(data);
            bytes
        };
        let why = |frame: &[u8], count: usize| decode(frame, count, 2, u16::MAX).err().expect("a broken frame").0;
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
