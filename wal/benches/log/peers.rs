//! The peers, each in its durable mode and set up as its documentation says for such a load.

use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use okaywal::{
    Configuration, Entry, EntryId, LogManager, ReadChunkResult, SegmentReader, WriteAheadLog,
};
use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, LogBatch, MessageExt, ReadableSize};

use crate::Outcome;
use crate::engine::Engine;

const REGIONS: usize = 256;
const INDEX_BYTES: usize = 8;

/// Group commit by a leader; entries by region and index.
pub(crate) struct RaftEngine {
    engine: raft_engine::Engine,
    /// The next index of each region; a writer has a region of its own.
    next: Vec<AtomicU64>,
}

struct Indexed;

impl MessageExt for Indexed {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        let mut index = [0; INDEX_BYTES];
        index.copy_from_slice(&entry.value[..INDEX_BYTES]);
        u64::from_le_bytes(index)
    }
}

impl RaftEngine {
    fn engine(path: &Path) -> Outcome<raft_engine::Engine> {
        let config = Config {
            dir: path.to_string_lossy().into_owned(),
            // The others do not compress.
            batch_compression_threshold: ReadableSize::kb(0),
            // What is dropped is used again, as in the others that can.
            purge_threshold: ReadableSize::mb(128),
            enable_log_recycle: true,
            ..Config::default()
        };
        Ok(raft_engine::Engine::open(config)?)
    }

    pub(crate) fn open(path: &Path) -> Outcome<Self> {
        let next = (0..REGIONS).map(|_| AtomicU64::new(1)).collect();
        Ok(Self { engine: Self::engine(path)?, next })
    }

    pub(crate) fn recover(path: &Path) -> Outcome<u64> {
        const AT_ONCE: u64 = 10_000;
        let engine = Self::engine(path)?;
        let last = engine.last_index(0).unwrap_or(0);
        let mut records = 0;
        let mut from = 1;
        while from <= last {
            let to = (from + AT_ONCE).min(last + 1);
            let mut entries = Vec::new();
            engine.fetch_entries_to::<Indexed>(0, from, to, None, &mut entries)?;
            records += entries.len() as u64;
            from = to;
        }
        Ok(records)
    }

    fn batch(&self, region: usize, record: &[u8], count: usize) -> Outcome<LogBatch> {
        let first = self.next[region].fetch_add(count as u64, Ordering::Relaxed);
        let entry = |index: u64| {
            let mut value = record.to_vec();
            value[..INDEX_BYTES].copy_from_slice(&index.to_le_bytes());
            BytesValue { value, ..BytesValue::default() }
        };
        let entries: Vec<_> = (first..first + count as u64).map(entry).collect();
        let mut batch = LogBatch::with_capacity(count);
        batch.add_entries::<Indexed>(region as u64, &entries)?;
        Ok(batch)
    }
}

impl Engine for RaftEngine {
    fn commit(&self, writer: usize, record: &[u8], count: usize) -> Outcome<()> {
        self.engine.write(&mut self.batch(writer, record, count)?, true)?;
        Ok(())
    }

    fn bulk(&self, record: &[u8], count: usize) -> Option<Outcome<()>> {
        let append = || {
            for _ in 0..count {
                self.engine.write(&mut self.batch(0, record, 1)?, false)?;
            }
            Ok(self.engine.sync()?)
        };
        Some(append())
    }

    fn forget(&self) -> Outcome<()> {
        for (region, next) in self.next.iter().enumerate() {
            self.engine.compact_to(region as u64, next.load(Ordering::Relaxed));
        }
        self.engine.purge_expired_files()?;
        Ok(())
    }
}

/// One file handed from writer to writer, one fsync for all waiting threads.
pub(crate) struct OkayWal(WriteAheadLog);

#[derive(Debug)]
struct Count(std::sync::Arc<AtomicU64>);

impl LogManager for Count {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        while let ReadChunkResult::Chunk(mut chunk) = entry.read_chunk()? {
            let bytes = chunk.read_all()?;
            if !chunk.check_crc()? {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.0.fetch_add(u64::from(!bytes.is_empty()), Ordering::Relaxed);
        }
        Ok(())
    }

    fn checkpoint_to(
        &mut self,
        _: EntryId,
        _: &mut SegmentReader,
        _: &WriteAheadLog,
    ) -> io::Result<()> {
        Ok(())
    }
}

impl OkayWal {
    fn log(path: &Path, count: Count) -> Outcome<WriteAheadLog> {
        // A checkpoint would forget what is to be recovered.
        let configuration = Configuration::default_for(path)
            .preallocate_bytes(64 << 20)
            .checkpoint_after_bytes(u64::MAX)
            .buffer_bytes(1 << 20);
        Ok(configuration.open(count)?)
    }

    pub(crate) fn open(path: &Path) -> Outcome<Self> {
        Ok(Self(Self::log(path, Count(Default::default()))?))
    }

    pub(crate) fn recover(path: &Path) -> Outcome<u64> {
        let records = std::sync::Arc::<AtomicU64>::default();
        Self::log(path, Count(records.clone()))?;
        Ok(records.load(Ordering::Relaxed))
    }
}

impl Engine for OkayWal {
    fn commit(&self, _: usize, record: &[u8], count: usize) -> Outcome<()> {
        let mut entry = self.0.begin_entry()?;
        for _ in 0..count {
            entry.write_chunk(record)?;
        }
        entry.commit()?;
        Ok(())
    }

    fn bulk(&self, _: &[u8], _: usize) -> Option<Outcome<()>> {
        None
    }

    fn forget(&self) -> Outcome<()> {
        Ok(self.0.checkpoint_active()?)
    }
}

/// For one writer, so that several take turns in a mutex.
pub(crate) struct OpenWal(Mutex<open_wal::Wal>);

impl OpenWal {
    pub(crate) fn open(path: &Path) -> Outcome<Self> {
        std::fs::create_dir_all(path)?;
        Ok(Self(Mutex::new(open_wal::Wal::open(path, open_wal::WalConfig::default())?.0)))
    }

    pub(crate) fn recover(path: &Path) -> Outcome<u64> {
        let (wal, _) = open_wal::Wal::open(path, open_wal::WalConfig::default())?;
        let mut reader = wal.reader_from(open_wal::Lsn(1))?;
        let mut records = 0;
        while let Some(record) = reader.next() {
            std::hint::black_box(record?);
            records += 1;
        }
        Ok(records)
    }

    fn append(&self, record: &[u8], count: usize) -> Outcome<()> {
        let mut wal = self.0.lock().map_err(|_| "a writer panicked")?;
        for _ in 0..count {
            wal.append(record)?;
        }
        wal.commit()?;
        Ok(())
    }
}

impl Engine for OpenWal {
    fn commit(&self, _: usize, record: &[u8], count: usize) -> Outcome<()> {
        self.append(record, count)
    }

    fn bulk(&self, record: &[u8], count: usize) -> Option<Outcome<()>> {
        Some(self.append(record, count))
    }

    fn forget(&self) -> Outcome<()> {
        let mut wal = self.0.lock().map_err(|_| "a writer panicked")?;
        let durable = wal.durable_lsn();
        Ok(wal.checkpoint(durable)?)
    }
}
