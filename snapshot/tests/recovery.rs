//! The store against a model: whatever happens to the machine, what was acknowledged is there.

use std::collections::BTreeMap;

use icn_snapshot::{Due, Error, Recovery, SnapshotId, StateMachine, Store, digest, state_at};
use icn_wal::{Faults, Lsn, SimDisk};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Map {
    values: BTreeMap<u8, u32>,
    restores: u32,
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
        // A value that depends on the one before: applying a record twice or in another order
        // shows.
        let old = self.values.get(&key).copied();
        self.values.insert(key, old.unwrap_or(1).wrapping_mul(31).wrapping_add(value));
        old
    }

    fn restore(&self, image: Self, _: u64) -> Self {
        Self { values: image.values, restores: self.restores + 1 }
    }
}

fn open(disk: &SimDisk) -> Result<(Store<Map, SimDisk>, Recovery), Error> {
    Store::open(disk, Due::default())
}

fn save(store: &mut Store<Map, SimDisk>) -> SnapshotId {
    let image = store.image(5).expect("something is committed");
    store.compactor().save(image).expect("save").id
}

fn put(store: &mut Store<Map, SimDisk>, key: u8, value: u32) {
    let (lsn, _) = store.commit(1, (key, value)).expect("commit");
    store.wal().wait(lsn).expect("wait");
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u32),
    Wait,
    Snapshot,
    Restore(usize),
    Close,
    Kill,
    PowerLoss(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..8u8, any::<u32>()).prop_map(|(key, value)| Step::Put(key, value)),
        5 => Just(Step::Wait),
        3 => Just(Step::Snapshot),
        1 => (0..3usize).prop_map(Step::Restore),
        1 => Just(Step::Close),
        1 => Just(Step::Kill),
        1 => any::<u64>().prop_map(Step::PowerLoss),
    ]
}

/// Every state the store has been in, by LSN, and what has been promised.
struct Model {
    states: Vec<Map>,
    promised: usize,
}

impl Model {
    fn check(&mut self, store: &Store<Map, SimDisk>) {
        let found = self.states.iter().rposition(|state| state == store.state());
        let found = found.expect("a state that never was");
        assert!(
            found >= self.promised,
            "state {found} of {}, {} promised",
            self.states.len(),
            self.promised
        );
        self.states.truncate(found + 1);
        // What recovery has found is durable from now on.
        self.promised = found;
    }
}

