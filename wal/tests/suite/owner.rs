//! One process owns a directory, whatever happens to its name and to the files in it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use icn_wal::disk::Disk;
use icn_wal::{Error, FsDisk, ReplayFrom, Wal};

fn open(dir: &Path) -> Result<(Wal<FsDisk>, usize), Error> {
    let mut records = 0;
    let disk = FsDisk::create(dir).expect("create");
    let (wal, _) = Wal::open(disk, ReplayFrom::Beginning, |_| {
        records += 1;
        ControlFlow::Continue(())
    })?;
    Ok((wal, records))
}

/// Commits so much that segments and manifest are replaced several times.
fn commit_some(wal: &Wal<FsDisk>) {
    for _ in 0..8 {
        wal.commit(1, &[vec![7; 1 << 19]]).expect("commit");
    }
}

#[test]
fn a_moved_directory_stays_owned_by_its_log() {
    let around = tempfile::tempdir().expect("dir");
    let here = around.path().join("here");
    let there = around.path().join("there");
    let (first, _) = open(&here).expect("open");
    first.commit(1, &["one"]).expect("commit");
    fs::rename(&here, &there).expect("rename");
    let (second, records) = open(&here).expect("another log under the old name");
    assert_eq!(records, 0);
    commit_some(&first);
    commit_some(&second);
    assert!(matches!(open(&there), Err(Error::Locked { .. })));
    first.close().expect("close");
    second.close().expect("close");
    drop((first, second));
    assert_eq!(open(&here).expect("open").1, 8);
    assert_eq!(open(&there).expect("open").1, 9);
}

#[test]
fn removing_the_lock_file_admits_no_second_owner() {
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
    commit_some(&first);
    first.close().expect("close");
    drop(first);
    let (second, records) = open(dir).expect("the owner has released the lock");
    assert_eq!(records, 8);
    // The owner writes its process id into the file under that name.
    let pid = fs::read_to_string(dir.join("LOCK")).expect("read");
    assert_eq!(pid.trim(), std::process::id().to_string());
    drop(second);
}

/// The variable that names the directory in processes that a test starts from its own program.
const OWNED: &str = "ICN_TEST_OWNED";

/// The directory, in such a process.
fn owned() -> Option<PathBuf> {
    std::env::var_os(OWNED).map(PathBuf::from)
}

/// Runs the test `name` in another process, which finds `dir` in [`owned`].
fn process(name: &str, dir: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", name, "--nocapture"]).env(OWNED, dir);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("spawn")
}

#[test]
fn another_process_is_refused_until_the_owner_ends() {
    if let Some(dir) = owned() {
        let (wal, _) = open(&dir).expect("open");
        wal.commit(1, &["from the other process"]).expect("commit");
        println!("owned");
        // Until it is killed, or its parent ends.
        std::io::stdin().read_to_end(&mut Vec::new()).expect("read");
        return;
    }
    let around = tempfile::tempdir().expect("dir");
    let dir = around.path();
    let mut owner = process("owner::another_process_is_refused_until_the_owner_ends", dir);
    let said = BufReader::new(owner.stdout.take().expect("stdout")).lines();
    assert!(said.map_while(Result::ok).any(|line| line.ends_with("owned")));
    let pid = fs::read_to_string(dir.join("LOCK")).expect("read");
    assert_eq!(pid.trim(), owner.id().to_string());
    let refused = || matches!(open(dir), Err(Error::Locked { .. }));
    assert!(refused());
    fs::remove_file(dir.join("LOCK")).expect("remove");
    assert!(refused(), "LOCK is gone");
    owner.kill().expect("kill");
    owner.wait().expect("wait");
    assert_eq!(open(dir).expect("its owner is gone").1, 1);
}

#[test]
fn processes_own_the_directory_in_turn_while_the_lock_file_is_removed() {
    const NAME: &str = "owner::processes_own_the_directory_in_turn_while_the_lock_file_is_removed";
    if let Some(dir) = owned() {
        let (wal, records) = loop {
            match open(&dir) {
                Err(Error::Locked { .. }) => std::thread::yield_now(),
                opened => break opened.expect("nothing else is wrong"),
            }
        };
        let lsns = wal.commit(1, &[std::process::id().to_le_bytes()]).expect("commit");
        assert_eq!(lsns.end().get(), records as u64 + 1);
        wal.close().expect("close");
        return;
    }
    let around = tempfile::tempdir().expect("dir");
    let dir = around.path();
    let mut processes: Vec<_> = (0..6).map(|_| process(NAME, dir)).collect();
    let mut removed = 0;
    while processes.iter_mut().any(|process| process.try_wait().expect("wait").is_none()) {
        removed += usize::from(fs::remove_file(dir.join("LOCK")).is_ok());
    }
    assert!(processes.iter_mut().all(|process| process.wait().expect("wait").success()));
    assert!(removed > 0, "LOCK was never there to be removed");
    assert_eq!(open(dir).expect("open").1, processes.len());
}

#[test]
fn a_child_process_being_started_does_not_keep_the_lock() {
    let dir = tempfile::tempdir().expect("dir");
    let disk = FsDisk::create(dir.path()).expect("create");
    std::thread::scope(|scope| {
        let starter = scope.spawn(|| {
            for _ in 0..100 {
                Command::new("true").status().expect("start");
            }
        });
        while !starter.is_finished() {
            drop(disk.lock().expect("no other process owns it"));
        }
    });
}
