//! The log itself: appending, group commit, dropping, closing.

use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};

use crate::committer::Bell;
use crate::disk::Disk;
use crate::error::{Error, OnFile};
use crate::frame::{FrameBuffer, FrameKind};
use crate::group::Group;
use crate::limits::{
    APPEND_BYTES_MAX, FRAME_RECORDS_MAX, GROUP_BYTES_MAX, RECORD_BYTES_MAX, RECORD_HEADER_BYTES,
};
use crate::lsn::Lsn;
use crate::manifest::Manifest;
use crate::plant::planted;
use crate::queue::{Flight, Queue, State};
use crate::recover::{Beside, From, Kept, Record, Recovery, scan};
use crate::segment::StoreId;
use crate::spare::Pool;
use crate::stats::{Counters, Stats};
use crate::sync::{AtomicU64, Mutex, MutexGuard};
use crate::ticket::Ticket;
use crate::writer::{Batch, Chain, Writer};

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
    chain: Arc<Mutex<Chain>>,
    counters: Arc<Counters>,
    durable: AtomicU64,
    bell: Arc<Bell>,
    _lock: D::Lock,
}

/// The queue, in hand.
type Locked<'a, D> = MutexGuard<'a, Queue<<D as Disk>::File>>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Write,
    Sync,
    Note,
    Seal,
}

