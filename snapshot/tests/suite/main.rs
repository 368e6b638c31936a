//! The store against its promises.

mod common;
mod crash_loop;
mod defects;
mod due;
mod golden;
mod guard;
mod recovery;
mod retention;
mod slow_copy;
mod snapshots;
mod stop;
mod verify;
mod window;
