//! Many short lives: what each leaves on the disk.

use std::fs;
use std::ops::ControlFlow;

use crate::common::{open, record, records};
use icn_wal::disk::SimDisk;
use icn_wal::{Follower, FsDisk, ReplayFrom, Wal};

fn segment(number: u64) -> String {
    format!("{number:020}.wal")
}

fn size(disk: &SimDisk, number: u64) -> u64 {
    disk.read_file(&segment(number)).expect("a segment").len() as u64
}

/// A life that commits so many records one by one and is killed at rest. Returns the bytes it wrote.
fn life(disk: &SimDisk, commits: usize) -> u64 {
    let wal = open(disk);
    for number in 0..commits {
        wal.commit(0, &[record(number)]).expect("commit");
    }
    wal.note().expect("note");
    wal.stats().bytes
}

#[test]
fn a_life_costs_what_it_wrote_and_at_most_16_kib() {
    let disk = SimDisk::new(1);
    let written: Vec<u64> = (0..40).map(|number| life(&disk, number % 4 + 1)).collect();
    for (number, written) in (1..).zip(&written[..39]) {
        let size = size(&disk, number);
        assert!(size <= written + (16 << 10), "life {number} wrote {written}, and has {size}");
    }
    let stats = open(&disk).stats();
    assert_eq!(stats.size_bytes, (1..=40).map(|number| size(&disk, number)).sum::<u64>());
    assert!(stats.size_bytes < (1 << 20) + written.iter().sum::<u64>() + 40 * (16 << 10));
    assert_eq!(records(&disk).expect("recovers").len(), 40 / 4 * 10);
}

#[test]
fn a_torn_tail_is_not_cut_off() {
    let disk = SimDisk::new(1);
    let wal = open(&disk);
    wal.commit(0, &["one"]).expect("commit");
    wal.commit(0, &[vec![b'x'; 20_000]]).expect("commit");
    drop(wal);
    let mut bytes = disk.read_file(&segment(1)).expect("a segment");
    // In the body of the second frame, which nothing proves.
    bytes[4096 * 2 + 5000] ^= 1;
    disk.write_file(&segment(1), &bytes);
    life(&disk, 1);
    let kept = disk.read_file(&segment(1)).expect("a segment");
    assert_eq!(kept.len(), 4096 * 2 + 20 * 1024);
    assert!(kept == bytes[..kept.len()]);
    life(&disk, 1);
    assert!(disk.read_file(&segment(1)) == Some(kept), "a later life has cut it");
    assert_eq!(records(&disk).expect("recovers").len(), 3);
}

#[test]
fn a_segment_with_another_hard_link_is_not_cut() {
    let dir = tempfile::tempdir().expect("dir");
    let life = || {
        let disk = FsDisk::create(dir.path()).expect("create");
        let (wal, _) =
            Wal::open(disk, ReplayFrom::Beginning, |_| ControlFlow::Continue(())).expect("open");
        wal.commit(0, &["record"]).expect("commit");
    };
    let bytes = |number| fs::metadata(dir.path().join(segment(number))).expect("a segment").len();
    life();
    fs::hard_link(dir.path().join(segment(1)), dir.path().join("copy")).expect("a link");
    life();
    life();
    assert_eq!([bytes(1), bytes(2), bytes(3)], [1 << 20, 8192, 1 << 20]);
}

#[test]
fn a_follower_reads_on_through_the_cut() {
    let disk = SimDisk::new(1);
    let mut follower = Follower::new(disk.clone(), ReplayFrom::Beginning);
    let mut seen = Vec::new();
    for number in 1..=5 {
        life(&disk, 2);
        let visit = |record: icn_wal::Record<'_>| {
            seen.push(record.lsn.get());
            ControlFlow::Continue(())
        };
        follower.poll(visit).expect("a follower");
        assert_eq!(seen, (1..=2 * number).collect::<Vec<_>>());
    }
}
