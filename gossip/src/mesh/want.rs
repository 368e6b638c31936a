//! Receives topics from peers: chooses the source of each log and assembles its entries.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::link::ActiveWant;
use super::message::{Head, Message, StopReason, Want, WireEntry};
use super::tag::{Root, Tag};
use super::{Action, Batch, Counter, IDLE_MS, LinkError, LinkId, Mesh, Purpose, Step, hash_prefix};
use crate::entry::{Entry, Position};
use crate::limits::{SERVED_MAX, WANTS_MAX};
use crate::log::{Log, LogKey};
use crate::state::State;
use crate::topic::TopicId;

/// How long other peers have to announce a log from its beginning.
const MISSING_START_MS: u64 = 2000;

/// How long other peers have to announce entries that are missing in the middle of a log.
const MISSING_MIDDLE_MS: u64 = 30_000;

impl Mesh {
    pub(super) fn receive_roots(
        &mut self,
        state: &State,
        now_ms: u64,
        id: LinkId,
        roots: &[(Tag, Root)],
    ) -> Result<(), LinkError> {
        self.charge(now_ms, id)?;
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        // Each topic once: computing a root visits every log of the topic.
        let roots: BTreeMap<&Tag, &Root> = roots.iter().map(|(tag, root)| (tag, root)).collect();
        let mut served = Vec::new();
        for (tag, root) in roots {
            let Some(topic) = link.tags.get(tag).filter(|topic| self.wanted.contains(topic)) else {
                continue;
            };
            if link.serves.insert(*topic) {
                let of_topic = link.wanting.excluded.extract_if(LogKey::all_of(*topic), |_| true);
                of_topic.for_each(drop);
                served.push(*topic);
            }
            if Root::of(state, *topic) != *root && link.wanting.answered.get(topic) != Some(root) {
                link.wanting.asked.insert(*topic, *root);
                link.wanting.asking.insert(*topic);
            }
        }
        self.awake.insert(id);
        for topic in served {
            let keys: Vec<LogKey> = state.heads(topic).map(|(key, _)| *key).collect();
            keys.into_iter().for_each(|key| self.choose_source(state, now_ms, key));
        }
        Ok(())
    }

    pub(super) fn receive_heads(
        &mut self,
        state: &State,
        now_ms: u64,
        id: LinkId,
        tag: Tag,
        last: bool,
        heads: &[Head],
    ) {
        let Some(link) = self.links.get(&id) else { return };
        let topic = link.tags.get(&tag).copied();
        let Some(topic) = topic.filter(|topic| self.wanted.contains(topic)) else { return };
        for head in heads {
            let key = LogKey { topic, author: head.author, epoch: head.epoch };
            self.receive_head(state, now_ms, id, key, head);
        }
        let Some(link) = self.links.get_mut(&id) else { return };
        if last && let Some(root) = link.wanting.asked.remove(&topic) {
            // An answer that did not fit into memory is requested again.
            if link.wanting.announced.len() < SERVED_MAX {
                link.wanting.answered.insert(topic, root);
            }
        }
    }

    fn receive_head(&mut self, state: &State, now_ms: u64, id: LinkId, key: LogKey, head: &Head) {
        let log = state.head(&key);
        let fork = log.fork().unwrap_or(u64::MAX);
        if head.seq >= fork {
            self.prove(state, id, key);
        }
        let Some(link) = self.links.get_mut(&id) else { return };
        link.serves.insert(key.topic);
        // A log whose author may not write is not received.
        if state.may_write(&key.topic, &key.author).is_err() {
            self.count(Counter::HeadWithoutAccess);
            return;
        }
        // What the peer has from the fork on is of no use; it has what is before it, too.
        if head.seq <= log.head || !log.is_open() {
            if head.seq >= fork {
                return;
            }
            let here = match state.entry_at(&key, head.seq) {
                Some(stored) => Some(stored.entry.hash()),
                None if head.seq == log.head => Some(log.head_hash),
                None => None,
            };
            if here.is_some_and(|hash| hash_prefix(&hash) != head.hash) {
                self.dispute(state, id, &key, head.seq);
            }
            return;
        }
        if link.wanting.announced.len() >= SERVED_MAX && !link.wanting.announced.contains_key(&key)
        {
            self.count(Counter::HeadNotRemembered);
            return;
        }
        link.wanting.announced.insert(key, head.seq.min(fork.saturating_sub(1)));
        link.wanting.excluded.remove(&key);
        self.choose_source(state, now_ms, key);
    }

