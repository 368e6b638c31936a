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
