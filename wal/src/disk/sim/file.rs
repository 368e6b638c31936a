//! An open file of a simulated disk.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::state::DiskState;
use crate::disk::DiskFile;

/// An open file.
pub struct SimFile {
    pub(super) state: Arc<Mutex<DiskState>>,
    pub(super) file: usize,
}

impl DiskFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        let state = self.state.lock();
        state.check_power()?;
        Ok(state.files[self.file].live.len() as u64)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state.lock();
        state.check_power()?;
        state.reads += 1;
        if state.faults.read_error_at == Some(state.reads) {
            return Err(io::Error::other("the read failed"));
        }
        Ok(state.files[self.file].live.read(index(offset), out))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        state.writes += 1;
        let dying = state.count_operation();
        if state.faults.write_error_at == Some(state.writes) {
            state.files[self.file].write(index(offset), &bytes[..bytes.len() / 2]);
            return Err(io::Error::other("the write failed"));
        }
        let size = state.files[self.file].live.len() as u64;
        let growth = (offset + bytes.len() as u64).saturating_sub(size);
        // The bytes of this write that find no space.
        let mut lacking = 0;
        if growth > 0 && state.count_growth().is_err() {
            lacking = (bytes.len() as u64).div_ceil(2);
        } else if let Some(room) = &mut state.faults.room {
            lacking = growth.saturating_sub(*room);
            *room -= growth - lacking;
        }
        let written = bytes.len() - index(lacking);
        state.files[self.file].write(index(offset), &bytes[..written]);
        if lacking > 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        dying
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.count_operation()?;
        let file = &mut state.files[self.file];
        let before = file.live.len() as u64;
        file.cut(index(len));
        state.free(before.saturating_sub(len));
        Ok(())
    }

    fn has_single_link(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.count_operation()?;
        state.syncs += 1;
        let fails = state.faults.sync_error_at == Some(state.syncs);
        let keeps = state.faults.sync_error_keeps;
        let file = &mut state.files[self.file];
        if fails {
            if !keeps {
                file.lose_pending();
            }
            return Err(io::Error::other("the sync failed"));
        }
        file.sync();
        Ok(())
    }

    fn drop_cache(&self, offset: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check_power()?;
        state.files[self.file].drop_cache(index(offset));
        Ok(())
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
