//! EfficientNet and EfficientNetV2, equal to timm's.

use tch::{Device, Kind, Tensor};

use super::architecture;
use super::backbone::{AnyBackbone, BackboneConfig, Features, StageInfo, run_backbone};
use super::blocks::{Block, BlockSpec};
use super::conv::{Activation, ConvNorm, ConvSpec, Padding};
use super::error::{Doing, Result};
use super::inference::Foldable;
use super::linear::{Linear, dropout};
use super::pass::{Module, Pass};
use super::registry::{Builder, Part, Registry};
use super::stages::Plan;

/// An EfficientNet: stem, stages of blocks, head, classifier.
///
/// Names, first weights, constants and results are those of timm's `EfficientNet`; either loads the other's files.
///
/// ```
/// use lumbar::model::{Architecture, BackboneConfig, EfficientNet, Mode, Module};
/// use tch::{Device, Kind, Tensor};
///
/// let config = BackboneConfig::new(Architecture::EfficientNetB0);
/// let model = EfficientNet::new(&config, 0, Device::Cpu)?;
/// assert_eq!(model.registry().parameters().count(), 213);
/// assert_eq!(model.registry().weight_count(), 5_288_548);
///
/// let image = Tensor::zeros([1, 3, 64, 64], (Kind::Float, Device::Cpu));
/// assert_eq!(model.forward(&image, Mode::Eval)?.size(), [1, 1000]);
/// # Ok::<(), lumbar::model::Error>(())
/// ```
#[derive(Debug)]
pub struct EfficientNet {
    registry: Registry,
    config: BackboneConfig,
    device: Device,
    plan: &'static Plan,
    stem: ConvNorm,
    stages: Vec<Vec<Block>>,
    head: ConvNorm,
    classifier: Option<Linear>,
    /// Where the features of each resolution end: indices into `[stem, stage 0, …]` after which the size halves or
    /// the network ends.
    resolution_ends: Vec<usize>,
}

impl EfficientNet {
    /// Builds the network with first weights that depend on `seed` alone.
    ///
    /// # Errors
    /// The configuration is outside its ranges, its architecture is not an EfficientNet, or the device does not exist.
    pub fn new(config: &BackboneConfig, seed: u64, device: Device) -> Result<Self> {
        Self::build(config.architecture.plan_of("an EfficientNet")?, config, Some(seed), device)
    }

    /// As [`Self::new`]; without a seed no weights are drawn, for a network that trained weights are copied into.
    fn build(plan: &'static Plan, config: &BackboneConfig, seed: Option<u64>, device: Device) -> Result<Self> {
        config.check()?;
        let mut registry = Registry::default();
        let mut root = Builder::new(&mut registry, seed, device);
        let eps = plan.norm_eps;
        let pad = |conv: ConvSpec| if plan.same_padding { conv.with_padding(Padding::Same) } else { conv };

        let width = plan.channels(plan.stem);
        let stem = pad(ConvSpec::new(config.in_chans, width, 3, 2));
        let stem = ConvNorm::new(&mut root, "conv_stem", stem, Some(("bn1", eps)), Activation::Silu)?;

        let total: i64 = plan.stages.iter().map(|stage| plan.repeats(stage.repeats)).sum();
        let (mut channels, mut index) = (width, 0);
        let mut stages = Vec::new();
        for (number, stage) in plan.stages.iter().enumerate() {
            let mut blocks = Vec::new();
            for repeat in 0..plan.repeats(stage.repeats) {
                let spec = BlockSpec {
                    kind: stage.kind,
                    channels_in: channels,
                    channels_out: plan.channels(stage.channels),
                    kernel: stage.kernel,
                    stride: if repeat == 0 { stage.stride } else { 1 },
                    expansion: stage.expansion,
                    squeeze: stage.squeeze,
                    skip: stage.skip,
                    drop_path: config.drop_path_rate * index as f64 / total as f64,
                    same_padding: plan.same_padding,
                    norm_eps: eps,
                };
                let path = format!("blocks.{number}.{repeat}");
                let mut at = root.at(&path).part(Part::Stage(number), 1 + index as usize);
                blocks.push(Block::new(&mut at, spec)?);
                channels = spec.channels_out;
                index += 1;
            }
            stages.push(blocks);
        }

        let depth = 1 + index as usize;
        let features = plan.channels(plan.features);
        let mut at = root.at_root().part(Part::Head, depth);
        let head = pad(ConvSpec::new(channels, features, 1, 1));
        let head = ConvNorm::new(&mut at, "conv_head", head, Some(("bn2", eps)), Activation::Silu)?;

        // The features of a resolution end before a stage that halves the size; the stem counts as index 0.
        let halves = |number: usize| plan.stages.get(number).is_none_or(|stage| stage.stride > 1);
        let resolution_ends = (0..=plan.stages.len()).filter(|&index| halves(index)).collect();
        let mut model = Self {
            registry,
            config: config.clone(),
            device,
            plan,
            stem,
            stages,
            head,
            classifier: None,
            resolution_ends,
        };
        // the classifier is small, and drawn even without a seed
        model.reset_classifier(config.num_classes, seed.unwrap_or_default())?;
        Ok(model)
    }

