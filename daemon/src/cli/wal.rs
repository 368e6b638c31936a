//! `icnctl wal`: the log, read from its files.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;

use icn_gossip::Mutation;
use icn_snapshot::LogRecord;
use icn_wal::disk::{DirEntry, Disk};
use icn_wal::segment_info::{SegmentInfo, segments};
use icn_wal::{Error, FsDisk, Lsn, Record, Recovery, ReplayFrom, read};

use super::documents::log::{self, RecordLine, SegmentState, Segments, Verified};
use super::table::Table;
use crate::control::codes;
use crate::data::{access, datadir};
use crate::exit;
use crate::failure::{Failure, Place};
use crate::stdout::{Kind, unwritable};
use crate::text::log_end::left_out;
use crate::text::moment;

/// The types of records, as they are shown; `?` is a record that this build cannot decode.
pub(super) const TYPES: [&str; 19] = [
    "clock",
    "init",
    "topic",
    "topic-gone",
    "subscribe",
    "unsubscribe",
    "entry",
    "readmit",
    "freeze",
    "epoch",
    "address",
    "prune",
    "peer",
    "peer-gone",
    "peer-unsigned",
    "cursor",
    "cursor-gone",
    "restore",
    "?",
];

/// The filter of a dump.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub(super) from: Option<u64>,
    pub(super) to: Option<u64>,
    pub(super) limit: Option<u64>,
    pub(super) since: Option<u64>,
    pub(super) until: Option<u64>,
    /// The record types to show; empty for all.
    pub(super) types: Vec<String>,
}

/// Lists the segments and what each holds.
pub(super) fn list(log: &FsDisk) -> Result<Segments, Failure> {
    let found = segments(log)?;
    let newest = found.last().map_or(0, |segment| segment.number);
    Ok(Segments {
        bytes: found.iter().map(|segment| segment.bytes).sum(),
        last_lsn: found.iter().map(|segment| segment.last_lsn).max(),
        segments: found.iter().map(|segment| listed(segment, newest)).collect(),
    })
}

fn listed(segment: &SegmentInfo, newest: u64) -> log::Segment {
    log::Segment {
        segment: segment.number,
        state: match segment {
            SegmentInfo { sealed: true, .. } => SegmentState::Sealed,
            segment if segment.number == newest => SegmentState::Active,
            _ => SegmentState::Closed,
        },
        incarnation: segment.incarnation,
        first_lsn: segment.first_lsn,
        last_lsn: segment.last_lsn,
        records: segment.records,
        record_bytes: segment.record_bytes,
        first_time: segment.first_ms,
        last_time: segment.last_ms,
        bytes: segment.bytes,
        used_bytes: segment.used_bytes,
        torn_bytes: segment.torn_bytes,
    }
}

/// Reads and decodes every record of the log.
pub(super) fn verify(log: &FsDisk) -> Result<Verified, Failure> {
    let mut records = 0_u64;
    let found = scan(log, ReplayFrom::Oldest, |record| {
        records += 1;
        makes_sense(record).map_err(|error| {
            let place = Place {
                file: log.describe(&format!("{:020}.wal", record.segment)),
                segment: record.segment,
                offset: record.frame_offset,
                reason: error.to_string(),
            };
            Failure { place: Some(Box::new(place)), ..error.into() }
        })
    })?;
    Ok(Verified {
        records,
        first_lsn: found.first_lsn,
        last_lsn: found.last_lsn,
        segments: found.segments,
        bytes: found.bytes,
        torn_bytes: found.torn_bytes,
        end_proven: found.end_proven,
    })
}

fn makes_sense(record: Record<'_>) -> Result<(), icn_snapshot::Error> {
    match LogRecord::decode(record.lsn, record.bytes)? {
        LogRecord::Restore { .. } => Ok(()),
        LogRecord::Mutation(bytes) => Mutation::decode(bytes).map(drop).map_err(|error| {
            icn_snapshot::Error::Record { lsn: record.lsn.get(), why: error.to_string() }
        }),
    }
}

