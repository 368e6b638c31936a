//! What is remembered about one link for as long as it lives.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Batch;
use super::digest::Parts;
use super::message::{Interest, Message, Want};
use super::tag::{Root, Tag};
use crate::did::Did;
use crate::log::LogKey;
use crate::topic::TopicId;

/// One link.
pub(super) struct Link {
    pub(super) peer: Did,
    pub(super) binding: [u8; 32],
    /// The tags of the topics that are known here and that the peer may read: of any other it learns
    /// nothing, whatever it knows of it.
    pub(super) tags: BTreeMap<Tag, TopicId>,
    /// What the peer wants, and as much of a newer list as has come.
    pub(super) interests: Vec<Interest>,
    pub(super) incoming_interests: Vec<Interest>,
    /// When the peer was told our own last, and whether they have changed since.
    pub(super) interests_ms: Option<u64>,
    pub(super) interests_stale: bool,
    /// The topics the peer is interested in and may read.
    pub(super) shared: BTreeSet<TopicId>,
    /// The topics the peer has told the root of: it serves them.
    pub(super) serves: BTreeSet<TopicId>,
    pub(super) serving: Serving,
    pub(super) wanting: Wanting,
    /// Messages that go before anything else.
    pub(super) outbox: VecDeque<Message>,
    /// Bytes of frames that have not been handed to the network.
    pub(super) in_flight: usize,
    /// What it may still ask, and be asked or told, that costs more at the other end.
    pub(super) inbound_budget: TokenBucket,
    pub(super) outbound_budget: TokenBucket,
    /// Disputes and proofs that wait to be checked, and whether one is.
    pub(super) evidence: VecDeque<Batch>,
    pub(super) checking_evidence: bool,
    /// Logs of which the peer was sent our side of a dispute, or the proof.
    pub(super) disputed: BTreeSet<LogKey>,
    pub(super) proved: BTreeSet<LogKey>,
    /// When its subscriptions were made durable last, and whether they have changed since.
    pub(super) persisted_ms: Option<u64>,
    pub(super) interests_unpersisted: bool,
}

/// What the peer gets.
#[derive(Default)]
pub(super) struct Serving {
    pub(super) cursors: BTreeMap<u64, Cursor>,
    pub(super) handles: BTreeMap<LogKey, u64>,
    /// The cursors there may be something for.
    pub(super) ready: VecDeque<u64>,
    /// Logs the peer wanted and that come here only from it.
    pub(super) declined: BTreeSet<LogKey>,
    /// Logs the peer is to be told of.
    pub(super) new_logs: BTreeSet<LogKey>,
    /// Topics whose logs it is being told, which of them, and how far that has come.
    pub(super) announcing: BTreeMap<TopicId, (Parts, Option<LogKey>)>,
    /// Topics whose genesis it lacks and is to get.
    pub(super) offers: BTreeSet<TopicId>,
    /// Topics whose root it is to be told.
    pub(super) roots: BTreeSet<TopicId>,
    /// Places it has another entry at, and frozen logs: it is to get our side, and the proof.
    pub(super) disputes: BTreeMap<LogKey, u64>,
    pub(super) proofs: BTreeSet<LogKey>,
}

/// How far a log has been sent.
pub(super) struct Cursor {
    pub(super) key: LogKey,
    pub(super) sent: u64,
    /// The hash of the entry the receiver goes on from, until it has been compared.
    pub(super) hash: Option<[u8; 16]>,
    pub(super) queued: bool,
}

/// What the peer is asked for.
#[derive(Default)]
pub(super) struct Wanting {
    pub(super) next_handle: u64,
    pub(super) wants: BTreeMap<u64, ActiveWant>,
    pub(super) handles: BTreeMap<LogKey, u64>,
    /// Not sent yet.
    pub(super) outgoing: Vec<Want>,
    /// How far it has told its logs have come, where that is further than here.
    pub(super) announced: BTreeMap<LogKey, u64>,
    /// Logs it has stopped sending.
    pub(super) excluded: BTreeSet<LogKey>,
    /// Logs that it does not have without a gap, and what its part begins after.
    pub(super) gaps: BTreeMap<LogKey, u64>,
    /// Topics it is to be asked about.
    pub(super) asking: BTreeSet<TopicId>,
    /// Roots that were asked about, and those whose answer is complete.
    pub(super) asked: BTreeMap<TopicId, Root>,
    pub(super) answered: BTreeMap<TopicId, Root>,
}

/// How long something is left alone: twice as long each time.
#[derive(Clone, Copy, Default)]
pub(super) struct Pause {
    pub(super) until_ms: u64,
    last_ms: u64,
}

impl Pause {
    const FIRST_MS: u64 = 10_000;
    /// The longest, and how long an end is remembered for the next to be longer.
    pub(super) const MOST_MS: u64 = 600_000;

