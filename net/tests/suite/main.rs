//! Real endpoints on loopback.

mod dials;
mod frames;
mod hello;
mod rig;
