//! A state on its way to the disk.

use crate::backlog::SaveGuard;
use crate::labels::Labels;
use crate::origin::Origin;

/// An image of the state that waits to be written.
#[derive(Debug)]
pub struct Image<S> {
    pub(crate) state: S,
    /// The last LSN that is in it; 0 for a state from elsewhere.
    pub(crate) lsn: u64,
    pub(crate) timeline: u64,
    pub(crate) created_ms: u64,
    /// `None` for a record that may still be on its way to the disk: what it gets there is the time of
    /// the last that goes with it.
    pub(crate) time_ms: Option<u64>,
    pub(crate) origin: Origin,
    pub(crate) pinned: bool,
    pub(crate) labels: Labels,
    /// `None` for one that is not of the present.
    pub(crate) save_guard: Option<SaveGuard>,
}

impl<S> Image<S> {
    /// An image of a state from elsewhere: a restore point that no log continues. It is pinned, because
    /// no rule knows what it is worth.
    pub fn imported(state: S, created_ms: u64) -> Self {
        Self {
            state,
            lsn: 0,
            timeline: 0,
            created_ms,
            time_ms: Some(0),
            origin: Origin::Imported,
            pinned: true,
            labels: Labels::default(),
            save_guard: None,
        }
    }

    /// Has the snapshot stay until somebody unpins it.
    pub fn pin(&mut self) {
        self.pinned = true;
    }

    /// What people write on it.
    pub fn labels(&mut self) -> &mut Labels {
        &mut self.labels
    }
}