impl<D: Disk> Wal<D> {
    /// Recovers the log in `disk` (a new one if there is none) and opens it for writing.
    ///
    /// Every record from `from` on is lent to `visit`, in order. Recovery reads before it writes:
    /// whatever is wrong with the log is said while nothing has been changed.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process has the directory; [`Error::Corrupt`],
    /// [`Error::Format`], [`Error::Missing`] and [`Error::Behind`] when what is there cannot be
    /// continued; [`Error::Stopped`] when `visit` broke off; [`Error::Io`].
    pub fn open(
        disk: D,
        from: From,
        mut visit: impl FnMut(Record<'_>) -> ControlFlow<()>,
    ) -> Result<(Self, Recovery), Error> {
        let lock = match disk.lock() {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                return Err(Error::Locked { directory: disk.describe("") });
            }
            other => other.on("lock", disk.describe("LOCK"))?,
        };
        let scan = scan(&disk, Beside::Nobody, from, &mut visit)?;
        let store = match scan.store {
            Some(store) => store,
            None => {
                let mut store = StoreId::default();
                disk.random(&mut store).on("make an id for", disk.describe(""))?;
                store
            }
        };
        let mut recovery = scan.recovery.clone();
        recovery.incarnation += 1;
        let incarnation = recovery.incarnation;
        let manifest = Manifest { store, incarnation, ..Manifest::default() };
        let counters = Arc::new(Counters::default());
        let (writer, chain) = Writer::start(disk.clone(), &scan, manifest, Arc::clone(&counters))?;
        let queue = Queue::new(scan.next_lsn, scan.time_ms, writer.room());
        let wal = Self {
            disk,
            store,
            queue: Mutex::new(queue),
            writer: Mutex::new(writer),
            pool: Mutex::new(Pool::new()),
            chain,
            counters,
            durable: AtomicU64::new(scan.end.lsn),
            bell: Arc::default(),
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
    /// [`Error::NoSpace`] when the disk is too full to prepare another segment;
    /// [`Error::Poisoned`]; [`Error::NotAppended`] after [`close`](Self::close). Nothing is
    /// appended then.
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
    ) -> Result<(Locked<'_, D>, RangeInclusive<Lsn>), Error> {
        let bytes = check_append(records)?;
        let count = u32::try_from(records.len()).unwrap_or(FRAME_RECORDS_MAX);
        let mut queue = self.queue.lock();
        loop {
            queue.check()?;
            let full = !queue.pending.is_empty()
                && (queue.pending.body_bytes() + bytes > GROUP_BYTES_MAX
                    || queue.pending.records() + count > FRAME_RECORDS_MAX);
            if full || (!queue.admits(bytes) && queue.leans_on_spare()) {
                self.take_turn(queue, Purpose::Write)?;
            } else if !queue.admits(bytes) {
                drop(queue);
                self.prepare_spare(bytes)?;
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
        queue.next_lsn += u64::from(count);
        self.counters.appends.fetch_add(u64::from(count), Ordering::Relaxed);
        if planted("append-called-durable") {
            self.durable.fetch_max(queue.next_lsn - 1, Ordering::AcqRel);
        }
        let first = Lsn::new(first).unwrap_or(Lsn::FIRST);
        Ok((queue, first..=first.plus(u64::from(count) - 1)))
    }

    /// Returns once everything up to `lsn` is durable.
    ///
    /// # Errors
    /// [`Error::Poisoned`] when the write or sync failed: whether the record is there is then
    /// decided by recovery. [`Error::NotAppended`] when there is no such record.
    pub fn wait(&self, lsn: Lsn) -> Result<(), Error> {
        if self.durable.load(Ordering::Acquire) >= lsn.get() {
            return Ok(());
        }
        self.await_durable(self.queue.lock(), lsn.get())
    }

    fn await_durable(&self, queue: Locked<'_, D>, lsn: u64) -> Result<(), Error> {
        if self.durable.load(Ordering::Acquire) >= lsn {
            return Ok(());
        }
        queue.check_poison()?;
        if lsn >= queue.next_lsn {
            return Err(Error::NotAppended { lsn });
        }
        if queue.busy && lsn <= queue.flight.durable_through {
            let group = Arc::clone(&queue.flight.group);
            drop(queue);
            return self.follow(&group);
        }
        self.take_turn(queue, Purpose::Sync)
    }

    /// A future of [`wait`](Self::wait): thousands of commits can be on their way without a thread
    /// for each. Their groups are led by a [`Committer`](crate::Committer), or by whoever waits
    /// besides; where there is neither, a poll leads, and blocks for as long as that takes.
    pub fn ticket(&self, lsn: Lsn) -> Ticket<'_, D> {
        Ticket { wal: self, lsn }
    }

    pub(crate) fn poll_durable(&self, lsn: Lsn, waker: &Waker) -> Poll<Result<(), Error>> {
        let lsn = lsn.get();
        if self.durable.load(Ordering::Acquire) >= lsn {
            return Poll::Ready(Ok(()));
        }
        let mut queue = self.queue.lock();
        if self.durable.load(Ordering::Acquire) >= lsn {
            return Poll::Ready(Ok(()));
        }
        queue.check_poison()?;
        if lsn >= queue.next_lsn {
            return Poll::Ready(Err(Error::NotAppended { lsn }));
        }
        if queue.busy && lsn <= queue.flight.durable_through {
            queue.flight.wakers.push(waker.clone());
        } else if !queue.wakers.is_empty() || self.bell.ring() {
            queue.wakers.push(waker.clone());
        } else {
            return Poll::Ready(self.take_turn(queue, Purpose::Sync));
        }
        Poll::Pending
    }

    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// Takes groups to the disk for as long as there are tickets that wait for one.
    pub(crate) fn commit_for_tickets(&self) {
        loop {
            let queue = self.queue.lock();
            // A failure is told to the tickets themselves.
            if queue.wakers.is_empty() || self.take_turn(queue, Purpose::Sync).is_err() {
                return;
            }
        }
    }

    /// Has all who wait for the pending group look again.
    pub(crate) fn call_on_tickets(&self) {
        let wakers = std::mem::take(&mut self.queue.lock().wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Appends and waits.
    ///
    /// # Errors
    /// Those of [`append`](Self::append) and [`wait`](Self::wait).
    pub fn commit<R: AsRef<[u8]>>(
        &self,
        time_ms: u64,
        records: &[R],
    ) -> Result<RangeInclusive<Lsn>, Error> {
        let (queue, lsns) = self.enqueue(time_ms, records)?;
        self.await_durable(queue, lsns.end().get())?;
        Ok(lsns)
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
            let chain = self.chain.lock();
            stats.segments = chain.kept.len() as u64;
            stats.size_bytes = chain.kept.iter().map(|kept| kept.bytes).sum();
        }
        let queue = self.queue.lock();
        stats.last_lsn = queue.next_lsn - 1;
        stats.poisoned = matches!(queue.state, State::Poisoned(_));
        stats.durable_lsn = self.durable.load(Ordering::Acquire);
        stats
    }

    /// Removes the segments all of whose records are at or before `lsn`, except the active one.
    /// Returns how many went. The manifest names the new oldest segment before the first is
    /// removed.
    ///
    /// # Errors
    /// [`Error::Io`]. Files that could not be removed are ignored from now on and removed at the
    /// next open.
    pub fn drop_through(&self, lsn: Lsn) -> Result<u64, Error> {
        let dropped: Vec<Kept> = {
            let mut chain = self.chain.lock();
            let active = chain.kept.len().saturating_sub(1);
            let count =
                chain.kept[..active].iter().take_while(|kept| kept.last_lsn <= lsn.get()).count();
            if count == 0 {
                return Ok(0);
            }
            let mut manifest = chain.manifest;
            manifest.oldest = chain.kept[count].number;
            if !planted("removed-before-the-manifest-says-so") {
                manifest.write(&self.disk)?;
                chain.manifest = manifest;
            }
            chain.kept.drain(..count).collect()
        };
        let count = dropped.len() as u64;
        for Kept { number, bytes, .. } in dropped {
            self.pool.lock().retire(&self.disk, number, bytes)?;
        }
        Ok(count)
    }

    /// Prepares the next segment if it is not there yet, so that no append has to.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when the disk is full, [`Error::Io`].
    pub fn prepare(&self) -> Result<(), Error> {
        self.prepare_spare(0)
    }

    /// Whether the next segment is missing.
    #[must_use]
    pub fn wants_spare(&self) -> bool {
        self.queue.lock().spare.is_none()
    }

    /// Writes a frame that carries nothing but the proof that everything before it was durable.
    /// Does nothing while records are pending or being written: they will carry the proof. And
    /// nothing before the first of them: what is older is proven by the header of this segment,
    /// and one that holds no frame is reclaimed at the next open.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    pub fn note(&self) -> Result<(), Error> {
        let queue = self.queue.lock();
        let unused = self.counters.frames.load(Ordering::Relaxed) == 0;
        if unused || queue.busy || !queue.pending.is_empty() || !queue.admits_note() {
            return Ok(());
        }
        queue.check()?;
        self.lead(queue, Purpose::Note)
    }

    /// Makes everything durable, seals what was written and says so in the manifest. Later appends
    /// are refused, and prepared room is given back. Dropping a log without this is a crash as far as
    /// recovery is concerned.
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
            self.take_turn(queue, Purpose::Sync)?;
            queue = self.queue.lock();
            queue.check()?;
        }
        // From here on nothing can be appended that would have to be written behind the seal.
        if !planted("appends-behind-the-seal") {
            queue.state = State::Closed;
        }
        // Without a seal the next open reclaims a segment that nothing was written to.
        let unused = self.counters.frames.load(Ordering::Relaxed) == 0;
        if unused && queue.pending.is_empty() {
            drop(queue);
        } else {
            self.lead(queue, Purpose::Seal)?;
        }
        self.writer.lock().mark_clean()?;
        let mut pool = self.pool.lock();
        let spare = self.queue.lock().spare.take();
        spare.map_or(Ok(()), |spare| spare.discard(&self.disk))?;
        pool.drain(&self.disk)
    }

