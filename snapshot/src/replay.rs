//! Replay: the state of a snapshot, brought forward by the records of the log.

use std::any::type_name;
use std::io;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use icn_wal::disk::Disk;
use icn_wal::{Lsn, Record, ReplayFrom, StoreId};

use crate::error::Error;
use crate::file::Loaded;
use crate::id::SnapshotId;
use crate::log_directory::last_lsn;
use crate::machine::{StateMachine, Weakness};
use crate::manifest::ManifestEntry;
use crate::point_in_time::PointInTime;
use crate::record::LogRecord;
use crate::snapshots::Snapshots;

/// The state of a snapshot, or the empty one, and the records applied to it so far.
pub(crate) struct Replay<S> {
    pub(crate) state: S,
    pub(crate) timeline: u64,
    pub(crate) snapshot: Option<SnapshotId>,
    /// The last LSN that the state covers.
    pub(crate) lsn: u64,
    /// The time of that record, or of the snapshot.
    pub(crate) time_ms: u64,
    pub(crate) replayed: u64,
    /// The snapshots that RESTORE records name, and the LSNs of those records.
    pub(crate) restores: Vec<(SnapshotId, u64)>,
    /// In what the state is, or was at an earlier LSN, weaker than a summary.
    pub(crate) weaker: Vec<Weakness>,
    pub(crate) migrated: bool,
    /// LSN, timeline and summary of newer snapshots that cannot be used. The replay is compared with them.
    summaries: Vec<(u64, u64, Vec<u8>)>,
    store: Option<StoreId>,
    failure: Option<Error>,
}

impl<S: StateMachine> Replay<S> {
    /// Starts from the newest `wanted` snapshot that can be used, else from the empty state. Returns the
    /// snapshots passed over, with the reasons. Calls `watch` after each chunk that is read.
    ///
    /// # Errors
    /// [`icn_wal::Error::Stopped`] when `watch` broke off; [`Error::Newer`].
    pub(crate) fn start<D: Disk>(
        snapshots: &Snapshots<D>,
        wanted: impl Fn(&ManifestEntry) -> bool,
        mut watch: impl FnMut() -> ControlFlow<()>,
    ) -> Result<(Self, Vec<(SnapshotId, Error)>), Error> {
        let mut passed_over = Vec::new();
        let mut summaries = Vec::new();
        let nothing = Self {
            state: S::default(),
            timeline: 0,
            snapshot: None,
            lsn: 0,
            time_ms: 0,
            replayed: 0,
            restores: Vec::new(),
            weaker: Vec::new(),
            migrated: false,
            summaries: Vec::new(),
            store: None,
            failure: None,
        };
        for id in snapshots.newest_first().filter(|entry| wanted(entry)).map(ManifestEntry::id) {
            let mut stopped = false;
            let mut pause = || match watch() {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => {
                    stopped = true;
                    Err(io::ErrorKind::Interrupted.into())
                }
            };
            let loaded = snapshots.load::<S>(id, &mut pause);
            if stopped {
                let lsn = Lsn::new(id.lsn).unwrap_or(Lsn::FIRST);
                return Err(icn_wal::Error::Stopped { lsn }.into());
            }
            match loaded {
                Ok(Loaded { header, state, weaker, migrated }) => {
                    let start = Self {
                        state,
                        weaker,
                        migrated,
                        summaries,
                        timeline: header.timeline,
                        snapshot: Some(id),
                        lsn: id.lsn,
                        time_ms: header.time_ms,
                        store: Some(header.store),
                        ..nothing
                    };
                    return Ok((start, passed_over));
                }
                // Falling back to an older snapshot would hide that this build is too old for the data, or
                // lacks a step of the migration.
                Err(error @ (Error::Newer { .. } | Error::Migration { .. })) => return Err(error),
                Err(error) => {
                    let summary = snapshots.summary(id);
                    summaries.extend(summary.map(|(timeline, bytes)| (id.lsn, timeline, bytes)));
                    passed_over.push((id, error));
                }
            }
        }
        Ok((Self { summaries, ..nothing }, passed_over))
    }

