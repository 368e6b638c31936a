//! Recovery: reads a directory and decides where its log ends and whether anything is missing.
//!
//! Recovery only reads. Every fault is reported before a byte changes, so a crash in the middle of
//! a recovery leaves what the recovery found.

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
use crate::slack::Slack;
use crate::spare::is_spare_name;

use replay::Replay;

/// One record, as the visitor of a replay gets it.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The number of the record.
    pub lsn: Lsn,
    /// When it was appended: ms since 1970, never less than that of the record before.
    pub time_ms: u64,
    /// The number of its segment.
    pub segment: u64,
    /// The offset of its frame in the segment.
    pub frame_offset: u64,
    /// The bytes that were appended.
    pub bytes: &'a [u8],
}

/// What a recovery found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The first LSN that is still in the log, 0 for none.
    pub first_lsn: u64,
    /// When that record was appended: ms since 1970, 0 for none.
    pub first_ms: u64,
    /// The last LSN of the log, also when its record was dropped since; 0 for none.
    pub last_lsn: u64,
    /// Records passed to the visitor.
    pub replayed: u64,
    /// Segments that hold frames.
    pub segments: u64,
    /// Size of these segments, unused bytes included.
    pub bytes: u64,
    /// Bytes of a torn tail: written, not replayed and kept where they are. Nothing shows that they were
    /// durable. For a reader without the lock, also bytes that the writer is just writing.
    pub torn_bytes: u64,
    /// Whether the log ends with the seal of an orderly stop.
    pub clean: bool,
    /// Whether a frame in another block, or an orderly stop, proves the last record. Then the damage of
    /// one block cannot have taken a durable record off the end unnoticed. Otherwise the last group may
    /// be missing, and whether it was acknowledged cannot be known.
    pub end_proven: bool,
    /// How many opens have written to this log. [`Wal::open`](crate::Wal::open) counts itself as
    /// one that will.
    pub incarnation: u64,
    /// The last LSN of a part of the log that is gone, cut short or overwritten, 0 for none. The LSN of
    /// [`ReplayFrom::After`] covers that part, so no record to replay is missing. It is found in a copy
    /// that was made while the log was in use.
    pub missing_through: u64,
    /// Names in the directory that do not belong to the log. They are left alone.
    pub ignored: Vec<String>,
}

/// One segment of the chain from the oldest to the newest.
#[derive(Clone, Debug)]
pub(crate) struct KeptSegment {
    pub(crate) number: u64,
    /// The last LSN in or before this segment.
    pub(crate) last_lsn: u64,
    pub(crate) bytes: u64,
}

/// What one segment of an undamaged log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The number of the segment, from 1.
    pub number: u64,
    /// The number of the open that wrote it, from 1.
    pub incarnation: u64,
    /// The LSN of its first record, 0 for none.
    pub first_lsn: u64,
    /// The LSN of its last record, 0 for none.
    pub last_lsn: u64,
    /// The number of its records.
    pub records: u64,
    /// The bytes of its records, without headers.
    pub record_bytes: u64,
    /// When its first record was appended: ms since 1970, 0 for none.
    pub first_ms: u64,
    /// When its last record was appended: ms since 1970, 0 for none.
    pub last_ms: u64,
    /// The size of its file in bytes.
    pub bytes: u64,
    /// The offset at which its valid frames end.
    pub used_bytes: u64,
    /// Bytes of a torn tail, as in [`Recovery`](crate::Recovery); only in the newest segment.
    pub torn_bytes: u64,
    /// Whether it ends with the seal of an orderly stop.
    pub sealed: bool,
}

/// The verdict: everything the writer needs to continue the log.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) manifest: Option<Manifest>,
    pub(crate) recovery: Recovery,
    pub(crate) kept: Vec<KeptSegment>,
    /// All segments of the chain, unused ones too.
    pub(crate) segments: Vec<SegmentInfo>,
    /// Where the log ends, as the header of the next segment will state it.
    pub(crate) end: LogEnd,
    pub(crate) next_lsn: u64,
    pub(crate) next_frame: u64,
    pub(crate) time_ms: u64,
    /// Whether the log ends with a torn tail, or with records that no frame proves durable.
    pub(crate) unproven: bool,
    /// Unused ends of segments, for an open with the lock.
    pub(crate) slack: Vec<Slack>,
    /// Files that hold no record and that no segment needs.
    pub(crate) stale: Vec<String>,
}

/// Whether a writer may change the directory while it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// The caller holds the lock: no writer runs.
    Exclusive,
    /// A writer may run: more frames may follow after the last valid one at any moment.
    ConcurrentWriter,
}

/// Where a replay starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayFrom {
    /// At the first record ever: refused when that has been dropped.
    Beginning,
    /// After this record: refused when the next one has been dropped, or when the log ends before
    /// this one. [`Wal::open`](crate::Wal::open) accepts that segments before it are missing, and
    /// [reports](Recovery::missing_through) that.
    After(Lsn),
    /// At the oldest record of the log.
    Oldest,
}

/// The records that the visitor has got, over all attempts.
#[derive(Default)]
struct Visited {
    last: Option<Lsn>,
    count: u64,
}

