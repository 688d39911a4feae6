//! JPEG-LS (ITU-T T.87), lossless and near-lossless, one component: a decoder in safe Rust.
//!
//! The names are the standard's: A, B, C, N are the context's sums, Ra to Rd the neighbours.

use super::stored::Sample;
use crate::error::Cause;

const J: [u32; 32] =
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15];

fn broken(why: impl Into<String>) -> Cause {
    Cause::Codec { codec: "JPEG-LS", why: why.into() }
}

/// A prediction error beyond this cannot be corrected by any sample (the range has at most 16 bits); a sum beyond
/// the second limit cannot be reached by smaller errors. CharLS refuses both as well.
const ERROR_LIMIT: i32 = 65_535;
const SUM_LIMIT: i32 = 65_536 * 256;

/// Decodes a codestream of `rows` × `columns` values of 2 to 16 bits, no more than `T` has.
pub(super) fn decode<T: Sample>(bytes: &[u8], rows: usize, columns: usize) -> Result<Vec<T>, Cause> {
    let mut at = 2;
    let mut frame = None;
    let mut preset = [0; 5];
    loop {
        let Some(&[0xFF, marker, high, low]) = bytes.get(at..at + 4).and_then(|head| head.first_chunk()) else {
            return Err(broken("a marker is missing"));
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(body) = bytes.get(at + 4..at + 2 + length.max(2)) else {
            return Err(broken("a marker segment is cut short"));
        };
        at += 2 + length.max(2);
        match (marker, body) {
            (0xF7, &[bits, h1, h0, w1, w0, components, ..]) => {
                let size = [usize::from(u16::from_be_bytes([h1, h0])), usize::from(u16::from_be_bytes([w1, w0]))];
                if components != 1 || size != [rows, columns] {
                    let found = format!("{} × {} with {components} components", size[0], size[1]);
                    return Err(broken(format!("expected {rows} × {columns} with 1 component, found {found}")));
                }
                if !(2..=T::BITS).contains(&bits.into()) {
                    return Err(broken(format!("expected 2 to {} bits, found {bits}", T::BITS)));
                }
                frame = Some(u32::from(bits));
            }
            (0xF8, &[1, ref words @ ..]) if words.len() >= 10 => {
                for (value, word) in preset.iter_mut().zip(words.as_chunks::<2>().0) {
                    *value = i32::from(u16::from_be_bytes(*word));
                }
            }
            (0xF8, _) => return Err(broken("mapping tables are not supported")),
            (0xDD, _) => return Err(broken("restart intervals are not supported")),
            (0xDA, &[1, _, _, near, 0, ..]) => {
                let bits = frame.ok_or_else(|| broken("the scan comes before the frame"))?;
                let coder = Coder::new(bits, i32::from(near), preset)?;
                return coder.scan(bytes.get(at..).unwrap_or_default(), rows, columns);
            }
            (0xDA, _) => return Err(broken("an interleaved scan")),
            _ => {}
        }
    }
}

/// Bits, most significant first; a byte after 0xFF carries seven.
struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
    hold: u64,
    count: u32,
    after_ff: bool,
    /// Zero bits added after the end.
    padded: u32,
}

impl BitReader<'_> {
    fn fill(&mut self) {
        while self.count <= 48 {
            match self.bytes.get(self.at) {
                // 0xFF before a byte with the highest bit set, or at the end, is a marker and not data
                Some(&byte) if byte != 0xFF || self.bytes.get(self.at + 1).is_some_and(|next| *next < 0x80) => {
                    let bits = if self.after_ff { 7 } else { 8 };
                    self.hold = self.hold << bits | u64::from(byte);
                    self.count += bits;
                    self.after_ff = byte == 0xFF;
                    self.at += 1;
                }
                _ => {
                    self.hold <<= 8;
                    self.count += 8;
                    self.padded += 8;
                }
            }
        }
    }

    fn bits(&mut self, count: u32) -> i32 {
        if count == 0 {
            return 0;
        }
        self.fill();
        self.count -= count;
        ((self.hold >> self.count) & ((1 << count) - 1)) as i32
    }

    /// Whether more was read than there is.
    fn exhausted(&self) -> bool {
        self.padded > self.count
    }

    /// The zeros before the next one, which is consumed; stops at `limit`.
    fn zeros(&mut self, limit: u32) -> u32 {
        let mut zeros = 0;
        while zeros < limit && self.bits(1) == 0 {
            zeros += 1;
        }
        zeros
    }

    /// A limited-length Golomb code (T.87 A.5.3).
    fn golomb(&mut self, k: u32, limit: u32, qbpp: u32) -> i32 {
        let escape = limit.saturating_sub(qbpp + 1);
        let mut zeros = self.zeros(escape);
        if zeros < escape {
            zeros <<= k;
            return zeros as i32 | self.bits(k);
        }
        // the one that ends the zeros has not been read
        self.bits(1);
        self.bits(qbpp) + 1
    }
}

