//! The ICN node: the sans-IO [`node::Node`], the shell of threads around it, and `icnctl`.
//!
//! ```text
//! icnctl ─ control.sock ─► control ─► inbox ─► core: Node::step ─► release gate ─► reply, frames
//!                                                │ append            │ waits until durable
//!                                                ▼                   ▼
//!                                               log ═══ write + fdatasync ═══ disk
//! ```
//!
//! | module | contents |
//! |---|---|
//! | [`node`] | the node as a value: inputs in, outputs out; no thread, socket or clock |
//! | `shell` | its threads: core, release gate, verify, worker |
//! | [`control`] | the control socket: requests, replies, both ends |
//! | `http` | health, metrics and the first page |
//! | [`data`] | the data directory, the key file, a node without a daemon |
//! | `connections` | how many connections a socket has, and which one ends for a new one |
//! | [`files`] | how many files the process may open, and how they are shared out |
//! | [`limits`] | every limit that an operator can meet, and what to do at it |
//! | [`output`] | log lines and the start report, for which no thread waits |
//! | [`stdout`] | standard output, and what it means when it cannot be written |
//! | [`run`] | the life of the process: recovery, signals, stop |
//! | [`cli`] | `icnctl`: arguments and texts |
//!
//! Invariant: an output leaves the node only through the release gate, once its LSN is durable.
//! Invariant: a secret key never reaches a log, a snapshot or a log line.

pub mod cli;
pub mod clock;
pub mod config;
mod connections;
pub mod control;
pub mod data;
pub mod exit;
pub mod failure;
pub mod files;
mod http;
pub mod limits;
pub mod node;
pub mod output;
pub mod run;
mod shell;
pub mod stdout;
mod text;
