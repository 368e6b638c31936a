//! The differences between two states, for an operator who is about to restore one.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::HEXLOWER;
use icn_gossip::State;

use super::describe;
use crate::control::reply::Diff;
use crate::control::reply::diff::{Change, Edit, EntryCounts, PeerKey, Side, TopicRules, Wish};
use crate::control::reply::topics::Topic;

/// The changes that lead from one state to another: topics with their access rules, subscriptions,
/// peers' keys, and how far the logs have come.
pub(crate) fn diff((from, from_side): (&State, Side), (to, to_side): (&State, Side)) -> Diff {
    let topics = changes(topics(from), topics(to));
    let subscriptions = changes(subscriptions(from), subscriptions(to));
    let peers = changes(peers(from), peers(to));
    let clocks = changes(clocks(from), clocks(to));
    let entries =
        EntryCounts { from: from.counts().entries as u64, to: to.counts().entries as u64 };
    let same =
        topics.is_empty() && subscriptions.is_empty() && peers.is_empty() && clocks.is_empty();
    Diff { same, topics, subscriptions, peers, clocks, entries, from: from_side, to: to_side }
}

/// Items by a key that is the same in both states.
type Things<T> = BTreeMap<String, T>;

fn changes<T: PartialEq>(mut from: Things<T>, mut to: Things<T>) -> Vec<Change<T>> {
    let names: BTreeSet<_> = from.keys().chain(to.keys()).cloned().collect();
    let change = |name: String| {
        let old = from.remove(&name);
        let new = to.remove(&name);
        let change = match (&old, &new) {
            (None, _) => Edit::Added,
            (_, None) => Edit::Removed,
            _ if old == new => return None,
            _ => Edit::Changed,
        };
        Some(Change { what: name, change, from: old, to: new })
    };
    names.into_iter().filter_map(change).collect()
}

fn topics(state: &State) -> Things<TopicRules> {
    let rules = |topic: Topic| TopicRules {
        name: topic.name,
        access: topic.access,
        access_version: topic.access_version,
        scope: topic.scope,
        max_entries: topic.max_entries,
        retention_ms: topic.retention_ms,
    };
    let named = state.topics();
    named.map(|(id, topic)| (id.to_string(), rules(describe::topic(state, id, topic)))).collect()
}

fn subscriptions(state: &State) -> Things<Wish> {
    let named = state.subscriptions().map(|(topic, by, wish)| {
        let name = format!("{topic} by {}", describe::subscriber(by));
        (name, Wish { pending: wish.topic.is_none() })
    });
    named.collect()
}

fn peers(state: &State) -> Things<PeerKey> {
    let named = state.peers().map(|(did, peer)| {
        (did.to_string(), PeerKey::Signed { key: peer.card.to_string(), trust: peer.trust })
    });
    let unsigned = state.unsigned_keys().map(|(did, key)| {
        (did.to_string(), PeerKey::Unsigned { unsigned_key: HEXLOWER.encode(&key.x25519) })
    });
    unsigned.chain(named).collect()
}

fn clocks(state: &State) -> Things<u64> {
    let mut clocks = Things::new();
    for (id, topic) in state.topics() {
        for (key, log) in state.heads(*id) {
            let name = &topic.genesis.spec.name;
            clocks.insert(format!("{name} by {} in epoch {}", key.author, key.epoch), log.head);
        }
    }
    clocks
}
