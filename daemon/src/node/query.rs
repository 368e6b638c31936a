//! Answers that change nothing.

use data_encoding::BASE64;
use icn_gossip::{Did, Policy, Provenance, Reject, State, Stored, Topic, TopicId, View};
use icn_snapshot::{Decision, Integrity, Origin, RestoreWindow, Snapshot, digest};
use icn_wal::disk::Disk;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Node;
use crate::control::codes;
use crate::control::request::{Reply, Request};
use crate::failure::Failure;
use crate::node::machine::Machine;

const PAGE_ENTRIES_MAX: usize = 1000;

/// What a page may carry: an eighth of a line, since a control character of a text takes six bytes
/// when it is escaped.
const PAGE_BYTES_MAX: usize = crate::control::request::LINE_BYTES_MAX / 8;

/// The answer to a question that the state alone can answer; `None` for any other request.
#[must_use]
pub fn ask(state: &State, question: &Request) -> Option<Reply> {
    Some(match question {
        Request::TopicList => {
            let topics: Vec<_> =
                state.topics().map(|(id, topic)| describe_topic(id, topic)).collect();
            Ok(json!({ "topics": topics }))
        }
        Request::TopicShow { topic } => show_topic(state, topic),
        Request::Subscriptions => {
            Ok(json!({ "subscriptions": subscriptions(state), "cursors": cursors(state) }))
        }
        Request::Entries { topic, after, limit } => entries(state, topic, *after, *limit),
        Request::PeerList => {
            let row = |did: &Did, standing: &str, key: &[u8; 32]| {
                let key = data_encoding::HEXLOWER.encode(key);
                json!({ "did": did.to_string(), "state": standing, "x25519": key, "trust": 0 })
            };
            let known = state.peers().map(|(did, peer)| {
                let mut row = row(did, "known", &peer.card.x25519);
                row["trust"] = peer.trust.into();
                row["address"] = json!(peer.address);
                row
            });
            let unsigned =
                state.unsigned_keys().map(|(did, key)| row(did, "unsigned", &key.x25519));
            let peers: Vec<_> = known.chain(unsigned).collect();
            Ok(json!({ "peers": peers }))
        }
        _ => return None,
    })
}

fn show_topic(state: &State, topic: &str) -> Reply {
    let id = state.resolve(topic)?;
    let clock: Vec<_> = state
        .heads(id)
        .map(|(key, log)| {
            let author = key.author.to_string();
            let frozen = log.proof.is_some();
            json!({ "author": author, "epoch": key.epoch, "head": log.head, "frozen": frozen })
        })
        .collect();
    let topic = state.topic(&id).map(|topic| describe_topic(&id, topic));
    Ok(json!({ "topic": topic, "clock": clock }))
}

#[derive(Serialize)]
struct Row<'a> {
    arrival: u64,
    #[serde(flatten)]
    entry: EntryFields<'a>,
}

fn entries(state: &State, topic: &str, after: u64, limit: Option<usize>) -> Reply {
    let id = state.resolve(topic)?;
    state.may_read(&id, &state.node().ok_or(Reject::Identity)?.did)?;
    let limit = limit.unwrap_or(PAGE_ENTRIES_MAX).min(PAGE_ENTRIES_MAX);
    let (mut page, mut bytes, mut last) = (Vec::new(), 0, after);
    for (arrival, stored) in state.entries(id, after).take(limit) {
        bytes += stored.entry.encoded_bytes();
        if bytes > PAGE_BYTES_MAX && !page.is_empty() {
            break;
        }
        page.push(Row { arrival, entry: EntryFields::of(stored) });
        last = arrival;
    }
    let more = state.entries(id, last).next().is_some();
    let arrived = state.last_arrival(&id);
    Ok(json!({ "entries": page, "last": last, "more": more, "arrived": arrived }))
}

/// What is told of an entry.
#[derive(Serialize)]
pub(crate) struct EntryFields<'a> {
    lsn: u64,
    author: String,
    epoch: u64,
    seq: u64,
    time: u64,
    #[serde(flatten)]
    payload: Payload<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Payload<'a> {
    Text(&'a str),
    Base64(String),
}

