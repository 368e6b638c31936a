//! A summary of a state, by which recovery detects lost topics, rights, subscriptions, keys and cursors.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::State;
use crate::mutation::Provenance;
use crate::topic::TopicId;

/// Eight bytes of a hash. Both compared values come from the same node, so no attacker gains by a
/// collision.
type ShortHash = u64;

/// Part of every snapshot, so it names only topics and the node's own subscriptions; numerous items are
/// short hashes.
#[derive(Default, Serialize, Deserialize)]
struct Summary {
    /// Each topic's name, and the hash of its access rule and version.
    topics: BTreeMap<TopicId, (String, ShortHash)>,
    /// The node's own subscriptions, and the hashes of those of peers.
    own: BTreeSet<String>,
    others: BTreeSet<ShortHash>,
    /// The hashes of the X25519 keys, signed and unsigned.
    keys: BTreeSet<ShortHash>,
    /// The arrival at which each cursor stands. Summaries of older builds end without this field.
    #[serde(default)]
    cursors: BTreeMap<ShortHash, u64>,
}

/// An item that a state has lost, or a topic that it has exposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The topic whose access rule has changed: it must not be served.
    pub exposed: Option<TopicId>,
    /// The loss in words.
    pub text: String,
}

impl State {
    /// The summary from which [`losses`](Self::losses) of a later state are found: topics and hashes of
    /// their access rules, subscriptions, peers' keys and cursors. Only this crate reads its bytes.
    #[must_use]
    pub fn summary(&self) -> Vec<u8> {
        rmp_serde::to_vec(&self.summarised()).unwrap_or_default()
    }

    /// What this state lacks of the state with this summary; empty for an equal state:
    ///
    /// - missing topics, subscriptions, keys and cursors;
    /// - changed keys and access rules, narrower or wider;
    /// - cursors that went back.
    #[must_use]
    pub fn losses(&self, summary: &[u8]) -> Vec<Loss> {
        let loss = |text: String| Loss { exposed: None, text };
        let Ok(then) = rmp_serde::from_slice::<Summary>(summary) else {
            return vec![loss("the summary cannot be read".into())];
        };
        let now = self.summarised();
        let mut losses = Vec::new();
        for (id, (name, access)) in &then.topics {
            match now.topics.get(id) {
                None => losses.push(loss(format!("topic {name} ({id}) is missing"))),
                Some((_, other)) if other != access => losses.push(Loss {
                    exposed: Some(*id),
                    text: format!("the access rule of topic {name} ({id}) has changed"),
                }),
                Some(_) => {}
            }
        }
        for topic in then.own.difference(&now.own) {
            losses.push(loss(format!("the subscription to {topic} is missing")));
        }
        match then.others.difference(&now.others).count() {
            0 => {}
            missing => losses.push(loss(format!("subscriptions of peers are missing: {missing}"))),
        }
        match then.keys.difference(&now.keys).count() {
            0 => {}
            lost => losses.push(loss(format!("keys of peers are missing or changed: {lost}"))),
        }
        let back = |(tag, stood): &(&ShortHash, &u64)| now.cursors.get(tag) < Some(stood);
        match then.cursors.iter().filter(back).count() {
            0 => {}
            back => losses.push(loss(format!("cursors are missing or went back: {back}"))),
        }
        losses
    }

    fn summarised(&self) -> Summary {
        let topics = self.topics.iter().map(|(id, topic)| {
            let spec = &topic.genesis.spec;
            let access = tag(&[&topic.access_version.to_le_bytes(), spec.access.as_bytes()]);
            (*id, (spec.name.clone(), access))
        });
        let mut own = BTreeSet::new();
        let mut others = BTreeSet::new();
        for (topic, by) in self.subscriptions.keys() {
            match by {
                Provenance::Local => own.insert(topic.clone()),
                Provenance::Peer(did) => others.insert(tag(&[did.key(), topic.as_bytes()])),
            };
        }
        let unsigned = self.unsigned_keys.iter().map(|(did, key)| (did, &key.x25519));
        let signed = self.peers.iter().map(|(did, peer)| (did, &peer.card.x25519));
        let keys = unsigned.chain(signed).map(|(did, key)| tag(&[did.key(), key]));
        let cursors = self
            .cursors
            .iter()
            .map(|((topic, name), arrival)| (tag(&[topic.as_bytes(), name.as_bytes()]), *arrival));
        let topics = topics.collect();
        let keys = keys.collect();
        let cursors = cursors.collect();
        Summary { topics, own, others, keys, cursors }
    }
}

