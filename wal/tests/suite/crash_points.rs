//! Power is cut at every operation of a short life of the log, and every image the disk may be left
//! with is recovered.
//!
//! The promise: every acknowledged record is recovered, in order, once. The records recovered are a
//! prefix of those appended. A second recovery finds the same. The log continues without giving out
//! an LSN twice that a reader could have seen.

use std::collections::HashSet;
use std::ops::ControlFlow;

use crate::common::{Life, check, live, open, record, records};

use icn_wal::disk::{Faults, SimDisk};
use icn_wal::{Error, Lsn, ReplayFrom, Wal};

#[test]
fn acked_records_survive_power_loss_at_every_operation() {
    let whole = SimDisk::new(1);
    live(&whole, &mut Life::default()).expect("no faults");
    let operations = whole.operations();
    let mut distinct = HashSet::new();
    let mut images = 0;
    for at in 1..=operations {
        let disk = SimDisk::new(1);
        disk.set_faults(Faults { power_loss_at: Some(at), ..Faults::default() });
        let mut life = Life::default();
        // A record whose append was interrupted may be recovered: it must be known as appended.
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
    let (wal, _) = Wal::open(disk.clone(), ReplayFrom::Beginning, |_| ControlFlow::Continue(()))
        .expect("open");
    wal.commit(0, &[record(0)]).expect("commit");
    life.appended.push(record(0));
    life.acknowledged = 1;
    for number in 1..9u8 {
        // No two of these fit into one group: each becomes a frame without a sync.
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
    let (wal, _) = Wal::open(disk.clone(), ReplayFrom::Beginning, |_| ControlFlow::Continue(()))
        .expect("open");
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
fn data_only_in_the_page_cache_is_synced_before_recovery_relies_on_it() {
    let pass = |_: icn_wal::Record<'_>| ControlFlow::Continue(());
    let life = |disk: &SimDisk| {
        let (wal, _) = Wal::open(disk.clone(), ReplayFrom::Oldest, pass)?;
        for number in 0..3 {
            wal.commit(0, &[vec![number; 700_000]])?;
        }
        drop(wal);
        let (wal, _) = Wal::open(disk.clone(), ReplayFrom::Oldest, pass)?;
        wal.drop_through(Lsn::new(2).expect("an LSN"))?;
        wal.commit(0, &["last"])
    };
    let whole = SimDisk::new(5).with_segment_bytes_max(1 << 20);
    let new = whole.fork();
    life(&whole).expect("a life");
    let without_power = |disk: &SimDisk, at: u64| {
        let disk = disk.fork();
        disk.set_faults(Faults { power_loss_at: Some(at), ..Faults::default() });
        disk
    };
    let mut images = HashSet::new();
    let mut check = |disk: &SimDisk, least: u64, what: &str| {
        for image in (0..24).map(|seed| disk.power_loss(seed)) {
            if images.insert((image.image_hash(), least)) {
                match Wal::open(image, ReplayFrom::Oldest, pass) {
                    Ok((_, found)) => assert!(found.last_lsn >= least, "{what}: {found:?}"),
                    Err(error) => panic!("{what}: {error}"),
                }
            }
        }
    };
    for at in 1..=whole.operations() {
        let disk = without_power(&new, at);
        life(&disk).expect_err("the power goes before the end");
        check(&disk, 0, &format!("operation {at}"));
        let killed = disk.kill();
        let probe = killed.fork();
        let shown =
            Wal::open(probe.clone(), ReplayFrom::Oldest, pass).expect("recovers").1.last_lsn;
        check(&probe, shown, &format!("operation {at}, and after the next open"));
        for inside in killed.operations() + 1..=probe.operations() {
            let disk = without_power(&killed, inside);
            let _ = Wal::open(disk.clone(), ReplayFrom::Oldest, pass);
            check(&disk, 0, &format!("operation {at}, and again at {inside}"));
        }
    }
    assert!(images.len() > 20, "{}", images.len());
}

#[test]
fn after_a_failed_sync_no_append_is_accepted() {
    let disk = SimDisk::new(4);
    let (wal, _) = Wal::open(disk.clone(), ReplayFrom::Beginning, |_| ControlFlow::Continue(()))
        .expect("open");
    wal.commit(0, &["fine"]).expect("commit");
    wal.check().expect("appends are taken");
    disk.set_faults(Faults { sync_error_at: Some(disk.syncs() + 1), ..Faults::default() });
    assert!(matches!(wal.commit(0, &["lost"]), Err(Error::Poisoned { .. })));
    assert!(matches!(wal.check(), Err(Error::Poisoned { .. })));
    assert!(matches!(wal.commit(0, &["more"]), Err(Error::Poisoned { .. })));
    assert!(matches!(wal.close(), Err(Error::Poisoned { .. })));
    assert_eq!(wal.durable(), Lsn::new(1));
}

#[test]
fn a_full_disk_refuses_appends_and_loses_nothing() {
    let disk = SimDisk::new(5);
    let (wal, _) = Wal::open(disk.clone(), ReplayFrom::Beginning, |_| ControlFlow::Continue(()))
        .expect("open");
    wal.prepare().expect("room");
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
    wal.prepare().expect("there is room again");
    wal.commit(0, std::slice::from_ref(&record)).expect("commit");
    wal.close().expect("close");
    drop(wal);
    assert_eq!(records(&disk).expect("open").len(), taken + 1);
}

#[test]
fn a_log_on_a_full_disk_opens_and_reads_unchanged() {
    let disk = SimDisk::new(6);
    let (wal, _) = Wal::open(disk.clone(), ReplayFrom::Beginning, |_| ControlFlow::Continue(()))
        .expect("open");
    wal.commit(0, &["there"]).expect("commit");
    drop(wal);
    let image = disk.image_hash();
    let full = || Faults { full: 0..u64::MAX, ..Faults::default() };
    disk.set_faults(full());
    assert_eq!(records(&disk).expect("a start needs no room").len(), 1);
    let wal = open(&disk);
    let error = wal.commit(0, &["refused"]).expect_err("there is no room");
    assert!(matches!(error, Error::NoSpace { .. }), "{error}");
    wal.close().expect("a stop of what has not begun needs none either");
    drop(wal);
    assert_eq!(disk.image_hash(), image);
    disk.set_faults(Faults::default());
    open(&disk).commit(0, &["taken"]).expect("there is room again");
    assert_eq!(records(&disk).expect("open").len(), 2);
    // But a new store needs space for its id.
    let new = SimDisk::new(6);
    new.set_faults(full());
    let error = records(&new).expect_err("a new store");
    assert!(matches!(error, Error::NoSpace { .. }), "{error}");
}

#[test]
fn a_log_whose_lsns_have_jumped_can_be_closed_at_once() {
    let disk = SimDisk::new(3);
    let (wal, _) = Wal::open(disk.clone(), ReplayFrom::Beginning, |_| ControlFlow::Continue(()))
        .expect("open");
    wal.commit(0, &["one"]).expect("commit");
    for number in 0..4u8 {
        // Frames without a sync.
        wal.append(0, &[vec![number; 700_000]]).expect("append");
    }
    drop(wal);
    let mut jumped = 0;
    for seed in 0..64 {
        let image = disk.power_loss(seed);
        let open =
            || Wal::open(image.clone(), ReplayFrom::Beginning, |_| ControlFlow::Continue(()));
        let (wal, recovery) = open().expect("open");
        let last = wal.last();
        jumped += usize::from(last.map(Lsn::get) > Some(recovery.last_lsn));
        wal.prepare().expect("room");
        wal.note().expect("note");
        wal.close().expect("close");
        drop(wal);
        let (wal, again) = open().expect("open");
        // An open that writes nothing records no stop; a segment without a frame proves all before it.
        assert!(again.clean || recovery.torn_bytes == 0, "seed {seed}: {recovery:?}");
        assert_eq!(again.last_lsn, recovery.last_lsn, "seed {seed}");
        assert_eq!(wal.last(), last, "seed {seed}");
    }
    assert!(jumped > 0, "no torn tail has moved the next LSN");
}

#[test]
fn leftovers_of_a_crash_free_space_for_the_next_start() {
    let disk = SimDisk::new(6);
    let wal = open(&disk);
    wal.commit(0, &["there"]).expect("commit");
    wal.prepare().expect("room");
    drop(wal);
    let disk = disk.kill();
    // The next segment needs the space of the one that was prepared and never used.
    disk.set_faults(Faults { room: Some(0), ..Faults::default() });
    open(&disk).commit(0, &["more"]).expect("there is room");
    assert_eq!(records(&disk).expect("open").len(), 2);
}
