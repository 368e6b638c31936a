//! The table of `docs/FORMAT.md`, row by row.

use crate::common::{open, records};
use crc32fast::Hasher;
use icn_wal::{Error, Reason, SimDisk};

const FIRST_FRAME: usize = 512;
const FRAME_BYTES: usize = 72;

fn segment(number: u64) -> String {
    format!("{number:020}.wal")
}

/// A log whose first segment holds `one`, and whose second, that of a life that was killed, holds
/// these, a commit each.
fn log(second: &[&str]) -> SimDisk {
    let disk = SimDisk::new(7);
    open(&disk).commit(0, &["one"]).expect("commit");
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
}

#[track_caller]
fn holds(disk: &SimDisk, wanted: &[&str]) {
    let found = records(disk).expect("recovers");
    let found: Vec<_> = found.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes)).collect();
    assert_eq!(found, wanted);
}

/// Makes the checksums of the frame at `at` right again, as `docs/FORMAT.md` says.
fn reseal(segment: &mut [u8], at: usize) {
    let (salt, length) = (
        segment[88..104].to_vec(),
        u32::from_le_bytes(segment[at + 8..at + 12].try_into().unwrap()),
    );
    let end = at + 64 + (length as usize).next_multiple_of(8);
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
    let disk = SimDisk::new(1);
    drop(open(&disk));
    disk.remove_file("MANIFEST");
    holds(&disk, &[]);
}

#[test]
fn no_manifest_but_frames_is_manifest_damaged() {
    let disk = log(&[]);
    disk.remove_file("MANIFEST");
    refused(&disk, Reason::ManifestDamaged);
    // Nor are frames gone because the first of them or the header is damaged too.
    for at in [130, FIRST_FRAME + 20] {
        let disk = log(&["two", "three"]);
        disk.remove_file("MANIFEST");
        disk.remove_file(&segment(1));
        flip(&disk, &segment(2), at);
        refused(&disk, Reason::ManifestDamaged);
    }
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
fn a_segment_that_is_named_and_not_there_is_segment_missing() {
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
                if longer { bytes.push(0) } else { bytes.truncate(FIRST_FRAME + FRAME_BYTES) }
            });
            refused(&disk, Reason::SegmentResized);
        }
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
    drop(open(&disk));
    disk.write_file("MANIFEST", &manifest);
    holds(&disk, &["one"]);
}

#[test]
fn a_stray_file_with_the_highest_name_of_all_is_removed() {
    let disk = log(&["two"]);
    disk.write_file(&segment(u64::MAX), b"not a segment");
    holds(&disk, &["one", "two"]);
    open(&disk).commit(0, &["three"]).expect("commit");
    holds(&disk.kill(), &["one", "two", "three"]);
}

#[test]
fn a_segment_newer_than_the_manifest_with_frames_is_told() {
    let disk = log(&["two"]);
    let manifest = disk.read_file("MANIFEST").expect("a manifest");
    open(&disk).commit(0, &["three"]).expect("commit");
    disk.write_file("MANIFEST", &manifest);
    refused(&disk, Reason::SegmentNewerThanManifest);
}

#[test]
fn a_segment_no_other_leads_to() {
    // The second life wrote nothing, so that the third segment follows the first.
    let disk = log(&[]);
    let blank = disk.read_file(&segment(2)).expect("a segment");
    let used = log(&["two"]).read_file(&segment(2)).expect("a segment");
    open(&disk).commit(0, &["three"]).expect("commit");
    let disk = disk.kill();
    disk.write_file(&segment(2), &blank);
    holds(&disk.fork(), &["one", "three"]);
    disk.write_file(&segment(2), &used);
    refused(&disk, Reason::SegmentUnlinked);
}

#[test]
fn damage_before_the_end_that_the_successor_states() {
    let disk = log(&["two"]);
    flip(&disk, &segment(1), FIRST_FRAME + 66);
    refused(&disk, Reason::DamagedBeforeSuccessor);
}

#[test]
fn damage_before_a_durable_mark() {
    let disk = log(&["two", "three"]);
    flip(&disk, &segment(2), FIRST_FRAME + 66);
    refused(&disk, Reason::DamagedBeforeDurableMark);
}

#[test]
fn damage_before_the_clean_stop() {
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
    // Its number is not given out again: somebody may have seen it.
    let lsns = open(&disk).commit(0, &["four"]).expect("commit");
    assert_eq!(lsns.end().get(), 4);
}

#[test]
fn frames_that_do_not_continue_one_another() {
    let disk = log(&["two", "three"]);
    change(&disk, &segment(2), |bytes| {
        bytes[FIRST_FRAME + FRAME_BYTES + 16] += 1;
        reseal(bytes, FIRST_FRAME + FRAME_BYTES);
    });
    refused(&disk, Reason::OutOfSequence);
}

#[test]
fn a_frame_that_does_not_divide_into_its_records() {
    let disk = log(&["two", "three"]);
    change(&disk, &segment(2), |bytes| {
        bytes[FIRST_FRAME + 64] += 1;
        reseal(bytes, FIRST_FRAME);
    });
    refused(&disk, Reason::RecordsMalformed);
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
