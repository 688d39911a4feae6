//! What is graded: a part of a slice about a point.

use tch::{Kind, TchError, Tensor};

/// Parts of images about points in the patient, each from the image whose plane is nearest.
///
/// # Shapes
/// `images` `[slices, 1, height, width]`, `frames` `[slices, 3, 3]`, `points` `[points, 3]` →
/// `[points, 1, side, side]`, zero outside of the image. With `mirrored` `[points]` above 0 columns are reversed.
pub(super) fn glimpses(
    images: &Tensor,
    frames: &Tensor,
    points: &Tensor,
    mirrored: &Tensor,
    side: usize,
) -> Result<Tensor, TchError> {
    let options = (Kind::Float, images.device());
    let (height, width) = (images.size()[2], images.size()[3]);
    let (origin, along, down) = (frames.f_select(1, 0)?, frames.f_select(1, 1)?, frames.f_select(1, 2)?);
    let dot = |a: &Tensor, b: &Tensor| a.f_mul(b)?.f_sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
    let normal = along.f_cross(&down, 1)?;
    let normal = normal.f_div(&dot(&normal, &normal)?.f_sqrt()?.f_unsqueeze(1)?)?;
    let from = points.f_unsqueeze(1)?.f_sub(&origin.f_unsqueeze(0)?)?;
    let nearest = dot(&from, &normal.f_unsqueeze(0)?)?.f_abs()?.f_argmin(1, true)?;
    let pixel = |axis: &Tensor| -> Result<Tensor, TchError> {
        dot(&from, &axis.f_unsqueeze(0)?)?.f_div(&dot(axis, axis)?.f_unsqueeze(0)?)?.f_gather(1, &nearest, false)
    };
    let (column, row) = (pixel(&along)?, pixel(&down)?);
    let steps = Tensor::f_arange(side as i64, options)?.f_sub_scalar((side as f64 - 1.0) / 2.0)?.f_unsqueeze(0)?;
    let direction = mirrored.f_mul_scalar(-2.0)?.f_add_scalar(1.0)?.f_unsqueeze(1)?;
    // grid_sample counts from −1 at the first pixel to 1 at the last one
    let scaled = |at: Tensor, pixels: i64| at.f_mul_scalar(2.0 / (pixels as f64 - 1.0))?.f_sub_scalar(1.0);
    let columns = scaled(column.f_add(&steps.f_mul(&direction)?)?, width)?.f_unsqueeze(1)?;
    let rows = scaled(row.f_add(&steps)?, height)?.f_unsqueeze(2)?;
    let shape = [points.size()[0], side as i64, side as i64];
    let grid = Tensor::f_stack(&[columns.f_expand(shape, false)?, rows.f_expand(shape, false)?], 3)?;
    images.f_index_select(0, &nearest.f_flatten(0, -1)?)?.f_grid_sampler_2d(&grid, 0, 0, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn a_glimpse_is_the_part_of_the_nearest_image_about_its_point() {
        let image = Tensor::arange(100, (Kind::Float, Device::Cpu)).view([1, 1, 10, 10]);
        let images = Tensor::cat(&[&image, &(&image + 1000)], 0);
        // pixels of 2 mm; the second image is 4 mm to the left
        let frame = |x: f32| [x, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, -2.0];
        let frames = Tensor::from_slice(&[frame(0.0), frame(4.0)].concat()).view([2, 3, 3]);
        // column 5, row 3, between both images and nearer to the second
        let points = Tensor::from_slice(&[2.5f32, 10.0, -6.0, 0.5, 10.0, -6.0]).view([2, 3]);
        let part = |mirrored: [f32; 2]| {
            let mirrored = Tensor::from_slice(&mirrored);
            let part = glimpses(&images, &frames, &points, &mirrored, 3).unwrap();
            Vec::<f32>::try_from(part.round().flatten(0, -1)).unwrap()
        };
        let own = [24.0, 25.0, 26.0, 34.0, 35.0, 36.0, 44.0, 45.0, 46.0];
        assert_eq!(part([0.0; 2]), [own.map(|value| value + 1000.0), own].concat());
        let turned = [26.0, 25.0, 24.0, 36.0, 35.0, 34.0, 46.0, 45.0, 44.0];
        assert_eq!(part([0.0, 1.0]), [own.map(|value| value + 1000.0), turned].concat());
    }
}
