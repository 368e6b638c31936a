//! Followers get every record once, in order, and none that a crash could take back. A concurrent
//! writer is never taken for damage.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use icn_wal::damage::Reason;
use icn_wal::disk::{Disk, DiskFile, SimDisk};
use icn_wal::limits::SEGMENT_BYTES_MIN;
use icn_wal::{Error, Follower, Lsn, ReplayFrom, Wal};

use crate::common::open;
use crate::watched::{Operation, Watched};

/// Long enough that a segment holds a few of them.
fn record(lsn: u64) -> Vec<u8> {
    let mut bytes = format!("{lsn:>20}").into_bytes();
    bytes.resize(150_000, b' ');
    bytes
}

/// Polls once and adds the visited LSNs.
fn poll<D: Disk>(follower: &mut Follower<D>, visited: &mut Vec<u64>) -> Result<(), Error> {
    follower.poll(|found| {
        assert_eq!(found.bytes, record(found.lsn.get()));
        visited.push(found.lsn.get());
        ControlFlow::Continue(())
    })
}

fn small_segments() -> SimDisk {
    SimDisk::new(3).with_segment_bytes_max(SEGMENT_BYTES_MIN)
}

/// Three lives with rotations, notes and drops; every other one ends in order. `dropping` returns
/// up to where the log may be dropped.
fn live<D: Disk>(disk: &D, dropping: impl Fn() -> u64) -> u64 {
    let mut lsn = 0;
    for life in 0..3 {
        let opened = Wal::open(disk.clone(), ReplayFrom::Oldest, |_| ControlFlow::Continue(()));
        let wal = opened.expect("open").0;
        for turn in 0..10 {
            lsn += 1;
            let last = *wal.append(lsn, &[record(lsn)]).expect("append").end();
            assert_eq!(last.get(), lsn);
            if turn % 3 > 0 || turn == 9 {
                wal.wait(last).expect("wait");
            }
            if turn % 4 == 3 {
                wal.note().expect("note");
            }
            if let Some(lsn) = Lsn::new(dropping()) {
                wal.drop_through(lsn).expect("drop");
            }
        }
        if life != 1 {
            wal.close().expect("close");
        }
    }
    lsn
}

#[test]
fn a_follower_gets_each_record_once_in_order_and_no_crash_takes_it_back() {
    let disk = small_segments();
    let visited = Arc::new(Mutex::new((Vec::new(), 0_u64, 0_u64)));
    let watched = {
        let visited = Arc::clone(&visited);
        let disk = disk.clone();
        let follower = Mutex::new(Follower::new(disk.clone(), ReplayFrom::Oldest));
        Watched::new(disk.clone(), move |what| {
            if what != Operation::Change {
                return;
            }
            let (visited, polls, checked) = &mut *visited.lock().expect("visited");
            let before = visited.len();
            poll(&mut follower.lock().expect("follower"), visited).expect("no damage");
            *polls += 1;
            if visited.len() == before && !polls.is_multiple_of(16) {
                return;
            }
            for seed in 0..3 {
                let image = disk.power_loss(seed);
                let opened = Wal::open(image, ReplayFrom::Oldest, |_| ControlFlow::Continue(()));
                let found = opened.expect("recovers").1;
                let last = visited.last().copied().unwrap_or(0);
                assert!(found.last_lsn >= last, "#{last} was visited: {found:?}");
                *checked += 1;
            }
        })
    };
    let dropping = || visited.lock().expect("visited").0.last().copied().unwrap_or(0);
    let last = live(&watched, dropping);
    let mut visited = visited.lock().expect("visited").clone();
    // The seal proves the last ones.
    let rest = ReplayFrom::After(Lsn::new(*visited.0.last().expect("records")).expect("an LSN"));
    poll(&mut Follower::new(disk.clone(), rest), &mut visited.0).expect("no damage");
    assert_eq!(visited.0, (1..=last).collect::<Vec<_>>());
    let segments = disk.files().into_iter().filter(|name| name.ends_with(".wal")).count();
    assert!(segments <= 4, "nothing was dropped: {segments}");
    assert!(visited.1 > 100 && visited.2 > 50, "{} polls, {} images", visited.1, visited.2);
}

