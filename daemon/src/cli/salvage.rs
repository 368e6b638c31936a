//! `icnctl wal salvage`: what can still be read of a damaged log.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::Path;

use icn_snapshot::{Integrity, Retention, Snapshot, list};
use icn_wal::salvage::{Run, Salvage, salvage};
use icn_wal::{Error, FsDisk, Lsn, ReplayFrom};
use serde_json::{Value, json};

use super::wal;
use crate::control::codes;
use crate::data::datadir;
use crate::exit;
use crate::failure::{Failure, sentence};
use crate::report::moment;

/// Salvages the log of the node in `directory`, or the one in `log`, into `to`; without it, only
/// says what can be read.
pub(super) fn run(
    directory: &Path,
    log: Option<&Path>,
    to: Option<&Path>,
    from: Option<u64>,
) -> Result<Value, Failure> {
    let source = wal::open(directory, log)?;
    let _nobody_else = alone(log.unwrap_or(directory))?;
    let made = to.is_some_and(|to| !to.exists());
    let target = to.map(|to| target(&[directory, source.path()], to)).transpose()?;
    let from = match from {
        None => ReplayFrom::Oldest,
        Some(lsn) => {
            Lsn::new(lsn.saturating_sub(1)).map_or(ReplayFrom::Beginning, ReplayFrom::After)
        }
    };
    let found = salvage(&source, target.as_ref(), from).map_err(|error| match &error {
        Error::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
            refused(sentence(&error.to_string()))
        }
        _ => error.into(),
    })?;
    if let (Some(to), true, None) = (to, made, &found.kept) {
        // It is empty; if not, it is somebody else's by now.
        let _ = std::fs::remove_dir(to);
    }
    let snapshots =
        FsDisk::read_only(directory).ok().and_then(|disk| list(&disk, Retention::default()).ok());
    Ok(told(&found, to, &snapshots.unwrap_or_default()))
}

/// What the exit code says: everything is there, a part of it, or nothing.
pub(super) fn verdict(data: &Value) -> Result<(), Failure> {
    let code = match (&data["kept"], data["whole"].as_bool()) {
        (Value::Null, _) => exit::DAMAGE,
        (_, Some(true)) => return Ok(()),
        _ => exit::PARTIAL,
    };
    Err(Failure::silent(code))
}

/// Nobody may write while the log is read; the lock is only held, so that nothing changes.
fn alone(directory: &Path) -> Result<File, Failure> {
    let unreadable = |error: io::Error| {
        let message =
            format!("The data directory {} cannot be read: {error}.", directory.display());
        Failure::new(codes::DIRECTORY_UNUSABLE, message)
    };
    let owned = File::open(directory).map_err(unreadable)?;
    match owned.try_lock() {
        Ok(()) => Ok(owned),
        Err(TryLockError::WouldBlock) => Err(datadir::in_use(directory)),
        Err(TryLockError::Error(error)) => Err(unreadable(error)),
    }
}

fn refused(why: String) -> Failure {
    Failure::new(codes::SALVAGE_REFUSED, why)
}

fn target(apart_from: &[&Path], to: &Path) -> Result<FsDisk, Failure> {
    let inside = |path: &Path| {
        let within = |outer: &&Path| match (path.canonicalize(), outer.canonicalize()) {
            (Ok(path), Ok(outer)) => path.starts_with(outer),
            _ => false,
        };
        apart_from.iter().any(within)
    };
    if to.ancestors().any(inside) {
        let why = format!("The directory {} lies in the data directory itself.", to.display());
        return Err(refused(why));
    }
    FsDisk::create(to).map_err(|error| {
        let why = format!("The new log cannot be written to {}: {error}.", to.display());
        refused(why)
    })
}

fn told(found: &Salvage, to: Option<&Path>, snapshots: &[Snapshot]) -> Value {
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
        "snapshot": fit(found.kept.as_ref(), snapshots),
    })
}

/// Whether a node starts with what is kept: from its newest snapshot, or from nothing if it has
/// none. If not, `from` keeps what continues that snapshot, and `fitting` is an older one.
fn fit(kept: Option<&Run>, snapshots: &[Snapshot]) -> Value {
    let continues =
        |lsn: u64| kept.is_some_and(|run| (run.after..=run.last_lsn.max(run.after)).contains(&lsn));
    let mut good =
        snapshots.iter().rev().filter(|snapshot| snapshot.integrity == Integrity::Whole).peekable();
    let newest = good.peek().map(|snapshot| snapshot.id);
    let lsn = newest.map_or(0, |id| id.lsn);
    let fitting = good.map(|snapshot| snapshot.id).find(|id| continues(id.lsn));
    json!({
        "newest": newest.map(|id| id.to_string()),
        "fits": continues(lsn),
        "from": lsn + 1,
        "fitting": fitting.map(|id| id.to_string()),
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
    if data["kept"].is_null() {
        writeln!(out, "Nothing can be read, and nothing was written.")?;
    } else if data["kept"]["records"] == 0 {
        let after = &data["kept"]["after"];
        writeln!(out, "Kept     no record: the new log is empty and goes on behind #{after}")?;
    }
    write_fit(&data["snapshot"], out)?;
    match data["to"].as_str().filter(|_| !data["kept"].is_null()) {
        None if whole => writeln!(out, "Everything can be read. Nothing was written."),
        None => writeln!(out, "Nothing was written: --to DIR writes what is kept."),
        Some(to) => {
            writeln!(out, "The new log is in {to}.")?;
            writeln!(
                out,
                "To use it: stop the node, move its wal directory away (keep it), and put"
            )?;
            writeln!(out, "this one in its place. The node refuses a snapshot that does not fit.")?;
            if !whole {
                writeln!(
                    out,
                    "Others may have seen what is lost. So once the node runs, begin a new epoch:"
                )?;
                writeln!(out, "  icnctl snapshot create")?;
                writeln!(out, "  icnctl snapshot restore ID --yes")?;
            }
            Ok(())
        }
    }
}

fn write_fit(snapshot: &Value, out: &mut impl Write) -> io::Result<()> {
    match (snapshot["newest"].as_str(), snapshot["fits"] == true) {
        (None, true) => writeln!(out, "Fits     from the beginning, without a snapshot"),
        (Some(id), true) => writeln!(out, "Fits     snapshot {id}, the newest"),
        (None, false) => {
            writeln!(out, "Fits     nothing: it does not begin at #1, and there is no snapshot")
        }
        (Some(id), false) => {
            writeln!(out, "Fits     not snapshot {id}, the newest. What continues that one:")?;
            writeln!(out, "           icnctl wal salvage --to DIR --from {}", snapshot["from"])?;
            match snapshot["fitting"].as_str() {
                None => Ok(()),
                Some(older) => writeln!(
                    out,
                    "         It fits {older}: move the newer ones out of snapshots to go back to that"
                ),
            }
        }
    }
}
