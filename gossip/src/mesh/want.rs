//! What this node gets from others: which log from whom, and what becomes of what comes.

use std::collections::BTreeMap;

use super::link::Wanted;
use super::message::{Head, Interest, Message, StopReason, Want, WireEntry};
use super::tag::{Root, Tag};
use super::{Action, Batch, LinkError, LinkId, Mesh, Purpose, short};
use crate::entry::{Entry, Position};
use crate::limits::INTERESTS_MAX;
use crate::log::{Log, LogKey};
use crate::mutation::{Mutation, Provenance};
use crate::state::State;
use crate::topic::Genesis;

/// How long a source that is known to have less than another may send nothing.
const STALL_MS: u64 = 2000;

/// How long the list of subscriptions rests after it was told.
const INTERESTS_PAUSE_MS: u64 = 100;

/// How long it may be true what a peer says about our own log.
const SUSPICION_MS: u64 = 2000;

impl Mesh {
    /// Tells a peer all the operator subscribes to; not at once if it was told just now, for it will
    /// not hear of it more often.
    pub(super) fn tell_interests(&mut self, state: &State, now_ms: u64, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.interests_stale =
            link.interests_ms.is_some_and(|told| now_ms < told + INTERESTS_PAUSE_MS);
        if link.interests_stale {
            return;
        }
        link.interests_ms = Some(now_ms);
        let own = state.subscriptions().filter(|(_, by, _)| *by == Provenance::Local);
        let mut interests: BTreeMap<Tag, Interest> = BTreeMap::new();
        for (name, _, wish) in own {
            let (tag, missing, named) = match (wish.topic, name.parse()) {
                (Some(topic), _) => (link.tag(&topic), false, false),
                (None, Ok(topic)) => (link.tag(&topic), true, false),
                (None, Err(_)) => (Tag::of_name(&link.binding, name), true, true),
            };
            interests.insert(tag, Interest { tag, missing, named });
        }
        let list = interests.into_values().take(INTERESTS_MAX).collect();
        self.say(id, Message::Interests { more: false, list });
    }

    pub(super) fn hear_topics(
        &mut self,
        state: &State,
        now_ms: u64,
        id: LinkId,
        list: Vec<Genesis>,
    ) -> Result<(), LinkError> {
        for genesis in list {
            let mut pending = state
                .subscriptions()
                .filter(|(_, by, wish)| *by == Provenance::Local && wish.topic.is_none());
            // Not asked for any more, or somebody else was faster.
            if !pending.any(|(name, ..)| genesis.is_called(name))
                || state.topic(&genesis.id()).is_some()
            {
                self.count("topic_not_wanted");
                self.charge(now_ms, id)?;
                continue;
            }
            genesis.verify().map_err(|_| LinkError::BadSignature)?;
            self.commit(Mutation::CreateTopic(genesis));
        }
        Ok(())
    }

    pub(super) fn hear_roots(
        &mut self,
        state: &State,
        now_ms: u64,
        id: LinkId,
        roots: &[(Tag, Root)],
    ) {
        let mut ask = Vec::new();
        let Some(link) = self.links.get_mut(&id) else { return };
        let mut served = Vec::new();
        for (tag, root) in roots {
            let Some(topic) = link.tags.get(tag).filter(|topic| self.wanted.contains(topic)) else {
                continue;
            };
            if link.serves.insert(*topic) {
                link.wanting.refused.retain(|key| key.topic != *topic);
                served.push(*topic);
            }
            if Root::of(state, *topic) == *root {
                self.compared.insert(*topic);
            } else if link.wanting.settled.get(topic) != Some(root) {
                link.wanting.asked.insert(*topic, *root);
                ask.push(*tag);
            }
        }
        if !ask.is_empty() {
            self.say(id, Message::Ask(ask));
        }
        for topic in served {
            let keys: Vec<LogKey> = state.heads(topic).map(|(key, _)| *key).collect();
            keys.into_iter().for_each(|key| self.plan(state, now_ms, key));
        }
    }

