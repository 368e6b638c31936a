//! The node's side of the gossip protocol: events of links in, actions of the mesh out.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use icn_gossip::limits::FUTURE_MS_MAX;
use icn_gossip::mesh::{Action, Batch, LinkId, Mesh, PauseReason};
use icn_gossip::{Did, Entry, KeyCard, LogKey, Mutation, NodeId, Now, Reject, Relation, TopicId};
use icn_wal::disk::Disk;

use super::{Effect, Node, Output, PeerEvent, Turn};
use crate::control::codes;
use crate::exit;
use crate::failure::Failure;

/// What a turn may verify itself: so many batches of so many entries.
const INLINE_BATCHES_MAX: usize = 4;
const INLINE_ENTRIES_MAX: usize = 2;

impl<D: Disk> Node<D> {
    /// Handles an event of a link.
    pub(super) fn handle_peer_event(&mut self, now: Now, event: PeerEvent) {
        let state = &self.store.state().0;
        match event {
            PeerEvent::Up { link, card, binding, address } => {
                self.peer_up(now, link, card, binding, address);
            }
            PeerEvent::Frame { link, kind, body } => {
                self.mesh.receive(state, now, link, kind, &body);
            }
            PeerEvent::Sent { link, bytes } => self.mesh.sent(link, bytes),
            PeerEvent::Down { link } => self.mesh.down(state, now, link),
            PeerEvent::Doubled(doubled) => self.identities.see(doubled, now.elapsed_ms),
            PeerEvent::Verified { batch, valid } => {
                self.mesh.verified(state, now, batch, valid);
            }
        }
    }

    /// The operator names these peers for this run; they are asked for candidates.
    pub fn name_peers(&mut self, named: BTreeSet<Did>) {
        self.named = named;
    }

    /// The protocol state of the links.
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    fn peer_up(
        &mut self,
        now: Now,
        link: LinkId,
        card: KeyCard,
        binding: [u8; 32],
        address: SocketAddr,
    ) {
        let did = card.did;
        if did == self.keypair.did() {
            // A node is no peer of itself.
            return;
        }
        // A full disk refuses the key; the next link brings it again.
        let known = self.state().peer(&did);
        if known.is_none_or(|known| known.card.issued_ms < card.issued_ms) {
            let mutation = Mutation::AddPeer { card, named: false, time_ms: now.wall_ms };
            let _ = self.commit(now, mutation);
        }
        if self.state().peer(&did).is_some_and(|known| known.address != Some(address)) {
            let _ = self.commit(now, Mutation::SetAddress { did, address });
        }
        let named = self.named.contains(&did);
        self.mesh.up(&self.store.state().0, now, link, did, binding, named);
    }

    pub(super) fn tick_mesh<T>(&mut self, now: Now, turn: &mut Turn<T>) {
        let random = self.rng.next();
        self.mesh.tick(&self.store.state().0, now, random);
        self.poll_mesh(now, turn);
    }

    /// Performs the actions of the mesh until it has none left.
    pub(super) fn poll_mesh<T>(&mut self, now: Now, turn: &mut Turn<T>) {
        while let Some(action) = self.mesh.poll(&self.store.state().0, now) {
            let effect = match action {
                Action::Send { link, kind, body } => Effect::Send { link, kind, body },
                Action::Close { link, code, name } => Effect::Close { link, code, name },
                Action::Verify(batch) => {
                    turn.to_verify.push(batch);
                    continue;
                }
                Action::Append { entry, after_gap } => {
                    self.append_remote(now, *entry, after_gap);
                    continue;
                }
                Action::Readmit(entry) => {
                    self.readmit(now, *entry);
                    continue;
                }
                Action::Commit(mutation) => {
                    // A mutation that is refused or has no room is not done; the peers ask again.
                    let _ = self.commit(now, *mutation);
                    continue;
                }
                Action::BeginEpoch => {
                    let _ = self.begin_epoch(now);
                    continue;
                }
            };
            turn.outputs.push(Output { after: self.store.lsn(), effect });
        }
    }

