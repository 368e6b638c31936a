//! A store that is opened again and again, and never lives long enough to save a snapshot on its way.

use icn_snapshot::{Due, Policy, Retention, Store};
use icn_wal::disk::SimDisk;

use crate::common::{Map, put};

const LIVES: u64 = 400;

/// No limit but those that a test sets.
const NEVER: Policy = Policy {
    due: Due { log_bytes: u64::MAX, segments: u64::MAX, records: u64::MAX, age_ms: u64::MAX },
    retention: Retention {
        keep: 3,
        window_ms: u64::MAX,
        window_bytes: u64::MAX,
        window_segments: u64::MAX,
    },
};

/// The most segments, log bytes and snapshots that any of the lives has had. Each life commits one record and
/// is killed, and saves a snapshot only where its start should.
fn most_of(policy: Policy) -> [u64; 3] {
    let mut disk = SimDisk::new(1);
    let mut most = [0; 3];
    for life in 0..LIVES {
        let (mut store, recovery) = Store::<Map, _>::open(&disk, policy).expect("open");
        assert_eq!(store.lsn(), life, "nothing acknowledged is lost");
        assert!(!recovery.log.clean);
        if store.replay_is_long() {
            let image = store.image(life, life).expect("an image");
            store.compactor().save(image).expect("save");
            assert!(!store.replay_is_long(), "the snapshot holds all of it");
        }
        put(&mut store, 1, 1);
        let log = store.wal().stats();
        let snapshots = store.compactor().list().len() as u64;
        for (most, now) in most.iter_mut().zip([log.segments, log.size_bytes, snapshots]) {
            *most = now.max(*most);
        }
        drop(store);
        disk = disk.kill();
    }
    most
}

#[test]
fn a_loop_of_short_lives_keeps_a_bounded_number_of_segments() {
    let due = Due { segments: 10, ..NEVER.due };
    let retention = Retention { window_segments: 60, ..NEVER.retention };
    let [segments, _, snapshots] = most_of(Policy { due, retention });
    // The window, and the segments until the next save.
    assert!((60..=60 + 12).contains(&segments), "{segments}");
    assert!(snapshots <= 9, "{snapshots}");
}

#[test]
fn a_loop_of_short_lives_takes_a_bounded_part_of_the_disk() {
    let due = Due { log_bytes: 100 << 10, ..NEVER.due };
    let retention = Retention { window_bytes: (1 << 20) + (600 << 10), ..NEVER.retention };
    let [_, bytes, _] = most_of(Policy { due, retention });
    // All records together have 2400 bytes. Each segment has a MiB until the next life cuts it.
    let least = (1 << 20) + (500 << 10);
    assert!((least..=least + (250 << 10)).contains(&bytes), "{bytes}");
}

#[test]
fn a_loop_of_short_lives_replays_a_bounded_number_of_records() {
    let due = Due { records: 10, ..NEVER.due };
    let retention = Retention { window_ms: 0, ..NEVER.retention };
    let [segments, _, snapshots] = most_of(Policy { due, retention });
    // Three snapshots, the segments between them, and those since the newest.
    assert!((30..=33).contains(&segments), "{segments}");
    assert_eq!(snapshots, 3);
}
