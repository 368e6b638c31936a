//! The work beside the commits: it is done, once, and not too early.

#![expect(clippy::disallowed_methods, reason = "a test against the clock")]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use icn_wal::{From, Housekeeper, SimDisk, Wal};

/// How long after the last commit a note may come at the earliest.
const IDLE: Duration = Duration::from_millis(20);

fn kept() -> (Arc<Wal<SimDisk>>, Housekeeper) {
    let disk = SimDisk::new(1);
    let (wal, _) = Wal::open(disk, From::Beginning, |_| ControlFlow::Continue(())).expect("open");
    let wal = Arc::new(wal);
    let house = Housekeeper::start(Arc::clone(&wal)).expect("thread");
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
fn the_next_segment_is_made_ready() {
    let (wal, _house) = kept();
    wait_for(|| !wal.wants_spare());
}

#[test]
fn a_log_at_rest_gets_one_note_and_not_before() {
    let (wal, house) = kept();
    for turn in 1..6 {
        let before = Instant::now();
        wal.commit(0, &["record"]).expect("commit");
        wait_for(|| wal.stats().frames == 2 * turn);
        assert!(before.elapsed() >= IDLE, "a note while commits may be coming");
    }
    // If there were a second note, ten of its turns would show it.
    std::thread::sleep(10 * IDLE);
    assert_eq!(wal.stats().frames, 10);
    drop(house);
}
