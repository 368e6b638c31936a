//! The log itself: opening, appending, closing.

mod commit;
mod space;

use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::commit_signal::CommitSignal;
use crate::disk::Disk;
use crate::error::{Error, OnFile};
use crate::idle_signal::IdleSignal;
use crate::limits::{APPEND_BYTES_MAX, GROUP_BYTES_MAX, RECORD_BYTES_MAX, RECORD_HEADER_BYTES};
use crate::lsn::Lsn;
use crate::manifest::Manifest;
use crate::plant::planted;
use crate::queue::{Queue, State};
use crate::recover::{Access, Record, Recovery, ReplayFrom, scan};
use crate::segment::StoreId;
use crate::spare::Pool;
use crate::stats::{Counters, Stats};
use crate::sync::{AtomicU64, Mutex, MutexGuard};
use crate::writer::{KeptSegments, Writer};

use self::commit::Purpose;
pub use self::space::LogSize;

/// A write-ahead log, open for writing.
///
/// [`append`](Self::append) assigns LSNs and is volatile; [`wait`](Self::wait) makes records
/// durable. Any number of threads may call both concurrently: the first thread to wait writes and
/// syncs for all that have appended by then. A log starts no thread itself; a
/// [`Housekeeper`](crate::Housekeeper) does the work that does not belong on the commit path.
pub struct Wal<D: Disk> {
    disk: D,
    store: StoreId,
    queue: Mutex<Queue<D::File>>,
    /// Only the leader of a group locks it, so it is never contended.
    writer: Mutex<Writer<D>>,
    /// The thread that holds it prepares the next segment.
    pool: Mutex<Pool<D::File>>,
    kept: Arc<Mutex<KeptSegments>>,
    counters: Arc<Counters>,
    durable: AtomicU64,
    /// Every record below was durable at the open, or never existed: the LSNs of a torn tail are
    /// not given out again.
    first_new_lsn: u64,
    commit_signal: Arc<CommitSignal>,
    idle_signal: Arc<IdleSignal>,
    _lock: D::Lock,
}

/// The locked queue.
type QueueGuard<'a, D> = MutexGuard<'a, Queue<<D as Disk>::File>>;

impl<D: Disk> Wal<D> {
    /// Recovers the log in `disk` (a new one if there is none) and opens it for writing.
    ///
    /// Every record from `from` on is passed to `visit`, in order. Faults are reported before
    /// anything is changed. Nothing is written before the first append, except the manifest of a
    /// new log: a full disk can be opened and read.
    ///
    /// # Errors
    /// - [`Error::Locked`] when another process owns the directory.
    /// - [`Error::NotRegular`], [`Error::Corrupt`], [`Error::Format`], [`Error::Missing`] and
    ///   [`Error::Behind`] when the files found cannot be continued.
    /// - [`Error::Stopped`] when `visit` broke off.
    /// - [`Error::NoSpace`] for a new log on a full disk.
    /// - [`Error::Io`].
    pub fn open(
        disk: D,
        from: ReplayFrom,
        mut visit: impl FnMut(Record<'_>) -> ControlFlow<()>,
    ) -> Result<(Self, Recovery), Error> {
        let lock = match disk.lock() {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                return Err(Error::Locked { directory: disk.describe("") });
            }
            other => other.on("lock", || disk.describe("LOCK"))?,
        };
        let scan = scan(&disk, Access::Exclusive, from, &mut visit)?;
        remove_stale(&disk, &scan.stale)?;
        let manifest = match scan.manifest {
            Some(manifest) => manifest,
            None => new_store(&disk).map_err(Error::into_no_space)?,
        };
        let mut recovery = scan.recovery.clone();
        recovery.incarnation = manifest.incarnation.saturating_add(1);
        let counters = Arc::new(Counters::default());
        let kept = Arc::new(Mutex::new(KeptSegments { manifest, segments: scan.kept.clone() }));
        let writer = Writer::new(disk.clone(), &scan, Arc::clone(&kept), Arc::clone(&counters));
        let wal = Self {
            disk,
            store: manifest.store,
            queue: Mutex::new(Queue::new(scan.next_lsn, scan.time_ms, scan.unproven)),
            writer: Mutex::new(writer),
            pool: Mutex::new(Pool::new()),
            kept,
            counters,
            durable: AtomicU64::new(scan.end.lsn),
            first_new_lsn: scan.next_lsn,
            commit_signal: Arc::default(),
            idle_signal: Arc::default(),
            _lock: lock,
        };
        Ok((wal, recovery))
    }

