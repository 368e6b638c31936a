//! States, topics, entries and snapshots as replies describe them.

use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER};
use icn_gossip::{
    AccessSummary, Did, KeyCard, Policy, Provenance, State, Stored, Topic, TopicId, View,
};
use icn_snapshot::{Decision, Integrity, Origin, RestoreWindow, Snapshot, digest};

use super::machine::Machine;
use crate::control::reply;
use crate::control::reply::brief::{AccessBrief, TopicBrief};
use crate::control::reply::entries::{Entry, Epoch, Payload};
use crate::control::reply::join::Candidate;
use crate::control::reply::snapshots as kept;
use crate::control::reply::subscriptions::{Cursor, Subscription};
use crate::control::reply::topics::{Access, Head, Scope};

pub(crate) fn identity(card: &KeyCard) -> reply::Identity {
    reply::Identity { did: card.did.to_string(), card: card.to_string() }
}

pub(crate) fn state_digest(state: &Machine, lsn: u64) -> reply::Digest {
    reply::Digest { lsn, digest: HEXLOWER.encode(&digest(state)) }
}

pub(crate) fn topic(state: &State, id: &TopicId, topic: &Topic) -> reply::topics::Topic {
    let spec = &topic.genesis.spec;
    reply::topics::Topic {
        id: id.to_string(),
        name: spec.name.clone(),
        creator: topic.genesis.creator.to_string(),
        created_here: is_ours(state, &topic.genesis.creator),
        access: access(spec.access.view()),
        scope: match spec.scope {
            icn_gossip::Scope::Local => Scope::Local,
            icn_gossip::Scope::Regional => Scope::Regional,
            icn_gossip::Scope::Global => Scope::Global,
        },
        access_version: topic.access_version,
        max_entries: spec.max_entries,
        retention_ms: spec.retention_ms,
        entries: topic.entries,
        bytes: topic.bytes,
    }
}

/// A topic of the state in a few words.
pub(crate) fn brief(state: &State, id: &TopicId) -> Option<TopicBrief> {
    let genesis = &state.topic(id)?.genesis;
    Some(TopicBrief {
        id: id.to_string(),
        name: genesis.spec.name.clone(),
        creator: genesis.creator.to_string(),
        created_here: is_ours(state, &genesis.creator),
        access: access_brief(genesis.spec.access.view().summary()),
    })
}

pub(crate) fn candidate(candidate: &icn_gossip::mesh::Candidate) -> Candidate {
    Candidate {
        id: candidate.id.to_string(),
        creator: candidate.creator.to_string(),
        access: access_brief(candidate.access),
        admits_this_node: candidate.admits_us,
        offered_by: candidate.offered_by.iter().map(ToString::to_string).collect(),
    }
}

fn is_ours(state: &State, did: &Did) -> bool {
    state.node().is_some_and(|node| node.did == *did)
}

fn access_brief(summary: AccessSummary) -> AccessBrief {
    match summary {
        AccessSummary::Public => AccessBrief::Public,
        AccessSummary::Members(members) => AccessBrief::Participants { members: members as u64 },
        AccessSummary::MinTrust(min_trust) => AccessBrief::MinTrust { min_trust },
        AccessSummary::Sealed => AccessBrief::Sealed,
    }
}

fn access(view: &View) -> Access {
    let View::Open(access) = view else { return Access::Sealed };
    match &access.read {
        Policy::Public => Access::Public,
        Policy::Participants(members) => {
            Access::Participants { members: members.iter().map(ToString::to_string).collect() }
        }
        Policy::MinTrust(min_trust) => Access::MinTrust { min_trust: *min_trust },
    }
}

/// The heads of the logs of a topic.
pub(crate) fn clock(state: &State, topic: TopicId) -> Vec<Head> {
    let heads = state.heads(topic).map(|(key, log)| Head {
        author: key.author.to_string(),
        epoch: Epoch(key.epoch),
        head: log.head,
        frozen: log.proof.is_some(),
    });
    heads.collect()
}

pub(crate) fn entry(stored: &Stored) -> Entry {
    let header = stored.entry.header();
    let payload = stored.entry.payload();
    Entry {
        lsn: stored.lsn,
        author: header.author.to_string(),
        epoch: Epoch(header.epoch),
        seq: header.seq,
        time: header.time_ms,
        payload: match std::str::from_utf8(payload) {
            Ok(text) => Payload::Text(text.to_owned()),
            Err(_) => Payload::Base64(BASE64.encode(payload)),
        },
    }
}

/// Who made a subscription: `local`, or the DID of a peer.
pub(crate) fn subscriber(by: Provenance) -> String {
    match by {
        Provenance::Local => "local".to_owned(),
        Provenance::Peer(did) => did.to_string(),
    }
}

pub(crate) fn subscriptions(state: &State) -> reply::Subscriptions {
    let subscription = |(topic, by, wish): (&str, Provenance, &icn_gossip::Subscription)| {
        let id = wish.topic.map(|id| id.to_string());
        let about = wish.topic.and_then(|id| brief(state, &id));
        let topic = topic.to_owned();
        let pending = id.is_none();
        Subscription { topic, id, about, by: subscriber(by), since: wish.since_ms, pending }
    };
    let cursor = |(id, name, arrival): (TopicId, &str, u64)| Cursor {
        topic: state.topic(&id).map(|topic| topic.genesis.spec.name.clone()),
        id: id.to_string(),
        cursor: name.to_owned(),
        at: arrival,
        behind: state.last_arrival(&id).saturating_sub(arrival),
    };
    reply::Subscriptions {
        subscriptions: state.subscriptions().map(subscription).collect(),
        cursors: state.cursors().map(cursor).collect(),
    }
}

/// A snapshot as it is listed.
#[must_use]
pub fn snapshot(snapshot: &Snapshot) -> reply::Snapshot {
    let labels = snapshot.labels.iter();
    reply::Snapshot {
        id: snapshot.id.to_string(),
        lsn: snapshot.id.lsn,
        bytes: snapshot.bytes,
        created: snapshot.created_ms,
        timeline: snapshot.timeline,
        time: snapshot.time_ms,
        verified: snapshot.integrity == Integrity::Whole,
        check: match snapshot.integrity {
            Integrity::Whole => kept::Integrity::Whole,
            Integrity::Unchecked => kept::Integrity::Unchecked,
            Integrity::Damaged => kept::Integrity::Damaged,
        },
        origin: match snapshot.origin {
            Origin::Taken => kept::Origin::Taken,
            Origin::Target => kept::Origin::Target,
            Origin::Imported => kept::Origin::Imported,
        },
        pinned: snapshot.pinned,
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        kept_because: snapshot.kept_because.to_string(),
    }
}

pub(crate) fn snapshots(snapshots: &[Snapshot], window: kept::Window) -> reply::Snapshots {
    reply::Snapshots { snapshots: snapshots.iter().map(snapshot).collect(), window }
}

pub(crate) fn window(window: &RestoreWindow) -> kept::Window {
    kept::Window {
        first: window.first,
        last: window.last,
        since: window.first_ms,
        hours_wanted: Duration::from_millis(window.wanted_ms).as_secs() / 3600,
        bytes: window.bytes,
        bytes_max: window.bytes_max,
        shortened: window.is_shortened,
    }
}

pub(crate) fn plan(plan: &[Decision]) -> reply::Plan {
    let planned = |decision: &Decision| kept::Planned {
        id: decision.id.to_string(),
        bytes: decision.bytes,
        stays: decision.reason.stays(),
        because: decision.reason.to_string(),
    };
    reply::Plan { snapshots: plan.iter().map(planned).collect() }
}