    /// Chooses the best source of a log and sends a want to it.
    pub(super) fn choose_source(&mut self, state: &State, now_ms: u64, key: LogKey) {
        if !self.wanted.contains(&key.topic)
            || self.is_paused(&key, now_ms)
            || self.pending.contains_key(&key)
            || state.may_write(&key.topic, &key.author).is_err()
        {
            return;
        }
        let log = state.head(&key);
        if !log.is_open() {
            return;
        }
        let ours = state.node().is_some_and(|node| node.did == key.author);
        let newest = state.arrived_ms(&key, log.head);
        let is_idle = newest.is_none_or(|newest| newest + IDLE_MS < self.node_ms);
        let best = self
            .links
            .iter()
            .filter(|(_, link)| link.serves.contains(&key.topic))
            .filter(|(_, link)| !link.wanting.excluded.contains(&key))
            .map(|(id, link)| {
                let more =
                    link.wanting.announced.get(&key).is_some_and(|&announced| announced > log.head);
                let gap = link.wanting.gaps.get(&key).copied();
                // Other peers may still have entries that the author has pruned.
                let has_room = link.wanting.wants.len() < WANTS_MAX;
                ((has_room, gap.is_none(), link.peer == key.author, more, Reverse(gap)), *id)
            })
            // An idle log or an own one is wanted only from a peer that has announced more entries.
            .filter(|((.., more, _), _)| *more || !(ours || is_idle))
            .max_by_key(|(rank, id)| (*rank, Reverse(*id)));
        let Some(((has_room, whole, author, ..), best)) = best else { return };
        let source = self.sources.get(&key).copied();
        if !has_room {
            if source.is_none() {
                self.count(Counter::LogLeftOut);
            }
            return;
        }
        match source {
            // The path from the author is shorter.
            Some(source) if source != best && author => self.cease(now_ms, key, false),
            Some(_) => {}
            None if whole || self.may_skip_gap(now_ms, key, log.head) => {
                self.want(now_ms, best, key, &log);
            }
            None => {}
        }
    }

    /// Whether a log may be received after a gap: other peers had time to announce the missing entries.
    fn may_skip_gap(&mut self, now_ms: u64, key: LogKey, head: u64) -> bool {
        if let Some(until_ms) = self.gaps.get(&key) {
            return now_ms >= *until_ms;
        }
        self.gaps
            .insert(key, now_ms + if head == 0 { MISSING_START_MS } else { MISSING_MIDDLE_MS });
        self.ask_all(key.topic);
        false
    }

    /// Asks every peer that serves a topic for its heads.
    pub(super) fn ask_all(&mut self, topic: TopicId) {
        for (id, link) in &mut self.links {
            if link.serves.contains(&topic) {
                link.wanting.answered.remove(&topic);
                link.wanting.asking.insert(topic);
                self.awake.insert(*id);
            }
        }
    }