struct Coder {
    maximum: i32,
    /// Lossless with all values of the bits: sums are taken modulo their number. CharLS takes them so for any
    /// error, also where a damaged stream has one that is too large to be corrected once.
    wraps: bool,
    near: i32,
    /// 2·NEAR + 1.
    step: i32,
    range: i32,
    qbpp: u32,
    limit: u32,
    thresholds: [i32; 3],
    reset: i32,
    a: [i32; 367],
    b: [i32; 365],
    c: [i32; 365],
    n: [i32; 367],
    /// Negative run-interruption errors.
    nn: [i32; 2],
    run_index: usize,
}

impl Coder {
    fn new(bits: u32, near: i32, preset: [i32; 5]) -> Result<Self, Cause> {
        let default = |value: i32, otherwise: i32| if value == 0 { otherwise } else { value };
        let maximum = default(preset[0], (1 << bits) - 1);
        if maximum >= 1 << bits || near > 255.min(maximum / 2) {
            return Err(broken("impossible preset parameters"));
        }
        let clamp = |value: i32, low: i32| if value > maximum || value < low { low } else { value };
        // T.87 C.2.4.1.1
        let [t1, t2, t3] = if maximum >= 128 {
            let factor = (maximum.min(4095) + 128) / 256;
            [factor + 2 + 3 * near, factor * 4 + 3 + 5 * near, factor * 17 + 4 + 7 * near]
        } else {
            let factor = 256 / (maximum + 1);
            [2.max(3 / factor + 3 * near), 3.max(7 / factor + 5 * near), 4.max(21 / factor + 7 * near)]
        };
        let t1 = default(preset[1], clamp(t1, near + 1));
        let t2 = default(preset[2], clamp(t2, t1));
        let t3 = default(preset[3], clamp(t3, t2));
        let step = 2 * near + 1;
        let range = (maximum + 2 * near) / step + 1;
        let log2 = |value: i32| u32::BITS - (value as u32 - 1).leading_zeros();
        let bpp = log2(maximum + 1).max(2);
        Ok(Self {
            maximum,
            wraps: near == 0 && maximum == (1 << bits) - 1,
            near,
            step,
            range,
            qbpp: log2(range),
            limit: 2 * (bpp + bpp.max(8)),
            thresholds: [t1, t2, t3],
            reset: default(preset[4], 64),
            a: [2.max((range + 32) / 64); 367],
            b: [0; 365],
            c: [0; 365],
            n: [1; 367],
            nn: [0; 2],
            run_index: 0,
        })
    }

    fn scan<T: Sample>(mut self, bytes: &[u8], rows: usize, columns: usize) -> Result<Vec<T>, Cause> {
        let mut reader = BitReader { bytes, at: 0, hold: 0, count: 0, after_ff: false, padded: 0 };
        let mut out = Vec::with_capacity(rows * columns);
        // one more on either side: the neighbours of the edges
        let (mut above, mut line) = (vec![0; columns + 2], vec![0; columns + 2]);
        for _ in 0..rows {
            line[0] = above[1];
            let mut x = 1;
            while x <= columns {
                let (ra, rb, rc, rd) = (line[x - 1], above[x], above[x - 1], above[x + 1]);
                let gradients = [rd - rb, rb - rc, rc - ra];
                if gradients.iter().all(|d: &i32| d.abs() <= self.near) {
                    x = self.run(&mut reader, &mut line, &above, x, columns)?;
                } else {
                    line[x] = self.regular(&mut reader, gradients, ra, rb, rc)?;
                    x += 1;
                }
            }
            if reader.exhausted() {
                return Err(broken("the codestream ends too early"));
            }
            line[columns + 1] = line[columns];
            out.extend(line[1..=columns].iter().map(|v| T::of(*v)));
            std::mem::swap(&mut above, &mut line);
        }
        Ok(out)
    }

    fn quantise(&self, d: i32) -> i32 {
        let [t1, t2, t3] = self.thresholds;
        let size = match d.abs() {
            d if d <= self.near => 0,
            d if d < t1 => 1,
            d if d < t2 => 2,
            d if d < t3 => 3,
            _ => 4,
        };
        if d < 0 { -size } else { size }
    }

    fn golomb_k(a: i32, n: i32) -> u32 {
        (0..24).find(|k| i64::from(n) << k >= i64::from(a)).unwrap_or(24)
    }

