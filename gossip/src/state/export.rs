//! Exports the whole state as one human-readable JSON document.

use std::io;

use serde::{Serialize, Serializer};

use super::document::{
    AccessDoc, By, CursorDoc, Document, EntryDoc, FORMAT, Hex, HistoryDoc, LogDoc, NodeDoc,
    PeerDoc, StoredDoc, SubscriptionDoc, Text, TopicDoc, UnsignedDoc,
};
use super::{SCHEMA, State, Topic};
use crate::display::{duration, moment};
use crate::topic::TopicId;

/// The version of exported documents. The import refuses any other version.
pub const EXPORT_VERSION: u32 = 0;

impl State {
    /// Writes the state as one JSON document, described in `docs/FORMAT.md`. At most one entry is
    /// buffered in memory. [`import`](Self::import) restores the same state.
    ///
    /// # Errors
    /// An error of `out`.
    pub fn export(&self, mut out: impl io::Write) -> io::Result<()> {
        let document = Document {
            format: FORMAT.into(),
            version: EXPORT_VERSION,
            digest: Some(Hex(self.digest())),
            node: self.node.map(|node| NodeDoc {
                did: Text(node.did),
                network: Hex(node.network),
                epoch: Text(node.epoch),
            }),
            clock: self.clock,
            bytes: self.bytes,
            topics: Each(|| self.topics.iter().map(|(id, topic)| self.topic_doc(*id, topic))),
            histories: Each(|| {
                self.next_arrivals.iter().map(|(id, arrivals)| self.history_doc(*id, *arrivals))
            }),
            subscriptions: Each(|| {
                self.subscriptions.iter().map(|((name, by), subscription)| SubscriptionDoc {
                    topic: name.clone(),
                    by: Text(By(*by)),
                    id: subscription.topic.map(Text),
                    since_ms: subscription.since_ms,
                    since: moment(subscription.since_ms),
                })
            }),
            peers: Each(|| {
                self.peers.iter().map(|(did, peer)| PeerDoc {
                    did: Text(*did),
                    x25519: Hex(peer.card.x25519),
                    issued_ms: peer.card.issued_ms,
                    issued: moment(peer.card.issued_ms),
                    signature: Hex(peer.card.signature),
                    trust: peer.trust,
                    added_ms: peer.added_ms,
                    added: moment(peer.added_ms),
                    address: peer.address.map(Text),
                    named: peer.named,
                })
            }),
            unsigned_keys: Each(|| {
                self.unsigned_keys.iter().map(|(did, key)| UnsignedDoc {
                    did: Text(*did),
                    x25519: Hex(key.x25519),
                    added_ms: key.added_ms,
                    added: moment(key.added_ms),
                })
            }),
            cursors: Each(|| {
                self.cursors().map(|(topic, name, arrival)| CursorDoc {
                    topic: Text(topic),
                    name: name.into(),
                    arrival,
                })
            }),
        };
        serde_json::to_writer_pretty(&mut out, &document)?;
        out.write_all(b"\n")?;
        out.flush()
    }

    fn topic_doc(&self, id: TopicId, topic: &Topic) -> TopicDoc<impl Serialize> {
        let spec = &topic.genesis.spec;
        TopicDoc {
            name: spec.name.clone(),
            id: Text(id),
            creator: Text(topic.genesis.creator),
            scope: spec.scope,
            access: AccessDoc::of(&spec.access),
            access_version: topic.access_version,
            max_entries: spec.max_entries,
            retention_ms: spec.retention_ms,
            retention: duration(spec.retention_ms),
            created_ms: spec.created_ms,
            created: moment(spec.created_ms),
            nonce: Text(topic.genesis.nonce),
            signature: Hex(topic.genesis.signature),
            bytes: topic.bytes,
            readmitted: topic.readmitted,
            entries: Each(move || {
                self.entries(id, 0).map(|(arrival, stored)| StoredDoc {
                    arrival,
                    lsn: stored.lsn,
                    received_ms: stored.received_ms,
                    received: moment(stored.received_ms),
                    entry: EntryDoc::of(&stored.entry),
                })
            }),
        }
    }

    fn history_doc(&self, id: TopicId, arrivals: u64) -> HistoryDoc<impl Serialize> {
        HistoryDoc {
            topic: Text(id),
            name: self.topics.get(&id).map(|topic| topic.genesis.spec.name.clone()),
            arrivals,
            logs: Each(move || {
                self.heads(id).map(|(key, log)| LogDoc {
                    author: Text(key.author),
                    epoch: Text(key.epoch),
                    head: log.head,
                    head_hash: Hex(log.head_hash),
                    base: log.base,
                    again: log.again,
                    proof: log
                        .proof
                        .as_ref()
                        .map(|proof| Box::new((EntryDoc::of(&proof.0), EntryDoc::of(&proof.1)))),
                })
            }),
        }
    }

    /// The digest of the state, as a store computes it.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&SCHEMA.to_le_bytes());
        // Writing into a hasher cannot fail, and none of our types refuses to serialise.
        let _ = rmp_serde::encode::write(&mut hasher, self);
        *hasher.finalize().as_bytes()
    }
}

/// A list whose items are produced while it is written.
struct Each<F>(F);

impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for Each<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}
