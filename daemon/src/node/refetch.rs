//! Bringing back what was pruned here and is retained elsewhere.

use icn_gossip::mesh::PauseReason;
use icn_gossip::{Entry, LogKey, Mutation, Now, Reject};
use icn_wal::disk::Disk;

use super::Node;
use crate::exit;

impl<D: Disk> Node<D> {
    /// Readmits an entry that a peer has sent for a refetch.
    pub(super) fn readmit(&mut self, now: Now, entry: Entry) {
        let key = LogKey::of(&entry);
        let refused = match self.state().admit_readmission(&entry) {
            Ok(()) => {
                let received_ms = now.elapsed_ms;
                let mutation = Mutation::Readmit { entry: entry.clone(), received_ms };
                match self.commit(now, mutation) {
                    Ok(_) => return self.mesh.readmitted(&entry),
                    Err(failure) if failure.exit == exit::NO_SPACE => PauseReason::NoRoom,
                    Err(_) => PauseReason::Rules,
                }
            }
            Err(Reject::Full { .. }) => PauseReason::NoRoom,
            Err(_) => PauseReason::Rules,
        };
        self.mesh.not_readmitted(now, key, refused);
    }
}
