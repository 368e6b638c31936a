//! Checks that span the crates: real nodes and logs on simulated disks, repeatable by seed.

pub mod crash;
mod dice;
pub mod history;
pub mod hostile;
pub mod life;
mod rig;
pub mod script;
mod sweep;
pub mod world;

pub use dice::Dice;
pub use rig::{Rig, request};
pub use sweep::{Sweep, at_every_operation};
