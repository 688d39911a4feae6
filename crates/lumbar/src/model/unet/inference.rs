//! A trained U-Net over the images of a study, image by image.

use rayon::prelude::*;
use tch::{Device, Kind};
use torch_ext::feature_map::{Convolution, FeatureMap, GroupNorm, Scratch};

use super::{Block, UNet, UNetConfig};
use crate::model::error::Result;

/// Images that a thread runs through one network after the other: they share the reading of its weights.
const IMAGES: usize = 4;

/// A U-Net that is prepared for inference on a CPU with AVX2: each image passes through all its layers on one core
/// (see [`torch_ext::feature_map`]), and the images of a batch are shared among cores.
///
/// Its maps equal the network's own within 1e-4 of their greatest magnitude.
///
/// ```
/// use lumbar::model::{Mode, Module, UNet, UNetConfig, UNetInference};
/// use tch::{Device, Kind, Tensor};
///
/// let unet = UNet::new(&UNetConfig::default(), 0, Device::Cpu)?;
/// let image = Tensor::randn([2, 3, 32, 48], (Kind::Float, Device::Cpu));
/// if let Some(inference) = UNetInference::of(&unet)? {
///     let images = Vec::<f32>::try_from(image.flatten(0, -1))?;
///     let maps = UNetInference::run(&[&inference], &images, [32, 48]).remove(0);
///     let expected = unet.forward(&image, Mode::Eval)?.flatten(0, -1);
///     assert!((Tensor::from_slice(&maps) - expected).abs().max().double_value(&[]) < 1e-4);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct UNetInference {
    config: UNetConfig,
    down: Vec<Vec<Layer>>,
    /// The deepest first.
    up: Vec<(Convolution, Layer)>,
    head: Convolution,
    head_bias: Vec<f32>,
}

#[derive(Debug)]
struct Layer {
    convolution: Convolution,
    norm: GroupNorm,
}

impl Layer {
    fn of(block: &Block, stride: i64) -> Result<Option<Self>> {
        let (groups, weight, bias, eps) = block.norm.parts();
        let Some(convolution) = Convolution::new(block.conv.weight(), stride)? else { return Ok(None) };
        // channels that fill a panel would change the norm's groups
        if convolution.outputs() as i64 != weight.size()[0] {
            return Ok(None);
        }
        Ok(Some(Self { convolution, norm: GroupNorm::new(groups, weight, bias, eps)? }))
    }

    fn run(&self, from: &FeatureMap, to: &mut FeatureMap, scratch: &mut Scratch) {
        self.convolution.run(from, to, scratch);
        to.norm_silu(&self.norm);
    }
}

/// The maps of one thread.
struct Maps {
    inputs: Vec<FeatureMap>,
    /// For each step down the results of its blocks.
    down: Vec<Vec<FeatureMap>>,
    /// For each step up, the deepest first: the projected map, and the result.
    up: Vec<[FeatureMap; 2]>,
    head: FeatureMap,
    scratch: Scratch,
}

impl Maps {
    fn new(network: &UNetInference, [height, width]: [usize; 2]) -> Self {
        let at = |step: usize, channels: usize| FeatureMap::zeros(height >> step, width >> step, channels);
        let down = network.down.iter().enumerate().map(|(step, layers)| {
            layers.iter().map(|layer| at(step + 1, layer.convolution.outputs())).collect::<Vec<_>>()
        });
        let deepest = network.down.len();
        let up = network.up.iter().enumerate().map(|(number, (project, layer))| {
            let step = deepest - number;
            [at(step, project.outputs()), at(step - 1, layer.convolution.outputs())]
        });
        Self {
            inputs: vec![at(0, network.config.in_chans as usize); IMAGES],
            down: down.collect(),
            up: up.collect(),
            head: at(1, network.head.outputs()),
            scratch: Scratch::default(),
        }
    }
}

impl UNetInference {
    /// Copies the weights of a network. `None` where the kernels do not serve it: on a GPU, on a processor without AVX2,
    /// when they are switched off, and for widths that are no multiples of 16.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::model::Error::Torch) if libtorch fails.
    pub fn of(unet: &UNet) -> Result<Option<Self>> {
        if unet.registry.device() != Device::Cpu {
            return Ok(None);
        }
        let mut down = Vec::new();
        for blocks in &unet.down {
            let layers =
                blocks.iter().enumerate().map(|(place, block)| Layer::of(block, if place == 0 { 2 } else { 1 }));
            let Some(layers) = layers.collect::<Result<Option<Vec<Layer>>>>()? else { return Ok(None) };
            down.push(layers);
        }
        let mut up = Vec::new();
        for own in &unet.up {
            let project = Convolution::new(own.project.weight(), 1)?;
            let (Some(project), Some(layer)) = (project, Layer::of(&own.block, 1)?) else { return Ok(None) };
            up.push((project, layer));
        }
        let Some(head) = Convolution::new(unet.head.weight(), 1)? else { return Ok(None) };
        let bias = unet.head.bias().map(|bias| bias.f_detach()?.f_to_kind(Kind::Float)?.f_contiguous()).transpose()?;
        let head_bias = match bias {
            Some(bias) => Vec::try_from(&bias)?,
            None => vec![0.0; unet.config.out_chans as usize],
        };
        Ok(Some(Self { config: unet.config.clone(), down, up, head, head_bias }))
    }

