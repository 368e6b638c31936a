//! Real endpoints on loopback.

mod crowd;
mod dials;
mod discovery;
mod frames;
mod hello;
mod restarts;
mod rig;
mod stranger;
mod strangers;
