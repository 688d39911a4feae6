//! Training: one fold of any task, exact resume, the folds of a run.
//!
//! The trainer is independent of tasks. Batches come from a [data set](crate::data::loader::Dataset), outputs from a
//! [`network`](network::Network), and loss, predictions and score from an [`Objective`]. It prints nothing: an
//! [`Observer`](observer::Observer) receives events.
//!
//! | module | purpose |
//! |---|---|
//! | [`config`] | every setting of training, checked, saved with the run |
//! | [`network`] | what the loop needs of a network |
//! | [`Objective`] | loss, predictions and score of a task |
//! | [`fold`] | one fold, from a split to its out-of-fold table |
//! | [`CrossValidation`] | the folds of a run, merged |
//! | [`schedule`] | learning rate over the steps: warm-up and cosine, one cycle |
//! | [`optimizer`] | AdamW with clipping and exponential moving average over one flat tensor |
//! | [`mix`] | mixup and cutmix of the studies of a batch |
//! | [`loss_scale`] | dynamic loss scaling for fp16 |
//! | [`checkpoint`] | everything that an exact resume needs, in one file, written atomically |
//! | [`history`] | one line of JSON an epoch |
//! | [`tensorboard`] | TensorBoard's event files |
//! | [`observer`] | events of a run, and the token that stops it |

mod buffers;
pub mod checkpoint;
pub mod config;
mod cross_val;
mod epoch;
mod error;
pub mod fold;
pub mod history;
mod lock;
pub mod loss_scale;
pub mod mix;
pub mod network;
mod objective;
pub mod observer;
pub mod optimizer;
mod plan;
pub mod schedule;
pub mod tensorboard;
mod writer;

pub use config::TrainConfig;
pub use cross_val::CrossValidation;
pub use error::TrainError;
pub use objective::{Objective, OutOfFold, ValidationScore};
