//! Watches that no LSN is reported before it is durable. A kill cannot show a missing sync, because
//! written data stays in the page cache; the order of the system calls can.

use std::collections::{HashMap, HashSet};
use std::path::Path;

/// The length of a frame's header, see `docs/FORMAT.md`.
const FRAME_HEADER_BYTES: usize = 64;

/// The LSNs written, synced and reported.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    /// The last LSN written to each file.
    written: HashMap<Box<Path>, u64>,
    /// Files whose sync has failed: their data counts as lost, even if a later sync succeeds.
    failed: HashSet<Box<Path>>,
    durable: u64,
    /// How many LSNs have been reported.
    pub(crate) told: u64,
    /// The first LSN that was reported too early, and the durable one then.
    pub(crate) early: Option<(u64, u64)>,
}

impl Witness {
    /// The length of a write's start that is read.
    pub(crate) const LOOK_BYTES: usize = FRAME_HEADER_BYTES;

    /// Notes a write that has succeeded; `bytes` are its first ones.
    pub(crate) fn wrote(&mut self, path: &Path, bytes: &[u8]) {
        let Some(header) = bytes.first_chunk::<FRAME_HEADER_BYTES>() else { return };
        let [b'I', b'C', b'N', b'f', ..] = header else { return };
        let records = u32::from_le_bytes([header[12], header[13], header[14], header[15]]);
        let first = header[16..24].iter().rev().fold(0, |lsn, byte| lsn << 8 | u64::from(*byte));
        if records > 0 {
            self.written.insert(path.into(), first + u64::from(records) - 1);
        }
    }

    /// The last LSN that a sync of `path` started now makes durable.
    pub(crate) fn covers(&self, path: &Path) -> u64 {
        self.written.get(path).copied().unwrap_or(0)
    }

    /// Notes the end of a sync that covers `path` up to `lsn`.
    pub(crate) fn synced(&mut self, path: &Path, lsn: u64, well: bool) {
        if !well {
            self.failed.insert(path.into());
        } else if !self.failed.contains(path) {
            self.durable = self.durable.max(lsn);
        }
    }

    /// Notes `bytes` sent through a socket, and the LSNs in them.
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
