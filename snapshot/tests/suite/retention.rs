//! Which snapshots are kept, and which past states can be read because of it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use icn_snapshot::{
    Due, Error, Integrity, Origin, PointInTime, Policy, Retention, RetentionReason, Store, state_at,
};
use icn_wal::disk::{Disk, SimDisk};
use icn_wal::{Lsn, ReplayFrom};
use proptest::prelude::*;

use crate::common::{Map, open, put, put_at, restore, save};

fn lsn(lsn: u64) -> PointInTime {
    PointInTime::Lsn(Lsn::new(lsn).expect("an LSN"))
}

/// Every state of a store by its LSN.
#[derive(Default)]
struct History(BTreeMap<u64, Map>);

impl History {
    fn note(&mut self, store: &Store<Map, SimDisk>) {
        self.0.insert(store.lsn(), store.state().clone());
    }

    /// Every state in the restore window reads as it was, by LSN and by time.
    fn check(&self, disk: &SimDisk, store: &Store<Map, SimDisk>) {
        let first = store.compactor().window().first;
        let mut times = Vec::new();
        let log = disk.subdir("wal").expect("the log");
        icn_wal::read(&log, ReplayFrom::Oldest, |record| {
            times.push((record.lsn.get(), record.time_ms));
            ControlFlow::Continue(())
        })
        .expect("reads");
        for (at, state) in self.0.range(first..) {
            let past = state_at::<Map, _>(disk, lsn(*at)).expect("in the window");
            assert_eq!(past.lsn, *at);
            assert_eq!(&past.state, state);
        }
        for &(at, time_ms) in times.iter().filter(|(at, _)| *at >= first) {
            let last = times.iter().rfind(|(_, then)| *then <= time_ms).map(|(last, _)| *last);
            let past = state_at::<Map, _>(disk, PointInTime::Time(time_ms)).expect("in the window");
            assert_eq!(Some(past.lsn), last, "#{at}");
            assert_eq!(Some(&past.state), self.0.get(&past.lsn), "#{at}");
            assert!(past.time_ms >= time_ms || past.replayed == 0);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u32, u64),
    Save(bool),
    Pin(usize, bool),
    Delete(usize),
    Prune,
    RestoreSnapshot(usize),
    RestoreLsn(u64),
    Damage(usize),
    Reopen,
    LoseManifest,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        // The times go back as well.
        8 => (0..6u8, any::<u32>(), 0..400u64).prop_map(|(key, value, ms)| Step::Put(key, value, ms)),
        6 => any::<bool>().prop_map(Step::Save),
        1 => (0..9usize, any::<bool>()).prop_map(|(index, pin)| Step::Pin(index, pin)),
        1 => (0..9usize).prop_map(Step::Delete),
        1 => Just(Step::Prune),
        1 => (0..9usize).prop_map(Step::RestoreSnapshot),
        1 => (0..60u64).prop_map(Step::RestoreLsn),
        1 => (0..9usize).prop_map(Step::Damage),
        2 => Just(Step::Reopen),
        1 => Just(Step::LoseManifest),
    ]
}

fn retention() -> impl Strategy<Value = Retention> {
    let window_bytes = prop_oneof![Just(u64::MAX), 1u64 << 20..1 << 22];
    (2..5usize, prop_oneof![Just(0), 1..300u64], window_bytes).prop_map(
        |(keep, window_ms, window_bytes)| Retention {
            keep,
            window_ms,
            window_bytes,
            ..Retention::default()
        },
    )
}

