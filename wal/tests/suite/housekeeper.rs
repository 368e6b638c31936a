//! The housekeeper: its work is done, once, and not too early.

#![expect(clippy::disallowed_methods, reason = "a test against the clock")]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use icn_wal::disk::{Faults, SimDisk};
use icn_wal::{Error, Housekeeper, ReplayFrom, Wal};

use crate::common::open;

/// How long after the last commit a note may come at the earliest.
const IDLE: Duration = Duration::from_millis(20);

/// How long a disk without space is not tried again.
const RETRY: Duration = Duration::from_secs(2);

/// A record of which few fit into a segment.
static LARGE: [u8; 300_000] = [7; 300_000];

fn kept() -> (Arc<Wal<SimDisk>>, Housekeeper) {
    keep(SimDisk::new(1))
}

fn keep(disk: SimDisk) -> (Arc<Wal<SimDisk>>, Housekeeper) {
    let (wal, _) =
        Wal::open(disk, ReplayFrom::Beginning, |_| ControlFlow::Continue(())).expect("open");
    let wal = Arc::new(wal);
    let house = Housekeeper::start(Arc::clone(&wal)).expect("thread");
    (wal, house)
}

/// A log on a full disk that has refused an append.
fn filled(disk: &SimDisk) -> (Arc<Wal<SimDisk>>, Housekeeper) {
    let (wal, house) = keep(disk.clone());
    wait_for(|| !wal.lacks_spare());
    disk.set_faults(Faults { full: 0..u64::MAX, ..Faults::default() });
    let refused = loop {
        if let Err(error) = wal.commit(0, &[&LARGE]) {
            break error;
        }
    };
    assert!(matches!(refused, Error::NoSpace { .. }), "{refused}");
    (wal, house)
}

#[track_caller]
fn wait_for(done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "it never happens");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_housekeeper_prepares_the_next_segment() {
    let (wal, _house) = kept();
    wait_for(|| !wal.lacks_spare());
}

#[test]
fn an_idle_log_gets_exactly_one_note_after_the_idle_interval() {
    let (wal, house) = kept();
    for turn in 1..6 {
        let before = Instant::now();
        wal.commit(0, &["record"]).expect("commit");
        wait_for(|| wal.stats().frames == 2 * turn);
        assert!(before.elapsed() >= IDLE, "a note while commits may be coming");
    }
    // A second note would come within ten intervals.
    std::thread::sleep(10 * IDLE);
    assert_eq!(wal.stats().frames, 10);
    drop(house);
}

#[test]
fn the_housekeeper_proves_what_a_crash_left_unproven_without_an_append() {
    let disk = SimDisk::new(1);
    open(&disk).commit(0, &["record"]).expect("commit");
    for frames in [1, 0] {
        let (wal, house) = keep(disk.clone());
        wait_for(|| !wal.lacks_spare() && wal.stats().frames == frames);
        std::thread::sleep(10 * IDLE);
        assert_eq!(wal.stats().frames, frames);
        drop(house);
        let recovery = icn_wal::read(&disk, ReplayFrom::Beginning, |_| ControlFlow::Continue(()));
        assert_eq!(recovery.expect("whole").incarnation, 2);
    }
}

#[test]
fn only_the_housekeeper_retries_a_full_disk_and_appends_then_resume() {
    let disk = SimDisk::new(1);
    let (wal, _house) = filled(&disk);
    let before = disk.growths();
    let since = Instant::now();
    for time in 0..10_000 {
        let refused = wal.append(time * 60_000, &["small"]);
        assert!(matches!(refused, Err(Error::NoSpace { .. })), "{refused:?}");
    }
    // One attempt in two seconds, and each fails at its first file.
    let tries = disk.growths() - before;
    assert!(tries <= 1 + since.elapsed().as_secs(), "{tries} tries");
    // It keeps trying, each time after a pause.
    wait_for(|| disk.growths() > before);
    std::thread::sleep(10 * IDLE);
    let before = disk.growths();
    wait_for(|| disk.growths() > before);
    assert!(since.elapsed() > RETRY / 2, "two tries in {:?}", since.elapsed());
    disk.set_faults(Faults::default());
    wait_for(|| wal.append(0, &[&LARGE]).is_ok());
}

#[test]
fn a_sleeping_housekeeper_wakes_when_an_append_finds_no_space() {
    let disk = SimDisk::new(1);
    let (wal, _house) = keep(disk.clone());
    wal.commit(0, &["record"]).expect("commit");
    // It has written its note and sleeps.
    wait_for(|| wal.stats().frames == 2);
    std::thread::sleep(10 * IDLE);
    disk.set_faults(Faults { full: 0..u64::MAX, ..Faults::default() });
    // Too large for the prepared segment.
    let large = vec![7; 1_000_000];
    let refused = wal.append(0, &[&large; 3]).expect_err("no room");
    assert!(matches!(refused, Error::NoSpace { .. }), "{refused}");
    disk.set_faults(Faults::default());
    wait_for(|| wal.append(0, &["small"]).is_ok());
}

#[test]
fn without_a_housekeeper_appends_retry_a_full_disk() {
    let disk = SimDisk::new(1);
    let (wal, house) = filled(&disk);
    drop(house);
    disk.set_faults(Faults::default());
    let refused = wal.append(0, &["at the same moment"]);
    assert!(matches!(refused, Err(Error::NoSpace { .. })), "{refused:?}");
    wal.append(60_000, &[&LARGE]).expect("room");
}
