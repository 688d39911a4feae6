//! `lumbar::train`: beside torch's optimizer and schedules, TensorBoard's reader, and runs that are killed.

mod crops;
#[path = "../benches/locate/exact.rs"]
mod exact;
mod finished;
mod full;
mod headers;
mod init;
mod locate;
mod mixed;
mod networks;
mod objective;
mod optimizer;
mod predicting;
mod resume;
#[path = "../benches/looks/rewrite.rs"]
mod rewrite;
mod rooms;
mod run;
mod runs;
mod saving;
mod shipped;
mod small;
mod studies;
mod study_attention;
