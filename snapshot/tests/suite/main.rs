//! The store against its promises.

mod check;
mod common;
mod golden;
mod guard;
mod recovery;
mod retention;
