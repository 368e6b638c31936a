//! A disk that fills at any moment: acknowledged records survive, appends without space are
//! refused, nothing else fails, and the log continues once there is space.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use icn_wal::disk::{Faults, SimDisk};
use icn_wal::limits::{RETRY_MS, SEGMENT_BYTES_MIN};
use icn_wal::{Error, Lsn, Recovery, ReplayFrom, Wal};

use crate::common::open;

const ALWAYS: Range<u64> = 0..u64::MAX;

fn full(when: Range<u64>) -> Faults {
    Faults { full: when, ..Faults::default() }
}

fn small_segments() -> SimDisk {
    SimDisk::new(5).with_segment_bytes_max(SEGMENT_BYTES_MIN)
}

/// Three of these fill a segment.
fn record(number: u64) -> Vec<u8> {
    let mut bytes = format!("{number}").into_bytes();
    bytes.resize(300_000, b'.');
    bytes
}

type Found = BTreeMap<u64, Vec<u8>>;

fn recover(disk: &SimDisk) -> Result<(Wal<SimDisk>, Recovery, Found), Error> {
    let mut found = Found::new();
    let (wal, recovery) = Wal::open(disk.clone(), ReplayFrom::Oldest, |record| {
        found.insert(record.lsn.get(), record.bytes.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok((wal, recovery, found))
}

#[track_caller]
fn refused<T>(outcome: Result<T, Error>) -> Option<T> {
    match outcome {
        Ok(done) => Some(done),
        Err(Error::NoSpace { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

/// What a caller has seen.
#[derive(Default)]
struct Lives {
    appended: Found,
    dropped: u64,
    appends_refused: u64,
    drops_refused: u64,
    opens_refused: u64,
    images: u64,
}

impl Lives {
    /// Three lives: one ends in order, one is killed, one drops before it appends. Refused appends
    /// are retried once, as soon as a segment could be prepared. The first drop after an append
    /// must have space, and so must a stop, whatever was dropped before.
    fn live(&mut self, disk: &SimDisk) {
        for life in 0..3 {
            let Some((wal, ..)) = refused(recover(disk)) else {
                assert!(self.appended.is_empty(), "a start that needs room");
                self.opens_refused += 1;
                self.crash(disk);
                return;
            };
            if life == 2 {
                self.drop(&wal, disk, false);
            }
            let _ = refused(wal.prepare());
            for half in 0..2 {
                let mut taken = false;
                for _ in 0..4 {
                    taken |= self.append(&wal, disk) || {
                        let _ = refused(wal.prepare());
                        self.append(&wal, disk)
                    };
                }
                let _ = refused(wal.prepare());
                if life != 1 {
                    self.drop(&wal, disk, taken && half == 0);
                }
            }
            wal.note().expect("a note needs no room");
            if life != 1 {
                wal.close().expect("a stop needs no room");
            }
            assert!(!wal.stats().poisoned);
        }
        self.crash(disk);
    }

    fn append(&mut self, wal: &Wal<SimDisk>, disk: &SimDisk) -> bool {
        let before = wal.last();
        let record = record(before.map_or(0, Lsn::get) + 1);
        let Some(lsns) = refused(wal.commit(0, std::slice::from_ref(&record))) else {
            assert_eq!(wal.last(), before, "a refused append has taken a number");
            self.appends_refused += 1;
            if self.appends_refused <= 2 {
                self.crash(disk);
            }
            return false;
        };
        self.appended.insert(lsns.end().get(), record);
        true
    }

    /// Drops all but the last record; it must be possible if it was `promised`.
    fn drop(&mut self, wal: &Wal<SimDisk>, disk: &SimDisk, promised: bool) {
        let through = self.appended.keys().next_back().map_or(0, |last| last - 1);
        let Some(lsn) = Lsn::new(through) else { return };
        if refused(wal.drop_through(lsn)).is_some() {
            self.dropped = through;
        } else {
            assert!(!promised, "a drop that needs room");
            self.drops_refused += 1;
            self.crash(disk);
        }
    }

    /// The disks that a kill and power losses leave at this moment recover, and their logs
    /// continue.
    fn crash(&mut self, disk: &SimDisk) {
        let losses = (0..3).map(|seed| disk.power_loss(seed));
        for image in losses.chain([disk.kill()]) {
            self.images += 1;
            image.set_faults(full(ALWAYS));
            match refused(recover(&image)) {
                Some((_, _, found)) => self.compare(&found),
                None => assert!(self.appended.is_empty(), "a start that needs room"),
            }
            image.set_faults(Faults::default());
            let (wal, ..) = recover(&image).expect("there is room");
            let lsn = wal.commit(0, &["afterwards"]).expect("there is room").end().get();
            wal.close().expect("close");
            drop(wal);
            let (_, recovery, mut found) = recover(&image.power_loss(0)).expect("recovers");
            assert!(recovery.clean && found.remove(&lsn).as_deref() == Some(b"afterwards"));
            self.compare(&found);
        }
    }

    fn compare(&self, found: &Found) {
        assert!(self.appended.range(self.dropped + 1..).all(|(lsn, _)| found.contains_key(lsn)));
        assert!(found.iter().all(|(lsn, bytes)| self.appended.get(lsn) == Some(bytes)));
    }
}

#[test]
fn a_disk_full_at_any_growing_operation_loses_nothing_and_poisons_nothing() {
    let whole = small_segments();
    Lives::default().live(&whole);
    let growths = whole.growths();
    for (from_then_on, what) in [(false, "once"), (true, "from then on")] {
        let mut all = Lives::default();
        for at in 1..=growths {
            let disk = small_segments();
            disk.set_faults(full(at..if from_then_on { u64::MAX } else { at + 1 }));
            let mut lives = Lives::default();
            lives.live(&disk);
            // If only one operation finds no space, every refused call succeeds the second time.
            assert!(from_then_on || lives.appended.len() == 24 || lives.opens_refused == 1, "{at}");
            all.appends_refused += lives.appends_refused;
            all.drops_refused += lives.drops_refused;
            all.opens_refused += lives.opens_refused;
            all.images += lives.images;
        }
        println!(
            "full at each of {growths} growing operations, {what}: {} appends, {} drops and {} opens \
             refused, {} images",
            all.appends_refused, all.drops_refused, all.opens_refused, all.images
        );
        assert!(all.appends_refused > 10 && all.images > 4 * growths);
    }
}

#[test]
fn a_disk_that_fills_at_any_byte_count_loses_nothing_and_poisons_nothing() {
    let mut all = Lives::default();
    for room in (0..8 << 20).step_by(100_003) {
        let disk = small_segments();
        disk.set_faults(Faults { room: Some(room), ..Faults::default() });
        let mut lives = Lives::default();
        lives.live(&disk);
        all.appends_refused += lives.appends_refused;
        all.images += lives.images;
    }
    println!("{} appends refused, {} images", all.appends_refused, all.images);
    assert!(all.appends_refused > 50);
}

/// A log whose active segment is almost full, on a full disk.
fn log_on_a_full_disk() -> (SimDisk, Wal<SimDisk>) {
    let disk = small_segments();
    let wal = open(&disk);
    for number in 1..=3 {
        wal.commit(0, &[record(number)]).expect("commit");
    }
    disk.set_faults(full(ALWAYS));
    (disk, wal)
}

#[test]
fn a_full_disk_is_not_tried_again_before_the_retry_time() {
    let (disk, wal) = log_on_a_full_disk();
    let append = |time_ms: u64, bytes: usize| refused(wal.append(time_ms, &[vec![7; bytes]]));
    let start = 1_700_000_000_000;
    assert!(append(start, 20).is_some(), "it fits into the active segment");
    assert!(append(start, 300_000).is_none());
    for (time, tried) in [
        (start, false),
        (start + RETRY_MS - 1, false),
        (start + RETRY_MS, true),
        (start + RETRY_MS + 1, false),
        // A clock that was set back must not delay the retry for years.
        (start - 10 * RETRY_MS, true),
        (start - 10 * RETRY_MS, false),
    ] {
        let before = disk.operations();
        // An append that would fit is refused as well until then.
        assert!(append(time, 20).is_none(), "{time}");
        assert_eq!(disk.operations() > before, tried, "{time}");
    }
    assert!(wal.stats().no_room);
    wal.note().expect("a note needs no room");
    assert!(refused(wal.prepare()).is_none());
    disk.set_faults(Faults::default());
    assert!(
        append(start - 10 * RETRY_MS, 20).is_none(),
        "no attempt was made to prepare a segment yet"
    );
    wal.prepare().expect("room");
    assert!(append(start - 10 * RETRY_MS, 300_000).is_some());
    assert!(!wal.stats().no_room);
}

#[test]
fn appends_resume_once_the_refused_append_would_fit() {
    let (disk, wal) = log_on_a_full_disk();
    assert!(refused(wal.append(0, &vec![vec![7; 1 << 19]; 6])).is_none());
    disk.set_faults(Faults { room: Some(2 << 20), ..Faults::default() });
    assert!(
        refused(wal.prepare()).is_none(),
        "space for a segment, but not for the refused append"
    );
    assert!(refused(wal.append(0, &["small"])).is_none());
    disk.set_faults(Faults::default());
    wal.prepare().expect("room");
    wal.commit(0, &vec![vec![7; 1 << 19]; 6]).expect("commit");
}

#[test]
fn a_disk_without_space_for_the_best_segment_gets_the_least_one() {
    let disk = SimDisk::new(5);
    let wal = open(&disk);
    for number in 1..=12 {
        wal.commit(0, &[record(number)]).expect("commit");
    }
    // The next one would have 4 MiB.
    disk.set_faults(Faults { room: Some(3 << 19), ..Faults::default() });
    wal.prepare().expect("room for one of 1 MiB");
    let before = wal.stats().segments;
    while wal.stats().segments == before {
        wal.commit(0, &[record(0)]).expect("commit");
    }
    wal.close().expect("close");
}

#[test]
fn an_open_that_appends_nothing_changes_nothing() {
    let disk = small_segments();
    let wal = open(&disk);
    for number in 1..=7 {
        wal.commit(0, &[record(number)]).expect("commit");
    }
    wal.close().expect("close");
    drop(wal);
    let files = disk.files();
    let image = disk.image_hash();
    for _ in 0..3 {
        let (wal, recovery, found) = recover(&disk).expect("recovers");
        assert!(recovery.clean && found.len() == 7 && recovery.incarnation == 2);
        wal.prepare().expect("room");
        wal.note().expect("nothing to prove");
        wal.close().expect("close");
        assert_eq!(disk.files(), files);
        assert_eq!(disk.image_hash(), image);
    }
    // A drop changes nothing but the oldest segment, and leaves the newest.
    let (wal, ..) = recover(&disk).expect("recovers");
    assert_eq!(wal.drop_through(Lsn::new(7).expect("an LSN")).expect("drop"), 2);
    drop(wal);
    let (_, recovery, found) = recover(&disk.power_loss(0)).expect("recovers");
    assert!(recovery.clean && recovery.incarnation == 2 && recovery.last_lsn == 7);
    assert_eq!(found.into_keys().collect::<Vec<_>>(), [7]);
}
