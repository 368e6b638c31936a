//! Group commit with its threads in many orders: `.ci/shuttle`.
//!
//! The promise: a record whose commit returned survives a power cut at that moment, every failed
//! waiter gets the first failure, and no thread waits for ever.

#![cfg(shuttle)]

use std::ops::ControlFlow;
use std::sync::Arc;

use icn_wal::disk::{Faults, SimDisk};
use icn_wal::{Error, ReplayFrom, Wal};
use shuttle::thread;

const COMMITS: usize = 3;

/// The number of schedules, unless `ICN_SCHEDULES` sets it.
fn schedules() -> usize {
    std::env::var("ICN_SCHEDULES").ok().and_then(|count| count.parse().ok()).unwrap_or(2_000)
}

fn log(disk: &SimDisk) -> Arc<Wal<SimDisk>> {
    let opened = Wal::open(disk.clone(), ReplayFrom::Beginning, |_| ControlFlow::Continue(()));
    Arc::new(opened.expect("open").0)
}

fn records(disk: &SimDisk) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    let visit = |record: icn_wal::Record<'_>| {
        found.push((record.lsn.get(), record.bytes.to_vec()));
        ControlFlow::Continue(())
    };
    Wal::open(disk.clone(), ReplayFrom::Beginning, visit).expect("recovers");
    found
}

/// Commits, and checks that acknowledged records are on the disk. Returns their number.
fn commit(wal: &Wal<SimDisk>, disk: &SimDisk, writer: usize) -> usize {
    for number in 0..COMMITS {
        let record = format!("{writer}/{number}").into_bytes();
        match wal.commit(0, &[&record]) {
            Ok(lsns) => {
                let kept = records(&disk.power_loss(0));
                assert!(kept.contains(&(lsns.end().get(), record)), "{lsns:?} is not durable");
            }
            Err(Error::Poisoned { .. } | Error::NotAppended { .. }) => return number,
            Err(error) => panic!("{error}"),
        }
    }
    COMMITS
}

#[test]
fn acknowledged_records_are_durable_and_no_waiter_waits_for_ever() {
    let scenario = || {
        let disk = SimDisk::new(1);
        let wal = log(&disk);
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let wal = Arc::clone(&wal);
                let disk = disk.clone();
                thread::spawn(move || commit(&wal, &disk, writer))
            })
            .collect();
        let house = {
            let wal = Arc::clone(&wal);
            thread::spawn(move || {
                wal.prepare().expect("room");
                wal.note().expect("note");
            })
        };
        let mut acknowledged = 0;
        for writer in writers {
            acknowledged += writer.join().expect("a writer");
        }
        house.join().expect("the housekeeper");
        assert_eq!(acknowledged, 4 * COMMITS);
        assert_eq!(records(&disk.power_loss(0)).len(), acknowledged);
    };
    shuttle::check_random(scenario, schedules());
    shuttle::check_pct(scenario, schedules() / 4, 3);
}

#[test]
fn a_failed_sync_is_reported_to_every_waiter() {
    let scenario = || {
        let disk = SimDisk::new(1);
        let wal = log(&disk);
        wal.commit(0, &["what begins the segment"]).expect("commit");
        disk.set_faults(Faults { sync_error_at: Some(disk.syncs() + 2), ..Faults::default() });
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let wal = Arc::clone(&wal);
                let disk = disk.clone();
                thread::spawn(move || {
                    let mut count = 0;
                    while let Ok(lsns) = wal.commit(0, &[[writer; 8]]) {
                        let kept = records(&disk.power_loss(0));
                        assert!(kept.iter().any(|(lsn, _)| *lsn == lsns.end().get()));
                        count += 1;
                    }
                    assert!(matches!(wal.commit(0, &["more"]), Err(Error::Poisoned { .. })));
                    count
                })
            })
            .collect();
        let counts = writers.into_iter().map(|writer| writer.join().expect("a writer"));
        let acknowledged: usize = counts.sum();
        assert!(acknowledged < records(&disk.power_loss(0)).len());
    };
    shuttle::check_random(scenario, schedules());
}