#[test]
fn unproven_records_reach_a_follower_after_the_next_write_or_start() {
    let disk = SimDisk::new(3);
    let mut follower = Follower::new(disk.clone(), ReplayFrom::Oldest);
    let mut visited = Vec::new();
    poll(&mut follower, &mut visited).expect("a log that does not exist yet");
    let wal = open(&disk);
    wal.commit(0, &[record(1)]).expect("commit");
    poll(&mut follower, &mut visited).expect("no damage");
    assert_eq!(visited, [], "nothing proves the last commit");
    wal.commit(0, &[record(2)]).expect("commit");
    poll(&mut follower, &mut visited).expect("no damage");
    assert_eq!(visited, [1]);
    wal.note().expect("note");
    poll(&mut follower, &mut visited).expect("no damage");
    assert_eq!(visited, [1, 2]);
    wal.commit(0, &[record(3)]).expect("commit");
    drop(wal);
    poll(&mut follower, &mut visited).expect("no damage");
    assert_eq!(visited, [1, 2]);
    let wal = open(&disk);
    poll(&mut follower, &mut visited).expect("no damage");
    assert_eq!(visited, [1, 2]);
    // As the housekeeper does.
    wal.prepare().expect("room");
    wal.note().expect("note");
    poll(&mut follower, &mut visited).expect("no damage");
    assert_eq!(visited, [1, 2, 3]);
    // A life without a record does not hold up a follower.
    drop(wal);
    drop(open(&disk));
    let wal = open(&disk);
    wal.commit(0, &[record(4)]).expect("commit");
    wal.close().expect("close");
    poll(&mut follower, &mut visited).expect("no damage");
    assert_eq!(visited, [1, 2, 3, 4]);
    // After a break the next poll continues after the last visited record.
    let mut from_two = Follower::new(disk.clone(), ReplayFrom::After(Lsn::FIRST));
    let mut seen = Vec::new();
    for _ in 0..3 {
        let stopped = from_two.poll(|record| {
            seen.push(record.lsn.get());
            ControlFlow::Break(())
        });
        assert!(matches!(stopped, Err(Error::Stopped { .. })), "{stopped:?}");
    }
    assert_eq!(seen, [2, 3, 4]);
}

/// A follower of a new log with LSN 1 to 20 has visited 1 to 5; `act` happens at its `at`-th
/// operation from there on. Returns all LSNs it visits, or `None` once it makes fewer operations.
fn follow_while(
    disk: SimDisk,
    at: usize,
    act: impl FnOnce(SimDisk, Wal<SimDisk>) + Send + 'static,
) -> Option<Result<Vec<u64>, Error>> {
    let wal = open(&disk);
    (1..=20).for_each(|lsn| done(wal.commit(0, &[record(lsn)])));
    let action = Arc::new(Mutex::new((usize::MAX, Some((act, disk.clone(), wal)))));
    let watched = {
        let action = Arc::clone(&action);
        Watched::new(disk, move |_| {
            let act = {
                let (left, act) = &mut *action.lock().expect("action");
                *left = left.saturating_sub(1);
                if *left == 0 { act.take() } else { None }
            };
            if let Some((act, disk, wal)) = act {
                act(disk, wal);
            }
        })
    };
    let mut follower = Follower::new(watched, ReplayFrom::Oldest);
    let mut visited = Vec::new();
    let stopped = follower.poll(|record| {
        visited.push(record.lsn.get());
        if record.lsn.get() == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Err(Error::Stopped { .. })));
    action.lock().expect("action").0 = at;
    let mut outcome = poll(&mut follower, &mut visited);
    action.lock().expect("action").1.is_none().then_some(())?;
    for _ in 0..3 {
        outcome = outcome.and_then(|()| poll(&mut follower, &mut visited));
    }
    Some(outcome.map(|()| visited))
}

fn done<T>(range: Result<T, Error>) {
    range.expect("commit");
}

#[test]
fn a_follower_never_takes_concurrent_writes_for_damage() {
    for at in 1.. {
        // The segment is longer than one read, so that later frames are seen before those between.
        let found = follow_while(SimDisk::new(3), at, |_, wal| {
            (21..=40).for_each(|lsn| done(wal.commit(0, &[record(lsn)])));
            wal.close().expect("close");
        });
        let Some(found) = found else { break };
        assert_eq!(found.expect("no damage"), (1..=40).collect::<Vec<_>>(), "look {at}");
    }
}

#[test]
fn a_follower_never_takes_a_restart_of_the_writer_for_damage() {
    for at in 1.. {
        let found = follow_while(SimDisk::new(3), at, |disk, wal| {
            drop(wal);
            drop(open(&disk));
            let wal = open(&disk);
            wal.commit(0, &[record(21)]).expect("commit");
            wal.close().expect("close");
        });
        let Some(found) = found else { break };
        assert_eq!(found.expect("no damage"), (1..=21).collect::<Vec<_>>(), "look {at}");
    }
}

