//! Links between real endpoints on loopback.

mod dials;
mod discovery;
mod doubled;
mod frames;
mod half_open;
mod harness;
mod hello;
mod misbehaving_peers;
mod raw_peer;
mod restarts;
mod resume;
