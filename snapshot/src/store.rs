//! The durable state machine: a log, the state it makes, and the snapshots that shorten it.

use std::ops::ControlFlow;
use std::sync::Arc;

use icn_wal::{Disk, From as Start, Lsn, Record, StoreId, Wal};
use parking_lot::Mutex;

use crate::error::{Error, OnFile};
use crate::file::SnapshotId;
use crate::machine::StateMachine;
use crate::record::LogRecord;
use crate::shelf::{Draft, Image, Shelf, Snapshot};

const LOG_DIRECTORY: &str = "wal";
const SNAPSHOT_DIRECTORY: &str = "snapshots";

/// When a snapshot is due: whatever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Bytes of log since the last one. Default 64 MiB.
    pub log_bytes: u64,
    /// Records since the last one. Default 100 000.
    pub records: u64,
    /// Milliseconds since the last one, if anything has changed. Default 15 minutes.
    pub age_ms: u64,
}

impl Default for Due {
    fn default() -> Self {
        Self { log_bytes: 64 << 20, records: 100_000, age_ms: 15 * 60 * 1000 }
    }
}

/// What opening a store found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The snapshot it started from; `None` when the log was replayed from its beginning.
    pub snapshot: Option<SnapshotId>,
    /// Newer snapshots that could not be used, and why. Nothing is lost: the log reaches back.
    pub passed_over: Vec<(SnapshotId, String)>,
    /// What the log had to say.
    pub log: icn_wal::Recovery,
}

/// A state machine that cannot forget.
///
/// [`commit`](Self::commit) appends, then applies; [`Wal::wait`] on [`wal`](Self::wal) makes
/// durable. The caller must let nothing out of the house before that: an outcome of `commit` is a
/// promise the disk has not heard of yet.
pub struct Store<S: StateMachine, D: Disk> {
    state: S,
    lsn: u64,
    timeline: u64,
    wal: Arc<Wal<D>>,
    compactor: Compactor<D>,
    due: Due,
    since: Since,
    buffer: Vec<u8>,
}

/// What has happened since the last image was taken.
#[derive(Clone, Copy, Debug, Default)]
struct Since {
    log_bytes: u64,
    records: u64,
    /// The time of the first mutation since then.
    first_ms: Option<u64>,
}

/// Takes images to the disk, on whatever thread it is called.
#[derive(Clone)]
pub struct Compactor<D: Disk> {
    shelf: Arc<Mutex<Shelf<D>>>,
    wal: Arc<Wal<D>>,
}

impl<D: Disk> Compactor<D> {
    /// Writes, verifies and lists `image`, retires older snapshots, and lets go of the log that no
    /// kept snapshot needs.
    ///
    /// # Errors
    /// The store is as it was, at worst with some files that are removed at the next open.
    pub fn save<S: StateMachine>(&self, image: Image<S>) -> Result<Snapshot, Error> {
        // The lock is not held while the state is written: lists stay readable meanwhile.
        let (disk, generation) = self.shelf.lock().reserve();
        let draft = Draft::write(&disk, generation, self.wal.store(), &image)?;
        // A snapshot must never hold what the log has lost.
        self.wal.wait(image.lsn)?;
        self.shelf.lock().publish(&draft, &self.wal)
    }

    /// All snapshots, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Snapshot> {
        self.shelf.lock().list()
    }

    /// Reads a snapshot to its end and decodes it.
    ///
    /// # Errors
    /// [`Error::Unusable`] and [`Error::Newer`] when it is not what was written.
    pub fn verify<S: StateMachine>(&self, id: SnapshotId) -> Result<(), Error> {
        let reader = {
            let shelf = self.shelf.lock();
            if !shelf.newest_first().contains(&id) {
                return Err(Error::NoSuchSnapshot { id });
            }
            shelf.reader()
        };
        // The lock is not held while the file is read: lists stay readable meanwhile.
        let read = reader.load::<S>(id).map(drop);
        if matches!(read, Err(Error::Unusable { .. })) {
            self.shelf.lock().mark_damaged(id)?;
        }
        read
    }

    /// Retires a snapshot; its file goes with the next one that is taken.
    ///
    /// # Errors
    /// [`Error::NoSuchSnapshot`]; [`Error::Needed`] for the newest verified one.
    pub fn delete(&self, id: SnapshotId) -> Result<(), Error> {
        self.shelf.lock().delete(id)
    }
}