/// Reads the directory and passes every record from `from` on to `visit`.
pub(crate) fn scan<D: Disk>(
    disk: &D,
    access: Access,
    mut from: ReplayFrom,
    visit: &mut dyn FnMut(Record<'_>) -> ControlFlow<()>,
) -> Result<Scan, Error> {
    let mut visited = Visited::default();
    loop {
        // Before anything is opened. `attempt` lists once more, after the manifest is read: with a
        // concurrent writer, a manifest may name a segment that an older list does not show.
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

/// Whether a concurrent writer caused an outcome. A writer that drops segments, or starts again,
/// writes the manifest before it removes or reuses a file.
fn changed_by_writer(
    outcome: &Result<Scan, Error>,
    before: Option<Manifest>,
    now: Option<Manifest>,
) -> bool {
    let oldest = now.map_or(0, |manifest| manifest.oldest);
    match outcome {
        // The end found is not that of the log, if the newest segment was dropped since.
        Ok(_) | Err(Error::Behind { .. }) => {
            before.is_some_and(|manifest| manifest.newest < oldest)
        }
        Err(error) if is_outdated(error) && before != now => true,
        Err(Error::Corrupt(Damage { segment, .. })) => *segment > 0 && *segment < oldest,
        Err(_) => false,
    }
}

/// Whether the directory differs from the manifest that was read, as it does when a writer has begun or
/// removed a segment since.
pub(crate) fn is_outdated(error: &Error) -> bool {
    match error {
        Error::Corrupt(Damage { reason, .. }) => matches!(
            reason,
            Reason::SegmentMissing
                | Reason::ManifestDamaged
                | Reason::SegmentNewerThanManifest
                | Reason::SegmentResized
        ),
        Error::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

/// Whether a copy may have been made of a segment while it was removed, or reused for another one.
fn is_cut_or_overwritten(error: &Error) -> bool {
    matches!(error, Error::Corrupt(damage) if damage.reason == Reason::SegmentHeaderDamaged)
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
    let mut stale = Vec::new();
    let mut numbers = Vec::new();
    let mut ignored = Vec::new();
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
        let recovery = Recovery { ignored, end_proven: true, ..Recovery::default() };
        return Ok(Scan { recovery, next_lsn: 1, next_frame: 1, stale, ..Scan::default() });
    };
    // The next number follows from the manifest, not from the names: a stray file may have any name.
    manifest.newest.checked_add(1).ok_or_else(|| Manifest::damage(disk))?;

    // A reader beside a writer takes no file for missing that the writer has just dropped.
    let covered = if access == Access::Exclusive { after } else { 0 };
    let mut headers = BTreeMap::new();
    let mut unusable = BTreeMap::new();
    for number in numbers {
        let name = segment_name(number);
        if number < manifest.oldest {
            stale.push(name);
        } else if number > manifest.newest {
            // The manifest names a segment before the segment gets a frame.
            if holds_frames(disk, number)? {
                return Err(damage(disk, number, 0, Reason::SegmentNewerThanManifest));
            }
            stale.push(name);
        } else {
            match read_header(disk, number, &manifest.store) {
                Err(error) if covered > 0 && is_cut_or_overwritten(&error) => {
                    unusable.insert(number, error);
                }
                header => headers.extend(header?.map(|header| (number, header))),
            }
        }
    }
    let chain = match chain(disk, &manifest, &headers, covered) {
        Err(Error::Corrupt(damage)) => {
            let found = unusable.remove(&damage.segment);
            return Err(found.unwrap_or(Error::Corrupt(damage)));
        }
        chain => chain?,
    };
    let first = chain.first().copied().unwrap_or(0);
    if let Some((_, error)) = unusable.into_iter().find(|(number, _)| *number >= first) {
        return Err(error);
    }
    // Segments before the first one are covered, and stay until the manifest no longer names them.
    for &number in headers.keys().filter(|number| **number >= first && !chain.contains(number)) {
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
    replay.scan.recovery.end_proven = chain.is_empty();
    if let Some(oldest) = chain.first().map(|number| &headers[number]) {
        replay.begin_at(oldest);
        if first > manifest.oldest {
            replay.scan.recovery.missing_through = oldest.previous.lsn;
        }
        if from != ReplayFrom::Oldest && after < oldest.previous.lsn {
            return Err(Error::Missing { wanted: after + 1, first: oldest.first_lsn });
        }
    }
    for (index, number) in chain.iter().enumerate() {
        let successor = chain.get(index + 1).map(|next| &headers[next]);
        let read = replay.segment(&headers[number], successor.map(|next| next.previous));
        match (read, successor) {
            (Err(Error::Corrupt(damage)), Some(next))
                if covered > 0
                    && next.previous.lsn <= covered
                    && replay.is_cut_short(&headers[number], &damage)? =>
            {
                replay.begin_at(next);
                replay.scan.recovery.missing_through = next.previous.lsn;
            }
            (read, _) => read?,
        }
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

/// A name of the log must belong to a regular file. Anything else would be written through,
/// replaced or waited for.
fn refuse_not_regular<D: Disk>(disk: &D, entries: &[DirEntry]) -> Result<(), Error> {
    for DirEntry { name, not_regular } in entries {
        let fixed = [Manifest::NAME, Manifest::TEMPORARY].contains(&name.as_str());
        if let Some(kind) = *not_regular
            && (fixed || is_spare_name(name) || segment_number(name).is_some())
        {
            return Err(Error::NotRegular { file: disk.describe(name), kind });
        }
    }
    Ok(())
}
