//! What the log reports: the recovery report, counts, refusals.

use std::ops::ControlFlow;

use icn_wal::disk::SimDisk;
use icn_wal::segment_info::{SegmentInfo, segments};
use icn_wal::{Error, Lsn, Recovery, ReplayFrom, Wal};

use crate::common::open;

const SEGMENT_BYTES: u64 = 1 << 20;
/// A header and three frames.
const FIRST_BYTES: u64 = 4 * 4096;

fn reopen(disk: &SimDisk, from: ReplayFrom) -> Result<Recovery, Error> {
    Wal::open(disk.clone(), from, |_| ControlFlow::Continue(())).map(|(_, recovery)| recovery)
}

fn lsn(number: u64) -> Lsn {
    Lsn::new(number).expect("an LSN")
}

/// Two segments of three records each, the last record torn.
fn log() -> SimDisk {
    let disk = SimDisk::new(1);
    for _ in 0..2 {
        let wal = open(&disk);
        for _ in 0..3 {
            wal.commit(7, &["record"]).expect("commit");
        }
    }
    let disk = disk.kill();
    let newest = disk.files().into_iter().rfind(|name| name.ends_with(".wal")).expect("a segment");
    let mut bytes = disk.read_file(&newest).expect("bytes");
    let last = bytes.iter().rposition(|&byte| byte != 0).expect("a record");
    bytes[last] ^= 1;
    disk.write_file(&newest, &bytes);
    disk
}

#[test]
fn the_recovery_report_is_exact() {
    let wanted = Recovery {
        end_proven: false,
        first_lsn: 1,
        first_ms: 7,
        last_lsn: 5,
        replayed: 5,
        segments: 2,
        // What the first life did not use was cut off.
        bytes: FIRST_BYTES + SEGMENT_BYTES,
        // Header, length and text of the frame that is torn.
        torn_bytes: 64 + 4 + 6,
        clean: false,
        incarnation: 3,
        missing_through: 0,
        ignored: Vec::new(),
    };
    assert_eq!(reopen(&log(), ReplayFrom::Beginning).expect("open"), wanted);
    let after = reopen(&log(), ReplayFrom::After(lsn(3))).expect("open");
    assert_eq!(after, Recovery { replayed: 2, ..wanted });
}

#[test]
fn segments_are_listed_with_exact_contents() {
    let first = SegmentInfo {
        number: 1,
        incarnation: 1,
        first_lsn: 1,
        last_lsn: 3,
        records: 3,
        record_bytes: 3 * 6,
        first_ms: 7,
        last_ms: 7,
        bytes: FIRST_BYTES,
        used_bytes: FIRST_BYTES,
        torn_bytes: 0,
        sealed: false,
    };
    let second = SegmentInfo {
        number: 2,
        incarnation: 2,
        first_lsn: 4,
        last_lsn: 5,
        records: 2,
        record_bytes: 2 * 6,
        bytes: SEGMENT_BYTES,
        used_bytes: 4096 + 2 * 4096,
        torn_bytes: 64 + 4 + 6,
        ..first.clone()
    };
    assert_eq!(segments(&log()).expect("a log"), [first, second]);
}

#[test]
fn a_replay_may_start_at_the_end_of_the_log_and_not_after_it() {
    let disk = log();
    assert_eq!(reopen(&disk, ReplayFrom::After(lsn(5))).expect("at the end").replayed, 0);
    match reopen(&disk, ReplayFrom::After(lsn(6))) {
        Err(Error::Behind { known, last: 5 }) => assert_eq!(known, lsn(6)),
        other => panic!("{other:?}"),
    }
    let wal = open(&disk);
    wal.drop_through(lsn(3)).expect("drop");
    drop(wal);
    for (from, first_wanted) in [(ReplayFrom::Beginning, 1), (ReplayFrom::After(lsn(2)), 3)] {
        match reopen(&disk, from) {
            Err(Error::Missing { wanted, first: 4 }) => assert_eq!(wanted, first_wanted),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        reopen(&disk, ReplayFrom::After(lsn(3))).expect("after the dropped records").replayed,
        2
    );
    assert_eq!(reopen(&disk, ReplayFrom::Oldest).expect("from the oldest record").first_lsn, 4);
}

#[test]
fn stats_count_appends_frames_and_syncs() {
    let wal = open(&SimDisk::new(1));
    for _ in 0..10 {
        wal.append(0, &["one", "two"]).expect("append");
    }
    let appended = wal.stats();
    assert_eq!(appended.appends, 20);
    assert_eq!(appended.last_lsn, 20);
    assert_eq!(appended.durable_lsn, 0);
    wal.wait(lsn(20)).expect("wait");
    let stats = wal.stats();
    // Appends gather until a caller waits: one frame, one sync.
    assert_eq!(stats.frames, 1);
    assert_eq!(stats.syncs, 1);
    assert_eq!(stats.bytes, 4096, "a frame is padded to the end of its block");
    assert_eq!(stats.last_lsn, 20);
    assert_eq!(stats.durable_lsn, 20);
    assert!(!stats.poisoned);
    assert_eq!(stats.segments, 1);
    assert_eq!(stats.size_bytes, SEGMENT_BYTES);
}

#[test]
fn an_lsn_is_formatted_as_its_number() {
    assert_eq!(format!("{} {:?} {:>4}", lsn(7), lsn(7), lsn(7)), "7 Lsn(7)    7");
}
