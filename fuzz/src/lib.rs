//! The shared parts of the fuzz targets: logs on a simulated disk, their bytes read as
//! `docs/FORMAT.md` says, and changes that the fuzzer chooses.

mod edit;
mod forged;
mod layout;
mod log;
pub mod mesh;
mod ops;
mod words;
#[path = "../../tests/src/workload.rs"]
pub mod workload;

pub use edit::{Edit, edit};
pub use forged::Forged;
pub use layout::{Header, headers};
pub use log::{End, Log, Replayed, replay, segments};
pub use ops::{Ops, TestRng};
pub use words::{Words, overwrite, repair, snapshot};
