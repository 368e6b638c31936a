//! Checks a serialised state for losses without building a second state in memory.

use std::fmt;
use std::marker::PhantomData;

use imbl::OrdMap;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::room::KnownRoom;
use super::{Loss, NodeId, Peer, State, Stored, Subscription, Topic, UnsignedKey};
use crate::clock_stamp::ClockStamp;
use crate::did::Did;
use crate::log::{Log, LogKey};
use crate::mutation::Provenance;
use crate::topic::TopicId;

impl State {
    /// The [losses](Self::losses) of the state that is serialised in `source`. It is decoded like any
    /// state, but each entry and author log is dropped at once: no second state is built.
    ///
    /// # Errors
    /// The same as those of deserialising a [`State`] from `source`.
    pub fn losses_of<'de, D: Deserializer<'de>>(
        summary: &[u8],
        source: D,
    ) -> Result<Vec<Loss>, D::Error> {
        Ok(Self::from(Outline::deserialize(source)?).losses(summary))
    }
}

/// The fields of a serialised [`State`], without its entries and author logs.
#[derive(serde::Deserialize)]
#[serde(rename = "State")]
struct Outline {
    node: Option<NodeId>,
    topics: OrdMap<TopicId, Topic>,
    logs: Dropped<LogKey, Log>,
    entries: Dropped<(TopicId, u64), Stored>,
    arrivals: Dropped<(LogKey, u64), u64>,
    next_arrivals: Dropped<TopicId, u64>,
    subscriptions: OrdMap<(String, Provenance), Subscription>,
    peers: OrdMap<Did, Peer>,
    bytes: u64,
    #[serde(default)]
    unsigned_keys: OrdMap<Did, UnsignedKey>,
    #[serde(default)]
    cursors: OrdMap<(TopicId, String), u64>,
    #[serde(default)]
    clock: Option<ClockStamp>,
}

impl From<Outline> for State {
    // Every field by name and none by default, so that a new field of State must be added here.
    fn from(outline: Outline) -> Self {
        Self {
            node: outline.node,
            topics: outline.topics,
            logs: outline.logs.into(),
            entries: outline.entries.into(),
            arrivals: outline.arrivals.into(),
            next_arrivals: outline.next_arrivals.into(),
            subscriptions: outline.subscriptions,
            peers: outline.peers,
            bytes: outline.bytes,
            unsigned_keys: outline.unsigned_keys,
            cursors: outline.cursors,
            clock: outline.clock,
            room: KnownRoom::default(),
        }
    }
}

/// A map that was decoded and dropped item by item.
struct Dropped<K, V>(PhantomData<(K, V)>);

impl<K: Ord + Clone, V: Clone> From<Dropped<K, V>> for OrdMap<K, V> {
    fn from(_: Dropped<K, V>) -> Self {
        Self::new()
    }
}

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Dropped<K, V> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_map(Dropping(PhantomData))
    }
}

