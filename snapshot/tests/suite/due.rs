//! When a snapshot is due.

use icn_snapshot::{Due, Error, PointInTime, Policy, Store};
use icn_wal::Lsn;
use icn_wal::disk::{Faults, SimDisk};

use crate::common::{Map, put, save};

fn open(disk: &SimDisk) -> Store<Map, SimDisk> {
    let due = Due { records: 3, age_ms: 1000, ..Due::default() };
    Store::open(disk, Policy { due, ..Policy::default() }).expect("open").0
}

#[test]
fn a_snapshot_is_due_counting_from_the_last_saved_one() {
    let disk = SimDisk::new(1);
    let mut store = open(&disk);
    (0..2).for_each(|key| put(&mut store, key, 1));
    assert!(store.changed() && !store.snapshot_due(1, 1));
    drop(store.image(5, 5));
    assert!(store.changed(), "no snapshot holds a dropped image");
    put(&mut store, 2, 1);
    assert!(store.snapshot_due(1, 1), "it is the third record since the last saved snapshot");

    let image = store.image(5, 5).expect("an image");
    assert!(!store.changed() && !store.snapshot_due(5000, 5000), "the save is in flight");
    disk.set_faults(Faults { sync_error_at: Some(disk.syncs() + 1), ..Faults::default() });
    let failed = store.compactor().save(image);
    assert!(matches!(failed, Err(Error::Io { .. })), "{failed:?}");
    disk.set_faults(Faults::default());
    assert!(store.changed() && store.snapshot_due(1, 1));

    let present = store.image(5, 5).expect("an image");
    let beyond = PointInTime::Lsn(Lsn::new(400).expect("a number"));
    let failed = store.compactor().prepare_restore(beyond, present);
    assert!(matches!(failed, Err(Error::OutsideWindow { .. })), "{failed:?}");
    assert!(
        store.changed() && store.snapshot_due(1, 1),
        "the image of a failed restore was not saved"
    );

    save(&mut store);
    assert!(!store.changed() && !store.snapshot_due(5000, 5000));
    drop(store);
    let mut store = open(&disk);
    assert!(!store.changed() && !store.snapshot_due(5000, 5000), "nothing is due after a start");
}

#[test]
fn a_dropped_image_leaves_the_age_of_its_first_record_due() {
    let mut store = open(&SimDisk::new(1));
    put(&mut store, 1, 1);
    assert!(!store.snapshot_due(1, 1), "the age counts from here");
    let image = store.image(5, 5).expect("an image");
    put(&mut store, 2, 2);
    assert!(!store.snapshot_due(1000, 1000));
    drop(image);
    assert!(store.snapshot_due(1001, 1001), "the first record was seen at 1");
    drop(store.image(5, 5));
    let target = store.image(5, 5).and_then(|present| {
        let at = PointInTime::Lsn(Lsn::new(1)?);
        store.compactor().prepare_restore(at, present).ok()
    });
    store.restore(1, target.expect("a target"), 1).expect("a restore");
    drop(store.image(5, 5));
    assert!(store.snapshot_due(1, 1), "every replay needs the snapshot of the restored state");
    save(&mut store);
    assert!(!store.snapshot_due(1, 1));
}

#[test]
fn a_wall_clock_that_is_set_delays_no_snapshot_and_a_restart_keeps_the_age() {
    let disk = SimDisk::new(1);
    let mut store = open(&disk);
    let (lsn, _) = store.commit(500_000, (1, 1)).expect("commit");
    store.wal().wait(lsn).expect("wait");
    for wall_ms in [500_000, 0, 900_000] {
        assert!(!store.snapshot_due(wall_ms, 10), "the wall clock is set to {wall_ms}");
    }
    assert!(!store.snapshot_due(0, 1009));
    assert!(store.snapshot_due(0, 1010));
    drop(store);
    // Replayed, the record is as old as the wall clock says, but no older than makes a snapshot due.
    for (wall_ms, due_ms) in [(500_400, 610), (400_000, 1010), (900_000, 10)] {
        let mut store = open(&disk);
        assert_eq!(store.snapshot_due(wall_ms, 10), due_ms == 10);
        assert!(!store.snapshot_due(0, due_ms - 1) || due_ms == 10);
        assert!(store.snapshot_due(0, due_ms), "{wall_ms}");
    }
}