    /// Verifies small batches within the turn, which takes less time than to wake another thread. A larger
    /// batch ends it, since no batch overtakes another.
    pub(super) fn verify_inline<T>(&mut self, now: Now, turn: &mut Turn<T>) {
        for _ in 0..INLINE_BATCHES_MAX {
            let small = |batch: &Batch| batch.entries().len() <= INLINE_ENTRIES_MAX;
            if !turn.to_verify.first().is_some_and(small) {
                return;
            }
            let batch = turn.to_verify.remove(0);
            let valid = Entry::verify_all(batch.entries()).is_ok();
            self.handle_peer_event(now, PeerEvent::Verified { batch, valid });
            self.poll_mesh(now, turn);
        }
    }

    fn append_remote(&mut self, now: Now, entry: Entry, after_gap: bool) {
        let key = LogKey::of(&entry);
        let time_ms = entry.header().time_ms;
        if time_ms > now.latest_ms() + FUTURE_MS_MAX {
            self.mesh.refused(now, key, PauseReason::Future { time_ms });
            return;
        }
        let jumps = after_gap && entry.header().seq > self.state().head(&key).head + 1;
        let admitted = if jumps {
            self.state().admit_after_gap(&entry).map(|()| Relation::Next)
        } else {
            self.state().admit(&entry)
        };
        let received_ms = now.node_ms;
        let mutation = match admitted {
            Ok(Relation::Duplicate) => return self.mesh.duplicate(),
            Ok(_) if jumps => Mutation::AppendAfterGap { entry, received_ms },
            Ok(_) => Mutation::Append { entry, received_ms },
            Err(Reject::NoRoom | Reject::Full { .. }) => {
                return self.mesh.refused(now, key, PauseReason::NoRoom);
            }
            // The log was frozen after the entry was asked for. Nothing is wrong with what is before the fork.
            Err(Reject::Equivocation) => return,
            Err(_) => return self.mesh.refused(now, key, PauseReason::Rules),
        };
        match self.commit(now, mutation) {
            Ok(_) => self.leave_shared_epoch(now, &key),
            Err(failure) if failure.code == codes::EQUIVOCATION.code => {}
            Err(failure) if failure.exit == exit::NO_SPACE => {
                self.mesh.refused(now, key, PauseReason::NoRoom);
            }
            Err(_) => self.mesh.refused(now, key, PauseReason::Rules),
        }
    }

    /// The node's id with an epoch in which no place can be taken: one that this process has begun.
    /// Whatever copy of the node it runs on, it never signs two entries for one place.
    pub(super) fn in_own_epoch(&mut self, now: Now, topic: &TopicId) -> Result<NodeId, Failure> {
        let node = self.node_id()?;
        let key = LogKey { topic: *topic, author: node.did, epoch: node.epoch };
        if self.mesh.must_begin_epoch()
            || self.state().head(&key).proof.is_some()
            || self.is_held_back(now, &key)
        {
            self.begin_epoch(now)?;
        }
        self.node_id()
    }

    /// Whether peers hold the last own entry back, since it was written with a wall clock that was ahead.
    /// What follows it in its epoch would wait, too.
    fn is_held_back(&self, now: Now, key: &LogKey) -> bool {
        let head = self.state().head(key).head;
        let last = self.state().entry_at(key, head);
        last.is_some_and(|last| last.entry.header().time_ms > now.wall_ms + FUTURE_MS_MAX)
    }

    /// Begins a new epoch if a peer sent an own entry of the present one that this process did not write. Another
    /// process writes in it, and the next entry here could fork it.
    fn leave_shared_epoch(&mut self, now: Now, key: &LogKey) {
        let is_present = self.state().node().is_some_and(|node| {
            (node.did, node.epoch) == (key.author, key.epoch) && !self.mesh.must_begin_epoch()
        });
        if is_present {
            self.forks.shared(now, key);
            // Without room for the record, the next entry begins it, or a proof does.
            let _ = self.begin_epoch(now);
        }
    }

    fn begin_epoch(&mut self, now: Now) -> Result<(), Failure> {
        let random = self.rng.next();
        let epoch = self.state().new_epoch(random, now);
        self.commit(now, Mutation::BeginEpoch(epoch)).map(drop)
    }
}
