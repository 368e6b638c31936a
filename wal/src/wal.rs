//! The log itself: opening, appending, closing.

mod commit;
mod space;

use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::committer::CommitSignal;
use crate::disk::Disk;
use crate::error::{Error, OnFile};
use crate::housekeeper::IdleSignal;
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

/// A write-ahead log, open for writing.
///
/// [`append`](Self::append) gives numbers and is volatile; [`wait`](Self::wait) makes durable. Any
/// number of threads may do either at the same time: whoever waits first writes and syncs for all
/// who have appended by then. Nothing here starts a thread; see
/// [`Housekeeper`](crate::Housekeeper) for the work that is better done beside the commits.
pub struct Wal<D: Disk> {
    disk: D,
    store: StoreId,
    queue: Mutex<Queue<D::File>>,
    /// Locked only by the leader, so never contended.
    writer: Mutex<Writer<D>>,
    /// Who holds it prepares the next segment.
    pool: Mutex<Pool<D::File>>,
    kept: Arc<Mutex<KeptSegments>>,
    counters: Arc<Counters>,
    durable: AtomicU64,
    /// Below it every record was durable at the open, or never was: a torn tail leaves numbers
    /// behind that are not given out again.
    first_new_lsn: u64,
    commit_signal: Arc<CommitSignal>,
    idle_signal: Arc<IdleSignal>,
    _lock: D::Lock,
}

/// The queue, in hand.
type QueueGuard<'a, D> = MutexGuard<'a, Queue<<D as Disk>::File>>;

impl<D: Disk> Wal<D> {
    /// Recovers the log in `disk` (a new one if there is none) and opens it for writing.
    ///
    /// Every record from `from` on is lent to `visit`, in order. Whatever is wrong with the log is said
    /// while nothing has been changed. Nothing is written before the first append, but for the
    /// manifest of a new log: a full disk can be opened and read.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process has the directory; [`Error::Corrupt`],
    /// [`Error::Format`], [`Error::Missing`] and [`Error::Behind`] when what is there cannot be
    /// continued; [`Error::Stopped`] when `visit` broke off; [`Error::NoSpace`] for a new log on a full
    /// disk; [`Error::Io`].
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

    /// Appends `records` as one unit: after a crash all of them are there or none. Returns their
    /// LSNs. Nothing is durable yet; `time_ms` (since 1970) is kept with them, raised to the time
    /// of the append before if it is less.
    ///
    /// Blocks only while a full group is being written. Memory stays bounded that way.
    ///
    /// # Errors
    /// [`Error::Refused`] for an empty append, a record over 1 MiB or an append over 4 MiB;
    /// [`Error::NoSpace`] when the disk is too full to prepare another segment, and from then on at
    /// once, until a segment as large as that one has been [prepared](Self::prepare): by a
    /// [`Housekeeper`](crate::Housekeeper) or, where there is none, by an append whose `time_ms` is
    /// 2 s away from that of the one that was refused. [`Error::Poisoned`]; [`Error::NotAppended`] after
    /// [`close`](Self::close). Nothing is appended then.
    pub fn append<R: AsRef<[u8]>>(
        &self,
        time_ms: u64,
        records: &[R],
    ) -> Result<RangeInclusive<Lsn>, Error> {
        Ok(self.enqueue(time_ms, records)?.1)
    }

    /// Appends; the queue is still locked behind it.
    fn enqueue<R: AsRef<[u8]>>(
        &self,
        time_ms: u64,
        records: &[R],
    ) -> Result<(QueueGuard<'_, D>, RangeInclusive<Lsn>), Error> {
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
        let first = Lsn::new(first).unwrap_or(Lsn::FIRST);
        Ok((queue, first..=first.plus(count - 1)))
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

    /// Whether appends are still taken: a write or sync may have failed while nobody waited.
    ///
    /// # Errors
    /// [`Error::Poisoned`]; [`Error::NotAppended`] after [`close`](Self::close).
    pub fn check(&self) -> Result<(), Error> {
        self.queue.lock().check()
    }

    /// Counts and sizes.
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

    /// Makes everything durable, seals what was written and says so in the manifest; an open that has
    /// written nothing has nothing to seal. Needs no room. Later appends are refused, and prepared room
    /// is given back. Dropping a log without this is a crash as far as recovery is concerned.
    ///
    /// # Errors
    /// [`Error::Poisoned`], and [`Error::Io`] when only the manifest could not be written or a file
    /// not be removed: the records and the seal are durable then.
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
        // From here on nothing can be appended that would have to be written behind the seal.
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

/// Makes durable which files there are, and removes those that carry nothing.
fn remove_stale<D: Disk>(disk: &D, stale: &[String]) -> Result<(), Error> {
    let sync = || disk.sync_dir().on("sync the directory of", || disk.describe(""));
    // After kill -9 the manifest that state them stale may be known to memory only.
    if !planted("names-believed-unsynced") {
        sync()?;
    }
    for name in stale {
        disk.discard(name).on("remove", || disk.describe(name))?;
    }
    // Nor may they come back under a name that is about to be used again.
    if stale.is_empty() || planted("leftovers-come-back") { Ok(()) } else { sync() }
}

/// The manifest of a new store: its id must not be given out before it is durable.
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

/// Reads a log without a lock and without changing anything, also beside a running writer: every
/// record from `from` on is lent to `visit`. With a writer at work the end is wherever its frames
/// end at that moment; whether a tail is torn is for the next [`Wal::open`] to say. What the writer drops
/// before it was read is [missing](Error::Missing).
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
