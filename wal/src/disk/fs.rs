//! A real directory.

mod unsupported;

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Advice, AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::param::page_size;
use rustix::path::Arg;

use super::{DirEntry, Disk, DiskFile, LOCK_NAME};
use crate::limits::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};
use crate::plant::planted;

const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
const DIR_MODE: Mode = Mode::RWXU;
/// A file is truncated in steps of this size. Every sync waits while a disk handles freed
/// space: 8 to 11 ms for 42 MiB, on ext4 that discards at once.
const SHRINK_BYTES: u64 = 1 << 20;
/// The most pages in a folio of Linux' page cache (`MAX_PAGECACHE_ORDER`). A folio begins at a
/// multiple of its length, and a request to drop a part of one is ignored.
const FOLIO_PAGES_MAX: u64 = 1 << 11;

/// A directory of the file system. Files are created 0600 and directories 0700, and a symbolic link
/// where a file is expected is refused.
///
/// The open directory counts, not its path. Moving it or putting another one in its place never
/// makes a log write into the other.
///
/// The file system must be a local one: NFS, SMB, 9p and FUSE are refused for writing. On tmpfs
/// everything works and nothing survives a power loss.
#[derive(Clone, Debug)]
pub struct FsDisk {
    directory: Arc<File>,
    path: Arc<PathBuf>,
    segment_bytes_max: u64,
    mode: OpenMode,
}

/// What a directory is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OpenMode {
    Read,
    Write,
    /// Also on an unsupported file system.
    WriteUnchecked,
}

impl FsDisk {
    /// Opens `path` for reading and writing, creating it with all its missing parents.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] on a file system that does not suit a log; the system's error
    /// when the directory cannot be created or synced.
    pub fn create(path: &Path) -> io::Result<Self> {
        // Refuse before anything is created.
        let there = path.ancestors().find(|ancestor| ancestor.is_dir()).unwrap_or(Path::new("."));
        unsupported::refuse(&open_directory(there)?)?;
        create_durably(path)?;
        Self::open(path, OpenMode::Write)
    }

    /// Like [`create`](Self::create), but accepts every file system, for callers that know its
    /// locks and syncs to hold.
    ///
    /// # Errors
    /// The system's error when the directory cannot be created or synced.
    pub fn create_anywhere(path: &Path) -> io::Result<Self> {
        create_durably(path)?;
        Self::open(path, OpenMode::WriteUnchecked)
    }

    /// Opens `path` for reading only: nothing is created, changed or locked.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is no such directory.
    pub fn read_only(path: &Path) -> io::Result<Self> {
        Self::open(path, OpenMode::Read)
    }

    /// Sets the size at which segments stop doubling to `bytes`, at least 1 MiB. Besides the active
    /// segment, up to three of that size are kept ready.
    #[must_use]
    pub fn with_segment_bytes_max(mut self, bytes: u64) -> Self {
        self.segment_bytes_max = bytes.max(SEGMENT_BYTES_MIN);
        self
    }

    /// Removes all rights of group and others from the directory and the regular files in it.
    /// Returns the paths that had some.
    ///
    /// # Errors
    /// When another user owns them.
    pub fn make_private(&self) -> io::Result<Vec<PathBuf>> {
        let mut changed = Vec::new();
        let mut restrict = |file: &File, path: PathBuf| -> io::Result<()> {
            let mode = file.metadata()?.permissions().mode();
            if mode & 0o077 != 0 {
                file.set_permissions(Permissions::from_mode(mode & !0o077))?;
                changed.push(path);
            }
            Ok(())
        };
        restrict(&self.directory, self.path.to_path_buf())?;
        for DirEntry { name, not_regular } in self.list()? {
            if not_regular.is_some() {
                continue;
            }
            match self.open_regular(&name, OFlags::RDONLY) {
                // Removed since, or its name is not UTF-8.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                file => restrict(&file?, self.path.join(name))?,
            }
        }
        Ok(changed)
    }

    /// The path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open(path: &Path, mode: OpenMode) -> io::Result<Self> {
        let directory = Arc::new(open_directory(path)?);
        let path = Arc::new(path.to_path_buf());
        Ok(Self { directory, path, mode, segment_bytes_max: SEGMENT_BYTES_MAX })
    }

    /// What `name` is if it is not a regular file; `None` also when it does not exist.
    fn not_regular(&self, name: impl Arg) -> io::Result<Option<&'static str>> {
        let stat = match rustix::fs::statat(&*self.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(None),
            stat => stat?,
        };
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => None,
            FileType::Directory => Some("a directory"),
            FileType::Symlink => Some("a symbolic link"),
            FileType::Fifo => Some("a FIFO"),
            FileType::Socket => Some("a socket"),
            _ => Some("a device"),
        })
    }

    fn open_regular(&self, name: &str, flags: OFlags) -> io::Result<File> {
        if let Some(what) = self.not_regular(name)? {
            return Err(io::Error::other(format!("it is {what}, not a regular file")));
        }
        self.open_at(name, flags)
    }

    fn open_at(&self, name: &str, flags: OFlags) -> io::Result<File> {
        // The file may have been replaced since the check.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(rustix::io::retry_on_intr(|| {
            rustix::fs::openat(&*self.directory, name, flags, FILE_MODE)
        })?
        .into())
    }

    /// Truncates a file. One with another hard link is left alone.
    fn shrink(&self, name: &str) -> io::Result<()> {
        let file = self.open(name)?;
        let found = file.metadata()?;
        if found.nlink() > 1 {
            return Ok(());
        }
        file.cut(0)
    }
}

