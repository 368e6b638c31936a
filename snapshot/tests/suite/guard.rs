//! The guard against a build that reads less than was written, and the migration of older schemas.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use icn_snapshot::{
    Error, Integrity, PointInTime, Policy, SnapshotId, StateMachine, Store, Weakness,
};
use icn_wal::Lsn;
use icn_wal::disk::SimDisk;
use serde::{Deserialize, Deserializer, Serialize};

thread_local! {
    /// The mistakes of this build: rights are lost when a state is read, or when a record is applied.
    static LOSES: Cell<(bool, bool)> = const { Cell::new((false, false)) };
}

fn rights<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeSet<u8>, D::Error> {
    let rights = BTreeSet::deserialize(from)?;
    Ok(if LOSES.get().0 { BTreeSet::new() } else { rights })
}

/// Doors that must stay locked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Doors {
    #[serde(deserialize_with = "rights")]
    locked: BTreeSet<u8>,
}

impl StateMachine for Doors {
    type Mutation = u8;
    type Outcome = ();
    const SCHEMA: u32 = 0;

    fn encode(door: &u8, out: &mut Vec<u8>) {
        out.push(*door);
    }

    fn decode(bytes: &[u8]) -> Result<u8, String> {
        bytes.first().copied().ok_or_else(|| "empty".into())
    }

    fn apply(&mut self, _: Lsn, door: u8) {
        if !LOSES.get().1 {
            self.locked.insert(door);
        }
    }

    fn summary(&self) -> Vec<u8> {
        self.locked.iter().copied().collect()
    }

    fn weaker_than(&self, summary: &[u8]) -> Vec<Weakness> {
        let open = summary.iter().filter(|door| !self.locked.contains(door));
        let weakness =
            |door: &u8| Weakness { subject: vec![*door], text: format!("{door} is open") };
        open.map(weakness).collect()
    }
}

fn lock(store: &mut Store<Doors, SimDisk>, door: u8) {
    let (lsn, ()) = store.commit(1, door).expect("commit");
    store.wal().wait(lsn).expect("durable");
}

/// A store with a snapshot in which the doors 3 and 5 are locked.
fn locked() -> (SimDisk, SnapshotId) {
    locked_after(|_| ())
}

/// Such a store, with `then` run after door 3 is locked.
fn locked_after(then: impl FnOnce(&mut Store<Doors, SimDisk>)) -> (SimDisk, SnapshotId) {
    LOSES.set((false, false));
    let disk = SimDisk::new(1);
    let (mut store, _) = Store::<Doors, _>::open(&disk, Policy::default()).expect("open");
    lock(&mut store, 3);
    then(&mut store);
    lock(&mut store, 5);
    let image = store.image(1, 1).expect("an image");
    let id = store.compactor().save(image).expect("save").id;
    drop(store);
    (disk.kill(), id)
}

#[test]
fn a_state_weaker_than_its_summary_is_reported_and_never_restored() {
    let (disk, id) = locked();

    LOSES.set((true, false));
    let (mut store, recovery) = Store::<Doors, _>::open(&disk, Policy::default()).expect("open");
    let texts: Vec<_> = recovery.weaker.iter().map(|weakness| weakness.text.as_str()).collect();
    assert_eq!(texts, ["3 is open", "5 is open"]);
    let compactor = store.compactor().clone();
    let verified = compactor.verify::<Doors>(id);
    assert!(matches!(&verified, Err(Error::Unusable { why, .. }) if why.contains("3 is open")));
    let present = store.image(1, 1).expect("an image");
    let target = compactor.prepare_restore(PointInTime::Snapshot(id), present);
    assert!(matches!(target, Err(Error::Unusable { .. })), "{:?}", target.err());
    // Such a build does not write a snapshot either: it would hide the loss.
    lock(&mut store, 7);
    let image = store.image(1, 1).expect("an image");
    assert!(matches!(compactor.save(image), Err(Error::Unusable { .. })));
    drop((store, compactor));

    LOSES.set((false, false));
    let (store, recovery) = Store::<Doors, _>::open(&disk.kill(), Policy::default()).expect("open");
    assert_eq!(recovery.weaker, []);
    assert_eq!(store.state().locked, BTreeSet::from([3, 5, 7]));
}

