//! Minimal filtering along one axis: fewer products than a direct convolution has.
//!
//! A row of `OUT` results of a convolution with three taps is At·((G·taps) ⊙ (Bt·inputs)): `M` products, where a
//! direct convolution has 3·`OUT`. In two dimensions the same is done along rows and columns, and the products of
//! one position over all channels and tiles are a product of matrices: M² of them.

/// Numbers of one algorithm; unused places of the tables are zero.
pub(crate) trait Algorithm: 'static {
    /// Inputs of a tile along an axis.
    const IN: usize;
    /// Products along an axis.
    const M: usize;
    /// Results of a tile along an axis.
    const OUT: usize;
    /// Place of a tile's first input, relative to its first result.
    const FIRST: isize;
    /// `[M, IN]`
    const BT: [[f32; 5]; 5];
    /// `[M, 3]`
    const G: [[f32; 3]; 5];
    /// `[OUT, M]`
    const AT: [[f32; 5]; 5];
    /// Products in two dimensions.
    const PRODUCTS: usize = Self::M * Self::M;
}

/// Three results from five inputs with five products: Toom and Cook's with the points 0, 1, −1, 2, ∞ (Lavin and Gray,
/// "Fast Algorithms for Convolutional Neural Networks", 2016, F(3×3, 3×3)). 25 products for 9 results, directly 81.
pub(crate) struct Three;

impl Algorithm for Three {
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

/// The adjoint of [`Three`]: the same with the taps in reverse.
pub(crate) struct ThreeBack;

impl Algorithm for ThreeBack {
    const IN: usize = Three::IN;
    const M: usize = Three::M;
    const OUT: usize = Three::OUT;
    const FIRST: isize = Three::FIRST;
    const BT: [[f32; 5]; 5] = Three::BT;
    const G: [[f32; 3]; 5] = reversed(Three::G);
    const AT: [[f32; 5]; 5] = Three::AT;
}

/// A whole row of two between zeros: y₀ = w₁x₀ + w₂x₁, y₁ = w₀x₀ + w₁x₁ with three products,
/// w₁(x₀ + x₁), (w₂ − w₁)x₁ and (w₀ − w₁)x₀. 9 products in two dimensions, directly 36 with the zeros.
pub(crate) struct Two;

impl Algorithm for Two {
    const IN: usize = 2;
    const M: usize = 3;
    const OUT: usize = 2;
    const FIRST: isize = 0;
    const BT: [[f32; 5]; 5] =
        [[1.0, 1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0], [0.0; 5], [0.0; 5]];
    const G: [[f32; 3]; 5] = [[0.0, 1.0, 0.0], [0.0, -1.0, 1.0], [1.0, -1.0, 0.0], [0.0; 3], [0.0; 3]];
    const AT: [[f32; 5]; 5] = [[1.0, 1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0, 0.0], [0.0; 5], [0.0; 5], [0.0; 5]];
}

/// The adjoint of [`Two`].
pub(crate) struct TwoBack;

impl Algorithm for TwoBack {
    const IN: usize = Two::OUT;
    const M: usize = Two::M;
    const OUT: usize = Two::IN;
    const FIRST: isize = Two::FIRST;
    const BT: [[f32; 5]; 5] = transposed(Two::AT);
    const G: [[f32; 3]; 5] = Two::G;
    const AT: [[f32; 5]; 5] = transposed(Two::BT);
}

/// A whole row of three between zeros with stride two: y₀ = w₁x₀ + w₂x₁, y₁ = w₀x₁ + w₁x₂. Nothing is saved but
/// the zeros: 16 products, directly 36.
pub(crate) struct Halved;

impl Algorithm for Halved {
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

/// The adjoint of [`Halved`].
pub(crate) struct HalvedBack;

impl Algorithm for HalvedBack {
    const IN: usize = Halved::OUT;
    const M: usize = Halved::M;
    const OUT: usize = Halved::IN;
    const FIRST: isize = Halved::FIRST;
    const BT: [[f32; 5]; 5] = transposed(Halved::AT);
    const G: [[f32; 3]; 5] = Halved::G;
    const AT: [[f32; 5]; 5] = transposed(Halved::BT);
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

    /// What the algorithm gives for unit inputs and taps: `[out][in][tap]`.
    fn trilinear<A: Algorithm>() -> Vec<Vec<[f64; 3]>> {
        let cell = |out: usize, input: usize, tap: usize| -> f64 {
            (0..A::M).map(|m| f64::from(A::AT[out][m]) * f64::from(A::BT[m][input]) * f64::from(A::G[m][tap])).sum()
        };
        (0..A::OUT).map(|out| (0..A::IN).map(|input| [0, 1, 2].map(|tap| cell(out, input, tap))).collect()).collect()
    }

    /// A tap is used where `place(out, tap)` is an input of the tile.
    fn assert_is<A: Algorithm>(place: impl Fn(usize, usize) -> isize) {
        for (out, inputs) in trilinear::<A>().iter().enumerate() {
            for (input, taps) in inputs.iter().enumerate() {
                for (tap, found) in taps.iter().enumerate() {
                    let expected = if place(out, tap) == input as isize { 1.0 } else { 0.0 };
                    assert!((found - expected).abs() < 1e-6, "result {out}, input {input}, tap {tap}: {found}");
                }
            }
        }
    }

    #[test]
    fn each_algorithm_is_the_convolution_that_it_stands_for() {
        assert_is::<Three>(|out, tap| (out + tap) as isize);
        assert_is::<Two>(|out, tap| (out + tap) as isize - 1);
        assert_is::<Halved>(|out, tap| (2 * out + tap) as isize - 1);
        // an input's gradient: from the results that used it
        assert_is::<ThreeBack>(|out, tap| (out + 2 - tap) as isize);
        assert_is::<TwoBack>(|out, tap| (out + 1) as isize - tap as isize);
        assert_is::<HalvedBack>(|out, tap| {
            let twice = (out + 1) as isize - tap as isize;
            if twice % 2 == 0 { twice / 2 } else { -1 }
        });
    }
}
