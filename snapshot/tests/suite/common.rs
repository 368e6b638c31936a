//! A small state machine whose state shows every record that is left out, repeated or out of order.

use std::collections::BTreeMap;

use icn_snapshot::{
    Due, Error, PointInTime, Policy, Recovery, Retention, SnapshotId, StateMachine, Store,
};
use icn_wal::Lsn;
use icn_wal::disk::SimDisk;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Map {
    pub(crate) values: BTreeMap<u8, u32>,
    pub(crate) restores: u32,
}

impl StateMachine for Map {
    type Mutation = (u8, u32);
    type Outcome = Option<u32>;
    const SCHEMA: u32 = 7;

    fn encode(&(key, value): &(u8, u32), out: &mut Vec<u8>) {
        out.push(key);
        out.extend_from_slice(&value.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Result<(u8, u32), String> {
        let (&key, value) = bytes.split_first().ok_or("empty")?;
        let value = value.try_into().map_err(|_| "not four bytes")?;
        Ok((key, u32::from_le_bytes(value)))
    }

    fn apply(&mut self, _: Lsn, (key, value): (u8, u32)) -> Option<u32> {
        // Each value depends on the one before, so a record applied twice or in another order changes it.
        let old = self.values.get(&key).copied();
        self.values.insert(key, old.unwrap_or(1).wrapping_mul(31).wrapping_add(value));
        old
    }

    fn restore(&self, image: Self, _: u64) -> Self {
        Self { values: image.values, restores: self.restores + 1 }
    }
}

/// Keeps the newest three only, so that a few saves drop the log before them.
pub(crate) const FLOOR_ONLY: Retention =
    Retention { keep: 3, window_ms: 0, window_bytes: u64::MAX, window_segments: u64::MAX };

pub(crate) fn open(disk: &SimDisk) -> Result<(Store<Map, SimDisk>, Recovery), Error> {
    Store::open(disk, Policy { due: Due::default(), retention: FLOOR_ONLY })
}

pub(crate) fn save(store: &mut Store<Map, SimDisk>) -> SnapshotId {
    let image = store.image(5, 5).expect("something is committed");
    store.compactor().save(image).expect("save").id
}

pub(crate) fn put(store: &mut Store<Map, SimDisk>, key: u8, value: u32) {
    let (lsn, _) = store.commit(1, (key, value)).expect("commit");
    store.wal().wait(lsn).expect("wait");
}

pub(crate) fn put_at(store: &mut Store<Map, SimDisk>, time_ms: u64) {
    let (lsn, _) = store.commit(time_ms, (1, 1)).expect("commit");
    store.wal().wait(lsn).expect("durable");
}

/// Restores the state at `at` as an operator does. Returns the LSN of the RESTORE record.
pub(crate) fn restore(
    store: &mut Store<Map, SimDisk>,
    at: PointInTime,
    branch: u64,
) -> Result<Lsn, Error> {
    let compactor = store.compactor().clone();
    let present = store.image(5, 5).expect("something is committed");
    let target = compactor.prepare_restore(at, present)?;
    store.restore(1, target, branch)
}
