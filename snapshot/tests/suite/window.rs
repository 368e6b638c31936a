//! How far back the restore window reaches, and what shortens it.

use icn_snapshot::{Due, Error, PointInTime, Policy, Retention, RetentionReason, Store, state_at};
use icn_wal::Lsn;
use icn_wal::disk::SimDisk;

use crate::common::{Map, put_at};

fn with(disk: &SimDisk, retention: Retention) -> Store<Map, SimDisk> {
    Store::open(disk, Policy { due: Due::default(), retention }).expect("open").0
}

const HOUR_MS: u64 = 60 * 60 * 1000;

fn save_at(store: &mut Store<Map, SimDisk>, ran_ms: u64) {
    let image = store.image(5, ran_ms).expect("something is committed");
    store.compactor().save(image).expect("save");
}

fn day() -> Retention {
    Retention { keep: 3, window_ms: 24 * HOUR_MS, window_bytes: u64::MAX, ..Retention::default() }
}

#[test]
fn saves_in_a_row_stops_and_kills_leave_a_day_of_history() {
    let mut disk = SimDisk::new(10);
    let mut states = vec![Map::default()];
    for hour in 0..48 {
        let mut store = with(&disk, day());
        put_at(&mut store, hour * HOUR_MS);
        states.push(store.state().clone());
        (0..4).for_each(|_| save_at(&mut store, hour * HOUR_MS));
        let window = store.compactor().window();
        // The state of each hour is that of one record: a day ago, it was #first.
        assert_eq!(window.first, (hour + 1).saturating_sub(24).max(1), "after {hour} h");
        assert_eq!(window.first_ms, (window.first - 1) * HOUR_MS);
        assert!(!window.is_shortened);
        for at in window.first..=store.lsn() {
            let past = state_at::<Map, _>(&disk, PointInTime::Lsn(Lsn::new(at).expect("an LSN")))
                .expect("in the window");
            assert_eq!(past.state, states[usize::try_from(at).expect("small")]);
        }
        if hour % 2 == 0 {
            store.close().expect("close");
        }
        disk = disk.kill();
    }
    let listed = with(&disk, day()).compactor().list();
    assert!(listed.len() <= 1 + 24 + 3, "{} are kept", listed.len());
}

#[test]
fn a_running_time_that_goes_back_retires_nothing_and_the_greatest_is_known() {
    let disk = SimDisk::new(11);
    let mut store = with(&disk, day());
    assert_eq!(store.compactor().ran_ms(), 0);
    for ran_ms in [0, 30 * HOUR_MS, 0, 1, 2, 3] {
        put_at(&mut store, 1);
        save_at(&mut store, ran_ms);
    }
    assert_eq!(store.compactor().window().first, 1);
    assert_eq!(store.compactor().ran_ms(), 30 * HOUR_MS);
    drop(store);
    let store = with(&disk.kill(), day());
    assert_eq!(store.compactor().ran_ms(), 30 * HOUR_MS, "the caller goes on from here");
}

#[test]
fn a_window_without_room_shortens_to_the_newest_and_says_so() {
    let disk = SimDisk::new(12);
    let mut store = with(&disk, day());
    for hour in 0..8 {
        // About one segment each.
        let record = vec![9; 1 << 20];
        store.wal().append(1, &[record]).expect("append");
        put_at(&mut store, 1);
        save_at(&mut store, hour * HOUR_MS);
    }
    let all = store.compactor().window();
    assert_eq!((all.first, all.is_shortened), (1, false));
    drop(store);
    let roomy = |window_bytes| Retention { window_bytes, ..day() };
    let mut first = 1;
    for quarter in (0..4).rev() {
        let allowed = all.bytes / 4 * quarter;
        let store = with(&disk.kill(), roomy(allowed));
        store.compactor().prune().expect("prune");
        let window = store.compactor().window();
        assert!(window.is_shortened && window.first >= first, "{window:?}");
        assert!(window.bytes <= allowed || window.first == 12, "{window:?}");
        first = window.first;
    }
    assert_eq!(first, 12, "the newest three stay");
}

#[test]
fn deleting_snapshots_does_not_shorten_the_window() {
    let disk = SimDisk::new(13);
    let mut store = with(&disk, day());
    for hour in 0..30 {
        put_at(&mut store, hour * HOUR_MS);
        save_at(&mut store, hour * HOUR_MS);
    }
    let compactor = store.compactor();
    let before = compactor.window();
    assert_eq!(before.first, 30 - 24);
    for listed in compactor.list() {
        match (listed.kept_because, compactor.delete(listed.id)) {
            (RetentionReason::OpensWindow, Err(Error::Needed { why, .. })) => {
                assert_eq!(why, "the restore window begins with it");
            }
            (RetentionReason::ShortensReplays, Ok(())) => {}
            (RetentionReason::Floor(_) | RetentionReason::Newest, _) => {}
            other => panic!("{other:?}"),
        }
    }
    let after = compactor.window();
    assert_eq!((after.first, after.first_ms), (before.first, before.first_ms));
    compactor.prune().expect("prune");
    assert_eq!(compactor.window().first, before.first);
}