/// Takes steps until they end or the power does.
fn live(disk: &mut SimDisk, steps: &[Step], model: &mut Model) -> Result<(), Error> {
    let (mut store, _) = open(disk)?;
    for step in steps {
        match step {
            Step::Put(key, value) => {
                store.commit(1, (*key, *value))?;
                model.states.push(store.state().clone());
            }
            Step::Wait => {
                if let Some(last) = Lsn::new(store.lsn()) {
                    store.wal().wait(last)?;
                    model.promised = model.states.len() - 1;
                }
            }
            Step::Snapshot => {
                if let Some(image) = store.image(9) {
                    store.compactor().save(image)?;
                    model.promised = model.states.len() - 1;
                }
            }
            Step::Restore(back) => {
                let kept = store.compactor().list();
                if let Some(kept) = kept.iter().rev().nth(*back) {
                    store.restore(1, kept.id, 3)?;
                    model.states.push(store.state().clone());
                }
            }
            Step::Close => {
                store.close()?;
                model.promised = model.states.len() - 1;
                (store, _) = open(disk)?;
                model.check(&store);
            }
            Step::Kill | Step::PowerLoss(_) => {
                drop(store);
                *disk = match step {
                    Step::PowerLoss(seed) => disk.power_loss(*seed),
                    _ => disk.kill(),
                };
                (store, _) = open(disk)?;
                model.check(&store);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_was_promised_is_recovered(
        steps in prop::collection::vec(step(), 1..60),
        power in 1..400u64,
        seed in any::<u64>(),
    ) {
        let mut disk = SimDisk::new(seed);
        disk.set_faults(Faults { power_loss_at: Some(power), ..Faults::default() });
        let mut model = Model { states: vec![Map::default()], promised: 0 };
        let _ = live(&mut disk, &steps, &mut model);
        disk.set_faults(Faults::default());
        let image = disk.power_loss(seed);
        let (store, _) = open(&image).expect("recovers");
        model.check(&store);
        let (state, lsn) = (store.state().clone(), store.lsn());
        drop(store);
        let (seen, at) = state_at::<Map, _>(&image, None).expect("reads");
        prop_assert_eq!((digest(&seen), at), (digest(&state), lsn));
        let (again, _) = open(&image).expect("recovers again");
        prop_assert_eq!(again.state(), &state);
    }
}

#[test]
fn a_damaged_newest_snapshot_loses_nothing() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk).expect("open");
    for round in 0..5 {
        put(&mut store, round, 7);
        save(&mut store);
    }
    put(&mut store, 9, 9);
    let kept = store.compactor().list();
    assert_eq!(kept.len(), 3);
    let (state, newest) = (store.state().clone(), kept[2].id);
    drop(store);
    let name = disk.files().into_iter().filter(|name| name.ends_with(".snap")).max().expect("one");
    let mut bytes = disk.read_file(&name).expect("bytes");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    disk.write_file(&name, &bytes);
    let (store, recovery) = open(&disk).expect("falls back");
    assert_eq!(store.state(), &state);
    assert_eq!(recovery.snapshot, Some(kept[1].id));
    assert_eq!(recovery.passed_over.len(), 1);
    assert_eq!(recovery.passed_over[0].0, newest);
    let listed = store.compactor().list();
    assert!(!listed.iter().find(|kept| kept.id == newest).expect("still listed").verified);
}

#[test]
fn every_flipped_bit_and_every_cut_of_a_snapshot_is_noticed() {
    let disk = SimDisk::new(2);
    let (mut store, _) = open(&disk).expect("open");
    (0..40).for_each(|key| put(&mut store, key, u32::from(key) * 77));
    let id = save(&mut store);
    let compactor = store.compactor().clone();
    let name = disk.files().into_iter().find(|name| name.ends_with(".snap")).expect("one");
    let whole = disk.read_file(&name).expect("bytes");
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        disk.write_file(&name, &bytes);
        assert!(compactor.verify::<Map>(id).is_err(), "bit {bit}");
    }
    for length in 0..whole.len() {
        disk.write_file(&name, &whole[..length]);
        assert!(compactor.verify::<Map>(id).is_err(), "cut at {length}");
    }
    disk.write_file(&name, &whole);
    compactor.verify::<Map>(id).expect("whole again");
}

#[test]
fn the_newest_snapshot_cannot_be_deleted_and_others_can() {
    let disk = SimDisk::new(3);
    let (mut store, _) = open(&disk).expect("open");
    put(&mut store, 1, 1);
    let first = save(&mut store);
    put(&mut store, 2, 2);
    let second = save(&mut store);
    let compactor = store.compactor();
    assert!(matches!(compactor.delete(second), Err(Error::Needed { .. })));
    compactor.delete(first).expect("delete");
    assert!(matches!(compactor.delete(first), Err(Error::NoSuchSnapshot { .. })));
    assert_eq!(compactor.list().len(), 1);
}

#[test]
fn a_restore_is_a_step_forward() {
    let disk = SimDisk::new(4);
    let (mut store, _) = open(&disk).expect("open");
    put(&mut store, 1, 1);
    let early = store.state().clone();
    let id = save(&mut store);
    put(&mut store, 2, 2);
    let before = store.lsn();
    let lsn = store.restore(1, id, 77).expect("restore");
    assert_eq!(lsn.get(), before + 1);
    assert_eq!(store.state().values, early.values);
    assert_eq!((store.state().restores, store.timeline()), (1, 1));
    for round in 0..6 {
        put(&mut store, round, 3);
        if round % 2 == 0 {
            save(&mut store);
        }
        let state = store.state().clone();
        store.wal().wait(Lsn::new(store.lsn()).expect("some")).expect("wait");
        drop(store);
        (store, _) = open(&disk).expect("open");
        assert_eq!((store.state(), store.timeline()), (&state, 1));
    }
}