    /// The maps of images by each of several networks of one configuration.
    ///
    /// # Shapes
    /// `images` `[count, in_chans, height, width]`, row-major; the sides are multiples of [`UNetConfig::reduction`] →
    /// `[count, out_chans, height / 2, width / 2]` for each network.
    ///
    /// # Panics
    /// When the networks differ in their configuration, or the images have another size.
    #[must_use]
    pub fn run(networks: &[&Self], images: &[f32], [height, width]: [usize; 2]) -> Vec<Vec<f32>> {
        let Some(first) = networks.first() else { return Vec::new() };
        let config = &first.config;
        assert!(networks.iter().all(|network| network.config == *config), "networks of one configuration");
        let (reduction, image) = (config.reduction(), config.in_chans as usize * height * width);
        let fits = height > 0 && width > 0 && height % reduction == 0 && width % reduction == 0;
        assert!(fits && images.len().is_multiple_of(image), "images with sides in multiples of {reduction}");
        let count = images.len() / image;
        let map = config.out_chans as usize * (height / 2) * (width / 2);
        let mut results = vec![vec![0.0; count * map]; networks.len()];
        // for each group of images its part of each network's result
        let mut groups: Vec<(&[f32], Vec<&mut [f32]>)> =
            images.chunks(IMAGES * image).map(|images| (images, Vec::with_capacity(networks.len()))).collect();
        for result in &mut results {
            groups.iter_mut().zip(result.chunks_mut(IMAGES * map)).for_each(|((_, parts), part)| parts.push(part));
        }
        groups.into_par_iter().for_each_init(
            || Maps::new(first, [height, width]),
            |maps, (images, parts)| {
                for (input, planes) in maps.inputs.iter_mut().zip(images.chunks_exact(image)) {
                    input.set_planes(planes);
                }
                for (network, part) in networks.iter().zip(parts) {
                    for (place, out) in part.chunks_exact_mut(map).enumerate() {
                        network.image(maps, place, out);
                    }
                }
            },
        );
        results
    }

    /// The maps of the input of number `place`.
    fn image(&self, maps: &mut Maps, place: usize, out: &mut [f32]) {
        let Maps { inputs, down, up, head, scratch } = maps;
        let mut step_input = &inputs[place];
        for (layers, results) in self.down.iter().zip(down.iter_mut()) {
            let mut from = step_input;
            for (layer, to) in layers.iter().zip(results.iter_mut()) {
                layer.run(from, to, scratch);
                from = to;
            }
            step_input = from;
        }
        let mut skips = down.iter_mut().rev().filter_map(|results| results.last_mut());
        let Some(deepest) = skips.next() else { return };
        let mut from = &*deepest;
        for (((project, layer), [projected, result]), skip) in self.up.iter().zip(up.iter_mut()).zip(skips) {
            project.run(from, projected, scratch);
            skip.add_enlarged(projected);
            layer.run(skip, result, scratch);
            from = result;
        }
        self.head.run(from, head, scratch);
        head.write_planes(&self.head_bias, out);
    }
}

#[cfg(test)]
mod tests {
    use tch::Tensor;

    use super::*;
    use crate::model::{Mode, Module as _};

    #[test]
    fn the_maps_are_those_of_the_network() {
        let config = UNetConfig { out_chans: 11, ..UNetConfig::default() };
        let networks = [3, 4].map(|seed| UNet::new(&config, seed, Device::Cpu).unwrap());
        // more images than a group has
        let images = Tensor::randn([6, 3, 48, 80], (Kind::Float, Device::Cpu));
        let inference: Vec<UNetInference> =
            networks.iter().filter_map(|network| UNetInference::of(network).unwrap()).collect();
        let flat = Vec::<f32>::try_from(images.flatten(0, -1)).unwrap();
        let maps = UNetInference::run(&inference.iter().collect::<Vec<_>>(), &flat, [48, 80]);
        for (network, maps) in networks.iter().zip(maps) {
            let expected = network.forward(&images, Mode::Eval).unwrap();
            let found = Tensor::from_slice(&maps).reshape(expected.size());
            let (error, most) = ((&found - &expected).abs().max(), expected.abs().max());
            assert!(error.double_value(&[]) < 1e-4 * most.double_value(&[]), "{error:?} {most:?}");
        }
    }

    #[test]
    fn widths_that_fill_no_panel_are_left_to_torch() {
        let config = UNetConfig { widths: vec![16, 24], ..UNetConfig::default() };
        assert!(UNetInference::of(&UNet::new(&config, 0, Device::Cpu).unwrap()).unwrap().is_none());
    }
}
