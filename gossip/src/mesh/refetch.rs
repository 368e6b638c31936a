//! Brings back what was pruned here and is retained elsewhere, at the operator's request.
//!
//! Each log goes backwards page by page, from what is retained here. A page is used only if its last entry
//! has the hash that was accepted before. Its other entries then are the accepted ones as well.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, LinkId, Mesh, PauseReason, Step};
use crate::did::Did;
use crate::entry::Entry;
use crate::limits::{REFETCH_LOGS_MAX, REFETCHES_MAX};
use crate::log::LogKey;
use crate::now::Now;
use crate::state::State;
use crate::topic::TopicId;

/// How long a peer may take from one answer to FETCH to the next. A peer of an older build never answers.
const ANSWER_MS: u64 = 10_000;

/// How long the result of a refetch is kept.
const KEPT_MS: u64 = 10 * 60 * 1000;

/// How a refetch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefetchEnd {
    /// Every log was asked for as far back as peers have it.
    Done,
    /// The topic has no room for more, or the node only what it keeps for new messages.
    NoRoom,
    /// No connected peer has the topic.
    NoPeer,
    /// The state was restored, or the topic deleted, closed or unsubscribed.
    Stopped,
}

/// What a refetch has brought back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefetchProgress {
    /// Entries with an earlier time, in ms since 1970, are not brought back.
    pub since_ms: u64,
    /// How many entries came back.
    pub entries: u64,
    /// Their encoded bytes.
    pub bytes: u64,
    /// The authors of these entries.
    pub authors: BTreeSet<Did>,
    /// The earliest time of these entries, in ms since 1970.
    pub oldest_ms: Option<u64>,
    /// How many logs lacked entries.
    pub logs: u64,
    /// How many of them still do, since no peer retains the entries.
    pub unavailable: u64,
    /// How many of them were given up, since an entry cannot be readmitted. Its author may not write any more,
    /// its log was frozen, or a restore has undone it.
    pub refused: u64,
    /// How many connected peers have the topic and do not answer.
    pub unanswered: u64,
    /// How the refetch ended; `None` while it runs.
    pub end: Option<RefetchEnd>,
}

/// As many refetches run as the limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{REFETCHES_MAX} refetches are running")]
pub struct TooManyRefetches;

/// The refetch of one topic.
#[derive(Default)]
pub(super) struct Refetch {
    progress: RefetchProgress,
    /// The log after which the next one is looked for.
    after: Option<LogKey>,
    /// The logs that are being brought back.
    active: BTreeMap<LogKey, ActiveLog>,
    ended_ms: u64,
}

/// Whom a page of a log is asked of.
pub(super) enum Source {
    /// The link, and the handle of the FETCH.
    Asked(LinkId, u64),
    /// Every link that may have the page waits for as many answers as it may.
    Busy,
    Nobody,
}

#[derive(Default)]
pub(super) struct ActiveLog {
    /// The links that have no more of the log.
    excluded: BTreeSet<LinkId>,
    /// The link and the handle of the FETCH that was sent or whose answer is being checked. `None` while no link
    /// may be asked for more.
    asked: Option<(LinkId, u64)>,
}

/// A FETCH that was not answered yet: the position and hash that it names, and since when the peer is silent.
pub(super) struct Fetching {
    pub(super) key: LogKey,
    pub(super) seq: u64,
    pub(super) hash: [u8; 32],
    pub(super) since_ms: u64,
}

impl Fetching {
    pub(super) fn is_overdue(&self, now_ms: u64) -> bool {
        now_ms >= self.since_ms + ANSWER_MS
    }
}

impl Refetch {
    pub(super) fn end(&mut self, end: RefetchEnd, now_ms: u64) {
        if self.progress.end.is_none() {
            self.progress.end = Some(end);
            self.ended_ms = now_ms;
            self.active.clear();
        }
    }

    /// Takes the next logs that lack entries.
    fn take_logs(&mut self, state: &State, topic: TopicId) {
        let mut logs = state.heads_after(topic, self.after).map(|(key, _)| *key);
        while self.active.len() < REFETCH_LOGS_MAX
            && let Some(key) = logs.next()
        {
            self.after = Some(key);
            if state.pruned_before(&key).is_some() {
                self.progress.logs += 1;
                self.active.insert(key, ActiveLog::default());
            }
        }
    }
}

