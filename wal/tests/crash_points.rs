//! Power is cut at every operation of a short life of the log, and every image the disk may be left
//! with is recovered.
//!
//! The promise: every acknowledged record is there, in order, once; what else is there was
//! appended, and is a prefix of it; recovering the recovered log changes nothing; and the log goes
//! on without ever giving a number twice that somebody could have seen.

use std::collections::HashSet;
use std::ops::ControlFlow;

use icn_wal::{Error, Faults, From, Lsn, SimDisk, Wal};

/// How far a life got.
#[derive(Default)]
struct Life {
    /// The records whose append returned, and how many of them were acknowledged as durable.
    appended: Vec<Vec<u8>>,
    acknowledged: usize,
}

fn records(disk: &SimDisk) -> Result<Vec<(u64, Vec<u8>)>, Error> {
    let mut records = Vec::new();
    Wal::open(disk.clone(), From::Beginning, |record| {
        records.push((record.lsn.get(), record.bytes.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok(records)
}

fn record(number: usize) -> Vec<u8> {
    // Every fourth record spans sectors, so that a frame can be torn inside.
    let bytes = if number.is_multiple_of(4) { 1500 } else { 20 };
    format!("{number:>bytes$}").into_bytes()
}

/// Opens, appends, syncs, notes, closes and opens again, until done or until the power is gone.
fn live(disk: &SimDisk, life: &mut Life) -> Result<(), Error> {
    for open in 0..3 {
        let (wal, _) = Wal::open(disk.clone(), From::Beginning, |_| ControlFlow::Continue(()))?;
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

fn check(image: &SimDisk, life: &Life, what: &str) {
    let found = match records(image) {
        Ok(found) => found,
        Err(error) => panic!("{what}: refused: {error}"),
    };
    assert!(found.len() >= life.acknowledged, "{what}: lost an acknowledged record");
    assert!(found.len() <= life.appended.len(), "{what}: a record nobody appended");
    for (index, (lsn, bytes)) in found.iter().enumerate() {
        assert_eq!(bytes, &life.appended[index], "{what}: wrong record at LSN {lsn}");
    }
    assert!(found.is_sorted_by(|(a, _), (b, _)| a < b), "{what}: LSNs out of order");
    assert_eq!(records(image).expect("again"), found, "{what}: recovering twice is not once");
}

#[test]
fn power_loss_at_every_operation_loses_nothing_acknowledged() {
    let whole = SimDisk::new(1);
    live(&whole, &mut Life::default()).expect("no faults");
    let operations = whole.operations();
    let mut distinct = HashSet::new();
    let mut images = 0;
    for at in 1..=operations {
        let disk = SimDisk::new(1);
        disk.set_faults(Faults { power_loss_at: Some(at), ..Faults::default() });
        let mut life = Life::default();
        // A record whose append was interrupted may be there or not: it has to be known as appended.
        live(&disk, &mut life).expect_err("the power goes before the end");
        for seed in 0..48 {
            images += 1;
            let image = disk.power_loss(seed);
            if distinct.insert((image.image_hash(), life.acknowledged)) {
                check(&image, &life, &format!("operation {at}, seed {seed}"));
            }
        }
        check(&disk.kill(), &life, &format!("kill at operation {at}"));
    }
    println!("{operations} operations, {images} images, {} distinct", distinct.len());
    assert!(distinct.len() > 100, "too few images to mean anything: {}", distinct.len());
}

#[test]
fn unsynced_frames_may_survive_in_any_combination() {
    let disk = SimDisk::new(6);
    let mut life = Life::default();
    let (wal, _) =
        Wal::open(disk.clone(), From::Beginning, |_| ControlFlow::Continue(())).expect("open");
    wal.commit(0, &[record(0)]).expect("commit");
    life.appended.push(record(0));
    life.acknowledged = 1;
    for number in 1..9u8 {
        // Two of these do not share a group: each becomes a frame that nobody syncs.
        let bytes = vec![number; 700_000];
        wal.append(0, std::slice::from_ref(&bytes)).expect("append");
        life.appended.push(bytes);
    }
    let mut lengths = HashSet::new();
    for seed in 0..64 {
        let image = disk.power_loss(seed);
        check(&image, &life, &format!("seed {seed}"));
        lengths.insert(records(&image).expect("open").len());
    }
    assert!(lengths.len() > 2, "every image lost the same: {lengths:?}");
}

#[test]
fn power_loss_inside_recovery_changes_nothing() {
    let disk = SimDisk::new(2);
    let mut life = Life::default();
    let (wal, _) =
        Wal::open(disk.clone(), From::Beginning, |_| ControlFlow::Continue(())).expect("open");
    for number in 0..6 {
        wal.append(0, &[record(number)]).expect("append");
        life.appended.push(record(number));
        if number == 3 {
            wal.wait(Lsn::new(4).expect("lsn")).expect("wait");
            life.acknowledged = 4;
        }
    }
    drop(wal);
    for first in 0..8 {
        let torn = disk.power_loss(first);
        let probe = torn.fork();
        records(&probe).expect("recovers");
        for at in 1..=probe.operations() - torn.operations() {
            for second in 0..4 {
                let again = torn.fork();
                again.set_faults(Faults {
                    power_loss_at: Some(torn.operations() + at),
                    ..Faults::default()
                });
                let _ = records(&again);
                let image = again.power_loss(second);
                check(&image, &life, &format!("image {first}, operation {at}, seed {second}"));
            }
        }
    }
}

#[test]
fn a_failed_sync_is_final_and_what_was_acknowledged_stays() {
    for at in 1..40 {
        let disk = SimDisk::new(3);
        disk.set_faults(Faults { sync_error_at: Some(at), ..Faults::default() });
        let mut life = Life::default();
        if live(&disk, &mut life).is_ok() {
            continue;
        }
        disk.set_faults(Faults::default());
        for seed in 0..16 {
            check(&disk.power_loss(seed), &life, &format!("sync {at}, seed {seed}"));
        }
    }
}

#[test]
fn after_a_failed_sync_nothing_more_is_taken() {
    let disk = SimDisk::new(4);
    let (wal, _) =
        Wal::open(disk.clone(), From::Beginning, |_| ControlFlow::Continue(())).expect("open");
    wal.commit(0, &["fine"]).expect("commit");
    disk.set_faults(Faults { sync_error_at: Some(disk.syncs() + 1), ..Faults::default() });
    assert!(matches!(wal.commit(0, &["lost"]), Err(Error::Poisoned { .. })));
    assert!(matches!(wal.commit(0, &["more"]), Err(Error::Poisoned { .. })));
    assert!(matches!(wal.close(), Err(Error::Poisoned { .. })));
    assert_eq!(wal.durable(), Lsn::new(1));
}

#[test]
fn a_full_disk_refuses_appends_and_loses_nothing() {
    let disk = SimDisk::new(5);
    let (wal, _) =
        Wal::open(disk.clone(), From::Beginning, |_| ControlFlow::Continue(())).expect("open");
    disk.set_faults(Faults { room: Some(100_000), ..Faults::default() });
    let record = vec![5; 100_000];
    let mut taken = 0;
    let error = loop {
        match wal.commit(0, std::slice::from_ref(&record)) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::NoSpace { .. }), "{error}");
    assert!(taken > 5);
    disk.set_faults(Faults::default());
    wal.commit(0, std::slice::from_ref(&record)).expect("there is room again");
    wal.close().expect("close");
    drop(wal);
    assert_eq!(records(&disk).expect("open").len(), taken + 1);
}
