//! A large state, and a store filled with it.

use std::path::Path;

use icn_snapshot::{DrainedMap, Policy, StateMachine, Store, Weakness};
use icn_wal::{FsDisk, Lsn};
use imbl::OrdMap;
use serde::{Deserialize, Deserializer, Serialize};
use serde_bytes::ByteArray;

use crate::BoxResult;

const KEY_BYTES: usize = 40;
const VALUE_BYTES: usize = 64;
/// The bytes of key and value of an entry, without encoding.
pub(crate) const ENTRY_BYTES: u32 = 104;
const RANDOM_BYTES: usize = 16;

pub(crate) type Key = ByteArray<KEY_BYTES>;
pub(crate) type Value = ByteArray<VALUE_BYTES>;

#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Accounts(pub(crate) OrdMap<Key, Value>);

pub(crate) enum Change {
    /// Adds so many entries: a large state with a small log.
    Fill(u32),
    Put(Key, Value),
}

impl StateMachine for Accounts {
    type Mutation = Change;
    type Outcome = ();
    const SCHEMA: u32 = 0;

    fn encode(change: &Change, out: &mut Vec<u8>) {
        match change {
            Change::Fill(count) => out.extend_from_slice(&count.to_le_bytes()),
            Change::Put(key, value) => {
                out.extend_from_slice(&key[..]);
                out.extend_from_slice(&value[..]);
            }
        }
    }

    fn decode(bytes: &[u8]) -> Result<Change, String> {
        if let Ok(count) = bytes.try_into() {
            return Ok(Change::Fill(u32::from_le_bytes(count)));
        }
        let (key, value) = bytes.split_at_checked(KEY_BYTES).ok_or("too short")?;
        let key = key.try_into().map_err(|_| "no key")?;
        let value = value.try_into().map_err(|_| "no value")?;
        Ok(Change::Put(ByteArray::new(key), ByteArray::new(value)))
    }

    fn apply(&mut self, _: Lsn, change: Change) {
        match change {
            Change::Fill(count) => (0..count).for_each(|number| {
                self.0.insert(key(number), value(u64::from(number)));
            }),
            Change::Put(key, value) => drop(self.0.insert(key, value)),
        }
    }

    fn verify<'de, D: Deserializer<'de>>(_: &[u8], source: D) -> Result<Vec<Weakness>, D::Error> {
        DrainedMap::<Key, Value>::deserialize(source).map(|_| Vec::new())
    }
}

/// A prefix and 32 hexadecimal digits of a hash, of which 16 bytes do not compress.
pub(crate) fn key(number: u32) -> Key {
    let hash = blake3::hash(&number.to_le_bytes()).to_hex();
    let mut key = *b"account/0123456789abcdef0123456789abcdef";
    key[8..].copy_from_slice(&hash.as_bytes()[..32]);
    ByteArray::new(key)
}

/// 16 bytes that do not compress, then text.
pub(crate) fn value(seed: u64) -> Value {
    let mut value = *b"................ balance=0000000000 currency=EUR state=active___";
    let hash = blake3::hash(&seed.to_le_bytes());
    value[..RANDOM_BYTES].copy_from_slice(&hash.as_bytes()[..RANDOM_BYTES]);
    let digits = format!("{:010}", seed % 10_000_000_000);
    value[25..35].copy_from_slice(digits.as_bytes());
    ByteArray::new(value)
}

pub(crate) fn open<S: StateMachine>(path: &Path) -> BoxResult<Store<S, FsDisk>> {
    Ok(Store::open(&FsDisk::create(path)?, Policy::default())?.0)
}

/// A new store with `keys` entries.
pub(crate) fn filled(path: &Path, keys: u32) -> BoxResult<Store<Accounts, FsDisk>> {
    let mut store = open::<Accounts>(path)?;
    let (lsn, ()) = store.commit(0, Change::Fill(keys))?;
    store.wal().wait(lsn)?;
    Ok(store)
}