    fn want(&mut self, now_ms: u64, id: LinkId, key: LogKey, log: &Log) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let handle = link.wanting.next_handle;
        link.wanting.next_handle += 1;
        let next = log.head + 1;
        let previous = log.head_hash;
        link.wanting.handles.insert(key, handle);
        let wanted = ActiveWant {
            key,
            next,
            previous,
            after_gap: false,
            since_ms: now_ms,
            progress_ms: now_ms,
            ceased_ms: None,
            discarded: false,
        };
        link.wanting.wants.insert(handle, wanted);
        let tag = link.tag(&key.topic);
        let hash = hash_prefix(&previous);
        let author = key.author;
        let epoch = key.epoch;
        let after = log.head;
        link.wanting.outgoing.push(Want { handle, tag, author, epoch, after, hash });
        self.sources.insert(key, id);
        self.awake.insert(id);
    }

    /// Sends CEASE to the source of a log. It stays the source until its STOP; entries received until
    /// then are used unless `discarded`.
    pub(super) fn cease(&mut self, now_ms: u64, key: LogKey, discarded: bool) {
        let Some(id) = self.sources.get(&key).copied() else { return };
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(handle) = link.wanting.handles.get(&key).copied() else { return };
        let Some(wanted) = link.wanting.wants.get_mut(&handle) else { return };
        if let Some(at) = link.wanting.outgoing.iter().position(|want| want.handle == handle) {
            // The want was not sent yet and is withdrawn.
            link.wanting.outgoing.remove(at);
            link.wanting.forget(handle);
            self.sources.remove(&key);
            self.steps.push_back(Step::ChooseSource(key));
            return;
        }
        wanted.discarded |= discarded;
        if wanted.ceased_ms.is_none() {
            wanted.ceased_ms = Some(now_ms);
            self.send(id, Message::Cease(handle));
        }
    }

    pub(super) fn receive_stop(
        &mut self,
        state: &State,
        now_ms: u64,
        id: LinkId,
        handle: u64,
        reason: StopReason,
    ) {
        let Some(link) = self.links.get_mut(&id) else { return };
        // A peer that was replaced before is no source any more.
        let Some(ActiveWant { key, ceased_ms, .. }) = link.wanting.forget(handle) else { return };
        // A peer that stops without a CEASE would otherwise be asked again at once, in a loop.
        if reason != StopReason::Ceased || ceased_ms.is_none() {
            link.wanting.exclude(key);
        }
        if reason == StopReason::NotServed {
            link.serves.remove(&key.topic);
        }
        self.sources.remove(&key);
        self.choose_source(state, now_ms, key);
    }

    pub(super) fn receive_base(
        &mut self,
        now_ms: u64,
        id: LinkId,
        handle: u64,
        seq: u64,
        hash: [u8; 32],
    ) -> Result<(), LinkError> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        let wanted = link.wanting.wants.get_mut(&handle).ok_or(LinkError::Unasked)?;
        let key = wanted.key;
        if wanted.discarded {
            return Ok(());
        }
        if seq < wanted.next {
            return Err(LinkError::Unasked);
        }
        link.wanting.gaps.insert(key, seq);
        if self.gaps.get(&key).is_some_and(|until_ms| now_ms >= *until_ms) {
            (wanted.next, wanted.previous, wanted.after_gap) = (seq + 1, hash, true);
            wanted.progress_ms = now_ms;
        } else {
            self.cease(now_ms, key, true);
        }
        Ok(())
    }

    pub(super) fn receive_entries(
        &mut self,
        state: &State,
        now_ms: u64,
        id: LinkId,
        handle: u64,
        first: u64,
        list: Vec<WireEntry>,
    ) -> Result<(), LinkError> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        let wanted = link.wanting.wants.get_mut(&handle).ok_or(LinkError::Unasked)?;
        if wanted.discarded {
            self.count(Counter::AfterCease);
            return Ok(());
        }
        let Some(node) = state.node() else { return Ok(()) };
        if first != wanted.next {
            return Err(LinkError::Unasked);
        }
        wanted.progress_ms = now_ms;
        let key = wanted.key;
        let mut entries = Vec::with_capacity(list.len());
        for entry in list {
            let position = Position {
                network: node.network,
                topic: key.topic,
                epoch: key.epoch,
                seq: wanted.next,
                previous: wanted.previous,
                access_version: entry.access_version,
                time_ms: entry.time_ms,
            };
            let WireEntry { kind, signature, payload, .. } = entry;
            let entry = Entry::assemble(kind, key.author, &position, payload, signature);
            (wanted.next, wanted.previous) = (wanted.next + 1, entry.hash());
            entries.push(entry);
        }
        let after_gap = std::mem::take(&mut wanted.after_gap);
        *self.pending.entry(key).or_default() += entries.len();
        let purpose = Purpose::Append { key, after_gap };
        self.emit(Action::Verify(Batch { link: id, purpose, entries }));
        Ok(())
    }
}
