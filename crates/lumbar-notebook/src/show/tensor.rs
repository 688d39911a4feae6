//! Tensors: kind, shape, device, statistics, and an image if the shape is that of one.

use lumbar::figure::{MontageConfig, Tile, montage};
use ndarray::ArrayView2;
use tch::{Device, Kind, TchError, Tensor};

use super::html::escape;
use super::{Show, Shown};

/// Tensors of up to this many elements are printed in full.
const WRITTEN: usize = 64;
/// Images of one tensor.
const IMAGES: i64 = 8;
/// Smallest side of an image, in elements.
const SIDE: i64 = 16;

impl Show for Tensor {
    fn show(&self) -> Shown {
        let head = format!("Tensor {:?} {:?} on {}", self.kind(), self.size(), device(self.device()));
        let body = statistics(self).unwrap_or_else(|error| format!("values are not readable: {error}"));
        let text = format!("{head}\n{body}");
        let shown = Shown::default().text(text.clone());
        if let Some(figure) = image(self) {
            return shown.figure(&figure);
        }
        shown.html(format!("<pre>{}</pre>", escape(&text)))
    }
}

fn device(device: Device) -> String {
    match device {
        Device::Cpu => "cpu".to_owned(),
        Device::Cuda(index) => format!("cuda:{index}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// Minimum, maximum, mean, deviation and the number of values that are not finite; small tensors in full.
fn statistics(tensor: &Tensor) -> Result<String, TchError> {
    let count = tensor.numel();
    if count == 0 {
        return Ok("no elements".to_owned());
    }
    let values = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?.f_reshape([-1])?;
    let finite = values.f_masked_select(&values.f_isfinite()?)?;
    let not_finite = count as i64 - finite.size()[0];
    let mut text = if finite.size()[0] == 0 {
        "no finite values".to_owned()
    } else {
        let read = |tensor: Tensor| tensor.f_double_value(&[]);
        let (least, most) = (read(finite.f_min()?)?, read(finite.f_max()?)?);
        let (mean, deviation) = (read(finite.f_mean(Kind::Double)?)?, read(finite.f_std(false)?)?);
        format!("min {least:.4}  max {most:.4}  mean {mean:.4}  std {deviation:.4}")
    };
    if not_finite > 0 {
        text.push_str(&format!("  NOT FINITE: {not_finite}"));
    }
    if count <= WRITTEN {
        let list: Vec<f64> = Vec::try_from(&values)?;
        let integer =
            matches!(tensor.kind(), Kind::Uint8 | Kind::Int8 | Kind::Int16 | Kind::Int | Kind::Int64 | Kind::Bool);
        let written = list.iter().map(|value| if integer { format!("{value}") } else { format!("{value:.4}") });
        text.push_str(&format!("\n[{}]", written.collect::<Vec<_>>().join(", ")));
    }
    Ok(text)
}

/// The last two dimensions as images, for floating-point tensors that are large enough.
fn image(tensor: &Tensor) -> Option<lumbar::figure::Figure> {
    let size = tensor.size();
    let (&[height, width], leading) = size.last_chunk::<2>().map(|last| (last, &size[..size.len() - 2]))?;
    let count: i64 = leading.iter().product();
    let image_like = tensor.is_floating_point() && height >= SIDE && width >= SIDE && height <= 4096 && width <= 4096;
    if !image_like || count == 0 {
        return None;
    }
    let shown = count.min(IMAGES);
    let values = tensor.f_detach().ok()?.f_to_device(Device::Cpu).ok()?.f_to_kind(Kind::Float).ok()?;
    let values = values.f_reshape([count, height, width]).ok()?.f_narrow(0, 0, shown).ok()?;
    let list: Vec<f32> = Vec::try_from(values.f_reshape([-1]).ok()?).ok()?;
    let finite = list.iter().copied().filter(|value| value.is_finite());
    let (black, white) = finite.fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(value), high.max(value)));
    let tiles: Vec<Tile> = list
        .chunks((height * width) as usize)
        .enumerate()
        .filter_map(|(index, part)| {
            let view = ArrayView2::from_shape((height as usize, width as usize), part).ok()?;
            Some(Tile::new(view, black, white).caption(if count > 1 { format!("[{index}]") } else { String::new() }))
        })
        .collect();
    let left_out = if count > shown { format!(" (first {shown} of {count})") } else { String::new() };
    let title = format!("{:?} {size:?}{left_out}  min {black:.3}  max {white:.3}", tensor.kind());
    let tile_px = if shown == 1 { 320 } else { 200 };
    montage(&tiles, &MontageConfig { columns: 4, tile_px, title, ..MontageConfig::default() }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_tensor_is_written_in_full_and_a_large_one_is_not() {
        let text = |tensor: Tensor| tensor.show().parts()[0].1.clone();
        let small = text(Tensor::from_slice(&[1_i64, 2, 3]));
        assert!(small.contains("Int64 [3] on cpu") && small.contains("[1, 2, 3]"), "{small}");
        let large = text(Tensor::zeros([1000], (Kind::Float, Device::Cpu)));
        assert!(large.contains("mean 0.0000") && large.lines().count() == 2, "{large}");
    }

    #[test]
    fn values_that_are_not_finite_are_counted() {
        let text = statistics(&Tensor::from_slice(&[1.0, f64::NAN, f64::INFINITY, 3.0])).unwrap();
        assert!(text.contains("NOT FINITE: 2") && text.contains("mean 2.0000"), "{text}");
    }

    #[test]
    fn a_tensor_of_an_image_is_shown_as_one_and_an_empty_tensor_is_no_error() {
        let begins = |tensor: Tensor, with: &str| tensor.show().parts()[1].1.starts_with(with);
        assert!(begins(Tensor::rand([3, 32, 32], (Kind::Float, Device::Cpu)), "<img alt=\"Float [3, 32, 32]"));
        assert!(begins(Tensor::zeros([0, 32, 32], (Kind::Float, Device::Cpu)), "<pre>"));
        assert!(begins(Tensor::from(2.0), "<pre>"));
    }
}
