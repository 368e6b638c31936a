//! What the log needs of a real directory.

use std::fs;
use std::io::{ErrorKind, IoSliceMut};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Barrier;

use icn_wal::FsDisk;
use icn_wal::disk::{Disk, DiskFile};
use rustix::fs::Advice;
use rustix::io::ReadWriteFlags;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("metadata").permissions().mode() & 0o777
}

#[test]
fn directories_and_files_are_created_for_their_owner_alone() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("a/b/c");
    let disk = FsDisk::create(&path).expect("create");
    for made in ["a", "a/b", "a/b/c"] {
        assert_eq!(mode(&dir.path().join(made)), 0o700, "{made}");
    }
    let file = disk.create("file").expect("create");
    assert_eq!(mode(&path.join("file")), 0o600);
    file.write_at(3, b"bytes").expect("write");
    let mut out = [9; 10];
    assert_eq!(file.read_at(1, &mut out).expect("read"), 7);
    assert_eq!(out, *b"\0\0bytes\x09\x09\x09");
    assert_eq!(file.size().expect("size"), 8);
}

#[test]
fn a_subdirectory_is_a_directory_of_its_own() {
    let dir = tempfile::tempdir().expect("dir");
    let disk = FsDisk::create(dir.path()).expect("create");
    let inner = disk.subdir("inner").expect("subdir");
    inner.create("file").expect("create");
    assert_eq!(mode(&dir.path().join("inner")), 0o700);
    assert!(dir.path().join("inner/file").exists() && !dir.path().join("file").exists());
    assert_eq!(inner.describe("file"), dir.path().join("inner/file").display().to_string());
}

/// Recovery relies on what it reads after a drop being on the disk. Linux caches a file in folios of up to
/// some MiB, and ignores a request to drop a part of one.
#[test]
fn no_dropped_page_stays_in_the_page_cache() {
    const TMPFS: i64 = 0x0102_1994;
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("dir");
    let file = fs::File::open(dir.path()).expect("open");
    if rustix::fs::fstatfs(&file).expect("statfs").f_type == TMPFS {
        println!("skipped: a tmpfs exists in memory only");
        return;
    }
    let disk = FsDisk::create(dir.path()).expect("create");
    for offset in [(20 << 20) + 5, (10 << 20) + 5, 3_000_000, 0] {
        // On a busy machine a probe may read in a page before it answers. A page that the drop left is
        // found in every attempt.
        let stayed = (0..8).all(|attempt| stays_in_memory(&disk, attempt, offset));
        assert!(!stayed, "dropped from {offset} on");
    }
}

/// Whether four consecutive pages of a new file of 32 MiB are in memory after a drop from `offset` on.
fn stays_in_memory(disk: &FsDisk, attempt: u32, offset: u64) -> bool {
    const MIB: u64 = 1 << 20;
    let name = format!("{offset}-{attempt}");
    let file = disk.create(&name).expect("create");
    for mib in 0..32 {
        file.write_at(mib * MIB, &[7; 1 << 20]).expect("write");
    }
    file.sync().expect("sync");
    let bytes = fs::File::open(disk.path().join(&name)).expect("open");
    // The kernel may read a requested page that is not cached before it answers; without this it would
    // read ahead as well.
    rustix::fs::fadvise(&bytes, 0, None, Advice::Random).expect("fadvise");
    let in_memory = |offset: u64| {
        let mut byte = [0];
        let mut into = [IoSliceMut::new(&mut byte)];
        rustix::io::preadv2(&bytes, &mut into, offset, ReadWriteFlags::NOWAIT).is_ok()
    };
    assert!(in_memory(31 * MIB));
    file.drop_cache(offset).expect("drop");
    let pages: Vec<_> = (offset..32 * MIB).step_by(4096).map(in_memory).collect();
    disk.remove(&name).expect("remove");
    pages.windows(4).any(|pages| pages.iter().all(|is_there| *is_there))
}

#[test]
fn a_removed_file_is_truncated_first_unless_it_has_another_hard_link() {
    let dir = tempfile::tempdir().expect("dir");
    let disk = FsDisk::create(dir.path()).expect("create");
    for (name, other, left) in [("large", None, 0), ("linked", Some("copy"), 5_000_000)] {
        let file = disk.create(name).expect("create");
        file.write_at(4_999_999, &[7]).expect("write");
        if let Some(other) = other {
            fs::hard_link(dir.path().join(name), dir.path().join(other)).expect("a link");
        }
        disk.remove(name).expect("remove");
        assert!(!dir.path().join(name).exists(), "{name}");
        let size = file.size().expect("size");
        assert_eq!(size, left, "{name}");
    }
}

#[test]
fn a_relative_name_is_created_in_the_current_directory() {
    let dir = tempfile::tempdir_in(".").expect("dir");
    fs::remove_dir(dir.path()).expect("remove");
    let name = Path::new(dir.path().file_name().expect("a name"));
    FsDisk::create(name).expect("create");
    assert!(name.is_dir());
}

#[test]
fn only_a_directory_is_accepted() {
    let dir = tempfile::tempdir().expect("dir");
    let file = dir.path().join("file");
    fs::write(&file, "").expect("write");
    assert!(FsDisk::create(&file).is_err());
    let kind = |path: &Path| FsDisk::read_only(path).expect_err("refused").kind();
    assert_eq!(kind(&file), ErrorKind::NotADirectory);
    assert_eq!(kind(&dir.path().join("missing")), ErrorKind::NotFound);
    assert!(!dir.path().join("missing").exists());
}

#[test]
fn threads_that_create_one_directory_concurrently_all_succeed() {
    let dir = tempfile::tempdir().expect("dir");
    for turn in 0..50 {
        let path = dir.path().join(turn.to_string()).join("a/b/c");
        let barrier = Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    barrier.wait();
                    FsDisk::create(&path).expect("create");
                });
            }
        });
    }
}

#[test]
fn discard_accepts_a_missing_file_and_refuses_a_directory() {
    let dir = tempfile::tempdir().expect("dir");
    let disk = FsDisk::create(dir.path()).expect("create");
    drop(disk.create("file").expect("create"));
    disk.discard("file").expect("there");
    disk.discard("file").expect("not there");
    disk.subdir("directory").expect("subdir");
    disk.discard("directory").expect_err("not a file");
}

#[test]
fn random_bytes_differ_and_every_file_is_described_by_its_path() {
    let dir = tempfile::tempdir().expect("dir");
    let disk = FsDisk::create(dir.path()).expect("create");
    let mut random = [[0; 16]; 2];
    random.iter_mut().for_each(|out| disk.random(out).expect("random"));
    assert!(random[0] != random[1] && random[0] != [0; 16]);
    assert_eq!(disk.describe("file"), dir.path().join("file").display().to_string());
}