struct Dropping<K, V>(PhantomData<(K, V)>);

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for Dropping<K, V> {
    type Value = Dropped<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<K, V>()?.is_some() {}
        Ok(Dropped(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde::de::IgnoredAny;

    use super::*;
    use crate::access::Access;
    use crate::card::KeyCard;
    use crate::entry::{Entry, Position};
    use crate::keypair::Keypair;
    use crate::mutation::Mutation;
    use crate::topic::{Genesis, TopicSpec};

    /// A state in which no field is empty.
    fn state() -> State {
        let author = Keypair::from_seed([1; 32]);
        let other = Keypair::from_seed([3; 32]);
        let did = author.did();
        let network = [2; 32];
        let access = Access::participants(vec![did, other.did()]).encode();
        let genesis =
            Genesis::sign(&author, network, TopicSpec::new("coop:ledger".into(), access, 5), 7);
        let topic = genesis.id();
        let entry = |seq, previous, text: &'static str| {
            let epoch = 9;
            let access_version = 1;
            let position =
                Position { network, topic, epoch, seq, previous, access_version, time_ms: 6 };
            let entry = Entry::sign(&author, &position, Bytes::from_static(text.as_bytes()));
            Mutation::Append { entry, received_ms: 6 }
        };
        let first = entry(1, [0; 32], "one");
        let Mutation::Append { entry: of_first, .. } = &first else { panic!("no entry") };
        let second = entry(2, of_first.hash(), "two");
        let name = "coop:ledger".to_owned();
        let subscribe = |by| Mutation::Subscribe { topic: name.clone(), by, time_ms: 1 };
        let unsigned = Keypair::from_seed([5; 32]).did();
        let mut state = State::default();
        for mutation in [
            Mutation::Init { did, network, epoch: 9, clock: None },
            Mutation::CreateTopic(genesis),
            first,
            second,
            // A second entry for the same position: the log gets a proof.
            entry(1, [0; 32], "other"),
            subscribe(Provenance::Local),
            subscribe(Provenance::Peer(other.did())),
            Mutation::AddPeer { card: KeyCard::sign(&other, [4; 32], 1), named: false, time_ms: 1 },
            Mutation::AddUnsignedKey { did: unsigned, x25519: [6; 32], time_ms: 1 },
            Mutation::MoveCursor { topic, name: "reader".into(), arrival: 1 },
        ] {
            state.apply(1, mutation);
        }
        assert!(state.logs.values().all(|log| log.proof.is_some()));
        assert_eq!(state.entries.len(), 2);
        assert_eq!(state.arrivals.len(), 2);
        assert_eq!(state.next_arrivals.len(), 1);
        assert_eq!(state.subscriptions.len(), 2);
        assert_eq!(state.peers.len(), 1);
        assert_eq!(state.unsigned_keys.len(), 1);
        assert_eq!(state.cursors.len(), 1);
        state
    }

    /// The losses found when the bytes are decoded as a state, and how many bytes are left then.
    type Found = Option<(Vec<Loss>, usize)>;

    fn built(summary: &[u8], mut bytes: &[u8]) -> Found {
        let state = State::deserialize(&mut rmp_serde::Deserializer::new(&mut bytes)).ok()?;
        Some((state.losses(summary), bytes.len()))
    }

    fn outlined(summary: &[u8], mut bytes: &[u8]) -> Found {
        let source = &mut rmp_serde::Deserializer::new(&mut bytes);
        let losses = State::losses_of(summary, source).ok()?;
        Some((losses, bytes.len()))
    }

    #[test]
    fn damage_found_by_building_a_state_is_found_without_building_it() {
        let state = state();
        let summary = state.summary();
        let bytes = rmp_serde::to_vec(&state).expect("memory");
        assert_eq!(outlined(&summary, &bytes), Some((Vec::new(), 0)));
        let mut refused = 0;
        let mut weaker = 0;
        let mut compare = |bytes: &[u8], what: &dyn fmt::Display| {
            let found = outlined(&summary, bytes);
            assert_eq!(found, built(&summary, bytes), "{what}");
            refused += u32::from(found.is_none());
            weaker += u32::from(found.is_some_and(|(losses, _)| !losses.is_empty()));
        };
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << bit;
                compare(&bytes, &format_args!("byte {at}, bit {bit}"));
            }
            compare(&bytes[..at], &format_args!("cut after {at}"));
        }
        assert!(refused > 1000 && weaker > 100, "{refused} {weaker}");
    }

    #[test]
    fn every_field_is_decoded_as_a_state_decodes_it() {
        let state = state();
        let summary = state.summary();
        let bytes = rmp_serde::to_vec(&state).expect("memory");
        // The state is an array of fewer than 16 elements; find where each begins.
        let fields = usize::from(bytes[0] - 0x90);
        let mut rest = &bytes[1..];
        let mut begins = vec![1];
        for _ in 0..fields {
            IgnoredAny::deserialize(&mut rmp_serde::Deserializer::new(&mut rest)).expect("one");
            begins.push(bytes.len() - rest.len());
        }
        assert!(rest.is_empty() && fields < 15);
        let array = |fields: &[&[u8]]| {
            let count = 0x90 + u8::try_from(fields.len()).expect("a few");
            [&[count][..], &fields.concat()].concat()
        };
        let all: Vec<_> = begins.windows(2).map(|field| &bytes[field[0]..field[1]]).collect();
        const NIL: &[u8] = &[0xc0];
        let more = array(&[&all[..], &[NIL]].concat());
        assert_eq!(outlined(&summary, &more), None, "a field of a newer build");
        assert_eq!(built(&summary, &more), None);
        for field in 0..fields {
            // An older build wrote fewer fields.
            let fewer = array(&all[..field]);
            assert_eq!(outlined(&summary, &fewer), built(&summary, &fewer), "{field} fields");
            for other in [NIL, all[0], all[1], b"\x80", b"\x90", b"\x05"] {
                let mut changed = all.clone();
                changed[field] = other;
                let changed = array(&changed);
                let found = outlined(&summary, &changed);
                assert_eq!(found, built(&summary, &changed), "{field} as {other:x?}");
            }
        }
    }
}
