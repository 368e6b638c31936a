//! The sizes of groups, and how much may be written before a sync.

use icn_wal::disk::SimDisk;
use icn_wal::limits::{GROUP_BYTES_MAX, UNSYNCED_BYTES_MAX};

use crate::common::open;

#[test]
fn unsynced_bytes_reach_their_limit_and_never_exceed_it() {
    const FRAME: u64 = 1 << 20;
    let wal = open(&SimDisk::new(1));
    // Fills the frame together with the headers of frame and record.
    let record = vec![7; (1 << 20) - 64 - 4];
    let mut before = wal.stats();
    let mut unsynced = 0;
    let mut full = 0;
    for _ in 0..60 {
        wal.append(0, &[&record]).expect("append");
        let now = wal.stats();
        if now.frames > before.frames {
            if now.syncs == before.syncs {
                unsynced += FRAME;
            } else {
                let begins = now.segments > before.segments;
                assert!(begins || unsynced + FRAME > UNSYNCED_BYTES_MAX, "after {unsynced} bytes");
                unsynced = FRAME;
            }
            assert!(unsynced <= UNSYNCED_BYTES_MAX, "{unsynced} bytes");
            full += u64::from(unsynced == UNSYNCED_BYTES_MAX);
        }
        before = now;
    }
    assert!(full > 5, "{full} times");
}

#[test]
fn appends_wait_together_until_a_group_is_full_to_the_byte() {
    const RECORD_HEADER_BYTES: usize = 4;
    let wal = open(&SimDisk::new(1));
    // Move on to a segment that holds several groups.
    for _ in 0..8 {
        wal.commit(0, &[vec![7; 1 << 20]]).expect("commit");
    }
    let half = vec![7; GROUP_BYTES_MAX / 2 - RECORD_HEADER_BYTES];
    for (records, frames) in [(vec![&half[..]; 2], 1), (vec![&half[..], &half[..], &[]], 2)] {
        let before = wal.stats().frames;
        for record in &records {
            wal.append(0, &[record]).expect("append");
        }
        wal.wait(wal.last().expect("records")).expect("wait");
        assert_eq!(wal.stats().frames - before, frames, "{} appends", records.len());
    }
}
