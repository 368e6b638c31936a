//! A medium that fails: every bit, every length, every file.
//!
//! The promise: either every record is recovered or the log is refused. The only exception is the
//! residual case, which is measured here.

use std::collections::BTreeMap;

use crate::common::{Life, live, open, record, records};
use icn_wal::Error;
use icn_wal::disk::SimDisk;

type Found = Vec<(u64, Vec<u8>)>;

/// A log of three lives, whose last commit a note has proved durable.
fn log() -> (SimDisk, Found) {
    let disk = SimDisk::new(1);
    live(&disk, &mut Life::default()).expect("a life");
    let wal = open(&disk);
    for number in 0..3 {
        wal.commit(0, &[record(number)]).expect("commit");
    }
    wal.note().expect("note");
    drop(wal);
    let disk = disk.kill();
    // Damage to prepared files is harmless.
    disk.files()
        .iter()
        .filter(|name| name.ends_with(".tmp"))
        .for_each(|name| disk.remove_file(name));
    let found = records(&disk.fork()).expect("recovers");
    (disk, found)
}

/// The length of a file without its trailing zeros.
fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
}

/// Recovers a damaged log: refused, or no record is missing. Returns whether it was refused.
#[track_caller]
fn noticed(disk: &SimDisk, found: &Found, what: &str) -> bool {
    match records(disk) {
        Ok(now) => {
            assert_eq!(now.len(), found.len(), "{what}: records are missing");
            assert!(now == *found, "{what}: records are not what they were");
            false
        }
        Err(Error::Corrupt(_) | Error::Format { .. } | Error::Missing { .. }) => true,
        Err(error) => panic!("{what}: {error}"),
    }
}

#[test]
fn every_flipped_bit_is_detected_or_harmless() {
    let (disk, found) = log();
    let mut bits = 0_u64;
    let mut refused = 0_u64;
    for name in disk.files() {
        let whole = disk.read_file(&name).expect("bytes");
        for at in 0..(used(&whole) + 16).min(whole.len()) {
            // Of the long records and of the padding few bits, of everything else all.
            let few = [0, b' '].contains(&whole[at]) && at % 4096 >= 128;
            let chosen = match at % 16 {
                0 => 0..8,
                _ if !few => 0..8,
                8 => 0..1,
                _ => 0..0,
            };
            for bit in chosen {
                let probe = disk.fork();
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                probe.write_file(&name, &bytes);
                bits += 1;
                refused += u64::from(noticed(&probe, &found, &format!("{name} {at}.{bit}")));
            }
        }
    }
    // The rest of the block of a header, and bytes after the end of the log, hold nothing.
    println!("{refused} of {bits} flipped bits refused");
    assert!(bits > 10_000 && refused > bits / 2, "{refused} of {bits}");
}

#[test]
fn every_truncation_is_detected_or_harmless() {
    let (disk, found) = log();
    let mut lengths = 0;
    for name in disk.files() {
        let whole = disk.read_file(&name).expect("bytes");
        let used = used(&whole);
        let few = [used + 4096, whole.len() / 2, whole.len() - 1];
        for length in (0..used).chain(few.into_iter().filter(|length| *length < whole.len())) {
            let probe = disk.fork();
            probe.write_file(&name, &whole[..length]);
            noticed(&probe, &found, &format!("{name} cut to {length}"));
            lengths += 1;
        }
    }
    assert!(lengths > 1000, "{lengths}");
}

#[test]
fn every_file_removed_zeroed_swapped_or_doubled_is_detected() {
    let (disk, found) = log();
    let files: BTreeMap<_, _> = disk
        .files()
        .into_iter()
        .map(|name| (name.clone(), disk.read_file(&name).unwrap()))
        .collect();
    assert!(files.len() > 4);
    for (name, bytes) in &files {
        let probe = disk.fork();
        probe.remove_file(name);
        assert!(noticed(&probe, &found, &format!("{name} removed")));
        let probe = disk.fork();
        probe.write_file(name, &vec![0; bytes.len()]);
        assert!(noticed(&probe, &found, &format!("{name} zeroed")));
        let newer = format!("{:020}.wal", 99);
        let probe = disk.fork();
        probe.write_file(&newer, bytes);
        noticed(&probe, &found, &format!("{name} doubled"));
        for (other, theirs) in files.iter().filter(|(other, _)| *other != name) {
            let probe = disk.fork();
            probe.write_file(name, theirs);
            assert!(noticed(&probe, &found, &format!("{other} also in the place of {name}")));
            probe.write_file(other, bytes);
            assert!(noticed(&probe, &found, &format!("{name} and {other} swapped")));
        }
    }
}

#[test]
fn every_sector_zeroed_before_the_last_mark_is_detected() {
    let (disk, found) = log();
    let newest = disk.files().into_iter().rfind(|name| name.ends_with(".wal"));
    for name in disk.files() {
        let whole = disk.read_file(&name).expect("bytes");
        // The last sector holds the mark itself.
        let last = used(&whole) / 512 * 512;
        let end = if Some(&name) == newest.as_ref() { last } else { last + 1 };
        for start in (0..end).step_by(512) {
            let probe = disk.fork();
            let mut bytes = whole.clone();
            let stop = (start + 512).min(bytes.len());
            if bytes[start..stop].iter().all(|&byte| byte == 0) {
                continue;
            }
            bytes[start..stop].fill(0);
            probe.write_file(&name, &bytes);
            assert!(noticed(&probe, &found, &format!("{name}, sector at {start}")));
        }
    }
}

#[test]
fn only_the_last_commit_before_its_note_can_be_damaged_unnoticed() {
    let disk = SimDisk::new(1);
    let wal = open(&disk);
    for number in 0..5 {
        wal.commit(0, &[record(number)]).expect("commit");
    }
    drop(wal);
    let disk = disk.kill();
    let name = disk.files().into_iter().find(|name| name.ends_with(".wal")).expect("a segment");
    let whole = disk.read_file(&name).expect("bytes");
    let mut lost = 0;
    for at in 512..used(&whole) {
        let probe = disk.fork();
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        probe.write_file(&name, &bytes);
        match records(&probe) {
            Ok(found) => {
                assert!(found.len() >= 4, "byte {at}: more than the last commit is gone");
                lost += usize::from(found.len() == 4);
            }
            Err(error) => assert!(matches!(error, Error::Corrupt(_)), "byte {at}: {error}"),
        }
    }
    // The last commit is one frame, with its header and the text of 1500 bytes in it.
    assert!((1500..1600).contains(&lost), "{lost} bytes can be damaged without notice");
}
