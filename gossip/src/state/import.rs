//! Imports an exported document as a state, or reports its first fault and where it is.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::Deserialize;

use super::document::{
    AccessDoc, CursorDoc, Document, EntryDoc, FORMAT, HistoryDoc, LogDoc, NodeDoc, PeerDoc, SEALED,
    StoredDoc, SubscriptionDoc, TopicDoc, UnsignedDoc,
};
use super::export::EXPORT_VERSION;
use super::fault::{Checked, Fault, check, derived};
use super::{NodeId, Peer, State, Stored, Subscription, Topic, UnsignedKey};
use crate::access::{AccessBytes, View};
use crate::card::KeyCard;
use crate::display::{duration, moment, quoted};
use crate::entry::{Entry, Position};
use crate::limits::{
    CURSORS_MAX, NODE_BYTES_MAX, PAYLOAD_BYTES_MAX, PENDING_MAX, SUBSCRIBERS_MAX, TRUST_MAX,
};
use crate::log::{Log, LogKey};
use crate::mutation::Provenance;
use crate::topic::{Genesis, TopicId, TopicSpec, name_is_valid};
use crate::topic_ref::TopicRef;

/// The most arrivals that a document may state. Arrivals near the end of `u64` would leave a topic no
/// room for further entries.
const ARRIVALS_MAX: u64 = i64::MAX as u64;

/// Why a document cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The document is no exported state.
    #[error("this is not an exported state: {why}")]
    Other {
        /// What is missing or malformed.
        why: String,
    },
    /// The document has another version.
    #[error("the document has version {found}; this build reads version {EXPORT_VERSION}")]
    Version {
        /// The document's version.
        found: u64,
    },
    /// A value in the document is invalid.
    #[error("{path}: {why}")]
    Invalid {
        /// The path of the value, such as `topics[0].entries[3].entry.signature`.
        path: String,
        /// What is wrong with the value.
        why: String,
    },
}

#[derive(Deserialize)]
struct Preamble {
    format: String,
    version: u64,
}

