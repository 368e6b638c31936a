//! Who owns a directory, whatever happens to its name and to the files in it.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use icn_wal::{Error, From, FsDisk, Wal};

fn open(dir: &Path) -> Result<(Wal<FsDisk>, usize), Error> {
    let mut records = 0;
    let disk = FsDisk::create(dir).expect("create");
    let (wal, _) = Wal::open(disk, From::Beginning, |_| {
        records += 1;
        ControlFlow::Continue(())
    })?;
    Ok((wal, records))
}

/// Commits so much that segments and manifest are replaced several times.
fn go_on(wal: &Wal<FsDisk>) {
    for _ in 0..8 {
        wal.commit(1, &[vec![7; 1 << 19]]).expect("commit");
    }
}

#[test]
fn a_directory_that_is_moved_takes_its_log_along() {
    let around = tempfile::tempdir().expect("dir");
    let (here, there) = (around.path().join("here"), around.path().join("there"));
    let (first, _) = open(&here).expect("open");
    first.commit(1, &["one"]).expect("commit");
    fs::rename(&here, &there).expect("rename");
    let (second, records) = open(&here).expect("another log under the old name");
    assert_eq!(records, 0);
    go_on(&first);
    go_on(&second);
    assert!(matches!(open(&there), Err(Error::Locked { .. })));
    first.close().expect("close");
    second.close().expect("close");
    drop((first, second));
    assert_eq!(open(&here).expect("open").1, 8);
    assert_eq!(open(&there).expect("open").1, 9);
}

#[test]
fn whoever_removes_the_lock_file_lets_nobody_in() {
    let around = tempfile::tempdir().expect("dir");
    let dir = around.path();
    let (first, _) = open(dir).expect("open");
    let refused = || matches!(open(dir), Err(Error::Locked { .. }));
    assert!(refused());
    fs::remove_file(dir.join("LOCK")).expect("remove");
    assert!(refused(), "LOCK is gone");
    fs::write(dir.join("LOCK"), "1\n").expect("write");
    assert!(refused(), "LOCK is another file");
    fs::write(dir.join("new"), "1\n").expect("write");
    fs::rename(dir.join("new"), dir.join("LOCK")).expect("rename");
    assert!(refused(), "LOCK is another file once more");
    go_on(&first);
    first.close().expect("close");
    drop(first);
    let (second, records) = open(dir).expect("the lock goes with its owner");
    assert_eq!(records, 8);
    // The owner says who it is, in whatever file is there.
    let pid = fs::read_to_string(dir.join("LOCK")).expect("read");
    assert_eq!(pid.trim(), std::process::id().to_string());
    drop(second);
}