fn open_directory(path: &Path) -> io::Result<File> {
    let flags = OFlags::DIRECTORY.bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn open_directory_at(directory: &File, name: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, Mode::empty())?.into())
}

/// Creates `path` and its missing parents, and syncs the parent of each: a power loss can take the
/// name of a fully synced directory.
fn create_durably(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if path.is_dir() {
        // The process that created it may have been killed before its name was durable. A parent
        // without read permission was not created by a log.
        return File::open(parent).map_or(Ok(()), |parent| parent.sync_all());
    }
    if !parent.is_dir() {
        create_durably(parent)?;
    }
    match rustix::fs::mkdir(path, DIR_MODE) {
        Err(Errno::EXIST) if path.is_dir() => {}
        made => made?,
    }
    File::open(parent)?.sync_all()
}

/// The lock of a directory.
#[derive(Debug)]
pub struct FsLock(File);

impl Drop for FsLock {
    fn drop(&mut self) {
        // Closing is not enough: a child process holds the descriptor too, between fork and exec.
        let _ = self.0.unlock();
    }
}

impl Disk for FsDisk {
    type File = File;
    type Lock = FsLock;

    fn lock(&self) -> io::Result<FsLock> {
        // Missing write permission is reported before anything is begun. Where the check is not
        // supported, the first created file reports it.
        let wanted = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        if let Err(error @ (Errno::ACCESS | Errno::ROFS)) =
            rustix::fs::accessat(&*self.directory, ".", wanted, AtFlags::EACCESS)
        {
            return Err(error.into());
        }
        // Opened anew: a flock belongs to the open descriptor, which clones of this disk share.
        let owned = open_directory_at(&self.directory, ".")?;
        match owned.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) if planted("lock-not-taken") => {}
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let note = self.open_regular(LOCK_NAME, OFlags::RDWR | OFlags::CREATE)?;
        // For people only, so a full disk is no reason to refuse. Of fixed width, so that nothing of a
        // longer id stays.
        let _ = note.write_all_at(format!("{:<10}\n", std::process::id()).as_bytes(), 0);
        Ok(FsLock(owned))
    }

    fn subdir(&self, name: &str) -> io::Result<Self> {
        if self.mode != OpenMode::Read {
            match rustix::fs::mkdirat(&*self.directory, name, DIR_MODE) {
                Err(Errno::EXIST) => {}
                made => made?,
            }
            // Also for an existing directory: its creator may have been killed before the sync.
            self.sync_dir()?;
        }
        let directory = Arc::new(open_directory_at(&self.directory, name)?);
        if self.mode == OpenMode::Write {
            // It may be a link into another file system.
            unsupported::refuse(&directory)?;
        }
        Ok(Self { directory, path: Arc::new(self.path.join(name)), ..self.clone() })
    }

    fn list(&self) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in Dir::read_from(&*self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                let not_regular = self.not_regular(name)?;
                entries.push(DirEntry { name: name.to_string_lossy().into_owned(), not_regular });
            }
        }
        Ok(entries)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        self.open_at(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
    }

    fn open(&self, name: &str) -> io::Result<File> {
        self.open_regular(
            name,
            if self.mode == OpenMode::Read { OFlags::RDONLY } else { OFlags::RDWR },
        )
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&*self.directory, from, &*self.directory, to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        // Best effort: the removal frees whatever could not be truncated.
        let _ = self.shrink(name);
        Ok(rustix::fs::unlinkat(&*self.directory, name, AtFlags::empty())?)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.directory.sync_all()
    }

    fn random(&self, out: &mut [u8]) -> io::Result<()> {
        getrandom::fill(out).map_err(io::Error::other)
    }

    fn segment_bytes_max(&self) -> u64 {
        self.segment_bytes_max
    }

    fn describe(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }
}

impl DiskFile for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < out.len() {
            match FileExt::read_at(self, &mut out[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        let mut left = self.metadata()?.len();
        while left > len {
            left = left.saturating_sub(SHRINK_BYTES).max(len);
            self.set_len(left)?;
        }
        Ok(())
    }

    fn has_single_link(&self) -> io::Result<bool> {
        Ok(self.metadata()?.nlink() == 1)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn drop_cache(&self, offset: u64) -> io::Result<()> {
        let from = offset - offset % (FOLIO_PAGES_MAX * page_size() as u64);
        rustix::fs::fadvise(self, from, None, Advice::DontNeed).map_err(io::Error::from)
    }

    fn disable_readahead(&self) -> io::Result<()> {
        rustix::fs::fadvise(self, 0, None, Advice::Random).map_err(io::Error::from)
    }
}
