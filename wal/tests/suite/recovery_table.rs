//! The recovery table of `docs/FORMAT.md`, row by row.

use std::ops::ControlFlow;

use crate::common::{begun, open, records};
use crc32fast::Hasher;
use icn_wal::damage::{Damage, Reason};
use icn_wal::disk::SimDisk;
use icn_wal::{Error, Lsn, ReplayFrom, TwinFile, read};

const FIRST_FRAME: usize = 4096;
const FRAME_BYTES: usize = 4096;

fn segment(number: u64) -> String {
    format!("{number:020}.wal")
}

/// A log whose first segment holds `one`, and whose second, of a life that was killed, holds these
/// records, a commit each.
fn log(second: &[&str]) -> SimDisk {
    let disk = SimDisk::new(7);
    open(&disk).commit(0, &["one"]).expect("commit");
    if second.is_empty() {
        return begun(&disk);
    }
    let wal = open(&disk);
    for record in second {
        wal.commit(0, &[record]).expect("commit");
    }
    drop(wal);
    disk.kill()
}

fn change(disk: &SimDisk, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = disk.read_file(name).expect("the file");
    change(&mut bytes);
    disk.write_file(name, &bytes);
}

fn flip(disk: &SimDisk, name: &str, at: usize) {
    change(disk, name, |bytes| bytes[at] ^= 1);
}

/// The log is refused for this reason, and nothing on the disk has changed.
#[track_caller]
fn refused(disk: &SimDisk, wanted: Reason) {
    let before = disk.image_hash();
    match records(disk) {
        Err(Error::Corrupt(damage)) => assert_eq!(damage.reason, wanted, "{damage}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(disk.image_hash(), before, "recovery has changed what it refused");
    match read(disk, ReplayFrom::Beginning, |_| ControlFlow::Continue(())) {
        Err(Error::Corrupt(damage)) => assert_eq!(damage.reason, wanted, "without the lock"),
        other => panic!("without the lock: {other:?}"),
    }
}

/// Fields of a segment's header, by offset.
fn numbers(disk: &SimDisk, name: &str, fields: &[usize]) -> Vec<u64> {
    let bytes = disk.read_file(name).expect("a segment");
    fields.iter().map(|&at| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).collect()
}

#[track_caller]
fn holds(disk: &SimDisk, wanted: &[&str]) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut without_lock = Vec::new();
    let visit = |record: icn_wal::Record<'_>| {
        without_lock.push(text(record.bytes));
        ControlFlow::Continue(())
    };
    read(disk, ReplayFrom::Beginning, visit).expect("readable without the lock");
    assert_eq!(without_lock, wanted);
    let found = records(disk).expect("recovers");
    assert_eq!(found.iter().map(|(_, bytes)| text(bytes)).collect::<Vec<_>>(), wanted);
}

/// Recomputes the checksums of the frame at `at`, as `docs/FORMAT.md` describes them.
pub(crate) fn recompute_checksums(segment: &mut [u8], at: usize) {
    let salt = segment[88..104].to_vec();
    let length = u32::from_le_bytes(segment[at + 8..at + 12].try_into().unwrap());
    let alignment = if segment[at + 52] == 1 { 4096 } else { 8 };
    let end = (at + 64 + length as usize).next_multiple_of(alignment);
    let crc = |bytes: &[u8]| {
        let mut hasher = Hasher::new();
        hasher.update(&salt);
        hasher.update(&(at as u64).to_le_bytes());
        hasher.update(bytes);
        hasher.finalize().to_le_bytes()
    };
    let body = crc(&segment[at + 64..end]);
    segment[at + 48..at + 52].copy_from_slice(&body);
    let header = crc(&segment[at + 8..at + 64]);
    segment[at + 4..at + 8].copy_from_slice(&header);
}

#[test]
fn no_manifest_and_no_segment_with_frames_is_a_new_log() {
    let disk = begun(&SimDisk::new(1));
    disk.remove_file("MANIFEST");
    let unused = disk.read_file(&segment(1)).expect("a segment");
    disk.write_file(&segment(5), &unused);
    holds(&disk, &[]);
    assert_eq!(disk.files(), ["MANIFEST"], "files without records are removed");
    holds(&disk, &[]);
    open(&disk).commit(0, &["one"]).expect("commit");
    // First segment, first LSN and first frame: numbers start at 1.
    assert_eq!(numbers(&disk, &segment(1), &[32, 48, 56]), [1, 1, 1]);
}

