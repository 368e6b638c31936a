//! The protocol between nodes, as a value: events in, actions out. A "log" here is an author log.
//!
//! A *want* is a cursor at the server. Entries after it are sent as fast as the link accepts them, and
//! new entries as soon as they are durable. Catching up and following are therefore one mechanism, and a
//! slow peer costs only its cursors. Each log has one source at a time, preferably its author.
//! `docs/PROTOCOL.md` describes the protocol.
//!
//! Nothing in this module is durable: the state and the peers' messages rebuild all of it. Time and
//! randomness are arguments.

mod accept;
mod action;
mod candidates;
mod clock;
mod codec;
mod counter;
mod digest;
mod fetch;
mod find;
mod fork;
mod fork_notices;
mod held;
mod held_reports;
mod join;
mod link;
mod message;
mod primitives;
mod refetch;
mod serve;
mod share;
mod tag;
mod time;
mod view;
mod want;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use crate::did::Did;
use crate::log::LogKey;
use crate::mutation::Mutation;
use crate::now::Now;
use crate::state::State;
use crate::topic::{Genesis, TopicId};
use action::Purpose;
use candidates::Candidates;
use link::{Link, Pause};
use refetch::Refetch;

pub use action::{Action, Batch, LinkError, PauseReason};
pub use candidates::Candidate;
pub use counter::Counter;
pub use digest::Digests;
pub use held::HeldBack;
pub use message::{Ask, Head, Interest, Message, StopReason, Want, WireEntry};
pub use refetch::{RefetchEnd, RefetchProgress, TooManyRefetches};
pub use tag::{Root, Tag};
pub use view::LinkView;

/// Identifies a link; unique for the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// All links, and the source of each wanted log.
#[derive(Default)]
pub struct Mesh {
    links: BTreeMap<LinkId, Link>,
    /// The link over which each log is received.
    sources: BTreeMap<LogKey, LinkId>,
    /// Entries of each log that were received and neither appended nor refused yet. While there are any,
    /// the position to continue from is unknown.
    pending: BTreeMap<LogKey, usize>,
    /// Logs that are not received for a while.
    paused: BTreeMap<LogKey, Pause>,
    /// Logs whose known copies begin after a gap, with the time until which peers may announce a complete
    /// one.
    gaps: BTreeMap<LogKey, u64>,
    /// The topics that the operator subscribes to.
    wanted: BTreeSet<TopicId>,
    /// Topics that are neither served nor received.
    closed: BTreeSet<TopicId>,
    /// What peers offer under searched names.
    candidates: Candidates,
    refetches: BTreeMap<TopicId, Refetch>,
    /// The handle of the next FETCH on any link.
    next_fetch: u64,
    /// This process began the epoch, so no other process has used a position in it.
    epoch_is_fresh: bool,
    /// What has changed since the links were last brought up to date.
    changed: Option<Changed>,
    /// Links that may have a message to send.
    awake: BTreeSet<LinkId>,
    steps: VecDeque<Step>,
    round_ms: u64,
    round: usize,
    ticked_ms: u64,
    /// The last reading of the clocks: the wall clock, the node's clock, by which ages count, and the
    /// elapsed time.
    wall_ms: u64,
    node_ms: u64,
    now_ms: u64,
    counts: [u64; Counter::ALL.len()],
}

/// A change that concerns every link. Many changes at once cost one visit of all topics.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Changed {
    /// The operator's subscriptions.
    Interests,
    /// In addition: what peers may read, or which peers are known.
    Rights,
}

/// A step that `poll` takes, in order.
enum Step {
    Emit(Action),
    /// Choose the source of a log after all earlier steps.
    ChooseSource(LogKey),
    /// Go on with the refetch of a log after all earlier steps.
    Refetch {
        key: LogKey,
        handle: u64,
        /// The log is finished: what is before is too old, or was never here.
        is_last: bool,
    },
    /// Add a topic, unless another one was added for its join meanwhile.
    AddTopic(Box<Genesis>),
}

/// The code for closing a link without fault because the state was replaced.
const RESTORED: u32 = 0x32;

/// How long a log may go without a new entry before no node follows it. Its next entry is announced.
const IDLE_MS: u64 = 24 * 60 * 60 * 1000;

impl Mesh {
    /// A mesh without links.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the set of closed topics, which are neither served nor received.
    pub fn set_closed(&mut self, closed: BTreeSet<TopicId>) {
        self.closed = closed;
        self.rights_changed();
    }

