//! The snapshot directory: files, manifest, holds, and what a start makes of them.

use icn_snapshot::{
    Error, Image, Integrity, PointInTime, Retention, RetentionReason, SnapshotId, Store, list,
};
use icn_wal::Lsn;
use icn_wal::disk::{Faults, SimDisk};

use crate::common::{Map, open, put, restore, save};

fn file(id: SnapshotId) -> String {
    format!("snapshots/{}", id.file_name())
}

fn damage(disk: &SimDisk, id: SnapshotId) {
    let mut bytes = disk.read_file(&file(id)).expect("a snapshot");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    disk.write_file(&file(id), &bytes);
}

#[test]
fn a_start_removes_unfinished_and_unlisted_files_and_writes_nothing_else() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk).expect("open");
    put(&mut store, 1, 1);
    let kept = save(&mut store);
    store.close().expect("close");
    let bytes = disk.read_file(&file(kept)).expect("a snapshot");
    let unlisted = SnapshotId { generation: kept.generation + 7, ..kept };
    for left in [file(unlisted), format!("{}.tmp", file(unlisted))] {
        disk.write_file(&left, &bytes);
    }
    disk.write_file("snapshots/notes.txt", b"not a snapshot");
    open(&disk).expect("open").0.close().expect("close");
    let left: Vec<_> =
        disk.files().into_iter().filter(|name| name.starts_with("snapshots/")).collect();
    assert_eq!(left, [file(kept), "snapshots/MANIFEST".into(), "snapshots/notes.txt".into()]);
    let writes = disk.traffic()[0];
    open(&disk).expect("open").0.close().expect("close");
    assert_eq!(disk.traffic()[0], writes, "nothing had to change");
}

#[test]
fn a_rebuilt_manifest_has_the_size_of_each_file_and_believes_no_damaged_header() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk).expect("open");
    put(&mut store, 1, 1);
    let id = save(&mut store);
    let bytes = disk.read_file(&file(id)).expect("a snapshot").len() as u64;
    assert_eq!(store.compactor().list()[0].bytes, bytes);
    drop(store);
    disk.remove_file("snapshots/MANIFEST");
    let listed = || list(&disk, Retention::default()).expect("a list").remove(0);
    assert_eq!(listed().bytes, bytes);
    assert_eq!(listed().integrity, Integrity::Unchecked);
    // A header whose checksum does not match is not believed.
    let mut damaged = disk.read_file(&file(id)).expect("a snapshot");
    damaged[40] ^= 1;
    disk.write_file(&file(id), &damaged);
    assert_eq!(listed().bytes, bytes);
    assert_eq!(listed().integrity, Integrity::Damaged);
}

#[test]
fn no_generation_is_reused_when_the_manifest_is_lost() {
    let disk = SimDisk::new(2);
    let (mut store, _) = open(&disk).expect("open");
    put(&mut store, 1, 1);
    let before = [save(&mut store), save(&mut store)];
    store.close().expect("close");
    disk.remove_file("snapshots/MANIFEST");
    let (mut store, _) = open(&disk).expect("open");
    let after = save(&mut store);
    assert!(before.iter().all(|id| id.generation < after.generation), "{before:?} {after}");
    assert_eq!(store.compactor().list().len(), 3);
}

#[test]
fn a_snapshot_of_another_store_or_name_is_refused_when_the_manifest_is_lost() {
    let disk = SimDisk::new(3);
    let other = SimDisk::new(4);
    let (mut other_store, _) = open(&other).expect("open");
    put(&mut other_store, 9, 9);
    let foreign = save(&mut other_store);
    let (mut store, _) = open(&disk).expect("open");
    put(&mut store, 1, 1);
    put(&mut store, 2, 2);
    let own = save(&mut store);
    store.close().expect("close");
    disk.write_file(&file(foreign), &other.read_file(&file(foreign)).expect("a snapshot"));
    let renamed = SnapshotId { generation: own.generation + 1, lsn: own.lsn - 1 };
    disk.write_file(&file(renamed), &disk.read_file(&file(own)).expect("a snapshot"));
    disk.remove_file("snapshots/MANIFEST");
    let (store, _) = open(&disk).expect("open");
    for id in [foreign, renamed] {
        let read = store.compactor().verify::<Map>(id);
        assert!(matches!(read, Err(Error::Unusable { .. })), "{id}: {read:?}");
    }
    drop(store);
    let (store, _) = open(&disk.kill()).expect("open");
    let read = store.compactor().verify::<Map>(foreign);
    assert!(matches!(read, Err(Error::Unusable { .. })), "with the rebuilt manifest too: {read:?}");
}

