//! The log on a real directory: appended records are replayed.

use std::fs::{self, Permissions};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use icn_wal::{Error, FsDisk, Housekeeper, Lsn, Recovery, ReplayFrom, Wal};

type Records = Vec<(u64, Vec<u8>)>;

fn open(dir: &Path, from: ReplayFrom) -> Result<(Wal<FsDisk>, Recovery, Records), Error> {
    let mut records = Vec::new();
    let disk = FsDisk::create(dir).expect("create");
    let (wal, recovery) = Wal::open(disk, from, |record| {
        records.push((record.lsn.get(), record.bytes.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok((wal, recovery, records))
}

fn numbered(numbers: std::ops::RangeInclusive<u64>) -> Records {
    numbers.map(|number| (number, format!("record {number}").into_bytes())).collect()
}

#[test]
fn committed_records_are_replayed_in_order() {
    let dir = tempfile::tempdir().expect("dir");
    for round in 0..4u64 {
        let (wal, recovery, records) = open(dir.path(), ReplayFrom::Beginning).expect("open");
        assert_eq!(records, numbered(1..=round * 10));
        assert_eq!(recovery.last_lsn, round * 10);
        assert_eq!(recovery.clean, round > 0);
        assert_eq!(recovery.incarnation, round + 1);
        for (_, record) in numbered(round * 10 + 1..=round * 10 + 10) {
            wal.commit(7, &[record]).expect("commit");
        }
        wal.close().expect("close");
        assert!(matches!(wal.append(0, &["late"]), Err(Error::NotAppended { .. })));
        assert!(matches!(wal.check(), Err(Error::NotAppended { .. })));
    }
}

#[test]
fn the_segments_begun_after_a_record_are_those_of_later_lives_but_for_the_newest() {
    let dir = tempfile::tempdir().expect("dir");
    for life in 1..=5u64 {
        let (wal, ..) = open(dir.path(), ReplayFrom::Beginning).expect("open");
        // Records 1 and 2 in the first segment, 3 and 4 in the second.
        wal.commit(1, &["one", "two"]).expect("commit");
        for (lsn, life_of) in (1..=life * 2).map(|lsn| (lsn, lsn.div_ceil(2))) {
            let begun = wal.begun_after(lsn);
            assert_eq!(begun.segments, (life - life_of).saturating_sub(1), "{lsn} of life {life}");
            // Unused ends of earlier lives are cut off.
            let bytes = begun.segments * 4096..=begun.segments << 20;
            assert!(bytes.contains(&begun.bytes), "{begun:?}");
        }
        assert_eq!(wal.begun_after(life * 2 + 9).segments, 0);
        assert_eq!(wal.size_after(2).segments, if life == 1 { 1 } else { life - 1 });
    }
}

#[test]
fn a_log_dropped_without_close_is_recovered() {
    let dir = tempfile::tempdir().expect("dir");
    let (wal, ..) = open(dir.path(), ReplayFrom::Beginning).expect("open");
    wal.commit(1, &["record 1", "record 2"]).expect("commit");
    drop(wal);
    let (_wal, recovery, records) = open(dir.path(), ReplayFrom::Beginning).expect("open");
    assert_eq!(records, numbered(1..=2));
    assert!(!recovery.clean);
    assert_eq!(recovery.torn_bytes, 0);
}

#[test]
fn segments_rotate_and_old_ones_can_be_dropped() {
    let dir = tempfile::tempdir().expect("dir");
    let (wal, ..) = open(dir.path(), ReplayFrom::Beginning).expect("open");
    let record = vec![9; 100_000];
    for _ in 0..100 {
        wal.commit(1, std::slice::from_ref(&record)).expect("commit");
    }
    let segments = wal.stats().segments;
    assert!(segments >= 4, "{segments}");
    let stays = wal.size_after(60).bytes;
    assert_eq!(wal.size_after(0).bytes, wal.stats().size_bytes);
    assert!(stays < wal.size_after(0).bytes, "{stays}");
    let dropped = wal.drop_through(Lsn::new(60).expect("lsn")).expect("drop");
    assert!(dropped >= 2, "{dropped}");
    assert_eq!(wal.stats().size_bytes, stays);
    drop(wal);
    assert!(matches!(open(dir.path(), ReplayFrom::Beginning), Err(Error::Missing { .. })));
    let (wal, _, records) =
        open(dir.path(), ReplayFrom::After(Lsn::new(60).expect("lsn"))).expect("open");
    assert_eq!(
        records.iter().map(|(lsn, _)| *lsn).collect::<Vec<_>>(),
        (61..=100).collect::<Vec<_>>()
    );
    drop(wal);
    assert!(matches!(
        open(dir.path(), ReplayFrom::After(Lsn::new(101).expect("lsn"))),
        Err(Error::Behind { .. })
    ));
}

#[test]
fn a_full_segment_has_space_for_the_seal_and_the_log_continues_after_it() {
    let frame = 64;
    // The bytes left in the segment, if the record fits into it at all.
    for left in (0..=4 * frame).step_by(8) {
        let lives = [false, true].map(|continues| {
            let dir = tempfile::tempdir().expect("dir");
            let (wal, ..) = open(dir.path(), ReplayFrom::Beginning).expect("open");
            let record = vec![7; (1 << 20) - 512 - frame - 4 - left];
            wal.commit(0, &[record]).expect("commit");
            wal.note().expect("note");
            if continues {
                wal.commit(0, &["after it"]).expect("commit");
            }
            wal.close().unwrap_or_else(|error| panic!("{left} left: {error}"));
            drop(wal);
            let (_, recovery, records) = open(dir.path(), ReplayFrom::Beginning).expect("open");
            assert!(recovery.clean, "{left} left");
            records.len()
        });
        assert_eq!(lives, [1, 2], "{left} left");
    }
}

#[test]
fn no_note_is_written_while_records_are_pending() {
    let dir = tempfile::tempdir().expect("dir");
    let (wal, ..) = open(dir.path(), ReplayFrom::Beginning).expect("open");
    wal.commit(1, &["record 1"]).expect("commit");
    wal.append(1, &["record 2"]).expect("append");
    wal.note().expect("note");
    assert_eq!(wal.stats().frames, 1);
    wal.wait(wal.last().expect("some")).expect("wait");
    wal.note().expect("note");
    assert_eq!(wal.stats().frames, 3);
    drop(wal);
    assert_eq!(open(dir.path(), ReplayFrom::Beginning).expect("open").2, numbered(1..=2));
}

#[test]
fn a_full_group_without_waiters_is_written_and_not_synced() {
    let dir = tempfile::tempdir().expect("dir");
    let (wal, ..) = open(dir.path(), ReplayFrom::Beginning).expect("open");
    for _ in 0..2 {
        wal.append(1, &[vec![9; 700_000]]).expect("append");
    }
    let stats = wal.stats();
    assert_eq!(stats.frames, 1);
    assert_eq!(stats.syncs, 0);
    assert_eq!(wal.durable(), None);
}

#[test]
fn many_threads_commit_at_once() {
    let dir = tempfile::tempdir().expect("dir");
    let (wal, ..) = open(dir.path(), ReplayFrom::Beginning).expect("open");
    let wal = Arc::new(wal);
    let house = Housekeeper::start(Arc::clone(&wal)).expect("thread");
    std::thread::scope(|scope| {
        for thread in 0..16u8 {
            let wal = &wal;
            scope.spawn(move || {
                for turn in 0..50u8 {
                    wal.commit(1, &[[thread, turn]]).expect("commit");
                }
            });
        }
        let wal = &wal;
        scope.spawn(move || {
            for _ in 0..40 {
                wal.append(1, &[vec![255; 300_000]]).expect("append");
            }
        });
    });
    wal.wait(wal.last().expect("some")).expect("wait");
    drop(house);
    let stats = wal.stats();
    assert_eq!(stats.durable_lsn, 16 * 50 + 40);
    drop(Arc::into_inner(wal).expect("last"));
    let (_wal, _, records) = open(dir.path(), ReplayFrom::Beginning).expect("open");
    for thread in 0..16u8 {
        let turns: Vec<u8> = records
            .iter()
            .filter(|(_, bytes)| bytes.len() == 2 && bytes[0] == thread)
            .map(|(_, bytes)| bytes[1])
            .collect();
        assert_eq!(turns, (0..50).collect::<Vec<u8>>());
    }
}

#[test]
fn appends_over_a_limit_are_refused_and_those_at_the_limit_are_not() {
    let dir = tempfile::tempdir().expect("dir");
    let (wal, ..) = open(dir.path(), ReplayFrom::Beginning).expect("open");
    assert!(matches!(wal.append::<&[u8]>(0, &[]), Err(Error::Refused { .. })));
    assert!(matches!(wal.append(0, &[vec![0; (1 << 20) + 1]]), Err(Error::Refused { .. })));
    assert!(matches!(wal.append(0, &vec![vec![0u8; 1 << 20]; 4]), Err(Error::Refused { .. })));
    let most = vec![vec![7u8; (1 << 20) - 4]; 4];
    let lsns = wal.commit(0, &most).expect("4 MiB");
    assert_eq!(lsns.end().get(), 4);
    assert!(matches!(wal.wait(Lsn::new(5).expect("lsn")), Err(Error::NotAppended { lsn: 5 })));
    wal.commit(0, &[vec![0; 1 << 20]]).expect("the largest record");
    assert!(matches!(wal.append(0, &[[]; (1 << 20) + 1]), Err(Error::Refused { .. })));
    wal.commit(0, &[[]; 1 << 20]).expect("the most records");
    drop(wal);
    assert_eq!(open(dir.path(), ReplayFrom::Beginning).expect("open").2.len(), 4 + 1 + (1 << 20));
}

#[test]
fn a_second_owner_is_refused() {
    let dir = tempfile::tempdir().expect("dir");
    let first = open(dir.path(), ReplayFrom::Beginning).expect("open");
    assert!(matches!(open(dir.path(), ReplayFrom::Beginning), Err(Error::Locked { .. })));
    drop(first);
    open(dir.path(), ReplayFrom::Beginning).expect("the owner has released the lock");
}

#[test]
fn opening_again_and_again_does_not_fill_the_disk() {
    let dir = tempfile::tempdir().expect("dir");
    let files = || {
        let names =
            fs::read_dir(dir.path()).expect("dir").map(|entry| entry.expect("a file").path());
        names.filter(|name| name.extension().is_none_or(|ending| ending != "tmp")).count()
    };
    for _ in 0..20 {
        drop(open(dir.path(), ReplayFrom::Beginning).expect("open"));
    }
    assert_eq!(files(), 2, "LOCK and MANIFEST");
    for _ in 0..20 {
        let (wal, _, records) = open(dir.path(), ReplayFrom::Beginning).expect("open");
        if records.is_empty() {
            wal.commit(1, &["record 1"]).expect("commit");
        }
    }
    assert_eq!(files(), 3, "and one segment, that of the record");
    for round in 0..20 {
        let (wal, recovery, _) = open(dir.path(), ReplayFrom::Beginning).expect("open");
        // As the housekeeper does once the log is idle.
        wal.prepare().expect("room");
        wal.note().expect("note");
        assert_eq!(recovery.incarnation, if round == 0 { 2 } else { 3 });
        assert!(!recovery.clean);
    }
    assert_eq!(files(), 4, "and one more that proves the record");
    for _ in 0..20 {
        let (wal, recovery, _) = open(dir.path(), ReplayFrom::Beginning).expect("open");
        assert!(!recovery.clean);
        wal.close().expect("close");
    }
    assert_eq!(files(), 4, "and none for orderly stops");
}

#[test]
fn a_directory_opens_under_a_parent_without_read_permission() {
    let dir = tempfile::tempdir().expect("dir");
    let place = dir.path().join("place");
    let log = place.join("log");
    fs::create_dir_all(&log).expect("create");
    fs::set_permissions(&place, Permissions::from_mode(0o311)).expect("permissions");
    let opened = FsDisk::create(&log).map(drop);
    fs::set_permissions(&place, Permissions::from_mode(0o700)).expect("permissions");
    opened.expect("it was there before");
}
