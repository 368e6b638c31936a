//! Committing a mutation: the log and the state first, then the mesh and the subscribers.

use icn_gossip::{LogKey, Mutation, Now, Outcome, Provenance, Reject};
use icn_wal::disk::Disk;

use super::Node;
use crate::failure::Failure;

/// What a mutation may change for the mesh and for subscribers.
#[derive(Clone, Copy)]
enum ChangeKind {
    Log(LogKey),
    Proof(LogKey),
    /// What peers may read, or which peers are known.
    Rights,
    Topics,
    Interests,
    Epoch,
    Other,
}

impl ChangeKind {
    fn of(mutation: &Mutation) -> Self {
        match mutation {
            Mutation::Append { entry, .. }
            | Mutation::AppendAfterGap { entry, .. }
            | Mutation::PublishAgain { entry, .. } => Self::Log(LogKey::of(entry)),
            Mutation::Fork(entries) => Self::Proof(LogKey::of(&entries.0)),
            Mutation::CreateTopic(_) | Mutation::DeleteTopic(_) => Self::Topics,
            Mutation::AddPeer { named: true, .. } | Mutation::RemovePeer(_) => Self::Rights,
            Mutation::Subscribe { by: Provenance::Local, .. }
            | Mutation::Unsubscribe { by: Provenance::Local, .. } => Self::Interests,
            Mutation::BeginEpoch(_) => Self::Epoch,
            _ => Self::Other,
        }
    }
}

impl<D: Disk> Node<D> {
    /// Appends a mutation to the log, applies it, and announces its outcome. The returned LSN is not
    /// durable yet.
    ///
    /// # Errors
    /// Those of [`Store::commit`](icn_snapshot::Store::commit); the state's refusal.
    pub(super) fn commit(
        &mut self,
        now: Now,
        mutation: Mutation,
    ) -> Result<(u64, Outcome), Failure> {
        let change = ChangeKind::of(&mutation);
        let (lsn, outcome) = self.store.commit(self.clock.log_ms(now), mutation)?;
        self.announce(now, change, &outcome);
        match outcome {
            Outcome::Rejected(reject) => Err(reject.into()),
            outcome => Ok((lsn.get(), outcome)),
        }
    }

    fn announce(&mut self, now: Now, change: ChangeKind, outcome: &Outcome) {
        let state = &self.store.state().0;
        match (change, outcome) {
            (ChangeKind::Log(key), Outcome::Appended { arrival, .. }) => {
                self.mesh.appended(state, key);
                self.pending.entry_arrived(key.topic, *arrival);
            }
            (ChangeKind::Log(key), Outcome::Rejected(Reject::Equivocation))
            | (ChangeKind::Proof(key), Outcome::Done) => {
                self.forks.found(state, now, key);
                self.mesh.frozen(state, now, key);
            }
            (ChangeKind::Topics, Outcome::TopicCreated(_) | Outcome::Done) => {
                self.mesh.rights_changed();
                self.pending.topics_changed();
            }
            (ChangeKind::Rights, Outcome::Done) => self.mesh.rights_changed(),
            (ChangeKind::Interests, Outcome::Subscribed { .. } | Outcome::Done) => {
                self.mesh.interests_changed();
            }
            (ChangeKind::Epoch, Outcome::Done) => self.mesh.epoch_begun(),
            _ => {}
        }
    }
}
