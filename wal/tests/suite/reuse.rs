//! Reused segments never give back their old records.

use std::ops::ControlFlow;

use icn_wal::disk::SimDisk;
use icn_wal::limits::SEGMENT_BYTES_MIN;
use icn_wal::{Error, FsDisk, Lsn, Recovery, ReplayFrom, Wal, read};

use crate::common::open;

const RECORD_BYTES: usize = 100_000;

/// Of equal size, so that old frames lie exactly where new ones would.
fn record(number: usize) -> Vec<u8> {
    let mut bytes = vec![b'.'; RECORD_BYTES];
    let text = number.to_string();
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    bytes
}

/// A log after so many records that keeps only the last few, in reused segments.
fn log_of(records: usize) -> (SimDisk, Wal<SimDisk>) {
    let disk = SimDisk::new(3).with_segment_bytes_max(SEGMENT_BYTES_MIN);
    let wal = open(&disk);
    for number in 1..=records {
        let last = *wal.commit(0, &[record(number)]).expect("commit").end();
        wal.drop_through(last).expect("drop");
    }
    (disk, wal)
}

fn log() -> (SimDisk, Wal<SimDisk>) {
    log_of(55)
}

fn recover(disk: &SimDisk) -> (Recovery, Vec<(u64, Vec<u8>)>) {
    let mut found = Vec::new();
    let visit = |record: icn_wal::Record<'_>| {
        found.push((record.lsn.get(), record.bytes.to_vec()));
        ControlFlow::Continue(())
    };
    let (_, recovery) = Wal::open(disk.clone(), ReplayFrom::Oldest, visit).expect("recovers");
    (recovery, found)
}

fn kept(disk: &SimDisk) -> Vec<(u64, Vec<u8>)> {
    recover(disk).1
}

fn newest(disk: &SimDisk) -> Vec<u8> {
    let name = disk.files().into_iter().rfind(|name| name.ends_with(".wal")).expect("a segment");
    disk.read_file(&name).expect("bytes")
}

#[test]
fn a_reused_segment_never_gives_back_its_old_frames() {
    let (disk, wal) = log();
    drop(wal);
    let disk = disk.kill();
    let bytes = newest(&disk);
    assert_eq!(bytes[120], 1, "the newest segment was not used before");
    let frames = bytes.windows(4).filter(|window| window == b"ICNf").count();
    let found = kept(&disk.fork());
    assert!(frames > found.len(), "no old frame follows {} records", found.len());
    assert_eq!(found.last().map(|(lsn, _)| *lsn), Some(55));
    for (lsn, bytes) in found {
        assert_eq!(bytes, record(usize::try_from(lsn).expect("small")), "#{lsn}");
    }
    for seed in 0..32 {
        assert_eq!(kept(&disk.power_loss(seed)), kept(&disk.fork()), "seed {seed}");
    }
}

#[test]
fn at_most_two_segments_of_full_size_are_kept_for_reuse() {
    let waiting = |disk: &SimDisk| {
        disk.files().into_iter().filter(|name| name.starts_with("retired-")).count()
    };
    // Segments of 1 MiB are too small where segments grow to 2 MiB; two of 2 MiB are kept.
    let disk = SimDisk::new(3).with_segment_bytes_max(2 * SEGMENT_BYTES_MIN);
    let wal = open(&disk);
    for (records, kept) in [(11, 0), (100, 2)] {
        for number in 1..=records {
            wal.commit(0, &[record(number)]).expect("commit");
        }
        wal.drop_through(wal.last().expect("records")).expect("drop");
        assert_eq!(waiting(&disk), kept, "after {records} records");
    }
}

#[test]
fn a_torn_frame_in_a_reused_segment_is_never_an_old_record() {
    let (disk, wal) = log();
    wal.append(0, &[record(56)]).expect("append");
    // A group without a sync is written once the next append does not fit into it.
    wal.append(0, &[vec![7; 1_000_000]]).expect("append");
    drop(wal);
    for seed in 0..64 {
        let found = kept(&disk.power_loss(seed));
        let last = found.last().map(|(lsn, _)| *lsn);
        assert!(last == Some(55) || last == Some(56), "seed {seed}: {last:?}");
        for (lsn, bytes) in found {
            assert_eq!(bytes, record(usize::try_from(lsn).expect("small")), "seed {seed}, #{lsn}");
        }
    }
}

#[test]
fn only_a_torn_frame_of_a_reused_segment_is_a_torn_tail() {
    let (disk, wal) = log();
    drop(wal);
    let disk = disk.kill();
    assert_eq!(recover(&disk.fork()).0.torn_bytes, 0);
    let name = disk.files().into_iter().rfind(|name| name.ends_with(".wal")).expect("a segment");
    let mut bytes = newest(&disk);
    let frame = (64 + 4 + RECORD_BYTES).next_multiple_of(4096);
    // In the last of five records.
    bytes[4096 + 4 * frame + 1000] ^= 1;
    disk.write_file(&name, &bytes);
    let (recovery, found) = recover(&disk);
    assert_eq!(recovery.torn_bytes, frame as u64);
    assert_eq!(found.last().map(|(lsn, _)| *lsn), Some(54));
}

