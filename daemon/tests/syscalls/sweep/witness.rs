//! Watches that nothing is told before it is durable. A killed process cannot show a missing sync,
//! because what it wrote stays in memory; the order of its system calls can.

use std::collections::{HashMap, HashSet};
use std::path::Path;

/// The header of a frame in `docs/FORMAT.md`.
const FRAME_HEADER_BYTES: usize = 64;

/// What has been written, synced and told.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    /// The last LSN written to each file.
    written: HashMap<Box<Path>, u64>,
    /// Files whose sync has failed: nothing that is in them by then counts, whatever a later sync
    /// says.
    failed: HashSet<Box<Path>>,
    durable: u64,
    /// How many LSNs have been told.
    pub(crate) told: u64,
    /// The first that was told too early, and what was durable then.
    pub(crate) early: Option<(u64, u64)>,
}

impl Witness {
    /// How much of a write is looked at.
    pub(crate) const LOOK_BYTES: usize = FRAME_HEADER_BYTES;

    /// A write has succeeded. `bytes` are its first ones.
    pub(crate) fn wrote(&mut self, path: &Path, bytes: &[u8]) {
        let Some(header) = bytes.first_chunk::<FRAME_HEADER_BYTES>() else { return };
        let [b'I', b'C', b'N', b'f', ..] = header else { return };
        let records = u32::from_le_bytes([header[12], header[13], header[14], header[15]]);
        let first = header[16..24].iter().rev().fold(0, |lsn, byte| lsn << 8 | u64::from(*byte));
        if records > 0 {
            self.written.insert(path.into(), first + u64::from(records) - 1);
        }
    }

    /// What a sync of `path` that starts now makes durable.
    pub(crate) fn covers(&self, path: &Path) -> u64 {
        self.written.get(path).copied().unwrap_or(0)
    }

    /// A sync that has covered everything up to `lsn` has ended.
    pub(crate) fn synced(&mut self, path: &Path, lsn: u64, well: bool) {
        if !well {
            self.failed.insert(path.into());
        } else if !self.failed.contains(path) {
            self.durable = self.durable.max(lsn);
        }
    }

    /// `bytes` leave through a socket.
    pub(crate) fn tells(&mut self, bytes: &[u8]) {
        const KEY: &str = "\"lsn\":";
        let text = String::from_utf8_lossy(bytes);
        for (at, _) in text.match_indices(KEY) {
            let digits = text[at + KEY.len()..].split(|c: char| !c.is_ascii_digit()).next();
            let Some(lsn) = digits.and_then(|digits| digits.parse::<u64>().ok()) else { continue };
            self.told += 1;
            if lsn > self.durable {
                self.early.get_or_insert((lsn, self.durable));
            }
        }
    }
}