    /// Appends `records` as one unit: a crash keeps all of them or none. Returns their LSNs;
    /// nothing is durable yet. `time_ms` (since 1970) is stored with the records, raised to the
    /// time of the previous append if it is less.
    ///
    /// Blocks only while a full group is being written, which keeps memory bounded.
    ///
    /// # Errors
    /// [`Error::Refused`] for an empty append, a record over 1 MiB or an append over 4 MiB.
    /// [`Error::Poisoned`]; [`Error::NotAppended`] after [`close`](Self::close).
    ///
    /// [`Error::NoSpace`] when the disk is too full to prepare another segment. From then on every
    /// append is refused at once, until a segment as large as the refused one has been
    /// [prepared](Self::prepare). A [`Housekeeper`](crate::Housekeeper) prepares it. Without one, an
    /// append tries whose `time_ms` is at least 2 s away from that of the refused one.
    ///
    /// After an error nothing was appended.
    pub fn append<R: AsRef<[u8]>>(
        &self,
        time_ms: u64,
        records: &[R],
    ) -> Result<RangeInclusive<Lsn>, Error> {
        let (_, lsns, ()) = self.enqueue(time_ms, records, |_| ())?;
        Ok(lsns)
    }

    /// [Appends](Self::append) one record after a call of `before` with its LSN. By then nothing
    /// refuses the append any more. If `before` panics, the record is not appended and no other
    /// append is affected.
    ///
    /// Other calls of this log may wait until `before` has returned, and `before` must make none.
    ///
    /// # Errors
    /// Those of [`append`](Self::append); `before` was not called then.
    pub fn append_after<T>(
        &self,
        time_ms: u64,
        record: &[u8],
        before: impl FnOnce(Lsn) -> T,
    ) -> Result<(Lsn, T), Error> {
        let (_, lsns, outcome) = self.enqueue(time_ms, &[record], before)?;
        Ok((*lsns.start(), outcome))
    }

    /// Appends after a call of `before` with the first LSN, and returns with the queue still locked.
    fn enqueue<R: AsRef<[u8]>, T>(
        &self,
        time_ms: u64,
        records: &[R],
        before: impl FnOnce(Lsn) -> T,
    ) -> Result<(QueueGuard<'_, D>, RangeInclusive<Lsn>, T), Error> {
        let bytes = check_append(records)?;
        let count = records.len() as u64;
        let mut queue = self.queue.lock();
        loop {
            queue.check()?;
            queue.check_space(time_ms)?;
            let full =
                !queue.pending.is_empty() && queue.pending.body_bytes() + bytes > GROUP_BYTES_MAX;
            if full || (!queue.admits(bytes) && queue.pending_needs_spare()) {
                self.join_group(queue, Purpose::Write)?;
            } else if !queue.admits(bytes) || queue.is_short() {
                drop(queue);
                self.prepare_spare(bytes, Some(time_ms))?;
            } else {
                break;
            }
            queue = self.queue.lock();
        }
        let first = queue.next_lsn;
        let first_lsn = Lsn::new(first).unwrap_or(Lsn::FIRST);
        let outcome = before(first_lsn);
        if queue.pending.is_empty() {
            queue.first_lsn = first;
        }
        queue.time_ms =
            if planted("time-goes-back") { time_ms } else { queue.time_ms.max(time_ms) };
        records.iter().for_each(|record| queue.pending.push(record.as_ref()));
        queue.next_lsn += count;
        self.counters.appends.fetch_add(count, Ordering::Relaxed);
        if planted("append-called-durable") {
            self.durable.fetch_max(queue.next_lsn - 1, Ordering::AcqRel);
        }
        Ok((queue, first_lsn..=first_lsn.plus(count - 1), outcome))
    }

    /// The last durable LSN; `None` before the first.
    #[must_use]
    pub fn durable(&self) -> Option<Lsn> {
        Lsn::new(self.durable.load(Ordering::Acquire))
    }

    /// The last LSN given out; `None` before the first.
    #[must_use]
    pub fn last(&self) -> Option<Lsn> {
        Lsn::new(self.queue.lock().next_lsn - 1)
    }

    /// The identity of this log, chosen at random when it was created.
    #[must_use]
    pub fn store(&self) -> StoreId {
        self.store
    }

    /// Whether the log accepts appends. Detects a failed write or sync also when no caller waited
    /// for it.
    ///
    /// # Errors
    /// [`Error::Poisoned`]; [`Error::NotAppended`] after [`close`](Self::close).
    pub fn check(&self) -> Result<(), Error> {
        self.queue.lock().check()
    }

