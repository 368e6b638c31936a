//! Tickets: commits without a thread for each.

use std::future::Future;
use std::ops::ControlFlow;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use icn_wal::disk::{Faults, SimDisk};
use icn_wal::{Committer, Error, Lsn, ReplayFrom, Wal};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::common::{open, records};

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("a runtime")
}

/// Fails a test that waits for ever.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("a ticket waits for ever")
}

/// Tasks that commit one record after the other; returns how many were acknowledged.
async fn commit(wal: &Arc<Wal<SimDisk>>, tasks: usize, each: usize) -> usize {
    let mut set = JoinSet::new();
    for task in 0..tasks {
        let wal = Arc::clone(wal);
        set.spawn(async move {
            let mut done = 0;
            for number in 0..each {
                let Ok(lsns) = wal.append(0, &[format!("{task}/{number}")]) else { break };
                if wal.ticket(*lsns.end()).await.is_err() {
                    break;
                }
                done += 1;
            }
            done
        });
    }
    soon(set.join_all()).await.into_iter().sum()
}

#[test]
fn many_tasks_commit_with_a_committer_and_without_one() {
    for with in [true, false] {
        let disk = SimDisk::new(1);
        let wal = Arc::new(open(&disk));
        let committer = with.then(|| Committer::start(Arc::clone(&wal)).expect("a thread"));
        assert_eq!(runtime().block_on(commit(&wal, 200, 20)), 4000);
        assert!(!with || wal.stats().syncs < 3000, "no group was ever shared");
        drop(committer);
        assert!(Arc::into_inner(wal).is_some(), "the committer has not ended");
        assert_eq!(records(&disk.power_loss(0)).expect("recovers").len(), 4000);
    }
}

#[test]
fn tickets_and_threads_share_groups() {
    let disk = SimDisk::new(1);
    let wal = Arc::new(open(&disk));
    let _committer = Committer::start(Arc::clone(&wal)).expect("a thread");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let wal = &wal;
            scope.spawn(move || {
                for number in 0..200 {
                    wal.commit(0, &[format!("thread {thread}/{number}")]).expect("commit");
                }
            });
        }
        assert_eq!(runtime().block_on(commit(&wal, 50, 20)), 1000);
    });
    assert_eq!(records(&disk.power_loss(0)).expect("recovers").len(), 1800);
}

#[test]
fn appends_that_wait_for_the_same_segment_prepare_one() {
    for _ in 0..200 {
        let wal = Arc::new(open(&SimDisk::new(1)));
        let gate = Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    gate.wait();
                    wal.commit(0, &["first"]).expect("commit");
                });
            }
        });
        assert!(wal.lacks_spare(), "a segment was prepared that nothing needs");
    }
}

#[test]
fn a_failed_sync_is_reported_to_every_ticket() {
    let disk = SimDisk::new(1);
    let wal = Arc::new(open(&disk));
    let _committer = Committer::start(Arc::clone(&wal)).expect("a thread");
    // Past the syncs that begin the segment; a failure to prepare another one does not poison the log.
    wal.commit(0, &["first"]).expect("commit");
    disk.set_faults(Faults { sync_error_at: Some(disk.syncs() + 5), ..Faults::default() });
    let acknowledged = runtime().block_on(commit(&wal, 50, 100));
    assert!(acknowledged < 5000);
    let error = runtime().block_on(soon(wal.ticket(wal.last().expect("appended"))));
    assert!(matches!(error, Err(Error::Poisoned { .. })), "{error:?}");
    assert!(records(&disk.power_loss(0)).expect("recovers").len() >= acknowledged);
}

#[test]
fn a_dropped_committer_leaves_no_ticket_waiting() {
    let disk = SimDisk::new(1);
    let wal = Arc::new(open(&disk));
    runtime().block_on(async {
        for _ in 0..50 {
            let committer = Committer::start(Arc::clone(&wal)).expect("a thread");
            let wal = Arc::clone(&wal);
            let tasks = 20;
            let work = tokio::spawn(async move { commit(&wal, tasks, 5).await });
            tokio::task::spawn_blocking(move || drop(committer)).await.expect("a drop");
            assert_eq!(soon(work).await.expect("a task"), 100);
        }
    });
}

#[test]
fn dropping_one_of_two_committers_ends_only_that_one() {
    let wal = Arc::new(open(&SimDisk::new(1)));
    runtime().block_on(async {
        for _ in 0..50 {
            let [first, second] =
                [(); 2].map(|()| Committer::start(Arc::clone(&wal)).expect("a thread"));
            assert_eq!(commit(&wal, 4, 1).await, 4);
            soon(tokio::task::spawn_blocking(move || drop(second))).await.expect("a drop");
            assert_eq!(commit(&wal, 4, 1).await, 4);
            soon(tokio::task::spawn_blocking(move || drop(first))).await.expect("a drop");
        }
    });
}

#[test]
fn a_ticket_for_what_was_never_appended_is_refused() {
    let disk = SimDisk::new(1);
    let (wal, _) =
        Wal::open(disk, ReplayFrom::Beginning, |_| ControlFlow::Continue(())).expect("open");
    let lsn = Lsn::new(7).expect("an LSN");
    let error = runtime().block_on(soon(wal.ticket(lsn)));
    assert!(matches!(error, Err(Error::NotAppended { lsn: 7 })), "{error:?}");
}

#[test]
fn a_ticket_for_an_lsn_of_a_torn_tail_does_not_wait_for_ever() {
    let disk = SimDisk::new(3);
    let wal = open(&disk);
    wal.commit(0, &["one"]).expect("commit");
    for number in 0..4u8 {
        // Frames without a sync.
        wal.append(0, &[vec![number; 700_000]]).expect("append");
    }
    drop(wal);
    let jumped = (0..64).map(|seed| disk.power_loss(seed)).find_map(|image| {
        let (wal, recovery) =
            Wal::open(image, ReplayFrom::Beginning, |_| ControlFlow::Continue(())).expect("open");
        (wal.last().map(Lsn::get) > Some(recovery.last_lsn)).then_some(wal)
    });
    let wal = Arc::new(jumped.expect("a torn tail that moves the next LSN"));
    let last = wal.last().expect("an LSN");
    let _committer = Committer::start(Arc::clone(&wal)).expect("a thread");
    runtime().block_on(soon(wal.ticket(last))).expect("nothing is missing before it");
    wal.wait(last).expect("nothing is missing before it");
}