    pub(super) fn hear_heads(
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
            self.hear_head(state, now_ms, id, key, head);
        }
        let Some(link) = self.links.get_mut(&id) else { return };
        if last && let Some(root) = link.wanting.asked.remove(&topic) {
            link.wanting.settled.insert(topic, root);
            self.compared.insert(topic);
        }
    }

    fn hear_head(&mut self, state: &State, now_ms: u64, id: LinkId, key: LogKey, head: &Head) {
        let log = state.head(&key);
        if log.proof.is_some() {
            self.prove(state, id, key);
            return;
        }
        let Some(link) = self.links.get_mut(&id) else { return };
        link.serves.insert(key.topic);
        if head.seq <= log.head {
            let here = match state.entry_at(&key, head.seq) {
                Some(stored) => Some(stored.entry.hash()),
                None if head.seq == log.head => Some(log.head_hash),
                None => None,
            };
            if here.is_some_and(|hash| short(&hash) != head.hash) {
                self.dispute(state, id, &key, head.seq);
            }
            return;
        }
        link.wanting.told.insert(key, head.seq);
        link.wanting.refused.remove(&key);
        let ours =
            state.node().is_some_and(|node| (node.did, node.epoch) == (key.author, key.epoch));
        if ours && !std::mem::replace(&mut link.told_of_ours, true) {
            // It may be a lie; only an entry with our signature proves it. Until that has come, or
            // has had the time to, no place is used that may be taken.
            self.suspect_until_ms = now_ms + SUSPICION_MS;
        }
        self.plan(state, now_ms, key);
    }

    /// Decides where a log is to come from, and asks there.
    pub(super) fn plan(&mut self, state: &State, now_ms: u64, key: LogKey) {
        if !self.wanted.contains(&key.topic)
            || self.held.contains_key(&key)
            || self.verifying.contains_key(&key)
        {
            return;
        }
        let log = state.head(&key);
        if log.proof.is_some() {
            return;
        }
        let ours = state.node().is_some_and(|node| node.did == key.author);
        let best = self
            .links
            .iter()
            .filter(|(_, link)| link.serves.contains(&key.topic))
            .filter(|(_, link)| !link.wanting.refused.contains(&key))
            .map(|(id, link)| {
                let more = link.wanting.told.get(&key).is_some_and(|&told| told > log.head);
                let whole = !link.wanting.gaps.contains(&key);
                ((link.peer == key.author, whole, more), *id)
            })
            // Of our own log there is something to get only where there is more of it.
            .filter(|((_, _, more), _)| *more || !ours)
            .max_by_key(|(rank, id)| (*rank, std::cmp::Reverse(*id)));
        let Some(((is_author, ..), best)) = best else { return };
        match self.sources.get(&key) {
            None => self.want(now_ms, best, key, &log),
            // The way is shorter from its author. What is under way from there comes in first.
            Some(source) if *source != best && is_author => self.cease(key),
            Some(_) => {}
        }
    }

    fn want(&mut self, now_ms: u64, id: LinkId, key: LogKey, log: &Log) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let handle = link.wanting.next_handle;
        link.wanting.next_handle += 1;
        let (next, previous) = (log.head + 1, log.head_hash);
        link.wanting.handles.insert(key, handle);
        let (after_gap, ceased, progress_ms) = (false, false, now_ms);
        let wanted = Wanted { key, next, previous, after_gap, ceased, progress_ms };
        link.wanting.wants.insert(handle, wanted);
        let (tag, hash) = (link.tag(&key.topic), short(&previous));
        let (author, epoch, after) = (key.author, key.epoch, log.head);
        link.wanting.outgoing.push(Want { handle, tag, author, epoch, after, hash });
        self.sources.insert(key, id);
        self.awake.insert(id);
    }

    /// Asks the source of a log to stop. It stays the source until it has.
    pub(super) fn cease(&mut self, key: LogKey) {
        let Some(id) = self.sources.get(&key).copied() else { return };
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(handle) = link.wanting.handles.get(&key).copied() else { return };
        let Some(wanted) = link.wanting.wants.get_mut(&handle) else { return };
        if !std::mem::replace(&mut wanted.ceased, true) {
            // The want may not have left yet; it must before this.
            let outgoing = std::mem::take(&mut link.wanting.outgoing);
            if !outgoing.is_empty() {
                link.outbox.push_back(Message::Want(outgoing));
            }
            self.say(id, Message::Cease(handle));
        }
    }

    pub(super) fn hear_stop(
        &mut self,
        state: &State,
        now_ms: u64,
        id: LinkId,
        handle: u64,
        reason: StopReason,
    ) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(wanted) = link.wanting.forget(handle) else { return };
        let key = wanted.key;
        if reason != StopReason::Ceased {
            link.wanting.refused.insert(key);
            link.wanting.told.remove(&key);
        }
        if reason == StopReason::NotServed {
            link.serves.remove(&key.topic);
        }
        self.sources.remove(&key);
        self.plan(state, now_ms, key);
    }

    pub(super) fn hear_base(
        &mut self,
        state: &State,
        now_ms: u64,
        id: LinkId,
        handle: u64,
        seq: u64,
        hash: [u8; 32],
    ) -> Result<(), LinkError> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        let wanted = link.wanting.wants.get_mut(&handle).ok_or(LinkError::Unasked)?;
        let key = wanted.key;
        if seq < wanted.next {
            return Err(LinkError::Unasked);
        }
        (wanted.next, wanted.previous, wanted.after_gap) = (seq + 1, hash, true);
        wanted.progress_ms = now_ms;
        link.wanting.gaps.insert(key);
        let elsewhere = self.links.values().any(|link| {
            link.serves.contains(&key.topic)
                && !link.wanting.gaps.contains(&key)
                && link.wanting.told.get(&key).is_some_and(|told| *told > state.head(&key).head)
        });
        if elsewhere {
            self.cease(key);
        }
        Ok(())
    }

    pub(super) fn hear_entries(
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
        if wanted.ceased {
            self.count("after_cease");
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
        *self.verifying.entry(key).or_default() += entries.len();
        let purpose = Purpose::Take { key, after_gap };
        self.act(Action::Verify(Batch { link: id, purpose, entries }));
        Ok(())
    }

    /// Leaves sources that send nothing although another link has told of more.
    pub(super) fn leave_stalled(&mut self, state: &State, now_ms: u64) {
        let mut stalled = Vec::new();
        for (id, link) in &self.links {
            for (key, told) in &link.wanting.told {
                let Some(source) = self.sources.get(key).filter(|source| *source != id) else {
                    continue;
                };
                let Some(other) = self.links.get(source) else { continue };
                let progress = other.wanting.handles.get(key);
                let progress = progress.and_then(|handle| other.wanting.wants.get(handle));
                let idle = progress.is_some_and(|wanted| {
                    !wanted.ceased && now_ms.saturating_sub(wanted.progress_ms) >= STALL_MS
                });
                if idle && *told > state.head(key).head && !self.verifying.contains_key(key) {
                    stalled.push((*source, *key));
                }
            }
        }
        for (source, key) in stalled {
            self.count("stalled");
            if let Some(link) = self.links.get_mut(&source) {
                link.wanting.refused.insert(key);
                link.wanting.told.remove(&key);
            }
            self.cease(key);
        }
    }
}