#[test]
fn no_manifest_but_frames_is_manifest_damaged() {
    let disk = log(&[]);
    disk.remove_file("MANIFEST");
    refused(&disk, Reason::ManifestDamaged);
    // The frames count even if the header states a later first frame number.
    let disk = log(&[]);
    disk.remove_file("MANIFEST");
    disk.remove_file(&segment(2));
    change(&disk, &segment(1), |bytes| {
        bytes[56] = 7;
        let crc = crc32fast::hash(&bytes[..508]);
        bytes[508..512].copy_from_slice(&crc.to_le_bytes());
    });
    refused(&disk, Reason::ManifestDamaged);
    // They count even if the first frame or the header is damaged too.
    for at in [130, FIRST_FRAME + 20] {
        let disk = log(&["two", "three"]);
        disk.remove_file("MANIFEST");
        disk.remove_file(&segment(1));
        flip(&disk, &segment(2), at);
        refused(&disk, Reason::ManifestDamaged);
    }
}

#[test]
fn no_manifest_but_a_segment_with_a_predecessor_is_manifest_damaged() {
    let disk = log(&[]);
    disk.remove_file("MANIFEST");
    disk.remove_file(&segment(1));
    // The segment left has no frame, but its first LSN is above 1.
    refused(&disk, Reason::ManifestDamaged);
}

#[test]
fn no_valid_copy_of_the_manifest_is_manifest_damaged() {
    let disk = log(&[]);
    flip(&disk, "MANIFEST", 20);
    holds(&disk.fork(), &["one"]);
    flip(&disk, "MANIFEST", 92 + 20);
    refused(&disk, Reason::ManifestDamaged);
}

#[test]
fn a_manifest_that_names_no_segment_is_a_log_without_records() {
    const MANIFEST: TwinFile = TwinFile { name: "MANIFEST", magic: *b"ICNWALM\0" };
    let disk = SimDisk::new(7);
    drop(open(&disk));
    assert_eq!(disk.files(), ["MANIFEST"]);
    let content = disk.read_file("MANIFEST").expect("a manifest")[16..88].to_vec();
    holds(&disk, &[]);
    assert_eq!(disk.read_file("MANIFEST").expect("a manifest")[16..88], content, "another store");
    // It is refused where segments hold records.
    let disk = log(&["two"]);
    MANIFEST.replace(&disk, &content).expect("replace");
    refused(&disk, Reason::SegmentNewerThanManifest);
    let oldest = [&content[..24], &3_u64.to_le_bytes(), &content[32..]].concat();
    MANIFEST.replace(&disk, &oldest).expect("replace");
    refused(&disk, Reason::SegmentMissing);
}

#[test]
fn a_manifest_of_another_length_is_manifest_damaged() {
    const MANIFEST: TwinFile = TwinFile { name: "MANIFEST", magic: *b"ICNWALM\0" };
    for length in [0, 71, 73] {
        let disk = log(&[]);
        MANIFEST.replace(&disk, &vec![1; length]).expect("replace");
        refused(&disk, Reason::ManifestDamaged);
    }
}

#[test]
fn a_named_segment_that_does_not_exist_is_segment_missing() {
    for number in 1..=2 {
        let disk = log(&["two"]);
        disk.remove_file(&segment(number));
        refused(&disk, Reason::SegmentMissing);
    }
}

#[test]
fn a_damaged_segment_header_is_segment_header_damaged() {
    let disk = log(&["two"]);
    flip(&disk, &segment(1), 130);
    refused(&disk, Reason::SegmentHeaderDamaged);
}

#[test]
fn the_header_of_another_segment_is_segment_header_damaged() {
    let disk = log(&["two"]);
    disk.write_file(&segment(2), &disk.read_file(&segment(1)).expect("a segment"));
    refused(&disk, Reason::SegmentHeaderDamaged);
}

#[test]
fn a_segment_of_another_size_is_segment_resized() {
    for number in 1..=2 {
        for longer in [false, true] {
            let disk = log(&["two"]);
            change(&disk, &segment(number), |bytes| {
                bytes.resize(if longer { (1 << 20) + 1 } else { FIRST_FRAME + FRAME_BYTES - 1 }, 0);
            });
            refused(&disk, Reason::SegmentResized);
        }
    }
}