impl<S: StateMachine, D: Disk> Store<S, D> {
    /// Opens the store in `disk`, a new one if there is none: the newest snapshot that can be used,
    /// and every record behind it.
    ///
    /// # Errors
    /// [`Error::Log`] when the log cannot be continued; [`Error::Newer`] when anything was written
    /// by a newer version; [`Error::Record`] when a record makes no sense.
    pub fn open(disk: &D, due: Due) -> Result<(Self, Recovery), Error> {
        let log = disk.subdir(LOG_DIRECTORY).on("open", disk.describe(LOG_DIRECTORY))?;
        let snapshots =
            disk.subdir(SNAPSHOT_DIRECTORY).on("open", disk.describe(SNAPSHOT_DIRECTORY))?;
        let mut shelf = Shelf::open(snapshots)?;
        let (mut replay, passed_over) = Replay::<S>::start(&shelf, None)?;
        let mut since = Since::default();
        let (wal, found) = {
            let opened = Wal::open(log, replay.from(), |record| {
                since.records += 1;
                since.log_bytes += record.bytes.len() as u64;
                since.first_ms.get_or_insert(record.time_ms);
                replay.apply(&shelf, record)
            });
            replay.outcome(opened)?
        };
        replay.check_store(wal.store())?;
        shelf.sweep(wal.store())?;
        for (id, error) in &passed_over {
            // One that could not be opened or read this time may be whole.
            if matches!(error, Error::Unusable { .. }) {
                shelf.mark_damaged(*id)?;
            }
        }
        let passed_over = passed_over.iter().map(|(id, error)| (*id, error.to_string())).collect();
        let recovery = Recovery { snapshot: replay.snapshot, passed_over, log: found };
        let wal = Arc::new(wal);
        let compactor = Compactor { shelf: Arc::new(Mutex::new(shelf)), wal: Arc::clone(&wal) };
        let Replay { state, timeline, .. } = replay;
        let lsn = recovery.log.last_lsn;
        let buffer = Vec::new();
        Ok((Self { state, lsn, timeline, wal, compactor, due, since, buffer }, recovery))
    }

    /// The state after everything committed, durable or not.
    pub fn state(&self) -> &S {
        &self.state
    }

    /// The last LSN that is in the state, 0 for none.
    pub fn lsn(&self) -> u64 {
        self.lsn
    }

    /// The branch of history: 0, and one more with every restore.
    pub fn timeline(&self) -> u64 {
        self.timeline
    }

    /// The log, to wait on and to ask.
    pub fn wal(&self) -> &Arc<Wal<D>> {
        &self.wal
    }

    /// What takes images to the disk.
    pub fn compactor(&self) -> &Compactor<D> {
        &self.compactor
    }

    /// Appends `mutation` and applies it. Nothing is durable yet.
    ///
    /// # Errors
    /// Those of [`Wal::append`]; the state is then unchanged.
    pub fn commit(
        &mut self,
        time_ms: u64,
        mutation: S::Mutation,
    ) -> Result<(Lsn, S::Outcome), Error> {
        LogRecord::start_mutation(&mut self.buffer);
        S::encode(&mutation, &mut self.buffer);
        let lsn = self.append(time_ms)?;
        Ok((lsn, self.state.apply(lsn, mutation)))
    }

    /// An image of the state as it is now; `None` before the first record. Costs one clone of the
    /// state.
    pub fn image(&mut self, now_ms: u64) -> Option<Image<S>> {
        let lsn = Lsn::new(self.lsn)?;
        self.since = Since::default();
        let (state, timeline) = (self.state.clone(), self.timeline);
        Some(Image { state, lsn, timeline, created_ms: now_ms })
    }

    /// Whether anything has been committed since the last image.
    pub fn changed(&self) -> bool {
        self.since.records > 0
    }

    /// Whether it is time for the next image.
    pub fn snapshot_due(&self, now_ms: u64) -> bool {
        self.since.log_bytes >= self.due.log_bytes
            || self.since.records >= self.due.records
            || self
                .since
                .first_ms
                .is_some_and(|first| now_ms.saturating_sub(first) >= self.due.age_ms)
    }

    /// Goes back to the state of snapshot `id`, as a step forward: a record says so, numbers go on,
    /// and the state machine decides what may not go back. `branch` is a random number for it.
    ///
    /// # Errors
    /// [`Error::NoSuchSnapshot`] and [`Error::Unusable`]; those of [`Wal::append`]. Nothing has
    /// happened then.
    pub fn restore(&mut self, time_ms: u64, id: SnapshotId, branch: u64) -> Result<Lsn, Error> {
        let shelf = Arc::clone(&self.compactor.shelf);
        let mut shelf = shelf.lock();
        if !shelf.newest_first().contains(&id) {
            return Err(Error::NoSuchSnapshot { id });
        }
        let (_, image) = shelf.load::<S>(id)?;
        // Held before the record exists: a replay of the record must find the image.
        shelf.hold(id, Lsn::new(self.lsn + 1).unwrap_or(Lsn::FIRST))?;
        LogRecord::write_restore(id, branch, &mut self.buffer);
        let lsn = self.append(time_ms)?;
        self.state = self.state.restore(image, branch);
        self.timeline += 1;
        Ok(lsn)
    }

    /// Makes everything durable and seals the log. Take a last image before, or the next start
    /// replays what has come since the one before.
    ///
    /// # Errors
    /// Those of [`Wal::close`].
    pub fn close(self) -> Result<(), Error> {
        Ok(self.wal.close()?)
    }

    fn append(&mut self, time_ms: u64) -> Result<Lsn, Error> {
        let lsn = *self.wal.append(time_ms, std::slice::from_ref(&self.buffer))?.end();
        self.lsn = lsn.get();
        self.since.records += 1;
        self.since.log_bytes += self.buffer.len() as u64;
        self.since.first_ms.get_or_insert(time_ms);
        Ok(lsn)
    }
}

