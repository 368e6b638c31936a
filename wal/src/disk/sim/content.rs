//! One simulated file: the synced bytes, the page cache, and the pending writes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::pages::Pages;

pub(super) const SECTOR_BYTES: usize = 512;

/// What a disk without power-safe overwrites may garble at once.
pub(super) const BLOCK_BYTES: usize = 4096;

pub(super) type Sector = [u8; SECTOR_BYTES];

#[derive(Clone, Default)]
pub(super) struct Content {
    pub(super) live: Pages,
    pub(super) synced: Pages,
    /// Writes that are not synced, in order: offset and bytes.
    pub(super) pending: Vec<(usize, Arc<[u8]>)>,
    /// The length to which the file was cut since the last sync.
    pub(super) pending_cut: Option<usize>,
    /// After a failed sync or bit rot, the page cache shows what the disk does not hold.
    cache_diverged: bool,
}

/// A sector with pending writes.
pub(super) struct UnsyncedSector {
    pub(super) index: usize,
    /// What the sector may hold: first the synced bytes, then the state after each pending write,
    /// with the number of that write, from 1.
    pub(super) versions: Vec<(usize, Sector)>,
    /// The bytes of the sector that are being written; the others never change (SQLite calls that a
    /// powersafe overwrite).
    pub(super) touched: Range<usize>,
}

impl Content {
    pub(super) fn durable(bytes: Pages) -> Self {
        Self { live: bytes.clone(), synced: bytes, ..Self::default() }
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.live.write(offset, bytes);
        self.pending.push((offset, bytes.into()));
    }

    pub(super) fn sync(&mut self) {
        for (offset, bytes) in std::mem::take(&mut self.pending) {
            self.synced.write(offset, &bytes);
        }
        if let Some(len) = self.pending_cut.take() {
            self.synced.cut(len);
        }
    }

    /// Truncates the file to `len` bytes, volatile until the next sync. What was written before is synced.
    pub(super) fn cut(&mut self, len: usize) {
        self.sync();
        self.live.cut(len);
        self.pending_cut = Some(len);
    }

    /// Truncates the file to `len` bytes, durably.
    pub(super) fn cut_durably(&mut self, len: usize) {
        self.cut(len);
        self.sync();
    }

    /// Whether anything of it is not synced.
    pub(super) fn is_dirty(&self) -> bool {
        !self.pending.is_empty() || self.pending_cut.is_some()
    }

    /// The blocks that pending writes touch.
    pub(super) fn touched_blocks(&self) -> BTreeSet<usize> {
        let touched = self.pending.iter().filter(|(_, bytes)| !bytes.is_empty());
        touched
            .flat_map(|(at, bytes)| at / BLOCK_BYTES..(at + bytes.len()).div_ceil(BLOCK_BYTES))
            .collect()
    }

    /// A sync that fails as on Linux: pages become clean, the disk never gets them.
    pub(super) fn lose_pending(&mut self) {
        self.pending.clear();
        self.cache_diverged = true;
    }

    /// Flips a bit of the synced bytes.
    pub(super) fn rot(&mut self, offset: usize) {
        let mut byte = [0];
        self.synced.read(offset, &mut byte);
        self.synced.write(offset, &[byte[0] ^ 1]);
        self.cache_diverged = true;
    }

    /// Replaces the page cache from `offset` on with what the disk holds.
    pub(super) fn drop_cache(&mut self, offset: usize) {
        if self.cache_diverged {
            let mut kept = vec![0; offset.min(self.live.len())];
            self.live.read(0, &mut kept);
            self.live = self.synced.clone();
            for (offset, bytes) in &self.pending {
                self.live.write(*offset, bytes);
            }
            self.live.write(0, &kept);
            self.cache_diverged = offset > 0;
        }
    }

    /// The sectors with pending writes: each write may have reached each of its sectors.
    pub(super) fn unsynced(&self) -> Vec<UnsyncedSector> {
        let mut sectors: BTreeMap<usize, UnsyncedSector> = BTreeMap::new();
        for (number, (offset, bytes)) in self.pending.iter().enumerate() {
            let mut at = 0;
            while at < bytes.len() {
                let index = (offset + at) / SECTOR_BYTES;
                let inside = (offset + at) % SECTOR_BYTES;
                let end = (at + SECTOR_BYTES - inside).min(bytes.len());
                let range = inside..inside + end - at;
                let sector = sectors.entry(index).or_insert_with(|| {
                    let mut synced = [0; SECTOR_BYTES];
                    self.synced.read(index * SECTOR_BYTES, &mut synced);
                    UnsyncedSector { index, versions: vec![(0, synced)], touched: range.clone() }
                });
                let touched = &sector.touched;
                sector.touched = touched.start.min(range.start)..touched.end.max(range.end);
                if let Some(&(_, last)) = sector.versions.last() {
                    let mut next = last;
                    next[range].copy_from_slice(&bytes[at..end]);
                    if next != last {
                        sector.versions.push((number + 1, next));
                    }
                }
                at = end;
            }
        }
        sectors.into_values().filter(|sector| sector.versions.len() > 1).collect()
    }

    /// Where the file ends if every pending write reached the disk.
    pub(super) fn pending_end(&self) -> usize {
        let ends = self.pending.iter().map(|(offset, bytes)| offset + bytes.len());
        ends.max().unwrap_or(0).max(self.synced.len())
    }
}
