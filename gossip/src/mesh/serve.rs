//! Serves topics to peers: heads, and entries from the peers' cursors on.

use std::collections::BTreeMap;

use super::digest::{Digests, Parts};
use super::link::{Cursor, Link};
use super::message::{Ask, Head, Message, StopReason, Want, WireEntry};
use super::tag::{Root, Tag};
use super::{LinkError, LinkId, Mesh, hash_prefix};
use crate::limits::{BATCH_BYTES_MAX, IN_FLIGHT_BYTES_MAX, SERVED_MAX};
use crate::log::LogKey;
use crate::state::State;
use crate::topic::TopicId;

/// The most heads in one message: about 64 KiB.
const HEADS_PER_MESSAGE: usize = 800;

/// The bytes after which an ASK takes no further topic.
const ASK_BYTES: usize = 64 << 10;

/// The most roots in one message: 64 KiB.
const ROOTS_PER_MESSAGE: usize = 2048;

/// The most wants in one message: about 80 KiB.
const WANTS_PER_MESSAGE: usize = 1000;

impl Mesh {
    pub(super) fn receive_ask(
        &mut self,
        state: &State,
        now_ms: u64,
        id: LinkId,
        list: &[Ask],
    ) -> Result<(), LinkError> {
        self.charge(now_ms, id)?;
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        // Each topic once: computing digests visits every log of the topic.
        let list: BTreeMap<&Tag, &Digests> =
            list.iter().map(|ask| (&ask.tag, &ask.digests)).collect();
        let mut forked = Vec::new();
        for (tag, digests) in list {
            if let Some(topic) = link.tags.get(tag).filter(|topic| link.shared.contains(topic)) {
                let parts = digests.differing(state, *topic, &link.binding);
                // A head does not say that a log is forked; the proof does.
                let frozen = state.heads(*topic).filter(|(_, log)| log.proof.is_some());
                forked.extend(frozen.map(|(key, _)| *key).filter(|key| parts.contains(key)));
                link.serving.announcing.insert(*topic, (parts, None));
            }
        }
        forked.into_iter().for_each(|key| self.prove(state, id, key));
        self.awake.insert(id);
        Ok(())
    }

    pub(super) fn receive_want(
        &mut self,
        state: &State,
        now_ms: u64,
        id: LinkId,
        wants: Vec<Want>,
    ) -> Result<(), LinkError> {
        let mut is_served = true;
        for want in wants {
            let Some(link) = self.links.get(&id) else { return Ok(()) };
            let cursors = &link.serving.cursors;
            if cursors.contains_key(&want.handle) {
                return Err(LinkError::Malformed);
            }
            if cursors.len() >= SERVED_MAX {
                return Err(LinkError::TooMany);
            }
            let topic = link.tags.get(&want.tag).filter(|topic| link.shared.contains(topic));
            let reason = match topic {
                None => {
                    is_served = false;
                    Some(StopReason::NotServed)
                }
                Some(&topic) => {
                    let key = LogKey { topic, author: want.author, epoch: want.epoch };
                    self.begin_cursor(state, id, key, &want)
                }
            };
            if let Some(reason) = reason {
                self.send(id, Message::Stop { handle: want.handle, reason });
            }
        }
        if is_served { Ok(()) } else { self.charge(now_ms, id) }
    }

    fn begin_cursor(
        &mut self,
        state: &State,
        id: LinkId,
        key: LogKey,
        want: &Want,
    ) -> Option<StopReason> {
        let log = state.head(&key);
        if let Some(fork) = log.fork() {
            self.prove(state, id, key);
            if want.after.saturating_add(1) >= fork {
                return Some(StopReason::Frozen);
            }
        }
        if want.after == log.head && !self.is_upstream(state, id, &key) {
            // The log is announced to the peer when it grows.
            self.links.get_mut(&id)?.serving.declined.insert(key);
            return Some(StopReason::NoSource);
        }
        let here = match state.entry_at(&key, want.after) {
            Some(stored) => Some(stored.entry.hash()),
            None if want.after == log.head => Some(log.head_hash),
            None => None,
        };
        if let Some(hash) = here
            && hash_prefix(&hash) != want.hash
        {
            self.dispute(state, id, &key, want.after);
            return Some(StopReason::Forked);
        }
        let serving = &mut self.links.get_mut(&id)?.serving;
        if let Some(before) = serving.handles.insert(key, want.handle) {
            serving.cursors.remove(&before);
        }
        serving.declined.remove(&key);
        serving.new_logs.remove(&key);
        let hash = if here.is_some() { None } else { Some(want.hash) };
        serving.cursors.insert(want.handle, Cursor { key, sent: want.after, hash, queued: false });
        serving.wake(&key);
        serving.tidy();
        self.awake.insert(id);
        None
    }

