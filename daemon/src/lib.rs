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

pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod data;
pub mod failure;
mod http;
pub mod node;
mod report;
pub mod run;
mod shell;
