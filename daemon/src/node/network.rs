//! What a node does with its peers.

use std::net::SocketAddr;

use bytes::Bytes;
use icn_gossip::limits::FUTURE_MS_MAX;
use icn_gossip::mesh::{Action, Batch, LinkId, Mesh, Refusal};
use icn_gossip::{
    Entry, KeyCard, LogKey, Mutation, NodeId, Outcome, Provenance, Reject, TopicId, Verdict,
};
use icn_wal::disk::Disk;

use super::{Effect, Node, Output};
use crate::failure::{Failure, exit};

/// What happens on the links to peers.
#[derive(Debug)]
pub enum PeerEvent {
    /// A peer is there, and is who it says.
    Up {
        /// What the link is called.
        link: LinkId,
        /// Its X25519 key, under its identity.
        card: KeyCard,
        /// What the two ends of the session have in common, and nobody else.
        binding: [u8; 32],
        /// Where it was reached.
        address: SocketAddr,
    },
    /// A frame has come.
    Frame {
        /// Over which link.
        link: LinkId,
        /// Its kind.
        kind: u8,
        /// Its body.
        body: Bytes,
    },
    /// Frames were handed to the network.
    Sent {
        /// Over which link.
        link: LinkId,
        /// How many bytes of them.
        bytes: usize,
    },
    /// A link has gone.
    Down {
        /// Which.
        link: LinkId,
    },
    /// The signatures of [`Effect::Verify`] were checked.
    Verified {
        /// What was checked.
        batch: Batch,
        /// Whether all of them match.
        valid: bool,
    },
}

/// What a mutation is to the peers.
pub(super) enum Matter {
    Log(LogKey),
    Proof(LogKey),
    Topics,
    Interests,
    Epoch,
    Nothing,
}

impl Matter {
    pub(super) fn of(mutation: &Mutation) -> Self {
        match mutation {
            Mutation::Append { entry, .. } | Mutation::AppendAfterGap { entry, .. } => {
                Self::Log(LogKey::of(entry))
            }
            Mutation::Freeze(entries) => Self::Proof(LogKey::of(&entries.0)),
            Mutation::CreateTopic(_) | Mutation::DeleteTopic(_) => Self::Topics,
            Mutation::Subscribe { by: Provenance::Local, .. }
            | Mutation::Unsubscribe { by: Provenance::Local, .. } => Self::Interests,
            Mutation::BeginEpoch(_) => Self::Epoch,
            _ => Self::Nothing,
        }
    }
}

impl<D: Disk> Node<D> {
    /// Something has happened on a link.
    pub(super) fn hear(&mut self, now_ms: u64, event: PeerEvent) {
        let state = &self.store.state().0;
        match event {
            PeerEvent::Up { link, card, binding, address } => {
                self.meet(now_ms, link, card, binding, address);
            }
            PeerEvent::Frame { link, kind, body } => {
                self.mesh.receive(state, now_ms, link, kind, &body);
            }
            PeerEvent::Sent { link, bytes } => self.mesh.sent(link, bytes),
            PeerEvent::Down { link } => self.mesh.down(state, now_ms, link),
            PeerEvent::Verified { batch, valid } => {
                self.mesh.verified(state, now_ms, batch, valid);
            }
        }
    }

    /// How the links do.
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    fn meet(
        &mut self,
        now_ms: u64,
        link: LinkId,
        card: KeyCard,
        binding: [u8; 32],
        address: SocketAddr,
    ) {
        let did = card.did;
        if did == self.keypair.did() {
            // Whoever let it in: a node is no peer of itself.
            return;
        }
        // Without room for it the key is learned at the next meeting.
        let known = self.state().peer(&did);
        if known.is_none_or(|known| known.card.issued_ms < card.issued_ms) {
            let _ = self.commit(now_ms, Mutation::AddPeer { card, time_ms: now_ms });
        }
        if self.state().peer(&did).is_some_and(|known| known.address != Some(address)) {
            let _ = self.commit(now_ms, Mutation::SetAddress { did, address });
        }
        self.mesh.up(&self.store.state().0, now_ms, link, did, binding);
    }

    pub(super) fn tick_mesh<T>(&mut self, now_ms: u64) -> Vec<Output<T>> {
        let mut outputs = Vec::new();
        let chance = self.chance.next();
        self.mesh.tick(&self.store.state().0, now_ms, chance);
        self.work_mesh(now_ms, &mut outputs);
        outputs
    }

