//! Small systems of linear equations.

/// Solves a symmetric positive definite system for several right-hand sides, by Gaussian elimination.
pub(crate) fn solve<const N: usize, const K: usize>(
    mut matrix: [[f64; N]; N],
    mut right: [[f64; K]; N],
) -> [[f64; K]; N] {
    for pivot in 0..N {
        for row in pivot + 1..N {
            let factor = matrix[row][pivot] / matrix[pivot][pivot];
            (pivot..N).for_each(|column| matrix[row][column] -= factor * matrix[pivot][column]);
            (0..K).for_each(|k| right[row][k] -= factor * right[pivot][k]);
        }
    }
    for row in (0..N).rev() {
        (0..K).for_each(|k| {
            let known: f64 = (row + 1..N).map(|column| matrix[row][column] * right[column][k]).sum();
            right[row][k] = (right[row][k] - known) / matrix[row][row];
        });
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_solution_fulfils_its_equations() {
        let matrix = [[4.0, 1.0, -0.5], [1.0, 3.0, 0.25], [-0.5, 0.25, 2.0]];
        let right = [[1.0, -2.0], [0.5, 7.0], [3.0, 0.0]];
        let solution = solve(matrix, right);
        for (row, expected) in matrix.iter().zip(right) {
            for k in 0..2 {
                let value: f64 = (0..3).map(|column| row[column] * solution[column][k]).sum();
                assert!((value - expected[k]).abs() < 1e-12);
            }
        }
    }
}
