//! ConvNeXt nano and tiny (Liu et al. 2022, arXiv:2201.03545), equal to timm's.

use tch::{Device, Kind, Tensor};

use super::architecture;
use super::backbone::{AnyBackbone, BackboneConfig, Features, StageInfo, run_backbone};
use super::conv::{Activation, ConvNorm, ConvSpec, Padding};
use super::error::{Doing, Result};
use super::inference::Foldable;
use super::linear::{Linear, drop_path, dropout};
use super::norm::LayerNorm;
use super::pass::{Module, Pass};
use super::registry::{Builder, Fill, Part, Registry, Role};

/// First weights of every layer (timm's `_init_weights`; its truncation at ±2 is a hundred deviations away).
const FIRST_WEIGHTS: Fill = Fill::Normal(0.02);
/// First value of each branch's scale.
const LAYER_SCALE: f64 = 1e-6;

/// What distinguishes the ConvNeXts.
#[derive(Debug)]
pub(super) struct Plan {
    /// Number of blocks in each stage.
    pub(super) depths: [usize; 4],
    /// Channels of each stage.
    pub(super) widths: [i64; 4],
    /// Whether weight files store the inner layers as 1×1 convolutions.
    pub(super) pointwise: bool,
}

impl architecture::Plan for Plan {
    fn build(
        &'static self,
        config: &BackboneConfig,
        seed: Option<u64>,
        device: Device,
    ) -> Result<Box<dyn AnyBackbone>> {
        Ok(Box::new(ConvNext::build(self, config, seed, device)?))
    }
}

/// A depthwise 7×7 convolution, layer norm and a two-layer perceptron over the channels, scaled and added to the input.
#[derive(Debug)]
struct Block {
    gamma: Option<Tensor>,
    depthwise: ConvNorm,
    norm: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    drop_path: f64,
}

impl Block {
    fn new(b: &mut Builder<'_>, width: i64, pointwise: bool, drop_path: f64) -> Result<Self> {
        let linear = if pointwise { Linear::pointwise } else { Linear::new };
        let gamma = b.tensor("gamma", &[width], Role::LayerScale, Fill::Const(LAYER_SCALE))?;
        let depthwise = ConvSpec::depthwise(width, 7, 1).with_bias().with_fill(FIRST_WEIGHTS);
        Ok(Self {
            gamma: Some(gamma),
            depthwise: ConvNorm::new(b, "conv_dw", depthwise, None, Activation::None)?,
            norm: LayerNorm::new(&mut b.at("norm"), width)?,
            fc1: linear(&mut b.at("mlp.fc1"), width, 4 * width, FIRST_WEIGHTS)?,
            fc2: linear(&mut b.at("mlp.fc2"), 4 * width, width, FIRST_WEIGHTS)?,
            drop_path,
        })
    }

    fn run(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let ys = self.depthwise.run(xs, pass)?.f_permute([0, 2, 3, 1]).doing("conv_dw")?;
        let ys = self.norm.run_last(&ys, pass)?;
        let ys = Activation::Gelu.apply(self.fc1.run(&ys, pass)?, pass.mode).doing("mlp.act")?;
        let mut ys = self.fc2.run(&ys, pass)?;
        if let Some(gamma) = &self.gamma {
            ys = ys.f_mul(gamma).doing("gamma")?;
        }
        let ys = ys.f_permute([0, 3, 1, 2]).doing("mlp")?;
        drop_path(ys, self.drop_path, pass)?.f_add(xs).doing("skip")
    }

    fn fold(&mut self, kind: Kind) -> Result<()> {
        if let Some(gamma) = self.gamma.take() {
            self.fc2.scale(&gamma.f_detach()?)?;
        }
        self.depthwise.fold(kind)?;
        self.norm.convert(kind)?;
        self.fc1.convert(kind)?;
        self.fc2.convert(kind)
    }
}

/// The blocks of one resolution, after the norm and the 2×2 convolution that halve the resolution before.
#[derive(Debug)]
struct Stage {
    down: Option<(LayerNorm, ConvNorm)>,
    blocks: Vec<Block>,
}

/// A ConvNeXt: 4×4 patches, four stages (each but the first begins with downsampling), pooling, norm, classifier.
#[derive(Debug)]
pub struct ConvNext {
    registry: Registry,
    config: BackboneConfig,
    device: Device,
    plan: &'static Plan,
    stem: ConvNorm,
    stem_norm: LayerNorm,
    stages: Vec<Stage>,
    head_norm: LayerNorm,
    classifier: Option<Linear>,
}

impl ConvNext {
    /// Builds the network with first weights that depend on `seed` alone.
    ///
    /// # Errors
    /// The configuration is outside its ranges, its architecture is not a ConvNeXt, or the device does not exist.
    pub fn new(config: &BackboneConfig, seed: u64, device: Device) -> Result<Self> {
        Self::build(config.architecture.plan_of("a ConvNeXt")?, config, Some(seed), device)
    }

