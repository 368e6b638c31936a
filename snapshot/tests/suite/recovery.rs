//! The store against a model: after any crash, every acknowledged mutation is there.

use std::collections::HashSet;

use icn_snapshot::{
    Error, Integrity, PointInTime, Policy, SnapshotId, StateMachine, Store, digest, state_at,
};
use icn_wal::Lsn;
use icn_wal::disk::{Faults, SimDisk};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::common::{Map, open, put, restore, save};

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u32),
    Wait,
    Snapshot,
    Restore(usize),
    /// Restores the state of so many records ago.
    Back(u64),
    Pin(usize),
    Delete(usize),
    Prune,
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
        1 => (1..6u64).prop_map(Step::Back),
        1 => (0..3usize).prop_map(Step::Pin),
        1 => (0..3usize).prop_map(Step::Delete),
        1 => Just(Step::Prune),
        1 => Just(Step::Close),
        1 => Just(Step::Kill),
        1 => any::<u64>().prop_map(Step::PowerLoss),
    ]
}

/// Every state the store has been in, by LSN, and the LSN up to which they are acknowledged.
#[derive(Clone)]
struct Model {
    states: Vec<Map>,
    acknowledged: usize,
}

impl Model {
    fn check(&mut self, store: &Store<Map, SimDisk>) {
        let found = self.states.iter().rposition(|state| state == store.state());
        let found = found.expect("a state the store was in");
        assert!(
            found >= self.acknowledged,
            "state {found} of {}, {} acknowledged",
            self.states.len(),
            self.acknowledged
        );
        self.states.truncate(found + 1);
        // A recovered state is durable.
        self.acknowledged = found;
    }
}

/// Takes all steps, or stops at the power loss.
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
                    model.acknowledged = model.states.len() - 1;
                }
            }
            Step::Snapshot => {
                if let Some(image) = store.image(9, 9) {
                    store.compactor().save(image)?;
                    model.acknowledged = model.states.len() - 1;
                }
            }
            Step::Restore(back) => {
                let kept = store.compactor().list();
                if let Some(kept) = kept.iter().rev().nth(*back) {
                    restore(&mut store, PointInTime::Snapshot(kept.id), 3)?;
                    model.states.push(store.state().clone());
                }
            }
            Step::Back(records) => {
                let to = store.lsn().saturating_sub(*records);
                if to >= store.compactor().window().first
                    && let Some(lsn) = Lsn::new(to)
                {
                    restore(&mut store, PointInTime::Lsn(lsn), 3)?;
                    model.states.push(store.state().clone());
                }
            }
            Step::Pin(back) => {
                if let Some(kept) = store.compactor().list().iter().rev().nth(*back) {
                    store.compactor().pin(kept.id, !kept.pinned)?;
                }
            }
            Step::Delete(back) => {
                let kept = store.compactor().list();
                let deleted =
                    kept.iter().rev().nth(*back).map(|kept| store.compactor().delete(kept.id));
                match deleted {
                    Some(Err(error)) if !matches!(error, Error::Needed { .. }) => {
                        return Err(error);
                    }
                    _ => {}
                }
            }
            Step::Prune => drop(store.compactor().prune()?),
            Step::Close => {
                store.close()?;
                model.acknowledged = model.states.len() - 1;
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
    fn every_acknowledged_mutation_is_recovered_after_any_steps_and_crashes(
        steps in prop::collection::vec(step(), 1..60),
        power in 1..400u64,
        seed in any::<u64>(),
    ) {
        let mut disk = SimDisk::new(seed);
        disk.set_faults(Faults { power_loss_at: Some(power), ..Faults::default() });
        let mut model = Model { states: vec![Map::default()], acknowledged: 0 };
        let _ = live(&mut disk, &steps, &mut model);
        disk.set_faults(Faults::default());
        let image = disk.power_loss(seed);
        let (store, _) = open(&image).expect("recovers");
        model.check(&store);
        let state = store.state().clone();
        let lsn = store.lsn();
        drop(store);
        let seen = state_at::<Map, _>(&image, PointInTime::Latest).expect("reads");
        prop_assert_eq!(digest(&seen.state), digest(&state));
        prop_assert_eq!(seen.lsn, lsn);
        let (again, _) = open(&image).expect("recovers again");
        prop_assert_eq!(again.state(), &state);
    }
}

