//! What a peer was sent of forks.

use std::collections::{BTreeMap, BTreeSet};

use crate::log::LogKey;

/// What a peer was sent of forks.
#[derive(Default)]
pub(super) struct ForkNotices {
    /// Logs for which the peer was sent a dispute, with the lowest position.
    pub(super) disputed: BTreeMap<LogKey, u64>,
    /// Frozen logs of which the peer was sent the proof.
    pub(super) proved: BTreeSet<LogKey>,
    /// How often the lowest fork of a log was searched for.
    pub(super) searches: BTreeMap<LogKey, u8>,
}

impl ForkNotices {
    pub(super) fn tracked_items(&self) -> usize {
        self.disputed.len() + self.proved.len() + self.searches.len()
    }
}
