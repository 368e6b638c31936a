//! The store against its promises.

mod common;
mod golden;
mod guard;
mod recovery;
mod retention;