impl<'a> EntryFields<'a> {
    pub(crate) fn of(stored: &'a Stored) -> Self {
        let (header, payload) = (stored.entry.header(), stored.entry.payload());
        Self {
            lsn: stored.lsn,
            author: header.author.to_string(),
            epoch: header.epoch,
            seq: header.seq,
            time: header.time_ms,
            payload: std::str::from_utf8(payload)
                .map_or_else(|_| Payload::Base64(BASE64.encode(payload)), Payload::Text),
        }
    }
}

impl<D: Disk> Node<D> {
    pub(super) fn answer(&self, question: &Request) -> Reply {
        match question {
            Request::Status => Ok(self.status()),
            Request::Identity => Ok(describe_identity(&self.card)),
            Request::PeerList => self.peer_list(),
            Request::SnapshotList => {
                Ok(describe_snapshots(&self.store.compactor().list(), self.window()))
            }
            other => ask(self.state(), other).unwrap_or_else(|| Err(cannot(other))),
        }
    }

    fn peer_list(&self) -> Reply {
        let mut list = ask(self.state(), &Request::PeerList).unwrap_or_else(|| Ok(json!({})))?;
        let Some(peers) = list["peers"].as_array_mut() else { return Ok(list) };
        for (_, link) in self.mesh.links() {
            let did = link.peer.to_string();
            let known = peers.iter().position(|peer| peer["did"] == did.as_str());
            // It may have been removed since they met.
            let at = known.unwrap_or_else(|| {
                peers.push(json!({ "did": did }));
                peers.len() - 1
            });
            let peer = &mut peers[at];
            peer["state"] = "connected".into();
            peer["topics"] = link.shared.union(link.serves).count().into();
            peer["logs_from"] = link.wants.into();
            peer["logs_to"] = link.cursors.into();
        }
        Ok(list)
    }

    /// The LSNs that can be restored.
    fn window(&self) -> RestoreWindow {
        RestoreWindow { first: self.store.compactor().window_start(), last: self.store.lsn() }
    }

    fn status(&self) -> Value {
        let counts = self.state().counts();
        let wal = self.store.wal().stats();
        let snapshots = self.store.compactor().list();
        let newest = snapshots.iter().rev().find(|snapshot| snapshot.integrity == Integrity::Whole);
        let recovery = &self.recovery;
        let network: Map<String, Value> =
            self.mesh.counts().map(|(name, count)| (name.into(), count.into())).collect();
        json!({
            "node": {
                "did": self.keypair.did().to_string(),
                "state": if wal.poisoned { "failed" } else { "ready" },
                "incarnation": recovery.log.incarnation,
                "timeline": self.store.timeline(),
                "version": env!("CARGO_PKG_VERSION"),
            },
            "gossip": {
                "topics": counts.topics,
                "private_topics": counts.private_topics,
                "sealed_topics": counts.sealed_topics,
                "subscriptions": counts.subscriptions,
                "cursors": counts.cursors,
                "entries": counts.entries,
                "bytes": counts.bytes,
            },
            "wal": {
                "last_lsn": wal.last_lsn,
                "durable_lsn": wal.durable_lsn,
                "segments": wal.segments,
                "bytes": wal.size_bytes,
            },
            "snapshot": {
                "id": newest.map(|snapshot| snapshot.id.to_string()),
                "lsn": newest.map(|snapshot| snapshot.id.lsn),
                "created": newest.map(|snapshot| snapshot.created_ms),
                "kept": snapshots.len(),
                "damaged": snapshots.iter().filter(|kept| kept.integrity == Integrity::Damaged).count(),
                "window": describe_window(self.window()),
            },
            "last_start": {
                "clean": recovery.log.clean,
                "snapshot": recovery.snapshot.map(|id| id.to_string()),
                "records_replayed": recovery.log.replayed,
                "torn_bytes": recovery.log.torn_bytes,
                "passed_over": recovery.passed_over.len(),
                "weaker": self.guard.findings(),
            },
            "network": network,
            "peers": {
                "known": counts.peers,
                "unsigned": counts.unsigned_keys,
                "connected": self.mesh.links().count(),
            },
        })
    }
}

/// Who a node is, as it is told.
#[must_use]
pub fn describe_identity(card: &icn_gossip::KeyCard) -> Value {
    json!({ "did": card.did.to_string(), "card": card.to_string() })
}

