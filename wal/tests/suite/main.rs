//! The promises of the log, each against what could break it.

mod beside;
mod between_reads;
mod common;
mod crash_points;
mod directory;
mod faults;
mod follow;
mod full;
mod housekeeper;
mod limits;
mod log;
mod media;
mod owner;
mod recovery_table;
mod report;
mod reuse;
mod salvage;
mod strangers;
mod tickets;
mod twin;
mod watched;
