//! `lumbar::train`: beside torch's optimizer and schedules, TensorBoard's reader, and runs that are killed.

mod crops;
mod finished;
mod mixed;
mod networks;
mod optimizer;
mod predicting;
mod resume;
mod run;
mod runs;
mod saving;
mod small;
mod studies;
