//! A state that is read for what it must not have lost, and not kept.

use std::fmt;
use std::marker::PhantomData;

use imbl::OrdMap;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::{Loss, NodeId, Peer, State, Stored, Subscription, Topic, UnsignedKey};
use crate::did::Did;
use crate::log::{Log, LogKey};
use crate::mutation::Provenance;
use crate::topic::TopicId;

impl State {
    /// The [losses](Self::losses) of the state that is serialised in `source`. It is read as any state is,
    /// and what there is most of (entries and logs) is dropped one by one: no second state is built.
    ///
    /// # Errors
    /// Those of reading a state from it.
    pub fn losses_of<'de, D: Deserializer<'de>>(
        summary: &[u8],
        source: D,
    ) -> Result<Vec<Loss>, D::Error> {
        Ok(Self::from(Outline::deserialize(source)?).losses(summary))
    }
}

/// Field by field a [`State`] as it is serialised.
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
}

impl From<Outline> for State {
    // Every field by name, and none by default: a state that gets another one has to have it here.
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
        }
    }
}

/// A map of which every entry was read, and none is there any more.
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

    /// One that has something in every field.
    fn state() -> State {
        let (author, other) = (Keypair::from_seed([1; 32]), Keypair::from_seed([3; 32]));
        let (did, network) = (author.did(), [2; 32]);
        let access = Access::participants(vec![did, other.did()]).encode();
        let genesis =
            Genesis::sign(&author, network, TopicSpec::new("coop:ledger".into(), access, 5), 7);
        let topic = genesis.id();
        let entry = |seq, previous, text: &'static str| {
            let (epoch, access_version) = (9, 1);
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
            Mutation::Init { did, network, epoch: 9 },
            Mutation::CreateTopic(genesis),
            first,
            second,
            // Another one for the same place: the log has a proof.
            entry(1, [0; 32], "other"),
            subscribe(Provenance::Local),
            subscribe(Provenance::Peer(other.did())),
            Mutation::AddPeer { card: KeyCard::sign(&other, [4; 32], 1), time_ms: 1 },
            Mutation::AddUnsignedKey { did: unsigned, x25519: [6; 32], time_ms: 1 },
            Mutation::MoveCursor { topic, name: "reader".into(), arrival: 1 },
        ] {
            state.apply(1, mutation);
        }
        assert!(state.logs.values().all(|log| log.proof.is_some()));
        assert_eq!((state.entries.len(), state.arrivals.len()), (2, 2));
        assert_eq!((state.next_arrivals.len(), state.subscriptions.len()), (1, 2));
        assert_eq!((state.peers.len(), state.unsigned_keys.len()), (1, 1));
        assert_eq!(state.cursors.len(), 1);
        state
    }

    /// What is told when the bytes are read as one state, and how many are left then.
    type Told = Option<(Vec<Loss>, usize)>;

    fn built(summary: &[u8], mut bytes: &[u8]) -> Told {
        let state = State::deserialize(&mut rmp_serde::Deserializer::new(&mut bytes)).ok()?;
        Some((state.losses(summary), bytes.len()))
    }

    fn outlined(summary: &[u8], mut bytes: &[u8]) -> Told {
        let source = &mut rmp_serde::Deserializer::new(&mut bytes);
        let losses = State::losses_of(summary, source).ok()?;
        Some((losses, bytes.len()))
    }

    #[test]
    fn whatever_is_noticed_when_the_state_is_built_is_noticed_without() {
        let state = state();
        let (summary, bytes) = (state.summary(), rmp_serde::to_vec(&state).expect("memory"));
        assert_eq!(outlined(&summary, &bytes), Some((Vec::new(), 0)));
        let (mut refused, mut weaker) = (0, 0);
        let mut compare = |bytes: &[u8], what: &dyn fmt::Display| {
            let told = outlined(&summary, bytes);
            assert_eq!(told, built(&summary, bytes), "{what}");
            refused += u32::from(told.is_none());
            weaker += u32::from(told.is_some_and(|(losses, _)| !losses.is_empty()));
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
    fn every_field_is_read_as_a_state_reads_it_and_none_is_passed_over() {
        let state = state();
        let (summary, bytes) = (state.summary(), rmp_serde::to_vec(&state).expect("memory"));
        // An array of fewer than 16, and where its elements begin.
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
            // Of a build that had not so many.
            let fewer = array(&all[..field]);
            assert_eq!(outlined(&summary, &fewer), built(&summary, &fewer), "{field} fields");
            for other in [NIL, all[0], all[1], b"\x80", b"\x90", b"\x05"] {
                let mut changed = all.clone();
                changed[field] = other;
                let changed = array(&changed);
                let told = outlined(&summary, &changed);
                assert_eq!(told, built(&summary, &changed), "{field} as {other:x?}");
            }
        }
    }
}
