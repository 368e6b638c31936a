//! A short life of a log, and what it acknowledged.

use std::ops::ControlFlow;

use icn_wal::disk::{Faults, SimDisk};
use icn_wal::{Error, ReplayFrom, Wal};

/// How far a life got.
#[derive(Default)]
pub(crate) struct Life {
    /// The records whose append returned, and how many of them were acknowledged as durable.
    pub(crate) appended: Vec<Vec<u8>>,
    pub(crate) acknowledged: usize,
}

pub(crate) fn records(disk: &SimDisk) -> Result<Vec<(u64, Vec<u8>)>, Error> {
    let mut records = Vec::new();
    Wal::open(disk.clone(), ReplayFrom::Beginning, |record| {
        records.push((record.lsn.get(), record.bytes.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok(records)
}

pub(crate) fn record(number: usize) -> Vec<u8> {
    // Every fourth record spans sectors, so that a frame can be torn inside.
    let bytes = if number.is_multiple_of(4) { 1500 } else { 20 };
    format!("{number:>bytes$}").into_bytes()
}

/// Opens, appends, syncs, notes, closes and reopens, to the end or until the power is gone.
pub(crate) fn live(disk: &SimDisk, life: &mut Life) -> Result<(), Error> {
    for open in 0..3 {
        let (wal, _) =
            Wal::open(disk.clone(), ReplayFrom::Beginning, |_| ControlFlow::Continue(()))?;
        for turn in 0..4 {
            let batch: Vec<_> = (0..=turn).map(|at| record(life.appended.len() + at)).collect();
            wal.append(turn as u64, &batch)?;
            life.appended.extend(batch);
            if turn % 2 == 1 {
                wal.wait(wal.last().expect("appended"))?;
                life.acknowledged = life.appended.len();
            }
        }
        wal.note()?;
        if open != 1 {
            wal.close()?;
            life.acknowledged = life.appended.len();
        } else {
            wal.wait(wal.last().expect("appended"))?;
            life.acknowledged = life.appended.len();
        }
    }
    Ok(())
}

pub(crate) fn check(image: &SimDisk, life: &Life, what: &str) {
    let found = match records(image) {
        Ok(found) => found,
        Err(error) => panic!("{what}: refused: {error}"),
    };
    assert!(found.len() >= life.acknowledged, "{what}: lost an acknowledged record");
    assert!(found.len() <= life.appended.len(), "{what}: a record that was never appended");
    for (index, (lsn, bytes)) in found.iter().enumerate() {
        assert_eq!(bytes, &life.appended[index], "{what}: wrong record at LSN {lsn}");
    }
    assert!(found.is_sorted_by(|(a, _), (b, _)| a < b), "{what}: LSNs out of order");
    assert_eq!(records(image).expect("again"), found, "{what}: recovering twice is not once");
    let outcome = || {
        let opened = Wal::open(image.clone(), ReplayFrom::Beginning, |_| ControlFlow::Continue(()));
        let (wal, recovery) = opened.expect("again");
        (recovery, wal.last(), image.image_hash())
    };
    assert_eq!(outcome(), outcome(), "{what}: an open without an append changes something");
}

/// Opens the log for writing.
pub(crate) fn open(disk: &SimDisk) -> Wal<SimDisk> {
    let opened = Wal::open(disk.clone(), ReplayFrom::Beginning, |_| ControlFlow::Continue(()));
    opened.expect("open").0
}

/// The log in `disk` after a power loss between the activation of its next segment and the first
/// frame there.
pub(crate) fn begun(disk: &SimDisk) -> SimDisk {
    let wal = open(disk);
    wal.prepare().expect("room");
    // Header, its sync, name, directory; manifest, its sync, name, directory; and the frame.
    disk.set_faults(Faults { power_loss_at: Some(disk.operations() + 9), ..Faults::default() });
    wal.commit(0, &["lost"]).expect_err("the power goes");
    disk.power_loss(0)
}
