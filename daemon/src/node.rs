//! The whole node without the world: requests in, effects out.
//!
//! Invariant: no clock, socket, thread or file is touched here but through the store's disk.
//! Invariant: every effect carries the LSN it must wait for, and the shell has one door through
//! which effects leave; nothing that is not durable is ever seen outside.

mod consumers;
mod diff;
pub mod guard;
mod import;
pub mod machine;
mod network;
mod notifications;
mod query;
#[cfg(test)]
pub(crate) mod simulated;
mod snapshots;
mod topics;
pub mod work;

use network::Matter;
pub use network::PeerEvent;
use notifications::Noted;
pub use notifications::{Arrived, News};
pub(crate) use query::{EntryFields, describe_plan, describe_topic};
pub use query::{ask, describe_digest, describe_identity, describe_snapshot, describe_snapshots};
pub use snapshots::Draft;
use snapshots::{SAVES_MAX, SCRUB_MS};

use bytes::Bytes;
use icn_gossip::mesh::{Batch, LinkId, Mesh};
use icn_gossip::{Did, KeyCard, Keypair, Mutation, NodeId, Outcome, Provenance, Reject, State};
use icn_snapshot::{Policy, Recovery, SnapshotId, Store};
use icn_wal::disk::Disk;
use serde_json::json;

use crate::control::request::{Reply, Request};
use crate::failure::{Failure, exit};
use crate::node::guard::Guard;
use crate::node::machine::Machine;
use crate::node::work::Work;

/// The random numbers a node needs; given from outside so that a simulation can repeat them.
pub trait Chance: Send {
    /// The next number nobody can predict.
    fn next(&mut self) -> u64;
}

/// Something that is to happen outside, once everything up to `after` is durable.
#[derive(Debug)]
pub struct Output<T> {
    /// The last LSN whose durability it depends on, 0 for none.
    pub after: u64,
    /// What is to happen.
    pub effect: Effect<T>,
}

/// What can happen outside. `T` is whatever the shell needs to find the asker again.
#[derive(Debug)]
pub enum Effect<T> {
    /// Somebody gets an answer.
    Reply(T, Reply),
    /// A snapshot is to be written, off this thread; whoever asked for it, if anybody did, is to
    /// be told.
    Save(Box<Draft>, Option<T>),
    /// A frame goes to a peer.
    Send {
        /// Over which link.
        link: LinkId,
        /// The kind of the frame.
        kind: u8,
        /// Its body.
        body: Bytes,
    },
    /// A link is to be closed.
    Close {
        /// Which.
        link: LinkId,
        /// The code of the connection's end.
        code: u32,
        /// Why, in a word.
        name: &'static str,
    },
    /// Signatures are to be checked, off this thread; [`PeerEvent::Verified`] tells the outcome. It
    /// waits for nothing.
    Verify(Batch),
    /// Something that takes long is to be done, off this thread, and its outcome told to whoever asked,
    /// if anybody did.
    Work(Work, Option<T>),
}

/// A node on a disk.
pub struct Node<D: Disk> {
    store: Store<Machine, D>,
    keypair: Keypair,
    card: KeyCard,
    chance: Box<dyn Chance>,
    recovery: Recovery,
    saves: u32,
    /// When a snapshot that has failed is tried again.
    retry_ms: Option<u64>,
    /// The snapshot that was read over last, and when the next one is.
    scrubbed: Option<SnapshotId>,
    scrub_ms: u64,
    guard: Guard,
    mesh: Mesh,
    noted: Noted,
}

/// Who a node is and where it belongs.
pub struct Identity {
    /// Its signing key.
    pub keypair: Keypair,
    /// Its X25519 key, vouched for.
    pub card: KeyCard,
    /// Its network.
    pub network: [u8; 32],
}

impl<D: Disk> Node<D> {
    /// Recovers the node on `disk`, a new one if there is none.
    ///
    /// # Errors
    /// Those of [`Store::open`]; `ICN-E0102` when the store belongs to another identity or network.
    pub fn open(
        disk: &D,
        policy: Policy,
        identity: Identity,
        chance: Box<dyn Chance>,
        now_ms: u64,
    ) -> Result<Self, Failure> {
        Self::open_watched(disk, policy, identity, chance, now_ms, |_| {})
    }