    /// Joins the group that is gathering: leads it when its turn has come, follows who does. What
    /// was pending is written when this returns; durable unless the purpose is only to write.
    fn take_turn(&self, mut queue: Locked<'_, D>, purpose: Purpose) -> Result<(), Error> {
        if !queue.busy {
            return self.lead(queue, purpose);
        }
        let group = Arc::clone(&queue.group);
        if queue.elected {
            queue.followers += 1;
            drop(queue);
            return self.follow(&group);
        }
        queue.elected = true;
        drop(queue);
        group.await_turn();
        let queue = self.queue.lock();
        queue.check_poison()?;
        self.lead(queue, purpose)
    }

    /// Waits for the end of a group that somebody else leads.
    fn follow(&self, group: &Group) -> Result<(), Error> {
        if group.await_end() {
            return Ok(());
        }
        self.queue.lock().check_poison()
    }

    /// Takes the pending group to the disk. The caller has found `busy` unset, or has been handed
    /// the lead with `busy` set.
    fn lead(&self, mut queue: Locked<'_, D>, purpose: Purpose) -> Result<(), Error> {
        queue.busy = true;
        queue.elected = false;
        let followers = std::mem::take(&mut queue.followers);
        let wakers = std::mem::take(&mut queue.wakers);
        let sync = purpose != Purpose::Write || followers > 0 || !wakers.is_empty();
        let mut frame = queue.other.take().unwrap_or_else(FrameBuffer::new);
        std::mem::swap(&mut frame, &mut queue.pending);
        let kind = match purpose {
            Purpose::Note => FrameKind::Note,
            Purpose::Seal => FrameKind::Seal,
            Purpose::Write | Purpose::Sync => FrameKind::Data,
        };
        let through = queue.next_lsn - 1;
        let first_lsn = if frame.is_empty() { queue.next_lsn } else { queue.first_lsn };
        let batch = Batch { kind, first_lsn, time_ms: queue.time_ms, sync };
        let next = match kind {
            FrameKind::Data if frame.is_empty() => None,
            _ => queue.take_room(frame.frame_bytes() as u64),
        };
        let group = std::mem::take(&mut queue.group);
        let durable_through = if sync { through } else { 0 };
        queue.flight = Flight { durable_through, group: Arc::clone(&group), wakers };
        drop(queue);

        let written = {
            let mut writer = self.writer.lock();
            match writer.write(&mut frame, batch, next) {
                Err(_) if planted("failed-sync-tried-again") => {
                    frame.clear();
                    writer.write(&mut frame, batch, None)
                }
                Err(_) if planted("failed-write-ignored") => Ok(through),
                written => written,
            }
        };

        let mut queue = self.queue.lock();
        frame.clear();
        queue.other = Some(frame);
        let result = match written {
            Ok(durable) => {
                self.durable.fetch_max(durable, Ordering::AcqRel);
                Ok(())
            }
            Err(error) => {
                let cause = error.to_string();
                if !planted("failure-forgotten") {
                    queue.state = State::Poisoned(cause.clone());
                }
                Err(Error::Poisoned { cause })
            }
        };
        let next = queue.elected.then(|| Arc::clone(&queue.group));
        queue.busy = next.is_some() && result.is_ok();
        let mut wakers = std::mem::take(&mut queue.flight.wakers);
        if result.is_err() {
            wakers.append(&mut queue.wakers);
        }
        drop(queue);
        // The next leader first: its sync is what everybody else will wait for.
        if let Some(next) = next {
            next.give_turn();
            if result.is_err() && !planted("followers-not-told-of-a-failure") {
                // Nobody will lead it any more.
                next.end(false);
            }
        }
        group.end(result.is_ok());
        wakers.into_iter().for_each(Waker::wake);
        result
    }

    /// Sees to a segment that holds what is pending and `bytes` more.
    fn prepare_spare(&self, bytes: usize) -> Result<(), Error> {
        let mut pool = self.pool.lock();
        let (wanted, small) = {
            let mut queue = self.queue.lock();
            queue.check()?;
            let wanted = queue.next_segment_bytes(bytes, self.disk.segment_bytes_max());
            let have = queue.spare.as_ref().map_or(0, |spare| spare.bytes);
            if have >= wanted || (have > 0 && bytes == 0) || queue.leans_on_spare() {
                return Ok(());
            }
            (wanted, queue.spare.take())
        };
        if let Some(small) = small {
            small.discard(&self.disk)?;
        }
        let spare = pool.take(&self.disk, wanted)?;
        self.queue.lock().spare = Some(spare);
        Ok(())
    }
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
    if bytes > APPEND_BYTES_MAX || records.len() > FRAME_RECORDS_MAX as usize {
        return refused("an append has at most 4 MiB and 1 048 576 records");
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
    from: From,
    mut visit: impl FnMut(Record<'_>) -> ControlFlow<()>,
) -> Result<Recovery, Error> {
    Ok(scan(disk, Beside::Writer, from, &mut visit)?.recovery)
}
