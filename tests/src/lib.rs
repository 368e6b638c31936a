//! Tests across the crates: real nodes and logs on simulated disks and links, repeatable by seed.

pub mod crash;
pub mod history;
pub mod hostile;
mod rng;
pub mod script;
mod sim_node;
mod sweep;
pub mod workload;
pub mod world;

pub use rng::TestRng;
pub use sim_node::{SimNode, request};
pub use sweep::{Sweep, sweep_power_losses};
