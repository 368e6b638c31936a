//! Salvage: for every kind of damage it invents nothing, bridges no hole and changes nothing.

use std::ops::{ControlFlow, RangeInclusive};

use crate::common::{Life, begun, live, open, record};
use icn_wal::damage::Reason;
use icn_wal::disk::{DirEntry, Disk, Faults, SimDisk};
use icn_wal::salvage::{Salvage, salvage};
use icn_wal::segment_info::segments;
use icn_wal::{Error, Lsn, ReplayFrom, Wal, read};

/// LSN, time and bytes.
type Found = Vec<(u64, u64, Vec<u8>)>;

const FIRST_FRAME: usize = 4096;
const FRAME_BYTES: usize = 4096;

fn segment(number: u64) -> String {
    format!("{number:020}.wal")
}

fn found(disk: &SimDisk, from: ReplayFrom) -> Result<Found, Error> {
    let mut found = Vec::new();
    read(disk, from, |record| {
        found.push((record.lsn.get(), record.time_ms, record.bytes.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

fn torn_bytes(disk: &SimDisk) -> u64 {
    read(disk, ReplayFrom::Oldest, |_| ControlFlow::Continue(())).expect("recovers").torn_bytes
}

fn after(lsn: u64) -> ReplayFrom {
    Lsn::new(lsn).map_or(ReplayFrom::Beginning, ReplayFrom::After)
}

/// The files of the log in the root of `disk`.
fn log_files(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let names = disk.files().into_iter().filter(|name| !name.contains('/'));
    names.map(|name| (name.clone(), disk.read_file(&name).expect("bytes"))).collect()
}

/// Salvages the log of `disk` into a subdirectory and checks what must hold for every damage.
///
/// The log is not changed. The new one holds exactly the reported run, opens for a state with every
/// record up to `after` and for no other, and gives out only higher LSNs.
#[track_caller]
fn salvaged(disk: &SimDisk, from: ReplayFrom) -> (Salvage, Found) {
    let before = log_files(disk);
    let target = disk.subdir("new").expect("a directory");
    let dry = salvage(disk, None, from).expect("a dry run");
    assert!(target.list().expect("list").is_empty(), "a dry run writes nothing");
    let report = salvage(disk, Some(&target), from).expect("salvages");
    assert_eq!(report, dry, "a dry run reports what is done");
    assert!(log_files(disk) == before, "the source has changed");
    let Some(kept) = &report.kept else {
        assert!(target.list().expect("list").is_empty());
        return (report, Vec::new());
    };
    let records = found(&target, ReplayFrom::Oldest).expect("a whole log");
    assert_eq!(records.len() as u64, kept.records);
    if let (Some(first), Some(last)) = (records.first(), records.last()) {
        assert_eq!(first.0, kept.first_lsn);
        assert_eq!(last.0, kept.last_lsn);
        assert_eq!(first.1, kept.first_ms);
        assert_eq!(last.1, kept.last_ms);
    }
    assert_eq!(found(&target, after(kept.after)).expect("it continues"), records);
    if let Some(earlier) = kept.after.checked_sub(1) {
        assert!(matches!(found(&target, after(earlier)), Err(Error::Missing { .. })));
    }
    let sealed: Vec<_> = segments(&target).expect("a log").iter().map(|s| s.sealed).collect();
    assert!(sealed.iter().rev().enumerate().all(|(after, &sealed)| sealed == (after == 0)));
    let later = kept.last_lsn.max(kept.after) + 1;
    assert!(matches!(found(&target, after(later)), Err(Error::Behind { .. })));

    let (wal, _) = Wal::open(target.clone(), ReplayFrom::Oldest, |_| ControlFlow::Continue(()))
        .expect("opens for writing");
    let next = wal.commit(0, &["next"]).expect("commit").start().get();
    assert_eq!(next, report.next_lsn);
    for run in &report.runs {
        assert!(next > run.last_lsn);
    }
    drop(wal);
    assert_eq!(
        found(&target, ReplayFrom::Oldest).expect("the log continues").len(),
        records.len() + 1
    );
    (report, records)
}

/// A log of four segments: three lives that were killed, with three records each that a note has
/// proved durable, and one that ended in order, with one.
fn log() -> (SimDisk, Found) {
    let disk = SimDisk::new(7);
    for life in 0..4_u64 {
        let wal = open(&disk);
        for number in 0..if life < 3 { 3 } else { 1 } {
            wal.commit(life * 10 + number, &[format!("{life}.{number}")]).expect("commit");
        }
        wal.note().expect("note");
        if life == 3 {
            wal.close().expect("close");
        }
    }
    let disk = disk.kill();
    let records = found(&disk, ReplayFrom::Beginning).expect("a whole log");
    assert_eq!(records.len(), 10);
    (disk, records)
}

fn change(disk: &SimDisk, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = disk.read_file(name).expect("the file");
    change(&mut bytes);
    disk.write_file(name, &bytes);
}

fn flip(disk: &SimDisk, name: &str, at: usize) {
    change(disk, name, |bytes| bytes[at] ^= 1);
}

/// The offset of the `number`-th frame of a segment of [`log`], from 0.
fn frame(number: usize) -> usize {
    FIRST_FRAME + number * FRAME_BYTES
}

/// The report on a log that was damaged by `damage`.
#[track_caller]
fn report(
    damage: impl FnOnce(&SimDisk),
    runs: &[RangeInclusive<u64>],
    missing: &[RangeInclusive<u64>],
    reasons: &[Reason],
) -> Salvage {
    let (disk, records) = log();
    damage(&disk);
    let (report, kept) = salvaged(&disk, ReplayFrom::Oldest);
    let ranges: Vec<_> = report.runs.iter().map(|run| run.first_lsn..=run.last_lsn).collect();
    assert_eq!(ranges, runs, "{report:?}");
    assert_eq!(report.missing, missing, "{report:?}");
    let why: Vec<_> = report.skipped.iter().map(|skipped| skipped.damage.reason).collect();
    assert_eq!(why, reasons, "{report:?}");
    let first = |lsn| runs.first().is_some_and(|run| run.contains(&lsn));
    let wanted: Found = records.into_iter().filter(|record| first(record.0)).collect();
    assert!(kept == wanted, "the first run, and nothing else");
    assert_eq!(report.is_whole(), runs == [1..=10] && missing.is_empty());
    let target = disk.subdir("new").expect("a directory");
    let first = segments(&target).expect("a log").remove(0);
    assert!(first.number > 4 && first.incarnation > 4, "a number of the old log is used again");
    report
}

const END: u64 = u64::MAX;

#[test]
fn a_whole_log_is_salvaged_record_for_record() {
    let report = report(|_| (), &[1..=10], &[], &[]);
    assert_eq!(report.next_lsn, 11);
}

#[test]
fn the_manifest_is_missing_or_damaged() {
    let reasons = [Reason::ManifestDamaged];
    // Without a manifest it is unknown whether newer segments existed.
    report(|disk| disk.remove_file("MANIFEST"), &[1..=10], &[11..=END], &reasons);
    let both = |disk: &SimDisk| {
        flip(disk, "MANIFEST", 20);
        flip(disk, "MANIFEST", 92 + 20);
    };
    let report = report(both, &[1..=10], &[11..=END], &reasons);
    // No segment can have given out more LSNs than that.
    assert_eq!(report.next_lsn, 11 + (64 << 20) / 4);
}

#[test]
fn lsns_that_one_salvage_left_out_stay_unused_in_the_next() {
    let (disk, _) = log();
    disk.remove_file("MANIFEST");
    let target = disk.subdir("new").expect("a directory");
    let first = salvage(&disk, Some(&target), ReplayFrom::Oldest).expect("salvages");
    let second = salvage(&target, None, ReplayFrom::Oldest).expect("a dry run");
    assert!(second.is_whole(), "{second:?}");
    assert_eq!(second.next_lsn, first.next_lsn);
}

#[test]
fn a_segment_is_missing() {
    let gone = |number: u64| move |disk: &SimDisk| disk.remove_file(&segment(number));
    let reasons = [Reason::SegmentMissing];
    // Earlier records may have been dropped or lost; a state needs them either way.
    let first = report(gone(1), &[4..=10], &[1..=3], &reasons);
    assert_eq!(first.kept.expect("a run").after, 3);
    report(gone(2), &[1..=3, 7..=10], &[4..=6], &reasons);
    report(gone(4), &[1..=9], &[10..=END], &reasons);
}

#[test]
fn a_segment_header_is_damaged() {
    let reasons = [Reason::SegmentHeaderDamaged];
    // The frames can be checked unless salt, number or store are damaged.
    for number in 1..=4 {
        report(|disk| flip(disk, &segment(number), 300), &[1..=10], &[], &reasons);
    }
    for at in [20, 33, 90] {
        let lost = |number: u64| move |disk: &SimDisk| flip(disk, &segment(number), at);
        report(lost(2), &[1..=3, 7..=10], &[4..=6], &reasons);
        let report = report(lost(4), &[1..=9], &[10..=END], &reasons);
        assert_eq!(report.skipped[0].bytes, 1 << 20);
    }
}

#[test]
fn a_segment_is_in_the_place_of_another() {
    let over = |disk: &SimDisk| {
        disk.write_file(&segment(2), &disk.read_file(&segment(1)).expect("a segment"));
    };
    report(over, &[1..=3, 7..=10], &[4..=6], &[Reason::SegmentMissing]);
    // An older copy counts for less than the file with the right name.
    let older = |disk: &SimDisk| {
        over(disk);
        change(disk, &segment(2), |bytes| bytes[frame(1)..].fill(0));
    };
    report(older, &[1..=3, 7..=10], &[4..=6], &[Reason::SegmentMissing]);
    let swap = |disk: &SimDisk| {
        let one = disk.read_file(&segment(1));
        let two = disk.read_file(&segment(2));
        disk.write_file(&segment(2), &one.expect("a segment"));
        disk.write_file(&segment(1), &two.expect("a segment"));
    };
    report(swap, &[1..=10], &[], &[]);
}

#[test]
fn a_segment_is_longer_or_shorter_than_it_was_made() {
    let reasons = [Reason::SegmentResized];
    for number in [1, 4] {
        let longer = |disk: &SimDisk| {
            change(disk, &segment(number), |bytes| bytes.resize((1 << 20) + 1, 0));
        };
        report(longer, &[1..=10], &[], &reasons);
    }
    let cut = |number: u64, length: usize| {
        move |disk: &SimDisk| change(disk, &segment(number), |bytes| bytes.truncate(length))
    };
    // Bytes after the end that a successor states may be cut off.
    report(cut(1, frame(4)), &[1..=10], &[], &[]);
    let both = [Reason::SegmentResized, Reason::DamagedBeforeSuccessor];
    report(cut(2, frame(1)), &[1..=4, 7..=10], &[5..=6], &both);
    // The clean stop proves what precedes it; later records are unknown.
    let both = [Reason::SegmentResized, Reason::DamagedBeforeCleanStop];
    report(cut(4, frame(0)), &[1..=9], &[10..=END], &both);
    report(cut(4, 0), &[1..=9], &[10..=END], &[Reason::SegmentHeaderDamaged]);
}

#[test]
fn a_segment_is_of_another_store() {
    let foreign = |number: u64| {
        move |disk: &SimDisk| {
            let other = SimDisk::new(8);
            open(&other).commit(0, &["foreign"]).expect("commit");
            disk.write_file(&segment(number), &other.read_file(&segment(1)).expect("a segment"));
        }
    };
    report(foreign(2), &[1..=3, 7..=10], &[4..=6], &[Reason::SegmentForeign]);
    // A manifest that knows none of the segments is itself foreign.
    let manifest = |disk: &SimDisk| {
        let other = SimDisk::new(8);
        drop(open(&other));
        disk.write_file("MANIFEST", &other.read_file("MANIFEST").expect("a manifest"));
    };
    report(manifest, &[1..=10], &[11..=END], &[Reason::ManifestDamaged]);
    // Without a manifest the store is that of most segments.
    let alone = |number: u64| {
        move |disk: &SimDisk| {
            foreign(number)(disk);
            disk.remove_file("MANIFEST");
        }
    };
    let reasons = [Reason::ManifestDamaged, Reason::SegmentForeign];
    report(alone(1), &[4..=10], &[1..=3, 11..=END], &reasons);
    report(alone(2), &[1..=3, 7..=10], &[4..=6, 11..=END], &reasons);
}

#[test]
fn a_segment_is_newer_than_the_manifest() {
    // An old manifest was restored: the segment continues what it knows.
    let (disk, _) = log();
    let manifest = disk.read_file("MANIFEST").expect("a manifest");
    let wal = open(&disk);
    wal.commit(50, &["newer"]).expect("commit");
    drop(wal);
    let disk = disk.kill();
    disk.write_file("MANIFEST", &manifest);
    let (report, records) = salvaged(&disk, ReplayFrom::Oldest);
    assert_eq!(records.last().expect("a record").2, b"newer");
    assert!(report.is_whole() && records.len() == 11, "{report:?}");

    // A segment of a copy that diverged: records exist after the end that it states.
    let (disk, records) = log();
    let mut alien = disk.read_file(&segment(4)).expect("a segment");
    alien[32..40].copy_from_slice(&5_u64.to_le_bytes());
    alien[64..72].copy_from_slice(&3_u64.to_le_bytes());
    alien[72..80].copy_from_slice(&(frame(1) as u64).to_le_bytes());
    alien[80..88].copy_from_slice(&7_u64.to_le_bytes());
    let crc = crc32fast::hash(&alien[..508]);
    alien[508..512].copy_from_slice(&crc.to_le_bytes());
    disk.write_file(&segment(5), &alien);
    let (report, kept) = salvaged(&disk, ReplayFrom::Oldest);
    assert!(kept == records, "{report:?}");
    assert_eq!(report.skipped[0].damage.reason, Reason::SegmentNewerThanManifest);
}

#[test]
fn a_segment_no_other_leads_to() {
    let disk = SimDisk::new(7);
    open(&disk).commit(0, &["one"]).expect("commit");
    let used = disk.kill();
    open(&used).commit(0, &["another two"]).expect("commit");
    let used = used.read_file(&segment(2)).expect("a segment");
    let disk = begun(&disk);
    let unused = disk.read_file(&segment(2)).expect("a segment");
    open(&disk).commit(0, &["two"]).expect("commit");
    let disk = disk.kill();
    // A prepared segment that was never used does not count.
    disk.write_file(&segment(2), &unused);
    let (report, _) = salvaged(&disk.fork(), ReplayFrom::Oldest);
    assert!(report.is_whole() && report.skipped.is_empty(), "{report:?}");
    disk.write_file(&segment(2), &used);
    let (report, kept) = salvaged(&disk, ReplayFrom::Oldest);
    let kept: Vec<_> = kept.iter().map(|(_, _, bytes)| bytes.as_slice()).collect();
    assert_eq!(kept, [b"one", b"two"], "{report:?}");
    assert_eq!(report.skipped[0].damage.reason, Reason::SegmentUnlinked);
    assert!(report.is_whole());
}

#[test]
fn a_frame_is_damaged() {
    let at = |number: u64, place: usize| move |disk: &SimDisk| flip(disk, &segment(number), place);
    // In its body or in its header.
    for inside in [0, 66] {
        let reasons = [Reason::DamagedBeforeSuccessor];
        report(at(1, frame(0) + inside), &[2..=10], &[1..=1], &reasons);
        report(at(2, frame(1) + inside), &[1..=4, 6..=10], &[5..=5], &reasons);
        report(at(2, frame(2) + inside), &[1..=5, 7..=10], &[6..=6], &reasons);
        report(at(4, frame(0) + inside), &[1..=9], &[10..=10], &[Reason::DamagedBeforeCleanStop]);
    }
    // Frames without records: the note, and the seal.
    let note = frame(3);
    report(at(2, note), &[1..=10], &[], &[Reason::DamagedBeforeSuccessor]);
    report(at(4, frame(1) + 64), &[1..=10], &[], &[Reason::DamagedBeforeCleanStop]);
}

#[test]
fn a_frame_proven_only_by_a_later_one_leaves_a_hole() {
    let killed = |damage: &dyn Fn(&SimDisk)| {
        let (disk, _) = log();
        let wal = open(&disk);
        for number in 1..=3 {
            wal.commit(50, &[record(number)]).expect("commit");
        }
        wal.note().expect("note");
        drop(wal);
        let disk = disk.kill();
        damage(&disk);
        salvaged(&disk, ReplayFrom::Oldest)
    };
    let (whole, records) = killed(&|_| ());
    assert!(whole.is_whole() && records.len() == 13);
    let (report, kept) = killed(&|disk| flip(disk, &segment(5), frame(1) + 70));
    assert!(kept == records[..11], "{report:?}");
    assert_eq!(report.missing, [12..=12]);
    assert_eq!(report.skipped[0].damage.reason, Reason::DamagedBeforeDurableMark);
    assert_eq!(report.skipped[0].damage.offset, frame(1) as u64);
    assert_eq!(report.skipped[0].bytes, FRAME_BYTES as u64);
    assert_eq!(report.runs.len(), 2);
    // All three are gone, and the note states how many there were.
    let (report, kept) = killed(&|disk| {
        change(disk, &segment(5), |bytes| bytes[frame(0)..frame(3)].fill(0));
    });
    assert!(kept == records[..10], "{report:?}");
    assert_eq!(report.missing, [11..=13]);
    // A note does not prove itself.
    let (report, kept) = killed(&|disk| flip(disk, &segment(5), frame(3) + 8));
    assert!(kept == records && report.is_whole() && report.torn_bytes > 0, "{report:?}");
}

#[test]
fn frames_are_out_of_sequence_or_malformed() {
    let recompute_checksums = |disk: &SimDisk, number: u64, at: usize, field: usize| {
        change(disk, &segment(number), |bytes| {
            bytes[at + field] ^= 1;
            crate::recovery_table::recompute_checksums(bytes, at);
        });
    };
    // The frame of LSN 5 states LSN 4.
    let reasons = [Reason::OutOfSequence];
    report(|disk| recompute_checksums(disk, 2, frame(1), 16), &[1..=4, 6..=10], &[5..=5], &reasons);
    let reasons = [Reason::RecordsMalformed];
    report(|disk| recompute_checksums(disk, 2, frame(1), 64), &[1..=4, 6..=10], &[5..=5], &reasons);
}

#[test]
fn a_segment_that_continues_other_records_begins_another_run() {
    let other = |disk: &SimDisk| {
        change(disk, &segment(3), |bytes| {
            // It states that LSN 5 was the last before it.
            bytes[80..88].copy_from_slice(&5_u64.to_le_bytes());
            let crc = crc32fast::hash(&bytes[..508]);
            bytes[508..512].copy_from_slice(&crc.to_le_bytes());
        });
    };
    let report = report(other, &[1..=6, 7..=10], &[], &[]);
    assert_eq!(report.runs[1].after, 6);
}

#[test]
fn nothing_can_be_read() {
    let (disk, _) = log();
    for number in 1..=4 {
        disk.write_file(&segment(number), &vec![0xA5; 1 << 20]);
    }
    let (report, _) = salvaged(&disk, ReplayFrom::Oldest);
    assert!(report.kept.is_none() && report.runs.is_empty() && !report.is_whole(), "{report:?}");
    assert_eq!(report.skipped.len(), 4);
    // The manifest still knows the store: a snapshot can be continued.
    let (report, _) = salvaged(&disk, after(10));
    assert!(!report.is_whole() && report.missing == [1..=END], "{report:?}");
    assert_eq!(report.kept.expect("an empty log").after, 10);
    let (report, _) = salvaged(&SimDisk::new(1), ReplayFrom::Oldest);
    assert!(report.kept.is_none() && report.skipped.is_empty());
}

#[test]
fn a_newer_format_is_told() {
    let (disk, _) = log();
    change(&disk, &segment(2), |bytes| {
        bytes[8] = 9;
        let crc = crc32fast::hash(&bytes[..508]);
        bytes[508..512].copy_from_slice(&crc.to_le_bytes());
    });
    assert!(matches!(
        salvage(&disk, None, ReplayFrom::Oldest),
        Err(Error::Format { format: 9, .. })
    ));
}

#[test]
fn a_later_run_is_salvaged_for_a_state_that_it_continues() {
    let (disk, records) = log();
    disk.remove_file(&segment(2));
    for lsn in 6..=10 {
        let probe = disk.fork();
        let (report, kept) = salvaged(&probe, after(lsn));
        assert_eq!(report.kept.expect("a run").after, 6);
        assert!(kept == records[6..], "after {lsn}");
    }
    for lsn in 1..=3 {
        let (_, kept) = salvaged(&disk.fork(), after(lsn));
        assert!(kept == records[..3], "after {lsn}");
    }
    // No run continues these; a snapshot of exactly that LSN can be continued by an empty log.
    for lsn in [4, 5, 11, 500] {
        let (report, kept) = salvaged(&disk.fork(), after(lsn));
        assert_eq!(report.kept.as_ref().expect("an empty log").after, lsn);
        assert!(kept.is_empty() && !report.is_whole() && report.next_lsn > lsn);
    }
    let (_, kept) = salvaged(&disk.fork(), ReplayFrom::Beginning);
    assert!(kept == records[..3]);
    disk.remove_file(&segment(1));
    let refused = salvage(&disk, None, ReplayFrom::Beginning);
    assert!(matches!(refused, Err(Error::Missing { wanted: 1, first: 7 })), "{refused:?}");
}

#[test]
fn a_log_whose_records_were_all_dropped_is_whole() {
    let (disk, _) = log();
    open(&disk).commit(1, &["eleven"]).expect("commit");
    let wal = open(&disk);
    wal.prepare().expect("room");
    // Begins a segment, because no frame proves the last record.
    wal.note().expect("note");
    wal.drop_through(Lsn::new(11).expect("an LSN")).expect("drop");
    drop(wal);
    let disk = disk.kill();
    let (report, kept) = salvaged(&disk.fork(), ReplayFrom::Oldest);
    assert!(kept.is_empty() && report.is_whole(), "{report:?}");
    assert_eq!(report.kept.expect("a log").after, 11);
    // It does not continue an empty state, but one after its end.
    let refused = salvage(&disk, None, ReplayFrom::Beginning);
    assert!(matches!(refused, Err(Error::Missing { wanted: 1, first: 12 })), "{refused:?}");
    assert_eq!(salvaged(&disk, after(13)).0.kept.expect("a log").after, 13);

    let (disk, records) = log();
    open(&disk).drop_through(Lsn::new(6).expect("an LSN")).expect("drop");
    let (report, kept) = salvaged(&disk.kill(), ReplayFrom::Oldest);
    assert!(kept == records[6..] && report.is_whole(), "{report:?}");
}

#[test]
fn an_empty_log_is_salvaged_for_an_empty_state() {
    for from in [ReplayFrom::Oldest, ReplayFrom::Beginning] {
        let disk = SimDisk::new(7);
        drop(open(&disk));
        let (report, _) = salvaged(&disk.kill(), from);
        assert_eq!(report.kept.as_ref().expect("an empty log").after, 0, "{report:?}");
    }
}

/// Two records, and a third that was torn.
fn log_with_a_torn_tail() -> SimDisk {
    let disk = SimDisk::new(7);
    let wal = open(&disk);
    for text in ["one", "two", "three"] {
        wal.commit(0, &[text]).expect("commit");
    }
    drop(wal);
    let disk = disk.kill();
    flip(&disk, &segment(1), frame(2) + 66);
    disk
}

#[test]
fn lsns_of_torn_records_stay_unused() {
    let disk = log_with_a_torn_tail();
    open(&disk).commit(1, &["four"]).expect("commit");
    let disk = disk.kill();
    let (report, kept) = salvaged(&disk, ReplayFrom::Oldest);
    let lsns: Vec<_> = kept.iter().map(|(lsn, ..)| *lsn).collect();
    assert_eq!(lsns, [1, 2, 4], "{report:?}");
    assert!(
        report.is_whole() && report.runs.len() == 1,
        "an LSN that was never acknowledged is no hole"
    );

    // Also after a life without a record in between.
    let disk = log_with_a_torn_tail();
    open(&disk).close().expect("close");
    open(&disk).commit(1, &["four"]).expect("commit");
    let (report, kept) = salvaged(&disk.kill(), ReplayFrom::Oldest);
    assert_eq!(kept.len(), 3);
    assert!(report.is_whole() && report.runs.len() == 1, "{report:?}");
}

#[test]
fn a_target_that_is_not_empty_is_refused_untouched() {
    let (disk, _) = log();
    for name in ["notes.txt", "MANIFEST", &segment(1), "notes.tmp"] {
        let probe = disk.fork();
        probe.write_file(&format!("new/{name}"), b"mine");
        let target = probe.subdir("new").expect("a directory");
        let before = probe.image_hash();
        match salvage(&probe, Some(&target), ReplayFrom::Oldest) {
            Err(Error::Io { source, .. }) => {
                assert_eq!(source.kind(), std::io::ErrorKind::AlreadyExists);
            }
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(probe.image_hash(), before);
        assert!(probe.read_file("new/LOCK").is_none());
    }
    // A log, whole or salvaged, is refused as a target.
    let probe = disk.fork();
    assert!(salvage(&probe, Some(&probe), ReplayFrom::Oldest).is_err());
    let target = probe.subdir("new").expect("a directory");
    salvage(&probe, Some(&target), ReplayFrom::Oldest).expect("salvages");
    assert!(salvage(&probe, Some(&target), ReplayFrom::Oldest).is_err());
}

#[test]
fn a_target_owned_by_another_process_is_locked() {
    let (disk, _) = log();
    let target = disk.subdir("new").expect("a directory");
    let _lock = target.lock().expect("a lock");
    let refused = salvage(&disk, Some(&target), ReplayFrom::Oldest);
    assert!(matches!(refused, Err(Error::Locked { .. })), "{refused:?}");
}

#[test]
fn every_crash_image_is_salvaged_as_recovery_reads_it() {
    let mut whole = 0;
    let disk = SimDisk::new(1);
    live(&disk, &mut Life::default()).expect("a life");
    for at in 1..=disk.operations() {
        let disk = SimDisk::new(1);
        disk.set_faults(Faults { power_loss_at: Some(at), ..Faults::default() });
        assert!(live(&disk, &mut Life::default()).is_err());
        for seed in 0..4 {
            let image = disk.power_loss(seed);
            let wanted = found(&image, ReplayFrom::Beginning).expect("recovers");
            let (report, kept) = salvaged(&image, ReplayFrom::Oldest);
            assert!(kept == wanted, "operation {at}, seed {seed}: {report:?}");
            assert_eq!(report.torn_bytes, torn_bytes(&image), "operation {at}, seed {seed}");
            assert!(report.is_whole() || report.kept.is_none() && wanted.is_empty(), "{report:?}");
            whole += usize::from(report.is_whole());
        }
    }
    assert!(whole > 200, "{whole}");
}

#[test]
fn a_log_in_reused_segments_is_salvaged_as_recovery_reads_it() {
    let disk = SimDisk::new(3).with_segment_bytes_max(1 << 20);
    let wal = open(&disk);
    for number in 0..40_u8 {
        let last = *wal.commit(0, &[vec![number; 100_000]]).expect("commit").end();
        if number < 35 {
            wal.drop_through(last).expect("drop");
        }
    }
    // Written and not synced: the torn frames lie among old ones.
    wal.append(0, &[vec![1; 100_000]]).expect("append");
    wal.append(0, &[vec![2; 1_000_000]]).expect("append");
    drop(wal);
    let newest = disk.files().into_iter().rfind(|name| name.ends_with(".wal")).expect("a segment");
    assert_eq!(disk.read_file(&newest).expect("bytes")[120], 1, "it was not used before");
    let mut torn = 0;
    for seed in 0..32 {
        let image = disk.power_loss(seed);
        let wanted = found(&image, ReplayFrom::Oldest).expect("recovers");
        let (report, kept) = salvaged(&image, ReplayFrom::Oldest);
        assert!(kept == wanted && report.is_whole(), "seed {seed}: {report:?}");
        assert_eq!(report.torn_bytes, torn_bytes(&image), "seed {seed}");
        torn += usize::from(report.torn_bytes > 0);
    }
    assert!(torn > 0);
}

/// Damages a log by seed: bits, sectors, lengths, files.
fn damage(disk: &SimDisk, seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % limit as u64).expect("small")
    };
    let mut report = String::new();
    for _ in 0..=below(3) {
        let mut files: Vec<_> = log_files(disk);
        files.retain(|(_, bytes)| !bytes.is_empty());
        if files.is_empty() {
            break;
        }
        let (name, mut bytes) = files[below(files.len())].clone();
        let used = bytes.iter().rposition(|&byte| byte != 0).map_or(1, |last| last + 1);
        let at = below(used);
        let kind = below(6);
        match kind {
            0 => disk.remove_file(&name),
            1 => bytes.truncate(at),
            2 => bytes[at / 512 * 512..].iter_mut().take(512).for_each(|byte| *byte = 0),
            3 => bytes[at..].iter_mut().take(100).for_each(|byte| *byte ^= 0x5A),
            4 => bytes = files[below(files.len())].1.clone(),
            _ => bytes[at] ^= 1 << below(8),
        }
        if kind > 0 {
            disk.write_file(&name, &bytes);
        }
        report.push_str(&format!("{name} {at} {kind}; "));
    }
    report
}

#[test]
fn no_damage_makes_a_salvage_invent_records_or_bridge_a_hole() {
    let mut lossy = 0;
    let mut later = 0;
    for seed in 0..400 {
        let (disk, records) = log();
        let what = damage(&disk, seed);
        let what = format!("seed {seed}: {what}");
        let dry = salvage(&disk, None, ReplayFrom::Oldest).expect("a dry run");
        for (index, run) in dry.runs.iter().enumerate() {
            let probe = disk.fork();
            let from = if index == 0 { ReplayFrom::Oldest } else { after(run.last_lsn) };
            let (report, kept) = salvaged(&probe, from);
            let start = records.iter().position(|record| record.0 == run.first_lsn);
            let start = start.unwrap_or_else(|| panic!("{what}: an invented record: {report:?}"));
            let original = records.get(start..start + kept.len());
            assert!(
                original == Some(&kept[..]),
                "{what}: not as it was, or over a hole: {report:?}"
            );
            later += usize::from(index > 0);
        }
        // A record that is in no run is reported as missing.
        for (lsn, ..) in &records {
            let there = dry.runs.iter().any(|run| (run.first_lsn..=run.last_lsn).contains(lsn));
            let report = dry.missing.iter().any(|missing| missing.contains(lsn));
            assert!(there != report || dry.kept.is_none(), "{what}: #{lsn} in {dry:?}");
        }
        assert!(dry.next_lsn > 10 || dry.kept.is_none(), "{what}: {dry:?}");
        lossy += usize::from(!dry.is_whole());
    }
    assert!(lossy > 200 && later > 60, "{lossy} with losses, {later} later runs");
}

#[test]
fn a_salvage_cut_short_by_power_loss_leaves_no_log_and_can_start_over() {
    let (disk, records) = log();
    flip(&disk, &segment(2), frame(1) + 66);
    let mut refused = 0;
    let mut empty = 0;
    let mut done = 0;
    for at in 1.. {
        let probe = disk.fork();
        let target = probe.subdir("new").expect("a directory");
        let power_loss_at = Some(probe.operations() + at);
        probe.set_faults(Faults { power_loss_at, ..Faults::default() });
        if salvage(&probe, Some(&target), ReplayFrom::Oldest).is_ok() {
            break;
        }
        for seed in 0..8 {
            let image = probe.power_loss(seed);
            let target = image.subdir("new").expect("a directory");
            let names = target.list().expect("list");
            if names.iter().all(|DirEntry { name, .. }| name == "LOCK" || name.ends_with(".tmp")) {
                empty += 1;
            } else {
                match found(&target, ReplayFrom::Oldest) {
                    Err(Error::Corrupt(damage)) => {
                        assert_eq!(damage.reason, Reason::ManifestDamaged);
                        let opened = Wal::open(target.clone(), ReplayFrom::Oldest, |_| {
                            ControlFlow::Continue(())
                        });
                        assert!(opened.is_err());
                        refused += 1;
                    }
                    Ok(found) => {
                        assert!(found == records[..4], "operation {at}, seed {seed}");
                        done += 1;
                        continue;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            salvage(&image, Some(&target), ReplayFrom::Oldest).expect("starts over");
            assert!(found(&target, ReplayFrom::Oldest).expect("a log") == records[..4]);
        }
    }
    assert!(refused > 50 && empty > 10 && done > 0, "{refused} {empty} {done}");
}

#[test]
fn a_read_that_fails_once_costs_nothing() {
    let (disk, records) = log();
    let reads = {
        let probe = disk.fork();
        let before = probe.traffic()[1];
        salvage(&probe, None, ReplayFrom::Oldest).expect("a dry run");
        probe.traffic()[1] - before
    };
    assert!(reads > 10);
    for at in 1..=reads {
        let probe = disk.fork();
        let read_error_at = Some(probe.traffic()[1] + at);
        probe.set_faults(Faults { read_error_at, ..Faults::default() });
        let target = probe.subdir("new").expect("a directory");
        let report = salvage(&probe, Some(&target), ReplayFrom::Oldest).expect("salvages");
        assert_eq!(report.runs.len(), 1, "read {at}");
        assert!(found(&target, ReplayFrom::Oldest).expect("a log") == records, "read {at}");
    }
}