impl State {
    /// Restores the state that [`export`](Self::export) wrote as `document`, identical in every bit.
    ///
    /// Signatures are checked, counters recomputed, and derived fields must match. Memory is bounded by a
    /// constant times the length of the document. Most of the time is one signature check per entry, about
    /// 50 µs.
    ///
    /// # Errors
    /// [`ImportError`] names the first fault and its path.
    pub fn import(document: &[u8]) -> Result<Self, ImportError> {
        let head: Preamble = serde_json::from_slice(document)
            .map_err(|error| ImportError::Other { why: quoted(&error.to_string()) })?;
        if head.format != FORMAT {
            let why = format!("its format is {:?}", quoted(&head.format));
            return Err(ImportError::Other { why });
        }
        if head.version != u64::from(EXPORT_VERSION) {
            return Err(ImportError::Version { found: head.version });
        }
        let mut deserializer = serde_json::Deserializer::from_slice(document);
        let document: Document =
            serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
                let path = quoted(&error.path().to_string());
                ImportError::Invalid { path, why: quoted(&error.inner().to_string()) }
            })?;
        Self::of_document(document)
            .map_err(|Fault { path, why }| ImportError::Invalid { path, why })
    }

    fn of_document(document: Document) -> Checked<Self> {
        let mut state = Self::default();
        if let Some(NodeDoc { did, network, epoch }) = document.node {
            state.node = Some(NodeId { did: did.0, network: network.0, epoch: epoch.0 });
        }
        state.clock = document.clock;
        let names: Vec<Option<String>> =
            document.histories.iter().map(|history| history.name.clone()).collect();
        let ids: Vec<TopicId> = document.histories.iter().map(|history| history.topic.0).collect();
        for (index, history) in document.histories.into_iter().enumerate() {
            state
                .add_history(history)
                .map_err(|fault| fault.within(format_args!("histories[{index}]")))?;
        }
        for (index, topic) in document.topics.into_iter().enumerate() {
            state
                .add_topic(topic)
                .map_err(|fault| fault.within(format_args!("topics[{index}]")))?;
        }
        for (index, (id, name)) in ids.iter().zip(names).enumerate() {
            let known = state.topics.get(id).map(|topic| &topic.genesis.spec.name);
            if known != name.as_ref() {
                let path = format!("histories[{index}].name");
                return Err(Fault::at(path, "this is not the name of the topic"));
            }
        }
        derived("bytes", &document.bytes, &state.bytes)?;
        check(
            state.bytes <= NODE_BYTES_MAX,
            "bytes",
            "the entries have more bytes than a node retains",
        )?;
        state.add_subscriptions(document.subscriptions)?;
        for (index, peer) in document.peers.into_iter().enumerate() {
            state.add_peer(&peer).map_err(|fault| fault.within(format_args!("peers[{index}]")))?;
        }
        for (index, key) in document.unsigned_keys.into_iter().enumerate() {
            state
                .add_unsigned(&key)
                .map_err(|fault| fault.within(format_args!("unsigned_keys[{index}]")))?;
        }
        for (index, cursor) in document.cursors.into_iter().enumerate() {
            state
                .add_cursor(cursor)
                .map_err(|fault| fault.within(format_args!("cursors[{index}]")))?;
        }
        // Checked last, since all other checks report a more exact path.
        if document.digest.is_some_and(|digest| digest.0 != state.digest()) {
            let why = "the document has changed since it was written; remove the digest to skip this check";
            return Err(Fault::at("digest", why));
        }
        Ok(state)
    }

    fn network(&self) -> Checked<[u8; 32]> {
        let none = || Fault::at("topic", "a document without a node has no topics");
        self.node.map(|node| node.network).ok_or_else(none)
    }

    fn add_history(&mut self, history: HistoryDoc) -> Checked<()> {
        let network = self.network()?;
        let topic = history.topic.0;
        let arrivals = history.arrivals;
        check(arrivals <= ARRIVALS_MAX, "arrivals", "a topic cannot have so many arrivals")?;
        let twice = self.next_arrivals.insert(topic, arrivals).is_some();
        check(!twice, "topic", "the topic is listed twice")?;
        let entries = history.logs.iter().any(|log| log.head > 0);
        check(entries == (arrivals > 0), "logs", "arrivals and logs contradict each other")?;
        for (index, log) in history.logs.into_iter().enumerate() {
            self.add_log(network, topic, log)
                .map_err(|fault| fault.within(format_args!("logs[{index}]")))?;
        }
        Ok(())
    }

    fn add_log(&mut self, network: [u8; 32], topic: TopicId, log: LogDoc) -> Checked<()> {
        let key = LogKey { topic, author: log.author.0, epoch: log.epoch.0 };
        check(log.head > 0 || log.proof.is_some(), "head", "a log needs an entry or a proof")?;
        check(log.base <= log.head, "base", "the base is beyond the head")?;
        let proof = match log.proof {
            None => None,
            Some(proof) => {
                let (one, other) = *proof;
                let one = entry(network, topic, one).map_err(|fault| fault.within("proof[0]"))?;
                let other =
                    entry(network, topic, other).map_err(|fault| fault.within("proof[1]"))?;
                let same = LogKey::of(&one) == key && LogKey::of(&other) == key;
                let same_seq = one.header().seq == other.header().seq;
                let proves = same && same_seq && one.hash() != other.hash();
                check(proves, "proof", "these are not two entries for one position of this log")?;
                Some(Box::new((one, other)))
            }
        };
        let ordered = log.again.is_none_or(|(first, last)| first <= last && last <= log.head);
        let is_forked = proof.is_some() || log.again.is_none();
        check(ordered && is_forked, "again", "these are not positions of a forked log")?;
        let LogDoc { head, base, again, .. } = log;
        let log = Log { head, head_hash: log.head_hash.0, proof, base, again };
        check(self.logs.insert(key, log).is_none(), "author", "the log is listed twice")
    }

    fn add_topic(&mut self, topic: TopicDoc) -> Checked<()> {
        let network = self.network()?;
        check(name_is_valid(&topic.name), "name", "this is not a valid topic name")?;
        let access = access(topic.access).map_err(|fault| fault.within("access"))?;
        let spec = TopicSpec {
            name: topic.name,
            access,
            scope: topic.scope,
            max_entries: topic.max_entries,
            retention_ms: topic.retention_ms,
            created_ms: topic.created_ms,
        };
        derived("retention", &topic.retention, &duration(spec.retention_ms))?;
        derived("created", &topic.created, &moment(spec.created_ms))?;
        let creator = topic.creator.0;
        let nonce = topic.nonce.0;
        let signature = topic.signature.0;
        let genesis = Genesis { network, creator, spec, nonce, signature };
        let id = genesis.id();
        derived("id", &topic.id.0, &id)?;
        genesis.verify().map_err(|_| Fault::at("signature", "its creator did not sign this"))?;
        let access_version = topic.access_version;
        check(access_version > 0, "access_version", "the first version is 1")?;
        let readmitted = topic.readmitted;
        check(readmitted <= self.last_arrival(&id), "readmitted", "the topic has no such arrival")?;
        let topic_of = Topic { genesis, access_version, entries: 0, bytes: 0, readmitted };
        check(self.topics.insert(id, topic_of).is_none(), "id", "the topic is listed twice")?;
        let mut entries = 0;
        let mut bytes = 0;
        for (index, stored) in topic.entries.into_iter().enumerate() {
            bytes += self
                .add_entry(network, id, stored)
                .map_err(|fault| fault.within(format_args!("entries[{index}]")))?;
            entries += 1;
        }
        derived("bytes", &topic.bytes, &bytes)?;
        if let Some(topic) = self.topics.get_mut(&id) {
            (topic.entries, topic.bytes) = (entries, bytes);
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Adds an entry and returns its bytes.
    fn add_entry(&mut self, network: [u8; 32], id: TopicId, stored: StoredDoc) -> Checked<u64> {
        let arrival = stored.arrival;
        let lsn = stored.lsn;
        let received_ms = stored.received_ms;
        let last = self.last_arrival(&id);
        check((1..=last).contains(&arrival), "arrival", "the topic has no such arrival")?;
        derived("received", &stored.received, &moment(received_ms))?;
        let entry = entry(network, id, stored.entry).map_err(|fault| fault.within("entry"))?;
        let key = LogKey::of(&entry);
        let seq = entry.header().seq;
        let log = self.logs.get(&key);
        let log =
            log.ok_or_else(|| Fault::at("entry.author", "the history of this log is missing"))?;
        check(
            (1..=log.head).contains(&seq),
            "entry.seq",
            "the entry is beyond the head of its log",
        )?;
        let fits = seq != log.head || entry.hash() == log.head_hash;
        check(fits, "entry.hash", "the hash is not that of the head of its log")?;
        let bytes = entry.encoded_bytes() as u64;
        let twice = self.arrivals.insert((key, seq), arrival).is_some();
        check(!twice, "entry.seq", "the position is listed twice")?;
        let stored = Stored { lsn, received_ms, entry };
        let twice = self.entries.insert((id, arrival), stored).is_some();
        check(!twice, "arrival", "the arrival is listed twice")?;
        Ok(bytes)
    }

    fn add_subscriptions(&mut self, documents: Vec<SubscriptionDoc>) -> Checked<()> {
        let names: BTreeSet<&str> =
            self.topics.values().map(|topic| topic.genesis.spec.name.as_str()).collect();
        // Of one topic, and of one text that means no topic yet.
        let mut counts: BTreeMap<(bool, Option<TopicId>, Option<String>), usize> = BTreeMap::new();
        let mut pending = [0; 2];
        let mut subscriptions = BTreeMap::new();
        for (index, subscription) in documents.into_iter().enumerate() {
            let path = |field: &str| format!("subscriptions[{index}].{field}");
            let by = subscription.by.0.0;
            let id = subscription.id.map(|id| id.0);
            match id {
                None => {
                    let waits = match TopicRef::parse(&subscription.topic) {
                        Some(TopicRef::Id(id)) => !self.topics.contains_key(&id),
                        Some(TopicRef::Name(name)) => !names.contains(name),
                        Some(by) => !self.topics.values().any(|topic| by.matches(&topic.genesis)),
                        None => false,
                    };
                    check(waits, path("topic"), "no subscription can wait for this topic")?;
                }
                Some(id) => {
                    let topic = self.topics.get(&id);
                    let topic =
                        topic.ok_or_else(|| Fault::at(path("id"), "the topic is unknown"))?;
                    let reference = TopicRef::parse(&subscription.topic);
                    let is_meant = |reference: TopicRef<'_>| reference.matches(&topic.genesis);
                    let meant = reference.is_some_and(is_meant);
                    check(meant, path("topic"), "this is not the name of the topic")?;
                    check(may_ever_read(topic, by), path("by"), "the topic is closed to it")?;
                }
            }
            derived(path("since"), &subscription.since, &moment(subscription.since_ms))?;
            let local = by == Provenance::Local;
            let text = id.is_none().then(|| subscription.topic.clone());
            let count = counts.entry((local, id, text)).or_default();
            *count += 1;
            check(*count <= SUBSCRIBERS_MAX, path("topic"), "the topic has too many subscribers")?;
            let pending = &mut pending[usize::from(local)];
            *pending += usize::from(id.is_none());
            check(*pending <= PENDING_MAX, path("topic"), "too many subscriptions are pending")?;
            let kept = Subscription { topic: id, since_ms: subscription.since_ms };
            let twice = subscriptions.insert((subscription.topic, by), kept).is_some();
            check(!twice, path("topic"), "the subscription is listed twice")?;
        }
        self.subscriptions = subscriptions.into_iter().collect();
        Ok(())
    }

    fn add_peer(&mut self, peer: &PeerDoc) -> Checked<()> {
        let card = KeyCard {
            did: peer.did.0,
            x25519: peer.x25519.0,
            issued_ms: peer.issued_ms,
            signature: peer.signature.0,
        };
        card.verify().map_err(|_| Fault::at("signature", "its owner did not sign this"))?;
        derived("issued", &peer.issued, &moment(peer.issued_ms))?;
        derived("added", &peer.added, &moment(peer.added_ms))?;
        check(peer.trust <= TRUST_MAX, "trust", "trust is at most 1000")?;
        let address = peer.address.as_ref().map(|address| address.0);
        let PeerDoc { trust, added_ms, named, .. } = *peer;
        let kept = Peer { card, trust, added_ms, address, named };
        check(self.peers.insert(peer.did.0, kept).is_none(), "did", "the peer is listed twice")
    }

    fn add_unsigned(&mut self, key: &UnsignedDoc) -> Checked<()> {
        derived("added", &key.added, &moment(key.added_ms))?;
        check(!self.peers.contains_key(&key.did.0), "did", "the identity has a signed key too")?;
        let kept = UnsignedKey { x25519: key.x25519.0, added_ms: key.added_ms };
        let twice = self.unsigned_keys.insert(key.did.0, kept).is_some();
        check(!twice, "did", "the identity is listed twice")
    }

    fn add_cursor(&mut self, cursor: CursorDoc) -> Checked<()> {
        let CursorDoc { topic, name, arrival } = cursor;
        check(name_is_valid(&name), "name", "this is not a valid cursor name")?;
        // A restore keeps a cursor whose topic it removes, unless the cursor stands at 0.
        let stands = arrival > 0 || self.topics.contains_key(&topic.0);
        check(stands, "topic", "the topic is unknown")?;
        let last = self.last_arrival(&topic.0);
        check(arrival <= last, "arrival", "the cursor is beyond the topic's arrivals")?;
        let twice = self.cursors.insert((topic.0, name), arrival).is_some();
        check(!twice, "name", "the cursor is listed twice")?;
        check(self.cursors.len() <= CURSORS_MAX, "name", "there are more cursors than a node keeps")
    }
}

/// Whether the subscription can ever have been accepted. Trust may have been withdrawn since, and another
/// build may decode a rule that this one cannot; a list of members never changes.
fn may_ever_read(topic: &Topic, by: Provenance) -> bool {
    let (Provenance::Peer(did), View::Open(access)) = (by, topic.genesis.spec.access.view()) else {
        return true;
    };
    topic.genesis.creator == did || access.read.admits(&did, TRUST_MAX)
}

fn access(document: AccessDoc) -> Checked<AccessBytes> {
    let bytes = AccessBytes::from_bytes(document.bytes.0);
    // This build may decode a rule that the writing build could not.
    if document.read == [SEALED] && document.write == [SEALED] {
        return Ok(bytes);
    }
    let meant = AccessDoc::of(&bytes);
    let unread = "the bytes are a rule that this build cannot decode";
    check(*bytes.view() != View::Sealed, "bytes", unread)?;
    let other = "this does not match the rule's bytes";
    check(document.read == meant.read, "read", other)?;
    check(document.write == meant.write, "write", other)?;
    Ok(bytes)
}

fn entry(network: [u8; 32], topic: TopicId, document: EntryDoc) -> Checked<Entry> {
    let payload = match (document.text, document.base64) {
        (Some(text), None) => Bytes::from(text),
        (None, Some(bytes)) => Bytes::from(bytes.0),
        _ => return Err(Fault::at("text", "either text or base64 is needed")),
    };
    check(payload.len() <= PAYLOAD_BYTES_MAX, "text", "the text is too long for a message")?;
    let position = Position {
        network,
        topic,
        epoch: document.epoch.0,
        seq: document.seq,
        previous: document.previous.0,
        access_version: document.access_version,
        time_ms: document.time_ms,
    };
    let author = document.author.0;
    let signature = document.signature.0;
    let entry = Entry::assemble(document.kind, author, &position, payload, signature);
    entry.verify().map_err(|_| Fault::at("signature", "its author did not sign this"))?;
    derived("time", &document.time, &moment(document.time_ms))?;
    derived("hash", &document.hash.0, &entry.hash())?;
    Ok(entry)
}
