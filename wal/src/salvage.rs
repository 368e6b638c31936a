//! What can still be read of a damaged log, as a new log.
//!
//! A state machine must never be replayed over a hole: it would end in a state that never was. A
//! *run* is records without a hole between them, and a salvaged log holds one run. It carries on the
//! numbers, the times and the identity of the old one, so that a snapshot fits it or is refused:
//! [`Wal::open`](crate::Wal::open) refuses a snapshot from before the run
//! ([`Error::Missing`]) and one from behind it ([`Error::Behind`]).

mod lossy_reader;
mod rebuild;
mod run_scan;
mod segment_set;

use std::ops::RangeInclusive;

use self::rebuild::rebuild;
use self::run_scan::RunScan;
use self::segment_set::SegmentSet;
use crate::damage::Damage;
use crate::disk::Disk;
use crate::error::Error;
use crate::frame::Salt;
use crate::recover::ReplayFrom;

/// Records without a hole between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// A state that has everything up to this LSN, 0 for an empty one, is continued by the run.
    pub after: u64,
    /// The first record, 0 for none. Numbers between `after` and it were never given out.
    pub first_lsn: u64,
    /// The last record, 0 for none.
    pub last_lsn: u64,
    /// How many records there are.
    pub records: u64,
    /// When the first one was appended: ms since 1970.
    pub first_ms: u64,
    /// When the last one was.
    pub last_ms: u64,
    ranges: Vec<FrameRange>,
}

impl Run {
    /// The last LSN that a state has which has seen the run.
    fn end(&self) -> u64 {
        self.last_lsn.max(self.after)
    }
}

/// A stretch of valid frames in one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct FrameRange {
    name: String,
    salt: Salt,
    start: u64,
    end: u64,
    first_lsn: u64,
    last_lsn: u64,
    time_ms: u64,
}

/// Bytes that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Where they are, and the row of the recovery table in `docs/FORMAT.md`.
    pub damage: Damage,
    /// How many; 0 for a file that is not there.
    pub bytes: u64,
}

/// What a salvage found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvage {
    /// All that can be read, in order.
    pub runs: Vec<Run>,
    /// What the new log holds. `None` when nothing can be read; nothing was written then.
    pub kept: Option<Run>,
    /// The LSNs that cannot be read. Some may never have been given out, and those before the first
    /// run may have been dropped. `u64::MAX` as an end says that nobody knows how many there were.
    pub missing: Vec<RangeInclusive<u64>>,
    /// Why.
    pub skipped: Vec<Skipped>,
    /// Bytes behind the end of the log that nothing proves to have been durable, left out as
    /// recovery leaves them out.
    pub torn_bytes: u64,
    /// The first LSN that the new log will give out: above every one that the old log may have.
    pub next_lsn: u64,
}

impl Salvage {
    /// Whether for certain every record of the old log is kept.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let kept = self.kept.as_ref().map_or(0, |run| run.records);
        self.kept.is_some()
            && self.missing.is_empty()
            && self.runs.len() <= 1
            && self.runs.iter().all(|run| run.records == kept)
    }
}

/// Reads what can be read of the log in `source` and writes one run of it into `target` as a new
/// log; without a `target` it only says what it would do. `source` is never changed, and nobody may
/// be writing to it.
///
/// [`ReplayFrom::Oldest`] keeps the first run: everything up to the first hole. [`ReplayFrom::After`] keeps the
/// run that continues a state which has everything up to that LSN; when there is none, the new log
/// is empty and goes on behind it, for a snapshot of exactly that LSN. [`ReplayFrom::Beginning`] keeps the
/// run that continues an empty state.
///
/// `target` must be empty. Its manifest is written last: until then no [`Wal::open`](crate::Wal)
/// takes it for a log, and another salvage into it starts over.
///
/// # Errors
/// [`Error::Missing`] when no record continues an empty state; [`Error::Format`] for files of a
/// newer version; [`Error::Locked`]; [`Error::Io`], of kind
/// [`AlreadyExists`](std::io::ErrorKind::AlreadyExists) when `target` holds anything.
pub fn salvage<D: Disk>(
    source: &D,
    target: Option<&D>,
    from: ReplayFrom,
) -> Result<Salvage, Error> {
    let mut set = SegmentSet::read(source)?;
    let scan = RunScan::of(source, &mut set)?;
    let kept = choose(&set, &scan, from)?;
    let next_lsn = kept.as_ref().map_or(0, |run| run.end() + 1).max(scan.next_lsn);
    let salvage = Salvage {
        runs: scan.runs,
        kept,
        missing: scan.missing,
        skipped: scan.skipped,
        torn_bytes: scan.torn_bytes,
        next_lsn,
    };
    if let (Some(target), Some(run), Some(store)) = (target, &salvage.kept, set.store) {
        rebuild(source, target, &set, run, store, next_lsn)?;
    }
    Ok(salvage)
}

fn choose(set: &SegmentSet, scan: &RunScan, from: ReplayFrom) -> Result<Option<Run>, Error> {
    let empty = |after| Run { after, ..Run::default() };
    let known = |run: Run| set.store.map(|_| run);
    let continues = |after| scan.runs.iter().find(|run| (run.after..=run.end()).contains(&after));
    let after = match from {
        ReplayFrom::After(lsn) => lsn.get(),
        ReplayFrom::Beginning => 0,
        ReplayFrom::Oldest => {
            // A log whose records have all been dropped is whole, too, and one that never had any.
            let none_yet = set.manifest.is_some_and(|manifest| manifest.newest == 0);
            let whole = scan.missing.is_empty() && (none_yet || !set.segments.is_empty());
            let first = scan.runs.first().cloned();
            return Ok(first.or_else(|| whole.then(|| empty(scan.begin)).and_then(known)));
        }
    };
    match (continues(after), scan.runs.first()) {
        (Some(run), _) => Ok(Some(run.clone())),
        (None, Some(first)) if after == 0 => {
            Err(Error::Missing { wanted: 1, first: first.first_lsn })
        }
        (None, None) if after == 0 && scan.begin > 0 => {
            Err(Error::Missing { wanted: 1, first: scan.begin + 1 })
        }
        _ => Ok(known(empty(after))),
    }
}
