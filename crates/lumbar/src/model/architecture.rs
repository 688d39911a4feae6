//! The table of architectures, by timm's names. A new architecture is a line in it.

use std::any::Any;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::Device;

use super::backbone::{AnyBackbone, BackboneConfig};
use super::error::{Error, Result};
use super::{convnext, resnet, stages};
use crate::config::ConfigError;

/// The numbers in which the architectures of one family differ (widths, depths). Each family has its own type.
pub(super) trait Plan: Any + Sync {
    /// Builds the network, with first weights drawn from `seed`; without a seed they are zero.
    ///
    /// # Errors
    /// The configuration is outside its ranges, or the device is absent.
    fn build(&'static self, config: &BackboneConfig, seed: Option<u64>, device: Device)
    -> Result<Box<dyn AnyBackbone>>;
}

macro_rules! architectures {
    ($($variant:ident = $name:literal, $plan:expr, $doc:literal;)+) => {
        /// An architecture, named as in timm.
        ///
        /// ```
        /// use lumbar::model::Architecture;
        ///
        /// let architecture: Architecture = "resnet18d".parse()?;
        /// assert_eq!(architecture, Architecture::ResNet18d);
        /// assert!(Architecture::ALL.contains(&architecture));
        /// # Ok::<(), lumbar::model::Error>(())
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Architecture {
            $(#[doc = $doc] #[serde(rename = $name)] $variant,)+
        }

        impl Architecture {
            /// All architectures.
            pub const ALL: &[Architecture] = &[$(Self::$variant),+];

            /// timm's name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The plan of its network.
            pub(super) fn plan(self) -> &'static dyn Plan {
                match self { $(Self::$variant => const { &$plan }),+ }
            }
        }
    };
}

architectures! {
    EfficientNetB0 = "efficientnet_b0", stages::Plan::v1(1.0, 1.0), "EfficientNet-B0, 5.3 M weights.";
    EfficientNetB1 = "efficientnet_b1", stages::Plan::v1(1.0, 1.1), "EfficientNet-B1, 7.8 M weights.";
    EfficientNetB2 = "efficientnet_b2", stages::Plan::v1(1.1, 1.2), "EfficientNet-B2, 9.1 M weights.";
    EfficientNetB3 = "efficientnet_b3", stages::Plan::v1(1.2, 1.4), "EfficientNet-B3, 12 M weights.";
    EfficientNetB4 = "efficientnet_b4", stages::Plan::v1(1.4, 1.8), "EfficientNet-B4, 19 M weights.";
    EfficientNetB5 = "efficientnet_b5", stages::Plan::v1(1.6, 2.2), "EfficientNet-B5, 30 M weights.";
    EfficientNetB6 = "efficientnet_b6", stages::Plan::v1(1.8, 2.6), "EfficientNet-B6, 43 M weights.";
    EfficientNetB7 = "efficientnet_b7", stages::Plan::v1(2.0, 3.1), "EfficientNet-B7, 66 M weights.";
    TfEfficientNetB0 = "tf_efficientnet_b0", stages::Plan::v1(1.0, 1.0).tensorflow(), "EfficientNet-B0 with TensorFlow's padding and ε.";
    TfEfficientNetB1 = "tf_efficientnet_b1", stages::Plan::v1(1.0, 1.1).tensorflow(), "EfficientNet-B1 with TensorFlow's padding and ε.";
    TfEfficientNetB2 = "tf_efficientnet_b2", stages::Plan::v1(1.1, 1.2).tensorflow(), "EfficientNet-B2 with TensorFlow's padding and ε.";
    TfEfficientNetB3 = "tf_efficientnet_b3", stages::Plan::v1(1.2, 1.4).tensorflow(), "EfficientNet-B3 with TensorFlow's padding and ε.";
    TfEfficientNetB4 = "tf_efficientnet_b4", stages::Plan::v1(1.4, 1.8).tensorflow(), "EfficientNet-B4 with TensorFlow's padding and ε.";
    TfEfficientNetB5 = "tf_efficientnet_b5", stages::Plan::v1(1.6, 2.2).tensorflow(), "EfficientNet-B5 with TensorFlow's padding and ε.";
    TfEfficientNetB6 = "tf_efficientnet_b6", stages::Plan::v1(1.8, 2.6).tensorflow(), "EfficientNet-B6 with TensorFlow's padding and ε.";
    TfEfficientNetB7 = "tf_efficientnet_b7", stages::Plan::v1(2.0, 3.1).tensorflow(), "EfficientNet-B7 with TensorFlow's padding and ε.";
    TfEfficientNetV2B0 = "tf_efficientnetv2_b0", stages::Plan::v2(stages::V2_B0, 32, 0.0), "EfficientNetV2-B0, 7.1 M weights.";
    TfEfficientNetV2S = "tf_efficientnetv2_s", stages::Plan::v2(stages::V2_S, 24, 0.9), "EfficientNetV2-S, 21 M weights.";
    TfEfficientNetV2M = "tf_efficientnetv2_m", stages::Plan::v2(stages::V2_M, 24, 0.9), "EfficientNetV2-M, 54 M weights.";
    ResNet10d025 = "resnet10d_025", resnet::Plan { blocks: [1, 1, 1, 1], width: 16 }, "ResNet-10d at a quarter of its width, 0.3 M weights. Not in timm by name; the same as its `ResNet` class with these widths.";
    ResNet18d025 = "resnet18d_025", resnet::Plan { blocks: [2, 2, 2, 2], width: 16 }, "ResNet-18d at a quarter of its width, 0.7 M weights. Not in timm by name; the same as its `ResNet` class with these widths.";
    ResNet10d050 = "resnet10d_050", resnet::Plan { blocks: [1, 1, 1, 1], width: 32 }, "ResNet-10d at half its width, 1.2 M weights. Not in timm by name; the same as its `ResNet` class with these widths.";
    ResNet18d = "resnet18d", resnet::Plan { blocks: [2, 2, 2, 2], width: 64 }, "ResNet-18 with a deep stem and average-pool shortcuts, 12 M weights.";
    ResNet34d = "resnet34d", resnet::Plan { blocks: [3, 4, 6, 3], width: 64 }, "ResNet-34 with a deep stem and average-pool shortcuts, 22 M weights.";
    ConvNextNano = "convnext_nano", convnext::Plan { depths: [2, 2, 8, 2], widths: [80, 160, 320, 640], pointwise: true }, "ConvNeXt nano, 16 M weights.";
    ConvNextTiny = "convnext_tiny", convnext::Plan { depths: [3, 3, 9, 3], widths: [96, 192, 384, 768], pointwise: false }, "ConvNeXt tiny, 29 M weights.";
}

impl Architecture {
    /// The plan as the type of one family.
    ///
    /// # Errors
    /// [`Error::Config`] if the architecture belongs to another family than `family`, which the message names.
    pub(super) fn plan_of<P: Plan>(self, family: &str) -> Result<&'static P> {
        let plan: &'static dyn Any = self.plan();
        plan.downcast_ref().ok_or_else(|| ConfigError::new("architecture", self, family).into())
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Architecture {
    type Err = Error;

    /// # Errors
    /// [`Error::UnknownArchitecture`], which lists the known names.
    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.iter().copied().find(|architecture| architecture.name() == name).ok_or_else(|| {
            let known = Self::ALL.iter().map(|architecture| architecture.name()).collect::<Vec<_>>().join(", ");
            Error::UnknownArchitecture { found: name.to_owned(), known }
        })
    }
}