    /// A link to `peer` is up; `binding` is that of its TLS session. `named` says that the operator named
    /// the peer for this run of the node.
    pub fn up(
        &mut self,
        state: &State,
        now: Now,
        id: LinkId,
        peer: Did,
        binding: [u8; 32],
        named: bool,
    ) {
        let now_ms = self.advance_clock(now);
        self.settle(state, now_ms);
        let mut link = Link::new(peer, binding, named, now_ms);
        link.refresh_rights(state, &self.closed);
        self.links.insert(id, link);
        self.announce_interests(state, now_ms, id);
        self.find_joins(state, id, false);
    }

    /// A link is down.
    pub fn down(&mut self, state: &State, now: Now, id: LinkId) {
        let now_ms = self.advance_clock(now);
        self.settle(state, now_ms);
        self.end(state, now_ms, id);
    }

    fn end(&mut self, state: &State, now_ms: u64, id: LinkId) {
        self.awake.remove(&id);
        let Some(link) = self.links.remove(&id) else { return };
        let lost: Vec<LogKey> = link.wanting.handles.into_keys().collect();
        let topics: BTreeSet<TopicId> = lost.iter().map(|key| key.topic).collect();
        for key in lost {
            self.sources.remove(&key);
            self.choose_source(state, now_ms, key);
        }
        // Other peers may have the lost peer's entries, but had no reason to announce them.
        topics.into_iter().for_each(|topic| self.ask_all(topic));
        self.refetch_without(state, now_ms, id);
    }

    /// A frame was received.
    pub fn receive(&mut self, state: &State, now: Now, id: LinkId, kind: u8, body: &[u8]) {
        let now_ms = self.advance_clock(now);
        self.settle(state, now_ms);
        if !self.links.contains_key(&id) {
            return;
        }
        let received = Message::decode(kind, body).and_then(|message| match message {
            Some(message) => self.dispatch(state, now_ms, id, message),
            None => Ok(()),
        });
        if let Err(error) = received {
            self.close(state, now_ms, id, error);
        }
    }

    fn dispatch(
        &mut self,
        state: &State,
        now_ms: u64,
        id: LinkId,
        message: Message,
    ) -> Result<(), LinkError> {
        match message {
            Message::Interests { more, list } => {
                self.receive_interests(state, now_ms, id, more, list)
            }
            Message::Topics(list) => self.receive_topics(state, now_ms, id, list),
            Message::Roots(list) => self.receive_roots(state, now_ms, id, &list),
            Message::Ask(list) => self.receive_ask(state, now_ms, id, &list),
            Message::Heads { tag, last, unsolicited, list } => {
                self.receive_heads(state, now_ms, id, tag, last && !unsolicited, &list);
                Ok(())
            }
            Message::Want(list) => self.receive_want(state, now_ms, id, list),
            Message::Entries { handle, first, list } => {
                self.receive_entries(state, now_ms, id, handle, first, list)
            }
            Message::Cease(handle) => {
                self.receive_cease(id, handle);
                Ok(())
            }
            Message::Stop { handle, reason } => {
                self.receive_stop(state, now_ms, id, handle, reason);
                Ok(())
            }
            Message::Dispute(entry) => self.receive_dispute(state, now_ms, id, *entry),
            Message::Proof(entries) => self.receive_proof(state, now_ms, id, *entries),
            Message::Base { handle, seq, hash } => self.receive_base(now_ms, id, handle, seq, hash),
            Message::Held { tag, epoch, ahead_ms } => {
                self.receive_held(state, now_ms, id, tag, epoch, ahead_ms)
            }
            Message::Fetch(want) => self.receive_fetch(now_ms, id, want),
            Message::Fetched { handle, previous, list } => {
                self.receive_fetched(state, now_ms, id, handle, previous, list)
            }
            Message::Find(tag) => self.receive_find(now_ms, id, tag),
            Message::Found { tag, list } => self.receive_found(state, now_ms, id, tag, list),
            Message::Clock(wall_ms) => self.receive_clock(now_ms, id, wall_ms),
        }
    }

    /// The network accepted `bytes` of frames.
    pub fn sent(&mut self, id: LinkId, bytes: usize) {
        if let Some(link) = self.links.get_mut(&id) {
            link.in_flight = link.in_flight.saturating_sub(bytes);
            self.awake.insert(id);
        }
    }