/// Writes one line for every record that passes `filter`.
pub(super) fn dump(
    log: &FsDisk,
    filter: Filter,
    as_json: bool,
    out: impl Write,
) -> Result<(), Failure> {
    let from = filter.start();
    let mut lines = Lines::new(filter, as_json, out);
    lines.head()?;
    let mut done = false;
    let scanned = scan(log, from, |record| {
        done = lines.record(record)?.is_break();
        if done { Err(Failure::silent(exit::OK)) } else { Ok(()) }
    });
    match scanned {
        Err(_) if done => {}
        other => lines.tail(&other?)?,
    }
    lines.flush()
}

impl Filter {
    /// Where the dump starts.
    pub(super) fn start(&self) -> ReplayFrom {
        match self.from.and_then(|from| Lsn::new(from.saturating_sub(1))) {
            Some(before) => ReplayFrom::After(before),
            None => ReplayFrom::Oldest,
        }
    }
}

/// The widths of the columns; rows are printed as they are read, so they cannot be measured.
const COLUMNS: [usize; 6] = [8, 20, 11, 6, 12, 0];

/// Writes records as lines.
pub(super) struct Lines<W> {
    filter: Filter,
    left: u64,
    as_json: bool,
    out: W,
}

impl<W: Write> Lines<W> {
    pub(super) fn new(filter: Filter, as_json: bool, out: W) -> Self {
        Self { left: filter.limit.unwrap_or(u64::MAX), filter, as_json, out }
    }

    pub(super) fn head(&mut self) -> Result<(), Failure> {
        if self.as_json {
            return Ok(());
        }
        self.write(&Table::line(&COLUMNS, &["LSN", "TIME", "TYPE", "BYTES", "WHERE", "DETAIL"]))
    }

    /// Shows the record if it passes the filter; breaks when no later record can.
    pub(super) fn record(&mut self, record: Record<'_>) -> Result<ControlFlow<()>, Failure> {
        let filter = &self.filter;
        // LSNs and times only grow.
        let lsn = record.lsn.get();
        let after = filter.to.is_some_and(|to| lsn > to)
            || filter.until.is_some_and(|until| record.time_ms > until);
        if after || self.left == 0 {
            return Ok(ControlFlow::Break(()));
        }
        let last = filter.to == Some(lsn);
        let (kind, detail) = describe(record);
        debug_assert!(TYPES.contains(&kind));
        let wanted = (filter.types.is_empty() || filter.types.iter().any(|wanted| wanted == kind))
            && filter.since.is_none_or(|since| record.time_ms >= since);
        if wanted {
            self.left -= 1;
            self.show(record, kind, &detail)?;
        }
        let done = last || self.left == 0;
        Ok(if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn show(&mut self, record: Record<'_>, kind: &str, detail: &str) -> Result<(), Failure> {
        let line = if self.as_json {
            let line = RecordLine {
                lsn: record.lsn.get(),
                time: record.time_ms,
                kind,
                bytes: record.bytes.len(),
                segment: record.segment,
                offset: record.frame_offset,
                detail,
            };
            // Numbers and texts always have a form.
            serde_json::to_string(&line).unwrap_or_default()
        } else {
            let lsn = record.lsn.to_string();
            let bytes = record.bytes.len().to_string();
            let place = format!("{}:{}", record.segment, record.frame_offset);
            Table::line(&COLUMNS, &[&lsn, &moment(record.time_ms), kind, &bytes, &place, detail])
        };
        self.write(&line)
    }

    fn tail(&mut self, found: &Recovery) -> Result<(), Failure> {
        if self.as_json {
            return Ok(());
        }
        let torn = match found.torn_bytes {
            0 => String::new(),
            torn => format!("; {}", left_out(torn)),
        };
        self.write(&format!("The log ends with #{}{torn}.", found.last_lsn))
    }

    fn write(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.out, "{line}").map_err(|error| unwritable(Kind::Query, &error))
    }

    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| unwritable(Kind::Query, &error))
    }
}

