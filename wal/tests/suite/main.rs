//! The promises of the log, each against what could break it.

mod beside;
mod common;
mod crash_points;
mod faults;
mod log;
mod media;
mod owner;
mod recovery_table;
mod reuse;
mod strangers;
mod tickets;