#[test]
fn a_follower_reports_missing_or_sees_all_when_segments_are_dropped_and_reused() {
    let mut missing = 0;
    let mut whole = 0;
    for at in 1.. {
        let found = follow_while(small_segments(), at, |_, wal| {
            for lsn in 21..=60 {
                let last = *wal.commit(0, &[record(lsn)]).expect("commit").end();
                wal.drop_through(last).expect("drop");
            }
            wal.close().expect("close");
        });
        match found {
            None => break,
            Some(Ok(visited)) => {
                assert_eq!(visited, (1..=60).collect::<Vec<_>>(), "look {at}");
                whole += 1;
            }
            Some(Err(Error::Missing { wanted, first })) => {
                assert!(wanted > 5 && first > wanted, "look {at}");
                missing += 1;
            }
            Some(Err(error)) => panic!("look {at}: {error}"),
        }
    }
    println!("{whole} whole, {missing} missing");
    assert!(missing > 0);
}

#[test]
fn a_follower_meets_a_segment_dropped_between_two_polls() {
    for reused in [false, true] {
        let disk = small_segments();
        let wal = open(&disk);
        (1..=20).for_each(|lsn| done(wal.commit(0, &[record(lsn)])));
        let mut follower = Follower::new(disk.clone(), ReplayFrom::Oldest);
        let mut visited = Vec::new();
        let stopped = follower.poll(|record| {
            visited.push(record.lsn.get());
            if record.lsn.get() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(stopped, Err(Error::Stopped { .. })));
        // Only the first segment, which holds six.
        assert_eq!(wal.drop_through(Lsn::new(6).expect("an LSN")).expect("drop"), 1);
        if reused {
            (21..=40).for_each(|lsn| done(wal.commit(0, &[record(lsn)])));
            let found = poll(&mut follower, &mut visited);
            assert!(matches!(found, Err(Error::Missing { wanted: 3, first: 7 })), "{found:?}");
        } else {
            poll(&mut follower, &mut visited).expect("an open file survives its removal");
            assert_eq!(visited, (1..=19).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_follower_never_takes_a_write_in_progress_for_damage() {
    let disk = SimDisk::new(3);
    let wal = open(&disk);
    wal.commit(0, &[record(1)]).expect("commit");
    wal.commit(0, &[record(2)]).expect("commit");
    let name = disk.files().into_iter().find(|name| name.ends_with(".wal")).expect("a segment");
    let before = disk.read_file(&name).expect("bytes");
    wal.commit(0, &[record(3)]).expect("commit");
    wal.note().expect("note");
    let after = disk.read_file(&name).expect("bytes");
    drop(wal);
    let disk = disk.kill();
    let file = disk.open(&name).expect("open");
    file.write_at(0, &before).expect("write");
    let mut follower = Follower::new(disk.clone(), ReplayFrom::Oldest);
    let mut visited = Vec::new();
    let start = before.iter().zip(&after).position(|(before, after)| before != after);
    let start = start.expect("a change");
    let end = after.iter().rposition(|&byte| byte != 0).expect("bytes") + 1;
    for piece in (start..=end).step_by(10_007) {
        file.write_at(start as u64, &after[start..piece]).expect("write");
        poll(&mut follower, &mut visited).expect("no damage");
        assert!(visited == [1] || visited == [1, 2], "at {piece}: {visited:?}");
    }
    file.write_at(0, &after).expect("write");
    poll(&mut follower, &mut visited).expect("no damage");
    assert_eq!(visited, [1, 2, 3]);
}

#[test]
fn a_follower_reports_damage_after_the_records_before_it() {
    for (segment, reason) in
        [(1_u64, Reason::DamagedBeforeSuccessor), (2, Reason::DamagedBeforeDurableMark)]
    {
        let disk = SimDisk::new(3);
        for lsn in [1, 5] {
            let wal = open(&disk);
            (lsn..lsn + 4).for_each(|lsn| done(wal.commit(0, &[record(lsn)])));
            wal.note().expect("note");
        }
        let disk = disk.kill();
        let name = format!("{segment:020}.wal");
        let mut bytes = disk.read_file(&name).expect("bytes");
        // In the third record.
        bytes[4096 + 2 * 151_552 + 1000] ^= 1;
        disk.write_file(&name, &bytes);
        let mut follower = Follower::new(disk, ReplayFrom::Oldest);
        let mut visited = Vec::new();
        for _ in 0..2 {
            match poll(&mut follower, &mut visited) {
                Err(Error::Corrupt(damage)) => {
                    assert_eq!(damage.segment, segment);
                    assert_eq!(damage.reason, reason);
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(visited, (1..segment * 4 - 1).collect::<Vec<_>>());
            if segment == 2 {
                break;
            }
        }
    }
}

#[test]
fn a_missing_segment_is_reported_at_every_poll() {
    let disk = SimDisk::new(3);
    for lsn in 1..=2 {
        done(open(&disk).commit(0, &[record(lsn)]));
    }
    let disk = disk.kill();
    disk.remove_file(&format!("{:020}.wal", 1));
    let mut follower = Follower::new(disk, ReplayFrom::Oldest);
    let mut visited = Vec::new();
    for _ in 0..2 {
        match poll(&mut follower, &mut visited) {
            Err(Error::Corrupt(damage)) => {
                assert_eq!(damage.segment, 1);
                assert_eq!(damage.reason, Reason::SegmentMissing);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_follower_reports_a_log_that_was_set_back() {
    let disk = SimDisk::new(3);
    let wal = open(&disk);
    (1..=2).for_each(|lsn| done(wal.commit(0, &[record(lsn)])));
    wal.note().expect("note");
    drop(wal);
    let old: Vec<_> = disk
        .files()
        .into_iter()
        .map(|name| (name.clone(), disk.read_file(&name).unwrap()))
        .collect();
    let wal = open(&disk);
    (3..=4).for_each(|lsn| done(wal.commit(0, &[record(lsn)])));
    wal.close().expect("close");
    drop(wal);
    let mut follower = Follower::new(disk.clone(), ReplayFrom::Oldest);
    let mut visited = Vec::new();
    poll(&mut follower, &mut visited).expect("no damage");
    assert_eq!(visited, [1, 2, 3, 4]);
    disk.files().iter().for_each(|name| disk.remove_file(name));
    old.iter().for_each(|(name, bytes)| disk.write_file(name, bytes));
    let found = poll(&mut follower, &mut visited);
    assert!(matches!(found, Err(Error::Behind { .. })), "{found:?}");
}

#[test]
fn a_follower_reports_a_log_that_was_set_back_and_continued() {
    let disk = SimDisk::new(3);
    let wal = open(&disk);
    (1..=2).for_each(|lsn| done(wal.commit(0, &[record(lsn)])));
    wal.note().expect("note");
    let old = disk.kill();
    (3..=4).for_each(|lsn| done(wal.commit(0, &[record(lsn)])));
    wal.note().expect("note");
    let mut follower = Follower::new(disk.clone(), ReplayFrom::Oldest);
    let mut visited = Vec::new();
    poll(&mut follower, &mut visited).expect("no damage");
    assert_eq!(visited, [1, 2, 3, 4]);
    drop(wal);
    for name in old.files() {
        disk.write_file(&name, &old.read_file(&name).expect("bytes"));
    }
    done(open(&disk).commit(0, &["another three"]));
    let found = poll(&mut follower, &mut visited);
    assert!(matches!(found, Err(Error::Behind { last: 2, .. })), "{found:?}");
}

#[test]
fn a_record_dropped_before_a_follower_read_it_is_reported_missing() {
    let disk = SimDisk::new(3);
    let wal = open(&disk);
    wal.commit(0, &[record(1)]).expect("commit");
    wal.note().expect("note");
    let mut follower = Follower::new(disk.clone(), ReplayFrom::Beginning);
    let mut visited = Vec::new();
    poll(&mut follower, &mut visited).expect("no damage");
    assert_eq!(visited, [1]);
    drop(wal);
    (2..=3).for_each(|lsn| done(open(&disk).commit(0, &[record(lsn)])));
    let wal = open(&disk);
    assert_eq!(wal.drop_through(Lsn::new(2).expect("an LSN")).expect("drop"), 2);
    let found = poll(&mut follower, &mut visited);
    assert!(matches!(found, Err(Error::Missing { wanted: 2, first: 3 })), "{found:?}");
    // A new follower has missed both, unless it starts at the oldest record.
    let found = poll(&mut Follower::new(disk.clone(), ReplayFrom::Beginning), &mut visited);
    assert!(matches!(found, Err(Error::Missing { wanted: 1, first: 3 })), "{found:?}");
    visited.clear();
    wal.prepare().expect("room");
    wal.note().expect("earlier records are proven");
    poll(&mut Follower::new(disk, ReplayFrom::Oldest), &mut visited).expect("no damage");
    assert_eq!(visited, [3]);
}
