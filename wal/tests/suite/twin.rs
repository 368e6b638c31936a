//! Twin files: one damaged copy leaves the other.

use icn_wal::disk::SimDisk;
use icn_wal::{Error, Twin, TwinFile};

const FILE: TwinFile = TwinFile { name: "TWIN", magic: *b"ICNTWIN\0" };

/// A file with this content, and its bytes.
fn file(content: &[u8]) -> (SimDisk, Vec<u8>) {
    let disk = SimDisk::new(1);
    FILE.replace(&disk, content).expect("replace");
    let bytes = disk.read_file(FILE.name).expect("a file");
    (disk, bytes)
}

fn read(bytes: &[u8]) -> Result<Twin, Error> {
    let disk = SimDisk::new(1);
    disk.write_file(FILE.name, bytes);
    FILE.read(&disk)
}

/// The copy that a newer version would write.
fn newer(copy: &[u8]) -> Vec<u8> {
    let mut copy = copy.to_vec();
    copy[8] = 7;
    let end = copy.len() - 4;
    let crc = crc32fast::hash(&copy[..end]);
    copy[end..].copy_from_slice(&crc.to_le_bytes());
    copy
}

#[test]
fn one_damaged_byte_costs_one_copy() {
    let (disk, bytes) = file(b"content");
    assert_eq!(FILE.read(&disk).expect("read"), Twin::Content(b"content".to_vec(), true));
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        let found = read(&bytes).expect("read");
        assert_eq!(found, Twin::Content(b"content".to_vec(), false), "byte {at}");
    }
    for length in 0..bytes.len() {
        let found = read(&bytes[..length]).expect("read");
        let half = Twin::Content(b"content".to_vec(), false);
        assert_eq!(found, if length < bytes.len() / 2 { Twin::Damaged } else { half }, "{length}");
    }
    assert_eq!(FILE.read(&SimDisk::new(1)).expect("read"), Twin::Missing);
}

#[test]
fn bytes_after_the_copies_change_nothing() {
    let (_, mut bytes) = file(b"content");
    bytes.extend_from_slice(b"more");
    assert_eq!(read(&bytes).expect("read"), Twin::Content(b"content".to_vec(), true));
}

#[test]
fn of_two_copies_that_differ_the_first_counts_and_the_difference_is_reported() {
    let first = file(b"content").1;
    let second = file(b"another").1;
    let half = first.len() / 2;
    let found = read(&[&first[..half], &second[..half]].concat()).expect("read");
    assert_eq!(found, Twin::Content(b"content".to_vec(), false));
}

#[test]
fn a_newer_format_is_reported_unless_one_copy_is_readable() {
    let (_, bytes) = file(b"content");
    let (ours, theirs, lost) = {
        let ours = &bytes[..bytes.len() / 2];
        (ours.to_vec(), newer(ours), vec![0; ours.len()])
    };
    for copies in [[&theirs, &theirs], [&theirs, &lost], [&lost, &theirs]] {
        let found = read(&copies.map(|copy| &copy[..]).concat());
        assert!(matches!(found, Err(Error::Format { format: 7, known: 0, .. })), "{found:?}");
    }
    for copies in [[&ours, &theirs], [&theirs, &ours]] {
        let found = read(&copies.map(|copy| &copy[..]).concat()).expect("read");
        assert_eq!(found, Twin::Content(b"content".to_vec(), false));
    }
}