/// Hashes the concatenation of `parts`, of which all but the last have a fixed length.
fn tag(parts: &[&[u8]]) -> ShortHash {
    let mut hasher = blake3::Hasher::new();
    parts.iter().for_each(|part| {
        hasher.update(part);
    });
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Access;
    use crate::card::KeyCard;
    use crate::keypair::Keypair;
    use crate::mutation::Mutation;
    use crate::topic::{Genesis, TopicSpec};

    fn state() -> (State, TopicId) {
        let keypair = Keypair::from_seed([1; 32]);
        let did = keypair.did();
        let network = [2; 32];
        let access = Access::participants(vec![did]).encode();
        let spec = TopicSpec::new("coop:ledger".into(), access, 5);
        let genesis = Genesis::sign(&keypair, network, spec, 7);
        let id = genesis.id();
        let card = KeyCard::sign(&Keypair::from_seed([3; 32]), [4; 32], 1);
        let mut state = State::default();
        let by = Provenance::Local;
        let topic = "coop:ledger".to_owned();
        for mutation in [
            Mutation::Init { did, network, epoch: 9, clock: None },
            Mutation::CreateTopic(genesis),
            Mutation::Subscribe { topic, by, time_ms: 1 },
            Mutation::AddPeer { card, named: false, time_ms: 1 },
            Mutation::AddUnsignedKey {
                did: Keypair::from_seed([5; 32]).did(),
                x25519: [6; 32],
                time_ms: 1,
            },
            Mutation::MoveCursor { topic: id, name: "app".into(), arrival: 0 },
        ] {
            state.apply(1, mutation);
        }
        (state, id)
    }

    #[test]
    fn every_loss_is_reported_and_an_equal_state_has_none() {
        let (whole, id) = state();
        let summary = whole.summary();
        assert_eq!(whole.losses(&summary), []);
        type Damage = fn(&mut State, TopicId);
        let damages: [(&str, Option<TopicId>, Damage); 9] = [
            ("topic coop:ledger", None, |state, _| state.topics.clear()),
            ("access rule of topic coop:ledger", Some(id), |state, id| {
                let topic = state.topics.get_mut(&id).expect("a topic");
                topic.genesis.spec.access = Access::public().encode();
            }),
            ("access rule of topic coop:ledger", Some(id), |state, id| {
                state.topics.get_mut(&id).expect("a topic").access_version = 0;
            }),
            ("the subscription to coop:ledger", None, |state, _| state.subscriptions.clear()),
            ("missing or changed: 1", None, |state, _| state.peers.clear()),
            ("missing or changed: 1", None, |state, _| state.unsigned_keys.clear()),
            ("missing or changed: 1", None, |state, _| {
                let did = *state.unsigned_keys.keys().next().expect("a key");
                state.unsigned_keys.get_mut(&did).expect("a key").x25519 = [0; 32];
            }),
            ("missing or went back: 1", None, |state, _| state.cursors.clear()),
            ("missing or went back: 1", None, |state, id| {
                let key = (id, "app".to_owned());
                let other = (id, "other".to_owned());
                let stands = state.cursors.remove(&key).expect("a cursor");
                state.cursors.insert(other, stands);
            }),
        ];
        for (text, exposed, damage) in damages {
            let mut less = whole.clone();
            damage(&mut less, id);
            let losses = less.losses(&summary);
            assert_eq!(losses.len(), 1, "{text}: {losses:?}");
            assert!(losses[0].text.contains(text), "{losses:?}");
            assert_eq!(losses[0].exposed, exposed);
        }
        assert_eq!(whole.losses(b"nonsense").len(), 1);
    }
}
