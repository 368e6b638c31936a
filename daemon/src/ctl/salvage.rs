//! `icnctl wal salvage`: what can still be read of a damaged log.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::Path;

use icn_wal::{From, FsDisk, Lsn, Run, Salvage, salvage};
use serde_json::{Value, json};

use super::wal::log;
use crate::datadir;
use crate::failure::{Failure, exit};
use crate::report::moment;

/// Salvages the log of the node in `directory` into `to`; without it, only says what can be read.
pub(super) fn run(
    directory: &Path,
    to: Option<&Path>,
    from: Option<u64>,
) -> Result<Value, Failure> {
    let disk = datadir::read_only(directory)?;
    let _nobody_else = alone(directory)?;
    let source = log(&disk)?;
    let target = to.map(|to| target(directory, to)).transpose()?;
    let from = match from {
        None => From::Oldest,
        Some(lsn) => Lsn::new(lsn.saturating_sub(1)).map_or(From::Beginning, From::After),
    };
    let found = salvage(&source, target.as_ref(), from)?;
    Ok(told(&found, to))
}

/// What the exit code says: everything is there, a part of it, or nothing.
pub(super) fn verdict(data: &Value) -> Result<(), Failure> {
    let code = match (&data["kept"], data["whole"].as_bool()) {
        (Value::Null, _) => exit::DAMAGE,
        (_, Some(true)) => return Ok(()),
        _ => exit::IN_PART,
    };
    Err(Failure::new("", code, "", ""))
}

/// Nobody may write while the log is read; the lock is only held, so that nothing changes.
fn alone(directory: &Path) -> Result<File, Failure> {
    let unreadable = |error: io::Error| {
        let message =
            format!("The data directory {} cannot be read: {error}.", directory.display());
        Failure::new("ICN-E0100", exit::FAILED, message, "")
    };
    let owned = File::open(directory).map_err(unreadable)?;
    match owned.try_lock() {
        Ok(()) => Ok(owned),
        Err(TryLockError::WouldBlock) => Err(datadir::in_use(directory)),
        Err(TryLockError::Error(error)) => Err(unreadable(error)),
    }
}

fn target(directory: &Path, to: &Path) -> Result<FsDisk, Failure> {
    let refused = |why: String, advice: &str| Failure::new("ICN-E0209", exit::FAILED, why, advice);
    let inside = |path: &Path| match (path.canonicalize(), directory.canonicalize()) {
        (Ok(path), Ok(directory)) => path.starts_with(directory),
        _ => false,
    };
    if to.ancestors().any(inside) {
        let why = format!("{} lies in the data directory itself.", to.display());
        return Err(refused(why, "Nothing was changed. Choose a directory outside of it."));
    }
    FsDisk::create(to).map_err(|error| {
        let why = format!("Nothing can be written to {}: {error}.", to.display());
        refused(why, "Nothing was changed. Choose another directory.")
    })
}

fn told(found: &Salvage, to: Option<&Path>) -> Value {
    let run = |run: &Run| {
        json!({
            "first_lsn": run.first_lsn,
            "last_lsn": run.last_lsn,
            "after": run.after,
            "records": run.records,
            "first_time": run.first_ms,
            "last_time": run.last_ms,
        })
    };
    let missing = found.missing.iter().map(|lsns| {
        // Nobody knows how many there were.
        let last = Some(*lsns.end()).filter(|last| *last < u64::MAX);
        json!({ "first_lsn": lsns.start(), "last_lsn": last })
    });
    let skipped = found.skipped.iter().map(|skipped| {
        json!({
            "file": skipped.damage.file,
            "segment": skipped.damage.segment,
            "offset": skipped.damage.offset,
            "bytes": skipped.bytes,
            "reason": format!("{:?}", skipped.damage.reason),
            "why": skipped.damage.reason.to_string(),
        })
    });
    json!({
        "to": to.map(|to| to.display().to_string()),
        "whole": found.is_whole(),
        "kept": found.kept.as_ref().map(run),
        "runs": found.runs.iter().map(run).collect::<Vec<_>>(),
        "missing": missing.collect::<Vec<_>>(),
        "skipped": skipped.collect::<Vec<_>>(),
        "torn_bytes": found.torn_bytes,
        "next_lsn": found.next_lsn,
    })
}

/// The same for a person.
pub(super) fn write(data: &Value, out: &mut impl Write) -> io::Result<()> {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let list = |key: &str| data[key].as_array().cloned().unwrap_or_default();
    for skipped in list("skipped") {
        let (file, why) = (&skipped["file"], &skipped["why"]);
        let (offset, bytes) = (number(&skipped["offset"]), number(&skipped["bytes"]));
        let (file, why) = (file.as_str().unwrap_or("?"), why.as_str().unwrap_or("?"));
        writeln!(out, "Skipped  {bytes} bytes at byte {offset} of {file}: {why}")?;
    }
    for missing in list("missing") {
        let first = number(&missing["first_lsn"]);
        match missing["last_lsn"].as_u64() {
            Some(last) => writeln!(out, "Missing  #{first} to #{last}")?,
            None => writeln!(out, "Missing  whatever came from #{first} on")?,
        }
    }
    for run in list("runs") {
        let (first, last) = (number(&run["first_lsn"]), number(&run["last_lsn"]));
        let (from, to) = (moment(number(&run["first_time"])), moment(number(&run["last_time"])));
        let mark = if run == data["kept"] { "Kept" } else { "Readable" };
        writeln!(out, "{mark:<8} #{first} to #{last}, {} records, {from} to {to}", run["records"])?;
    }
    let whole = data["whole"] == true;
    match (data["to"].as_str(), data["kept"].is_null()) {
        (_, true) => writeln!(out, "Nothing can be read, and nothing was written."),
        (None, _) if whole => writeln!(out, "Everything can be read. Nothing was written."),
        (None, _) => writeln!(out, "Nothing was written: --to DIR writes what is kept."),
        (Some(to), _) => {
            writeln!(out, "The new log is in {to}.")?;
            writeln!(
                out,
                "To use it: stop the node, move its wal directory away (keep it), and put"
            )?;
            writeln!(out, "this one in its place. The node refuses a snapshot that does not fit.")
        }
    }
}
