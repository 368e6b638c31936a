//! The state of one link, kept while it is up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Batch;
use super::digest::Parts;
use super::fork_notices::ForkNotices;
use super::held_reports::HeldReports;
use super::message::{Interest, Message, Want};
use super::refetch::Fetching;
use super::tag::{Root, Tag};
use crate::access::AccessSummary;
use crate::did::Did;
use crate::limits::{INTERESTS_MAX, INTERESTS_PER_MESSAGE};
use crate::log::LogKey;
use crate::state::State;
use crate::topic::TopicId;

/// A link to one peer.
pub(super) struct Link {
    pub(super) peer: Did,
    pub(super) binding: [u8; 32],
    /// Whether the operator named the peer for this run of the node.
    pub(super) named: bool,
    /// Whether the peer is known: the operator named it, or it is a member of a private topic here.
    pub(super) known: bool,
    /// The tags of the entered topics that the peer may read. To the peer every other tag is unknown.
    pub(super) tags: BTreeMap<Tag, TopicId>,
    /// The same topics by the tag of their name, once the peer has asked for one.
    pub(super) name_tags: Option<BTreeMap<Tag, Vec<TopicId>>>,
    /// The peer's interests, and the received part of a newer list.
    pub(super) interests: Vec<Interest>,
    pub(super) incoming_interests: Vec<Interest>,
    /// Whether the peer has announced its interests.
    pub(super) has_announced: bool,
    /// The interests last announced to the peer, and whether they changed since.
    pub(super) announced: Option<Vec<Interest>>,
    pub(super) interests_stale: bool,
    /// How many topics are beyond [`INTERESTS_MAX`], so that the peer sends nothing of them.
    pub(super) left_out: usize,
    pub(super) interests_budget: TokenBucket,
    /// How many answers with the genesis of a topic may be in flight: each list of interests asks for it.
    pub(super) asked: BTreeMap<TopicId, u8>,
    /// The topics that the peer may read and whose genesis it has sent.
    pub(super) proven: BTreeSet<TopicId>,
    /// The names for which the peer is asked, by FIND.
    pub(super) finds: BTreeMap<String, Find>,
    /// The topics that the peer was offered unasked.
    pub(super) offered: BTreeSet<TopicId>,
    /// Budgets for unasked offers: the peer's, and this node's own.
    pub(super) offers_budget: TokenBucket,
    pub(super) offering_budget: TokenBucket,
    /// The topics that the peer is interested in and may read.
    pub(super) shared: BTreeSet<TopicId>,
    /// The topics that the peer serves: those whose root it has announced.
    pub(super) serves: BTreeSet<TopicId>,
    pub(super) serving: Serving,
    pub(super) wanting: Wanting,
    /// Messages that are sent before all others.
    pub(super) outbox: VecDeque<Message>,
    /// Bytes of frames that were not yet handed to the network.
    pub(super) in_flight: usize,
    /// Budgets for messages that cost the receiver more than the sender: the peer's, and this node's own.
    pub(super) inbound_budget: TokenBucket,
    pub(super) outbound_budget: TokenBucket,
    /// Disputes and proofs that wait to be checked, and whether one is being checked.
    pub(super) evidence: VecDeque<Batch>,
    pub(super) checking_evidence: bool,
    /// What the peer reports of entries of this node that it holds back.
    pub(super) holds_back: HeldReports,
    /// The last wall time that the peer sent and when it arrived, and when this node sends its own again.
    pub(super) clock: Option<(u64, u64)>,
    pub(super) clock_due_ms: u64,
    pub(super) forks: ForkNotices,
    /// When the peer's subscriptions were last committed, and whether they changed since.
    pub(super) persisted_ms: Option<u64>,
    pub(super) interests_unpersisted: bool,
}

/// How far the question for a name has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Find {
    Due,
    Asked,
    Answered,
}