    /// Whether this node may be the source of a log for a peer with the same head. It is if it is the
    /// author, receives the log from the author, or has the smaller DID. Without this order, nodes could
    /// wait for each other in a circle.
    fn is_upstream(&self, state: &State, id: LinkId, key: &LogKey) -> bool {
        let peer = self.links.get(&id).map(|link| link.peer);
        let Some((us, peer)) = state.node().map(|node| node.did).zip(peer) else { return false };
        let source = self.sources.get(key);
        if us == key.author {
            return true;
        }
        if peer == key.author || source == Some(&id) {
            return false;
        }
        let direct = source.and_then(|source| self.links.get(source));
        direct.is_some_and(|link| link.peer == key.author) || us < peer
    }

    pub(super) fn receive_cease(&mut self, id: LinkId, handle: u64) {
        let Some(link) = self.links.get_mut(&id) else { return };
        // STOP was already sent for a cursor that this node has dropped itself.
        if link.serving.drop_cursor(handle).is_some() {
            self.send(id, Message::Stop { handle, reason: StopReason::Ceased });
        }
    }

    /// The next message to a peer. Control messages precede entries, which wait while too many bytes are
    /// in flight.
    pub(super) fn next_message(&mut self, state: &State, id: LinkId) -> Option<Message> {
        let link = self.links.get_mut(&id)?;
        if let Some(message) = link.outbox.pop_front() {
            return Some(message);
        }
        // All messages from here on are built from bounded sets, so a peer that does not read costs
        // bounded memory.
        if link.in_flight >= IN_FLIGHT_BYTES_MAX {
            return None;
        }
        if link.is_clock_due(self.now_ms) && link.outbound_budget.take(self.now_ms) {
            return Some(link.next_clock(self.now_ms, self.wall_ms));
        }
        if !link.wanting.outgoing.is_empty() {
            let count = link.wanting.outgoing.len().min(WANTS_PER_MESSAGE);
            return Some(Message::Want(link.wanting.outgoing.drain(..count).collect()));
        }
        if !link.wanting.asking.is_empty() && link.outbound_budget.take(self.now_ms) {
            return Some(link.ask(state));
        }
        if !link.serving.roots.is_empty() && link.outbound_budget.take(self.now_ms) {
            let roots = link.next_roots(state);
            if !roots.is_empty() {
                return Some(Message::Roots(roots));
            }
        }
        if link.is_find_due()
            && link.outbound_budget.take(self.now_ms)
            && let Some(find) = link.next_find()
        {
            return Some(find);
        }
        if !link.wanting.fetches.is_empty()
            && link.outbound_budget.take(self.now_ms)
            && let Some(fetch) = link.wanting.fetches.pop_front()
        {
            return Some(Message::Fetch(fetch));
        }
        if let Some(found) = link.next_found(state, &self.closed) {
            return Some(found);
        }
        if let Some(fetched) = link.next_fetched(state) {
            return Some(fetched);
        }
        if let Some(message) = link.next_announcement(state) {
            return Some(message);
        }
        if !link.serving.held.is_empty()
            && link.outbound_budget.take(self.now_ms)
            && let Some(held) = link.next_held()
        {
            return Some(held);
        }
        if let Some(offer) = link.next_offer(state, self.now_ms) {
            return Some(offer);
        }
        if let Some((topic, (parts, after))) = link.serving.announcing.pop_first() {
            return Some(announce_heads(state, link, topic, parts, after));
        }
        loop {
            let handle = link.serving.ready.pop_front()?;
            let Some(cursor) = link.serving.cursors.get_mut(&handle) else { continue };
            cursor.queued = false;
            match advance(state, handle, cursor) {
                Advance::Idle => {}
                Advance::Send(message) => {
                    // The cursor may have more entries; other cursors go first.
                    let key = cursor.key;
                    link.serving.wake(&key);
                    return Some(*message);
                }
                Advance::Forked(after) => {
                    let key = cursor.key;
                    link.serving.drop_cursor(handle);
                    let stop = Message::Stop { handle, reason: StopReason::Forked };
                    link.outbox.push_back(stop);
                    self.dispute(state, id, &key, after);
                    return self.links.get_mut(&id)?.outbox.pop_front();
                }
            }
        }
    }
}

impl Link {
    /// An ASK for as many of the waiting topics as fit into one message.
    fn ask(&mut self, state: &State) -> Message {
        let mut list = Vec::new();
        let mut bytes = 0;
        while bytes < ASK_BYTES
            && let Some(topic) = self.wanting.asking.pop_first()
        {
            let ask =
                Ask { tag: self.tag(&topic), digests: Digests::of(state, topic, &self.binding) };
            bytes += ask.bytes();
            list.push(ask);
        }
        Message::Ask(list)
    }