#[test]
fn a_snapshot_that_is_not_listed_cannot_be_used() {
    let disk = SimDisk::new(5);
    let (mut store, _) = open(&disk).expect("open");
    put(&mut store, 1, 1);
    let first = save(&mut store);
    put(&mut store, 2, 2);
    save(&mut store);
    let compactor = store.compactor().clone();
    compactor.delete(first).expect("delete");
    // Its file stays until the next snapshot is saved.
    assert!(disk.read_file(&file(first)).is_some());
    let none = |result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::NoSuchSnapshot { id }) if id == first), "{result:?}");
    };
    none(compactor.verify::<Map>(first));
    none(compactor.state_at::<Map>(PointInTime::Snapshot(first)).map(drop));
    none(compactor.pin(first, true));
    none(compactor.delete(first));
    none(restore(&mut store, PointInTime::Snapshot(first), 1).map(drop));
}

#[test]
fn the_window_begins_with_the_log_when_every_snapshot_in_it_is_damaged() {
    let disk = SimDisk::new(6);
    let (mut store, _) = open(&disk).expect("open");
    for round in 0..3 {
        put(&mut store, round, 1);
        put(&mut store, round, 2);
        save(&mut store);
    }
    assert_eq!(store.compactor().window().first, 2);
    let ids: Vec<_> = store.compactor().list().iter().map(|kept| kept.id).collect();
    for (id, start) in ids.iter().zip([4, 6, 3]) {
        damage(&disk, *id);
        store.compactor().verify::<Map>(*id).expect_err("damaged");
        assert_eq!(store.compactor().window().first, start, "{id}");
    }
}

fn reason(store: &Store<Map, SimDisk>, id: SnapshotId) -> Option<RetentionReason> {
    let kept = store.compactor().list().into_iter().find(|kept| kept.id == id)?;
    Some(kept.kept_because)
}

fn at(lsn: u64) -> PointInTime {
    PointInTime::Lsn(Lsn::new(lsn).expect("an LSN"))
}

#[test]
fn every_snapshot_of_the_state_that_a_restore_names_is_held_and_no_other() {
    let disk = SimDisk::new(7);
    let (mut store, _) = open(&disk).expect("open");
    let mut saved = Vec::new();
    let mut copy = SnapshotId { lsn: 0, generation: 0 };
    for round in 0..5 {
        put(&mut store, round, 1);
        saved.push(save(&mut store));
        // Pinned, or the first two would be retired by the end.
        store.compactor().pin(saved[saved.len() - 1], saved.len() < 3).expect("pin");
        if round == 1 {
            // The same state once more.
            copy = save(&mut store);
            store.compactor().pin(copy, true).expect("pin");
        }
    }
    let restored = restore(&mut store, PointInTime::Snapshot(saved[1]), 7).expect("restore").get();
    assert_eq!(reason(&store, saved[1]), Some(RetentionReason::RestoredAt(restored)));
    assert_eq!(reason(&store, copy), Some(RetentionReason::RestoredAt(restored)));
    assert_eq!(reason(&store, saved[0]), Some(RetentionReason::Pinned));
}

#[test]
fn preparing_a_restore_never_retires_the_snapshot_it_starts_from() {
    let disk = SimDisk::new(7);
    let (mut store, _) = open(&disk).expect("open");
    let mut saved = Vec::new();
    for round in 0..3 {
        put(&mut store, round, 1);
        saved.push(save(&mut store));
    }
    put(&mut store, 9, 9);
    let present = store.image(5, 5).expect("an image");
    let _target = store
        .compactor()
        .prepare_restore(PointInTime::Snapshot(saved[0]), present)
        .expect("a target");
    assert!(
        reason(&store, saved[0]).is_some_and(RetentionReason::stays),
        "it holds the state to restore"
    );
}

#[test]
fn commits_between_preparing_and_restoring_keep_the_target_held() {
    let disk = SimDisk::new(8);
    let (mut store, _) = open(&disk).expect("open");
    (1..=4).for_each(|value| put(&mut store, 1, value));
    let present = store.image(5, 5).expect("an image");
    let target = store.compactor().prepare_restore(at(2), present).expect("a target");
    put(&mut store, 2, 1);
    save(&mut store);
    put(&mut store, 2, 2);
    store.restore(1, target, 7).expect("restore");
    let mut newest = Vec::new();
    for round in 3..5 {
        put(&mut store, round, 1);
        newest.push(save(&mut store));
    }
    let state = store.state().clone();
    store.close().expect("close");
    newest.iter().for_each(|id| damage(&disk, *id));
    let (store, recovery) = open(&disk.kill()).expect("an older snapshot and the held one");
    assert_eq!(store.state(), &state);
    assert_eq!(recovery.passed_over.len(), 2);
}

