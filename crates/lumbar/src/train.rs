//! Training: one fold, five folds, exact resume.
//!
//! | module | purpose |
//! |---|---|
//! | [`config`] | every setting of a run, checked, saved with it |
//! | [`schedule`] | learning rate over the steps: warm-up and cosine, one cycle |
//! | [`mix`] | mixup and cutmix of the studies of a batch |
//! | [`loss_scale`] | dynamic loss scaling for fp16 |
//! | [`lr_finder`] | the learning-rate range test |
//! | [`optimizer`] | AdamW with clipping and exponential moving average over one flat tensor |
//! | [`loss`] | the competition's weighted log losses as a training loss |
//! | [`history`] | one line of JSON an epoch; TensorBoard's event files |
//! | [`checkpoint`] | everything that an exact resume needs, in one file, written atomically |
//! | [`grader`] | the networks that are trained: over whole studies, over crops |
//! | [`crop_source`] | batches for the crop grader, from the files of studies |
//! | [`study_source`] | batches for the whole-study model, from the files of studies |
//! | [`network`] | what the loop asks of a network and of whoever makes batches |
//! | [`fold`] | one fold, from a split to its out-of-fold table |
//! | [`cross_val`] | the folds of a run, merged |
//! | [`observer`] | what happens, told to whoever watches; the library prints nothing |

pub(crate) mod atomic;
pub mod checkpoint;
pub mod config;
pub mod crop_source;
pub mod cross_val;
mod epoch;
mod error;
pub mod fold;
pub mod grader;
pub mod history;
mod lock;
pub mod loss;
pub mod loss_scale;
pub mod lr_finder;
pub mod mix;
pub mod network;
pub mod observer;
pub mod optimizer;
mod plan;
pub mod schedule;
pub mod study_source;
pub mod tensorboard;
mod writer;

pub use config::TrainConfig;
pub use cross_val::CrossValidation;
pub use epoch::{predict, predict_flipped};
pub(crate) use epoch::{predict_batch, with_mirrored};
pub use error::TrainError;
