//! What the targets share: a log on a simulated disk, and bytes changed by a fuzzer's will.

use std::ops::ControlFlow;
use std::sync::OnceLock;

use icn_wal::{Error, From, SimDisk, Wal};

/// Changes `bytes` as `script` says, in steps of four bytes: a place (3) and what it becomes (1).
/// The place 0xFFFFFF cuts the end off.
pub fn edit(bytes: &mut Vec<u8>, script: &[u8]) {
    for step in script.chunks_exact(4) {
        if bytes.is_empty() {
            return;
        }
        let place = u32::from_le_bytes([step[0], step[1], step[2], 0]) as usize;
        if place == 0xFF_FFFF {
            bytes.truncate(usize::from(step[3]) * bytes.len() / 256);
        } else {
            let place = place % bytes.len();
            bytes[place] = step[3];
        }
    }
}

/// The records of the log that [`log`] makes.
pub fn records() -> Vec<Vec<u8>> {
    (0_u8..24).map(|number| vec![number; usize::from(number) * 3]).collect()
}

/// A log of [`records`], written in three lives that all ended with a kill.
pub fn log() -> SimDisk {
    static LOG: OnceLock<SimDisk> = OnceLock::new();
    let make = || {
        let mut disk = SimDisk::new(1);
        for life in records().chunks(8) {
            disk = disk.kill();
            let (wal, _) = Wal::open(disk.clone(), From::Beginning, |_| ControlFlow::Continue(()))
                .expect("open");
            for record in life {
                let lsns = wal.append(1, &[record]).expect("append");
                wal.wait(*lsns.end()).expect("wait");
            }
        }
        disk
    };
    LOG.get_or_init(make).fork()
}

/// The segments of a log, oldest first.
pub fn segments(disk: &SimDisk) -> Vec<String> {
    disk.files().into_iter().filter(|name| name.ends_with(".wal")).collect()
}

/// The records that opening the log gives.
pub fn replay(disk: &SimDisk) -> Result<Vec<Vec<u8>>, Error> {
    let mut found = Vec::new();
    Wal::open(disk.clone(), From::Beginning, |record| {
        found.push(record.bytes.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(found)
}
