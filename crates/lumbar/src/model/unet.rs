//! A small U-Net (Ronneberger et al. 2015, arXiv:1505.04597): from images to maps of half their size.

mod inference;

use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use super::conv::{Activation, ConvNorm, ConvSpec};
use super::error::{Doing, Error, Result};
use super::norm::GroupNorm;
use super::pass::{Module, Pass};
use super::registry::{Builder, Fill, Part, Registry};
use crate::config::{ConfigError, check_range};

pub use inference::UNetInference;

/// Channels of one group of a group norm.
const GROUP_CHANNELS: i64 = 4;

/// A U-Net.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `in_chans` | 3 | channels of an image | 1–1024 |
/// | `out_chans` | 1 | maps | 1–1024 |
/// | `widths` | 16, 32, 64, 96 | channels at half the image's size, at a quarter, … | 2 to 6 multiples of 4, each 4–512 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the table above says it")]
pub struct UNetConfig {
    pub in_chans: i64,
    pub out_chans: i64,
    pub widths: Vec<i64>,
}

impl Default for UNetConfig {
    fn default() -> Self {
        Self { in_chans: 3, out_chans: 1, widths: vec![16, 32, 64, 96] }
    }
}

impl UNetConfig {
    /// # Errors
    /// The first field that is out of its range.
    pub fn check(&self) -> std::result::Result<(), ConfigError> {
        check_range("in_chans", self.in_chans, 1, 1024)?;
        check_range("out_chans", self.out_chans, 1, 1024)?;
        check_range("widths.length", self.widths.len(), 2, 6)?;
        for &width in &self.widths {
            check_range("widths", width, GROUP_CHANNELS, 512)?;
            if width % GROUP_CHANNELS != 0 {
                return Err(ConfigError::new("widths", width, "multiples of 4"));
            }
        }
        Ok(())
    }

    /// The sides of images must be multiples of this.
    #[must_use]
    pub fn reduction(&self) -> usize {
        1 << self.widths.len()
    }
}

/// A 3×3 convolution, a group norm and SiLU.
#[derive(Debug)]
struct Block {
    conv: ConvNorm,
    norm: GroupNorm,
}

impl Block {
    fn new(b: &mut Builder<'_>, name: &str, inputs: i64, outputs: i64, stride: i64) -> Result<Self> {
        let mut at = b.at(name);
        let conv = ConvNorm::new(&mut at, "conv", ConvSpec::new(inputs, outputs, 3, stride), None, Activation::None)?;
        Ok(Self { conv, norm: GroupNorm::new(&mut at.at("norm"), outputs, outputs / GROUP_CHANNELS)? })
    }

    fn run(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let ys = self.norm.run(&self.conv.run(xs, pass)?, pass)?;
        Activation::Silu.apply(ys, pass.mode).doing("silu")
    }
}

/// The way up by one step: deep features are projected, enlarged, added to those of the way down, and convolved.
#[derive(Debug)]
struct Up {
    project: ConvNorm,
    block: Block,
}

/// A U-Net. Features of the way down are added to those of the way up, not concatenated, which needs half the
/// multiplications.
///
/// # Shapes
/// `[batch, in_chans, height, width]` → `[batch, out_chans, height / 2, width / 2]`; height and width are multiples of
/// [`UNetConfig::reduction`].
///
/// ```
/// use lumbar::model::{Mode, Module, UNet, UNetConfig};
/// use tch::{Device, Kind, Tensor};
///
/// let unet = UNet::new(&UNetConfig { out_chans: 5, ..UNetConfig::default() }, 0, Device::Cpu)?;
/// let image = Tensor::zeros([1, 3, 48, 32], (Kind::Float, Device::Cpu));
/// assert_eq!(unet.forward(&image, Mode::Eval)?.size(), [1, 5, 24, 16]);
/// let error = unet.forward(&image.narrow(2, 0, 40), Mode::Eval).unwrap_err().to_string();
/// assert!(error.contains("multiples of 16"), "{error}");
/// # Ok::<(), lumbar::model::Error>(())
/// ```
#[derive(Debug)]
pub struct UNet {
    registry: Registry,
    config: UNetConfig,
    down: Vec<Vec<Block>>,
    /// The deepest first.
    up: Vec<Up>,
    head: ConvNorm,
}

