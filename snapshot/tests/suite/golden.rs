//! The bytes of a snapshot, as this version writes them.
//!
//! After an intended change of the format, run `ICN_GOLDEN=write cargo test -p icn-snapshot golden` and
//! describe the change in the commit.

use std::path::Path;

use icn_snapshot::{PointInTime, state_at};
use icn_wal::disk::{Disk, SimDisk};

use crate::common::{Map, open, put, save};

#[test]
fn a_snapshot_is_written_and_read_as_the_golden_file() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/map.snap");
    let disk = SimDisk::new(11);
    let (mut store, _) = open(&disk).expect("open");
    (0..5).for_each(|key| put(&mut store, key, u32::from(key) * 3));
    let id = save(&mut store);
    let name = format!("snapshots/{}", id.file_name());
    let written = disk.read_file(&name).expect("a snapshot");
    if std::env::var("ICN_GOLDEN").is_ok_and(|value| value == "write") {
        std::fs::write(&path, &written).expect("write");
    }
    let golden = std::fs::read(&path).expect("the golden file");
    // Another version of zstd may pack the same bytes otherwise: only the header and the state are compared.
    assert_eq!(written[..96], golden[..96], "the header");
    let other = SimDisk::new(12);
    other.subdir("snapshots").expect("a directory");
    other.write_file(&name, &golden);
    let past = state_at::<Map, _>(&other, PointInTime::Snapshot(id)).expect("reads");
    assert_eq!(&past.state, store.state());
    assert_eq!(past.lsn, 5);
    assert_eq!(past.time_ms, 1);
}