#[test]
fn power_loss_at_every_operation_of_create_prune_delete_and_restore() {
    use Step::{Back, Close, Delete, Pin, Prune, Put, Restore, Snapshot, Wait};
    let life = [
        Put(1, 1),
        Snapshot,
        Put(2, 2),
        Put(1, 3),
        Snapshot,
        Pin(1),
        Put(3, 4),
        Back(2),
        Put(2, 5),
        Wait,
        Snapshot,
        Restore(2),
        Put(4, 6),
        Snapshot,
        Delete(1),
        Prune,
        Close,
        Put(5, 7),
        Back(1),
        Snapshot,
        Prune,
        Wait,
    ];
    let mut points = 0;
    let mut images = HashSet::new();
    for power in 1.. {
        let mut disk = SimDisk::new(power);
        disk.set_faults(Faults { power_loss_at: Some(power), ..Faults::default() });
        let mut model = Model { states: vec![Map::default()], acknowledged: 0 };
        let ended = live(&mut disk, &life, &mut model);
        disk.set_faults(Faults::default());
        for seed in 0..12 {
            let image = disk.power_loss(seed);
            if !images.insert(image.image_hash()) {
                continue;
            }
            let mut model = model.clone();
            let (store, _) = open(&image).expect("recovers");
            model.check(&store);
            let compactor = store.compactor();
            for lsn in compactor.window().first..=store.lsn() {
                let at = PointInTime::Lsn(Lsn::new(lsn).expect("an LSN"));
                let past = state_at::<Map, _>(&image, at).expect("in the window");
                assert!(model.states.contains(&past.state), "LSN {lsn} of power loss at {power}");
            }
            compactor.list().iter().for_each(|kept| {
                compactor.verify::<Map>(kept.id).expect("whole");
            });
        }
        points = power;
        match ended {
            Ok(()) => break,
            Err(Error::Io { .. } | Error::Log(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    println!("{points} operations, {} distinct images", images.len());
    assert!(points > 200, "{points}");
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
    let state = store.state().clone();
    let newest = kept[2].id;
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
    let listed = listed.iter().find(|kept| kept.id == newest).expect("still listed");
    assert_eq!(listed.integrity, Integrity::Damaged);
}

#[test]
fn every_flipped_bit_and_every_cut_of_a_snapshot_is_detected() {
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
fn every_snapshot_but_the_newest_can_be_deleted() {
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
    assert_eq!(store.timeline(), 0);
    let lsn = restore(&mut store, PointInTime::Snapshot(id), 77).expect("restore");
    assert_eq!(lsn.get(), before + 1);
    assert_eq!(store.state().values, early.values);
    assert_eq!(store.state().restores, 1);
    assert_eq!(store.timeline(), 1);
    let state = store.state().clone();
    store.wal().wait(lsn).expect("wait");
    drop(store);
    (store, _) = open(&disk).expect("open");
    assert_eq!(store.state(), &state, "without a newer snapshot");
    assert_eq!(store.timeline(), 1);
    for round in 0..6 {
        put(&mut store, round, 3);
        if round % 2 == 0 {
            save(&mut store);
        }
        let state = store.state().clone();
        store.wal().wait(Lsn::new(store.lsn()).expect("some")).expect("wait");
        drop(store);
        (store, _) = open(&disk).expect("open");
        assert_eq!(store.state(), &state);
        assert_eq!(store.timeline(), 1);
    }
}

#[test]
fn the_state_at_any_lsn_of_the_window_is_the_one_committed() {
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
        let at = PointInTime::Lsn(Lsn::new(lsn).expect("an LSN"));
        let past = state_at::<Map, _>(&disk, at);
        if lsn < 14 {
            assert!(matches!(past, Err(Error::OutsideWindow { first: 14, .. })), "{lsn}: {past:?}");
            continue;
        }
        let past = past.expect("in the window");
        assert_eq!(past.lsn, lsn);
        assert_eq!(digest(&past.state), expected);
        assert_eq!(past.time_ms, 1, "at the LSN of a snapshot too");
    }
    let beyond = state_at::<Map, _>(&disk, PointInTime::Lsn(Lsn::new(31).expect("an LSN")));
    assert!(matches!(beyond, Err(Error::OutsideWindow { first: 14, last: 30, .. })), "{beyond:?}");
}

#[test]
fn a_missing_log_is_detected_when_a_snapshot_covers_some_of_it() {
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
fn the_log_of_another_store_is_not_replayed_on_a_snapshot() {
    let [disk, other] = [6, 7].map(|seed| {
        let disk = SimDisk::new(seed);
        let (mut store, _) = open(&disk).expect("open");
        put(&mut store, 1, 1);
        save(&mut store);
        put(&mut store, 2, 2);
        store.close().expect("close");
        disk
    });
    let log = |disk: &SimDisk| {
        disk.files().into_iter().filter(|name| name.starts_with("wal/")).collect::<Vec<_>>()
    };
    log(&disk).iter().for_each(|name| disk.remove_file(name));
    for name in log(&other) {
        disk.write_file(&name, &other.read_file(&name).expect("a file"));
    }
    let opened = open(&disk).map(drop);
    assert!(
        matches!(&opened, Err(Error::Unusable { why, .. }) if why.contains("another store")),
        "{opened:?}"
    );
}

#[test]
fn a_snapshot_that_fails_to_open_once_is_not_marked_damaged() {
    let mut passed_over = 0;
    for opening in 1..40 {
        let disk = SimDisk::new(8);
        let (mut store, _) = open(&disk).expect("open");
        put(&mut store, 1, 1);
        let id = save(&mut store);
        drop(store);
        disk.set_faults(Faults { open_error_at: Some(opening), ..Faults::default() });
        // Without most of the files the store does not open.
        let Ok((store, recovery)) = open(&disk) else { continue };
        if let [(passed, why)] = &recovery.passed_over[..] {
            assert_eq!(*passed, id);
            assert!(why.contains("cannot open"), "{why}");
            passed_over += 1;
        }
        assert_eq!(store.compactor().list()[0].integrity, Integrity::Whole, "opening {opening}");
        assert_eq!(store.state().values.len(), 1);
    }
    assert_eq!(passed_over, 1);
}

/// A state that fills several chunks and does not compress well.
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
fn a_disk_that_fills_during_a_save_is_reported_full_and_nothing_is_marked_damaged() {
    let disk = SimDisk::new(7);
    let (mut store, _) = Store::<Large, _>::open(&disk, Policy::default()).expect("open");
    store.commit(1, ()).expect("commit");
    for room in [0, 200, 1 << 20] {
        disk.set_faults(Faults { room: Some(room), ..Faults::default() });
        let image = store.image(5, 5).expect("something is committed");
        match store.compactor().save(image) {
            Err(Error::Io { source, .. }) => {
                assert_eq!(source.kind(), std::io::ErrorKind::StorageFull, "{room}");
            }
            other => panic!("with room for {room} bytes: {other:?}"),
        }
    }
    disk.set_faults(Faults::default());
    let image = store.image(5, 5).expect("something is committed");
    store.compactor().save(image).expect("save");
}

#[test]
fn damage_anywhere_in_a_large_snapshot_is_detected_while_it_is_loaded() {
    let disk = SimDisk::new(9);
    let (mut store, _) = Store::<Large, _>::open(&disk, Policy::default()).expect("open");
    store.commit(1, ()).expect("commit");
    let image = store.image(5, 5).expect("something is committed");
    let id = store.compactor().save(image).expect("save").id;
    let load = || state_at::<Large, _>(&disk, PointInTime::Snapshot(id)).map(|past| past.state);
    assert_eq!(&load().expect("whole"), store.state());
    let name = disk.files().into_iter().find(|name| name.ends_with(".snap")).expect("one");
    let whole = disk.read_file(&name).expect("bytes");
    // Three chunks or more, so that another thread unpacks them.
    assert!(whole.len() > 1 << 20, "{}", whole.len());
    let unusable = |what: &str| {
        let loaded = load().map(drop);
        assert!(matches!(loaded, Err(Error::Unusable { .. })), "{what}: {loaded:?}");
    };
    for at in (0..whole.len()).step_by(whole.len() / 60).chain(whole.len() - 60..whole.len()) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        disk.write_file(&name, &bytes);
        unusable(&format!("byte {at}"));
        disk.write_file(&name, &whole[..at]);
        unusable(&format!("cut at {at}"));
    }
    disk.write_file(&name, &[&whole[..], &[0]].concat());
    unusable("one byte more");
    disk.write_file(&name, &whole);
    assert_eq!(&load().expect("whole again"), store.state());
}

#[test]
fn a_snapshot_that_fails_to_read_once_is_not_marked_damaged() {
    let disk = SimDisk::new(10);
    let (mut store, _) = Store::<Large, _>::open(&disk, Policy::default()).expect("open");
    store.commit(1, ()).expect("commit");
    let image = store.image(5, 5).expect("something is committed");
    let id = store.compactor().save(image).expect("save").id;
    let compactor = store.compactor().clone();
    let failing_at = |reading: u64, read: &dyn Fn() -> Result<(), Error>| {
        // The disk counts reads over its whole life.
        let at = disk.traffic()[1] + reading;
        disk.set_faults(Faults { read_error_at: Some(at), ..Faults::default() });
        let ended = read();
        disk.set_faults(Faults::default());
        ended
    };
    let mut refused = 0;
    for reading in 1.. {
        match failing_at(reading, &|| compactor.verify::<Large>(id)) {
            Ok(()) => break,
            Err(Error::Io { .. }) => refused += 1,
            Err(error) => panic!("reading {reading}: {error}"),
        }
        let load = || compactor.state_at::<Large>(PointInTime::Snapshot(id)).map(drop);
        let loaded = failing_at(reading, &load);
        assert!(!matches!(loaded, Err(Error::Unusable { .. })), "reading {reading}: {loaded:?}");
        assert_eq!(compactor.list()[0].integrity, Integrity::Whole);
    }
    assert!(refused > 4, "{refused}");
}

#[test]
fn ids_have_one_spelling_and_are_never_paths() {
    assert_eq!("12-3".parse(), Ok(SnapshotId { lsn: 12, generation: 3 }));
    for text in ["012-3", "12", "12-", "+12-3", "../12-3", "12-3 ", "12-3.snap", ""] {
        assert!(text.parse::<SnapshotId>().is_err(), "{text}");
    }
}
