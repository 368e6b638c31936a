//! A disk that loses power on command.
//!
//! Every file has two images: what is synced, and the writes that are not; every directory has the
//! names that are synced, and the operations on names that are not. [`SimDisk::power_loss`] keeps
//! the synced part and, by seed, any legal part of the rest, sector by sector. Reading calls are
//! not counted as operations: a crash between two reads leaves the same disk.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Disk, DiskFile};

const SECTOR_BYTES: usize = 512;

/// What is to go wrong; printable, so that a failing case can be played again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The operation, counted from 1 over the life of the disk, at which the power goes: it and
    /// everything after it fails. A write at that moment is pending like any other.
    pub power_loss_at: Option<u64>,
    /// The sync of a file, counted likewise, that fails. What it should have made durable is
    /// dropped as the kernel drops it: memory still shows it, later syncs do not bring it back.
    pub sync_error_at: Option<u64>,
    /// The write, counted likewise, that fails.
    pub write_error_at: Option<u64>,
    /// The bytes by which files may still grow.
    pub room: Option<u64>,
}

/// A simulated directory of a simulated disk. Clones are handles to the same disk.
#[derive(Clone)]
pub struct SimDisk {
    world: Arc<Mutex<World>>,
    directory: String,
}

#[derive(Clone, Default)]
struct World {
    files: Vec<Content>,
    directories: BTreeMap<String, Names>,
    faults: Faults,
    operations: u64,
    syncs: u64,
    writes: u64,
    random: u64,
    locks: Vec<String>,
}

/// The names of one directory: as memory shows them, as the disk has them, and what lies between.
#[derive(Clone, Default)]
struct Names {
    live: BTreeMap<String, usize>,
    synced: BTreeMap<String, usize>,
    pending: Vec<NameChange>,
}

#[derive(Clone)]
enum NameChange {
    Create(String, usize),
    Rename(String, String),
    Remove(String),
}

/// One file. Bytes between the end of `synced` and the end of `live` read as zeros when they did
/// not make it.
#[derive(Clone, Default)]
struct Content {
    live: Vec<u8>,
    synced: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
    /// A sync has failed: what memory shows is not what the disk will ever hold.
    lying: bool,
}

/// An open file.
pub struct SimFile {
    world: Arc<Mutex<World>>,
    file: usize,
}

/// The lock of a directory.
pub struct SimLock {
    world: Arc<Mutex<World>>,
    directory: String,
}