/// Damages one snapshot, but never the last one to fall back to.
fn damage(disk: &SimDisk, store: &Store<Map, SimDisk>, index: usize) {
    let kept = store.compactor().list();
    let window = kept.iter().filter(|kept| {
        matches!(
            kept.kept_because,
            RetentionReason::Newest | RetentionReason::Floor(_) | RetentionReason::OpensWindow
        )
    });
    let Some(one) = kept.get(index).filter(|_| window.count() >= 2) else { return };
    // There are two snapshots of a restored state, but not three.
    let copy_damaged = kept.iter().any(|other| {
        other.id.lsn == one.id.lsn && other.id != one.id && other.integrity != Integrity::Whole
    });
    // Once the log before it is dropped, nothing replaces the target of a restore.
    if one.integrity != Integrity::Whole || copy_damaged || one.origin == Origin::Target {
        return;
    }
    let name = format!("snapshots/{}", one.id.file_name());
    disk.rot(&name, 100);
    assert!(matches!(store.compactor().verify::<Map>(one.id), Err(Error::Unusable { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn every_lsn_of_the_window_can_be_read_after_any_steps(
        steps in prop::collection::vec(step(), 1..50),
        retention in retention(),
        seed in any::<u64>(),
    ) {
        let policy = Policy { due: Due::default(), retention };
        let mut disk = SimDisk::new(seed);
        let (mut store, _) = Store::<Map, _>::open(&disk, policy).expect("open");
        let mut history = History::default();
        let mut clock = 1000;
        let mut ran_ms = 0;
        for step in steps {
            let kept = store.compactor().list();
            let nth = |index: usize| kept.get(index).map(|kept| kept.id);
            match step {
                Step::Put(key, value, ms) => {
                    clock = clock + ms - 100;
                    ran_ms += ms;
                    store.commit(clock, (key, value)).expect("commit");
                    history.note(&store);
                }
                Step::Save(pin) => {
                    if let Some(mut image) = store.image(1, ran_ms) {
                        if pin { image.pin(); }
                        store.compactor().save(image).expect("save");
                    }
                }
                Step::Pin(index, pinned) => {
                    if let Some(id) = nth(index) { store.compactor().pin(id, pinned).expect("pin"); }
                }
                Step::Delete(index) => {
                    if let Some(id) = nth(index) {
                        let deleted = store.compactor().delete(id);
                        let expected = matches!(deleted, Ok(()) | Err(Error::Needed { .. }));
                        prop_assert!(expected, "{:?}", deleted);
                    }
                }
                Step::Prune => {
                    store.compactor().prune().expect("prune");
                }
                Step::RestoreSnapshot(index) => {
                    let Some(id) = nth(index) else { continue };
                    match restore(&mut store, PointInTime::Snapshot(id), 1) {
                        Ok(_) => history.note(&store),
                        Err(Error::Unusable { .. }) => {
                            prop_assert_ne!(kept[index].integrity, Integrity::Whole);
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
                Step::RestoreLsn(back) => {
                    let Some(to) = store.lsn().checked_sub(back).filter(|to| *to > 0) else { continue };
                    match restore(&mut store, lsn(to), 1) {
                        Ok(_) => history.note(&store),
                        Err(Error::OutsideWindow { first, .. }) => prop_assert!(to < first),
                        Err(error) => panic!("{error}"),
                    }
                }
                Step::Damage(index) => damage(&disk, &store, index),
                Step::Reopen | Step::LoseManifest => {
                    let state = store.state().clone();
                    store.close().expect("close");
                    if matches!(step, Step::LoseManifest) {
                        disk.remove_file("snapshots/MANIFEST");
                    }
                    disk = disk.kill();
                    (store, _) = Store::open(&disk, policy).expect("open");
                    prop_assert_eq!(store.state(), &state);
                }
            }
        }
        if let Some(last) = Lsn::new(store.lsn()) {
            store.wal().wait(last).expect("durable");
        }
        history.check(&disk, &store);
        let counted = store.compactor().list();
        let floor = counted.iter().filter(|kept| {
            kept.integrity == Integrity::Whole
                && matches!(kept.kept_because, RetentionReason::Newest | RetentionReason::Floor(_))
        });
        prop_assert!(floor.count() <= retention.keep);
    }
}

fn reasons(store: &Store<Map, SimDisk>) -> Vec<RetentionReason> {
    store.compactor().list().into_iter().map(|kept| kept.kept_because).collect()
}

#[test]
fn a_clock_that_jumps_back_reorders_nothing() {
    let disk = SimDisk::new(2);
    let (mut store, _) = open(&disk).expect("open");
    for time_ms in [5000, 9000, 10, 20, 9500] {
        put_at(&mut store, time_ms);
    }
    for (time_ms, last) in [(5000, 1), (8999, 1), (9000, 4), (9499, 4), (9500, 5), (u64::MAX, 5)] {
        assert_eq!(
            state_at::<Map, _>(&disk, PointInTime::Time(time_ms)).expect("a state").lsn,
            last
        );
    }
    let before = state_at::<Map, _>(&disk, PointInTime::Time(4999));
    assert!(matches!(before, Err(Error::OutsideWindow { .. })), "{before:?}");
}

#[test]
fn a_pinned_snapshot_is_kept_and_no_log_is_kept_for_it() {
    let disk = SimDisk::new(3);
    let (mut store, _) = open(&disk).expect("open");
    put(&mut store, 1, 1);
    let mut image = store.image(1, 1).expect("an image");
    image.pin();
    image.labels().set("why", "before the upgrade").expect("a label");
    let pinned = store.compactor().save(image).expect("save").id;
    let state = store.state().clone();
    for round in 0..5 {
        put(&mut store, round, 2);
        save(&mut store);
    }
    assert_eq!(reasons(&store)[0], RetentionReason::Pinned);
    assert_eq!(store.compactor().list()[0].labels.to_string(), "why=before the upgrade");
    assert!(matches!(
        store.compactor().delete(pinned),
        Err(Error::Needed { why: "it is pinned", .. })
    ));
    let compactor = store.compactor().clone();
    assert_eq!(compactor.window().first, compactor.list()[1].id.lsn);
    let isolated =
        compactor.state_at::<Map>(PointInTime::Snapshot(pinned)).expect("a restore point");
    assert_eq!(isolated.state, state);
    let outside = compactor.state_at::<Map>(lsn(2));
    // A shared segment may still hold the records; the window begins later.
    assert!(matches!(outside, Ok(_) | Err(Error::OutsideWindow { .. })), "{outside:?}");
    compactor.pin(pinned, false).expect("unpin");
    compactor.prune().expect("prune");
    assert_eq!(reasons(&store).len(), 3);
}

#[test]
fn the_snapshot_that_undoes_a_restore_is_kept_until_the_next_restore() {
    let disk = SimDisk::new(4);
    let (mut store, _) = open(&disk).expect("open");
    put(&mut store, 1, 1);
    let first = save(&mut store);
    put(&mut store, 2, 2);
    let values = store.state().values.clone();
    let at = restore(&mut store, PointInTime::Snapshot(first), 7).expect("restore").get();
    for round in 0..6 {
        put(&mut store, round, 3);
        save(&mut store);
    }
    let undo = store.compactor().list()[0].clone();
    assert_eq!(undo.kept_because, RetentionReason::Undoes(at));
    restore(&mut store, PointInTime::Snapshot(undo.id), 8).expect("undo");
    assert_eq!(store.state().values, values);
    for round in 0..6 {
        put(&mut store, round, 3);
        save(&mut store);
    }
    assert!(store.compactor().list().iter().all(|kept| kept.id != undo.id));
}

#[test]
fn the_target_of_a_restore_does_not_count_towards_the_floor() {
    let disk = SimDisk::new(5);
    let (mut store, _) = open(&disk).expect("open");
    let mut states = vec![Map::default()];
    for round in 0..12 {
        put(&mut store, round % 5, u32::from(round));
        states.push(store.state().clone());
        if round % 3 == 2 {
            save(&mut store);
        }
    }
    assert_eq!(store.compactor().window().first, 6);
    restore(&mut store, lsn(7), 1).expect("restore");
    assert_eq!(store.state().values, states[7].values);
    // The snapshot of the present counts, and that of #7 does not.
    let start = store.compactor().window().first;
    assert_eq!(start, 9);
    for at in start..=12 {
        let past = state_at::<Map, _>(&disk, lsn(at)).expect("in the window");
        assert_eq!(past.state, states[usize::try_from(at).expect("small")]);
    }
}

#[test]
fn a_rebuilt_manifest_keeps_every_snapshot_that_was_needed() {
    let disk = SimDisk::new(6);
    let (mut store, _) = open(&disk).expect("open");
    put(&mut store, 1, 1);
    let first = save(&mut store);
    put(&mut store, 2, 2);
    restore(&mut store, PointInTime::Snapshot(first), 7).expect("restore");
    for round in 0..2 {
        put(&mut store, round, 3);
        save(&mut store);
    }
    let state = store.state().clone();
    store.close().expect("close");
    disk.remove_file("snapshots/MANIFEST");
    let (store, _) = open(&disk).expect("open");
    assert_eq!(store.state(), &state);
    let kept = store.compactor().list();
    assert!(kept.iter().all(|kept| kept.pinned), "{kept:?}");
    assert!(matches!(store.compactor().delete(first), Err(Error::Needed { .. })));
    // Unpinned, it is still held: if the newest one fails, a replay needs it.
    store.compactor().pin(first, false).expect("unpin");
    assert!(matches!(store.compactor().delete(first), Err(Error::Needed { .. })));
    assert_eq!(kept.iter().filter(|kept| kept.integrity == Integrity::Whole).count(), 1);
    kept.iter().for_each(|kept| store.compactor().verify::<Map>(kept.id).expect("whole"));
    assert!(store.compactor().list().iter().all(|kept| kept.integrity == Integrity::Whole));
}

#[test]
fn a_restored_state_survives_damage_to_its_snapshot_and_a_lost_manifest() {
    let disk = SimDisk::new(7);
    let (mut store, _) = open(&disk).expect("open");
    put(&mut store, 1, 1);
    save(&mut store);
    put(&mut store, 2, 2);
    put(&mut store, 3, 3);
    restore(&mut store, lsn(2), 1).expect("restore");
    let state = store.state().clone();
    let kept = store.compactor().list();
    let named = kept.iter().find(|kept| kept.id.lsn == 2).expect("the target of the restore").id;
    store.close().expect("close");
    let name = format!("snapshots/{}", named.file_name());
    let mut bytes = disk.read_file(&name).expect("a snapshot");
    bytes[110] ^= 1;
    disk.write_file(&name, &bytes);
    disk.remove_file("snapshots/MANIFEST");
    let (store, _) = open(&disk.kill()).expect("the log and an older snapshot rebuild the state");
    assert_eq!(store.state(), &state);
}

#[test]
fn reading_a_past_state_reports_a_record_that_cannot_be_decoded() {
    let disk = SimDisk::new(8);
    let (mut store, _) = open(&disk).expect("open");
    put(&mut store, 1, 1);
    // A mutation without its value.
    let bad = *store.wal().append(1, &[&[0, 1]]).expect("append").end();
    store.wal().append(1, &[&[0, 1, 1, 0, 0, 0]]).expect("append");
    store.close().expect("close");
    for at in [PointInTime::Latest, PointInTime::Time(1), PointInTime::Lsn(bad)] {
        let past = state_at::<Map, _>(&disk, at);
        let reported = matches!(past, Err(Error::Record { lsn, .. }) if lsn == bad.get());
        assert!(reported, "{at}: {past:?}");
    }
    assert_eq!(state_at::<Map, _>(&disk, lsn(1)).expect("before it").lsn, 1);
}

#[test]
fn a_point_in_time_outside_the_window_is_refused_with_the_window() {
    let disk = SimDisk::new(9);
    let (mut store, _) = open(&disk).expect("open");
    put(&mut store, 1, 1);
    let error = state_at::<Map, _>(&disk, lsn(400)).expect_err("beyond").to_string();
    assert_eq!(error, "LSN 400 is outside the restore window, which is LSN 1 to 1");
    let texts =
        [PointInTime::Latest, PointInTime::Time(7), PointInTime::Snapshot(save(&mut store))]
            .map(|at| at.to_string());
    assert_eq!(texts, ["the latest state", "the time 7", "snapshot 1-1"]);
}
