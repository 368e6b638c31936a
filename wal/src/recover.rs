//! From a directory to a verdict: what is there, where it ends, and whether anything is missing.
//!
//! Everything here only reads. Whatever is wrong is told before a byte changes, and a crash in the
//! middle of a recovery leaves what the recovery found.

mod replay;
mod torn_or_corrupt;

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;

use crate::chain::{chain, continues_another, damage, holds_frames, read_header};
use crate::damage::{Damage, Reason};
use crate::disk::{DirEntry, Disk, LOCK_NAME};
use crate::error::{Error, OnFile};
use crate::lsn::Lsn;
use crate::manifest::Manifest;
use crate::plant::planted;
use crate::segment::{LogEnd, segment_name, segment_number};
use crate::segment_info::SegmentInfo;
use crate::spare::is_spare_name;

use replay::Replay;

/// One record, lent to the visitor of a replay.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its number.
    pub lsn: Lsn,
    /// When it was appended: ms since 1970, never less than that of the record before.
    pub time_ms: u64,
    /// The segment that holds it.
    pub segment: u64,
    /// Where its frame starts in the segment.
    pub frame_offset: u64,
    /// What was appended.
    pub bytes: &'a [u8],
}

/// What a recovery found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The first LSN that is still there, 0 when there is none.
    pub first_lsn: u64,
    /// The last LSN that is there, or was before everything up to it was dropped; 0 for none.
    pub last_lsn: u64,
    /// Records handed to the visitor.
    pub replayed: u64,
    /// Segments that hold frames.
    pub segments: u64,
    /// Their bytes, prepared room included.
    pub bytes: u64,
    /// Bytes of a torn tail: written, never acknowledged, cut off and kept where they are. Beside
    /// a writer also what it is just writing.
    pub torn_bytes: u64,
    /// Whether the log ends with the mark of an orderly stop.
    pub clean: bool,
    /// How many opens have written to this log; of [`Wal::open`](crate::Wal::open) as if this one did.
    pub incarnation: u64,
    /// Names in the directory that are none of the log's. They are left alone.
    pub ignored: Vec<String>,
}

/// One segment of the chain that leads from the oldest to the newest.
#[derive(Clone, Debug)]
pub(crate) struct KeptSegment {
    pub(crate) number: u64,
    /// The last LSN in or before this segment.
    pub(crate) last_lsn: u64,
    pub(crate) bytes: u64,
}

/// The verdict: everything that is needed to go on writing.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) manifest: Option<Manifest>,
    pub(crate) recovery: Recovery,
    pub(crate) kept: Vec<KeptSegment>,
    /// All segments of the chain, unused ones too.
    pub(crate) segments: Vec<SegmentInfo>,
    /// Where the log ends: the link the next segment starts with.
    pub(crate) end: LogEnd,
    pub(crate) next_lsn: u64,
    pub(crate) next_frame: u64,
    pub(crate) time_ms: u64,
    /// Whether there are records at the end that nothing proves durable, or something torn.
    pub(crate) unproven: bool,
    /// Files that carry nothing and that nothing needs.
    pub(crate) stale: Vec<String>,
}

/// Who else may be at work while we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nobody: we hold the lock.
    Exclusive,
    /// A writer may be appending: where the valid frames end now, more may stand in a moment.
    ConcurrentWriter,
}

/// Where a replay starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayFrom {
    /// At the first record ever: refused when that has been dropped.
    Beginning,
    /// Behind this record: refused when the next one has been dropped, or when the log ends before
    /// this one.
    After(Lsn),
    /// At the oldest record that is kept.
    Oldest,
}

/// What a visitor has seen, by however many attempts.
#[derive(Default)]
struct Visited {
    last: Option<Lsn>,
    count: u64,
}

