//! Applies mutations: the only code that changes the state.

use super::{NodeId, Outcome, Peer, State, Stored, Subscription, Topic, UnsignedKey};
use crate::card::KeyCard;
use crate::clock_stamp::ClockStamp;
use crate::entry::Entry;
use crate::limits::{PENDING_MAX, SUBSCRIBERS_MAX};
use crate::log::{LogKey, Relation};
use crate::mutation::{Mutation, Provenance};
use crate::reject::{BoundedList, Reject};
use crate::topic::{Genesis, TopicId, name_is_valid};
use crate::topic_ref::TopicRef;

impl State {
    /// Applies the mutation that was logged as `lsn`. Total and deterministic: an inadmissible mutation is
    /// rejected here, even if an earlier check has passed it.
    ///
    /// Signatures are *not* checked: they were checked at admission, and a checksum protects each record of
    /// the write-ahead log.
    pub fn apply(&mut self, lsn: u64, mutation: Mutation) -> Outcome {
        let result = match mutation {
            Mutation::Init { did, network, epoch, clock } => {
                self.init(NodeId { did, network, epoch }, clock)
            }
            Mutation::CreateTopic(genesis) => self.create_topic(genesis),
            Mutation::DeleteTopic(topic) => self.delete_topic(topic),
            Mutation::Subscribe { topic, by, time_ms } => self.subscribe(topic, by, time_ms),
            Mutation::Unsubscribe { topic, by } => Ok(self.unsubscribe(topic, by)),
            Mutation::Append { entry, received_ms } => self.append(lsn, entry, received_ms),
            Mutation::AppendAfterGap { entry, received_ms } => {
                self.append_after_gap(lsn, entry, received_ms)
            }
            Mutation::Readmit { entry, received_ms } => self.readmit(lsn, entry, received_ms),
            Mutation::Freeze(entries) => self.freeze(*entries),
            Mutation::Fork(entries) => self.fork(*entries),
            Mutation::PublishAgain { entry, received_ms, epoch, seq } => {
                self.publish_again(lsn, entry, received_ms, epoch, seq)
            }
            Mutation::BeginEpoch(epoch) => match self.node.as_mut() {
                Some(node) => {
                    node.epoch = epoch;
                    Ok(Outcome::Done)
                }
                None => Err(Reject::Identity),
            },
            Mutation::Prune { topic, through } => Ok(self.prune(topic, through)),
            Mutation::AddPeer { card, named, time_ms } => Ok(self.keep_card(card, named, time_ms)),
            Mutation::SetAddress { did, address } => Ok(match self.peers.get_mut(&did) {
                Some(peer) if peer.address != Some(address) => {
                    peer.address = Some(address);
                    Outcome::Done
                }
                _ => Outcome::Duplicate,
            }),
            Mutation::RemovePeer(did) => {
                let card = self.peers.remove(&did).is_some();
                let key = self.unsigned_keys.remove(&did).is_some();
                Ok(if card || key { Outcome::Done } else { Outcome::Duplicate })
            }
            Mutation::AddUnsignedKey { did, x25519, time_ms } => {
                if self.peers.contains_key(&did) || self.unsigned_keys.contains_key(&did) {
                    return Outcome::Duplicate;
                }
                self.unsigned_keys.insert(did, UnsignedKey { x25519, added_ms: time_ms });
                Ok(Outcome::Done)
            }
            Mutation::MoveCursor { topic, name, arrival } => self.move_cursor(topic, name, arrival),
            Mutation::DeleteCursor { topic, name } => Ok(self.delete_cursor(topic, name)),
            Mutation::StampClock(stamp) => Ok(match self.clock {
                Some(known) if known.node_ms > stamp.node_ms => Outcome::Duplicate,
                known => {
                    // An older build has received the entries by a wall clock, which may have been ahead.
                    if known.is_none() {
                        self.received_by(stamp.node_ms);
                    }
                    self.clock = Some(stamp);
                    Outcome::Done
                }
            }),
        };
        result.unwrap_or_else(Outcome::Rejected)
    }

    fn init(&mut self, node: NodeId, clock: Option<ClockStamp>) -> Result<Outcome, Reject> {
        match self.node {
            None => {
                self.node = Some(node);
                self.clock = clock;
                Ok(Outcome::Done)
            }
            Some(known) if known.did == node.did && known.network == node.network => {
                Ok(Outcome::Duplicate)
            }
            Some(_) => Err(Reject::Identity),
        }
    }

