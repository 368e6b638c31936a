//! Checks that span the crates: real nodes on simulated disks, repeatable by seed.

mod rig;

pub use rig::{Dice, Rig, request};
