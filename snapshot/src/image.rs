//! An image of the state in memory, to be saved as a snapshot.

use crate::backlog::SaveGuard;
use crate::labels::Labels;
use crate::origin::Origin;

/// A clone of the state that has not been saved yet.
#[derive(Debug)]
pub struct Image<S> {
    pub(crate) state: S,
    /// The last LSN that the state covers; 0 for an imported state.
    pub(crate) lsn: u64,
    pub(crate) timeline: u64,
    pub(crate) created_ms: u64,
    pub(crate) ran_ms: u64,
    /// `None` while the last record may still be in flight: its time on the disk is that of the last record
    /// of its group.
    pub(crate) time_ms: Option<u64>,
    pub(crate) origin: Origin,
    pub(crate) pinned: bool,
    pub(crate) labels: Labels,
    /// `None` for an image of another state than the present one.
    pub(crate) save_guard: Option<SaveGuard>,
}

impl<S> Image<S> {
    /// An image of a state from outside of this store: a restore point that no log continues. It is pinned,
    /// because no retention rule can judge its value.
    pub fn imported(state: S, created_ms: u64) -> Self {
        Self {
            state,
            lsn: 0,
            timeline: 0,
            created_ms,
            ran_ms: 0,
            time_ms: Some(0),
            origin: Origin::Imported,
            pinned: true,
            labels: Labels::default(),
            save_guard: None,
        }
    }

    /// Pins the snapshot, so that it stays until an operator unpins it.
    pub fn pin(&mut self) {
        self.pinned = true;
    }

    /// The labels that the snapshot will have.
    pub fn labels(&mut self) -> &mut Labels {
        &mut self.labels
    }
}
