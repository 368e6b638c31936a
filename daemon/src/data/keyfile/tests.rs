//! Damage of the key file and its copy: the same key, or a refusal, and never another key.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn made() -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let key = read_or_create(directory.path(), 1_700_000_000_000).expect("a key");
    assert!(key.created);
    assert!(mend(directory.path()).is_empty(), "a new key is well");
    let identity = identity(directory.path()).expect("a key");
    (directory, identity)
}

/// Everything public that the secrets make.
fn identity(directory: &Path) -> Result<String, Failure> {
    read(directory).map(|key| format!("{} {}", key.keypair.did(), key.card))
}

fn texts(directory: &Path) -> [Vec<u8>; 2] {
    NAMES.map(|name| fs::read(directory.join(name)).unwrap_or_default())
}

/// Every change of a file by a flipped bit, a zeroed or 0xFF rest, a cut, or a doubled or lost byte.
fn damages(content: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for at in 0..content.len() {
        for bit in 0..8 {
            let mut flipped = content.to_vec();
            flipped[at] ^= 1 << bit;
            all.push(flipped);
        }
        all.push(content[..at].to_vec());
        for fill in [0, 0xff] {
            let mut filled = content.to_vec();
            filled[at] = fill;
            all.push(filled.clone());
            filled[at..].fill(fill);
            all.push(filled);
        }
        let mut lost = content.to_vec();
        lost.remove(at);
        all.push(lost);
        let mut doubled = content.to_vec();
        doubled.insert(at, content[at]);
        all.push(doubled);
    }
    all
}

#[test]
fn a_damaged_key_file_is_the_same_key_or_refused_at_every_bit() {
    let (directory, identity_before) = made();
    let path = directory.path();
    let [whole, copy] = texts(path);
    assert_eq!(whole, copy);
    for (index, name) in NAMES.into_iter().enumerate() {
        // Without the other file.
        fs::remove_file(path.join(NAMES[1 - index])).expect("remove");
        let mut refused = 0;
        for damaged in damages(&whole) {
            fs::write(path.join(name), &damaged).expect("write");
            match read_or_create(path, 1) {
                Ok(key) => {
                    assert!(!key.created, "{damaged:?}");
                    assert_eq!(identity(path).expect("a key"), identity_before, "{damaged:?}");
                }
                Err(failure) => {
                    refused += 1;
                    let code = failure.code.as_str();
                    assert_eq!((code, failure.exit), ("ICN-E0114", 5), "{failure}");
                }
            }
            assert_eq!(texts(path)[index], damaged, "reading changes nothing");
        }
        assert!(refused > 10 * whole.len(), "{refused}");
        // With the other file, the key is the same.
        fs::write(path.join(NAMES[1 - index]), &whole).expect("write");
        for damaged in damages(&whole).into_iter().step_by(61) {
            fs::write(path.join(name), &damaged).expect("write");
            assert_eq!(identity(path).expect("the other file"), identity_before);
        }
        fs::write(path.join(name), &whole).expect("write");
    }
}

#[test]
fn two_damaged_files_are_refused_and_stay() {
    let (directory, _) = made();
    let path = directory.path();
    for contents in [[&b""[..], b""], [b"icn-key-v0\nno hex\n", b"x"], [&[0; 300], &[0xff; 300]]] {
        for (name, content) in NAMES.into_iter().zip(contents) {
            fs::write(path.join(name), content).expect("write");
        }
        let failure = read_or_create(path, 1).err().expect("no key");
        assert_eq!((failure.code.as_str(), failure.exit), ("ICN-E0114", 5));
        assert!(failure.message.contains("identity.key.copy"), "{failure}");
        assert!(mend(path).is_empty());
        assert_eq!(texts(path), contents.map(<[u8]>::to_vec));
    }
}

#[test]
fn a_damaged_or_missing_file_is_written_anew_and_reported() {
    let (directory, before) = made();
    let path = directory.path();
    let whole = texts(path);
    for name in NAMES {
        for content in [None, Some(&b"half a k"[..]), Some(b"")] {
            match content {
                None => fs::remove_file(path.join(name)).expect("remove"),
                Some(content) => fs::write(path.join(name), content).expect("write"),
            }
            assert_eq!(identity(path).expect("the other file"), before);
            let findings = mend(path);
            // A backup has no copy, which is no fault.
            let is_fault = content.is_some() || name == NAMES[0];
            assert_eq!(findings.len(), usize::from(is_fault), "{findings:?}");
            assert!(findings.iter().all(|text| text.starts_with(name)), "{findings:?}");
            assert_eq!(texts(path), whole);
            let mode = fs::metadata(path.join(name)).expect("metadata").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            assert!(mend(path).is_empty());
        }
    }
}

