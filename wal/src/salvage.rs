//! Salvage: copies what can still be read of a damaged log into a new log.
//!
//! Replaying over a hole would give a state machine a state that never existed. A *run* is records
//! without a hole between them, and a salvaged log holds exactly one run. It keeps the LSNs, the
//! times and the store id of the old log. So a snapshot fits it, or [`Wal::open`](crate::Wal::open)
//! refuses the snapshot: one from before the run with [`Error::Missing`], one from after it with
//! [`Error::Behind`].

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
    /// The run continues a state that has every record up to this LSN; 0 for an empty state.
    pub after: u64,
    /// The LSN of the first record, 0 for none. LSNs between `after` and it were never given out.
    pub first_lsn: u64,
    /// The LSN of the last record, 0 for none.
    pub last_lsn: u64,
    /// The number of records.
    pub records: u64,
    /// When the first record was appended: ms since 1970.
    pub first_ms: u64,
    /// When the last record was appended: ms since 1970.
    pub last_ms: u64,
    ranges: Vec<FrameRange>,
}

impl Run {
    /// The last LSN of a state that has applied the run.
    fn end(&self) -> u64 {
        self.last_lsn.max(self.after)
    }
}

/// Consecutive valid frames in one file.
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
    /// Where they are, and why: a row of the recovery table in `docs/FORMAT.md`.
    pub damage: Damage,
    /// The number of bytes; 0 for a missing file.
    pub bytes: u64,
}

/// The result of a salvage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvage {
    /// All runs that can be read, in order.
    pub runs: Vec<Run>,
    /// The run in the new log. `None` when nothing can be read; then nothing was written.
    pub kept: Option<Run>,
    /// The LSNs that cannot be read. Some may never have been given out, and those before the first
    /// run may have been dropped. An end of `u64::MAX` means that their number is unknown.
    pub missing: Vec<RangeInclusive<u64>>,
    /// Why LSNs are missing: the bytes that could not be used.
    pub skipped: Vec<Skipped>,
    /// Bytes of a torn tail, left out as recovery leaves them out.
    pub torn_bytes: u64,
    /// The first LSN that the new log gives out: above every one that the old log may have given
    /// out.
    pub next_lsn: u64,
}

impl Salvage {
    /// Whether it is certain that every record of the old log is kept.
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
/// log. Without a `target` it only reports what it would do. `source` is never changed; no process
/// may be writing to it.
///
/// [`ReplayFrom::Oldest`] keeps the first run: everything up to the first hole.
/// [`ReplayFrom::After`] keeps the run that continues a state with every record up to that LSN. If
/// there is none, the new log is empty and continues after that LSN, for a snapshot of exactly that
/// LSN. [`ReplayFrom::Beginning`] keeps the run that continues an empty state.
///
/// `target` must be empty. Its manifest is written last: until then no [`Wal::open`](crate::Wal)
/// takes it for a log, and another salvage into it starts over.
///
/// # Errors
/// [`Error::Missing`] when no record continues an empty state; [`Error::Format`] for files of a
/// newer version; [`Error::Locked`]; [`Error::Io`], of kind
/// [`AlreadyExists`](std::io::ErrorKind::AlreadyExists) when `target` is not empty.
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
            // A log without records is whole, whether they were dropped or never existed.
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
