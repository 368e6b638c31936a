//! Entries of a log's directory that are not its regular files: other kinds, other names, hard
//! links.

use std::ffi::OsStr;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use icn_wal::{Error, FsDisk, Lsn, Recovery, ReplayFrom, Wal, read};

type Opened = (Wal<FsDisk>, Recovery, Vec<Vec<u8>>);

fn open(dir: &Path) -> Result<Opened, Error> {
    let mut records = Vec::new();
    let disk = FsDisk::create(dir).expect("create");
    let (wal, recovery) = Wal::open(disk, ReplayFrom::Oldest, |record| {
        records.push(record.bytes.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok((wal, recovery, records))
}

fn segment(number: u64) -> String {
    format!("{number:020}.wal")
}

/// A log in segments 2 and 3; segment 1 has been dropped.
fn log(dir: &Path) {
    for name in ["one", "two", "three"] {
        let (wal, ..) = open(dir).expect("open");
        wal.commit(0, &[name]).expect("commit");
        if name == "two" {
            assert_eq!(wal.drop_through(Lsn::FIRST).expect("drop"), 1);
        }
        wal.close().expect("close");
    }
    let mut names: Vec<_> = names(dir).into_iter().map(|(path, _)| path).collect();
    names.sort();
    let wanted = [segment(2), segment(3), "LOCK".into(), "MANIFEST".into()];
    assert_eq!(names, wanted.map(|name| dir.join(name)));
}

/// Everything below `dir`, except the content of `LOCK`: path, and link target or content.
fn names(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).expect("read") {
        let path = entry.expect("entry").path();
        let kind = fs::symlink_metadata(&path).expect("metadata").file_type();
        let content = if kind.is_symlink() {
            fs::read_link(&path).expect("link").as_os_str().as_bytes().to_vec()
        } else if kind.is_file() && !path.ends_with("LOCK") {
            fs::read(&path).expect("read")
        } else {
            format!("{kind:?}").into_bytes()
        };
        if kind.is_dir() {
            all.extend(names(&path));
        }
        all.push((path, content));
    }
    all.sort();
    all
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// Creates something under `path` that is not a regular file, and returns what it is; `None` when
/// this machine does not allow it.
fn put(kind: usize, path: &Path, outside: &Path) -> Option<&'static str> {
    let text = path.to_str().expect("UTF-8");
    match kind {
        0 => {
            fs::create_dir(path).expect("create");
            fs::write(path.join("inside"), "mine").expect("write");
            Some("a directory")
        }
        1 => symlink(outside, path).map(|()| "a symbolic link").ok(),
        2 => symlink("nowhere", path).map(|()| "a symbolic link").ok(),
        3 => run("mkfifo", &[text]).then_some("a FIFO"),
        4 => UnixListener::bind(path).map(|_| "a socket").ok(),
        _ => run("mknod", &[text, "c", "1", "3"]).then_some("a device"),
    }
}

/// Fails instead of hanging: opening a FIFO may block for ever.
fn within_reason<T: Send + 'static>(what: &str, act: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || done.send(act()));
    result.recv_timeout(Duration::from_secs(30)).unwrap_or_else(|_| panic!("{what}: it blocks"))
}

#[test]
fn only_a_regular_file_is_accepted_under_every_name_of_the_log() {
    // Dropped, kept, newest, next, and any later segment.
    let mut own: Vec<String> = [1, 2, 3, 4, 9].map(segment).into();
    own.extend(
        ["MANIFEST", "MANIFEST.tmp", "MANIFEST-1.tmp", "spare-7.tmp", "retired-3.tmp", "LOCK"]
            .map(String::from),
    );
    let whole = tempfile::tempdir().expect("dir");
    log(whole.path());
    let mut refused = 0;
    for name in own {
        for kind in 0..6 {
            let around = tempfile::tempdir().expect("dir");
            let dir = around.path().join("log");
            let outside = around.path().join("outside");
            fs::create_dir(&dir).expect("create");
            for (from, _) in names(whole.path()) {
                fs::copy(&from, dir.join(from.file_name().expect("a name"))).expect("copy");
            }
            let path = dir.join(&name);
            // A link to the right file is refused as well.
            if fs::rename(&path, &outside).is_err() {
                fs::write(&outside, "mine").expect("write");
            }
            let Some(what) = put(kind, &path, &outside) else {
                println!("skipped: this machine cannot make an entry of kind {kind}");
                continue;
            };
            let before = names(around.path());
            let case = format!("{name} is {what}");
            let writing = dir.clone();
            let reading = dir.clone();
            let opened = within_reason(&case, move || open(&writing).map(drop));
            match opened.expect_err(&case) {
                Error::NotRegular { file, kind } => {
                    assert_eq!(Path::new(&file), &*path);
                    assert_eq!(kind, what);
                }
                Error::Io { action: "lock", file, source } if name == "LOCK" => {
                    assert_eq!(Path::new(&file), path);
                    assert!(source.to_string().contains(what), "{case}: {source}");
                }
                other => panic!("{case}: {other}"),
            }
            let read = within_reason(&case, move || {
                let disk = FsDisk::read_only(&reading).expect("a directory");
                read(&disk, ReplayFrom::Oldest, |_| ControlFlow::Continue(()))
            });
            // Reading needs no lock.
            let harmless = read.is_ok() && name == "LOCK";
            assert!(harmless || matches!(read, Err(Error::NotRegular { .. })), "{case}: {read:?}");
            assert!(names(around.path()) == before, "{case}: something has changed");
            refused += 1;
        }
    }
    assert!(refused >= 9 * 3, "{refused}");
}

#[test]
fn foreign_names_are_left_alone_and_reported() {
    let around = tempfile::tempdir().expect("dir");
    let dir = around.path();
    log(dir);
    let mut ignored = vec![];
    for name in [
        &b"9.wal"[..],
        b"0000000000000000009.wal",
        b"+0000000000000000009.wal",
        b"00000000000000000009.WAL",
        b"00000000000000000009.wal.bak",
        b"99999999999999999999.wal",
        b"notes.txt",
        b"\xff0000000000000000009.wal",
    ] {
        if fs::write(dir.join(OsStr::from_bytes(name)), "mine").is_ok() {
            ignored.push(String::from_utf8_lossy(name).into_owned());
        }
    }
    for (kind, name) in [(0, "old"), (0, "old.tmp"), (2, "link.tmp"), (3, "pipe"), (4, "socket")] {
        if put(kind, &dir.join(name), dir).is_some() {
            ignored.push(name.into());
        }
    }
    ignored.sort();
    let before = names(dir);
    let directory = dir.to_path_buf();
    let (wal, recovery, records) = within_reason("open", move || open(&directory))
        .expect("foreign names are no reason to refuse");
    assert_eq!(records, [b"two".to_vec(), b"three".to_vec()]);
    assert_eq!(recovery.ignored, ignored);
    wal.close().expect("close");
    let after = names(dir);
    for file in before.iter().filter(|(path, _)| !path.ends_with("MANIFEST")) {
        assert!(after.contains(file), "{} has changed", file.0.display());
    }
}

#[test]
fn a_file_with_the_highest_segment_name_changes_no_number() {
    let around = tempfile::tempdir().expect("dir");
    let dir = around.path();
    log(dir);
    for number in [u64::MAX - 1, u64::MAX] {
        fs::write(dir.join(segment(number)), "").expect("write");
    }
    // Removed like any segment that is newer than the manifest and holds no frame.
    let (wal, ..) = open(dir).expect("open");
    wal.commit(0, &["four"]).expect("commit");
    drop(wal);
    let (_wal, _, records) = open(dir).expect("open");
    assert_eq!(records.len(), 3);
    assert!(dir.join(segment(4)).exists() && !dir.join(segment(u64::MAX)).exists());
}

#[test]
fn a_copy_by_hard_links_and_the_log_never_change_each_other() {
    let around = tempfile::tempdir().expect("dir");
    let dir = around.path().join("log");
    let copy = around.path().join("copy");
    log(&dir);
    let (wal, ..) = open(&dir).expect("open");
    wal.commit(0, &["four"]).expect("commit");
    // As `cp -al` does while the log runs: its newest segment has two names as well.
    fs::create_dir(&copy).expect("create");
    for entry in fs::read_dir(&dir).expect("read") {
        let from = entry.expect("entry").path();
        fs::hard_link(&from, copy.join(from.file_name().expect("a name"))).expect("link");
    }
    assert!(names(&copy).iter().any(|(path, _)| path.ends_with("MANIFEST-1.tmp")));
    wal.commit(0, &["five"]).expect("commit");
    let (other, _, mut theirs) = open(&copy).expect("a log of its own");
    assert!(theirs.starts_with(&[b"two".to_vec(), b"three".to_vec(), b"four".to_vec()]));
    for number in 0..8 {
        let record = vec![number; 1 << 19];
        other.commit(0, std::slice::from_ref(&record)).expect("commit");
        theirs.push(record);
        wal.commit(0, &[vec![100 + number; 1 << 19]]).expect("commit");
    }
    wal.drop_through(Lsn::new(3).expect("lsn")).expect("drop");
    other.close().expect("close");
    wal.close().expect("close");
    drop((wal, other));
    assert!(open(&copy).expect("open").2 == theirs, "the copy has changed with the log");
    let (.., ours) = open(&dir).expect("open");
    assert_eq!(ours[0..2], [b"four".to_vec(), b"five".to_vec()]);
    assert!(ours[2..].iter().all(|record| record[0] >= 100) && ours.len() == 10);
}
