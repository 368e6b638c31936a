//! The node without the world: inputs in, outputs out.
//!
//! Invariant: time and randomness are arguments; the only I/O is that of the store's disk.
//! Invariant: every effect carries the LSN it waits for. It leaves through the release gate of the shell
//! alone, once that LSN is durable.

pub mod checks;
mod clock;
mod commit;
mod consumers;
pub mod describe;
mod diff;
mod forks;
pub mod guard;
mod identities;
mod import;
mod join;
pub mod machine;
mod network;
mod notifications;
mod peer_event;
mod query;
mod refetch;
#[cfg(test)]
pub(crate) mod simulated;
mod snapshots;
mod time;
mod topics;
mod turn;
pub mod work;

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use checks::Lists;
use clock::{LastRun, NodeClock};
use forks::Forks;
use identities::Identities;
use notifications::PendingNotifications;
pub use notifications::{Notifications, TopicDelivery};
pub use peer_event::PeerEvent;
pub use query::ask;
pub use snapshots::Draft;
use snapshots::{NewestSnapshot, SCRUB_MS};
pub use turn::{Effect, Inputs, Output, Turn};

use icn_gossip::mesh::Mesh;
use icn_gossip::{
    BootId, Did, KeyCard, Keypair, Mutation, NodeId, Now, Outcome, Provenance, Reject, State,
};
use icn_snapshot::{Policy, Recovery, SnapshotId, Store};
use icn_wal::disk::Disk;

use self::guard::Guard;
use self::machine::Machine;
use self::work::Work;
use crate::control::codes;
use crate::control::reply::{PeerAdded, PeerRemoved, Reply, Subscribed, Unsubscribed};
use crate::control::request::Request;
use crate::failure::{Failure, sentence};
use crate::files::Budget;
use crate::limits::SAVES_MAX;
use crate::output::LineCounts;

/// The random numbers of a node; an argument, so that a simulation can repeat them.
pub trait Rng: Send {
    /// The next number; unpredictable outside a simulation.
    fn next(&mut self) -> u64;
}

/// A node and its store.
pub struct Node<D: Disk> {
    store: Store<Machine, D>,
    keypair: Keypair,
    card: KeyCard,
    rng: Box<dyn Rng>,
    recovery: Recovery,
    saves: u32,
    /// When a failed snapshot is tried again, and why it failed.
    retry_ms: Option<u64>,
    save_failure: Option<String>,
    newest: NewestSnapshot,
    /// The snapshot that was scrubbed last, and when the next scrub is due.
    scrubbed: Option<SnapshotId>,
    scrub_ms: u64,
    guard: Guard,
    lists: Lists,
    budget: Option<Budget>,
    identities: Identities,
    mesh: Mesh,
    clock: NodeClock,
    /// The machine's clocks in this turn.
    machine: Now,
    /// The peers that the operator named for this run.
    named: BTreeSet<Did>,
    pending: PendingNotifications,
    log_lines: LineCounts,
    forks: Forks,
}

/// The identity of a node and its network.
pub struct Identity {
    /// The signing key.
    pub keypair: Keypair,
    /// The X25519 key, signed by the identity.
    pub card: KeyCard,
    /// The id of the network.
    pub network: [u8; 32],
}

impl<D: Disk> Node<D> {
    /// Recovers the node on `disk`; creates one if the disk is empty. In one `boot` of the machine, the time
    /// between two runs is known without a wall clock; `None` if the boot is unknown.
    ///
    /// # Errors
    /// Those of [`Store::open`]; `ICN-E0102` when the store belongs to another identity or network.
    pub fn open(
        disk: &D,
        policy: Policy,
        identity: Identity,
        rng: Box<dyn Rng>,
        now: Now,
        boot: Option<BootId>,
    ) -> Result<Self, Failure> {
        Self::open_watched(disk, policy, identity, rng, now, boot, |_| ControlFlow::Continue(()))
    }