    /// The next, longer one.
    pub(super) fn begin(&mut self, now_ms: u64) {
        self.last_ms = (self.last_ms * 2).clamp(Self::FIRST_MS, Self::MOST_MS);
        self.until_ms = now_ms + self.last_ms;
    }
}

/// A log that is being received.
pub(super) struct ActiveWant {
    pub(super) key: LogKey,
    /// The place of the next entry, and the hash of the one before.
    pub(super) next: u64,
    pub(super) previous: [u8; 32],
    /// What is before the next entry is gone at the peer.
    pub(super) after_gap: bool,
    /// When it was wanted, when something came last, and when it was asked to stop.
    pub(super) since_ms: u64,
    pub(super) progress_ms: u64,
    pub(super) ceased_ms: Option<u64>,
    /// What still comes is of no use.
    pub(super) discarded: bool,
}

/// Tokens for what a peer asks that costs more here than there.
pub(super) struct TokenBucket {
    tokens: u32,
    burst: u32,
    per_second: u64,
    since_ms: u64,
}

const INBOUND_BURST: u32 = 200;
const INBOUND_PER_SECOND: u64 = 50;

/// How fast a peer is asked and told roots: well below what it takes.
const OUTBOUND_BURST: u32 = 50;
const OUTBOUND_PER_SECOND: u64 = 20;

impl Link {
    pub(super) fn new(peer: Did, binding: [u8; 32], now_ms: u64) -> Self {
        Self {
            peer,
            binding,
            tags: BTreeMap::new(),
            interests: Vec::new(),
            incoming_interests: Vec::new(),
            interests_ms: None,
            interests_stale: false,
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
            disputed: BTreeSet::new(),
            proved: BTreeSet::new(),
            persisted_ms: None,
            interests_unpersisted: false,
        }
    }

    pub(super) fn tag(&self, topic: &TopicId) -> Tag {
        Tag::of_topic(&self.binding, topic)
    }

    /// How many things are remembered.
    pub(super) fn tracked_items(&self) -> usize {
        let topics = self.interests.len() + self.incoming_interests.len() + self.shared.len();
        let forks = self.serves.len() + self.disputed.len() + self.proved.len();
        topics
            + forks
            + self.outbox.len()
            + self.serving.tracked_items()
            + self.wanting.tracked_items()
    }
}

impl Serving {
    /// There may be something to send of `key`.
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

    /// Forgets the turns of cursors that are gone, should there be many of them.
    pub(super) fn tidy(&mut self) {
        if self.ready.len() > 2 * self.cursors.len() + 64 {
            self.ready.retain(|handle| self.cursors.contains_key(handle));
        }
    }

    fn tracked_items(&self) -> usize {
        let cursors = self.cursors.len() + self.ready.len() + self.declined.len();
        let topics = self.announcing.len() + self.offers.len() + self.roots.len();
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
        logs + topics + self.excluded.len() + self.gaps.len()
    }

    /// A want has ended. `None` if its log comes from elsewhere by now.
    pub(super) fn forget(&mut self, handle: u64) -> Option<ActiveWant> {
        let wanted = self.wants.remove(&handle)?;
        let is_current = self.handles.get(&wanted.key) == Some(&handle);
        if is_current {
            self.handles.remove(&wanted.key);
        }
        is_current.then_some(wanted)
    }

    /// Nothing more is wanted of these topics: what was told about them may be told again.
    pub(super) fn retain_topics(&mut self, wanted: &BTreeSet<TopicId>) {
        self.announced.retain(|key, _| wanted.contains(&key.topic));
        self.excluded.retain(|key| wanted.contains(&key.topic));
        self.asking.retain(|topic| wanted.contains(topic));
        self.asked.retain(|topic, _| wanted.contains(topic));
        self.answered.retain(|topic, _| wanted.contains(topic));
    }

    /// It does not get us any further with a log, whatever it has told.
    pub(super) fn exclude(&mut self, key: LogKey) {
        self.excluded.insert(key);
        self.announced.remove(&key);
        // Should it be the only one later, it is asked again.
        self.answered.remove(&key.topic);
    }
}

impl TokenBucket {
    pub(super) fn new(burst: u32, per_second: u64, now_ms: u64) -> Self {
        Self { tokens: burst, burst, per_second, since_ms: now_ms }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now_ms: u64) -> bool {
        let earned = now_ms.saturating_sub(self.since_ms).saturating_mul(self.per_second) / 1000;
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(self.burst);
            self.tokens = self.burst.min(self.tokens.saturating_add(earned));
            self.since_ms = now_ms;
        }
        self.tokens = match self.tokens.checked_sub(1) {
            Some(left) => left,
            None => return false,
        };
        true
    }
}
