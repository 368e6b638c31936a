//! `icnctl wal salvage`: what can still be read of a damaged log.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use icn_snapshot::{Integrity, Retention, Snapshot, list};
use icn_wal::salvage::{Run, Salvage, salvage};
use icn_wal::{Error, FsDisk, Lsn, ReplayFrom};

use super::documents::salvage::{self as document, Fit, Missing, Salvaged, Skipped};
use super::wal;
use crate::control::codes;
use crate::data::datadir;
use crate::exit;
use crate::failure::{Failure, sentence};

/// Salvages the log of the node in `directory`, or the one in `log`, into `to`. Without `to`, only reports
/// what can be read.
pub(super) fn run(
    directory: &Path,
    log: Option<&Path>,
    to: Option<&Path>,
    from: Option<u64>,
) -> Result<Salvaged, Failure> {
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
        // The directory that was made here is empty; one with files is not removed.
        let _ = std::fs::remove_dir(to);
    }
    let snapshots =
        FsDisk::read_only(directory).ok().and_then(|disk| list(&disk, Retention::default()).ok());
    Ok(salvaged(&found, to, &snapshots.unwrap_or_default()))
}

/// The exit code: every record was kept, a part, or none.
pub(super) fn verdict(found: &Salvaged) -> Result<(), Failure> {
    let code = match (&found.kept, found.whole) {
        (None, _) => exit::DAMAGE,
        (Some(_), true) => return Ok(()),
        (Some(_), false) => exit::PARTIAL,
    };
    Err(Failure::silent(code))
}

/// Locks the directory, so that no node writes while the log is read.
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

fn salvaged(found: &Salvage, to: Option<&Path>, snapshots: &[Snapshot]) -> Salvaged {
    let missing = found.missing.iter().map(|lsns| Missing {
        first_lsn: *lsns.start(),
        // Nothing shows how many records there were.
        last_lsn: Some(*lsns.end()).filter(|last| *last < u64::MAX),
    });
    let skipped = found.skipped.iter().map(|skipped| Skipped {
        file: skipped.damage.file.clone(),
        segment: skipped.damage.segment,
        offset: skipped.damage.offset,
        bytes: skipped.bytes,
        reason: format!("{:?}", skipped.damage.reason),
        why: skipped.damage.reason.to_string(),
    });
    Salvaged {
        to: to.map(|to| to.display().to_string()),
        whole: found.is_whole(),
        kept: found.kept.as_ref().map(run_of),
        runs: found.runs.iter().map(run_of).collect(),
        missing: missing.collect(),
        skipped: skipped.collect(),
        torn_bytes: found.torn_bytes,
        next_lsn: found.next_lsn,
        snapshot: fit(found.kept.as_ref(), snapshots),
    }
}

fn run_of(run: &Run) -> document::Run {
    document::Run {
        first_lsn: run.first_lsn,
        last_lsn: run.last_lsn,
        after: run.after,
        records: run.records,
        first_time: run.first_ms,
        last_time: run.last_ms,
    }
}

/// Whether a node starts with what is kept: from its newest snapshot, or from nothing if it has
/// none. If not, `from` keeps what continues that snapshot, and `fitting` is an older one.
fn fit(kept: Option<&Run>, snapshots: &[Snapshot]) -> Fit {
    let continues =
        |lsn: u64| kept.is_some_and(|run| (run.after..=run.last_lsn.max(run.after)).contains(&lsn));
    let mut good =
        snapshots.iter().rev().filter(|snapshot| snapshot.integrity == Integrity::Whole).peekable();
    let newest = good.peek().map(|snapshot| snapshot.id);
    let lsn = newest.map_or(0, |id| id.lsn);
    let fitting = good.map(|snapshot| snapshot.id).find(|id| continues(id.lsn));
    Fit {
        newest: newest.map(|id| id.to_string()),
        fits: continues(lsn),
        from: lsn + 1,
        fitting: fitting.map(|id| id.to_string()),
    }
}