    /// The state was replaced by a restore. All links are closed, since they refer to the old state.
    pub fn restored(&mut self) {
        for id in std::mem::take(&mut self.links).into_keys() {
            self.emit(Action::Close { link: id, code: RESTORED, name: "restored" });
        }
        let steps = std::mem::take(&mut self.steps);
        let counts = self.counts;
        // Batches still being checked will be reported by `verified`.
        let pending = std::mem::take(&mut self.pending);
        let mut refetches = std::mem::take(&mut self.refetches);
        refetches.values_mut().for_each(|refetch| refetch.end(RefetchEnd::Stopped, self.now_ms));
        let next_fetch = self.next_fetch;
        let kept = Self { steps, counts, pending, refetches, next_fetch, ..Self::default() };
        // A restore has begun a new epoch.
        *self = Self { epoch_is_fresh: true, ..kept };
    }

    /// Topics were added or removed, or the operator named or removed a peer.
    pub fn rights_changed(&mut self) {
        self.changed = Some(Changed::Rights);
    }

    /// The operator's subscriptions have changed, or a subscribed topic became known.
    pub fn interests_changed(&mut self) {
        self.changed = self.changed.max(Some(Changed::Interests));
    }

    /// The next action for the caller to perform, if there is one.
    pub fn poll(&mut self, state: &State, now: Now) -> Option<Action> {
        let now_ms = self.advance_clock(now);
        loop {
            match self.steps.pop_front() {
                Some(Step::Emit(action)) => {
                    if let Action::Append { entry, .. } = &action {
                        self.resolve_pending(LogKey::of(entry), 1);
                    }
                    return Some(action);
                }
                Some(Step::ChooseSource(key)) => {
                    self.choose_source(state, now_ms, key);
                    continue;
                }
                Some(Step::Refetch { key, handle, is_last }) => {
                    self.page_readmitted(state, now_ms, key, handle, is_last);
                    continue;
                }
                Some(Step::AddTopic(genesis)) => {
                    if join::is_joined(state, &genesis) {
                        return Some(Action::Commit(Box::new(Mutation::CreateTopic(*genesis))));
                    }
                    continue;
                }
                None if self.settle(state, now_ms) => continue,
                None => {}
            }
            let id = *self.awake.first()?;
            match self.next_message(state, id) {
                Some(message) => {
                    let (kind, body) = message.encode();
                    if let Some(link) = self.links.get_mut(&id) {
                        link.in_flight += body.len() + FRAME_HEADER_BYTES;
                    }
                    return Some(Action::Send { link: id, kind, body });
                }
                None => {
                    self.awake.remove(&id);
                }
            }
        }
    }

    /// Whether the node's next own entry must begin a new epoch. This process may run on an old copy of
    /// the node, whose original has used further positions of the present epoch.
    #[must_use]
    pub fn must_begin_epoch(&self) -> bool {
        !self.epoch_is_fresh
    }

    /// The node's own logs continue in a new, random epoch.
    pub fn epoch_begun(&mut self) {
        self.epoch_is_fresh = true;
    }

    fn count(&mut self, count: Counter) {
        self.counts[count as usize] += 1;
    }

    /// Takes a token for a message that costs this node more than the peer, or has no effect.
    fn charge(&mut self, now_ms: u64, id: LinkId) -> Result<(), LinkError> {
        let taken = self.links.get_mut(&id).is_none_or(|link| link.inbound_budget.take(now_ms));
        if taken { Ok(()) } else { Err(LinkError::TooMany) }
    }

    fn close(&mut self, state: &State, now_ms: u64, id: LinkId, error: LinkError) {
        if self.links.contains_key(&id) {
            self.count(error.into());
            let code = error.code();
            let name = Counter::from(error).name();
            self.steps.push_back(Step::Emit(Action::Close { link: id, code, name }));
            self.end(state, now_ms, id);
        }
    }

    fn commit(&mut self, mutation: Mutation) {
        self.emit(Action::Commit(Box::new(mutation)));
    }

    fn emit(&mut self, action: Action) {
        self.steps.push_back(Step::Emit(action));
    }

    fn send(&mut self, id: LinkId, message: Message) {
        if let Some(link) = self.links.get_mut(&id) {
            link.outbox.push_back(message);
            self.awake.insert(id);
        }
    }
}

/// Bytes of a frame without its body.
const FRAME_HEADER_BYTES: usize = 4;

fn hash_prefix(hash: &[u8; 32]) -> [u8; 16] {
    let (prefix, _) = hash.split_first_chunk().unwrap_or((&[0; 16], &[]));
    *prefix
}
