//! A log of which an old part is missing, as in a copy that was made while the log was in use.

use std::ops::ControlFlow;

use icn_wal::disk::SimDisk;
use icn_wal::{Error, Lsn, Recovery, ReplayFrom, Wal};

/// A log of four lives with two records in each.
fn log() -> SimDisk {
    let mut disk = SimDisk::new(1);
    for life in 0..4 {
        let (wal, _, found) = open(&disk, ReplayFrom::Beginning).expect("open");
        assert_eq!(found.len(), life * 2);
        wal.commit(1, &["one"]).expect("commit");
        wal.commit(1, &["two"]).expect("commit");
        wal.note().expect("a note");
        drop(wal);
        disk = disk.kill();
    }
    disk
}

fn open(disk: &SimDisk, from: ReplayFrom) -> Result<(Wal<SimDisk>, Recovery, Vec<u64>), Error> {
    let mut found = Vec::new();
    let (wal, recovery) = Wal::open(disk.clone(), from, |record| {
        found.push(record.lsn.get());
        ControlFlow::Continue(())
    })?;
    Ok((wal, recovery, found))
}

fn after(lsn: u64) -> ReplayFrom {
    ReplayFrom::After(Lsn::new(lsn).expect("an LSN"))
}

fn segment(number: u64) -> String {
    format!("{number:020}.wal")
}

/// What a copy may have made of segment 2, which has the records 3 and 4.
fn faults() -> Vec<(&'static str, SimDisk)> {
    let whole = log();
    let bytes = whole.read_file(&segment(2)).expect("a segment");
    let end = bytes.iter().rposition(|&byte| byte != 0).expect("a frame");
    let with = |bytes: Option<&[u8]>| {
        let disk = whole.fork();
        match bytes {
            Some(bytes) => disk.write_file(&segment(2), bytes),
            None => disk.remove_file(&segment(2)),
        }
        disk
    };
    let mut early = bytes.clone();
    // As read before the second record was written.
    early[512 + 72..].fill(0);
    let mut garbled = bytes.clone();
    garbled[end] ^= 1;
    vec![
        ("missing", with(None)),
        ("removed while it was read", with(Some(&[]))),
        ("removed while it was read", with(Some(&bytes[..700]))),
        ("reused", with(Some(&whole.read_file(&segment(4)).expect("a segment")))),
        ("read while it was written", with(Some(&early))),
        ("garbled", with(Some(&garbled))),
    ]
}

#[test]
fn a_log_opens_without_an_old_part_that_a_snapshot_covers() {
    for (what, disk) in faults() {
        for lsn in [4, 5, 8] {
            let opened = open(&disk.fork(), after(lsn));
            if what == "garbled" {
                // No copy does that.
                assert!(matches!(opened, Err(Error::Corrupt(_))), "{what}");
                continue;
            }
            let (wal, recovery, found) = opened.expect("nothing after the snapshot is missing");
            assert_eq!(found, (lsn + 1..=8).collect::<Vec<_>>(), "{what}");
            assert_eq!(recovery.missing_through, 4, "{what}");
            assert_eq!((recovery.first_lsn, recovery.segments, recovery.last_lsn), (5, 2, 8));
            drop(wal);
        }
        let refused = |from| {
            let before = disk.image_hash();
            let refused = open(&disk, from).map(drop);
            assert!(matches!(refused, Err(Error::Corrupt(_))), "{what}: {refused:?}");
            assert_eq!(disk.image_hash(), before, "{what}: nothing was changed");
        };
        [after(3), after(1), ReplayFrom::Beginning, ReplayFrom::Oldest]
            .into_iter()
            .for_each(refused);
        // A reader without the lock reports what it finds.
        let read = icn_wal::read(&disk, after(4), |_| ControlFlow::Continue(()));
        assert!(matches!(read, Err(Error::Corrupt(_))), "{what}");
    }
}

#[test]
fn a_log_without_an_old_part_goes_on() {
    for (what, disk) in faults().into_iter().filter(|(what, _)| *what != "garbled") {
        let disk = disk.fork();
        let (wal, ..) = open(&disk, after(4)).expect("open");
        wal.commit(1, &["nine"]).expect("commit");
        drop(wal);
        let (wal, recovery, found) = open(&disk.kill(), after(4)).expect("open");
        assert_eq!(found, [5, 6, 7, 8, 9], "{what}");
        // The manifest now begins with the first segment that is whole.
        assert_eq!(recovery.missing_through, 0, "{what}");
        drop(wal);
        let again = open(&disk.kill(), ReplayFrom::Oldest).expect("open").2;
        assert_eq!(again, [5, 6, 7, 8, 9], "{what}");
    }
}

#[test]
fn a_missing_newest_segment_is_refused_whatever_a_snapshot_covers() {
    let whole = log();
    for number in [3, 4] {
        let disk = whole.fork();
        (number..=4).for_each(|number| disk.remove_file(&segment(number)));
        for lsn in [2, 4, 6, 8, 20] {
            let refused = open(&disk, after(lsn)).map(drop);
            assert!(matches!(refused, Err(Error::Corrupt(_))), "{lsn}: {refused:?}");
        }
    }
}
