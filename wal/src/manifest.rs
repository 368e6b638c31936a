//! The manifest names what must exist: it detects a missing or foreign segment.
//!
//! `MANIFEST` is a [`TwinFile`] of 72 bytes: store (16), incarnation, oldest segment, newest
//! segment, clean stop {segment, end, LSN}, next LSN (u64 each). It is written after a segment has
//! got its name and before that segment gets its first frame, and before a segment is removed.

use crate::damage::{Damage, Reason};
use crate::disk::Disk;
use crate::error::Error;
use crate::frame::u64_at;
use crate::segment::{LogEnd, StoreId};
use crate::twin::{Twin, TwinFile, file_bytes};

pub(crate) const FILE: TwinFile = TwinFile { name: Manifest::NAME, magic: *b"ICNWALM\0" };
const BYTES: usize = 72;

/// The content of the manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) store: StoreId,
    /// How many opens have written.
    pub(crate) incarnation: u64,
    /// The oldest segment; 0 while there is none, as is `newest`.
    pub(crate) oldest: u64,
    pub(crate) newest: u64,
    /// Where the last orderly stop ended the log; all zero from the next write on.
    pub(crate) clean: LogEnd,
    /// No LSN below may be given out again.
    pub(crate) next_lsn: u64,
}

impl Manifest {
    pub(crate) const NAME: &str = "MANIFEST";
    /// The length of its file.
    pub(crate) const FILE_BYTES: usize = file_bytes(BYTES);
    /// The name under which [`write`](Self::write) makes its successor.
    pub(crate) const TEMPORARY: &str = "MANIFEST.tmp";

    /// Reads the manifest; `None` when there is none.
    pub(crate) fn read<D: Disk>(disk: &D) -> Result<Option<Self>, Error> {
        match FILE.read(disk)? {
            Twin::Missing => Ok(None),
            Twin::Content(bytes, _) if bytes.len() == BYTES => Ok(Some(Self::decode(&bytes))),
            Twin::Content(..) | Twin::Damaged => Err(Self::damage(disk)),
        }
    }

    pub(crate) fn damage<D: Disk>(disk: &D) -> Error {
        let file = disk.describe(FILE.name);
        Error::Corrupt(Damage { file, segment: 0, offset: 0, reason: Reason::ManifestDamaged })
    }

    /// Makes this the manifest; needs space for another file of its size.
    pub(crate) fn write<D: Disk>(&self, disk: &D) -> Result<(), Error> {
        FILE.replace(disk, &self.encode())
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend_from_slice(&self.store);
        let clean = self.clean;
        for number in [
            self.incarnation,
            self.oldest,
            self.newest,
            clean.segment,
            clean.end,
            clean.lsn,
            self.next_lsn,
        ] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Self {
        let mut store = StoreId::default();
        store.copy_from_slice(&bytes[0..16]);
        let number = |index: usize| u64_at(bytes, 16 + index * 8);
        Self {
            store,
            incarnation: number(0),
            oldest: number(1),
            newest: number(2),
            clean: LogEnd { segment: number(3), end: number(4), lsn: number(5) },
            next_lsn: number(6),
        }
    }
}