#[test]
fn a_reused_segment_without_a_frame_is_kept_and_the_log_continues() {
    // The last record is the first of its segment.
    let (disk, wal) = log_of(51);
    drop(wal);
    let disk = disk.kill();
    let name = disk.files().into_iter().rfind(|name| name.ends_with(".wal")).expect("a segment");
    let mut bytes = newest(&disk);
    assert_eq!(kept(&disk.fork()).last().map(|(lsn, _)| *lsn), Some(51));
    // It tears without a trace.
    bytes[4096..4096 + 64].fill(0xA5);
    disk.write_file(&name, &bytes);
    let wal = open_oldest(&disk);
    let lsn = *wal.commit(0, &["next"]).expect("commit").end();
    assert!(lsn > Lsn::new(50).expect("an LSN"));
    assert!(disk.read_file(&name).is_some(), "the evidence is gone");
    drop(wal);
    assert_eq!(kept(&disk.kill()).last().map(|(found, _)| *found), Some(lsn.get()));
}

/// A log of several segments of 2 MiB, longer than one read.
fn long_log() -> (SimDisk, Wal<SimDisk>) {
    let disk = SimDisk::new(3).with_segment_bytes_max(2 * SEGMENT_BYTES_MIN);
    let wal = open(&disk);
    for number in 1..=100 {
        wal.commit(0, &[record(number)]).expect("commit");
    }
    (disk, wal)
}

/// Reads; as soon as record `at` is visited, everything before the last record is dropped and
/// overwritten, until there are `most`.
fn read_while_dropping(from: ReplayFrom, at: u64, most: usize) -> (Result<(), Error>, Vec<u64>) {
    let (disk, wal) = long_log();
    let mut number = 100;
    let mut seen = Vec::new();
    let recovery = read(&disk, from, |found| {
        seen.push(found.lsn.get());
        while found.lsn.get() >= at && number < most {
            number += 1;
            let last = *wal.commit(0, &[record(number)]).expect("commit").end();
            wal.drop_through(last).expect("drop");
        }
        ControlFlow::Continue(())
    });
    (recovery.map(drop), seen)
}

#[test]
fn a_reader_reports_missing_when_its_segments_were_reused() {
    let mut whole = 0;
    let mut missing = 0;
    for at in [1, 5, 15, 40, 85, 90, 95, 98, 99, 100] {
        for from in [ReplayFrom::Oldest, ReplayFrom::Beginning, ReplayFrom::After(Lsn::FIRST)] {
            let (recovery, seen) = read_while_dropping(from, at, 250);
            assert!(seen.windows(2).all(|pair| pair[1] == pair[0] + 1), "at {at}: {seen:?}");
            match recovery {
                Ok(()) => {
                    assert_eq!(
                        seen.last(),
                        Some(&250),
                        "at {at}: the reader stopped before the end"
                    );
                    whole += 1;
                }
                Err(Error::Missing { .. }) => missing += 1,
                Err(error) => panic!("at {at}: {error}"),
            }
        }
    }
    println!("{whole} whole, {missing} missing");
    assert!(missing > 0);
}

#[test]
fn a_segment_with_another_hard_link_is_not_reused() {
    let around = tempfile::tempdir().expect("a directory");
    let live = around.path().join("live");
    let copy = around.path().join("copy");
    let disk = FsDisk::create(&live).expect("a disk").with_segment_bytes_max(SEGMENT_BYTES_MIN);
    let (wal, _) =
        Wal::open(disk, ReplayFrom::Beginning, |_| ControlFlow::Continue(())).expect("a log");
    for number in 1..=15 {
        wal.commit(0, &[record(number)]).expect("commit");
    }
    std::fs::create_dir(&copy).expect("a directory");
    for entry in std::fs::read_dir(&live).expect("a directory") {
        let entry = entry.expect("a file");
        std::fs::hard_link(entry.path(), copy.join(entry.file_name())).expect("a link");
    }
    let first = copy.join(format!("{:020}.wal", 1));
    let before = std::fs::read(&first).expect("a segment");
    for number in 16..=60 {
        let last = *wal.commit(0, &[record(number)]).expect("commit").end();
        wal.drop_through(last).expect("drop");
    }
    assert!(std::fs::read(&first).expect("a segment") == before, "the copy has changed");
}

#[test]
fn a_stop_removes_all_prepared_files() {
    let disk = SimDisk::new(3).with_segment_bytes_max(SEGMENT_BYTES_MIN);
    let wal = open(&disk);
    for number in 1..=55 {
        wal.commit(0, &[record(number)]).expect("commit");
    }
    wal.prepare().expect("room");
    // Several at once: more than are kept for reuse.
    wal.drop_through(Lsn::new(55).expect("an LSN")).expect("drop");
    let prepared = |disk: &SimDisk| disk.files().iter().filter(|n| n.ends_with(".tmp")).count();
    assert_eq!(prepared(&disk), 6, "three segments and as many manifests: {:?}", disk.files());
    wal.close().expect("close");
    assert_eq!(prepared(&disk), 0, "{:?}", disk.files());
}

fn open_oldest(disk: &SimDisk) -> Wal<SimDisk> {
    Wal::open(disk.clone(), ReplayFrom::Oldest, |_| ControlFlow::Continue(())).expect("open").0
}