impl SimDisk {
    /// An empty disk. `seed` decides what [`Disk::random`] gives.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let world = World { random: seed, ..World::default() };
        Self { world: Arc::new(Mutex::new(world)), directory: String::new() }
    }

    /// Says what is to go wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.world.lock().faults = faults;
    }

    /// The operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.world.lock().operations
    }

    /// The syncs of files so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.world.lock().syncs
    }

    /// The disk as it may be found after the power has gone: every seed is another possibility. Of
    /// four in a row, the first keeps nothing unsynced, the second everything, the third an ordered
    /// prefix torn at a sector, the fourth any sector and any name on its own.
    #[must_use]
    pub fn power_loss(&self, seed: u64) -> Self {
        let world = self.world.lock();
        let mut dice = Dice { state: seed.wrapping_add(0x5EED) };
        let style = [Loss::All, Loss::Nothing, Loss::Tail, Loss::Any][(seed % 4) as usize];
        let mut image = World { random: world.random ^ seed, ..World::default() };
        image.operations = world.operations;
        image.syncs = world.syncs;
        image.files = world.files.iter().map(|file| file.survive(style, &mut dice)).collect();
        for (directory, names) in &world.directories {
            let mut synced = names.synced.clone();
            let prefix = dice.below(names.pending.len() + 1);
            for (index, change) in names.pending.iter().enumerate() {
                let kept = match style {
                    Loss::All => false,
                    Loss::Nothing => true,
                    Loss::Tail => index < prefix,
                    Loss::Any => dice.below(2) == 0,
                };
                if kept {
                    change.apply(&mut synced);
                }
            }
            let names = Names { live: synced.clone(), synced, pending: Vec::new() };
            image.directories.insert(directory.clone(), names);
        }
        self.with(image)
    }

    /// The disk as the next process finds it after this one was killed: everything written is
    /// there, what was not synced still is not.
    #[must_use]
    pub fn kill(&self) -> Self {
        let mut world = self.world.lock().clone();
        world.locks.clear();
        world.faults = Faults::default();
        self.with(world)
    }

    /// A copy that goes its own way.
    #[must_use]
    pub fn fork(&self) -> Self {
        self.kill()
    }

    /// The content of a file, named as in [`SimDisk::files`].
    #[must_use]
    pub fn read_file(&self, name: &str) -> Option<Vec<u8>> {
        let world = self.world.lock();
        let file = *world.directories.get(directory_of(name))?.live.get(name_of(name))?;
        Some(world.files[file].live.clone())
    }

    /// Gives a file a content behind everybody's back, as a failing medium does.
    pub fn write_file(&self, name: &str, bytes: Vec<u8>) {
        let mut world = self.world.lock();
        let file = world.files.len();
        world.files.push(Content { live: bytes.clone(), synced: bytes, ..Content::default() });
        let names = world.directories.entry(directory_of(name).into()).or_default();
        names.live.insert(name_of(name).into(), file);
        names.synced.insert(name_of(name).into(), file);
    }

    /// Removes a file behind everybody's back.
    pub fn remove_file(&self, name: &str) {
        let mut world = self.world.lock();
        if let Some(names) = world.directories.get_mut(directory_of(name)) {
            names.live.remove(name_of(name));
            names.synced.remove(name_of(name));
        }
    }

    /// All files of all directories, as `directory/name`, those of the root as `name`.
    #[must_use]
    pub fn files(&self) -> Vec<String> {
        let world = self.world.lock();
        let full = |directory: &str, name: &String| match directory {
            "" => name.clone(),
            _ => format!("{directory}/{name}"),
        };
        let each = world.directories.iter();
        each.flat_map(|(at, names)| names.live.keys().map(move |name| full(at, name))).collect()
    }

    /// A hash of all names and contents, to tell images apart.
    #[must_use]
    pub fn image_hash(&self) -> u64 {
        let world = self.world.lock();
        let mut hasher = DefaultHasher::new();
        for (directory, names) in &world.directories {
            directory.hash(&mut hasher);
            for (name, &file) in &names.live {
                (name, &world.files[file].live).hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    fn with(&self, world: World) -> Self {
        Self { world: Arc::new(Mutex::new(world)), directory: self.directory.clone() }
    }

    fn names<T>(
        &self,
        act: impl FnOnce(&mut Names, &mut Vec<Content>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut world = self.world.lock();
        world.operate()?;
        let world = &mut *world;
        let names = world.directories.entry(self.directory.clone()).or_default();
        act(names, &mut world.files)
    }

    fn handle(&self, file: usize) -> SimFile {
        SimFile { world: Arc::clone(&self.world), file }
    }
}

impl Disk for SimDisk {
    type File = SimFile;
    type Lock = SimLock;

    fn lock(&self) -> io::Result<SimLock> {
        let mut world = self.world.lock();
        world.powered()?;
        if world.locks.contains(&self.directory) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        world.locks.push(self.directory.clone());
        Ok(SimLock { world: Arc::clone(&self.world), directory: self.directory.clone() })
    }

    fn subdir(&self, name: &str) -> io::Result<Self> {
        let directory = match self.directory.as_str() {
            "" => name.to_owned(),
            parent => format!("{parent}/{name}"),
        };
        let mut world = self.world.lock();
        world.powered()?;
        world.directories.entry(directory.clone()).or_default();
        Ok(Self { world: Arc::clone(&self.world), directory })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let world = self.world.lock();
        world.powered()?;
        let names = world.directories.get(&self.directory);
        Ok(names.map(|names| names.live.keys().cloned().collect()).unwrap_or_default())
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let file = self.names(|names, files| {
            if names.live.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            files.push(Content::default());
            names.change(NameChange::Create(name.into(), files.len() - 1));
            Ok(files.len() - 1)
        })?;
        Ok(self.handle(file))
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let world = self.world.lock();
        world.powered()?;
        let names = world.directories.get(&self.directory);
        let file = names.and_then(|names| names.live.get(name)).copied();
        drop(world);
        file.map(|file| self.handle(file)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.names(|names, _| {
            if !names.live.contains_key(from) {
                return Err(io::ErrorKind::NotFound.into());
            }
            names.change(NameChange::Rename(from.into(), to.into()));
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.names(|names, _| {
            if !names.live.contains_key(name) {
                return Err(io::ErrorKind::NotFound.into());
            }
            names.change(NameChange::Remove(name.into()));
            Ok(())
        })
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.names(|names, _| {
            names.synced = names.live.clone();
            names.pending.clear();
            Ok(())
        })
    }

    fn random(&self, out: &mut [u8]) -> io::Result<()> {
        let mut world = self.world.lock();
        let mut dice = Dice { state: world.random };
        out.iter_mut().for_each(|byte| *byte = dice.byte());
        world.random = dice.state;
        Ok(())
    }

    fn describe(&self, name: &str) -> String {
        format!("{}/{name}", self.directory)
    }
}

impl DiskFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        let world = self.world.lock();
        world.powered()?;
        Ok(world.files[self.file].live.len() as u64)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let world = self.world.lock();
        world.powered()?;
        let live = &world.files[self.file].live;
        let rest = live.get(index(offset)..).unwrap_or_default();
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut world = self.world.lock();
        world.writes += 1;
        let dying = world.operate();
        if world.faults.write_error_at == Some(world.writes) {
            return Err(io::Error::other("the write failed"));
        }
        let size = world.files[self.file].live.len() as u64;
        let growth = (offset + bytes.len() as u64).saturating_sub(size);
        if let Some(room) = &mut world.faults.room {
            if growth > *room {
                return Err(io::ErrorKind::StorageFull.into());
            }
            *room -= growth;
        }
        let file = &mut world.files[self.file];
        overlay(&mut file.live, index(offset), bytes);
        file.pending.push((index(offset), bytes.to_vec()));
        dying
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.world.lock();
        world.operate()?;
        world.syncs += 1;
        let fails = world.faults.sync_error_at == Some(world.syncs);
        let file = &mut world.files[self.file];
        if fails {
            file.pending.clear();
            file.lying = true;
            return Err(io::Error::other("the sync failed"));
        }
        for (offset, bytes) in std::mem::take(&mut file.pending) {
            overlay(&mut file.synced, offset, &bytes);
        }
        Ok(())
    }

    fn drop_cache(&self, _offset: u64) -> io::Result<()> {
        let mut world = self.world.lock();
        world.powered()?;
        let file = &mut world.files[self.file];
        if std::mem::take(&mut file.lying) {
            file.live = file.synced.clone();
            for (offset, bytes) in file.pending.clone() {
                overlay(&mut file.live, offset, &bytes);
            }
        }
        Ok(())
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.world.lock().locks.retain(|held| *held != self.directory);
    }
}

impl World {
    fn powered(&self) -> io::Result<()> {
        match self.faults.power_loss_at {
            Some(at) if self.operations >= at => Err(io::Error::other("the power is gone")),
            _ => Ok(()),
        }
    }

    fn operate(&mut self) -> io::Result<()> {
        self.powered()?;
        self.operations += 1;
        self.powered()
    }
}

impl Names {
    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.live);
        self.pending.push(change);
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Create(name, file) => {
                names.insert(name.clone(), *file);
            }
            // A rename whose source never made it does nothing; it never takes the target away.
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Loss {
    All,
    Nothing,
    Tail,
    Any,
}

impl Content {
    fn survive(&self, style: Loss, dice: &mut Dice) -> Self {
        let mut bytes = self.synced.clone();
        let cut = dice.below(self.pending.len() + 1);
        for (index, (offset, written)) in self.pending.iter().enumerate() {
            match style {
                Loss::All => {}
                Loss::Nothing => overlay(&mut bytes, *offset, written),
                Loss::Tail if index < cut => overlay(&mut bytes, *offset, written),
                Loss::Tail if index == cut => {
                    let sectors = written.len().div_ceil(SECTOR_BYTES);
                    // Sectors are those of the disk: the first one ends at a multiple of 512.
                    let first = SECTOR_BYTES - offset % SECTOR_BYTES;
                    let end = first + dice.below(sectors + 1) * SECTOR_BYTES;
                    overlay(&mut bytes, *offset, &written[..end.min(written.len())]);
                }
                Loss::Tail => {}
                Loss::Any => scatter(&mut bytes, *offset, written, dice),
            }
        }
        Self { live: bytes.clone(), synced: bytes, ..Self::default() }
    }
}

/// Lets every sector of a write have its own fate.
fn scatter(bytes: &mut Vec<u8>, offset: usize, written: &[u8], dice: &mut Dice) {
    let mut at = 0;
    while at < written.len() {
        let end = (at + SECTOR_BYTES - (offset + at) % SECTOR_BYTES).min(written.len());
        let part = &written[at..end];
        match dice.below(8) {
            0..=3 => overlay(bytes, offset + at, part),
            4 | 5 => {}
            6 => overlay(bytes, offset + at, &vec![0; part.len()]),
            _ => {
                let garbage: Vec<u8> = part.iter().map(|_| dice.byte()).collect();
                overlay(bytes, offset + at, &garbage);
            }
        }
        at = end;
    }
}

fn overlay(bytes: &mut Vec<u8>, offset: usize, written: &[u8]) {
    let end = offset + written.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(written);
}

/// splitmix64 (Steele, Lea, Flood 2014): small, seeded, good enough to choose what is lost.
struct Dice {
    state: u64,
}

impl Dice {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        index(self.next() % bound as u64)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

fn directory_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(directory, _)| directory)
}

fn name_of(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, name)| name)
}