    fn create_topic(&mut self, genesis: Genesis) -> Result<Outcome, Reject> {
        let id = genesis.id();
        if !name_is_valid(&genesis.spec.name) {
            return Err(Reject::BadName);
        }
        if self.node.is_none_or(|node| node.network != genesis.network) {
            return Err(Reject::WrongNetwork);
        }
        if self.topics.contains_key(&id) {
            return Err(Reject::TopicExists { id });
        }
        let texts = TopicRef::texts(&genesis);
        let meant = texts.iter().flat_map(|text| self.subscriptions_by(text));
        let waiting = meant.filter(|(_, subscription)| subscription.topic.is_none());
        let bound = waiting.map(|(key, subscription)| {
            (key.clone(), Subscription { topic: Some(id), ..*subscription })
        });
        let waiting: Vec<_> = bound.collect();
        self.topics
            .insert(id, Topic { genesis, access_version: 1, entries: 0, bytes: 0, readmitted: 0 });
        self.room.forget();
        for ((name, by), subscription) in waiting {
            // A peer that may not read the topic does not keep a subscription made before it was known.
            let admitted = match by {
                Provenance::Local => true,
                Provenance::Peer(did) => self.may_read(&id, &did).is_ok(),
            };
            if admitted {
                self.subscriptions.insert((name, by), subscription);
            } else {
                self.subscriptions.remove(&(name, by));
            }
        }
        Ok(Outcome::TopicCreated(id))
    }

    fn delete_topic(&mut self, id: TopicId) -> Result<Outcome, Reject> {
        if !self.topics.contains_key(&id) {
            return Err(Reject::UnknownTopic { name: id.to_string() });
        }
        let last = self.next_arrivals.get(&id).copied().unwrap_or(0);
        self.prune(id, last);
        self.topics.remove(&id);
        self.room.forget();
        let others =
            self.subscriptions.iter().filter(|(_, subscription)| subscription.topic != Some(id));
        self.subscriptions =
            others.map(|(key, subscription)| (key.clone(), *subscription)).collect();
        self.delete_cursors(id);
        Ok(Outcome::Done)
    }

    fn subscribe(
        &mut self,
        name: String,
        by: Provenance,
        since_ms: u64,
    ) -> Result<Outcome, Reject> {
        let topic = match self.resolve(&name) {
            Ok(id) => Some(id),
            Err(Reject::UnknownTopic { .. }) if TopicRef::parse(&name).is_some() => None,
            Err(reject) => return Err(reject),
        };
        if let (Some(id), Provenance::Peer(did)) = (topic, by) {
            self.may_read(&id, &did)?;
        }
        if self.subscriptions.contains_key(&(name.clone(), by)) {
            return Ok(Outcome::Duplicate);
        }
        self.check_room(&name, topic, by)?;
        self.subscriptions.insert((name, by), Subscription { topic, since_ms });
        Ok(Outcome::Subscribed { pending: topic.is_none() })
    }

    /// Whether there is room for a subscription. Those of the operator and of peers are counted apart, so
    /// that peers cannot use up the operator's room.
    fn check_room(&self, text: &str, topic: Option<TopicId>, by: Provenance) -> Result<(), Reject> {
        let local = |by| by == Provenance::Local;
        let genesis = topic.and_then(|id| self.topics.get(&id)).map(|topic| &topic.genesis);
        let texts = genesis.map_or_else(|| vec![text.to_owned()], |of| TopicRef::texts(of).into());
        let alike = texts.iter().flat_map(|text| self.subscriptions_by(text)).filter(
            |((_, whose), subscription)| local(*whose) == local(by) && subscription.topic == topic,
        );
        if alike.count() >= SUBSCRIBERS_MAX {
            return Err(Reject::Full { what: BoundedList::Subscribers });
        }
        // The length costs nothing, a count visits every subscription.
        if topic.is_some() || self.subscriptions.len() < PENDING_MAX {
            return Ok(());
        }
        let pending = self.subscriptions.iter().filter(|((_, whose), subscription)| {
            local(*whose) == local(by) && subscription.topic.is_none()
        });
        if pending.count() >= PENDING_MAX {
            return Err(Reject::Full { what: BoundedList::Pending });
        }
        Ok(())
    }

    fn unsubscribe(&mut self, name: String, by: Provenance) -> Outcome {
        match self.subscriptions.remove(&(name, by)) {
            Some(_) => Outcome::Done,
            None => Outcome::Duplicate,
        }
    }

    fn keep_card(&mut self, card: KeyCard, named: bool, time_ms: u64) -> Outcome {
        let did = card.did;
        let Some(known) = self.peers.get_mut(&did) else {
            self.unsigned_keys.remove(&did);
            let peer = Peer { card, trust: 0, added_ms: time_ms, address: None, named };
            self.peers.insert(did, peer);
            return Outcome::Done;
        };
        let is_newer = known.card.issued_ms < card.issued_ms;
        if is_newer {
            (known.card, known.added_ms) = (card, time_ms);
        }
        // A link, which brings a newer card, does not take back that the operator named the peer.
        let becomes_named = named && !known.named;
        known.named |= named;
        if is_newer || becomes_named { Outcome::Done } else { Outcome::Duplicate }
    }

