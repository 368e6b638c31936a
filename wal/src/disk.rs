//! The seam to the outside: everything the log asks of a disk.
//!
//! [`FsDisk`] is a real directory; `SimDisk` (feature `sim`) is one that loses power on command. A
//! [`Disk`] is one flat directory; names are plain file names, never paths. Creating, renaming and
//! removing are writes too: none of them is durable before [`sync_dir`](Disk::sync_dir).

mod fs;
#[cfg(feature = "sim")]
mod sim;

pub use fs::FsDisk;
#[cfg(feature = "sim")]
pub use sim::{Faults, Losses, SimDisk};

use std::io;

use crate::limits::SEGMENT_BYTES_MAX;

/// A file with the process id of the owner, for people.
pub(crate) const LOCK_NAME: &str = "LOCK";

/// One directory. Clones are handles to the same directory.
pub trait Disk: Clone + Send + Sync + 'static {
    /// An open file of this directory.
    type File: DiskFile;
    /// Held while the directory is owned; dropping it releases the directory.
    type Lock: Send + Sync + 'static;

    /// Takes the exclusive lock of this directory without waiting. It locks the directory and no
    /// file in it: removing a file must not admit a second owner.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another owner holds it.
    fn lock(&self) -> io::Result<Self::Lock>;

    /// Opens the directory `name` inside this one. A missing one is created, and this directory
    /// synced.
    fn subdir(&self, name: &str) -> io::Result<Self>;

    /// Every name in this directory, in no particular order.
    fn list(&self) -> io::Result<Vec<DirEntry>>;

    /// Creates a file that does not exist yet.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens an existing regular file. Anything else is refused untouched: no link is followed, and
    /// a FIFO is not waited for.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Renames a file, replacing the target if there is one.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Its content may be lost before its name, and stay lost when the name comes
    /// back after a power loss.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// [Removes](Self::remove) a file if it exists.
    fn discard(&self, name: &str) -> io::Result<()> {
        match self.remove(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Makes every create, rename and remove so far durable.
    fn sync_dir(&self) -> io::Result<()>;

    /// Fills `out` with unpredictable bytes (salts, store ids).
    fn random(&self, out: &mut [u8]) -> io::Result<()>;

    /// The size in bytes at which segments here stop doubling, at least 1 MiB.
    fn segment_bytes_max(&self) -> u64 {
        SEGMENT_BYTES_MAX
    }

    /// The name of a file in messages for people.
    fn describe(&self, name: &str) -> String;
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name. Bytes that are not UTF-8 are replaced, so that it never equals a name of the log.
    pub name: String,
    /// What the entry is, in words, if it is not a regular file: `a directory`, `a symbolic link`.
    pub not_regular: Option<&'static str>,
}

/// An open file. All methods take positions: there is no cursor.
pub trait DiskFile: Send + Sync + 'static {
    /// The length in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Reads up to `out.len()` bytes at `offset`; fewer only at the end of the file.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`. Volatile until [`sync`](DiskFile::sync).
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Shortens the file to `len` bytes. After a power loss before the next [`sync`](DiskFile::sync) it may
    /// have either length.
    fn cut(&self, len: u64) -> io::Result<()>;

    /// Whether the file has only one name (hard link).
    fn has_single_link(&self) -> io::Result<bool>;

    /// Makes everything written so far durable. After an error it is unknown what reached the disk,
    /// and a second sync proves nothing: the kernel may have dropped the pages.
    fn sync(&self) -> io::Result<()>;

    /// Drops clean pages from `offset` to the end from the page cache, so that the next read comes
    /// from the disk. Dirty pages may start to be written, without waiting for them.
    fn drop_cache(&self, offset: u64) -> io::Result<()>;

    /// Disables readahead. A large read concurrent with a log would otherwise have megabytes in
    /// flight, and a sync waits for them.
    fn disable_readahead(&self) -> io::Result<()> {
        Ok(())
    }
}