/// The state as it was at `upto` (the latest there is if `None`), and the LSN it is of. Reads only:
/// no lock is taken and nothing is changed, also beside a running store.
///
/// # Errors
/// [`Error::OutsideWindow`] when snapshots and log cannot show that state; those of
/// [`Store::open`].
pub fn state_at<S: StateMachine, D: Disk>(disk: &D, upto: Option<Lsn>) -> Result<(S, u64), Error> {
    let log = disk.subdir(LOG_DIRECTORY).on("open", disk.describe(LOG_DIRECTORY))?;
    let snapshots =
        disk.subdir(SNAPSHOT_DIRECTORY).on("open", disk.describe(SNAPSHOT_DIRECTORY))?;
    let shelf = Shelf::open(snapshots)?;
    let (mut replay, _) = Replay::<S>::start(&shelf, upto)?;
    let mut lsn = replay.snapshot.map_or(0, |id| id.lsn);
    let wanted = upto.map_or(u64::MAX, Lsn::get);
    let read = icn_wal::read(&log, replay.from(), |record| {
        if record.lsn.get() > wanted {
            return ControlFlow::Break(());
        }
        lsn = record.lsn.get();
        replay.apply(&shelf, record)
    });
    match read {
        Err(icn_wal::Error::Stopped { lsn }) if lsn.get() > wanted => {}
        other => {
            replay.outcome(other)?;
        }
    }
    match upto {
        Some(upto) if lsn != upto.get() => {
            Err(Error::OutsideWindow { wanted: upto.get(), last: lsn })
        }
        _ => Ok((replay.state, lsn)),
    }
}

/// The snapshots in `disk`, oldest first, without a lock and without changing anything.
///
/// # Errors
/// [`Error::Io`].
pub fn list<D: Disk>(disk: &D) -> Result<Vec<Snapshot>, Error> {
    let snapshots =
        disk.subdir(SNAPSHOT_DIRECTORY).on("open", disk.describe(SNAPSHOT_DIRECTORY))?;
    Ok(Shelf::open(snapshots)?.list())
}

/// A state on its way from a snapshot to the end of the log.
struct Replay<S> {
    state: S,
    timeline: u64,
    snapshot: Option<SnapshotId>,
    store: Option<StoreId>,
    failure: Option<Error>,
}

impl<S: StateMachine> Replay<S> {
    /// Starts from the newest snapshot at or before `upto` that can be used.
    fn start<D: Disk>(
        shelf: &Shelf<D>,
        upto: Option<Lsn>,
    ) -> Result<(Self, Vec<(SnapshotId, Error)>), Error> {
        let mut passed_over = Vec::new();
        let reachable = |id: &SnapshotId| upto.is_none_or(|upto| id.lsn <= upto.get());
        for id in shelf.newest_first().into_iter().filter(reachable) {
            match shelf.load::<S>(id) {
                Ok((header, state)) => {
                    let (timeline, store) = (header.timeline, Some(header.store));
                    let snapshot = Some(id);
                    return Ok((
                        Self { state, timeline, snapshot, store, failure: None },
                        passed_over,
                    ));
                }
                // An older one would hide that this build is too old for the data.
                Err(error @ Error::Newer { .. }) => return Err(error),
                Err(error) => passed_over.push((id, error)),
            }
        }
        let state = S::default();
        Ok((Self { state, timeline: 0, snapshot: None, store: None, failure: None }, passed_over))
    }

    fn from(&self) -> Start {
        match self.snapshot.and_then(|id| Lsn::new(id.lsn)) {
            Some(lsn) => Start::After(lsn),
            None => Start::Beginning,
        }
    }

    fn apply<D: Disk>(&mut self, shelf: &Shelf<D>, record: Record<'_>) -> ControlFlow<()> {
        match self.try_apply(shelf, record) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failure = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn try_apply<D: Disk>(&mut self, shelf: &Shelf<D>, record: Record<'_>) -> Result<(), Error> {
        let lsn = record.lsn;
        match LogRecord::decode(lsn, record.bytes)? {
            LogRecord::Mutation(bytes) => {
                let wrong = |why| Error::Record { lsn: lsn.get(), why };
                self.state.apply(lsn, S::decode(bytes).map_err(wrong)?);
            }
            LogRecord::Restore { id, branch } => {
                let (_, image) = shelf.load::<S>(id)?;
                self.state = self.state.restore(image, branch);
                self.timeline += 1;
            }
        }
        Ok(())
    }

    /// The result of a replay: our own reason for stopping goes before the log's.
    fn outcome<T>(&mut self, result: Result<T, icn_wal::Error>) -> Result<T, Error> {
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(result?),
        }
    }

    fn check_store(&self, store: StoreId) -> Result<(), Error> {
        match (self.store, self.snapshot) {
            (Some(of_snapshot), Some(id)) if of_snapshot != store => {
                let why = "it belongs to another store than the log beside it".into();
                Err(Error::Unusable { file: id.file_name(), why })
            }
            _ => Ok(()),
        }
    }
}