#[test]
fn no_log_is_dropped_that_alone_can_rebuild_a_restored_state() {
    let disk = SimDisk::new(9);
    let (mut store, _) = open(&disk).expect("open");
    (1..=3).for_each(|value| put(&mut store, 1, value));
    assert_eq!(restore(&mut store, at(2), 7).expect("restore").get(), 4);
    let named = store.compactor().list()[0].id;
    assert_eq!(named.lsn, 2);
    damage(&disk, named);
    store.compactor().verify::<Map>(named).expect_err("damaged");
    save(&mut store);
    put(&mut store, 1, 5);
    save(&mut store);
    assert_eq!(store.compactor().window().first, 1, "the oldest of three precedes the restore");
    put(&mut store, 1, 6);
    save(&mut store);
    assert_eq!(store.compactor().window().first, 4, "the oldest of three follows the restore");
}

#[test]
fn the_snapshot_that_undoes_a_restore_is_known_after_a_crash() {
    let disk = SimDisk::new(10);
    let (mut store, _) = open(&disk).expect("open");
    put(&mut store, 1, 1);
    let first = save(&mut store);
    put(&mut store, 2, 2);
    let restored = restore(&mut store, PointInTime::Snapshot(first), 7).expect("restore");
    store.wal().wait(restored).expect("durable");
    let undo = store.compactor().list().last().expect("of the present").id;
    drop(store);
    let (mut store, _) = open(&disk.kill()).expect("open");
    for round in 0..4 {
        put(&mut store, round, 3);
        save(&mut store);
    }
    assert_eq!(reason(&store, undo), Some(RetentionReason::Undoes(restored.get())));
}

#[test]
fn a_verification_changes_the_integrity_of_one_snapshot_only_and_durably() {
    let disk = SimDisk::new(11);
    let (mut store, _) = open(&disk).expect("open");
    let saved = [1, 2, 3].map(|value| {
        put(&mut store, 1, value);
        save(&mut store)
    });
    damage(&disk, saved[1]);
    store.compactor().verify::<Map>(saved[1]).expect_err("damaged");
    store.compactor().verify::<Map>(saved[0]).expect("whole");
    let found = |store: &Store<Map, SimDisk>| {
        store.compactor().list().iter().map(|kept| kept.integrity).collect::<Vec<_>>()
    };
    assert_eq!(found(&store), [Integrity::Whole, Integrity::Damaged, Integrity::Whole]);
    drop(store);
    let (store, _) = open(&disk.kill()).expect("open");
    assert_eq!(
        found(&store),
        [Integrity::Whole, Integrity::Damaged, Integrity::Whole],
        "the manifest records it"
    );
}

#[test]
fn a_restore_of_an_imported_snapshot_holds_no_other_imported_one() {
    let disk = SimDisk::new(12);
    let (mut store, _) = open(&disk).expect("open");
    put(&mut store, 1, 1);
    let imported = [2, 3].map(|restores| {
        let state = Map { restores, ..Map::default() };
        store.compactor().save(Image::imported(state, 5)).expect("import").id
    });
    put(&mut store, 2, 2);
    let at = restore(&mut store, PointInTime::Snapshot(imported[0]), 7).expect("restore").get();
    assert_eq!(at, 3);
    assert_eq!(reason(&store, imported[0]), Some(RetentionReason::RestoredAt(3)));
    // Still held for the RESTORE record that could have followed its import.
    assert_eq!(reason(&store, imported[1]), Some(RetentionReason::RestoredAt(2)));
}

#[test]
fn a_store_opens_on_a_full_disk_and_is_refused_on_a_failing_one() {
    let disk = SimDisk::new(13);
    let (mut store, _) = open(&disk).expect("open");
    put(&mut store, 1, 1);
    save(&mut store);
    store.close().expect("close");
    disk.remove_file("snapshots/MANIFEST");
    let full = disk.fork();
    full.set_faults(Faults { room: Some(0), ..Faults::default() });
    let (store, _) = open(&full).expect("it can be read");
    assert_eq!(store.state().values.len(), 1);
    let writes = disk.traffic()[0];
    disk.set_faults(Faults { write_error_at: Some(writes + 1), ..Faults::default() });
    let opened = open(&disk).map(drop);
    assert!(matches!(opened, Err(Error::Log(_))), "{opened:?}");
}

#[test]
fn a_reader_without_the_lock_sees_the_same_list() {
    let disk = SimDisk::new(14);
    let (mut store, _) = open(&disk).expect("open");
    for value in 0..4 {
        put(&mut store, 1, value);
        save(&mut store);
    }
    let seen = list(&disk, Retention::default()).expect("a list");
    assert_eq!(seen.len(), 3);
    assert_eq!(seen, store.compactor().list());
}