#[test]
fn the_summary_of_a_damaged_snapshot_still_reveals_a_loss_in_replay() {
    let (disk, id) = locked();
    damage_state(&disk, id);

    LOSES.set((false, true));
    let (store, recovery) = Store::<Doors, _>::open(&disk.fork(), Policy::default()).expect("open");
    assert_eq!(store.state().locked.len(), 0);
    assert_eq!(recovery.passed_over.len(), 1);
    assert_eq!(recovery.weaker.len(), 2, "{:?}", recovery.weaker);
    assert_eq!(store.compactor().list()[0].integrity, Integrity::Damaged);

    LOSES.set((false, false));
    let (store, recovery) = Store::<Doors, _>::open(&disk, Policy::default()).expect("open");
    assert_eq!(store.state().locked.len(), 2);
    assert_eq!(recovery.weaker.len(), 0);
}

/// Damages the last chunk of the state, right before the trailer.
fn damage_state(disk: &SimDisk, id: SnapshotId) {
    let name = format!("snapshots/{}", id.file_name());
    let mut bytes = disk.read_file(&name).expect("a snapshot");
    let last = bytes.len() - 65;
    bytes[last] ^= 1;
    disk.write_file(&name, &bytes);
}

#[test]
fn the_summary_of_a_damaged_snapshot_reveals_it_in_a_replay_from_an_older_one() {
    let (disk, id) = locked_after(|store| {
        let image = store.image(1, 1).expect("an image");
        store.compactor().save(image).expect("save");
    });
    damage_state(&disk, id);
    LOSES.set((false, true));
    let (store, recovery) = Store::<Doors, _>::open(&disk, Policy::default()).expect("open");
    assert_eq!(store.state().locked, BTreeSet::from([3]), "from the older snapshot");
    let texts: Vec<_> = recovery.weaker.iter().map(|weakness| weakness.text.as_str()).collect();
    assert_eq!(texts, ["5 is open"]);
}

/// A state of any of three layouts: a list, a list with a count, a map.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct First(Vec<u8>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Second(Vec<u8>, u64);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Third(BTreeMap<u8, u64>);

impl From<First> for Second {
    fn from(First(all): First) -> Self {
        let count = all.len() as u64;
        Self(all, count)
    }
}

impl From<Second> for Third {
    fn from(Second(all, _): Second) -> Self {
        let mut counts = BTreeMap::new();
        all.into_iter().for_each(|one| *counts.entry(one).or_default() += 1);
        Self(counts)
    }
}

fn read<T: for<'de> Deserialize<'de>>(from: &mut dyn Read) -> Result<T, String> {
    let mut decoder = rmp_serde::Deserializer::new(from);
    T::deserialize(&mut decoder).map_err(|error| error.to_string())
}

macro_rules! machine {
    ($name:ident, $schema:expr, |$state:ident, $one:ident| $apply:expr, $migrate:expr) => {
        impl StateMachine for $name {
            type Mutation = u8;
            type Outcome = ();
            const SCHEMA: u32 = $schema;

            fn encode(one: &u8, out: &mut Vec<u8>) {
                out.push(*one);
            }

            fn decode(bytes: &[u8]) -> Result<u8, String> {
                bytes.first().copied().ok_or_else(|| "empty".into())
            }

            fn apply(&mut self, _: Lsn, $one: u8) {
                let $state = self;
                $apply;
            }

            fn migrate(schema: u32, state: &mut dyn Read) -> Result<Self, String> {
                let migrate: fn(u32, &mut dyn Read) -> Result<Self, String> = $migrate;
                migrate(schema, state)
            }
        }
    };
}

machine!(First, 0, |state, one| state.0.push(one), |schema, _| Err(format!("no {schema}")));
machine!(
    Second,
    1,
    |state, one| {
        state.0.push(one);
        state.1 += 1;
    },
    |schema, state| match schema {
        0 => Ok(read::<First>(state)?.into()),
        other => Err(format!("no step from {other}")),
    }
);
machine!(Third, 2, |state, one| *state.0.entry(one).or_default() += 1, |schema, state| {
    match schema {
        0 | 1 => Ok(match schema {
            0 => Second::from(read::<First>(state)?),
            _ => read::<Second>(state)?,
        }
        .into()),
        other => Err(format!("no step from {other}")),
    }
});

fn live<S: StateMachine<Mutation = u8>>(disk: &SimDisk, ones: &[u8]) -> S {
    let (mut store, _) = Store::<S, _>::open(disk, Policy::default()).expect("open");
    for one in ones {
        store.commit(1, *one).expect("commit");
    }
    let image = store.image(1, 1).expect("an image");
    store.compactor().save(image).expect("save");
    // One more record, which only the log holds.
    let (lsn, _) = store.commit(1, 9).expect("commit");
    store.wal().wait(lsn).expect("durable");
    store.state().clone()
}

