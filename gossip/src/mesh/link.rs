//! What is remembered about one link for as long as it lives.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Batch;
use super::message::{Interest, Message, Want};
use super::tag::{Root, Tag};
use crate::did::Did;
use crate::log::LogKey;
use crate::topic::TopicId;

/// One link.
pub(super) struct Link {
    pub(super) peer: Did,
    pub(super) binding: [u8; 32],
    /// The tags of all topics that are known here.
    pub(super) tags: BTreeMap<Tag, TopicId>,
    /// What the peer wants, and as much of a newer list as has come.
    pub(super) interests: Vec<Interest>,
    pub(super) gathering: Vec<Interest>,
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
    pub(super) under_way: usize,
    pub(super) bucket: Bucket,
    /// Disputes and proofs that wait to be checked, and whether one is.
    pub(super) charges: VecDeque<Batch>,
    pub(super) judging: bool,
    /// Logs of which the peer was sent our side of a dispute, or the proof.
    pub(super) disputed: BTreeSet<LogKey>,
    pub(super) proved: BTreeSet<LogKey>,
    /// When its subscriptions were made durable last, and whether they have changed since.
    pub(super) remembered_ms: Option<u64>,
    pub(super) unremembered: bool,
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
    pub(super) news: BTreeSet<LogKey>,
    /// Topics all of whose logs it is being told, and how far that has come.
    pub(super) telling: BTreeMap<TopicId, Option<LogKey>>,
    /// Topics whose genesis it lacks and is to get, and those it was sent.
    pub(super) offers: VecDeque<TopicId>,
    pub(super) offered: BTreeSet<TopicId>,
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
    pub(super) wants: BTreeMap<u64, Wanted>,
    pub(super) handles: BTreeMap<LogKey, u64>,
    /// Not sent yet.
    pub(super) outgoing: Vec<Want>,
    /// How far it has told its logs have come, where that is further than here.
    pub(super) told: BTreeMap<LogKey, u64>,
    /// Logs it does not send, until then.
    pub(super) refused: BTreeMap<LogKey, Pause>,
    /// Logs that it does not have without a gap, and what its part begins after.
    pub(super) gaps: BTreeMap<LogKey, u64>,
    /// Its root that was asked about, and whether its heads have told anything new.
    pub(super) asked: BTreeMap<TopicId, (Root, bool)>,
    /// Its root and ours, where its heads have told nothing new.
    pub(super) settled: BTreeMap<TopicId, (Root, Root)>,
}

/// How long something is left alone: twice as long each time.
#[derive(Clone, Copy, Default)]
pub(super) struct Pause {
    pub(super) until_ms: u64,
    last_ms: u64,
}

impl Pause {
    const FIRST_MS: u64 = 10_000;
    const MOST_MS: u64 = 600_000;
    /// Until something else ends it.
    pub(super) const ENDLESS: Self = Self { until_ms: u64::MAX, last_ms: 0 };

    pub(super) fn is_endless(&self) -> bool {
        self.until_ms == u64::MAX
    }

    /// The next, longer one.
    pub(super) fn begin(&mut self, now_ms: u64) {
        self.last_ms = (self.last_ms * 2).clamp(Self::FIRST_MS, Self::MOST_MS);
        self.until_ms = now_ms + self.last_ms;
    }
}

/// A log that is being received.
pub(super) struct Wanted {
    pub(super) key: LogKey,
    /// The place of the next entry, and the hash of the one before.
    pub(super) next: u64,
    pub(super) previous: [u8; 32],
    /// What is before the next entry is gone at the peer.
    pub(super) after_gap: bool,
    /// It was asked to stop, then.
    pub(super) ceased_ms: Option<u64>,
    /// What still comes is of no use.
    pub(super) discarded: bool,
    /// Since when, and how many bytes have come since then.
    pub(super) since_ms: u64,
    pub(super) bytes: usize,
}

/// Tokens for what a peer asks that costs more here than there.
pub(super) struct Bucket {
    tokens: u32,
    since_ms: u64,
}

const BURST: u32 = 200;
const PER_SECOND: u64 = 50;

impl Link {
    pub(super) fn new(peer: Did, binding: [u8; 32], now_ms: u64) -> Self {
        Self {
            peer,
            binding,
            tags: BTreeMap::new(),
            interests: Vec::new(),
            gathering: Vec::new(),
            interests_ms: None,
            interests_stale: false,
            shared: BTreeSet::new(),
            serves: BTreeSet::new(),
            serving: Serving::default(),
            wanting: Wanting::default(),
            outbox: VecDeque::new(),
            under_way: 0,
            bucket: Bucket { tokens: BURST, since_ms: now_ms },
            charges: VecDeque::new(),
            judging: false,
            disputed: BTreeSet::new(),
            proved: BTreeSet::new(),
            remembered_ms: None,
            unremembered: false,
        }
    }

    pub(super) fn tag(&self, topic: &TopicId) -> Tag {
        Tag::of_topic(&self.binding, topic)
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

    pub(super) fn drop_cursor(&mut self, handle: u64) -> Option<Cursor> {
        let cursor = self.cursors.remove(&handle)?;
        self.handles.remove(&cursor.key);
        Some(cursor)
    }
}

impl Wanting {
    pub(super) fn forget(&mut self, handle: u64) -> Option<Wanted> {
        let wanted = self.wants.remove(&handle)?;
        if self.handles.get(&wanted.key) == Some(&handle) {
            self.handles.remove(&wanted.key);
        }
        Some(wanted)
    }

    /// Whether it may be asked for the log.
    pub(super) fn is_refused(&self, key: &LogKey, now_ms: u64) -> bool {
        self.refused.get(key).is_some_and(|pause| now_ms < pause.until_ms)
    }
}

impl Bucket {
    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now_ms: u64) -> bool {
        let earned = now_ms.saturating_sub(self.since_ms) * PER_SECOND / 1000;
        if earned > 0 {
            self.tokens = BURST.min(self.tokens + u32::try_from(earned).unwrap_or(BURST));
            self.since_ms = now_ms;
        }
        self.tokens = match self.tokens.checked_sub(1) {
            Some(left) => left,
            None => return false,
        };
        true
    }
}
