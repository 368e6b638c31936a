//! The store against its promises.

mod common;
mod guard;
mod recovery;
mod retention;