    pub(super) fn tell_mesh(&mut self, now_ms: u64, matter: Matter, outcome: &Outcome) {
        let state = &self.store.state().0;
        match (matter, outcome) {
            (Matter::Log(key), Outcome::Appended { .. }) => self.mesh.appended(state, key),
            (Matter::Log(key), Outcome::Rejected(Reject::Equivocation))
            | (Matter::Proof(key), Outcome::Done) => self.mesh.frozen(state, now_ms, key),
            (Matter::Topics, Outcome::TopicCreated(_) | Outcome::Done) => {
                self.mesh.topics_changed(state, now_ms);
            }
            (Matter::Interests, Outcome::Subscribed { .. } | Outcome::Done) => {
                self.mesh.interests_changed(state, now_ms);
            }
            (Matter::Epoch, Outcome::Done) => self.mesh.epoch_begun(),
            _ => {}
        }
    }

    /// Does what the mesh wants done until it wants nothing more.
    pub(super) fn work_mesh<T>(&mut self, now_ms: u64, outputs: &mut Vec<Output<T>>) {
        while let Some(action) = self.mesh.poll(&self.store.state().0, now_ms) {
            let effect = match action {
                Action::Send { link, kind, body } => Effect::Send { link, kind, body },
                Action::Close { link, code, name } => Effect::Close { link, code, name },
                Action::Verify(batch) => {
                    outputs.push(Output { after: 0, effect: Effect::Verify(batch) });
                    continue;
                }
                Action::Take { entry, after_gap } => {
                    self.take(now_ms, *entry, after_gap);
                    continue;
                }
                Action::Commit(mutation) => {
                    // What the rules refuse or what has no room is not done; the peers ask again.
                    let _ = self.commit(now_ms, *mutation);
                    continue;
                }
                Action::BeginEpoch => {
                    let _ = self.begin_epoch(now_ms);
                    continue;
                }
            };
            outputs.push(Output { after: self.store.lsn(), effect });
        }
    }

    fn take(&mut self, now_ms: u64, entry: Entry, after_gap: bool) {
        let key = LogKey::of(&entry);
        let time_ms = entry.header().time_ms;
        if time_ms > now_ms + FUTURE_MS_MAX {
            self.mesh.refused(now_ms, key, Refusal::Future { time_ms });
            return;
        }
        let jumps = after_gap && entry.header().seq > self.state().head(&key).head + 1;
        let admitted = if jumps {
            self.state().admit_after_gap(&entry).map(|()| Verdict::Next)
        } else {
            self.state().admit(&entry)
        };
        let received_ms = now_ms;
        let mutation = match admitted {
            Ok(Verdict::Duplicate) => return self.mesh.duplicate(),
            Ok(_) if jumps => Mutation::AppendAfterGap { entry, received_ms },
            Ok(_) => Mutation::Append { entry, received_ms },
            Err(Reject::Full { .. }) => return self.mesh.refused(now_ms, key, Refusal::NoRoom),
            Err(_) => return self.mesh.refused(now_ms, key, Refusal::Rules),
        };
        match self.commit(now_ms, mutation) {
            Ok(_) => {}
            Err(failure) if failure.exit == exit::NO_SPACE => {
                self.mesh.refused(now_ms, key, Refusal::NoRoom);
            }
            Err(_) => self.mesh.refused(now_ms, key, Refusal::Rules),
        }
    }

    /// The node's id with an epoch in which no place can be taken: one that this process has begun.
    /// Whatever copy of the node it runs on, it never signs two entries for one place.
    pub(super) fn in_own_epoch(&mut self, now_ms: u64, topic: &TopicId) -> Result<NodeId, Failure> {
        let node = self.node_id()?;
        let key = LogKey { topic: *topic, author: node.did, epoch: node.epoch };
        if self.mesh.must_begin_epoch() || self.state().head(&key).proof.is_some() {
            self.begin_epoch(now_ms)?;
        }
        self.node_id()
    }

    fn begin_epoch(&mut self, now_ms: u64) -> Result<(), Failure> {
        let epoch = self.chance.next();
        self.commit(now_ms, Mutation::BeginEpoch(epoch)).map(drop)
    }
}
