//! What lies between two states, for whoever is about to go from one to the other.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use icn_gossip::{Provenance, State};
use serde_json::{Value, json};

use crate::node::describe_topic;

/// The changes that lead from one state to another: topics with their access rules, subscriptions,
/// peers' keys, and how far the logs have come.
pub(crate) fn diff(from: &State, to: &State) -> Value {
    let topics = changes(&topics(from), &topics(to));
    let subscriptions = changes(&subscriptions(from), &subscriptions(to));
    let peers = changes(&peers(from), &peers(to));
    let clocks = changes(&clocks(from), &clocks(to));
    let same = [&topics, &subscriptions, &peers, &clocks].iter().all(|list| list.is_empty());
    let entries = json!({ "from": from.counts().entries, "to": to.counts().entries });
    json!({
        "same": same,
        "topics": topics,
        "subscriptions": subscriptions,
        "peers": peers,
        "clocks": clocks,
        "entries": entries,
    })
}

/// Things by a name that is theirs in both states.
type Things = BTreeMap<String, Value>;

fn changes(from: &Things, to: &Things) -> Vec<Value> {
    let mut names: Vec<_> = from.keys().chain(to.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let change = |name: &String| {
        let (old, new) = (from.get(name), to.get(name));
        let change = match (old, new) {
            (None, _) => "added",
            (_, None) => "removed",
            _ if old == new => return None,
            _ => "changed",
        };
        Some(json!({ "what": name, "change": change, "from": old, "to": new }))
    };
    names.into_iter().filter_map(change).collect()
}

fn topics(state: &State) -> Things {
    let named = state.topics().map(|(id, topic)| {
        let told = describe_topic(id, topic);
        let mut kept = json!({});
        for key in ["name", "access", "access_version", "scope", "max_entries", "retention_ms"] {
            kept[key] = told[key].clone();
        }
        (id.to_string(), kept)
    });
    named.collect()
}

fn subscriptions(state: &State) -> Things {
    let named = state.subscriptions().map(|(topic, by, wish)| {
        let by = match by {
            Provenance::Local => "local".to_owned(),
            Provenance::Peer(did) => did.to_string(),
        };
        (format!("{topic} by {by}"), json!({ "pending": wish.topic.is_none() }))
    });
    named.collect()
}

fn peers(state: &State) -> Things {
    let named = state.peers().map(|(did, peer)| {
        (did.to_string(), json!({ "key": peer.card.to_string(), "trust": peer.trust }))
    });
    let unsigned = state.unsigned_keys().map(|(did, key)| {
        (did.to_string(), json!({ "unsigned_key": HEXLOWER.encode(&key.x25519) }))
    });
    unsigned.chain(named).collect()
}

fn clocks(state: &State) -> Things {
    let mut clocks = Things::new();
    for (id, topic) in state.topics() {
        for (key, log) in state.heads(*id) {
            let name = &topic.genesis.spec.name;
            clocks.insert(
                format!("{name} by {} in epoch {}", key.author, key.epoch),
                json!(log.head),
            );
        }
    }
    clocks
}
