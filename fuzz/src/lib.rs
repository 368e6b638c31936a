//! What the targets share: logs on a simulated disk, their bytes read as `docs/FORMAT.md` says, and
//! changes to them by a fuzzer's will.

mod edit;
mod forged;
mod layout;
#[path = "../../tests/src/workload.rs"]
pub mod workload;
mod log;
pub mod mesh;
mod ops;
mod words;

pub use edit::{Edit, edit};
pub use forged::Forged;
pub use layout::{Header, headers};
pub use log::{End, Log, Replayed, replay, segments};
pub use ops::{Ops, TestRng};
pub use words::{Words, overwrite, repair, snapshot};