/// A digest as it is told.
#[must_use]
pub fn describe_digest(state: &Machine, lsn: u64) -> Value {
    json!({ "lsn": lsn, "digest": data_encoding::HEXLOWER.encode(&digest(state)) })
}

/// Snapshots as they are listed.
#[must_use]
pub fn describe_snapshots(snapshots: &[Snapshot], window: RestoreWindow) -> Value {
    let each = snapshots.iter().map(describe_snapshot);
    json!({ "snapshots": each.collect::<Vec<_>>(), "window": describe_window(window) })
}

fn describe_window(RestoreWindow { first, last }: RestoreWindow) -> Value {
    json!({ "first": first, "last": last })
}

/// One snapshot as it is listed.
#[must_use]
pub fn describe_snapshot(snapshot: &Snapshot) -> Value {
    let labels = snapshot.labels.iter().map(|(key, value)| (key.to_owned(), value.into()));
    let labels: Map<String, Value> = labels.collect();
    json!({
        "id": snapshot.id.to_string(),
        "lsn": snapshot.id.lsn,
        "bytes": snapshot.bytes,
        "created": snapshot.created_ms,
        "timeline": snapshot.timeline,
        "time": snapshot.time_ms,
        "verified": snapshot.integrity == Integrity::Whole,
        "check": match snapshot.integrity {
            Integrity::Whole => "whole",
            Integrity::Unchecked => "unchecked",
            Integrity::Damaged => "damaged",
        },
        "origin": match snapshot.origin {
            Origin::Taken => "taken",
            Origin::Target => "target of a restore",
            Origin::Imported => "imported",
        },
        "pinned": snapshot.pinned,
        "labels": labels,
        "kept_because": snapshot.kept_because.to_string(),
    })
}

/// What the rules say, as it is told.
pub(crate) fn describe_plan(plan: &[Decision]) -> Value {
    let each = plan.iter().map(|decision| {
        json!({
            "id": decision.id.to_string(),
            "bytes": decision.bytes,
            "stays": decision.reason.stays(),
            "because": decision.reason.to_string(),
        })
    });
    json!({ "snapshots": each.collect::<Vec<_>>() })
}

pub(super) fn cannot(request: &Request) -> Failure {
    let message = format!("The node does not serve this request here: {request:?}.");
    Failure::new(codes::NOT_SERVED, message)
}

pub(crate) fn describe_topic(id: &TopicId, topic: &Topic) -> Value {
    let spec = &topic.genesis.spec;
    let access = match spec.access.view() {
        View::Sealed => json!({ "kind": "sealed" }),
        View::Open(access) => match &access.read {
            Policy::Public => json!({ "kind": "public" }),
            Policy::Participants(members) => {
                let members: Vec<_> = members.iter().map(ToString::to_string).collect();
                json!({ "kind": "participants", "members": members })
            }
            Policy::MinTrust(trust) => json!({ "kind": "min_trust", "min_trust": trust }),
        },
    };
    json!({
        "id": id.to_string(),
        "name": spec.name,
        "creator": topic.genesis.creator.to_string(),
        "access": access,
        "scope": format!("{:?}", spec.scope).to_lowercase(),
        "access_version": topic.access_version,
        "max_entries": spec.max_entries,
        "retention_ms": spec.retention_ms,
        "entries": topic.entries,
        "bytes": topic.bytes,
    })
}

fn cursors(state: &State) -> Vec<Value> {
    let cursor = |(id, name, arrival): (TopicId, &str, u64)| {
        let topic = state.topic(&id).map(|topic| topic.genesis.spec.name.as_str());
        let behind = state.last_arrival(&id).saturating_sub(arrival);
        let id = id.to_string();
        json!({ "topic": topic, "id": id, "cursor": name, "at": arrival, "behind": behind })
    };
    state.cursors().map(cursor).collect()
}

fn subscriptions(state: &State) -> Vec<Value> {
    state
        .subscriptions()
        .map(|(topic, by, wish)| {
            let by = match by {
                Provenance::Local => "local".to_owned(),
                Provenance::Peer(did) => did.to_string(),
            };
            let id = wish.topic.map(|id| id.to_string());
            json!({ "topic": topic, "id": id, "by": by, "since": wish.since_ms, "pending": id.is_none() })
        })
        .collect()
}
