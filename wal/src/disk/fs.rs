//! A real directory.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Advice, OFlags};

use super::{Disk, DiskFile};
use crate::limits::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};
use crate::plant::planted;

const LOCK_NAME: &str = "LOCK";
const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;

/// A directory of the file system. Files are created 0600 and directories 0700, and a symbolic
/// link where a file is expected is refused.
#[derive(Clone, Debug)]
pub struct FsDisk {
    path: Arc<PathBuf>,
    writable: bool,
    segment_bytes_max: u64,
}

impl FsDisk {
    /// Opens `path` for reading and writing, creating it with all its missing parents.
    ///
    /// # Errors
    /// Whatever the file system says when the directory cannot be created or synced.
    pub fn create(path: &Path) -> io::Result<Self> {
        if !path.is_dir() {
            create_durably(path)?;
        }
        Ok(Self::new(path, true))
    }

    /// Opens `path` for reading only: nothing is created, changed or locked.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is no such directory.
    pub fn read_only(path: &Path) -> io::Result<Self> {
        if !fs::metadata(path)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self::new(path, false))
    }

    fn new(path: &Path, writable: bool) -> Self {
        Self { path: Arc::new(path.into()), writable, segment_bytes_max: SEGMENT_BYTES_MAX }
    }

    /// The same directory with segments that stop doubling at `bytes`, 1 MiB at the least. Besides
    /// the active one, up to three segments of that size are kept ready.
    #[must_use]
    pub fn with_segment_bytes_max(mut self, bytes: u64) -> Self {
        self.segment_bytes_max = bytes.max(SEGMENT_BYTES_MIN);
        self
    }

    /// The path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Creates `path` and its missing parents, each one synced into the directory that names it: a
/// power cut can lose the name of a fully synced directory.
fn create_durably(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !parent.is_dir() {
        create_durably(parent)?;
    }
    match DirBuilder::new().mode(DIR_MODE).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        other => other?,
    }
    File::open(parent)?.sync_all()
}

impl Disk for FsDisk {
    type File = File;
    type Lock = File;

    fn lock(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).mode(FILE_MODE);
        options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        let mut lock = options.open(self.file(LOCK_NAME))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) if planted("lock-not-taken") => {}
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Only information for a person; ownership is the lock itself and never this number.
        lock.set_len(0)?;
        lock.seek(SeekFrom::Start(0))?;
        writeln!(lock, "{}", std::process::id())?;
        Ok(lock)
    }

    fn subdir(&self, name: &str) -> io::Result<Self> {
        let path = self.file(name);
        let disk = if self.writable { Self::create(&path) } else { Self::read_only(&path) };
        Ok(disk?.with_segment_bytes_max(self.segment_bytes_max))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&*self.path)? {
            let entry = entry?;
            // A name that is not UTF-8 cannot be one of ours.
            if let (true, Ok(name)) =
                (entry.file_type()?.is_file(), entry.file_name().into_string())
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(FILE_MODE).open(self.file(name))
    }

    fn open(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(self.writable);
        options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        options.open(self.file(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.file(from), self.file(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.file(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&*self.path)?.sync_all()
    }

    fn random(&self, out: &mut [u8]) -> io::Result<()> {
        getrandom::fill(out).map_err(io::Error::other)
    }

    fn segment_bytes_max(&self) -> u64 {
        self.segment_bytes_max
    }

    fn describe(&self, name: &str) -> String {
        self.file(name).display().to_string()
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

    fn has_one_name(&self) -> io::Result<bool> {
        Ok(self.metadata()?.nlink() == 1)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn drop_cache(&self, offset: u64) -> io::Result<()> {
        rustix::fs::fadvise(self, offset, None, Advice::DontNeed).map_err(io::Error::from)
    }
}
