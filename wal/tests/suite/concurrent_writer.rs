//! A reader without the lock, while a writer acts between any two of its accesses.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use icn_wal::disk::SimDisk;
use icn_wal::segment_info::segments;
use icn_wal::{Error, Lsn, ReplayFrom, Wal, read};

use crate::common::{begun, open};
use crate::watched::{Operation, Watched};

/// What the writer does.
type Act = Box<dyn FnOnce() + Send>;

/// An action of the writer right before the reader's n-th access to a name.
#[derive(Clone)]
struct ActionAt(Arc<Mutex<(usize, Option<Act>)>>);

impl ActionAt {
    fn new(at: usize, act: impl FnOnce() + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new((at, Some(Box::new(act))))))
    }

    /// Whether the reader has made that many accesses.
    fn done(&self) -> bool {
        self.0.lock().expect("action").1.is_none()
    }

    fn watch(&self, disk: &SimDisk) -> Watched {
        let action = self.clone();
        Watched::new(disk.clone(), move |look| {
            if look != Operation::Read {
                action.look();
            }
        })
    }

    fn look(&self) {
        let act = {
            let mut action = self.0.lock().expect("action");
            let (left, act) = &mut *action;
            *left = left.saturating_sub(1);
            if *left == 0 { act.take() } else { None }
        };
        if let Some(act) = act {
            act();
        }
    }
}

/// A log of four segments with a record each and a new one without, and its writer.
fn log() -> (SimDisk, Wal<SimDisk>) {
    let disk = SimDisk::new(3);
    for number in 1..=4 {
        open(&disk).commit(0, &[format!("record {number}")]).expect("commit");
    }
    let disk = begun(&disk);
    let wal = open(&disk);
    (disk, wal)
}

/// Reads from the oldest record on while `act` happens at the reader's `at`-th access; `None` once
/// the reader makes fewer accesses.
fn read_while(
    at: usize,
    act: impl FnOnce(SimDisk, Wal<SimDisk>) + Send + 'static,
) -> Option<Result<Vec<u64>, Error>> {
    let (disk, wal) = log();
    let action = ActionAt::new(at, {
        let disk = disk.clone();
        move || act(disk, wal)
    });
    let mut lsns = Vec::new();
    let found = read(&action.watch(&disk), ReplayFrom::Oldest, |record| {
        assert_eq!(record.bytes, format!("record {}", record.lsn).as_bytes());
        lsns.push(record.lsn.get());
        ControlFlow::Continue(())
    });
    if let Ok(found) = &found {
        assert_eq!(found.replayed, lsns.len() as u64);
    }
    action.done().then_some(())?;
    segments(&disk).expect("a whole log");
    Some(found.map(|_| lsns))
}

#[test]
fn a_reader_never_takes_a_drop_for_damage() {
    let mut missed = 0;
    for at in 1.. {
        let found = read_while(at, |_, wal| {
            assert_eq!(wal.drop_through(Lsn::new(3).expect("an LSN")).expect("drop"), 3);
        });
        match found {
            None => break,
            Some(Ok(lsns)) => assert!(lsns == [1, 2, 3, 4] || lsns == [4], "look {at}: {lsns:?}"),
            // A hole between the records read so far and those left is reported.
            Some(Err(Error::Missing { first: 4, .. })) => missed += 1,
            Some(Err(error)) => panic!("look {at}: {error}"),
        }
        assert!(at < 100);
    }
    assert!(missed > 0);
}

#[test]
fn a_reader_never_takes_a_restart_of_the_writer_for_damage() {
    for at in 1.. {
        // The start after the next record removes the segment that was never used.
        let found = read_while(at, |disk, wal| {
            wal.commit(0, &["record 5"]).expect("commit");
            drop(wal);
            drop(open(&disk));
        });
        match found {
            None => break,
            Some(Ok(lsns)) => assert!(lsns.len() >= 4 && lsns.is_sorted(), "look {at}: {lsns:?}"),
            Some(Err(error)) => panic!("look {at}: {error}"),
        }
        assert!(at < 100);
    }
}

#[test]
fn a_reader_never_takes_a_log_being_created_for_damage() {
    for at in 1.. {
        let disk = SimDisk::new(3);
        let action = ActionAt::new(at, {
            let disk = disk.clone();
            move || {
                open(&disk).commit(0, &["record 1"]).expect("commit");
            }
        });
        let found = read(&action.watch(&disk), ReplayFrom::Oldest, |_| ControlFlow::Continue(()));
        if !action.done() {
            break;
        }
        assert!(found.expect("no damage").replayed <= 1);
        assert!(at < 100);
    }
}