/// Reads the directory and hands every record from `from` on to `visit`.
pub(crate) fn scan<D: Disk>(
    disk: &D,
    access: Access,
    mut from: ReplayFrom,
    visit: &mut dyn FnMut(Record<'_>) -> ControlFlow<()>,
) -> Result<Scan, Error> {
    let mut visited = Visited::default();
    loop {
        // Before anything is opened, and again behind the manifest: beside a writer, a manifest may
        // name a segment that an older list does not.
        refuse_not_regular(disk, &list(disk)?)?;
        let manifest = Manifest::read(disk)?;
        let outcome = attempt(disk, access, manifest, from, &mut visited, visit);
        if access == Access::ConcurrentWriter
            && !planted("change-under-a-reader-ignored")
            && changed_by_writer(&outcome, manifest, Manifest::read(disk)?)
        {
            from = visited.last.map_or(from, ReplayFrom::After);
            continue;
        }
        return outcome.map(|scan| {
            let recovery = Recovery { replayed: visited.count, ..scan.recovery };
            Scan { recovery, ..scan }
        });
    }
}

/// Whether an outcome comes from what a writer did meanwhile. A writer that drops segments, or starts
/// anew, says so in the manifest before it removes a file or uses it again.
fn changed_by_writer(
    outcome: &Result<Scan, Error>,
    before: Option<Manifest>,
    now: Option<Manifest>,
) -> bool {
    let oldest = now.map_or(0, |manifest| manifest.oldest);
    match outcome {
        // Where it ended was not the end, if the segment it ended in is another one by now.
        Ok(_) | Err(Error::Behind { .. }) => {
            before.is_some_and(|manifest| manifest.newest < oldest)
        }
        Err(error) if is_missing(error) && before != now => true,
        Err(Error::Corrupt(Damage { segment, .. })) => *segment > 0 && *segment < oldest,
        Err(_) => false,
    }
}

/// Whether something was not there that should have been.
pub(crate) fn is_missing(error: &Error) -> bool {
    match error {
        Error::Corrupt(Damage { reason, .. }) => {
            matches!(reason, Reason::SegmentMissing | Reason::ManifestDamaged)
        }
        Error::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

fn attempt<D: Disk>(
    disk: &D,
    access: Access,
    manifest: Option<Manifest>,
    from: ReplayFrom,
    visited: &mut Visited,
    visit: &mut dyn FnMut(Record<'_>) -> ControlFlow<()>,
) -> Result<Scan, Error> {
    let after = if let ReplayFrom::After(lsn) = from { lsn.get() } else { 0 };
    let entries = list(disk)?;
    let (mut stale, mut numbers, mut ignored) = (Vec::new(), Vec::new(), Vec::new());
    for DirEntry { name, not_regular } in entries {
        if let Some(number) = segment_number(&name) {
            numbers.push(number);
        } else if not_regular.is_none() && name.ends_with(".tmp") {
            stale.push(name);
        } else if ![LOCK_NAME, Manifest::NAME].contains(&name.as_str()) {
            ignored.push(name);
        }
    }
    numbers.sort_unstable();
    ignored.sort_unstable();

    let Some(manifest) = manifest else {
        for &number in &numbers {
            if holds_frames(disk, number)? || continues_another(disk, number)? {
                return Err(Manifest::damage(disk));
            }
            stale.push(segment_name(number));
        }
        if let ReplayFrom::After(known) = from {
            return Err(Error::Behind { known, last: 0 });
        }
        let recovery = Recovery { ignored, ..Recovery::default() };
        return Ok(Scan { recovery, next_lsn: 1, next_frame: 1, stale, ..Scan::default() });
    };
    // Not behind the highest name there is: a stray file may have the highest of all.
    manifest.newest.checked_add(1).ok_or_else(|| Manifest::damage(disk))?;

    let mut headers = BTreeMap::new();
    for number in numbers {
        let name = segment_name(number);
        if number < manifest.oldest {
            stale.push(name);
        } else if number > manifest.newest {
            // Its frames would have been written after the manifest named it.
            if access == Access::Exclusive && holds_frames(disk, number)? {
                return Err(damage(disk, number, 0, Reason::SegmentNewerThanManifest));
            }
            stale.push(name);
        } else if let Some(header) = read_header(disk, number, &manifest.store)? {
            headers.insert(number, header);
        }
    }
    let chain = chain(disk, &manifest, &headers)?;
    for &number in headers.keys().filter(|number| !chain.contains(number)) {
        if holds_frames(disk, number)? {
            return Err(damage(disk, number, 0, Reason::SegmentUnlinked));
        }
        stale.push(segment_name(number));
    }

    let mut replay = Replay {
        disk,
        access,
        clean: manifest.clean,
        after,
        visited,
        visit,
        scan: Scan {
            manifest: Some(manifest),
            next_lsn: 1,
            next_frame: 1,
            stale,
            ..Scan::default()
        },
    };
    replay.scan.recovery.incarnation = manifest.incarnation;
    replay.scan.recovery.ignored = ignored;
    if let Some(oldest) = chain.first().map(|number| &headers[number]) {
        replay.scan.next_lsn = oldest.first_lsn;
        replay.scan.next_frame = oldest.first_frame;
        replay.scan.end = oldest.previous;
        if from != ReplayFrom::Oldest && after < oldest.previous.lsn {
            return Err(Error::Missing { wanted: after + 1, first: oldest.first_lsn });
        }
    }
    for (index, number) in chain.iter().enumerate() {
        let successor = chain.get(index + 1).map(|next| &headers[next]);
        replay.segment(&headers[number], successor.map(|next| next.previous))?;
    }
    let mut scan = replay.scan;
    scan.next_lsn = scan.next_lsn.max(manifest.next_lsn);
    if let ReplayFrom::After(known) = from
        && after > scan.end.lsn
    {
        return Err(Error::Behind { known, last: scan.end.lsn });
    }
    Ok(scan)
}

fn list<D: Disk>(disk: &D) -> Result<Vec<DirEntry>, Error> {
    disk.list().on("list", || disk.describe(""))
}

/// What carries a name of the log's own has to be a regular file: anything else would be written
/// through, replaced or waited for.
fn refuse_not_regular<D: Disk>(disk: &D, entries: &[DirEntry]) -> Result<(), Error> {
    for DirEntry { name, not_regular } in entries {
        let fixed = [Manifest::NAME, Manifest::TEMPORARY].contains(&name.as_str());
        if let Some(what) = *not_regular
            && (fixed || is_spare_name(name) || segment_number(name).is_some())
        {
            return Err(Error::NotRegular { file: disk.describe(name), what });
        }
    }
    Ok(())
}
