//! What this node gets from others: which log from whom, and what becomes of what comes.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::link::{Pause, Wanted};
use super::message::{Head, Interest, Message, StopReason, Want, WireEntry};
use super::tag::{Root, Tag};
use super::{Action, Batch, LinkError, LinkId, Mesh, Purpose, RESTING_MS, short};
use crate::entry::{Entry, Position};
use crate::limits::{INTERESTS_MAX, WANTS_MAX};
use crate::log::{Log, LogKey};
use crate::mutation::{Mutation, Provenance};
use crate::state::State;
use crate::topic::{Genesis, TopicId};

/// How long a source that has sent less than another has told of may send next to nothing, and how long
/// it may take to stop.
const STALL_MS: u64 = 2000;

/// What is next to nothing.
const STALL_BYTES: usize = 64 << 10;

/// How many wants of a link may be without an answer to a CEASE.
const GIVEN_UP_MAX: usize = 1024;

/// How long others have to say that they have a log from its beginning.
const GAP_MS: u64 = 2000;

/// How long they have when it is a hole in a log of which there is something.
const HOLE_MS: u64 = 30_000;

/// How long the list of subscriptions rests after it was told.
const INTERESTS_PAUSE_MS: u64 = 100;

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
        let (mut ask, mut served) = (Vec::new(), Vec::new());
        for (tag, root) in roots {
            let Some(topic) = self.common(state, id, tag) else { continue };
            let Some(link) = self.links.get_mut(&id) else { return };
            if link.serves.insert(topic) {
                link.wanting.refused.retain(|key, _| key.topic != topic);
                served.push(topic);
            }
            let ours = Root::of(state, topic);
            if ours != *root && link.wanting.settled.get(&topic) != Some(&(*root, ours)) {
                link.wanting.asked.insert(topic, (*root, false));
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

    /// The topic with this tag, if it is wanted here and the peer may know of it: whoever may not is
    /// not heard, so that no answer tells it anything.
    fn common(&self, state: &State, id: LinkId, tag: &Tag) -> Option<TopicId> {
        let topic = self.links.get(&id)?.tags.get(tag).copied()?;
        (self.wanted.contains(&topic) && self.may_read(state, id, &topic)).then_some(topic)
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
        let Some(topic) = self.common(state, id, &tag) else { return };
        for head in heads {
            let key = LogKey { topic, author: head.author, epoch: head.epoch };
            self.hear_head(state, now_ms, id, key, head);
        }
        let Some(link) = self.links.get_mut(&id) else { return };
        if last
            && let Some((root, new)) = link.wanting.asked.remove(&topic)
            && !new
        {
            // They differ, and nothing can be done about it: not again until one of them changes.
            link.wanting.settled.insert(topic, (root, Root::of(state, topic)));
        }
    }

    fn hear_head(&mut self, state: &State, now_ms: u64, id: LinkId, key: LogKey, head: &Head) {
        let log = state.head(&key);
        if log.proof.is_some() {
            self.prove(state, id, key);
            return;
        }
        let Some(link) = self.links.get_mut(&id) else { return };
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
        link.serves.insert(key.topic);
        link.wanting.told.insert(key, head.seq);
        if link.wanting.refused.get(&key).is_some_and(Pause::is_endless) {
            link.wanting.refused.remove(&key);
        }
        if let Some((_, new)) = link.wanting.asked.get_mut(&key.topic) {
            *new = true;
        }
        self.plan(state, now_ms, key);
    }

    /// Decides where a log is to come from, and asks there.
    pub(super) fn plan(&mut self, state: &State, now_ms: u64, key: LogKey) {
        if !self.wanted.contains(&key.topic)
            || self.is_held(&key, now_ms)
            || self.verifying.contains_key(&key)
            || state.may_write(&key.topic, &key.author).is_err()
        {
            return;
        }
        let log = state.head(&key);
        if log.proof.is_some() {
            return;
        }
        let ours = state.node().is_some_and(|node| node.did == key.author);
        let newest = state.entry_at(&key, log.head).map(|stored| stored.received_ms);
        let rests = newest.is_none_or(|newest| newest + RESTING_MS < now_ms);
        let best = self
            .links
            .iter()
            .filter(|(_, link)| link.serves.contains(&key.topic))
            .filter(|(_, link)| !link.wanting.is_refused(&key, now_ms))
            .filter(|(_, link)| link.wanting.handles.len() < WANTS_MAX)
            .map(|(id, link)| {
                let more = link.wanting.told.get(&key).is_some_and(|&told| told > log.head);
                let gap = link.wanting.gaps.get(&key).copied();
                let author = link.peer == key.author;
                ((author, gap.is_none(), more, Reverse(gap)), *id)
            })
            // Where nothing new is to be expected there is something to get only where there is more.
            .filter(|((_, _, more, _), _)| *more || !(ours || rests))
            .max_by_key(|(rank, id)| (*rank, Reverse(*id)));
        let Some(((author, whole, ..), best)) = best else { return };
        match self.sources.get(&key).copied() {
            Some(source) if source != best && author => self.cease(now_ms, key, false),
            Some(_) => {}
            None if whole || author || self.may_jump(state, now_ms, key, log.head) => {
                self.want(now_ms, best, key, &log);
            }
            None => {}
        }
    }

    /// Whether a log may begin after a gap: somebody else may have what is in it, and has the time
    /// to say so.
    fn may_jump(&mut self, state: &State, now_ms: u64, key: LogKey, head: u64) -> bool {
        if let Some(until_ms) = self.gaps.get(&key) {
            return now_ms >= *until_ms;
        }
        let patience_ms = if head == 0 { GAP_MS } else { HOLE_MS };
        self.gaps.insert(key, now_ms + patience_ms);
        self.ask_all(state, key.topic);
        false
    }

    /// Has everybody who serves a topic tell the heads.
    pub(super) fn ask_all(&mut self, state: &State, topic: TopicId) {
        let ids: Vec<LinkId> = self.links.keys().copied().collect();
        for id in ids {
            if !self.may_read(state, id, &topic) {
                continue;
            }
            let Some(link) = self.links.get_mut(&id) else { continue };
            if link.serves.contains(&topic) {
                link.wanting.settled.remove(&topic);
                let tag = link.tag(&topic);
                self.say(id, Message::Ask(vec![tag]));
            }
        }
    }

    fn want(&mut self, now_ms: u64, id: LinkId, key: LogKey, log: &Log) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let handle = link.wanting.next_handle;
        link.wanting.next_handle += 1;
        link.wanting.handles.insert(key, handle);
        let previous = log.head_hash;
        let wanted = Wanted {
            key,
            next: log.head + 1,
            previous,
            after_gap: false,
            ceased_ms: None,
            discarded: false,
            since_ms: now_ms,
            bytes: 0,
        };
        link.wanting.wants.insert(handle, wanted);
        let (tag, hash) = (link.tag(&key.topic), short(&previous));
        let (author, epoch, after) = (key.author, key.epoch, log.head);
        link.wanting.outgoing.push(Want { handle, tag, author, epoch, after, hash });
        self.sources.insert(key, id);
        self.awake.insert(id);
    }

    /// Asks the source of a log to stop. It stays the source until it has; what comes until then is
    /// of use unless it is to be `discarded`.
    pub(super) fn cease(&mut self, now_ms: u64, key: LogKey, discarded: bool) {
        let Some(id) = self.sources.get(&key).copied() else { return };
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(handle) = link.wanting.handles.get(&key).copied() else { return };
        let Some(wanted) = link.wanting.wants.get_mut(&handle) else { return };
        wanted.discarded |= discarded;
        if wanted.ceased_ms.is_some() {
            return;
        }
        wanted.ceased_ms = Some(now_ms);
        // The want may not have left yet; it must before this.
        let outgoing = std::mem::take(&mut link.wanting.outgoing);
        if !outgoing.is_empty() {
            link.outbox.push_back(Message::Want(outgoing));
        }
        self.say(id, Message::Cease(handle));
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
        if self.sources.get(&key) != Some(&id) || link.wanting.handles.contains_key(&key) {
            // It was given up before.
            return;
        }
        match reason {
            StopReason::Ceased if wanted.ceased_ms.is_some() => {}
            StopReason::NoSource => {
                link.wanting.refused.insert(key, Pause::ENDLESS);
                link.wanting.told.remove(&key);
            }
            StopReason::NotServed => {
                link.serves.remove(&key.topic);
            }
            _ => link.wanting.refused.entry(key).or_default().begin(now_ms),
        }
        self.sources.remove(&key);
        self.plan(state, now_ms, key);
    }

    pub(super) fn hear_base(
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
        let patient = self.gaps.get(&key).is_some_and(|until_ms| now_ms >= *until_ms);
        if patient || link.peer == key.author {
            (wanted.next, wanted.previous, wanted.after_gap) = (seq + 1, hash, true);
        } else {
            self.cease(now_ms, key, true);
        }
        Ok(())
    }

    pub(super) fn hear_entries(
        &mut self,
        state: &State,
        id: LinkId,
        handle: u64,
        first: u64,
        list: Vec<WireEntry>,
    ) -> Result<(), LinkError> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        let wanted = link.wanting.wants.get_mut(&handle).ok_or(LinkError::Unasked)?;
        if wanted.discarded {
            self.count("after_cease");
            return Ok(());
        }
        let Some(node) = state.node() else { return Ok(()) };
        if first != wanted.next {
            return Err(LinkError::Unasked);
        }
        wanted.bytes += list.iter().map(WireEntry::bytes).sum::<usize>();
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

    /// Leaves sources that send next to nothing although another link has told of more, and those that
    /// do not stop.
    pub(super) fn leave_stalled(&mut self, state: &State, now_ms: u64) {
        let mut most: BTreeMap<LogKey, u64> = BTreeMap::new();
        for link in self.links.values() {
            for (key, told) in &link.wanting.told {
                let known = most.entry(*key).or_default();
                *known = (*told).max(*known);
            }
        }
        let (mut stalled, mut deaf) = (Vec::new(), Vec::new());
        for (id, link) in &mut self.links {
            for (handle, wanted) in &mut link.wanting.wants {
                if let Some(ceased_ms) = wanted.ceased_ms {
                    let current = link.wanting.handles.get(&wanted.key) == Some(handle);
                    if current && ceased_ms + STALL_MS <= now_ms {
                        deaf.push((*id, *handle, wanted.key));
                    }
                } else if wanted.since_ms + STALL_MS <= now_ms {
                    let told = most.get(&wanted.key).copied().unwrap_or(0);
                    let log = state.head(&wanted.key);
                    let behind = told > log.head.max(wanted.next - 1);
                    if behind && wanted.bytes < STALL_BYTES {
                        stalled.push((*id, wanted.key));
                    }
                    (wanted.since_ms, wanted.bytes) = (now_ms, 0);
                }
            }
        }
        for (id, key) in stalled {
            self.count("stalled");
            if let Some(link) = self.links.get_mut(&id) {
                link.wanting.refused.entry(key).or_default().begin(now_ms);
            }
            self.cease(now_ms, key, false);
        }
        for (id, handle, key) in deaf {
            self.count("does_not_stop");
            let Some(link) = self.links.get_mut(&id) else { continue };
            link.wanting.handles.remove(&key);
            link.wanting.refused.entry(key).or_default().begin(now_ms);
            if let Some(wanted) = link.wanting.wants.get_mut(&handle) {
                wanted.discarded = true;
            }
            let given_up = link.wanting.wants.len() - link.wanting.handles.len();
            self.sources.remove(&key);
            if given_up > GIVEN_UP_MAX {
                self.close(state, now_ms, id, LinkError::Unasked);
            } else {
                self.plan(state, now_ms, key);
            }
        }
    }
}
