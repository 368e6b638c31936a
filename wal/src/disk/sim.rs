//! A disk that loses power on command.
//!
//! Every file has two images: the synced bytes, and the pending writes. Every directory has its
//! synced names, and the pending changes of names. [`SimDisk::losses`] are the disks that a
//! power cut may leave: the synced part and any legal part of the pending one, sector by sector.
//! Reads are not counted as operations: a crash between two reads leaves the same disk.

mod content;
mod faults;
mod file;
mod loss;
mod names;
mod pages;
mod rng;
mod state;

pub use faults::Faults;
pub use loss::Losses;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use self::content::Content;
use self::file::SimFile;
use self::names::{NameChange, Names, directory_of, name_of};
use self::rng::Rng;
use self::state::DiskState;
use super::{DirEntry, Disk};
use crate::limits::SEGMENT_BYTES_MAX;
use crate::plant::planted;

/// A simulated directory of a simulated disk. Clones are handles to the same disk.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<DiskState>>,
    directory: String,
    segment_bytes_max: u64,
}

/// The lock of a directory.
pub struct SimLock {
    state: Arc<Mutex<DiskState>>,
    directory: String,
}

impl SimDisk {
    /// An empty disk. `seed` determines the bytes of [`Disk::random`].
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let state = DiskState { random: seed, ..DiskState::default() };
        Self {
            state: Arc::new(Mutex::new(state)),
            directory: String::new(),
            segment_bytes_max: SEGMENT_BYTES_MAX,
        }
    }

    /// Sets the size at which segments stop doubling, so that a short life has many.
    #[must_use]
    pub fn with_segment_bytes_max(mut self, bytes: u64) -> Self {
        self.segment_bytes_max = bytes;
        self
    }

    /// Sets which calls fail from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state.lock().faults = faults;
    }

    /// The number of operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// The numbers of writes, reads and opens so far.
    #[must_use]
    pub fn traffic(&self) -> [u64; 3] {
        let state = self.state.lock();
        [state.writes, state.reads, state.opens]
    }

    /// The number of operations so far that needed free space.
    #[must_use]
    pub fn growths(&self) -> u64 {
        self.state.lock().growths
    }

    /// The number of file syncs so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// The disks that a power loss at this moment may leave.
    #[must_use]
    pub fn losses(&self) -> Losses {
        Losses::of(self)
    }

    /// One of the disks that a power loss may leave; see [`Losses::seeded`].
    #[must_use]
    pub fn power_loss(&self, seed: u64) -> Self {
        self.losses().seeded(seed)
    }

    /// The disk as the next process finds it after this one was killed: everything written is
    /// visible, and pending writes are still pending.
    #[must_use]
    pub fn kill(&self) -> Self {
        let mut state = self.state.lock().clone();
        state.locks.clear();
        state.faults = Faults::default();
        self.with(state)
    }

    /// An independent copy.
    #[must_use]
    pub fn fork(&self) -> Self {
        self.kill()
    }

    /// The content of a file, named as in [`SimDisk::files`].
    #[must_use]
    pub fn read_file(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state.lock();
        let file = *state.directories.get(directory_of(name))?.live.get(name_of(name))?;
        Some(state.files[file].live.to_vec())
    }

    /// Sets the content of a file without an operation, as a failing medium does.
    pub fn write_file(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state.lock();
        let file = state.files.len();
        state.files.push(Content::durable(bytes.into()));
        let names = state.directories.entry(directory_of(name).into()).or_default();
        names.live.insert(name_of(name).into(), file);
        names.synced.insert(name_of(name).into(), file);
    }

    /// Flips a bit on the disk. The page cache shows what was written until it is dropped.
    pub fn rot(&self, name: &str, offset: usize) {
        let mut state = self.state.lock();
        let names = state.directories.get(directory_of(name));
        if let Some(&file) = names.and_then(|names| names.live.get(name_of(name))) {
            state.files[file].rot(offset);
        }
    }

    /// Removes a file without an operation.
    pub fn remove_file(&self, name: &str) {
        let mut state = self.state.lock();
        if let Some(names) = state.directories.get_mut(directory_of(name)) {
            names.live.remove(name_of(name));
            names.synced.remove(name_of(name));
        }
    }

    /// All files of all directories, as `directory/name`, those of the root as `name`.
    #[must_use]
    pub fn files(&self) -> Vec<String> {
        let state = self.state.lock();
        let full = |directory: &str, name: &String| match directory {
            "" => name.clone(),
            _ => format!("{directory}/{name}"),
        };
        let each = state.directories.iter();
        each.flat_map(|(at, names)| names.live.keys().map(move |name| full(at, name))).collect()
    }

    /// A hash of all names and contents, to compare images. Temporary files (`.tmp`) do not count:
    /// they are removed unread.
    #[must_use]
    pub fn image_hash(&self) -> u64 {
        let state = self.state.lock();
        let mut hasher = DefaultHasher::new();
        for (directory, names) in &state.directories {
            directory.hash(&mut hasher);
            for (name, &file) in names.live.iter().filter(|(name, _)| !name.ends_with(".tmp")) {
                (name, &state.files[file].live).hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    fn with(&self, state: DiskState) -> Self {
        Self { state: Arc::new(Mutex::new(state)), ..self.clone() }
    }

    fn names<T>(
        &self,
        act: impl FnOnce(&mut Names, &mut Vec<Content>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.state.lock();
        state.count_operation()?;
        let state = &mut *state;
        let names = state.directories.entry(self.directory.clone()).or_default();
        act(names, &mut state.files)
    }

    fn handle(&self, file: usize) -> SimFile {
        SimFile { state: Arc::clone(&self.state), file }
    }
}

impl Disk for SimDisk {
    type File = SimFile;
    type Lock = SimLock;

    fn lock(&self) -> io::Result<SimLock> {
        let mut state = self.state.lock();
        state.check_power()?;
        if state.locks.contains(&self.directory) && !planted("lock-not-taken") {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.locks.push(self.directory.clone());
        Ok(SimLock { state: Arc::clone(&self.state), directory: self.directory.clone() })
    }

    fn subdir(&self, name: &str) -> io::Result<Self> {
        let directory = match self.directory.as_str() {
            "" => name.to_owned(),
            parent => format!("{parent}/{name}"),
        };
        let mut state = self.state.lock();
        state.check_power()?;
        state.directories.entry(directory.clone()).or_default();
        drop(state);
        Ok(Self { directory, ..self.clone() })
    }

    fn list(&self) -> io::Result<Vec<DirEntry>> {
        let state = self.state.lock();
        state.check_power()?;
        let names = state.directories.get(&self.directory);
        let names = names.into_iter().flat_map(|names| names.live.keys());
        Ok(names.map(|name| DirEntry { name: name.clone(), not_regular: None }).collect())
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let full = {
            let mut state = self.state.lock();
            state.count_open()?;
            state.count_growth()
        };
        let file = self.names(|names, files| {
            if names.live.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            full?;
            files.push(Content::default());
            names.change(NameChange::Create(name.into(), files.len() - 1));
            Ok(files.len() - 1)
        })?;
        Ok(self.handle(file))
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let mut state = self.state.lock();
        state.check_power()?;
        state.count_open()?;
        let names = state.directories.get(&self.directory);
        let file = names.and_then(|names| names.live.get(name)).copied();
        drop(state);
        file.map(|file| self.handle(file)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let replaced = self.names(|names, files| {
            if !names.live.contains_key(from) {
                return Err(io::ErrorKind::NotFound.into());
            }
            let replaced = names.live.get(to).map_or(0, |&file| files[file].live.len() as u64);
            names.change(NameChange::Rename(from.into(), to.into()));
            Ok(replaced)
        })?;
        self.state.lock().free(replaced);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let bytes = self.names(|names, files| {
            let Some(&file) = names.live.get(name) else {
                return Err(io::ErrorKind::NotFound.into());
            };
            names.change(NameChange::Remove(name.into()));
            let bytes = files[file].live.len();
            // Every other file loses half for good, even if its name comes back after a power loss.
            if file % 2 == 1 {
                files[file].cut_durably(bytes / 2);
            }
            Ok(bytes as u64)
        })?;
        self.state.lock().free(bytes);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.names(|names, _| {
            names.sync();
            Ok(())
        })
    }

    fn random(&self, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        let mut rng = Rng { state: state.random };
        out.iter_mut().for_each(|byte| *byte = rng.byte());
        state.random = rng.state;
        Ok(())
    }

    fn segment_bytes_max(&self) -> u64 {
        self.segment_bytes_max
    }

    fn describe(&self, name: &str) -> String {
        format!("{}/{name}", self.directory)
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.state.lock().locks.retain(|held| *held != self.directory);
    }
}