fn describe(record: Record<'_>) -> (&'static str, String) {
    let bytes = match LogRecord::decode(record.lsn, record.bytes) {
        Ok(LogRecord::Mutation(bytes)) => bytes,
        Ok(LogRecord::Restore { id, .. }) => return ("restore", format!("to snapshot {id}")),
        Err(error) => return ("?", error.to_string()),
    };
    match Mutation::decode(bytes) {
        Err(error) => ("?", error.to_string()),
        Ok(Mutation::Init { did, .. }) => ("init", did.to_string()),
        Ok(Mutation::CreateTopic(genesis)) => {
            ("topic", format!("{} {}", genesis.spec.name, genesis.id()))
        }
        Ok(Mutation::DeleteTopic(id)) => ("topic-gone", id.to_string()),
        Ok(Mutation::Subscribe { topic, .. }) => ("subscribe", topic),
        Ok(Mutation::Unsubscribe { topic, .. }) => ("unsubscribe", topic),
        Ok(Mutation::Append { entry, .. } | Mutation::AppendAfterGap { entry, .. }) => {
            let header = entry.header();
            let author = header.author.to_string();
            let detail = format!("{author}#{} in {}", header.seq, header.topic);
            ("entry", detail)
        }
        Ok(Mutation::Readmit { entry, .. }) => {
            let header = entry.header();
            ("readmit", format!("{}#{} in {}", header.author, header.seq, header.topic))
        }
        Ok(Mutation::PublishAgain { entry, seq, .. }) => {
            let header = entry.header();
            let detail =
                format!("{}#{} in {}, was #{seq}", header.author, header.seq, header.topic);
            ("again", detail)
        }
        Ok(Mutation::Prune { topic, through }) => ("prune", format!("{topic} to {through}")),
        Ok(Mutation::AddPeer { card, .. }) => ("peer", card.did.to_string()),
        Ok(Mutation::RemovePeer(did)) => ("peer-gone", did.to_string()),
        Ok(Mutation::AddUnsignedKey { did, .. }) => ("peer-unsigned", did.to_string()),
        Ok(Mutation::Freeze(entries) | Mutation::Fork(entries)) => {
            let header = entries.0.header();
            ("freeze", format!("{}#{} in {}", header.author, header.seq, header.topic))
        }
        Ok(Mutation::BeginEpoch(epoch)) => ("epoch", epoch.to_string()),
        Ok(Mutation::SetAddress { did, address }) => ("address", format!("{did} {address}")),
        Ok(Mutation::MoveCursor { topic, name, arrival }) => {
            ("cursor", format!("{name} in {topic} at {arrival}"))
        }
        Ok(Mutation::StampClock(stamp)) => {
            ("clock", format!("{} at {}", stamp.node_ms, stamp.wall_ms))
        }
        Ok(Mutation::DeleteCursor { topic, name }) => ("cursor-gone", format!("{name} in {topic}")),
    }
}

/// Opens the log in `log`, or else that of the node in `directory`, read-only.
pub(super) fn open(directory: &Path, log: Option<&Path>) -> Result<FsDisk, Failure> {
    let unreadable = |path: &Path, source: io::Error| {
        if source.kind() == io::ErrorKind::PermissionDenied {
            return access::denied(path, directory);
        }
        Failure::from(Error::Io { action: "open", file: path.display().to_string(), source })
    };
    let Some(path) = log else {
        let disk = datadir::read_only(directory)?;
        return disk.subdir("wal").map_err(|error| unreadable(&directory.join("wal"), error));
    };
    let disk = FsDisk::read_only(path).map_err(|error| unreadable(path, error))?;
    let entries = disk.list().map_err(|error| unreadable(path, error))?;
    if entries.iter().any(|DirEntry { name, .. }| name == "MANIFEST" || name.ends_with(".wal")) {
        return Ok(disk);
    }
    Err(Failure::new(codes::NO_LOG, format!("There is no log in {}.", path.display())))
}

/// Reads the log; `visit` may stop the read with a failure of its own.
fn scan(
    log: &FsDisk,
    from: ReplayFrom,
    mut visit: impl FnMut(Record<'_>) -> Result<(), Failure>,
) -> Result<Recovery, Failure> {
    let mut stopped = None;
    let outcome = read(log, from, |record| match visit(record) {
        Ok(()) => ControlFlow::Continue(()),
        Err(failure) => {
            stopped = Some(failure);
            ControlFlow::Break(())
        }
    });
    match stopped {
        Some(failure) => Err(failure),
        None => outcome.map_err(reader_failure),
    }
}

/// The failure for an error of a reader, to whom dropped records are no damage.
pub(super) fn reader_failure(error: Error) -> Failure {
    match error {
        Error::Missing { wanted, first } => Failure::new(
            codes::RECORDS_DROPPED,
            format!(
                "Record #{wanted} has been dropped for a snapshot; the log starts at #{first}."
            ),
        ),
        other => other.into(),
    }
}
