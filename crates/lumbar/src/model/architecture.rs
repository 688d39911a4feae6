//! The architectures that can be built, under timm's names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::Error;

macro_rules! architectures {
    ($($variant:ident = $name:literal, $doc:literal;)+) => {
        /// An architecture, named as in timm.
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
        }
    };
}

architectures! {
    EfficientNetB0 = "efficientnet_b0", "EfficientNet-B0, 5.3 M weights.";
    EfficientNetB1 = "efficientnet_b1", "EfficientNet-B1, 7.8 M weights.";
    EfficientNetB2 = "efficientnet_b2", "EfficientNet-B2, 9.1 M weights.";
    EfficientNetB3 = "efficientnet_b3", "EfficientNet-B3, 12 M weights.";
    EfficientNetB4 = "efficientnet_b4", "EfficientNet-B4, 19 M weights.";
    EfficientNetB5 = "efficientnet_b5", "EfficientNet-B5, 30 M weights.";
    EfficientNetB6 = "efficientnet_b6", "EfficientNet-B6, 43 M weights.";
    EfficientNetB7 = "efficientnet_b7", "EfficientNet-B7, 66 M weights.";
    TfEfficientNetB0 = "tf_efficientnet_b0", "EfficientNet-B0 with TensorFlow's padding and ε.";
    TfEfficientNetB1 = "tf_efficientnet_b1", "EfficientNet-B1 with TensorFlow's padding and ε.";
    TfEfficientNetB2 = "tf_efficientnet_b2", "EfficientNet-B2 with TensorFlow's padding and ε.";
    TfEfficientNetB3 = "tf_efficientnet_b3", "EfficientNet-B3 with TensorFlow's padding and ε.";
    TfEfficientNetB4 = "tf_efficientnet_b4", "EfficientNet-B4 with TensorFlow's padding and ε.";
    TfEfficientNetB5 = "tf_efficientnet_b5", "EfficientNet-B5 with TensorFlow's padding and ε.";
    TfEfficientNetB6 = "tf_efficientnet_b6", "EfficientNet-B6 with TensorFlow's padding and ε.";
    TfEfficientNetB7 = "tf_efficientnet_b7", "EfficientNet-B7 with TensorFlow's padding and ε.";
    TfEfficientNetV2B0 = "tf_efficientnetv2_b0", "EfficientNetV2-B0, 7.1 M weights.";
    TfEfficientNetV2S = "tf_efficientnetv2_s", "EfficientNetV2-S, 21 M weights.";
    TfEfficientNetV2M = "tf_efficientnetv2_m", "EfficientNetV2-M, 54 M weights.";
    ResNet18d = "resnet18d", "ResNet-18 with a deep stem and average-pool shortcuts, 12 M weights.";
    ResNet34d = "resnet34d", "ResNet-34 with a deep stem and average-pool shortcuts, 22 M weights.";
    ConvNextNano = "convnext_nano", "ConvNeXt nano, 16 M weights.";
    ConvNextTiny = "convnext_tiny", "ConvNeXt tiny, 29 M weights.";
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Architecture {
    type Err = Error;

    /// # Errors
    /// No architecture has this name; the error lists them.
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.iter().copied().find(|architecture| architecture.name() == name).ok_or_else(|| {
            let known = Self::ALL.iter().map(|architecture| architecture.name()).collect::<Vec<_>>().join(", ");
            Error::UnknownArchitecture { found: name.to_owned(), known }
        })
    }
}