#[test]
fn the_state_at_any_kept_lsn_is_what_it_was() {
    let disk = SimDisk::new(5);
    let (mut store, _) = open(&disk).expect("open");
    let mut digests = Vec::new();
    for round in 0..30u8 {
        put(&mut store, round % 4, u32::from(round));
        digests.push((store.lsn(), digest(store.state())));
        if round % 7 == 6 {
            save(&mut store);
        }
    }
    for (lsn, expected) in digests {
        let (state, at) = state_at::<Map, _>(&disk, Lsn::new(lsn)).expect("in the window");
        assert_eq!((at, digest(&state)), (lsn, expected));
    }
    let beyond = state_at::<Map, _>(&disk, Lsn::new(31));
    assert!(matches!(beyond, Err(Error::OutsideWindow { wanted: 31, last: 30 })));
}

#[test]
fn a_log_that_is_gone_is_noticed_when_a_snapshot_remembers_it() {
    let disk = SimDisk::new(6);
    let (mut store, _) = open(&disk).expect("open");
    put(&mut store, 1, 1);
    save(&mut store);
    drop(store);
    for name in disk.files().into_iter().filter(|name| name.starts_with("wal/")) {
        disk.remove_file(&name);
    }
    assert!(matches!(open(&disk), Err(Error::Log(icn_wal::Error::Behind { .. }))));
}

#[test]
fn a_snapshot_that_cannot_be_opened_once_is_not_called_damaged() {
    let mut passed_over = 0;
    for opening in 1..40 {
        let disk = SimDisk::new(8);
        let (mut store, _) = open(&disk).expect("open");
        put(&mut store, 1, 1);
        let id = save(&mut store);
        drop(store);
        disk.set_faults(Faults { open_error_at: Some(opening), ..Faults::default() });
        // Most files are needed to start at all.
        let Ok((store, recovery)) = open(&disk) else { continue };
        if let [(passed, why)] = &recovery.passed_over[..] {
            assert_eq!(*passed, id);
            assert!(why.contains("cannot open"), "{why}");
            passed_over += 1;
        }
        assert!(store.compactor().list()[0].verified, "opening {opening}");
        assert_eq!(store.state().values.len(), 1);
    }
    assert_eq!(passed_over, 1);
}

/// A state that fills several chunks, and not with zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Large(Vec<u32>);

impl StateMachine for Large {
    type Mutation = ();
    type Outcome = ();
    const SCHEMA: u32 = 8;

    fn encode((): &(), _: &mut Vec<u8>) {}

    fn decode(_: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn apply(&mut self, _: Lsn, (): ()) {
        self.0.extend((0..1 << 19).map(|number: u32| number.wrapping_mul(0x9e37_79b1)));
    }
}

#[test]
fn a_disk_that_fills_under_a_large_snapshot_is_full_and_nothing_is_damaged() {
    let disk = SimDisk::new(7);
    let (mut store, _) = Store::<Large, _>::open(&disk, Due::default()).expect("open");
    store.commit(1, ()).expect("commit");
    for room in [0, 200, 1 << 20] {
        disk.set_faults(Faults { room: Some(room), ..Faults::default() });
        let image = store.image(5).expect("something is committed");
        match store.compactor().save(image) {
            Err(Error::Io { source, .. }) => {
                assert_eq!(source.kind(), std::io::ErrorKind::StorageFull, "{room}");
            }
            other => panic!("with room for {room} bytes: {other:?}"),
        }
    }
    disk.set_faults(Faults::default());
    let image = store.image(5).expect("something is committed");
    store.compactor().save(image).expect("save");
}

#[test]
fn ids_have_one_spelling_and_are_never_paths() {
    assert_eq!("12-3".parse(), Ok(SnapshotId { lsn: 12, generation: 3 }));
    for text in ["012-3", "12", "12-", "+12-3", "../12-3", "12-3 ", "12-3.snap", ""] {
        assert!(text.parse::<SnapshotId>().is_err(), "{text}");
    }
}
