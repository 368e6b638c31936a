//! The data directory: its lock, its key file, and a node opened in it without a daemon.

pub(crate) mod datadir;
pub mod keyfile;
pub(crate) mod offline;