    /// The first convolution with norm and activation.
    pub fn stem(&self) -> &ConvNorm {
        &self.stem
    }

    /// The blocks of each stage.
    pub fn stages(&self) -> &[Vec<Block>] {
        &self.stages
    }

    /// The last convolution with norm and activation.
    pub fn head(&self) -> &ConvNorm {
        &self.head
    }

    fn run_stages(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let mut ys = self.stem.run(xs, pass)?;
        if self.resolution_ends.contains(&0) {
            pass.record_stage(&ys);
        }
        for (number, blocks) in self.stages.iter().enumerate() {
            for block in blocks {
                ys = block.run(&ys, pass)?;
            }
            if self.resolution_ends.contains(&(number + 1)) {
                pass.record_stage(&ys);
            }
        }
        Ok(ys)
    }
}

impl Features for EfficientNet {
    fn config(&self) -> &BackboneConfig {
        &self.config
    }

    fn device(&self) -> Device {
        self.device
    }

    fn feature_count(&self) -> i64 {
        self.head.channels_out()
    }

    fn stage_info(&self) -> Vec<StageInfo> {
        let mut reduction = 2;
        let mut infos = Vec::new();
        for index in 0..=self.stages.len() {
            if index > 0 {
                reduction *= self.plan.stages[index - 1].stride;
            }
            if self.resolution_ends.contains(&index) {
                let (name, channels) = match index {
                    0 => ("bn1".to_owned(), self.stem.channels_out()),
                    n => (format!("blocks.{}", n - 1), self.stages[n - 1].last().map_or(0, Block::channels_out)),
                };
                infos.push(StageInfo { name, channels, reduction });
            }
        }
        infos
    }

    fn run_features(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let ys = self.run_stages(xs, pass)?;
        self.head.run(&ys, pass)
    }

    fn run_pool(&self, features: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let pooled = features.f_mean_dim([2i64, 3].as_slice(), false, None).doing("global pool")?;
        dropout(pooled, self.config.drop_rate, pass)
    }

    fn run_classifier(&self, pooled: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        match &self.classifier {
            Some(classifier) => classifier.run(pooled, pass),
            None => Ok(pooled.shallow_clone()),
        }
    }

    fn reset_classifier(&mut self, num_classes: i64, seed: u64) -> Result<()> {
        self.registry.remove("classifier.");
        self.config.num_classes = num_classes;
        self.classifier = None;
        if num_classes > 0 {
            let depth = self.registry.depth_count();
            let (features, device) = (self.feature_count(), self.device);
            let mut builder = Builder::new(&mut self.registry, seed, device).part(Part::Classifier, depth);
            self.classifier = Some(Linear::classifier(&mut builder.at("classifier"), features, num_classes)?);
        }
        Ok(())
    }
}

impl Foldable for EfficientNet {
    fn copied(&self) -> Result<Self> {
        let copy = Self::build(self.plan, &self.config, None, self.device)?;
        copy.registry.copy_from(&self.registry)?;
        Ok(copy)
    }

    fn fold(&mut self, kind: Kind) -> Result<()> {
        self.registry = Registry::default();
        self.stem.fold(kind)?;
        for block in self.stages.iter_mut().flatten() {
            block.each_conv(&mut |conv| conv.fold(kind))?;
        }
        self.head.fold(kind)?;
        self.classifier.as_mut().map_or(Ok(()), |classifier| classifier.convert(kind))
    }
}

impl Module for EfficientNet {
    fn run(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        run_backbone(self, xs, pass)
    }

    fn registry(&self) -> &Registry {
        &self.registry
    }
}

impl architecture::Plan for Plan {
    fn build(
        &'static self,
        config: &BackboneConfig,
        seed: Option<u64>,
        device: Device,
    ) -> Result<Box<dyn AnyBackbone>> {
        Ok(Box::new(EfficientNet::build(self, config, seed, device)?))
    }
}
