//! The ICN node: the sans-IO [`node::Node`], the shell that runs it, and what speaks to it.
//!
//! ```text
//! icnctl ── control.sock ──► control ─► inbox ─► shell: Node::step ─► release ─► answer
//!                                                  │ append            │ waits until durable
//!                                                  ▼                   ▼
//!                                                 log ═══ write + fdatasync ═══ disk
//! ```
//!
//! Invariant: nothing leaves the house before the log has it on the disk; `shell` has the one
//! door. Invariant: a key never reaches a log, a snapshot or a log line.

pub mod clock;
pub mod config;
mod control;
pub mod ctl;
mod datadir;
mod diff;
mod door;
pub mod failure;
mod follow;
mod followers;
pub mod guard;
mod health;
mod http;
mod import;
pub mod keyfile;
pub mod machine;
mod meter;
pub mod node;
mod offline;
mod page;
mod peers;
mod report;
pub mod request;
pub mod run;
mod shell;
mod socket;
mod verify;
pub mod work;
