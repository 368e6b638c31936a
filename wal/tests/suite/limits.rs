//! What is written, and how much of it waits for a sync.

use icn_wal::SimDisk;
use icn_wal::limits::UNSYNCED_BYTES_MAX;

use crate::common::open;

#[test]
fn as_much_is_written_before_a_sync_as_may_be_and_no_more() {
    const FRAME: u64 = 1 << 20;
    let wal = open(&SimDisk::new(1));
    // With the headers of frame and record.
    let record = vec![7; (1 << 20) - 64 - 4];
    let (mut before, mut unsynced, mut full) = (wal.stats(), 0, 0);
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