    /// Replays up to `at`. A state before the LSN `first` is refused unless a snapshot alone holds it.
    pub(crate) fn to<D: Disk>(
        snapshots: &Snapshots<D>,
        log: &D,
        at: PointInTime,
        first: u64,
    ) -> Result<Self, Error> {
        let go_on = || ControlFlow::Continue(());
        let (mut replay, _) = Self::start(snapshots, |entry| can_start(at, entry), go_on)?;
        let outside = |last| Error::OutsideWindow { wanted: at, first, last };
        let mut beyond = false;
        // A restore point needs no log, and may have none.
        if !matches!(at, PointInTime::Lsn(wanted) if wanted.get() == replay.lsn) {
            let read = icn_wal::read(log, replay.from(), |record| {
                if !at.includes(record.lsn, record.time_ms) {
                    beyond = true;
                    return ControlFlow::Break(());
                }
                replay.apply(snapshots, log, record)
            });
            match read {
                Err(icn_wal::Error::Stopped { .. }) if beyond => {}
                // Before the window, a record or a snapshot that the replay needs may be missing.
                _ if at != PointInTime::Latest && replay.lsn < first => {
                    return Err(outside(last_lsn(log)?));
                }
                other => {
                    replay.outcome(other)?;
                }
            }
        }
        let reached = match at {
            PointInTime::Lsn(wanted) => {
                replay.lsn == wanted.get() && (replay.lsn >= first || replay.replayed == 0)
            }
            PointInTime::Time(_) => replay.lsn >= first,
            PointInTime::Latest | PointInTime::Snapshot(_) => true,
        };
        if !reached {
            return Err(outside(last_lsn(log)?));
        }
        Ok(replay)
    }

    /// Where to start reading the log.
    pub(crate) fn from(&self) -> ReplayFrom {
        match self.snapshot.and_then(|id| Lsn::new(id.lsn)) {
            Some(lsn) => ReplayFrom::After(lsn),
            None => ReplayFrom::Beginning,
        }
    }

    /// Applies a record. After an error it stops the reading; [`outcome`](Self::outcome) returns the error.
    pub(crate) fn apply<D: Disk>(
        &mut self,
        snapshots: &Snapshots<D>,
        log: &D,
        record: Record<'_>,
    ) -> ControlFlow<()> {
        match self.try_apply(snapshots, log, record) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failure = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn try_apply<D: Disk>(
        &mut self,
        snapshots: &Snapshots<D>,
        log: &D,
        record: Record<'_>,
    ) -> Result<(), Error> {
        let lsn = record.lsn;
        match LogRecord::decode(lsn, record.bytes)? {
            LogRecord::Mutation(bytes) => {
                let wrong = |why| Error::Record { lsn: lsn.get(), why };
                let state = &mut self.state;
                catch::<S, _>(lsn, || {
                    state.apply(lsn, S::decode(bytes).map_err(wrong)?);
                    Ok(())
                })?;
            }
            LogRecord::Restore { id, branch } => {
                let image = image(snapshots, log, id)?;
                let state = &mut self.state;
                catch::<S, _>(lsn, || {
                    *state = state.restore(image, branch);
                    Ok(())
                })?;
                self.timeline += 1;
                self.restores.push((id, lsn.get()));
            }
        }
        self.lsn = lsn.get();
        self.time_ms = record.time_ms;
        self.replayed += 1;
        for (_, timeline, summary) in self.summaries.iter().filter(|(at, ..)| *at == self.lsn) {
            if *timeline == self.timeline {
                self.weaker.extend(self.state.weaker_than(summary));
            }
        }
        Ok(())
    }

    /// The result of reading the log. An error of the replay goes before the log's, which says only that
    /// the reading was stopped.
    pub(crate) fn outcome<T>(&mut self, result: Result<T, icn_wal::Error>) -> Result<T, Error> {
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(result?),
        }
    }

    /// Refuses a snapshot of another store than that of the log.
    pub(crate) fn check_store(&self, store: StoreId) -> Result<(), Error> {
        match (self.store, self.snapshot) {
            (Some(of_snapshot), Some(id)) if of_snapshot != store => {
                let why = "it belongs to another store than the log".into();
                Err(Error::Unusable { file: id.file_name(), why })
            }
            _ => Ok(()),
        }
    }
}

/// Turns a panic of the state machine at a record into an error with its LSN. The caller drops the state.
fn catch<S: StateMachine, T>(
    lsn: Lsn,
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        let why = text.unwrap_or_else(|| "without a message".into());
        Err(Error::Apply { lsn: lsn.get(), machine: type_name::<S>(), why })
    })
}

/// The state that a RESTORE record names. If its snapshot is damaged, an older one and the log may still
/// rebuild that state.
fn image<S: StateMachine, D: Disk>(
    snapshots: &Snapshots<D>,
    log: &D,
    id: SnapshotId,
) -> Result<S, Error> {
    let loaded = snapshots.reader().load_strict::<S>(id).map(|loaded| loaded.state);
    match (loaded, Lsn::new(id.lsn)) {
        (Err(damaged @ (Error::Unusable { .. } | Error::Io { .. })), Some(lsn)) => {
            // Without regard to the window, because a rebuilt manifest may not know where it begins.
            Replay::to(snapshots, log, PointInTime::Lsn(lsn), 0)
                .map(|replay| replay.state)
                .map_err(|_| damaged)
        }
        (loaded, _) => loaded,
    }
}

/// Whether a snapshot covers no record after `at`.
fn can_start(at: PointInTime, entry: &ManifestEntry) -> bool {
    Lsn::new(entry.lsn).is_some_and(|lsn| at.includes(lsn, entry.time_ms))
}
