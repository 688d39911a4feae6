//! ndarray's arrays.

use std::fmt::{Debug, Display};

use ndarray::{ArrayBase, Data, Dimension};

use super::html::{escape, shorten};
use super::{Show, Shown};

/// Characters shown of an array's values.
const LENGTH: usize = 2000;

impl<A: Display + Debug, S: Data<Elem = A>, D: Dimension> Show for ArrayBase<S, D> {
    fn show(&self) -> Shown {
        // ndarray itself leaves out the middle of long axes.
        let values = shorten(&format!("{self}"), LENGTH);
        let text = format!("Array {} {:?}\n{values}", short_name(std::any::type_name::<A>()), self.shape());
        Shown::default().html(format!("<pre>{}</pre>", escape(&text))).text(text)
    }
}

fn short_name(name: &str) -> &str {
    name.rsplit("::").next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn an_array_shows_kind_shape_and_values() {
        let shown = Array2::<f32>::zeros((2, 3)).show();
        assert!(shown.parts()[1].1.starts_with("Array f32 [2, 3]\n[[0, 0, 0]"), "{shown:?}");
    }

    #[test]
    fn a_huge_array_stays_small() {
        let shown = Array2::<f64>::from_elem((3000, 3000), 0.123_456_789).show();
        assert!(shown.parts()[1].1.chars().count() < LENGTH + 60);
    }
}