    pub(super) fn append(
        &mut self,
        lsn: u64,
        entry: Entry,
        received_ms: u64,
    ) -> Result<Outcome, Reject> {
        let key = LogKey::of(&entry);
        let seq = entry.header().seq;
        match self.relate(&entry)? {
            Relation::Duplicate => return Ok(Outcome::Duplicate),
            Relation::Equivocation => {
                if let Some(stored) = self.entry_at(&key, seq) {
                    let proof = (stored.entry.clone(), entry);
                    self.logs.entry(key).or_default().proof = Some(Box::new(proof));
                }
                return Err(Reject::Equivocation);
            }
            Relation::Next | Relation::Gap | Relation::Frozen => {}
        }
        Ok(self.store(lsn, entry, received_ms))
    }

    fn append_after_gap(
        &mut self,
        lsn: u64,
        entry: Entry,
        received_ms: u64,
    ) -> Result<Outcome, Reject> {
        self.relate_after_gap(&entry)?;
        self.logs.entry(LogKey::of(&entry)).or_default().base = entry.header().seq - 1;
        Ok(self.store(lsn, entry, received_ms))
    }

    fn store(&mut self, lsn: u64, entry: Entry, received_ms: u64) -> Outcome {
        let key = LogKey::of(&entry);
        let seq = entry.header().seq;
        let id = entry.header().topic;
        let arrival = self.next_arrivals.get(&id).copied().unwrap_or(0) + 1;
        self.next_arrivals.insert(id, arrival);
        let log = self.logs.entry(key).or_default();
        (log.head, log.head_hash) = (seq, entry.hash());
        self.retain(arrival, Stored { lsn, received_ms, entry });
        Outcome::Appended { arrival, seq }
    }

    pub(super) fn retain(&mut self, arrival: u64, stored: Stored) {
        let header = stored.entry.header();
        let id = header.topic;
        let bytes = stored.entry.encoded_bytes() as u64;
        self.bytes += bytes;
        if let Some(topic) = self.topics.get_mut(&id) {
            self.room.grow(topic, bytes);
            topic.entries += 1;
            topic.bytes += bytes;
        }
        self.arrivals.insert((LogKey::of(&stored.entry), header.seq), arrival);
        self.entries.insert((id, arrival), stored);
    }

    fn prune(&mut self, id: TopicId, through: u64) -> Outcome {
        let gone: Vec<u64> =
            self.entries.range((id, 0)..=(id, through)).map(|((_, arrival), _)| *arrival).collect();
        for arrival in &gone {
            let Some(stored) = self.entries.remove(&(id, *arrival)) else { continue };
            let bytes = stored.entry.encoded_bytes() as u64;
            self.arrivals.remove(&(LogKey::of(&stored.entry), stored.entry.header().seq));
            self.bytes -= bytes;
            if let Some(topic) = self.topics.get_mut(&id) {
                topic.entries -= 1;
                topic.bytes -= bytes;
            }
        }
        self.room.forget();
        if gone.is_empty() { Outcome::Duplicate } else { Outcome::Done }
    }

    /// Has every entry received at `node_ms` of the node's clock or before: the age of a later one counts
    /// from then.
    fn received_by(&mut self, node_ms: u64) {
        let later = self.entries.iter().filter(|(_, stored)| stored.received_ms > node_ms);
        let later: Vec<(TopicId, u64)> = later.map(|(key, _)| *key).collect();
        for key in later {
            if let Some(stored) = self.entries.get_mut(&key) {
                stored.received_ms = node_ms;
            }
        }
    }

    /// The state after a restore of `image`. Topics, entries, subscriptions and peers are the image's.
    /// Heads, arrivals, cursors, proofs of equivocation and versions of access rules never go back: the
    /// further one of both states is kept. The node's own author logs continue in epoch `epoch`, so that no
    /// position is used twice. No entry counts as received after the last stamp of the node's clock.
    #[must_use]
    pub fn restore(&self, mut image: Self, epoch: u64) -> Self {
        image.node = self.node.map(|node| NodeId { epoch, ..node });
        for (key, log) in &self.logs {
            let mut kept = log.clone();
            if let Some(old) = image.logs.get(key) {
                if old.head > log.head {
                    (kept.head, kept.head_hash) = (old.head, old.head_hash);
                }
                // No entry up to either base was received here, so none may be readmitted.
                kept.base = kept.base.max(old.base);
                kept.keep_fork_of(old);
            }
            image.logs.insert(*key, kept);
        }
        for (id, arrival) in &self.next_arrivals {
            let known = image.next_arrivals.get(id).copied().unwrap_or(0);
            image.next_arrivals.insert(*id, known.max(*arrival));
        }
        image.cursors = self.restored_cursors(&image);
        // The node's clock never goes back. By it, entries of another node's image may be of the future, and
        // would not expire.
        if let Some(stamp) = self.clock {
            image.received_by(stamp.node_ms);
            image.clock = Some(stamp);
        }
        for (id, topic) in &self.topics {
            if let Some(old) = image.topics.get_mut(id) {
                old.access_version = old.access_version.max(topic.access_version);
            }
        }
        image
    }
}