/// Everything to be sent to the peer about topics that it subscribes to.
#[derive(Default)]
pub(super) struct Serving {
    pub(super) cursors: BTreeMap<u64, Cursor>,
    pub(super) handles: BTreeMap<LogKey, u64>,
    /// Handles of the cursors that may have entries to send.
    pub(super) ready: VecDeque<u64>,
    /// Logs whose want was declined, since this node receives them only from the peer itself.
    pub(super) declined: BTreeSet<LogKey>,
    /// Logs whose heads are to be announced unasked.
    pub(super) new_logs: BTreeSet<LogKey>,
    /// Topics whose heads are being announced: the parts, and the last log announced so far.
    pub(super) announcing: BTreeMap<TopicId, (Parts, Option<LogKey>)>,
    /// Topics whose genesis is to be sent.
    pub(super) offers: BTreeSet<TopicId>,
    /// Logs of the peer whose entries are held back, and how far they are ahead.
    pub(super) held: BTreeMap<LogKey, u64>,
    /// Topics to be offered unasked.
    pub(super) unoffered: BTreeSet<TopicId>,
    /// FETCH that are to be answered.
    pub(super) fetches: VecDeque<Want>,
    /// Tags of names whose FIND is to be answered.
    pub(super) finds: BTreeSet<Tag>,
    /// Topics whose root is to be announced.
    pub(super) roots: BTreeSet<TopicId>,
    /// Disputes to be sent, by position, and frozen logs whose proof is to be sent.
    pub(super) disputes: BTreeSet<(LogKey, u64)>,
    pub(super) proofs: BTreeSet<LogKey>,
}

/// The server's side of a want: how far a log has been sent.
pub(super) struct Cursor {
    pub(super) key: LogKey,
    pub(super) sent: u64,
    /// The hash of the entry that the receiver continues from, until it has been compared.
    pub(super) hash: Option<[u8; 16]>,
    pub(super) queued: bool,
}

/// Everything requested from the peer, and what it has announced.
#[derive(Default)]
pub(super) struct Wanting {
    pub(super) next_handle: u64,
    pub(super) wants: BTreeMap<u64, ActiveWant>,
    pub(super) handles: BTreeMap<LogKey, u64>,
    /// Wants that are not sent yet.
    pub(super) outgoing: Vec<Want>,
    /// FETCH that are not answered yet, by handle, and those of them that are not sent yet.
    pub(super) fetching: BTreeMap<u64, Fetching>,
    pub(super) fetches: VecDeque<Want>,
    /// How long the last answer to a FETCH took, in ms; 0 before the first one.
    pub(super) answer_ms: u64,
    /// The heads that the peer has announced, where they are ahead of this node's.
    pub(super) announced: BTreeMap<LogKey, u64>,
    /// Logs that are not wanted from the peer until it announces a further head.
    pub(super) excluded: BTreeSet<LogKey>,
    /// Logs of which the peer's copy begins after a gap, and the sequence number before its first entry.
    pub(super) gaps: BTreeMap<LogKey, u64>,
    /// Topics whose heads the peer is to be asked for.
    pub(super) asking: BTreeSet<TopicId>,
    /// Roots whose heads were asked for, and those whose answer is complete.
    pub(super) asked: BTreeMap<TopicId, Root>,
    pub(super) answered: BTreeMap<TopicId, Root>,
}

/// The pause of a log: twice as long each time.
#[derive(Clone, Copy, Default)]
pub(super) struct Pause {
    pub(super) until_ms: u64,
    /// Whether the last refused entry had no room.
    pub(super) without_room: bool,
    last_ms: u64,
}

impl Pause {
    const FIRST_MS: u64 = 10_000;
    /// The longest pause, and how long after its end the next one is still doubled.
    pub(super) const MOST_MS: u64 = 600_000;

    /// Begins the next, longer pause.
    pub(super) fn begin(&mut self, now_ms: u64) {
        self.last_ms = (self.last_ms * 2).clamp(Self::FIRST_MS, Self::MOST_MS);
        self.until_ms = now_ms + self.last_ms;
    }
}

/// The receiver's side of a want: a log that is being received.
pub(super) struct ActiveWant {
    pub(super) key: LogKey,
    /// The sequence number of the next entry, and the hash of the previous one.
    pub(super) next: u64,
    pub(super) previous: [u8; 32],
    /// The peer has no entries between this node's head and the next entry.
    pub(super) after_gap: bool,
    /// When the log was wanted, when entries were last received, and when CEASE was sent.
    pub(super) since_ms: u64,
    pub(super) progress_ms: u64,
    pub(super) ceased_ms: Option<u64>,
    /// Entries still received for this want are dropped.
    pub(super) discarded: bool,
}

