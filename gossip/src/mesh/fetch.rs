//! FETCH and FETCHED: pages of a log that end at an entry which the asking node has accepted before.

use std::collections::BTreeSet;

use super::link::{Link, Wanting};
use super::message::{Message, Want, WireEntry};
use super::refetch::{Fetching, Source};
use super::{Action, Batch, Counter, LinkError, LinkId, Mesh, Purpose, hash_prefix};
use crate::entry::{Entry, Position};
use crate::limits::{BATCH_BYTES_MAX, FETCHES_MAX};
use crate::log::LogKey;
use crate::state::State;
use crate::topic::TopicId;

impl Wanting {
    /// Whether the peer is late with an answer to a FETCH.
    pub(super) fn is_overdue(&self, now_ms: u64) -> bool {
        self.fetching.values().any(|fetching| fetching.is_overdue(now_ms))
    }

    /// How long the peer takes to answer, in ms. An answer that is still to come counts as soon as it takes
    /// longer than the last one.
    fn pace_ms(&self, now_ms: u64) -> u64 {
        let waits = self.fetching.values().map(|fetching| now_ms.saturating_sub(fetching.since_ms));
        waits.fold(self.answer_ms, u64::max)
    }
}

impl Mesh {
    /// Asks the best link for a page of a log.
    pub(super) fn fetch(
        &mut self,
        now_ms: u64,
        excluded: &BTreeSet<LinkId>,
        key: LogKey,
        seq: u64,
        hash: [u8; 32],
    ) -> Source {
        let serves = |id: &LinkId, link: &Link| {
            link.serves.contains(&key.topic)
                && !excluded.contains(id)
                && !link.wanting.is_overdue(now_ms)
                // A peer that may not read the topic any more must not learn what is asked of it.
                && link.tags.contains_key(&link.tag(&key.topic))
        };
        let serving = self.links.iter_mut().filter(|(id, link)| serves(id, link));
        // A slow peer comes last: it would hold up a log page by page, within the time for each answer.
        let best = serving.min_by_key(|(id, link)| {
            let others = link.wanting.fetching.len();
            let is_full = others >= FETCHES_MAX;
            (is_full, link.wanting.pace_ms(now_ms), link.peer != key.author, others, **id)
        });
        let Some((&id, link)) = best else { return Source::Nobody };
        if link.wanting.fetching.len() >= FETCHES_MAX {
            return Source::Busy;
        }
        let handle = self.next_fetch;
        self.next_fetch += 1;
        let LogKey { author, epoch, .. } = key;
        let tag = link.tag(&key.topic);
        let want = Want { handle, tag, author, epoch, after: seq, hash: hash_prefix(&hash) };
        link.wanting.fetches.push_back(want);
        link.wanting.fetching.insert(handle, Fetching { key, seq, hash, since_ms: now_ms });
        self.awake.insert(id);
        Source::Asked(id, handle)
    }

    pub(super) fn receive_fetch(
        &mut self,
        now_ms: u64,
        id: LinkId,
        want: Want,
    ) -> Result<(), LinkError> {
        self.charge(now_ms, id)?;
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        link.serving.fetches.push_back(want);
        if link.serving.fetches.len() > FETCHES_MAX {
            return Err(LinkError::TooMany);
        }
        self.awake.insert(id);
        Ok(())
    }

    pub(super) fn receive_fetched(
        &mut self,
        state: &State,
        now_ms: u64,
        id: LinkId,
        handle: u64,
        previous: [u8; 32],
        list: Vec<WireEntry>,
    ) -> Result<(), LinkError> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        let fetching = link.wanting.fetching.remove(&handle).ok_or(LinkError::Unasked)?;
        link.wanting.answer_ms = now_ms.saturating_sub(fetching.since_ms);
        // Answers wait for each other on a slow link: each has the full time from the one before.
        link.wanting.fetching.values_mut().for_each(|other| other.since_ms = now_ms);
        let Some(node) = state.node() else { return Ok(()) };
        let key = fetching.key;
        if self.fetching_log(&key, handle).is_none() {
            // The answer is late, or the refetch is over.
            return Ok(());
        }
        let first = (fetching.seq + 1).checked_sub(list.len() as u64).filter(|first| *first > 0);
        let mut position = Position {
            network: node.network,
            topic: key.topic,
            epoch: key.epoch,
            seq: first.unwrap_or(1),
            previous,
            access_version: 0,
            time_ms: 0,
        };
        let entry = |wire: WireEntry| {
            position.access_version = wire.access_version;
            position.time_ms = wire.time_ms;
            let WireEntry { kind, signature, payload, .. } = wire;
            let entry = Entry::assemble(kind, key.author, &position, payload, signature);
            (position.seq, position.previous) = (position.seq + 1, entry.hash());
            entry
        };
        let is_empty = list.is_empty();
        let entries: Vec<Entry> = list.into_iter().map(entry).collect();
        if first.is_some() && !is_empty && position.previous == fetching.hash {
            let purpose = Purpose::Readmit { key, handle };
            self.emit(Action::Verify(Batch { link: id, purpose, entries }));
            return Ok(());
        }
        if !is_empty {
            self.count(Counter::FetchedOther);
        }
        self.exclude_from_refetch(state, now_ms, key, handle);
        Ok(())
    }
}

impl Link {
    /// The next answer to a FETCH of the peer. It is empty for a topic that is not shared, as for an
    /// unknown one.
    pub(super) fn next_fetched(&mut self, state: &State) -> Option<Message> {
        let want = self.serving.fetches.pop_front()?;
        let topic = self.tags.get(&want.tag).filter(|topic| self.shared.contains(topic));
        let page = topic.and_then(|topic| page_before(state, *topic, &want));
        let (previous, list) = page.unwrap_or_default();
        Some(Message::Fetched { handle: want.handle, previous, list })
    }
}

/// As many entries as fit into a message, oldest first, of which the last one is at the position of `want`.
/// `None` if it is not retained, is another one, or its log is frozen.
fn page_before(state: &State, topic: TopicId, want: &Want) -> Option<([u8; 32], Vec<WireEntry>)> {
    let key = LogKey { topic, author: want.author, epoch: want.epoch };
    let last = &state.entry_at(&key, want.after)?.entry;
    if state.head(&key).proof.is_some() || hash_prefix(&last.hash()) != want.hash {
        return None;
    }
    let mut previous = last.header().previous;
    let mut list = Vec::new();
    let mut bytes = 0;
    let mut seq = want.after;
    while let Some(stored) = state.entry_at(&key, seq) {
        let entry = WireEntry::of(&stored.entry);
        bytes += entry.bytes();
        if bytes > BATCH_BYTES_MAX && !list.is_empty() {
            break;
        }
        previous = stored.entry.header().previous;
        list.push(entry);
        seq -= 1;
    }
    list.reverse();
    Some((previous, list))
}