#[test]
fn a_segment_with_a_successor_may_end_anywhere_after_its_frames() {
    for length in [FIRST_FRAME + FRAME_BYTES, 1 << 19, 1 << 20] {
        let disk = log(&["two"]);
        change(&disk, &segment(1), |bytes| bytes.resize(length, 0));
        holds(&disk, &["one", "two"]);
    }
}

#[test]
fn a_segment_of_another_store_is_segment_foreign() {
    let disk = log(&["two"]);
    let other = SimDisk::new(8);
    open(&other).commit(0, &["one"]).expect("commit");
    disk.write_file(&segment(1), &other.read_file(&segment(1)).expect("a segment"));
    refused(&disk, Reason::SegmentForeign);
}

#[test]
fn a_segment_newer_than_the_manifest_without_a_frame_is_removed() {
    let disk = SimDisk::new(7);
    open(&disk).commit(0, &["one"]).expect("commit");
    let manifest = disk.read_file("MANIFEST").expect("a manifest");
    let disk = begun(&disk);
    disk.write_file("MANIFEST", &manifest);
    assert!(disk.files().contains(&segment(2)));
    holds(&disk, &["one"]);
    assert!(!disk.files().contains(&segment(2)));
}

#[test]
fn a_stray_file_with_the_highest_segment_name_is_removed() {
    let disk = log(&["two"]);
    disk.write_file(&segment(u64::MAX), b"not a segment");
    holds(&disk, &["one", "two"]);
    assert!(!disk.files().contains(&segment(u64::MAX)));
    open(&disk).commit(0, &["three"]).expect("commit");
    holds(&disk.kill(), &["one", "two", "three"]);
}

#[test]
fn a_segment_newer_than_the_manifest_with_frames_is_refused() {
    let disk = log(&["two"]);
    let manifest = disk.read_file("MANIFEST").expect("a manifest");
    open(&disk).commit(0, &["three"]).expect("commit");
    disk.write_file("MANIFEST", &manifest);
    refused(&disk, Reason::SegmentNewerThanManifest);
}

#[test]
fn a_segment_no_other_leads_to() {
    // The second life wrote nothing, so the third segment continues the first.
    let disk = log(&[]);
    let unused = disk.read_file(&segment(2)).expect("a segment");
    let used = log(&["two"]).read_file(&segment(2)).expect("a segment");
    open(&disk).commit(0, &["three"]).expect("commit");
    let disk = disk.kill();
    disk.write_file(&segment(2), &unused);
    holds(&disk.fork(), &["one", "three"]);
    disk.write_file(&segment(2), &used);
    refused(&disk, Reason::SegmentUnlinked);
}

#[test]
fn damage_before_the_end_stated_by_the_successor_is_refused() {
    let disk = log(&["two"]);
    flip(&disk, &segment(1), FIRST_FRAME + 66);
    refused(&disk, Reason::DamagedBeforeSuccessor);
}

#[test]
fn damage_before_a_durable_mark_is_refused() {
    let disk = log(&["two", "three"]);
    flip(&disk, &segment(2), FIRST_FRAME + 66);
    refused(&disk, Reason::DamagedBeforeDurableMark);
}

#[test]
fn an_old_frame_with_a_checksum_valid_by_chance_proves_nothing() {
    let disk = log(&["two"]);
    change(&disk, &segment(2), |bytes| {
        let end = FIRST_FRAME + FRAME_BYTES;
        let at = FIRST_FRAME + 10 * FRAME_BYTES;
        bytes.copy_within(FIRST_FRAME..end, at);
        bytes[at + 24..at + 32].copy_from_slice(&1_u64.to_le_bytes());
        bytes[at + 32..at + 40].copy_from_slice(&(at as u64).to_le_bytes());
        recompute_checksums(bytes, at);
    });
    holds(&disk, &["one", "two"]);
}

#[test]
fn damage_before_the_clean_stop_is_refused() {
    let disk = SimDisk::new(7);
    let wal = open(&disk);
    wal.commit(0, &["one"]).expect("commit");
    wal.close().expect("close");
    drop(wal);
    let disk = disk.kill();
    holds(&disk.fork(), &["one"]);
    flip(&disk, &segment(1), FIRST_FRAME + FRAME_BYTES + 8);
    refused(&disk, Reason::DamagedBeforeCleanStop);
}

