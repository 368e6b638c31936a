//! A disk that announces every operation, so that a test can act in between.

use std::io;
use std::sync::Arc;

use icn_wal::disk::{DirEntry, Disk, DiskFile, SimDisk};

/// The next operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// The names are listed.
    List,
    /// The names have been listed.
    Listed,
    /// A file is opened.
    Open,
    /// A file is read.
    Read,
    /// Anything is changed or synced.
    Change,
}

type Before = Arc<dyn Fn(Operation) + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Watched {
    disk: SimDisk,
    before: Before,
}

pub(crate) struct WatchedFile {
    file: <SimDisk as Disk>::File,
    before: Before,
}

impl Watched {
    pub(crate) fn new(disk: SimDisk, before: impl Fn(Operation) + Send + Sync + 'static) -> Self {
        Self { disk, before: Arc::new(before) }
    }

    fn file(&self, file: <SimDisk as Disk>::File) -> WatchedFile {
        WatchedFile { file, before: Arc::clone(&self.before) }
    }
}

impl Disk for Watched {
    type File = WatchedFile;
    type Lock = <SimDisk as Disk>::Lock;

    fn lock(&self) -> io::Result<Self::Lock> {
        self.disk.lock()
    }

    fn subdir(&self, name: &str) -> io::Result<Self> {
        Ok(Self { disk: self.disk.subdir(name)?, before: Arc::clone(&self.before) })
    }

    fn list(&self) -> io::Result<Vec<DirEntry>> {
        (self.before)(Operation::List);
        let names = self.disk.list();
        (self.before)(Operation::Listed);
        names
    }

    fn create(&self, name: &str) -> io::Result<WatchedFile> {
        (self.before)(Operation::Change);
        self.disk.create(name).map(|file| self.file(file))
    }

    fn open(&self, name: &str) -> io::Result<WatchedFile> {
        (self.before)(Operation::Open);
        self.disk.open(name).map(|file| self.file(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        (self.before)(Operation::Change);
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        (self.before)(Operation::Change);
        self.disk.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        (self.before)(Operation::Change);
        self.disk.sync_dir()
    }

    fn random(&self, out: &mut [u8]) -> io::Result<()> {
        self.disk.random(out)
    }

    fn describe(&self, name: &str) -> String {
        self.disk.describe(name)
    }
}

impl DiskFile for WatchedFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        (self.before)(Operation::Read);
        self.file.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        (self.before)(Operation::Change);
        self.file.write_at(offset, bytes)
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        (self.before)(Operation::Change);
        self.file.cut(len)
    }

    fn has_single_link(&self) -> io::Result<bool> {
        self.file.has_single_link()
    }

    fn sync(&self) -> io::Result<()> {
        (self.before)(Operation::Change);
        self.file.sync()
    }

    fn drop_cache(&self, offset: u64) -> io::Result<()> {
        self.file.drop_cache(offset)
    }
}