    /// The next page of roots. Topics that are no longer shared are left out.
    fn next_roots(&mut self, state: &State) -> Vec<(Tag, Root)> {
        let mut list = Vec::new();
        while list.len() < ROOTS_PER_MESSAGE
            && let Some(topic) = self.serving.roots.pop_first()
        {
            if self.shared.contains(&topic) {
                list.push((self.tag(&topic), Root::of(state, topic)));
            }
        }
        list
    }

    /// The next announcement: a proof, dispute, unsolicited heads or geneses.
    fn next_announcement(&mut self, state: &State) -> Option<Message> {
        if let Some(key) = self.serving.proofs.pop_first()
            && let Some(proof) = state.head(&key).proof
        {
            return Some(Message::Proof(proof));
        }
        if let Some((key, seq)) = self.serving.disputes.pop_first()
            && let Some(stored) = state.entry_at(&key, seq)
        {
            return Some(Message::Dispute(Box::new(stored.entry.clone())));
        }
        if let Some(first) = self.serving.new_logs.first() {
            let topic = first.topic;
            let new_logs = self.serving.new_logs.extract_if(LogKey::all_of(topic), |_| true);
            let heads = new_logs.take(HEADS_PER_MESSAGE).map(|key| {
                let (seq, hash) = state.head(&key).shared_head();
                head(&key, seq, &hash)
            });
            let list = heads.collect();
            return Some(Message::Heads {
                tag: self.tag(&topic),
                last: false,
                unsolicited: true,
                list,
            });
        }
        self.next_asked(state)
    }
}

/// The next page of a topic's heads.
fn announce_heads(
    state: &State,
    link: &mut Link,
    topic: TopicId,
    parts: Parts,
    after: Option<LogKey>,
) -> Message {
    let mut logs = state
        .heads_after(topic, after)
        .map(|(key, log)| (key, log.shared_head()))
        .filter(|(key, (seq, _))| *seq > 0 && parts.contains(key))
        .map(|(key, (seq, hash))| (*key, head(key, seq, &hash)));
    let page: Vec<(LogKey, Head)> = logs.by_ref().take(HEADS_PER_MESSAGE).collect();
    let last = logs.next().is_none();
    if let (false, Some((key, _))) = (last, page.last()) {
        link.serving.announcing.insert(topic, (parts, Some(*key)));
    }
    let list = page.into_iter().map(|(_, head)| head).collect();
    Message::Heads { tag: link.tag(&topic), last, unsolicited: false, list }
}

enum Advance {
    Idle,
    Send(Box<Message>),
    /// The receiver has a different entry at this sequence number.
    Forked(u64),
}

impl Advance {
    fn send(message: Message) -> Self {
        Self::Send(Box::new(message))
    }
}

/// Advances a cursor by one message.
fn advance(state: &State, handle: u64, cursor: &mut Cursor) -> Advance {
    let (end, end_hash) = state.head(&cursor.key).shared_head();
    if end <= cursor.sent {
        return Advance::Idle;
    }
    let first = state.next_entry(&cursor.key, cursor.sent + 1);
    let Some(first) = first.filter(|first| first.header().seq <= end) else {
        // All entries after the cursor are pruned.
        cursor.hash = None;
        cursor.sent = end;
        return Advance::send(Message::Base { handle, seq: end, hash: end_hash });
    };
    let header = first.header();
    if header.seq > cursor.sent + 1 {
        cursor.hash = None;
        cursor.sent = header.seq - 1;
        return Advance::send(Message::Base { handle, seq: cursor.sent, hash: header.previous });
    }
    if cursor.hash.take().is_some_and(|hash| hash != hash_prefix(&header.previous)) {
        return Advance::Forked(cursor.sent);
    }
    let mut list = Vec::new();
    let mut bytes = 0;
    while cursor.sent < end
        && let Some(stored) = state.entry_at(&cursor.key, cursor.sent + 1)
    {
        let entry = WireEntry::of(&stored.entry);
        bytes += entry.bytes();
        if bytes > BATCH_BYTES_MAX && !list.is_empty() {
            break;
        }
        list.push(entry);
        cursor.sent += 1;
    }
    Advance::send(Message::Entries { handle, first: header.seq, list })
}

fn head(key: &LogKey, seq: u64, hash: &[u8; 32]) -> Head {
    Head { author: key.author, epoch: key.epoch, seq, hash: hash_prefix(hash) }
}