#[test]
fn a_key_of_an_earlier_build_is_read_and_gets_a_checksum() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let hex = "0123456789abcdef".repeat(8);
    let early = format!("icn-key-v0\n{hex}\n1700000000000\n");
    fs::write(path.join(NAMES[0]), &early).expect("write");
    let before = identity(path).expect("a key");
    assert!(mend(path).is_empty());
    let text = String::from_utf8(texts(path)[0].clone()).expect("a text");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[2]), (5, "icn-key v0", hex.as_str()));
    assert!(before.starts_with(lines[1]), "the file names its DID");
    assert_eq!(texts(path)[1], text.as_bytes());
    assert_eq!(identity(path).expect("a key"), before);
    // An old copy that was put back and has changed since: the DID is the same, the X25519 secret is not.
    fs::write(path.join(NAMES[0]), early.replace("cdef\n", "cdee\n")).expect("write");
    assert_eq!(identity(path).expect("a key"), before);
    // A copy without a checksum replaces nothing.
    fs::write(path.join(NAMES[0]), "damaged").expect("write");
    fs::write(path.join(NAMES[1]), early).expect("write");
    assert_eq!(read(path).err().expect("no key").code, "ICN-E0114");
}

#[test]
fn a_key_that_an_operator_puts_back_decides() {
    let (directory, _) = made();
    let (other, expected) = made();
    let file = |directory: &tempfile::TempDir, name| directory.path().join(name);
    fs::copy(file(&other, NAMES[0]), file(&directory, NAMES[0])).expect("copy");
    assert_eq!(identity(directory.path()).expect("a key"), expected);
    assert!(mend(directory.path()).is_empty());
    assert_eq!(texts(directory.path()), texts(other.path()));
    // Printed, typed in and saved by another editor, it is the same key.
    let [text, _] = texts(other.path()).map(|text| String::from_utf8(text).expect("a text"));
    fs::write(file(&other, NAMES[0]), text.replace('\n', "\r\n").trim_end()).expect("write");
    fs::remove_file(file(&other, NAMES[1])).expect("remove");
    assert_eq!(identity(other.path()).expect("a key"), expected);
}

#[test]
fn a_key_of_a_newer_version_is_refused_and_stays() {
    let (directory, _) = made();
    let path = directory.path();
    let covered = "icn-key v7\nsomething else\n";
    let newer = format!("{covered}blake3: {}\n", blake3::hash(covered.as_bytes()).to_hex());
    fs::write(path.join(NAMES[0]), &newer).expect("write");
    assert_eq!(read(path).err().expect("a refusal").exit, crate::exit::NEWER_DATA);
    assert!(mend(path).is_empty());
    assert_eq!(texts(path)[0], newer.as_bytes());
}

#[test]
fn a_linked_key_gets_no_copy_and_is_not_replaced() {
    let (elsewhere, before) = made();
    let directory = tempfile::tempdir().expect("a directory");
    let link = directory.path().join(NAMES[0]);
    symlink(elsewhere.path().join(NAMES[0]), &link).expect("a link");
    assert_eq!(identity(directory.path()).expect("a key"), before);
    assert!(mend(directory.path()).is_empty());
    assert!(!directory.path().join(NAMES[1]).exists());
    assert!(fs::symlink_metadata(&link).expect("metadata").is_symlink());
    // A link that leads nowhere is a key that is lost, and no new node.
    fs::remove_file(elsewhere.path().join(NAMES[0])).expect("remove");
    assert_eq!(read_or_create(directory.path(), 1).err().expect("no key").code, "ICN-E0103");
}

#[test]
fn a_pipe_or_directory_in_place_of_the_key_stops_no_start() {
    let (directory, before) = made();
    let path = directory.path().join(NAMES[0]);
    fs::remove_file(&path).expect("remove");
    fs::create_dir(&path).expect("create");
    assert_eq!(identity(directory.path()).expect("the copy"), before);
    let findings = mend(directory.path());
    assert!(findings[0].contains("cannot be written anew"), "{findings:?}");
    fs::remove_dir(&path).expect("remove");
    let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
    assert!(made.success());
    assert_eq!(identity(directory.path()).expect("the copy"), before);
    assert!(mend(directory.path())[0].contains("was written anew"));
}
