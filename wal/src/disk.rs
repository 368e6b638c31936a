//! The seam to the outside world: everything the log asks of a disk.
//!
//! [`FsDisk`] is a real directory; `SimDisk` (feature `sim`) is one that loses power on command. A
//! [`Disk`] is one flat directory; names are plain file names, never paths.
//! Creating, renaming and removing are writes too: none of them counts before
//! [`sync_dir`](Disk::sync_dir).

mod fs;
#[cfg(feature = "sim")]
mod sim;

pub use fs::FsDisk;
#[cfg(feature = "sim")]
pub use sim::{Faults, Losses, SimDisk};

use std::io;

use crate::limits::SEGMENT_BYTES_MAX;
/// Says for people who owns the directory.
pub(crate) const LOCK_NAME: &str = "LOCK";

/// One directory. Clones are handles to the same directory.
pub trait Disk: Clone + Send + Sync + 'static {
    /// An open file of this directory.
    type File: DiskFile;
    /// Held for as long as the directory is owned; dropping it releases the directory.
    type Lock: Send + Sync + 'static;

    /// Takes the exclusive lock of this directory without waiting. It hangs on the directory and on
    /// no file in it: whoever removes a file must not let a second owner in.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another owner holds it.
    fn lock(&self) -> io::Result<Self::Lock>;

    /// Opens the directory `name` inside this one, creating it (and syncing this directory, so
    /// that the new name is durable) when it is missing.
    fn subdir(&self, name: &str) -> io::Result<Self>;

    /// Everything that has a name here, in no particular order.
    fn list(&self) -> io::Result<Vec<DirEntry>>;

    /// Creates a file that does not exist yet.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens an existing file. What is not a regular file is refused without being touched: no link is
    /// followed, and nothing waits for the other end of a FIFO.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Renames a file, replacing the target if there is one.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. What is in it may go before its name does, and stay away when the name comes back
    /// after a power loss.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// [Removes](Self::remove) a file if it is there.
    fn discard(&self, name: &str) -> io::Result<()> {
        match self.remove(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Makes every create, rename and remove so far durable.
    fn sync_dir(&self) -> io::Result<()>;

    /// Fills `out` with bytes nobody can predict (salts, store ids).
    fn random(&self, out: &mut [u8]) -> io::Result<()>;

    /// The size in bytes at which segments here stop doubling, at least 1 MiB.
    fn segment_bytes_max(&self) -> u64 {
        SEGMENT_BYTES_MAX
    }

    /// What to call the file in a message to a person.
    fn describe(&self, name: &str) -> String;
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name. What is not UTF-8 in it is replaced, so that it is never one of ours.
    pub name: String,
    /// What carries it, in words, if that is not a regular file: `a directory`, `a symbolic link`.
    pub not_regular: Option<&'static str>,
}

/// An open file. All methods take positions: there is no cursor to get wrong.
pub trait DiskFile: Send + Sync + 'static {
    /// The length in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Reads up to `out.len()` bytes at `offset`; fewer only at the end of the file.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`. Volatile until [`sync`](DiskFile::sync).
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Whether the file has one name only.
    fn has_single_link(&self) -> io::Result<bool>;

    /// Makes everything written so far durable. After an error nothing may be believed about what
    /// reached the disk, and asking again proves nothing: the kernel may have dropped the pages.
    fn sync(&self) -> io::Result<()>;

    /// Drops clean pages from `offset` to the end out of the page cache, so that the next read
    /// shows what the disk holds and not what memory remembers. Pages that are not written yet may start
    /// on their way; nobody waits for them.
    fn drop_cache(&self, offset: u64) -> io::Result<()>;

    /// Has no more read than is asked for. Whoever reads much beside a log would otherwise have megabytes
    /// under way, which a sync waits for.
    fn disable_readahead(&self) -> io::Result<()> {
        Ok(())
    }
}
