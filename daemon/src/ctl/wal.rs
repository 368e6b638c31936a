//! `icnctl wal`: the log, read from its files.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;

use icn_gossip::Mutation;
use icn_snapshot::LogRecord;
use icn_wal::{Disk, Error, From, FsDisk, Lsn, Record, Recovery, read};
use serde_json::{Value, json};

use super::render::Table;
use super::unwritable;
use crate::failure::{Failure, exit};
use crate::report::moment;

/// Which records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) from: Option<u64>,
    pub(super) to: Option<u64>,
    pub(super) limit: Option<u64>,
}

#[derive(Default)]
struct Segment {
    first: u64,
    last: u64,
    records: u64,
    bytes: u64,
}

/// The segments that hold records.
pub(super) fn list(disk: &FsDisk) -> Result<Value, Failure> {
    let mut segments = BTreeMap::<u64, Segment>::new();
    let found = scan(disk, From::Oldest, |record| {
        let segment = segments.entry(record.segment).or_default();
        if segment.records == 0 {
            segment.first = record.lsn.get();
        }
        segment.last = record.lsn.get();
        segment.records += 1;
        segment.bytes += record.bytes.len() as u64;
        Ok(())
    })?;
    let segments: Vec<_> = segments
        .iter()
        .map(|(number, segment)| {
            json!({
                "segment": number,
                "first_lsn": segment.first,
                "last_lsn": segment.last,
                "records": segment.records,
                "record_bytes": segment.bytes,
            })
        })
        .collect();
    Ok(json!({ "segments": segments, "bytes": found.bytes, "last_lsn": found.last_lsn }))
}

/// Reads everything there is.
pub(super) fn verify(disk: &FsDisk) -> Result<Value, Failure> {
    let mut records = 0_u64;
    let found = scan(disk, From::Oldest, |record| {
        records += 1;
        match LogRecord::decode(record.lsn, record.bytes)? {
            LogRecord::Mutation(bytes) => Mutation::decode(bytes).map(drop).map_err(|error| {
                icn_snapshot::Error::Record { lsn: record.lsn.get(), why: error.to_string() }
            })?,
            LogRecord::Restore { .. } => {}
        }
        Ok(())
    })?;
    Ok(json!({
        "records": records,
        "first_lsn": found.first_lsn,
        "last_lsn": found.last_lsn,
        "segments": found.segments,
        "bytes": found.bytes,
        "torn_bytes": found.torn_bytes,
    }))
}

/// Writes one line for every record in `range`.
pub(super) fn dump(
    disk: &FsDisk,
    range: Range,
    as_json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let from = match range.from.and_then(|from| Lsn::new(from.saturating_sub(1))) {
        Some(before) => From::After(before),
        None => From::Oldest,
    };
    let mut left = range.limit.unwrap_or(u64::MAX);
    let mut done = false;
    if !as_json {
        let line = Table::line(&COLUMNS, &["LSN", "TIME", "TYPE", "BYTES", "WHERE", "DETAIL"]);
        writeln!(out, "{line}").map_err(|error| unwritable(&error))?;
    }
    let scanned = scan(disk, from, |record| {
        if left == 0 || range.to.is_some_and(|to| record.lsn.get() > to) {
            done = true;
            return Err(Failure::new("", exit::OK, "", ""));
        }
        left -= 1;
        let (kind, detail) = describe(record)?;
        let place = format!("{}:{}", record.segment, record.frame_offset);
        let line = if as_json {
            json!({
                "lsn": record.lsn.get(),
                "time": record.time_ms,
                "type": kind,
                "bytes": record.bytes.len(),
                "segment": record.segment,
                "offset": record.frame_offset,
                "detail": detail,
            })
            .to_string()
        } else {
            let lsn = record.lsn.to_string();
            let bytes = record.bytes.len().to_string();
            Table::line(&COLUMNS, &[&lsn, &moment(record.time_ms), kind, &bytes, &place, &detail])
        };
        writeln!(out, "{line}").map_err(|error| unwritable(&error))
    });
    let found = match scanned {
        Err(_) if done => return Ok(()),
        other => other?,
    };
    if !as_json && range.to.is_none() {
        let torn = match found.torn_bytes {
            0 => String::new(),
            torn => format!("; {torn} bytes behind it were never acknowledged"),
        };
        writeln!(out, "The log ends with #{}{torn}.", found.last_lsn)
            .map_err(|error| unwritable(&error))?;
    }
    Ok(())
}

/// The widths of the columns: the rows come too late to measure them all.
const COLUMNS: [usize; 6] = [8, 20, 11, 6, 12, 0];

fn describe(record: Record<'_>) -> Result<(&'static str, String), Failure> {
    let bytes = match LogRecord::decode(record.lsn, record.bytes)? {
        LogRecord::Mutation(bytes) => bytes,
        LogRecord::Restore { id, .. } => return Ok(("restore", format!("to snapshot {id}"))),
    };
    Ok(match Mutation::decode(bytes) {
        Err(error) => ("?", error.to_string()),
        Ok(Mutation::Init { did, .. }) => ("init", did.to_string()),
        Ok(Mutation::CreateTopic(genesis)) => {
            ("topic", format!("{} {}", genesis.spec.name, genesis.id()))
        }
        Ok(Mutation::DeleteTopic(id)) => ("topic-gone", id.to_string()),
        Ok(Mutation::Subscribe { topic, .. }) => ("subscribe", topic),
        Ok(Mutation::Unsubscribe { topic, .. }) => ("unsubscribe", topic),
        Ok(Mutation::Append { entry, .. }) => {
            let header = entry.header();
            let author = header.author.to_string();
            let detail = format!("{author}#{} in {}", header.seq, header.topic);
            ("entry", detail)
        }
        Ok(Mutation::Prune { topic, through }) => ("prune", format!("{topic} to {through}")),
        Ok(Mutation::AddPeer { card, .. }) => ("peer", card.did.to_string()),
        Ok(Mutation::RemovePeer(did)) => ("peer-gone", did.to_string()),
    })
}

/// Reads the log; `visit` may stop it with a failure of its own.
fn scan(
    disk: &FsDisk,
    from: From,
    mut visit: impl FnMut(Record<'_>) -> Result<(), Failure>,
) -> Result<Recovery, Failure> {
    let log = disk.subdir("wal").map_err(|error| {
        Failure::from(Error::Io { action: "open", file: disk.describe("wal"), source: error })
    })?;
    let mut stopped = None;
    let outcome = read(&log, from, |record| match visit(record) {
        Ok(()) => ControlFlow::Continue(()),
        Err(failure) => {
            stopped = Some(failure);
            ControlFlow::Break(())
        }
    });
    match stopped {
        Some(failure) => Err(failure),
        None => Ok(outcome?),
    }
}
