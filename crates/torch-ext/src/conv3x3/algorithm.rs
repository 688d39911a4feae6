//! Minimal filtering along one axis: fewer products than a direct convolution has.
//!
//! `OUT` neighbouring results of a convolution with a kernel of three are At·((G·kernel) ⊙ (Bt·inputs)): `M` products,
//! where a direct convolution has 3·`OUT`. The matrices are named as by Lavin and Gray (arXiv:1509.09308, section 4). In
//! two dimensions the same is done along rows and columns, and the products at one position over all channels and tiles
//! are a product of matrices: M² of them.

/// Sizes and matrices of an algorithm. Unused places of the tables are zero.
pub(crate) trait Algorithm: 'static {
    /// Inputs of a tile along an axis.
    const IN: usize;
    /// Products along an axis.
    const M: usize;
    /// Results of a tile along an axis.
    const OUT: usize;
    /// Position of a tile's first input, relative to its first result.
    const FIRST: isize;
    /// Bt: transforms inputs, `[M, IN]`.
    const BT: [[f32; 5]; 5];
    /// Transforms a kernel, `[M, 3]`.
    const G: [[f32; 3]; 5];
    /// At: transforms products into results, `[OUT, M]`.
    const AT: [[f32; 5]; 5];
    /// Products in two dimensions.
    const PRODUCTS: usize = Self::M * Self::M;
}

/// Lavin and Gray's F(3×3, 3×3): three results from five inputs with five products, by interpolation at the points
/// 0, 1, −1, 2 and ∞ (Toom and Cook). In two dimensions 25 products for 9 results, 81 directly.
pub(crate) struct ThreeResults;

impl Algorithm for ThreeResults {
    const IN: usize = 5;
    const M: usize = 5;
    const OUT: usize = 3;
    const FIRST: isize = -1;
    const BT: [[f32; 5]; 5] = [
        [2.0, -1.0, -2.0, 1.0, 0.0],
        [0.0, -2.0, -1.0, 1.0, 0.0],
        [0.0, 2.0, -3.0, 1.0, 0.0],
        [0.0, -1.0, 0.0, 1.0, 0.0],
        [0.0, 2.0, -1.0, -2.0, 1.0],
    ];
    const G: [[f32; 3]; 5] = [
        [0.5, 0.0, 0.0],
        [-0.5, -0.5, -0.5],
        [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        [1.0 / 6.0, 1.0 / 3.0, 2.0 / 3.0],
        [0.0, 0.0, 1.0],
    ];
    const AT: [[f32; 5]; 5] =
        [[1.0, 1.0, 1.0, 1.0, 0.0], [0.0, 1.0, -1.0, 2.0, 0.0], [0.0, 1.0, 1.0, 4.0, 1.0], [0.0; 5], [0.0; 5]];
}

/// The gradient of the inputs of [`ThreeResults`]: the same with the kernel reversed.
pub(crate) struct ThreeResultsGradient;

impl Algorithm for ThreeResultsGradient {
    const IN: usize = ThreeResults::IN;
    const M: usize = ThreeResults::M;
    const OUT: usize = ThreeResults::OUT;
    const FIRST: isize = ThreeResults::FIRST;
    const BT: [[f32; 5]; 5] = ThreeResults::BT;
    const G: [[f32; 3]; 5] = reversed(ThreeResults::G);
    const AT: [[f32; 5]; 5] = ThreeResults::AT;
}

/// A whole row of two pixels with zeros around it: y₀ = w₁x₀ + w₂x₁, y₁ = w₀x₀ + w₁x₁ with three products,
/// w₁(x₀ + x₁), (w₂ − w₁)x₁ and (w₀ − w₁)x₀. In two dimensions 9 products, 36 directly if the zeros count.
pub(crate) struct RowOfTwo;

impl Algorithm for RowOfTwo {
    const IN: usize = 2;
    const M: usize = 3;
    const OUT: usize = 2;
    const FIRST: isize = 0;
    const BT: [[f32; 5]; 5] =
        [[1.0, 1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0], [0.0; 5], [0.0; 5]];
    const G: [[f32; 3]; 5] = [[0.0, 1.0, 0.0], [0.0, -1.0, 1.0], [1.0, -1.0, 0.0], [0.0; 3], [0.0; 3]];
    const AT: [[f32; 5]; 5] = [[1.0, 1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0, 0.0], [0.0; 5], [0.0; 5], [0.0; 5]];
}

/// The gradient of the inputs of [`RowOfTwo`].
pub(crate) struct RowOfTwoGradient;

impl Algorithm for RowOfTwoGradient {
    const IN: usize = RowOfTwo::OUT;
    const M: usize = RowOfTwo::M;
    const OUT: usize = RowOfTwo::IN;
    const FIRST: isize = RowOfTwo::FIRST;
    const BT: [[f32; 5]; 5] = transposed(RowOfTwo::AT);
    const G: [[f32; 3]; 5] = RowOfTwo::G;
    const AT: [[f32; 5]; 5] = transposed(RowOfTwo::BT);
}

/// A whole row of three pixels with zeros around it and stride 2: y₀ = w₁x₀ + w₂x₁, y₁ = w₀x₁ + w₁x₂. Only the
/// products with zeros are saved: in two dimensions 16, 36 directly.
pub(crate) struct RowOfThreeStrideTwo;

impl Algorithm for RowOfThreeStrideTwo {
    const IN: usize = 3;
    const M: usize = 4;
    const OUT: usize = 2;
    const FIRST: isize = 0;
    const BT: [[f32; 5]; 5] = [
        [1.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 0.0, 0.0],
        [0.0; 5],
    ];
    const G: [[f32; 3]; 5] = [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0; 3]];
    const AT: [[f32; 5]; 5] = [[1.0, 1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0, 0.0], [0.0; 5], [0.0; 5], [0.0; 5]];
}

