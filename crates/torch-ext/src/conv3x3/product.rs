//! Matrix products.

use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps};

use super::transform::{LANES, PANEL};

/// Rows whose sums fit the registers.
const ROWS: usize = 12;

/// The left side of a product: element (row, k) is `row·row_step + k·k_step` floats from `start`.
#[derive(Clone, Copy)]
pub(crate) struct Left {
    pub(crate) start: *const f32,
    pub(crate) row_step: usize,
    pub(crate) k_step: usize,
}

/// `rows` × 32 results of left · right, summed over `depth`; added to `out` if `is_added`, else stored there. `right` has
/// `depth` rows of 32 floats, `right_step` floats apart; `out` has `rows` rows of 32 floats without gaps.
///
/// # Safety
/// All these elements can be read, and `out` written.
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn product(
    left: Left,
    rows: usize,
    depth: usize,
    right: *const f32,
    right_step: usize,
    out: *mut f32,
    is_added: bool,
) {
    let blocks = rows.div_ceil(ROWS);
    let (mut first, mut blocks_left) = (0, blocks);
    while first < rows {
        let height = (rows - first).div_ceil(blocks_left);
        // SAFETY: rows `first` to `first + height` are inside `rows`.
        unsafe {
            let left = Left { start: left.start.add(first * left.row_step), ..left };
            let out = out.add(first * PANEL);
            match height {
                1 => block::<1>(left, depth, right, right_step, out, is_added),
                2 => block::<2>(left, depth, right, right_step, out, is_added),
                3 => block::<3>(left, depth, right, right_step, out, is_added),
                4 => block::<4>(left, depth, right, right_step, out, is_added),
                5 => block::<5>(left, depth, right, right_step, out, is_added),
                6 => block::<6>(left, depth, right, right_step, out, is_added),
                7 => block::<7>(left, depth, right, right_step, out, is_added),
                8 => block::<8>(left, depth, right, right_step, out, is_added),
                9 => block::<9>(left, depth, right, right_step, out, is_added),
                10 => block::<10>(left, depth, right, right_step, out, is_added),
                11 => block::<11>(left, depth, right, right_step, out, is_added),
                _ => block::<ROWS>(left, depth, right, right_step, out, is_added),
            }
        }
        first += height;
        blocks_left -= 1;
    }
}

#[target_feature(enable = "avx512f")]
unsafe fn block<const R: usize>(
    left: Left,
    depth: usize,
    right: *const f32,
    right_step: usize,
    out: *mut f32,
    is_added: bool,
) {
    let mut sums = [[_mm512_setzero_ps(); 2]; R];
    if is_added {
        for (row, sum) in sums.iter_mut().enumerate() {
            // SAFETY: `out` has `R` rows.
            *sum = unsafe { [_mm512_loadu_ps(out.add(row * PANEL)), _mm512_loadu_ps(out.add(row * PANEL + LANES))] };
        }
    }
    let (mut from, mut right) = (left.start, right);
    for _ in 0..depth {
        // SAFETY: `right` has `depth` rows, `left` `depth` columns.
        unsafe {
            let columns = [_mm512_loadu_ps(right), _mm512_loadu_ps(right.add(LANES))];
            for (row, sum) in sums.iter_mut().enumerate() {
                let value = _mm512_set1_ps(*from.add(row * left.row_step));
                sum[0] = _mm512_fmadd_ps(value, columns[0], sum[0]);
                sum[1] = _mm512_fmadd_ps(value, columns[1], sum[1]);
            }
            from = from.wrapping_add(left.k_step);
            right = right.wrapping_add(right_step);
        }
    }
    for (row, sum) in sums.iter().enumerate() {
        // SAFETY: `out` has `R` rows.
        unsafe {
            _mm512_storeu_ps(out.add(row * PANEL), sum[0]);
            _mm512_storeu_ps(out.add(row * PANEL + LANES), sum[1]);
        }
    }
}
