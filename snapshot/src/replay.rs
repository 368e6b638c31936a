//! The way from a snapshot to the end of the log.

use std::ops::ControlFlow;

use icn_wal::{Disk, From as Start, Lsn, Record, StoreId};

use crate::error::Error;
use crate::id::SnapshotId;
use crate::machine::StateMachine;
use crate::record::LogRecord;
use crate::shelf::Shelf;

/// A state on its way from a snapshot to the end of the log.
pub(crate) struct Replay<S> {
    pub(crate) state: S,
    pub(crate) timeline: u64,
    pub(crate) snapshot: Option<SnapshotId>,
    store: Option<StoreId>,
    failure: Option<Error>,
}

impl<S: StateMachine> Replay<S> {
    /// Starts from the newest snapshot at or before `upto` that can be used.
    pub(crate) fn start<D: Disk>(
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

    pub(crate) fn from(&self) -> Start {
        match self.snapshot.and_then(|id| Lsn::new(id.lsn)) {
            Some(lsn) => Start::After(lsn),
            None => Start::Beginning,
        }
    }

    pub(crate) fn apply<D: Disk>(
        &mut self,
        shelf: &Shelf<D>,
        record: Record<'_>,
    ) -> ControlFlow<()> {
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
    pub(crate) fn outcome<T>(&mut self, result: Result<T, icn_wal::Error>) -> Result<T, Error> {
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(result?),
        }
    }

    pub(crate) fn check_store(&self, store: StoreId) -> Result<(), Error> {
        match (self.store, self.snapshot) {
            (Some(of_snapshot), Some(id)) if of_snapshot != store => {
                let why = "it belongs to another store than the log beside it".into();
                Err(Error::Unusable { file: id.file_name(), why })
            }
            _ => Ok(()),
        }
    }
}