    /// Counters and sizes of the log.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.counters.fill(&mut stats);
        {
            let kept = self.kept.lock();
            stats.segments = kept.segments.len() as u64;
            stats.size_bytes = kept.segments.iter().map(|kept| kept.bytes).sum();
        }
        let queue = self.queue.lock();
        stats.last_lsn = queue.next_lsn - 1;
        stats.time_ms = queue.time_ms;
        stats.poisoned = matches!(queue.state, State::Poisoned(_));
        stats.no_room = queue.shortage.is_some();
        stats.durable_lsn = self.durable_lsn();
        stats
    }

    /// Makes everything durable, writes the seal and records the clean stop in the manifest; an
    /// open that has written nothing writes no seal. Needs no free space. Later appends are
    /// refused, and prepared files are removed. Recovery takes a log that was dropped without a
    /// close for a crashed one.
    ///
    /// # Errors
    /// [`Error::Poisoned`]; [`Error::Io`] when only the manifest could not be written or a file not
    /// be removed: the records and the seal are durable then.
    pub fn close(&self) -> Result<(), Error> {
        if let Some(last) = self.last() {
            self.wait(last)?;
        }
        let mut queue = self.queue.lock();
        queue.check()?;
        while queue.busy {
            self.join_group(queue, Purpose::Sync)?;
            queue = self.queue.lock();
            queue.check()?;
        }
        // From here on no append may succeed: its frame would follow the seal.
        if !planted("appends-after-the-seal") {
            queue.state = State::Closed;
        }
        let unused = self.counters.frames.load(Ordering::Relaxed) == 0;
        if unused && queue.pending.is_empty() {
            drop(queue);
        } else {
            self.lead(queue, Purpose::Seal)?;
        }
        let mut pool = self.pool.lock();
        {
            let writer = self.writer.lock();
            if writer.has_written() {
                writer.mark_clean(&pool.manifest_for_stop(&self.disk)?)?;
            }
        }
        let spare = self.queue.lock().spare.take();
        spare.map_or(Ok(()), |spare| spare.discard(&self.disk))?;
        pool.drain(&self.disk)
    }
}

/// Syncs the names of the directory, then removes the files that no record needs.
fn remove_stale<D: Disk>(disk: &D, stale: &[String]) -> Result<(), Error> {
    let sync = || disk.sync_dir().on("sync the directory of", || disk.describe(""));
    // After kill -9 the manifest that makes them stale may exist in the page cache only.
    if !planted("names-believed-unsynced") {
        sync()?;
    }
    for name in stale {
        disk.discard(name).on("remove", || disk.describe(name))?;
    }
    // A removed file must not come back under a name that is about to be reused.
    if stale.is_empty() || planted("leftovers-come-back") { Ok(()) } else { sync() }
}

/// The manifest of a new store: the store id must be durable before it is given out.
fn new_store<D: Disk>(disk: &D) -> Result<Manifest, Error> {
    let mut store = StoreId::default();
    disk.random(&mut store).on("make an id for", || disk.describe(""))?;
    let manifest = Manifest { store, next_lsn: 1, ..Manifest::default() };
    manifest.write(disk)?;
    Ok(manifest)
}

fn check_append<R: AsRef<[u8]>>(records: &[R]) -> Result<usize, Error> {
    let bytes: usize =
        records.iter().map(|record| RECORD_HEADER_BYTES + record.as_ref().len()).sum();
    let refused = |limit| Err(Error::Refused { records: records.len(), bytes, limit });
    if records.is_empty() {
        return refused("an append has at least one record");
    }
    if records.iter().any(|record| record.as_ref().len() > RECORD_BYTES_MAX)
        && !planted("record-over-the-limit-accepted")
    {
        return refused("a record has at most 1 MiB");
    }
    if bytes > APPEND_BYTES_MAX {
        return refused("an append has at most 4 MiB, 4 bytes for each record included");
    }
    Ok(bytes)
}

/// Reads a log without its lock and without changing anything, also while a writer runs: every
/// record from `from` on is passed to `visit`. The end is where the writer's valid frames end at
/// that moment; only [`Wal::open`] decides whether a tail is torn. Records that the writer drops
/// before they are read are [missing](Error::Missing).
///
/// # Errors
/// Those of [`Wal::open`] except [`Error::Locked`].
pub fn read<D: Disk>(
    disk: &D,
    from: ReplayFrom,
    mut visit: impl FnMut(Record<'_>) -> ControlFlow<()>,
) -> Result<Recovery, Error> {
    Ok(scan(disk, Access::ConcurrentWriter, from, &mut visit)?.recovery)
}