    /// As [`Self::new`]; without a seed no weights are drawn, for a network that trained weights are copied into.
    fn build(plan: &'static Plan, config: &BackboneConfig, seed: Option<u64>, device: Device) -> Result<Self> {
        config.check()?;
        let mut registry = Registry::default();
        let mut root = Builder::new(&mut registry, seed, device);
        let patches = |inputs, outputs, side| {
            let spec = ConvSpec::new(inputs, outputs, side, side).with_bias().with_fill(FIRST_WEIGHTS);
            spec.with_padding(Padding::Symmetric(0))
        };
        let stem = patches(config.in_chans, plan.widths[0], 4);
        let stem = ConvNorm::new(&mut root, "stem.0", stem, None, Activation::None)?;
        let stem_norm = LayerNorm::new(&mut root.at("stem.1"), plan.widths[0])?;

        let total: usize = plan.depths.iter().sum();
        let (mut channels, mut index) = (plan.widths[0], 0);
        let mut stages = Vec::new();
        for (number, (&depth, &width)) in plan.depths.iter().zip(&plan.widths).enumerate() {
            let path = format!("stages.{number}");
            let mut at = root.at(&path).part(Part::Stage(number), 1 + index);
            let down = if number > 0 {
                let norm = LayerNorm::new(&mut at.at("downsample.0"), channels)?;
                let conv = patches(channels, width, 2);
                Some((norm, ConvNorm::new(&mut at, "downsample.1", conv, None, Activation::None)?))
            } else {
                None
            };
            let mut blocks = Vec::new();
            for repeat in 0..depth {
                let rate = config.drop_path_rate * index as f64 / (total - 1) as f64;
                let path = format!("blocks.{repeat}");
                let mut at = at.at(&path).part(Part::Stage(number), 1 + index);
                blocks.push(Block::new(&mut at, width, plan.pointwise, rate)?);
                index += 1;
            }
            stages.push(Stage { down, blocks });
            channels = width;
        }
        let mut head = root.at("head.norm").part(Part::Head, 1 + index);
        let head_norm = LayerNorm::new(&mut head, channels)?;
        let config = config.clone();
        let mut model = Self { registry, config, device, plan, stem, stem_norm, stages, head_norm, classifier: None };
        let classes = model.config.num_classes;
        // the classifier is small, and drawn even without a seed
        model.reset_classifier(classes, seed.unwrap_or_default())?;
        Ok(model)
    }
}

impl Features for ConvNext {
    fn config(&self) -> &BackboneConfig {
        &self.config
    }

    fn device(&self) -> Device {
        self.device
    }

    fn feature_count(&self) -> i64 {
        self.plan.widths[3]
    }

    fn stage_info(&self) -> Vec<StageInfo> {
        let stage = |(number, &channels): (usize, &i64)| StageInfo {
            name: format!("stages.{number}"),
            channels,
            reduction: 4 << number,
        };
        self.plan.widths.iter().enumerate().map(stage).collect()
    }

    fn run_features(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let mut ys = self.stem_norm.run_2d(&self.stem.run(xs, pass)?, pass)?;
        for Stage { down, blocks } in &self.stages {
            if let Some((norm, conv)) = down {
                ys = conv.run(&norm.run_2d(&ys, pass)?, pass)?;
            }
            for block in blocks {
                ys = block.run(&ys, pass)?;
            }
            pass.record_stage(&ys);
        }
        Ok(ys)
    }

    fn run_pool(&self, features: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let pooled = features.f_mean_dim([2i64, 3].as_slice(), false, None).doing("global pool")?;
        dropout(self.head_norm.run_last(&pooled, pass)?, self.config.drop_rate, pass)
    }

    fn run_classifier(&self, pooled: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        self.classifier.as_ref().map_or_else(|| Ok(pooled.shallow_clone()), |fc| fc.run(pooled, pass))
    }

    fn reset_classifier(&mut self, num_classes: i64, seed: u64) -> Result<()> {
        self.registry.remove("head.fc.");
        self.config.num_classes = num_classes;
        self.classifier = None;
        if num_classes > 0 {
            let depth = self.registry.depth_count();
            let mut builder = Builder::new(&mut self.registry, seed, self.device).part(Part::Classifier, depth);
            self.classifier =
                Some(Linear::new(&mut builder.at("head.fc"), self.plan.widths[3], num_classes, FIRST_WEIGHTS)?);
        }
        Ok(())
    }
}

impl Foldable for ConvNext {
    fn copied(&self) -> Result<Self> {
        let copy = Self::build(self.plan, &self.config, None, self.device)?;
        copy.registry.copy_from(&self.registry)?;
        Ok(copy)
    }

    fn fold(&mut self, kind: Kind) -> Result<()> {
        self.registry = Registry::default();
        self.stem.fold(kind)?;
        self.stem_norm.convert(kind)?;
        for Stage { down, blocks } in &mut self.stages {
            if let Some((norm, conv)) = down {
                norm.convert(kind)?;
                conv.fold(kind)?;
            }
            blocks.iter_mut().try_for_each(|block| block.fold(kind))?;
        }
        self.head_norm.convert(kind)?;
        self.classifier.as_mut().map_or(Ok(()), |fc| fc.convert(kind))
    }
}

impl Module for ConvNext {
    fn run(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        run_backbone(self, xs, pass)
    }

    fn registry(&self) -> &Registry {
        &self.registry
    }
}