/// A rate limit: a burst of tokens, refilled at a fixed rate.
pub(super) struct TokenBucket {
    tokens: u32,
    burst: u32,
    per_second: u64,
    since_ms: u64,
}

const INBOUND_BURST: u32 = 200;
const INBOUND_PER_SECOND: u64 = 50;

/// This node's own rate of ASK and ROOTS: well below what a peer accepts.
const OUTBOUND_BURST: u32 = 50;
const OUTBOUND_PER_SECOND: u64 = 20;

/// This node's own rate of messages with interests. The longest list fits into the burst.
const INTERESTS_BURST: u32 = 10;
const INTERESTS_PER_SECOND: u64 = 10;

const _: () = assert!(INTERESTS_MAX.div_ceil(INTERESTS_PER_MESSAGE) <= INTERESTS_BURST as usize);
const _: () = assert!(INTERESTS_BURST + OUTBOUND_BURST < INBOUND_BURST);
const _: () = assert!(INTERESTS_PER_SECOND + OUTBOUND_PER_SECOND < INBOUND_PER_SECOND);

/// Bytes of unasked geneses from a peer; those beyond this rate are ignored. Their hashes cost about 20 ns
/// for each byte.
const OFFERS_BURST: u32 = 2 << 20;
const OFFERS_PER_SECOND: u64 = 128 << 10;

/// This node's own rate of bytes of unasked geneses: below what a peer heeds.
const OFFERING_BURST: u32 = 1 << 20;
const OFFERING_PER_SECOND: u64 = 96 << 10;

const _: () = assert!(OFFERING_BURST < OFFERS_BURST && OFFERING_PER_SECOND < OFFERS_PER_SECOND);

impl Link {
    pub(super) fn new(peer: Did, binding: [u8; 32], named: bool, now_ms: u64) -> Self {
        Self {
            peer,
            binding,
            named,
            known: false,
            tags: BTreeMap::new(),
            name_tags: None,
            interests: Vec::new(),
            incoming_interests: Vec::new(),
            has_announced: false,
            announced: None,
            interests_stale: false,
            left_out: 0,
            interests_budget: TokenBucket::new(INTERESTS_BURST, INTERESTS_PER_SECOND, now_ms),
            asked: BTreeMap::new(),
            proven: BTreeSet::new(),
            finds: BTreeMap::new(),
            offered: BTreeSet::new(),
            offers_budget: TokenBucket::new(OFFERS_BURST, OFFERS_PER_SECOND, now_ms),
            offering_budget: TokenBucket::new(OFFERING_BURST, OFFERING_PER_SECOND, now_ms),
            shared: BTreeSet::new(),
            serves: BTreeSet::new(),
            serving: Serving::default(),
            wanting: Wanting::default(),
            outbox: VecDeque::new(),
            in_flight: 0,
            inbound_budget: TokenBucket::new(INBOUND_BURST, INBOUND_PER_SECOND, now_ms),
            outbound_budget: TokenBucket::new(OUTBOUND_BURST, OUTBOUND_PER_SECOND, now_ms),
            evidence: VecDeque::new(),
            checking_evidence: false,
            holds_back: HeldReports::default(),
            clock: None,
            clock_due_ms: now_ms,
            forks: ForkNotices::default(),
            persisted_ms: None,
            interests_unpersisted: false,
        }
    }

    pub(super) fn tag(&self, topic: &TopicId) -> Tag {
        Tag::of_topic(&self.binding, topic)
    }

    /// Recomputes what the peer may read and whether it is known. Closed topics make no peer known.
    pub(super) fn refresh_rights(&mut self, state: &State, closed: &BTreeSet<TopicId>) {
        self.tags.clear();
        self.name_tags = None;
        self.known = self.named || state.peer(&self.peer).is_some_and(|peer| peer.named);
        for (id, topic) in state.topics() {
            if state.may_read(id, &self.peer).is_ok() {
                self.tags.insert(self.tag(id), *id);
                let access = topic.genesis.spec.access.view().summary();
                let has_members = matches!(access, AccessSummary::Members(_));
                self.known |= has_members && !closed.contains(id);
            }
        }
    }

    /// How many items of any kind are kept in memory for the link.
    pub(super) fn tracked_items(&self) -> usize {
        let topics = self.interests.len() + self.incoming_interests.len() + self.shared.len();
        let joins = self.finds.len() + self.asked.len() + self.proven.len() + self.offered.len();
        let forks = self.serves.len() + self.forks.tracked_items();
        topics
            + joins
            + forks
            + self.outbox.len()
            + self.serving.tracked_items()
            + self.wanting.tracked_items()
    }
}

