//! Checks that span the crates: real nodes and logs on simulated disks, repeatable by seed.

pub mod crash;
mod dice;
pub mod life;
mod rig;

pub use dice::Dice;
pub use rig::{Rig, request};
