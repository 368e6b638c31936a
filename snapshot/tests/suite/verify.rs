//! No snapshot is published before its state was decoded from the disk.

use std::collections::BTreeMap;

use icn_snapshot::{DrainedMap, Error, Policy, StateMachine, Store, Weakness};
use icn_wal::Lsn;
use icn_wal::disk::SimDisk;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Serialises, once broken, as a value that cannot be deserialised.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Word {
    broken: bool,
}

impl Serialize for Word {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        if self.broken { out.serialize_u8(7) } else { out.serialize_str("word") }
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        String::deserialize(source).map(|_| Self { broken: false })
    }
}

/// A state that is verified by building it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Built(BTreeMap<u8, Word>);

/// A state that is verified entry by entry.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Drained(BTreeMap<u8, Word>);

fn decode(bytes: &[u8]) -> Result<(u8, bool), String> {
    let &[key, broken] = bytes else { return Err("not two bytes".into()) };
    Ok((key, broken != 0))
}

impl StateMachine for Built {
    type Mutation = (u8, bool);
    type Outcome = ();
    const SCHEMA: u32 = 1;

    fn encode(&(key, broken): &(u8, bool), out: &mut Vec<u8>) {
        out.extend([key, u8::from(broken)]);
    }

    fn decode(bytes: &[u8]) -> Result<(u8, bool), String> {
        decode(bytes)
    }

    fn apply(&mut self, _: Lsn, (key, broken): (u8, bool)) {
        self.0.insert(key, Word { broken });
    }
}

impl StateMachine for Drained {
    type Mutation = (u8, bool);
    type Outcome = ();
    const SCHEMA: u32 = 1;

    fn encode(&(key, broken): &(u8, bool), out: &mut Vec<u8>) {
        out.extend([key, u8::from(broken)]);
    }

    fn decode(bytes: &[u8]) -> Result<(u8, bool), String> {
        decode(bytes)
    }

    fn apply(&mut self, _: Lsn, (key, broken): (u8, bool)) {
        self.0.insert(key, Word { broken });
    }

    fn verify<'de, D: Deserializer<'de>>(_: &[u8], source: D) -> Result<Vec<Weakness>, D::Error> {
        DrainedMap::<u8, Word>::deserialize(source).map(|_| Vec::new())
    }
}

fn a_state_that_cannot_be_read_is_never_published<S: StateMachine<Mutation = (u8, bool)>>() {
    let disk = SimDisk::new(1);
    let (mut store, _) = Store::<S, _>::open(&disk, Policy::default()).expect("open");
    for key in 0..200 {
        store.commit(1, (key, false)).expect("commit");
    }
    let image = store.image(5, 5).expect("something is committed");
    let whole = store.compactor().save(image).expect("save").id;
    store.commit(1, (100, true)).expect("commit");
    let image = store.image(5, 5).expect("something is committed");
    let saved = store.compactor().save(image);
    assert!(matches!(saved, Err(Error::Unusable { .. })), "{saved:?}");
    let kept: Vec<_> = store.compactor().list().iter().map(|kept| kept.id).collect();
    assert_eq!(kept, [whole]);
    store.compactor().verify::<S>(whole).expect("whole");
}

#[test]
fn a_state_that_cannot_be_built_is_never_published() {
    a_state_that_cannot_be_read_is_never_published::<Built>();
}

#[test]
fn a_state_that_cannot_be_read_entry_by_entry_is_never_published() {
    a_state_that_cannot_be_read_is_never_published::<Drained>();
}