impl UNet {
    /// Builds the network with first weights that depend on `seed` alone. Without a seed no weights are drawn, for a
    /// network that trained weights are copied into.
    ///
    /// # Errors
    /// The configuration is outside its ranges or the device does not exist.
    pub fn new(config: &UNetConfig, seed: impl Into<Option<u64>>, device: Device) -> Result<Self> {
        config.check()?;
        let mut registry = Registry::default();
        let mut root = Builder::new(&mut registry, seed, device);
        let (count, mut channels) = (config.widths.len(), config.in_chans);
        let mut down = Vec::new();
        for (number, &width) in config.widths.iter().enumerate() {
            let part = if number == 0 { Part::Stem } else { Part::Stage(number - 1) };
            let mut at = root.at(&format!("down{number}")).part(part, number);
            let mut blocks = vec![Block::new(&mut at, "0", channels, width, 2)?];
            // large maps cost most, and the deepest features see the whole image
            let more = if number == 0 { 0 } else { 1 + usize::from(number + 1 == count) };
            for repeat in 1..=more {
                blocks.push(Block::new(&mut at, &repeat.to_string(), width, width, 1)?);
            }
            down.push(blocks);
            channels = width;
        }
        let mut up = Vec::new();
        for (number, &width) in config.widths.iter().enumerate().rev().skip(1) {
            let depth = 2 * count - 2 - number;
            let mut at = root.at(&format!("up{number}")).part(Part::Head, depth);
            let project =
                ConvNorm::new(&mut at, "project", ConvSpec::new(channels, width, 1, 1), None, Activation::None)?;
            up.push(Up { project, block: Block::new(&mut at, "block", width, width, 1)? });
            channels = width;
        }
        // small weights: at first every pixel is as likely as any other
        let head = ConvSpec::new(channels, config.out_chans, 1, 1).with_bias().with_fill(Fill::Normal(0.01));
        let mut at = root.at_root().part(Part::Classifier, 2 * count - 1);
        let head = ConvNorm::new(&mut at, "head", head, None, Activation::None)?;
        Ok(Self { registry, config: config.clone(), down, up, head })
    }

    /// Its configuration.
    #[must_use]
    pub const fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// A copy with its own tensors.
    ///
    /// # Errors
    /// [`Error::Torch`] if libtorch fails.
    pub fn copied(&self) -> Result<Self> {
        let copy = Self::new(&self.config, None, self.registry.device())?;
        copy.registry.copy_from(&self.registry)?;
        Ok(copy)
    }
}

impl Module for UNet {
    fn run(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let (size, reduction) = (xs.size(), self.config.reduction());
        let fits = |side: &i64| *side > 0 && side % reduction as i64 == 0;
        if !matches!(&size[..], [_, channels, height, width] if *channels == self.config.in_chans && fits(height) && fits(width))
        {
            let expected =
                format!("[batch, {}, height, width] with sides in multiples of {reduction}", self.config.in_chans);
            return Err(Error::Shape { what: "images of a U-Net".to_owned(), expected, found: size });
        }
        let (mut ys, mut skipped) = (xs.shallow_clone(), Vec::new());
        for blocks in &self.down {
            for block in blocks {
                ys = block.run(&ys, pass)?;
            }
            skipped.push(ys.shallow_clone());
        }
        skipped.pop();
        for up in &self.up {
            let Some(skip) = skipped.pop() else { break };
            let deep = up.project.run(&ys, pass)?;
            let sides = [skip.size()[2], skip.size()[3]];
            let mut enlarged = deep.f_upsample_nearest2d(sides, None, None).doing("upsample")?;
            ys = up.block.run(&enlarged.f_add_(&skip).doing("skip")?, pass)?;
        }
        self.head.run(&ys, pass)
    }

    fn registry(&self) -> &Registry {
        &self.registry
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Mode;
    use tch::Kind;

    #[test]
    fn every_weight_gets_a_gradient() {
        let unet = UNet::new(&UNetConfig { out_chans: 2, ..UNetConfig::default() }, 3, Device::Cpu).unwrap();
        let image = Tensor::randn([2, 3, 32, 48], (Kind::Float, Device::Cpu));
        unet.forward(&image, Mode::Train).unwrap().square().sum(Kind::Float).backward();
        for entry in unet.registry().parameters() {
            assert!(entry.tensor.grad().abs().sum(Kind::Float).double_value(&[]) > 0.0, "{}", entry.name);
        }
    }

    #[test]
    fn a_copy_gives_the_same_maps_and_has_its_own_weights() {
        let unet = UNet::new(&UNetConfig::default(), 3, Device::Cpu).unwrap();
        let image = Tensor::randn([1, 3, 32, 32], (Kind::Float, Device::Cpu));
        let (copy, maps) = (unet.copied().unwrap(), unet.forward(&image, Mode::Eval).unwrap());
        tch::no_grad(|| unet.registry().entries().iter().for_each(|entry| drop(entry.tensor.shallow_clone().zero_())));
        assert_eq!(copy.forward(&image, Mode::Eval).unwrap(), maps);
    }

    #[test]
    fn widths_are_multiples_of_a_groups_channels() {
        let error = UNetConfig { widths: vec![16, 30], ..UNetConfig::default() }.check().unwrap_err().to_string();
        assert_eq!(error, "widths is 30, expected multiples of 4");
    }
}