    /// As [`open`](Self::open); calls `watch` now and then with the number of replayed records. When it breaks
    /// off, nothing on the disk has changed.
    ///
    /// # Errors
    /// Those of [`open`](Self::open); `ICN-E0207` when `watch` broke off.
    pub fn open_watched(
        disk: &D,
        policy: Policy,
        identity: Identity,
        mut rng: Box<dyn Rng>,
        now: Now,
        boot: Option<BootId>,
        watch: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Self, Failure> {
        let (mut store, recovery) = Store::<Machine, D>::open_watched(disk, policy, watch)?;
        let guard = Guard::new(&recovery.weaker);
        let Identity { keypair, card, network } = identity;
        let epoch = rng.next();
        let state = &store.state().0;
        let ours = state.node();
        let did = keypair.did();
        let last = LastRun {
            stamp: state.clock(),
            received_ms: state.last_received_ms(),
            lsn: store.lsn(),
            ran_ms: store.compactor().ran_ms(),
        };
        let mut clock = NodeClock::start(now, boot, last);
        if ours.is_none() {
            let init = Mutation::Init { did, network, epoch, clock: Some(clock.stamp(now)) };
            let (lsn, _) = store.commit(now.wall_ms, init)?;
            store.wal().wait(lsn)?;
            clock.stamped(now, lsn.get());
        } else if ours.is_some_and(|node| node.did != did || node.network != network) {
            return Err(Failure::new(
                codes::WRONG_KEY,
                "The key file or the network does not belong to the data in the directory.",
            ));
        }
        let mut mesh = Mesh::new();
        if ours.is_none() {
            mesh.epoch_begun();
        }
        mesh.set_closed(guard.closed().clone());
        let newest = NewestSnapshot::new(policy.due.age_ms, &store.compactor().list(), now);
        let lists = Lists::of(&store.state().0, now);
        let forks = Forks::of(&store.state().0, now);
        Ok(Self {
            store,
            keypair,
            card,
            rng,
            recovery,
            saves: 0,
            retry_ms: None,
            save_failure: None,
            newest,
            scrubbed: None,
            scrub_ms: now.elapsed_ms + SCRUB_MS,
            guard,
            lists,
            budget: None,
            identities: Identities::default(),
            mesh,
            clock,
            machine: now,
            named: BTreeSet::new(),
            pending: PendingNotifications::default(),
            log_lines: LineCounts::default(),
            forks,
        })
    }

    /// One turn at this reading of the machine's clocks: peer events, then requests, then what is due by
    /// time.
    pub fn step<T>(&mut self, machine: Now, inputs: Inputs<T>) -> Turn<T> {
        let Inputs { events, requests, tick, verify_inline } = inputs;
        self.machine = machine;
        if tick {
            self.clock.observe(machine);
        }
        let now = self.clock.read(machine);
        let mut turn = Turn::new();
        events.into_iter().for_each(|event| self.handle_peer_event(now, event));
        for (caller, request) in requests {
            let effect = self.handle(now, request, caller);
            // A refusal and a query reply show the state, so they wait for it as well.
            turn.outputs.push(Output { after: self.store.lsn(), effect });
        }
        self.poll_mesh(now, &mut turn);
        if verify_inline {
            self.verify_inline(now, &mut turn);
        }
        if tick {
            self.stamp_clock_if_due(now);
            self.tick(now, &mut turn);
        }
        turn.notifications = self.pending.take(&self.store.state().0, self.store.lsn());
        turn
    }

    /// Does what is due by time: pruning, gossip, a snapshot, a scrub.
    fn tick<T>(&mut self, now: Now, turn: &mut Turn<T>) {
        let state = self.state();
        // While the wall clock is in doubt, nothing expires by age; bytes and counts go on.
        let age_ms = if self.clock.doubt().is_some() { 0 } else { now.node_ms };
        let due: Vec<_> =
            state.topics().filter_map(|(id, _)| Some((*id, state.prunable(id, age_ms)?))).collect();
        for (topic, through) in due {
            // A full disk refuses the record; then the entries stay until there is room.
            if self.commit(now, Mutation::Prune { topic, through }).is_ok() {
                self.pending.entries_pruned(topic);
            }
        }
        self.publish_again(now);
        self.tick_mesh(now, turn);
        self.lists.measure(&self.store.state().0, self.machine);
        self.identities.forget(self.machine.elapsed_ms);
        self.newest.see(&self.store.compactor().list(), self.machine);
        let is_due = self.store.snapshot_due(self.clock.log_ms(now), now.elapsed_ms);
        let effect = if self.saves == 0
            && self.retry_ms.map_or(is_due, |retry_ms| retry_ms <= now.elapsed_ms)
            && let Some(draft) = self.draft(now)
        {
            self.saves += 1;
            Effect::Save(draft, None)
        } else if self.scrub_ms <= now.elapsed_ms
            && let Some(id) = self.next_to_scrub()
        {
            self.scrub_ms = now.elapsed_ms + SCRUB_MS;
            self.scrubbed = Some(id);
            Effect::Work(Work::Verify(id), None)
        } else {
            return;
        };
        turn.outputs.push(Output { after: self.store.lsn(), effect });
    }

    /// The present state, which may be ahead of what is durable.
    pub fn state(&self) -> &State {
        &self.store.state().0
    }

    /// The store: its log for threads that wait, its compactor for the worker.
    pub fn store(&self) -> &Store<Machine, D> {
        &self.store
    }

    /// The findings of the state guard.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// The DID of the node.
    pub fn did(&self) -> Did {
        self.keypair.did()
    }

    /// What recovery found.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Seals the log and closes the store.
    ///
    /// # Errors
    /// Those of [`Store::close`].
    pub fn close(self) -> Result<(), Failure> {
        Ok(self.store.close()?)
    }

    fn handle<T>(&mut self, now: Now, request: Request, asker: T) -> Effect<T> {
        if let Err(failure) = self.guard.check(self.state(), &request) {
            return Effect::Reply(asker, Err(failure));
        }
        let reply = match request {
            Request::SnapshotCreate { .. } if self.saves >= SAVES_MAX => Err(Failure::new(
                codes::SNAPSHOTS_BUSY,
                "A snapshot is being written, and another is waiting.",
            )),
            Request::SnapshotCreate { pin, labels } => {
                match self.snapshot_create(now, pin, &labels) {
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
            | Request::Digest { .. } => match self.work(now, request) {
                Ok(work) => return Effect::Work(work, Some(asker)),
                Err(failure) => Err(failure),
            },
            Request::TopicJoin { topic, creator } => {
                self.topic_join(now, &topic, creator.as_deref())
            }
            Request::TopicRefetch { topic, since, again } => {
                self.topic_refetch(now, &topic, since, again)
            }
            Request::TopicCandidates { name, search } => self.topic_candidates(now, name, search),
            Request::Publish { topic, text, base64, describe } => {
                self.publish(now, &topic, text, base64.as_deref(), describe)
            }
            Request::TopicCreate { .. } => self.topic_create(now, request),
            Request::TopicDelete { topic } => self.topic_delete(now, &topic),
            Request::Subscribe { topic } => self.subscribe(now, topic),
            Request::Unsubscribe { topic } => {
                let ended = self.unsubscribe(now, &topic);
                ended.map(|(lsn, was_subscribed)| Unsubscribed { lsn, was_subscribed }.into())
            }
            Request::Follow { topic, cursor, after } => self.follow(now, topic, cursor, after),
            Request::CursorMove { topic, cursor, arrival } => {
                self.cursor_move(now, &topic, cursor, arrival)
            }
            Request::CursorDelete { topic, cursor } => self.cursor_delete(now, &topic, cursor),
            Request::ClockConfirm => self.clock_confirm(now),
            Request::PeerAdd { card } => self.peer_add(now, &card),
            Request::PeerRemove { did } => self.peer_remove(now, &did),
            question => self.answer(&question),
        };
        Effect::Reply(asker, reply)
    }

    fn node_id(&self) -> Result<NodeId, Failure> {
        Ok(self.state().node().ok_or(Reject::Identity)?)
    }

    fn subscribe(&mut self, now: Now, topic: String) -> Reply {
        let by = Provenance::Local;
        let time_ms = now.wall_ms;
        let name = topic.clone();
        let already = self.is_subscribed(&topic)?;
        if !already {
            self.commit(now, Mutation::Subscribe { topic, by, time_ms })?;
        }
        let lsn = self.store.lsn();
        let id = self.state().resolve(&name).ok();
        let topic = id.and_then(|id| describe::brief(self.state(), &id));
        Ok(Subscribed { lsn, pending: topic.is_none(), already, name, topic }.into())
    }

    fn peer_add(&mut self, now: Now, card: &str) -> Reply {
        let card: KeyCard = card.parse().map_err(|error: icn_gossip::BadCard| {
            Failure::new(codes::BAD_CARD, sentence(&error.to_string()))
        })?;
        let did = card.did;
        if did == self.keypair.did() {
            let message = "This is the card of this node itself.";
            return Err(Failure::new(codes::OWN_CARD, message));
        }
        let mutation = Mutation::AddPeer { card, named: true, time_ms: now.wall_ms };
        let (lsn, outcome) = self.commit(now, mutation)?;
        let already = outcome == Outcome::Duplicate;
        Ok(PeerAdded { lsn, did: did.to_string(), already }.into())
    }

    fn peer_remove(&mut self, now: Now, did: &str) -> Reply {
        let did: Did = did.parse().map_err(|error| bad_did(did, &error))?;
        let (lsn, outcome) = self.commit(now, Mutation::RemovePeer(did))?;
        let connected = self.mesh.links().any(|(_, link)| link.peer == did);
        let was_known = outcome == Outcome::Done;
        Ok(PeerRemoved { lsn, was_known, connected }.into())
    }
}

fn bad_did(text: &str, error: &icn_gossip::DidError) -> Failure {
    Failure::new(codes::BAD_DID, format!("{text:?} is not a DID: {error}."))
}
