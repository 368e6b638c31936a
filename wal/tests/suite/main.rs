//! The promises of the log, each tested against what could break it.

mod between_reads;
mod blocks;
mod common;
mod concurrent_writer;
mod crash_points;
mod directory;
mod faults;
mod follow;
mod full;
mod gap;
mod housekeeper;
mod limits;
mod lives;
mod log;
mod media;
mod not_regular;
mod owner;
mod recovery_table;
mod report;
mod reuse;
mod salvage;
mod tickets;
mod twin;
mod watched;
