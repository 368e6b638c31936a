//! Room for what will be appended, and from what need not be kept.

use super::Wal;
use crate::disk::Disk;
use crate::error::Error;
use crate::lsn::Lsn;
use crate::plant::planted;
use crate::recover::Kept;

impl<D: Disk> Wal<D> {
    /// Removes the segments all of whose records are at or before `lsn`, except the active one.
    /// Returns how many went. The manifest names the new oldest segment before the first is
    /// removed.
    ///
    /// # Errors
    /// [`Error::Io`]. Files that could not be removed are ignored from now on and removed at the
    /// next open.
    pub fn drop_through(&self, lsn: Lsn) -> Result<u64, Error> {
        let dropped: Vec<Kept> = {
            let mut chain = self.chain.lock();
            let active = chain.kept.len().saturating_sub(1);
            let count =
                chain.kept[..active].iter().take_while(|kept| kept.last_lsn <= lsn.get()).count();
            if count == 0 {
                return Ok(0);
            }
            let mut manifest = chain.manifest;
            manifest.oldest = chain.kept[count].number;
            if !planted("removed-before-the-manifest-says-so") {
                manifest.write(&self.disk)?;
                chain.manifest = manifest;
            }
            chain.kept.drain(..count).collect()
        };
        let count = dropped.len() as u64;
        for Kept { number, bytes, .. } in dropped {
            self.pool.lock().retire(&self.disk, number, bytes)?;
        }
        Ok(count)
    }

    /// Prepares the next segment if it is not there yet, so that no append has to.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when the disk is full, [`Error::Io`].
    pub fn prepare(&self) -> Result<(), Error> {
        self.prepare_spare(0)
    }

    /// Whether the next segment is missing.
    #[must_use]
    pub fn wants_spare(&self) -> bool {
        self.queue.lock().spare.is_none()
    }

    /// Sees to a segment that holds what is pending and `bytes` more.
    pub(super) fn prepare_spare(&self, bytes: usize) -> Result<(), Error> {
        let mut pool = self.pool.lock();
        let (wanted, small) = {
            let mut queue = self.queue.lock();
            queue.check()?;
            let wanted = queue.next_segment_bytes(bytes, self.disk.segment_bytes_max());
            let have = queue.spare.as_ref().map_or(0, |spare| spare.bytes);
            if have >= wanted || (have > 0 && bytes == 0) || queue.leans_on_spare() {
                return Ok(());
            }
            (wanted, queue.spare.take())
        };
        if let Some(small) = small {
            small.discard(&self.disk)?;
        }
        let spare = pool.take(&self.disk, wanted)?;
        self.queue.lock().spare = Some(spare);
        Ok(())
    }
}
