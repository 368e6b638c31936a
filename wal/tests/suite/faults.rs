//! Every call that can fail fails once, at every place of a short life.
//!
//! The promise: acknowledged records survive, the failed call reports an error, and without the
//! fault the log continues.

use std::ops::ControlFlow;

use icn_wal::disk::{Faults, SimDisk};
use icn_wal::{Error, ReplayFrom, Wal};

use crate::common::{Life, check, live, open, records};

/// Lives with one fault each, for as long as there is a call that can fail.
fn sweep(fault: impl Fn(u64) -> Faults, least: u64) {
    let mut failed = 0;
    for at in 1.. {
        let disk = SimDisk::new(at);
        disk.set_faults(fault(at));
        let mut life = Life::default();
        if live(&disk, &mut life).is_ok() {
            break;
        }
        failed += 1;
        disk.set_faults(Faults::default());
        for seed in 0..16 {
            check(&disk.power_loss(seed), &life, &format!("fault {at}, power loss {seed}"));
        }
        let killed = disk.kill();
        check(&killed, &life, &format!("fault {at}, kill"));
        // Records that a recovery has returned must survive a power loss after it.
        let seen = records(&killed).expect("recovers");
        assert_eq!(records(&killed.power_loss(0)).expect("recovers"), seen, "fault {at}");
    }
    assert!(failed >= least, "only {failed} calls could fail");
}

#[test]
fn a_failed_sync_is_final_and_acknowledged_records_stay() {
    for sync_error_keeps in [false, true] {
        sweep(|at| Faults { sync_error_at: Some(at), sync_error_keeps, ..Faults::default() }, 20);
    }
}

#[test]
fn a_failed_write_loses_nothing_acknowledged() {
    sweep(|at| Faults { write_error_at: Some(at), ..Faults::default() }, 30);
}

#[test]
fn a_failed_open_loses_nothing_acknowledged() {
    sweep(|at| Faults { open_error_at: Some(at), ..Faults::default() }, 10);
}

#[test]
fn a_read_that_fails_is_an_error_and_never_the_end_of_the_log() {
    let disk = SimDisk::new(1);
    let mut life = Life::default();
    live(&disk, &mut life).expect("a life");
    let disk = disk.kill();
    for at in 1.. {
        let probe = disk.fork();
        let [_, before, _] = probe.traffic();
        probe.set_faults(Faults { read_error_at: Some(before + at), ..Faults::default() });
        match records(&probe) {
            Ok(found) => {
                assert_eq!(found.len(), life.appended.len());
                assert!(at > 5, "hardly anything was read");
                break;
            }
            Err(error) => assert!(matches!(error, Error::Io { .. }), "read {at}: {error}"),
        }
        probe.set_faults(Faults::default());
        check(&probe.kill(), &life, &format!("read {at}"));
    }
}

#[test]
fn a_full_disk_at_every_byte_count_loses_nothing() {
    for room in (0..4 << 20).step_by(300_001) {
        let disk = SimDisk::new(room);
        disk.set_faults(Faults { room: Some(room), ..Faults::default() });
        let mut life = Life::default();
        let _ = live(&disk, &mut life);
        disk.set_faults(Faults::default());
        for seed in 0..4 {
            check(&disk.power_loss(seed), &life, &format!("room {room}, power loss {seed}"));
        }
        check(&disk.kill(), &life, &format!("room {room}, kill"));
    }
}

#[test]
fn a_clock_that_jumps_back_changes_no_order() {
    let disk = SimDisk::new(1);
    let wal = open(&disk);
    for time in [1000, 5, u64::MAX - 1, 0, 77] {
        wal.commit(time, &["tick"]).expect("commit");
    }
    drop(wal);
    let mut times = Vec::new();
    let again = Wal::open(disk.kill(), ReplayFrom::Beginning, |record| {
        times.push(record.time_ms);
        ControlFlow::Continue(())
    });
    again.expect("open");
    assert_eq!(times, [1000, 1000, u64::MAX - 1, u64::MAX - 1, u64::MAX - 1]);
}
