//! Queries: replies that change nothing.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use icn_gossip::{Did, Reject, State};
use icn_snapshot::Integrity;
use icn_wal::disk::Disk;

use super::{Node, describe};
use crate::control::codes;
use crate::control::reply::entries::Arrival;
use crate::control::reply::peers::{Peer, PeerState};
use crate::control::reply::snapshots::Window;
use crate::control::reply::status::{
    GossipStatus, LastStart, LogStatus, NodeState, NodeStatus, PeerStatus, SnapshotStatus,
};
use crate::control::reply::{Entries, Peers, Reply, Status, TopicShown, Topics};
use crate::control::request::Request;
use crate::failure::Failure;

const PAGE_ENTRIES_MAX: usize = 1000;

/// Bytes of entries in a page: an eighth of a line, since an escaped control character takes six bytes.
const PAGE_BYTES_MAX: usize = crate::control::request::LINE_BYTES_MAX / 8;

/// The reply to a query that the state alone can answer; `None` for any other request.
#[must_use]
pub fn ask(state: &State, question: &Request) -> Option<Reply> {
    Some(match question {
        Request::TopicList => Ok(topics(state).into()),
        Request::TopicShow { topic } => show_topic(state, topic),
        Request::Subscriptions => Ok(describe::subscriptions(state).into()),
        Request::Entries { topic, after, limit } => entries(state, topic, *after, *limit),
        Request::PeerList => Ok(peers(state).into()),
        _ => return None,
    })
}

fn topics(state: &State) -> Topics {
    let topics = state.topics().map(|(id, topic)| describe::topic(state, id, topic));
    Topics { topics: topics.collect() }
}

fn show_topic(state: &State, name: &str) -> Reply {
    let id = state.resolve(name)?;
    let unknown = || Reject::UnknownTopic { name: name.to_owned() };
    let topic = describe::topic(state, &id, state.topic(&id).ok_or_else(unknown)?);
    Ok(TopicShown { topic, clock: describe::clock(state, id) }.into())
}

fn entries(state: &State, topic: &str, after: u64, limit: Option<usize>) -> Reply {
    let id = state.resolve(topic)?;
    state.may_read(&id, &state.node().ok_or(Reject::Identity)?.did)?;
    let limit = limit.unwrap_or(PAGE_ENTRIES_MAX).min(PAGE_ENTRIES_MAX);
    let mut page = Vec::new();
    let mut bytes = 0;
    let mut last = after;
    for (arrival, stored) in state.entries(id, after).take(limit) {
        bytes += stored.entry.encoded_bytes();
        if bytes > PAGE_BYTES_MAX && !page.is_empty() {
            break;
        }
        page.push(Arrival { arrival, entry: describe::entry(stored) });
        last = arrival;
    }
    let more = state.entries(id, last).next().is_some();
    let arrived = state.last_arrival(&id);
    let unknown = || Reject::UnknownTopic { name: id.to_string() };
    let readmitted = state.topic(&id).map_or(0, |topic| topic.readmitted);
    let topic = describe::brief(state, &id).ok_or_else(unknown)?;
    Ok(Entries { entries: page, last, more, arrived, readmitted, topic }.into())
}

fn peers(state: &State) -> Peers {
    let peer = |did: &Did, state, key: &[u8; 32], trust| Peer {
        x25519: Some(HEXLOWER.encode(key)),
        trust: Some(trust),
        ..without_key(did, state)
    };
    let known = state.peers().map(|(did, known)| Peer {
        address: Some(known.address.map(|address| address.to_string())),
        ..peer(did, PeerState::Known, &known.card.x25519, known.trust)
    });
    let unsigned = state.unsigned_keys();
    let unsigned = unsigned.map(|(did, key)| peer(did, PeerState::Unsigned, &key.x25519, 0));
    Peers { peers: known.chain(unsigned).collect() }
}

fn without_key(did: &Did, state: PeerState) -> Peer {
    Peer {
        did: did.to_string(),
        state,
        x25519: None,
        trust: None,
        address: None,
        topics: None,
        logs_from: None,
        logs_to: None,
        clock_ahead_ms: None,
    }
}

