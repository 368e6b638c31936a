//! A reader without the lock: it changes nothing, and whatever a writer does between two of its
//! reads, it sees a beginning of the log and never damage.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use icn_wal::{Disk, DiskFile, Entry, Error, From, Reason, SimDisk, read};

use crate::common::{Life, live, open, record};

/// A disk on which something happens before each reading of a file.
#[derive(Clone)]
struct Watched {
    disk: SimDisk,
    before_read: Arc<dyn Fn() + Send + Sync>,
}

struct WatchedFile {
    file: <SimDisk as Disk>::File,
    before_read: Arc<dyn Fn() + Send + Sync>,
}

impl Watched {
    fn file(&self, file: <SimDisk as Disk>::File) -> WatchedFile {
        WatchedFile { file, before_read: Arc::clone(&self.before_read) }
    }
}

impl Disk for Watched {
    type File = WatchedFile;
    type Lock = <SimDisk as Disk>::Lock;

    fn lock(&self) -> io::Result<Self::Lock> {
        self.disk.lock()
    }

    fn subdir(&self, name: &str) -> io::Result<Self> {
        Ok(Self { disk: self.disk.subdir(name)?, before_read: Arc::clone(&self.before_read) })
    }

    fn list(&self) -> io::Result<Vec<Entry>> {
        self.disk.list()
    }

    fn create(&self, name: &str) -> io::Result<WatchedFile> {
        self.disk.create(name).map(|file| self.file(file))
    }

    fn open(&self, name: &str) -> io::Result<WatchedFile> {
        self.disk.open(name).map(|file| self.file(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
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
        (self.before_read)();
        self.file.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn has_one_name(&self) -> io::Result<bool> {
        self.file.has_one_name()
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn drop_cache(&self, offset: u64) -> io::Result<()> {
        self.file.drop_cache(offset)
    }
}

fn large(number: u64) -> Vec<u8> {
    vec![number.to_le_bytes()[0]; 200_000]
}

#[test]
fn whatever_is_written_between_two_reads_no_damage_is_seen() {
    let mut grown = 0;
    for at in 1.. {
        let disk = SimDisk::new(1);
        let wal = Arc::new(open(&disk));
        let mut before = 0;
        while wal.stats().segments < 3 {
            before += 1;
            wal.commit(0, &[large(before)]).expect("commit");
        }
        let (reads, writer) = (Arc::new(AtomicU64::new(0)), Arc::clone(&wal));
        let counted = Arc::clone(&reads);
        // More than a reader has in its buffer, so that some of it is seen and some is not.
        let before_read = Arc::new(move || {
            if counted.fetch_add(1, Ordering::Relaxed) + 1 == at {
                for number in before + 1..before + 9 {
                    writer.commit(0, &[large(number)]).expect("commit");
                }
            }
        });
        let mut found = 0;
        let report = read(&Watched { disk, before_read }, From::Beginning, |record| {
            found += 1;
            assert_eq!(record.lsn.get(), found);
            assert!(record.bytes == large(found), "record {found}");
            ControlFlow::Continue(())
        });
        report.unwrap_or_else(|error| panic!("written before read {at}: {error}"));
        assert!(found >= before, "written before read {at}: {found} of {before}");
        grown += u64::from(found > before);
        if reads.load(Ordering::Relaxed) < at {
            break;
        }
    }
    assert!(grown > 2, "the reader never saw anything new");
}

#[test]
fn a_reader_changes_nothing_and_waits_for_no_disk() {
    let disk = SimDisk::new(1);
    let mut life = Life::default();
    live(&disk, &mut life).expect("a life");
    let (hash, operations) = (disk.image_hash(), disk.operations());
    let report = read(&disk, From::Beginning, |_| ControlFlow::Continue(())).expect("read");
    assert_eq!(report.replayed, life.appended.len() as u64);
    assert_eq!((disk.image_hash(), disk.operations()), (hash, operations));
}

#[test]
fn damage_is_told_to_a_reader_too() {
    let disk = SimDisk::new(1);
    let wal = open(&disk);
    for number in 1..4 {
        wal.commit(0, &[record(number)]).expect("commit");
    }
    let name = disk.files().into_iter().find(|name| name.ends_with(".wal")).expect("a segment");
    let mut bytes = disk.read_file(&name).expect("bytes");
    bytes[512 + 66] ^= 1;
    disk.write_file(&name, &bytes);
    match read(&disk, From::Beginning, |_| ControlFlow::Continue(())) {
        Err(Error::Corrupt(damage)) => {
            assert_eq!(damage.reason, Reason::DamagedBeforeDurableMark);
        }
        other => panic!("{other:?}"),
    }
}