#[test]
fn an_invalid_frame_that_nothing_proves_durable_is_torn() {
    let disk = log(&["two", "three"]);
    flip(&disk, &segment(2), FIRST_FRAME + FRAME_BYTES + 66);
    let before = disk.read_file(&segment(2));
    holds(&disk, &["one", "two"]);
    assert_eq!(disk.read_file(&segment(2)), before, "a torn tail stays as evidence");
    // Neither its LSN nor its frame number is given out again: a reader may have seen them.
    let lsns = open(&disk).commit(0, &["four"]).expect("commit");
    assert_eq!(lsns.end().get(), 4);
    let newest = disk.files().into_iter().rfind(|name| name.ends_with(".wal")).expect("a segment");
    assert_eq!(numbers(&disk, &newest, &[48, 56]), [4, 4]);
}

#[test]
fn a_segment_with_only_a_torn_frame_stays_as_evidence() {
    let disk = log(&["two"]);
    flip(&disk, &segment(2), FIRST_FRAME + 66);
    let before = disk.read_file(&segment(2));
    holds(&disk, &["one"]);
    assert_eq!(disk.read_file(&segment(2)), before);
}

#[test]
fn lsns_of_torn_records_move_the_next_lsn_and_not_the_last() {
    let disk = log(&["two", "three"]);
    flip(&disk, &segment(2), FIRST_FRAME + FRAME_BYTES + 66);
    // A segment after it without records, but with a frame.
    let wal = open(&disk);
    wal.prepare().expect("room");
    wal.note().expect("note");
    let disk = disk.kill();
    let wal = open(&disk);
    assert_eq!(wal.durable().map(Lsn::get), Some(2));
    wal.commit(0, &["four"]).expect("commit");
    drop(wal);
    let found = records(&disk).expect("recovers");
    assert_eq!(found.iter().map(|(lsn, _)| *lsn).collect::<Vec<_>>(), [1, 2, 4]);
}

#[test]
fn frames_that_do_not_continue_one_another_are_refused() {
    let disk = log(&["two", "three"]);
    change(&disk, &segment(2), |bytes| {
        bytes[FIRST_FRAME + FRAME_BYTES + 16] += 1;
        recompute_checksums(bytes, FIRST_FRAME + FRAME_BYTES);
    });
    refused(&disk, Reason::OutOfSequence);
}

#[test]
fn a_segment_whose_numbers_go_back_is_refused() {
    // First LSN and first frame of a segment without frames: no other check covers them.
    for field in [48, 56] {
        let disk = log(&[]);
        change(&disk, &segment(2), |bytes| {
            bytes[field] = 1;
            let crc = crc32fast::hash(&bytes[..508]);
            bytes[508..512].copy_from_slice(&crc.to_le_bytes());
        });
        refused(&disk, Reason::OutOfSequence);
    }
}

#[test]
fn a_frame_that_does_not_divide_into_its_records_is_refused() {
    let disk = log(&["two", "three"]);
    change(&disk, &segment(2), |bytes| {
        bytes[FIRST_FRAME + 64] += 1;
        recompute_checksums(bytes, FIRST_FRAME);
    });
    refused(&disk, Reason::RecordsMalformed);
}

#[test]
fn every_damage_text_is_distinct_and_names_file_and_offset() {
    let reasons = [
        Reason::ManifestDamaged,
        Reason::SegmentMissing,
        Reason::SegmentHeaderDamaged,
        Reason::SegmentResized,
        Reason::SegmentForeign,
        Reason::SegmentUnlinked,
        Reason::SegmentNewerThanManifest,
        Reason::DamagedBeforeSuccessor,
        Reason::DamagedBeforeDurableMark,
        Reason::DamagedBeforeCleanStop,
        Reason::OutOfSequence,
        Reason::RecordsMalformed,
    ];
    let words: std::collections::BTreeSet<_> =
        reasons.iter().map(ToString::to_string).filter(|words| words.len() > 20).collect();
    assert_eq!(words.len(), reasons.len());
    for reason in reasons {
        let damage = Damage { file: "a/file".into(), segment: 1, offset: 4711, reason };
        let found = Error::Corrupt(damage).to_string();
        for part in ["a/file", "4711", &reason.to_string()] {
            assert!(found.contains(part), "{found}");
        }
    }
}

#[test]
fn a_newer_format_is_told() {
    let disk = log(&["two"]);
    change(&disk, &segment(2), |bytes| {
        bytes[8] = 9;
        let crc = crc32fast::hash(&bytes[..508]);
        bytes[508..512].copy_from_slice(&crc.to_le_bytes());
    });
    assert!(matches!(records(&disk), Err(Error::Format { format: 9, .. })));
}
