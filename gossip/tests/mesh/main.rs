//! The protocol as a value: one node, and a test that plays its peers.

mod clock;
mod closing;
mod codec;
mod forks;
mod held;
mod many;
mod memory;
mod own;
mod pages;
mod private;
mod refetch;
mod rig;
mod sources;
mod topics;