    fn regular(&mut self, reader: &mut BitReader<'_>, d: [i32; 3], ra: i32, rb: i32, rc: i32) -> Result<i32, Cause> {
        let [q1, q2, q3] = d.map(|d| self.quantise(d));
        let context = (q1 * 9 + q2) * 9 + q3;
        let (sign, q) = if context < 0 { (-1, -context as usize) } else { (1, context as usize) };
        let median = if rc >= ra.max(rb) {
            ra.min(rb)
        } else if rc <= ra.min(rb) {
            ra.max(rb)
        } else {
            ra + rb - rc
        };
        let predicted = (median + sign * self.c[q]).clamp(0, self.maximum);
        let k = Self::golomb_k(self.a[q], self.n[q]);
        let mapped = reader.golomb(k, self.limit, self.qbpp);
        let inverted = k == 0 && self.near == 0 && 2 * self.b[q] <= -self.n[q];
        let error = match (mapped & 1 == 1, inverted) {
            (true, true) => (mapped - 1) / 2,
            (false, true) => -(mapped / 2) - 1,
            (false, false) => mapped / 2,
            (true, false) => -((mapped - 1) / 2) - 1,
        };
        self.update(q, error)?;
        Ok(self.reconstruct(predicted, sign * error))
    }

    /// T.87 A.6.
    fn update(&mut self, q: usize, error: i32) -> Result<(), Cause> {
        check_error(error)?;
        let (a, b, c, n) = (&mut self.a[q], &mut self.b[q], &mut self.c[q], &mut self.n[q]);
        *b += error * self.step;
        *a += error.abs();
        if *a >= SUM_LIMIT || b.abs() >= SUM_LIMIT {
            return Err(broken("a context's sum leaves its range"));
        }
        if *n == self.reset {
            *a >>= 1;
            *b = if *b >= 0 { *b >> 1 } else { -((1 - *b) >> 1) };
            *n >>= 1;
        }
        *n += 1;
        if *b <= -*n {
            *b = (*b + *n).max(-*n + 1);
            *c = (*c - 1).max(-128);
        } else if *b > 0 {
            *b = (*b - *n).min(0);
            *c = (*c + 1).min(127);
        }
        Ok(())
    }

    fn reconstruct(&self, predicted: i32, error: i32) -> i32 {
        // errors are at most 16 bits and a step at most 511: no sum overflows
        let mut value = predicted + error * self.step;
        if self.wraps {
            return value & self.maximum;
        }
        if value < -self.near {
            value += self.range * self.step;
        } else if value > self.maximum + self.near {
            value -= self.range * self.step;
        }
        value.clamp(0, self.maximum)
    }

    /// T.87 A.7: a run of Ra, and the value that ends it. Returns where the line continues.
    fn run(
        &mut self,
        reader: &mut BitReader<'_>,
        line: &mut [i32],
        above: &[i32],
        start: usize,
        columns: usize,
    ) -> Result<usize, Cause> {
        let ra = line[start - 1];
        let mut end = start;
        while reader.bits(1) == 1 {
            let length = 1 << J[self.run_index];
            if end + length <= columns + 1 {
                self.run_index = (self.run_index + 1).min(31);
            }
            end = (end + length).min(columns + 1);
            if end == columns + 1 {
                line[start..end].fill(ra);
                return Ok(end);
            }
            if reader.exhausted() {
                break;
            }
        }
        end += reader.bits(J[self.run_index]) as usize;
        if end > columns {
            return Err(broken("a run is longer than its line"));
        }
        line[start..end].fill(ra);
        let rb = above[end];
        let alike = (ra - rb).abs() <= self.near;
        let kind = usize::from(alike);
        let (predicted, sign) = if alike { (ra, 1) } else { (rb, if ra > rb { -1 } else { 1 }) };
        let q = 365 + kind;
        let sum = if alike { self.a[q] + (self.n[q] >> 1) } else { self.a[q] };
        let k = Self::golomb_k(sum, self.n[q]);
        let mapped = reader.golomb(k, self.limit - J[self.run_index] - 1, self.qbpp);
        let folded = mapped + kind as i32;
        let odd = folded & 1 == 1;
        let size = (folded + i32::from(odd)) / 2;
        let error = if (k != 0 || 2 * self.nn[kind] >= self.n[q]) == odd { -size } else { size };
        check_error(error)?;
        if error < 0 {
            self.nn[kind] += 1;
        }
        self.a[q] += (mapped + 1 - kind as i32) >> 1;
        if self.a[q] >= SUM_LIMIT {
            return Err(broken("a context's sum leaves its range"));
        }
        if self.n[q] == self.reset {
            self.a[q] >>= 1;
            self.n[q] >>= 1;
            self.nn[kind] >>= 1;
        }
        self.n[q] += 1;
        self.run_index = self.run_index.saturating_sub(1);
        line[end] = self.reconstruct(predicted, sign * error);
        Ok(end + 1)
    }
}

fn check_error(error: i32) -> Result<(), Cause> {
    if error.abs() > ERROR_LIMIT { Err(broken("a prediction error beyond 16 bits")) } else { Ok(()) }
}
