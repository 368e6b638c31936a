//! The data directory: its lock, its key file, permissions, and a node opened in it without a daemon.

pub(crate) mod access;
pub(crate) mod datadir;
mod key_text;
pub mod keyfile;
pub(crate) mod offline;