impl Mesh {
    /// Begins to bring back the pruned entries of a topic, whose time is `since_ms` or later. An earlier
    /// refetch of the topic is replaced.
    ///
    /// # Errors
    /// [`TooManyRefetches`] while the refetches of other topics use up the limit.
    pub fn begin_refetch(
        &mut self,
        state: &State,
        now: Now,
        topic: TopicId,
        since_ms: u64,
    ) -> Result<(), TooManyRefetches> {
        let now_ms = self.advance_clock(now);
        self.settle(state, now_ms);
        self.refetches.remove(&topic);
        if self.refetches.len() >= REFETCHES_MAX {
            let over = self.refetches.iter().filter(|(_, one)| one.progress.end.is_some());
            let oldest = over.min_by_key(|(_, one)| one.ended_ms).map(|(topic, _)| *topic);
            self.refetches.remove(&oldest.ok_or(TooManyRefetches)?);
        }
        let progress = RefetchProgress { since_ms, ..RefetchProgress::default() };
        self.refetches.insert(topic, Refetch { progress, ..Refetch::default() });
        self.advance_refetch(state, now_ms, topic);
        Ok(())
    }

    /// The running or recent refetch of a topic.
    #[must_use]
    pub fn refetch(&self, topic: &TopicId) -> Option<&RefetchProgress> {
        self.refetches.get(topic).map(|refetch| &refetch.progress)
    }

    /// Sends the requests that are due, and ends the refetch if there are none.
    fn advance_refetch(&mut self, state: &State, now_ms: u64, topic: TopicId) {
        let Some(mut refetch) = self.refetches.remove(&topic) else { return };
        if refetch.progress.end.is_none() {
            self.ask_for_logs(state, now_ms, topic, &mut refetch);
        }
        self.refetches.insert(topic, refetch);
    }

    fn ask_for_logs(&mut self, state: &State, now_ms: u64, topic: TopicId, refetch: &mut Refetch) {
        if !self.wanted.contains(&topic) {
            return refetch.end(RefetchEnd::Stopped, now_ms);
        }
        loop {
            refetch.take_logs(state, topic);
            if refetch.active.is_empty() {
                let serving = || self.links.values().filter(|link| link.serves.contains(&topic));
                let overdue = serving().filter(|link| link.wanting.is_overdue(now_ms));
                refetch.progress.unanswered = overdue.count() as u64;
                let is_missing = refetch.progress.unavailable > 0 && serving().next().is_none();
                let end = if is_missing { RefetchEnd::NoPeer } else { RefetchEnd::Done };
                return refetch.end(end, now_ms);
            }
            let idle = refetch.active.iter().filter(|(_, log)| log.asked.is_none());
            let idle: Vec<LogKey> = idle.map(|(key, _)| *key).collect();
            let before = refetch.active.len();
            for key in idle {
                let Some(log) = refetch.active.get_mut(&key) else { continue };
                let position = state.pruned_before(&key);
                let source =
                    position.map(|(seq, hash)| self.fetch(now_ms, &log.excluded, key, seq, hash));
                match source {
                    Some(Source::Asked(id, handle)) => log.asked = Some((id, handle)),
                    // It is tried again at each tick.
                    Some(Source::Busy) => {}
                    Some(Source::Nobody) => {
                        refetch.progress.unavailable += 1;
                        refetch.active.remove(&key);
                    }
                    None => drop(refetch.active.remove(&key)),
                }
            }
            if refetch.active.len() == before {
                return;
            }
        }
    }

    /// The active log whose FETCH has this handle.
    pub(super) fn fetching_log(&mut self, key: &LogKey, handle: u64) -> Option<&mut ActiveLog> {
        let log = self.refetches.get_mut(&key.topic)?.active.get_mut(key)?;
        log.asked.is_some_and(|(_, asked)| asked == handle).then_some(log)
    }

    /// The peer has no more of the log; another one is asked.
    pub(super) fn exclude_from_refetch(
        &mut self,
        state: &State,
        now_ms: u64,
        key: LogKey,
        handle: u64,
    ) {
        let Some(log) = self.fetching_log(&key, handle) else { return };
        log.excluded.extend(log.asked.take().map(|(id, _)| id));
        self.advance_refetch(state, now_ms, key.topic);
    }

