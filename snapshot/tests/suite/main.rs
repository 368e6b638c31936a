//! The store against its promises.

mod common;
mod recovery;
mod retention;