#[test]
fn a_state_of_any_older_schema_is_migrated_step_by_step_and_replaced() {
    let first = SimDisk::new(3);
    live::<First>(&first, &[1, 2, 1]);
    let first = first.kill();
    let second = SimDisk::new(3);
    live::<Second>(&second, &[1, 2, 1]);
    let counts = BTreeMap::from([(1, 2), (2, 1), (9, 1)]);
    for disk in [first.fork(), second.kill()] {
        let (mut store, _) = Store::<Third, _>::open(&disk, Policy::default()).expect("migrates");
        assert_eq!(store.state().0, counts);
        assert!(store.snapshot_due(1, 1), "a migrated state should be saved in the present schema");
        let kept = store.compactor().list();
        for snapshot in &kept {
            store.compactor().verify::<Third>(snapshot.id).expect("it can be migrated");
        }
        assert_eq!(kept.len(), 1);
        let image = store.image(1, 1).expect("an image");
        store.compactor().save(image).expect("save");
        drop(store);
        // An older build refuses the new snapshot.
        let older = Store::<Second, _>::open(&disk.kill(), Policy::default());
        assert!(matches!(older, Err(Error::Newer { .. })), "{:?}", older.err());
    }
}

#[test]
fn power_loss_at_every_operation_of_a_migration_loses_nothing() {
    let before = SimDisk::new(4);
    live::<First>(&before, &[1, 2, 1]);
    let before = before.kill();
    let counts = BTreeMap::from([(1, 2), (2, 1), (9, 1)]);
    for power in 1.. {
        let disk = before.fork();
        let at = disk.operations() + power;
        disk.set_faults(icn_wal::disk::Faults {
            power_loss_at: Some(at),
            ..icn_wal::disk::Faults::default()
        });
        let migrate = || {
            let (mut store, _) = Store::<Third, _>::open(&disk, Policy::default())?;
            let image = store.image(1, 1).expect("an image");
            store.compactor().save(image)?;
            store.close()
        };
        let ended = migrate();
        disk.set_faults(icn_wal::disk::Faults::default());
        for seed in 0..4 {
            let image = disk.power_loss(seed);
            let (store, _) = Store::<Third, _>::open(&image, Policy::default()).expect("recovers");
            assert_eq!(store.state().0, counts, "power loss at {power}");
        }
        if ended.is_ok() {
            assert!(power > 20, "{power}");
            return;
        }
    }
}

/// A state whose summary has the given number of bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Talker(usize);

impl StateMachine for Talker {
    type Mutation = usize;
    type Outcome = ();
    const SCHEMA: u32 = 0;

    fn encode(bytes: &usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&bytes.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Result<usize, String> {
        bytes.try_into().map(usize::from_le_bytes).map_err(|_| "not eight bytes".into())
    }

    fn apply(&mut self, _: Lsn, bytes: usize) {
        self.0 = bytes;
    }

    fn summary(&self) -> Vec<u8> {
        vec![1; self.0]
    }

    fn weaker_than(&self, summary: &[u8]) -> Vec<Weakness> {
        let other = summary.len() != self.0 || summary.iter().any(|byte| *byte != 1);
        let weakness = Weakness { subject: Vec::new(), text: "another summary".into() };
        other.then_some(weakness).into_iter().collect()
    }
}

#[test]
fn a_summary_has_any_length_up_to_16_mib() {
    const CHUNK: usize = 1 << 20;
    let disk = SimDisk::new(5);
    let (mut store, _) = Store::<Talker, _>::open(&disk, Policy::default()).expect("open");
    // With the four bytes of the length before it, some summaries fill their chunks to the last byte.
    for bytes in [0, 1, CHUNK - 5, CHUNK - 4, CHUNK - 3, 3 * CHUNK - 4, 16 * CHUNK] {
        store.commit(1, bytes).expect("commit");
        let image = store.image(1, 1).expect("an image");
        store.compactor().save(image).expect("save");
    }
    store.commit(1, 16 * CHUNK + 1).expect("commit");
    let image = store.image(1, 1).expect("an image");
    assert!(matches!(store.compactor().save(image), Err(Error::Io { .. })));
}