/// The gradient of the inputs of [`RowOfThreeStrideTwo`].
pub(crate) struct RowOfThreeStrideTwoGradient;

impl Algorithm for RowOfThreeStrideTwoGradient {
    const IN: usize = RowOfThreeStrideTwo::OUT;
    const M: usize = RowOfThreeStrideTwo::M;
    const OUT: usize = RowOfThreeStrideTwo::IN;
    const FIRST: isize = RowOfThreeStrideTwo::FIRST;
    const BT: [[f32; 5]; 5] = transposed(RowOfThreeStrideTwo::AT);
    const G: [[f32; 3]; 5] = RowOfThreeStrideTwo::G;
    const AT: [[f32; 5]; 5] = transposed(RowOfThreeStrideTwo::BT);
}

const fn transposed(table: [[f32; 5]; 5]) -> [[f32; 5]; 5] {
    let mut result = [[0.0; 5]; 5];
    let mut place = 0;
    while place < 25 {
        result[place % 5][place / 5] = table[place / 5][place % 5];
        place += 1;
    }
    result
}

const fn reversed(table: [[f32; 3]; 5]) -> [[f32; 3]; 5] {
    let mut result = [[0.0; 3]; 5];
    let mut row = 0;
    while row < 5 {
        result[row] = [table[row][2], table[row][1], table[row][0]];
        row += 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The algorithm's results for unit inputs and unit kernels: `[out][in][k]`.
    fn trilinear<A: Algorithm>() -> Vec<Vec<[f64; 3]>> {
        let cell = |out: usize, input: usize, k: usize| -> f64 {
            (0..A::M).map(|m| f64::from(A::AT[out][m]) * f64::from(A::BT[m][input]) * f64::from(A::G[m][k])).sum()
        };
        (0..A::OUT).map(|out| (0..A::IN).map(|input| [0, 1, 2].map(|k| cell(out, input, k))).collect()).collect()
    }

    /// Kernel element k times input `place(out, k)` is part of result `out`, and nothing else is.
    fn assert_is<A: Algorithm>(place: impl Fn(usize, usize) -> isize) {
        for (out, inputs) in trilinear::<A>().iter().enumerate() {
            for (input, kernel) in inputs.iter().enumerate() {
                for (k, found) in kernel.iter().enumerate() {
                    let expected = if place(out, k) == input as isize { 1.0 } else { 0.0 };
                    assert!((found - expected).abs() < 1e-6, "result {out}, input {input}, k {k}: {found}");
                }
            }
        }
    }

    #[test]
    fn each_algorithm_computes_its_convolution() {
        assert_is::<ThreeResults>(|out, k| (out + k) as isize);
        assert_is::<RowOfTwo>(|out, k| (out + k) as isize - 1);
        assert_is::<RowOfThreeStrideTwo>(|out, k| (2 * out + k) as isize - 1);
        // an input's gradient comes from the results that used the input
        assert_is::<ThreeResultsGradient>(|out, k| (out + 2 - k) as isize);
        assert_is::<RowOfTwoGradient>(|out, k| (out + 1) as isize - k as isize);
        assert_is::<RowOfThreeStrideTwoGradient>(|out, k| {
            let twice = (out + 1) as isize - k as isize;
            if twice % 2 == 0 { twice / 2 } else { -1 }
        });
    }
}