    /// As [`open`](Self::open); `watch` is told now and then how many records have been replayed.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn open_watched(
        disk: &D,
        policy: Policy,
        identity: Identity,
        mut chance: Box<dyn Chance>,
        now_ms: u64,
        watch: impl FnMut(u64),
    ) -> Result<Self, Failure> {
        let (mut store, recovery) = Store::<Machine, D>::open_watched(disk, policy, watch)?;
        let guard = Guard::new(&recovery.weaker);
        let Identity { keypair, card, network } = identity;
        let epoch = chance.next();
        let ours = store.state().0.node();
        let did = keypair.did();
        if ours.is_none() {
            let (lsn, _) = store.commit(now_ms, Mutation::Init { did, network, epoch })?;
            store.wal().wait(lsn)?;
        } else if ours.is_some_and(|node| node.did != did || node.network != network) {
            return Err(Failure::new(
                "ICN-E0102",
                exit::WRONG_KEY,
                "The key file does not belong to the data beside it.",
                "Nothing was changed. Put the key file of this node back, or choose another \
                 --data-dir.",
            ));
        }
        let mut mesh = Mesh::new();
        if ours.is_none() {
            mesh.epoch_begun();
        }
        mesh.set_closed(&store.state().0, now_ms, guard.closed().clone());
        Ok(Self {
            store,
            keypair,
            card,
            chance,
            recovery,
            saves: 0,
            retry_ms: None,
            scrubbed: None,
            scrub_ms: now_ms + SCRUB_MS,
            guard,
            mesh,
            noted: Noted::default(),
        })
    }

    /// One turn: everything that has come in at one moment, what the peers did first.
    pub fn step<T>(
        &mut self,
        now_ms: u64,
        events: Vec<PeerEvent>,
        requests: Vec<(T, Request)>,
    ) -> Vec<Output<T>> {
        let mut outputs = Vec::with_capacity(requests.len());
        events.into_iter().for_each(|event| self.hear(now_ms, event));
        for (asker, request) in requests {
            let effect = self.handle(now_ms, request, asker);
            // Also a refusal and an answer to a question tell what the state was: they wait for it.
            outputs.push(Output { after: self.store.lsn(), effect });
        }
        self.work_mesh(now_ms, &mut outputs);
        outputs
    }

    /// What time alone asks for: entries that are to be let go, a snapshot that is due.
    pub fn tick<T>(&mut self, now_ms: u64) -> Vec<Output<T>> {
        let state = self.state();
        let due: Vec<_> =
            state.topics().filter_map(|(id, _)| Some((*id, state.prunable(id, now_ms)?))).collect();
        for (topic, through) in due {
            // Without room for the record the entries stay until there is some.
            if self.commit(now_ms, Mutation::Prune { topic, through }).is_ok() {
                self.noted.prune(topic);
            }
        }
        let mut outputs = self.tick_mesh(now_ms);
        let due = || self.store.snapshot_due(now_ms);
        if self.saves == 0
            && self.retry_ms.map_or_else(due, |retry_ms| retry_ms <= now_ms)
            && let Some(draft) = self.draft(now_ms)
        {
            self.saves += 1;
            let effect = Effect::Save(draft, None);
            outputs.push(Output { after: self.store.lsn(), effect });
            return outputs;
        }
        if self.scrub_ms <= now_ms
            && let Some(id) = self.next_to_scrub()
        {
            self.scrub_ms = now_ms + SCRUB_MS;
            self.scrubbed = Some(id);
            let effect = Effect::Work(Work::Verify(id), None);
            outputs.push(Output { after: self.store.lsn(), effect });
            return outputs;
        }
        outputs
    }

    /// The state as it is now, durable or not.
    pub fn state(&self) -> &State {
        &self.store.state().0
    }

    /// The store, for the threads that wait, write snapshots and answer what the state cannot.
    pub fn store(&self) -> &Store<Machine, D> {
        &self.store
    }

    /// What the recovered state lacks of what it should have.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Who the node is.
    pub fn did(&self) -> Did {
        self.keypair.did()
    }

    /// What the start found.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Seals the log.
    ///
    /// # Errors
    /// Those of [`Store::close`].
    pub fn close(self) -> Result<(), Failure> {
        Ok(self.store.close()?)
    }

    fn handle<T>(&mut self, now_ms: u64, request: Request, asker: T) -> Effect<T> {
        if let Err(failure) = self.guard.check(self.state(), &request) {
            return Effect::Reply(asker, Err(failure));
        }
        let reply = match request {
            Request::SnapshotCreate { .. } if self.saves >= SAVES_MAX => Err(Failure::new(
                "ICN-E0215",
                exit::FAILED,
                "A snapshot is being written, and another is waiting.",
                "Try again in a moment.",
            )),
            Request::SnapshotCreate { pin, labels } => {
                match self.snapshot_create(now_ms, pin, &labels) {
                    Ok(draft) => return Effect::Save(draft, Some(asker)),
                    Err(failure) => Err(failure),
                }
            }
            Request::SnapshotVerify { .. }
            | Request::SnapshotDelete { .. }
            | Request::SnapshotPin { .. }
            | Request::SnapshotPrune { .. }
            | Request::SnapshotDiff { .. }
            | Request::SnapshotPreview { .. }
            | Request::SnapshotRestore { .. }
            | Request::SnapshotImport { .. }
            | Request::Digest { .. } => match self.work(now_ms, request) {
                Ok(work) => return Effect::Work(work, Some(asker)),
                Err(failure) => Err(failure),
            },
            Request::Publish { topic, text, base64 } => {
                self.publish(now_ms, &topic, text, base64.as_deref())
            }
            Request::TopicCreate { .. } => self.topic_create(now_ms, request),
            Request::TopicDelete { topic } => self.topic_delete(now_ms, &topic),
            Request::Subscribe { topic } => self.subscribe(now_ms, topic),
            Request::Unsubscribe { topic } => {
                let by = Provenance::Local;
                self.commit(now_ms, Mutation::Unsubscribe { topic, by }).map(|(lsn, outcome)| {
                    json!({ "lsn": lsn, "was_subscribed": outcome == Outcome::Done })
                })
            }
            Request::Follow { topic, cursor, after } => self.follow(now_ms, topic, cursor, after),
            Request::CursorMove { topic, cursor, arrival } => {
                self.cursor_move(now_ms, &topic, cursor, arrival)
            }
            Request::CursorDelete { topic, cursor } => self.cursor_delete(now_ms, &topic, cursor),
            Request::PeerAdd { card } => self.peer_add(now_ms, &card),
            Request::PeerRemove { did } => self.peer_remove(now_ms, &did),
            question => self.answer(&question),
        };
        Effect::Reply(asker, reply)
    }

    fn commit(&mut self, now_ms: u64, mutation: Mutation) -> Result<(u64, Outcome), Failure> {
        let (matter, topic) = (Matter::of(&mutation), Noted::topic_of(&mutation));
        let (lsn, outcome) = self.store.commit(now_ms, mutation)?;
        self.tell_mesh(now_ms, matter, &outcome);
        self.noted.note(topic, &outcome);
        match outcome {
            Outcome::Rejected(reject) => Err(reject.into()),
            outcome => Ok((lsn.get(), outcome)),
        }
    }

    fn node_id(&self) -> Result<NodeId, Failure> {
        Ok(self.state().node().ok_or(Reject::Identity)?)
    }

    fn subscribe(&mut self, now_ms: u64, topic: String) -> Reply {
        let (by, time_ms) = (Provenance::Local, now_ms);
        let (lsn, outcome) = self.commit(now_ms, Mutation::Subscribe { topic, by, time_ms })?;
        let pending = outcome == Outcome::Subscribed { pending: true };
        Ok(json!({ "lsn": lsn, "pending": pending, "already": outcome == Outcome::Duplicate }))
    }

    fn peer_add(&mut self, now_ms: u64, card: &str) -> Reply {
        let card: KeyCard = card.parse().map_err(|error: icn_gossip::BadCard| {
            Failure::new("ICN-E0320", exit::FAILED, error.to_string(), "")
        })?;
        let did = card.did;
        if did == self.keypair.did() {
            let message = "This is the card of this node itself.";
            return Err(Failure::new("ICN-E0321", exit::REFUSED, message, ""));
        }
        let (lsn, outcome) = self.commit(now_ms, Mutation::AddPeer { card, time_ms: now_ms })?;
        let already = outcome == Outcome::Duplicate;
        Ok(json!({ "lsn": lsn, "did": did.to_string(), "already": already }))
    }

    fn peer_remove(&mut self, now_ms: u64, did: &str) -> Reply {
        let did: Did = did.parse().map_err(|error| bad_did(did, &error))?;
        let (lsn, outcome) = self.commit(now_ms, Mutation::RemovePeer(did))?;
        let connected = self.mesh.links().any(|(_, link)| link.peer == did);
        let was_known = outcome == Outcome::Done;
        Ok(json!({ "lsn": lsn, "was_known": was_known, "connected": connected }))
    }
}

fn bad_did(text: &str, error: &icn_gossip::DidError) -> Failure {
    Failure::new("ICN-E0322", exit::USAGE, format!("{text:?} is no DID."), error.to_string())
}