impl Serving {
    /// Queues the cursor of `key`, whose log may have grown; false if there is no cursor.
    pub(super) fn wake(&mut self, key: &LogKey) -> bool {
        let Some(handle) = self.handles.get(key) else { return false };
        if let Some(cursor) = self.cursors.get_mut(handle)
            && !cursor.queued
        {
            cursor.queued = true;
            self.ready.push_back(*handle);
        }
        true
    }

    /// Removes dropped cursors from the ready queue once they outnumber the live ones.
    pub(super) fn tidy(&mut self) {
        if self.ready.len() > 2 * self.cursors.len() + 64 {
            self.ready.retain(|handle| self.cursors.contains_key(handle));
        }
    }

    fn tracked_items(&self) -> usize {
        let cursors = self.cursors.len() + self.ready.len() + self.declined.len();
        let topics = self.announcing.len() + self.offers.len() + self.roots.len();
        let topics = topics + self.unoffered.len() + self.finds.len() + self.held.len();
        let topics = topics + self.fetches.len();
        cursors + self.new_logs.len() + topics + self.disputes.len() + self.proofs.len()
    }

    pub(super) fn drop_cursor(&mut self, handle: u64) -> Option<Cursor> {
        let cursor = self.cursors.remove(&handle)?;
        self.handles.remove(&cursor.key);
        Some(cursor)
    }
}

impl Wanting {
    fn tracked_items(&self) -> usize {
        let logs = self.wants.len() + self.outgoing.len() + self.announced.len();
        let topics = self.asking.len() + self.asked.len() + self.answered.len();
        let fetches = self.fetching.len() + self.fetches.len();
        logs + topics + fetches + self.excluded.len() + self.gaps.len()
    }

    /// Ends a want. `None` if its log is by now received from another peer.
    pub(super) fn forget(&mut self, handle: u64) -> Option<ActiveWant> {
        let wanted = self.wants.remove(&handle)?;
        let is_current = self.handles.get(&wanted.key) == Some(&handle);
        if is_current {
            self.handles.remove(&wanted.key);
        }
        is_current.then_some(wanted)
    }

    /// Removes all records about topics that are not in `wanted`, so that they can be announced anew.
    pub(super) fn retain_topics(&mut self, wanted: &BTreeSet<TopicId>) {
        self.announced.retain(|key, _| wanted.contains(&key.topic));
        self.excluded.retain(|key| wanted.contains(&key.topic));
        self.asking.retain(|topic| wanted.contains(topic));
        self.asked.retain(|topic, _| wanted.contains(topic));
        self.answered.retain(|topic, _| wanted.contains(topic));
    }

    /// Stops wanting a log from this peer until it announces a further head.
    pub(super) fn exclude(&mut self, key: LogKey) {
        self.excluded.insert(key);
        self.announced.remove(&key);
        // If it is later the only peer with the log, the next root asks it again.
        self.answered.remove(&key.topic);
    }
}

impl TokenBucket {
    pub(super) fn new(burst: u32, per_second: u64, now_ms: u64) -> Self {
        Self { tokens: burst, burst, per_second, since_ms: now_ms }
    }

    /// Takes a token; false if there is none.
    pub(super) fn take(&mut self, now_ms: u64) -> bool {
        self.take_many(now_ms, 1)
    }

    /// Takes `count` tokens, or none and returns false if there are fewer.
    pub(super) fn take_many(&mut self, now_ms: u64, count: usize) -> bool {
        let has_room = self.has(now_ms, count);
        if has_room {
            self.tokens -= u32::try_from(count).unwrap_or(self.tokens);
        }
        has_room
    }

    /// Whether there are `count` tokens.
    pub(super) fn has(&mut self, now_ms: u64, count: usize) -> bool {
        let earned = now_ms.saturating_sub(self.since_ms).saturating_mul(self.per_second) / 1000;
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(self.burst);
            self.tokens = self.burst.min(self.tokens.saturating_add(earned));
            self.since_ms = now_ms;
        }
        u32::try_from(count).is_ok_and(|count| count <= self.tokens)
    }
}