    /// The signatures of a page were checked; `entries` is empty if one does not match.
    pub(super) fn fetched_checked(
        &mut self,
        state: &State,
        now_ms: u64,
        key: LogKey,
        handle: u64,
        entries: Vec<Entry>,
    ) {
        let Some(refetch) = self.refetches.get(&key.topic) else { return };
        let since_ms = refetch.progress.since_ms;
        if self.fetching_log(&key, handle).is_none() {
            return;
        }
        if entries.is_empty() {
            return self.exclude_from_refetch(state, now_ms, key, handle);
        }
        let base = state.head(&key).base;
        let is_wanted = |entry: &Entry| {
            let header = entry.header();
            header.seq > base && header.time_ms >= since_ms
        };
        let count = entries.len();
        let wanted: Vec<Entry> = entries.into_iter().rev().take_while(is_wanted).collect();
        let is_last = wanted.len() < count;
        wanted.into_iter().for_each(|entry| self.emit(Action::Readmit(Box::new(entry))));
        self.steps.push_back(Step::Refetch { key, handle, is_last });
    }

    /// All entries of a page were readmitted, or one was refused.
    pub(super) fn page_readmitted(
        &mut self,
        state: &State,
        now_ms: u64,
        key: LogKey,
        handle: u64,
        is_last: bool,
    ) {
        if let Some(log) = self.fetching_log(&key, handle) {
            log.asked = None;
            if is_last && let Some(refetch) = self.refetches.get_mut(&key.topic) {
                refetch.active.remove(&key);
            }
        }
        self.advance_refetch(state, now_ms, key.topic);
    }

    /// An entry was readmitted.
    pub fn readmitted(&mut self, entry: &Entry) {
        let header = entry.header();
        let Some(refetch) = self.refetches.get_mut(&header.topic) else { return };
        let progress = &mut refetch.progress;
        progress.entries += 1;
        progress.bytes += entry.encoded_bytes() as u64;
        progress.authors.insert(header.author);
        let oldest = progress.oldest_ms.unwrap_or(u64::MAX);
        progress.oldest_ms = Some(oldest.min(header.time_ms));
    }

    /// An entry was not readmitted: without room the refetch ends, otherwise its log is given up.
    pub fn not_readmitted(&mut self, now: Now, key: LogKey, why: PauseReason) {
        let now_ms = self.advance_clock(now);
        let no_room = why == PauseReason::NoRoom;
        let is_meant = |other: LogKey| other == key || (no_room && other.topic == key.topic);
        // The entries before the refused one do not fit either.
        self.steps.retain(|step| {
            !matches!(step, Step::Emit(Action::Readmit(entry)) if is_meant(LogKey::of(entry)))
        });
        let Some(refetch) = self.refetches.get_mut(&key.topic) else { return };
        if no_room {
            refetch.end(RefetchEnd::NoRoom, now_ms);
        } else if refetch.active.remove(&key).is_some() {
            refetch.progress.refused += 1;
        }
    }

    /// A link is down: its logs are asked of others.
    pub(super) fn refetch_without(&mut self, state: &State, now_ms: u64, id: LinkId) {
        let mut lost = Vec::new();
        for (topic, refetch) in &mut self.refetches {
            for log in refetch.active.values_mut() {
                if log.asked.take_if(|(asked, _)| *asked == id).is_some() {
                    lost.push(*topic);
                }
            }
        }
        lost.into_iter().for_each(|topic| self.advance_refetch(state, now_ms, topic));
    }

    /// Gives up peers that do not answer, asks for logs that wait, and forgets old results.
    pub(super) fn tick_refetches(&mut self, state: &State, now_ms: u64) {
        self.refetches.retain(|_, refetch| {
            refetch.progress.end.is_none() || now_ms < refetch.ended_ms + KEPT_MS
        });
        if self.refetches.is_empty() {
            return;
        }
        let mut overdue = Vec::new();
        for link in self.links.values().filter(|link| link.wanting.is_overdue(now_ms)) {
            // A peer that is late for one answer is asked for nothing until it has sent it.
            let fetching = link.wanting.fetching.iter();
            overdue.extend(fetching.map(|(handle, fetching)| (fetching.key, *handle)));
        }
        for (key, handle) in overdue {
            self.exclude_from_refetch(state, now_ms, key, handle);
        }
        let topics: Vec<TopicId> = self.refetches.keys().copied().collect();
        topics.into_iter().for_each(|topic| self.advance_refetch(state, now_ms, topic));
    }
}