#[test]
fn a_stop_admits_no_frame_after_the_seal() {
    let scenario = || {
        let disk = SimDisk::new(1);
        let wal = log(&disk);
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let wal = Arc::clone(&wal);
                let disk = disk.clone();
                thread::spawn(move || commit(&wal, &disk, writer))
            })
            .collect();
        wal.close().expect("close");
        let counts = writers.into_iter().map(|writer| writer.join().expect("a writer"));
        let acknowledged: usize = counts.sum();
        drop(wal);
        let mut found = 0;
        let visit = |_: icn_wal::Record<'_>| {
            found += 1;
            ControlFlow::Continue(())
        };
        let (_, recovery) = Wal::open(disk.kill(), ReplayFrom::Beginning, visit).expect("recovers");
        // Without an append there is nothing to seal.
        assert!(recovery.clean || (found, recovery.segments) == (0, 0));
        assert!(found >= acknowledged);
    };
    shuttle::check_random(scenario, schedules());
}

#[test]
fn concurrent_drops_and_rotations_lose_nothing() {
    let scenario = || {
        let disk = SimDisk::new(1).with_segment_bytes_max(1 << 20);
        let wal = log(&disk);
        let record = vec![7; 400_000];
        let writers: Vec<_> = (0..3)
            .map(|_| {
                let wal = Arc::clone(&wal);
                let record = record.clone();
                thread::spawn(move || {
                    for _ in 0..3 {
                        let lsn = *wal.commit(0, &[&record]).expect("commit").end();
                        wal.drop_through(lsn).expect("drop");
                    }
                })
            })
            .collect();
        let house = {
            let wal = Arc::clone(&wal);
            thread::spawn(move || (0..3).for_each(|_| wal.prepare().expect("room")))
        };
        writers.into_iter().for_each(|writer| writer.join().expect("a writer"));
        house.join().expect("the housekeeper");
        drop(wal);
        let mut last = 0;
        let visit = |record: icn_wal::Record<'_>| {
            last = record.lsn.get();
            ControlFlow::Continue(())
        };
        Wal::open(disk.power_loss(0), ReplayFrom::Oldest, visit).expect("recovers");
        assert_eq!(last, 9);
    };
    shuttle::check_random(scenario, schedules() / 10);
}

#[test]
fn a_spare_that_pending_records_need_is_not_replaced() {
    let scenario = || {
        let disk = SimDisk::new(1);
        let wal = log(&disk);
        // The active segment is almost full, and the next one is prepared.
        wal.commit(0, &[vec![1; 900_000]]).expect("commit");
        wal.prepare().expect("room");
        // One append fits only into the spare, while the other finds it too small and would replace it.
        let writers = [vec![vec![2; 200_000]], vec![vec![3; 900_000]; 3]].map(|records| {
            let wal = Arc::clone(&wal);
            thread::spawn(move || {
                let lsns = wal.append(0, &records).expect("append");
                wal.wait(*lsns.end()).expect("durable");
            })
        });
        writers.into_iter().for_each(|writer| writer.join().expect("a writer"));
        drop(wal);
        assert_eq!(records(&disk.power_loss(0)).len(), 5);
    };
    shuttle::check_random(scenario, schedules() / 2);
}

#[test]
fn a_waiter_on_a_full_group_led_by_an_append_returns_once_it_is_durable() {
    let scenario = || {
        let disk = SimDisk::new(1);
        let wal = log(&disk);
        let busy = {
            let wal = Arc::clone(&wal);
            thread::spawn(move || {
                wal.commit(0, &["busy"]).expect("commit");
            })
        };
        // The second append finds the group full and waits only to be appended.
        let full = {
            let wal = Arc::clone(&wal);
            thread::spawn(move || {
                for _ in 0..2 {
                    wal.append(0, &[vec![7; 600_000]]).expect("append");
                }
            })
        };
        let lsn = *wal.append(0, &["awaited"]).expect("append").end();
        wal.wait(lsn).expect("durable");
        let kept = records(&disk.power_loss(0));
        assert!(kept.contains(&(lsn.get(), b"awaited".to_vec())), "{lsn:?} is not durable");
        busy.join().expect("a writer");
        full.join().expect("a writer");
    };
    shuttle::check_random(scenario, schedules());
}
