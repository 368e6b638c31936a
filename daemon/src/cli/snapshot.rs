//! `icnctl snapshot`: take, list, verify, compare, restore, export, import.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, IntoInnerError, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use icn_snapshot::{PointInTime, state_at};
use serde::Serialize;

use super::args::{SnapshotCommand, Source};
use super::documents::{Checked, CheckedSnapshot, Exported, Pruned, Taken};
use super::render::Show;
use super::{Asker, Ctl, Files, ONLINE, confirm};
use crate::control::codes;
use crate::control::reply::{
    Deleted, Diff, FromReply, Imported, Pinned, Restored, Snapshot, Snapshots, Verified,
};
use crate::control::request::{Moment, Request};
use crate::data::datadir;
use crate::exit;
use crate::failure::{Failure, is_full};
use crate::node::machine::Machine;
use crate::stdout::{Kind, unwritable};

impl Ctl {
    pub(super) fn snapshot(&self, command: SnapshotCommand) -> Result<(), Failure> {
        match command {
            SnapshotCommand::Create { pin, labels } => {
                let request = Request::SnapshotCreate { pin, labels };
                self.print(&Taken(self.owner()?.ask(&request)?))
            }
            SnapshotCommand::List(source) => self.read::<Snapshots>(source, &Request::SnapshotList),
            SnapshotCommand::Show { id, source } => {
                let found = all(&mut self.reader(source)?)?;
                let snapshot = found.iter().find(|snapshot| snapshot.id == id);
                let snapshot = snapshot.ok_or_else(|| {
                    Failure::new(codes::NO_SUCH_SNAPSHOT, format!("There is no snapshot {id:?}."))
                })?;
                self.print(snapshot)
            }
            SnapshotCommand::Verify { id: Some(id), source, .. } => {
                self.read::<Verified>(source, &Request::SnapshotVerify { id })
            }
            SnapshotCommand::Verify { id: None, source, .. } => {
                self.verify_all(&mut self.reader(source)?)
            }
            SnapshotCommand::Diff { from, to, source } => {
                let from = Some(Moment::Id(from));
                let to = to.map(Moment::Id);
                self.read::<Diff>(source, &Request::SnapshotDiff { from, to })
            }
            SnapshotCommand::Restore { id, lsn, time, dry_run, yes } => {
                // The parser requires one of the three.
                let to = moment(id, lsn, time).unwrap_or(Moment::Time(0));
                self.restore(to, dry_run, yes)
            }
            SnapshotCommand::Export { id, lsn, time, to } => {
                self.export(moment(id, lsn, time), to.as_deref())
            }
            SnapshotCommand::Import { file, formerly, dry_run } => {
                let path = std::path::absolute(&file).unwrap_or(file);
                self.change::<Imported>(&Request::SnapshotImport { path, dry_run, formerly })
            }
            SnapshotCommand::Delete { id } => {
                self.change::<Deleted>(&Request::SnapshotDelete { id })
            }
            SnapshotCommand::Prune { dry_run, explain } => {
                let plan = self.owner()?.ask(&Request::SnapshotPrune { dry_run })?;
                self.print(&Pruned { plan, dry_run, explain })
            }
            SnapshotCommand::Pin { id } => {
                self.change::<Pinned>(&Request::SnapshotPin { id, pinned: true })
            }
            SnapshotCommand::Unpin { id } => {
                self.change::<Pinned>(&Request::SnapshotPin { id, pinned: false })
            }
        }
    }

