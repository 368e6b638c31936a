//! Space for future appends: prepared segments, and dropped ones.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Wal;
use crate::disk::Disk;
use crate::error::Error;
use crate::idle_signal::IdleSignal;
use crate::lsn::Lsn;
use crate::plant::planted;
use crate::queue::Shortage;
use crate::recover::KeptSegment;
use crate::spare::Spare;
use crate::writer::KeptSegments;

impl<D: Disk> Wal<D> {
    /// Drops the segments all of whose records are at or before `lsn`, except the newest one.
    /// Returns how many were dropped. The manifest names the new oldest segment before the first
    /// file is removed.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when the disk is full and no segment has been prepared since the last
    /// drop; nothing was dropped then. [`Error::Io`]; a file that could not be removed is no longer
    /// part of the log, and the next open removes it.
    pub fn drop_through(&self, lsn: Lsn) -> Result<u64, Error> {
        if droppable(&self.kept.lock(), lsn.get()) == 0 {
            return Ok(0);
        }
        let mut pool = self.pool.lock();
        let manifest_file = pool.manifest_for_drop(&self.disk).map_err(Error::into_no_space)?;
        let dropped: Vec<KeptSegment> = {
            let mut kept = self.kept.lock();
            let count = droppable(&kept, lsn.get());
            let mut manifest = kept.manifest;
            manifest.oldest = kept.segments[count].number;
            if !planted("removed-before-the-manifest-says-so") {
                manifest.write_into(&self.disk, &manifest_file)?;
                kept.manifest = manifest;
            }
            kept.segments.drain(..count).collect()
        };
        let count = dropped.len() as u64;
        for KeptSegment { number, bytes, .. } in dropped {
            pool.retire(&self.disk, number, bytes)?;
        }
        pool.restock_manifests(&self.disk)?;
        Ok(count)
    }

    /// The segments that stay after a [drop](Self::drop_through) through `lsn`. 0 stands for no drop.
    #[must_use]
    pub fn size_after(&self, lsn: u64) -> LogSize {
        let kept = self.kept.lock();
        LogSize::of(&kept.segments[droppable(&kept, lsn)..])
    }

    /// The segments that began after the record `lsn`, but for the newest, which may still grow.
    #[must_use]
    pub fn begun_after(&self, lsn: u64) -> LogSize {
        let kept = self.kept.lock();
        let newest = kept.segments.len().saturating_sub(1);
        let began = kept.segments.iter().position(|kept| kept.last_lsn >= lsn);
        let first = began.map_or(newest, |holds| holds + 1).min(newest);
        LogSize::of(&kept.segments[first..newest])
    }

    /// Prepares the next segment unless one is prepared, so that no append has to.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when the disk is full, [`Error::Io`].
    pub fn prepare(&self) -> Result<(), Error> {
        self.prepare_spare(0, None)
    }

    /// Whether no next segment is prepared.
    #[must_use]
    pub fn lacks_spare(&self) -> bool {
        self.queue.lock().spare.is_none()
    }

    pub(crate) fn idle_signal(&self) -> &Arc<IdleSignal> {
        &self.idle_signal
    }

    pub(crate) fn durable_lsn(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Counts a housekeeper that has started or stopped.
    pub(crate) fn count_housekeeper(&self, started: bool) {
        let mut queue = self.queue.lock();
        let count = queue.housekeepers;
        queue.housekeepers = if started { count + 1 } else { count - 1 };
    }

    /// Prepares a segment for the pending records and `bytes` more; `time_ms` is that of the append
    /// that needs it, if one does.
    pub(super) fn prepare_spare(&self, bytes: usize, time_ms: Option<u64>) -> Result<(), Error> {
        let mut pool = self.pool.lock();
        let ((least, best), small) = {
            let mut queue = self.queue.lock();
            queue.check()?;
            let sizes = queue.next_segment_bytes(bytes, self.disk.segment_bytes_max());
            let have = queue.spare.as_ref().map_or(0, Spare::bytes);
            // Another append may have prepared one since, and a group may have begun it.
            let admitted = time_ms.is_some() && queue.admits(bytes) && !queue.is_short();
            if admitted
                || have >= sizes.0
                || (have > 0 && bytes == 0)
                || queue.pending_needs_spare()
            {
                return Ok(());
            }
            (sizes, queue.spare.take())
        };
        if let Some(small) = small {
            small.discard(&self.disk)?;
        }
        let mut taken = pool.take(&self.disk, best).map_err(Error::into_no_space);
        if matches!(taken, Err(Error::NoSpace { .. })) && least < best {
            taken = pool.take(&self.disk, least).map_err(Error::into_no_space);
        }
        let mut queue = self.queue.lock();
        match taken {
            Ok(spare) => {
                queue.spare = Some(spare);
                queue.shortage = None;
                Ok(())
            }
            Err(Error::NoSpace { source }) => {
                let before = queue.shortage.and_then(|shortage| shortage.refused_ms);
                let refused_ms = time_ms.or(before);
                let kind = source.kind();
                queue.shortage = Some(Shortage { kind, segment_bytes: least, refused_ms });
                drop(queue);
                // Appends are refused until a housekeeper has found space, so none may stay asleep.
                self.idle_signal.notify();
                Err(Error::NoSpace { source })
            }
            Err(error) => Err(error),
        }
    }
}

/// A number of segments, and their size on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSize {
    /// The number of segments.
    pub segments: u64,
    /// Their size in bytes, unused bytes included.
    pub bytes: u64,
}

impl LogSize {
    fn of(segments: &[KeptSegment]) -> Self {
        let bytes = segments.iter().map(|kept| kept.bytes).sum();
        Self { segments: segments.len() as u64, bytes }
    }
}

/// How many of the oldest segments hold no record after `lsn`; never the newest.
fn droppable(kept: &KeptSegments, lsn: u64) -> usize {
    let newest = kept.segments.len().saturating_sub(1);
    kept.segments[..newest].iter().take_while(|kept| kept.last_lsn <= lsn).count()
}
