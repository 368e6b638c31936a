//! What the disk itself can do.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::Outcome;
use crate::load::{clock, rate_for_a_while};

/// Room for more synced writes than a round makes.
const RECYCLED_BYTES: u64 = 32 << 20;
const BLOCK_BYTES: usize = 1 << 20;

/// A file whose blocks are written and synced, as those of a log that reuses its files are.
fn recycled(path: &Path, bytes: u64) -> Outcome<File> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    if file.metadata()?.len() < bytes {
        for at in (0..bytes).step_by(BLOCK_BYTES) {
            file.write_all_at(&vec![0; BLOCK_BYTES], at)?;
        }
        file.sync_all()?;
    }
    Ok(file)
}

/// Writes of `bytes` per second, each synced before the next.
pub(crate) fn durable_writes(path: &Path, bytes: usize) -> Outcome<f64> {
    let file = recycled(path, RECYCLED_BYTES)?;
    let record = vec![1; bytes];
    let mut at = 0;
    rate_for_a_while(|| {
        file.write_all_at(&record, at)?;
        file.sync_data()?;
        at = (at + bytes as u64) % (RECYCLED_BYTES - bytes as u64);
        Ok(())
    })
}

/// Bytes per second by writes of 1 MiB, synced once.
pub(crate) fn bulk_writes(path: &Path, bytes: usize) -> Outcome<f64> {
    let file = recycled(path, bytes as u64)?;
    let block = vec![1; BLOCK_BYTES];
    let start = clock();
    for at in (0..bytes).step_by(BLOCK_BYTES) {
        file.write_all_at(&block, at as u64)?;
    }
    file.sync_data()?;
    Ok(bytes as f64 / start.elapsed().as_secs_f64())
}

/// What the device under `path` has written since it was started, by its own count; the page
/// cache's count (`/proc/self/io`) charges a whole folio for each dirtied page.
pub(crate) fn written_bytes(path: &Path) -> Option<u64> {
    let device = path.metadata().ok()?.dev();
    let major = device >> 8 & 0xFFF;
    let minor = device & 0xFF | device >> 12 & 0xFFF00;
    let stat = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).ok()?;
    let sectors: u64 = stat.split_whitespace().nth(6)?.parse().ok()?;
    Some(sectors * 512)
}