impl<D: Disk> Node<D> {
    pub(super) fn answer(&self, question: &Request) -> Reply {
        match question {
            Request::Status => Ok(self.status().into()),
            Request::ClockShow => Ok(self.clocks().into()),
            Request::Identity => Ok(describe::identity(&self.card).into()),
            Request::PeerList => Ok(self.peer_list().into()),
            Request::SnapshotList => {
                Ok(describe::snapshots(&self.store.compactor().list(), self.window()).into())
            }
            other => ask(self.state(), other).unwrap_or_else(|| Err(cannot(other))),
        }
    }

    fn peer_list(&self) -> Peers {
        let mut list = peers(self.state());
        for (_, link) in self.mesh.links() {
            let did = link.peer.to_string();
            let known = list.peers.iter().position(|peer| peer.did == did);
            // A connected peer may have been removed meanwhile.
            let at = known.unwrap_or_else(|| {
                list.peers.push(without_key(&link.peer, PeerState::Connected));
                list.peers.len() - 1
            });
            let peer = &mut list.peers[at];
            peer.state = PeerState::Connected;
            peer.topics = Some(link.shared.union(link.serves).count() as u64);
            peer.logs_from = Some(link.wants as u64);
            peer.logs_to = Some(link.cursors as u64);
            peer.clock_ahead_ms = Some(link.clock_ahead_ms);
        }
        list
    }

    /// The restore window.
    pub fn window(&self) -> Window {
        describe::window(&self.store.compactor().window())
    }

    fn status(&self) -> Status {
        let wal = self.store.wal().stats();
        let log = &self.recovery.log;
        let counts = self.state().counts();
        let network = self.mesh.counts().map(|(name, count)| (name.to_owned(), count));
        Status {
            node: NodeStatus {
                did: self.keypair.did().to_string(),
                state: if wal.poisoned { NodeState::Failed } else { NodeState::Ready },
                incarnation: log.incarnation,
                timeline: self.store.timeline(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
            gossip: GossipStatus {
                topics: counts.topics as u64,
                private_topics: counts.private_topics as u64,
                sealed_topics: counts.sealed_topics as u64,
                subscriptions: counts.subscriptions as u64,
                cursors: counts.cursors as u64,
                entries: counts.entries as u64,
                bytes: counts.bytes,
            },
            wal: LogStatus {
                last_lsn: wal.last_lsn,
                durable_lsn: wal.durable_lsn,
                segments: wal.segments,
                bytes: wal.size_bytes,
            },
            snapshot: self.snapshot_status(),
            last_start: LastStart {
                clean: log.clean,
                snapshot: self.recovery.snapshot.map(|id| id.to_string()),
                records_replayed: log.replayed,
                torn_bytes: log.torn_bytes,
                end_proven: log.end_proven,
                passed_over: self.recovery.passed_over.len() as u64,
                weaker: self.guard.findings().to_vec(),
            },
            checks: self.checks(&counts),
            clock_doubt: self.clock.doubt(),
            held_back: self.held_back(),
            network: network.collect::<BTreeMap<_, _>>(),
            peers: PeerStatus {
                known: counts.peers as u64,
                unsigned: counts.unsigned_keys as u64,
                connected: self.mesh.links().count() as u64,
            },
        }
    }

    fn snapshot_status(&self) -> SnapshotStatus {
        let snapshots = self.store.compactor().list();
        let newest = snapshots.iter().rev().find(|snapshot| snapshot.integrity == Integrity::Whole);
        let damaged = snapshots.iter().filter(|snapshot| snapshot.integrity == Integrity::Damaged);
        SnapshotStatus {
            id: newest.map(|snapshot| snapshot.id.to_string()),
            lsn: newest.map(|snapshot| snapshot.id.lsn),
            created: newest.map(|snapshot| snapshot.created_ms),
            kept: snapshots.len() as u64,
            damaged: damaged.count() as u64,
            window: self.window(),
        }
    }
}

pub(super) fn cannot(request: &Request) -> Failure {
    let message = format!("The node does not serve this request here: {request:?}.");
    Failure::new(codes::NOT_SERVED, message)
}