    /// The running node; without one, its files, read-only.
    fn reader(&self, source: Source) -> Result<Asker<'_>, Failure> {
        self.asker(source).or_else(|failure| match failure.exit {
            exit::NOT_RUNNING => Ok(Asker::Files(Box::new(Files::new(&self.directory)))),
            _ => Err(failure),
        })
    }

    fn read<R>(&self, source: Source, request: &Request) -> Result<(), Failure>
    where
        R: FromReply + Serialize + Show,
    {
        self.print(&self.reader(source)?.ask::<R>(request)?)
    }

    fn change<R>(&self, request: &Request) -> Result<(), Failure>
    where
        R: FromReply + Serialize + Show,
    {
        self.print(&self.owner()?.ask::<R>(request)?)
    }

    /// Exports from the files: a state may be larger than a line of the socket.
    fn export(&self, moment: Option<Moment>, to: Option<&Path>) -> Result<(), Failure> {
        let disk = datadir::read_only(&self.directory)?;
        let at = moment.map_or(Ok(PointInTime::Latest), |moment| moment.at())?;
        let past = state_at::<Machine, _>(&disk, at)?;
        let Some(path) = to else {
            let mut out = BufWriter::new(io::stdout().lock());
            let written = past.state.0.export(&mut out).and_then(|()| out.flush());
            return written.map_err(|error| unwritable(self.kind, &error));
        };
        let write = || {
            let mut options = OpenOptions::new();
            let file = options.write(true).create_new(true).mode(0o600).open(path)?;
            let mut out = BufWriter::new(file);
            past.state.0.export(&mut out)?;
            out.into_inner().map_err(IntoInnerError::into_error)?.sync_all()
        };
        write().map_err(|error| {
            let message = format!("The file {} cannot be written: {error}.", path.display());
            if is_full(&error) {
                let advice = "The file is not complete: remove it, free some space on the disk and \
                              export again.";
                return Failure::new(codes::NO_SPACE, message).with_advice(advice);
            }
            Failure::new(codes::EXPORT_NOT_WRITTEN, message)
        })?;
        self.print(&Exported { file: path.to_owned(), lsn: past.lsn })
    }

    /// Reads, checks and shows everything before it asks for a confirmation.
    fn restore(&self, to: Moment, dry_run: bool, yes: bool) -> Result<(), Failure> {
        let preview = Request::SnapshotPreview { to: to.clone() };
        if dry_run {
            return self.read::<Diff>(ONLINE, &preview);
        }
        let mut owner = self.owner()?;
        if !yes {
            let diff: Diff = owner.ask(&preview)?;
            if !self.as_json {
                let advice = "Nothing was done. Look first: icnctl snapshot restore ID --dry-run";
                let before = Ctl { directory: self.directory.clone(), kind: Kind::Whole, ..*self };
                before.print(&diff).map_err(|failure| failure.with_advice(advice))?;
            }
            let lsn = diff.to.lsn;
            confirm(
                false,
                &format!("set the node back to its state of #{lsn}, as a step forward"),
            )?;
        }
        self.print(&owner.ask::<Restored>(&Request::SnapshotRestore { to })?)
    }

    fn verify_all(&self, asker: &mut Asker<'_>) -> Result<(), Failure> {
        let mut snapshots = Vec::new();
        for Snapshot { id, .. } in all(asker)? {
            let why = match asker.ask::<Verified>(&Request::SnapshotVerify { id: id.clone() }) {
                Ok(_) => None,
                Err(failure) if failure.exit == exit::DAMAGE => Some(failure.message),
                Err(failure) => return Err(failure),
            };
            snapshots.push(CheckedSnapshot { id, verified: why.is_none(), why });
        }
        let count = snapshots.len();
        let damaged = snapshots.iter().filter(|snapshot| !snapshot.verified).count();
        if damaged == 0 || !self.as_json {
            self.print(&Checked { snapshots })?;
        }
        if damaged == 0 {
            return Ok(());
        }
        let message = format!("{damaged} of {count} snapshots cannot be used.");
        Err(Failure::new(codes::SNAPSHOTS_DAMAGED, message))
    }
}

fn moment(id: Option<String>, lsn: Option<u64>, time: Option<u64>) -> Option<Moment> {
    id.map(Moment::Id).or(lsn.map(Moment::Lsn)).or(time.map(Moment::Time))
}

fn all(asker: &mut Asker<'_>) -> Result<Vec<Snapshot>, Failure> {
    Ok(asker.ask::<Snapshots>(&Request::SnapshotList)?.snapshots)
}
