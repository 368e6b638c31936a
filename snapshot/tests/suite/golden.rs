//! The bytes of a snapshot as a build of this version writes them.
//!
//! When the format changes on purpose: `ICN_GOLDEN=write cargo test -p icn-snapshot golden`, and the
//! commit says what has changed.

use std::path::Path;

use icn_snapshot::{PointInTime, state_at};
use icn_wal::disk::{Disk, SimDisk};

use crate::common::{Map, open, put, save};

#[test]
fn a_snapshot_of_this_format_is_read_and_written_as_ever() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/map.snap");
    let disk = SimDisk::new(11);
    let (mut store, _) = open(&disk).expect("open");
    (0..5).for_each(|key| put(&mut store, key, u32::from(key) * 3));
    let id = save(&mut store);
    let name = format!("snapshots/{}", id.file_name());
    let written = disk.read_file(&name).expect("a snapshot");
    if std::env::var("ICN_GOLDEN").is_ok_and(|wish| wish == "write") {
        std::fs::write(&path, &written).expect("write");
    }
    let golden = std::fs::read(&path).expect("the golden file");
    // What zstd makes of the same bytes may change with its version: header and what is read count.
    assert_eq!(written[..96], golden[..96], "the header");
    let other = SimDisk::new(12);
    other.subdir("snapshots").expect("a directory");
    other.write_file(&name, &golden);
    let past = state_at::<Map, _>(&other, PointInTime::Snapshot(id)).expect("reads");
    assert_eq!((&past.state, past.lsn, past.time_ms), (store.state(), 5, 1));
}
