//! `icnctl snapshot`.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, IntoInnerError, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use icn_snapshot::{PointInTime, state_at};
use serde_json::{Value, json};

use super::args::{SnapshotCommand, Source};
use super::render::View;
use super::{Asker, Ctl, ONLINE, confirm, unwritable};
use crate::control::codes;
use crate::control::request::{Moment, Request};
use crate::data::datadir;
use crate::exit;
use crate::failure::{Failure, is_full};
use crate::node::machine::Machine;

impl Ctl {
    pub(super) fn snapshot(&self, command: SnapshotCommand) -> Result<(), Failure> {
        match command {
            SnapshotCommand::Create { pin, labels } => {
                self.change(&Request::SnapshotCreate { pin, labels }, View::SnapshotCreated)
            }
            SnapshotCommand::List(source) => {
                let told = self.reader(source)?.ask(&Request::SnapshotList)?;
                self.tell(&told, View::Snapshots)
            }
            SnapshotCommand::Show { id, source } => {
                let found = all(&mut self.reader(source)?)?;
                let snapshot = found.iter().find(|snapshot| snapshot["id"] == id.as_str());
                let snapshot = snapshot.ok_or_else(|| {
                    Failure::new(codes::NO_SUCH_SNAPSHOT, format!("There is no snapshot {id:?}."))
                })?;
                self.tell(snapshot, View::Snapshot)
            }
            SnapshotCommand::Verify { id: Some(id), source, .. } => {
                let told = self.reader(source)?.ask(&Request::SnapshotVerify { id })?;
                self.tell(&told, View::Verified)
            }
            SnapshotCommand::Verify { id: None, source, .. } => {
                self.verify_all(&mut self.reader(source)?)
            }
            SnapshotCommand::Diff { from, to, source } => {
                let (from, to) = (Some(Moment::Id(from)), to.map(Moment::Id));
                let told = self.reader(source)?.ask(&Request::SnapshotDiff { from, to })?;
                self.tell(&told, View::Diff)
            }
            SnapshotCommand::Restore { id, lsn, time, dry_run, yes } => {
                // One of them is required.
                let to = moment(id, lsn, time).unwrap_or(Moment::Time(0));
                self.restore(to, dry_run, yes)
            }
            SnapshotCommand::Export { id, lsn, time, to } => {
                self.export(moment(id, lsn, time), to.as_deref())
            }
            SnapshotCommand::Import { file, formerly, dry_run } => {
                let path = std::path::absolute(&file).unwrap_or(file);
                self.change(&Request::SnapshotImport { path, dry_run, formerly }, View::Imported)
            }
            SnapshotCommand::Delete { id } => {
                self.change(&Request::SnapshotDelete { id }, View::Deleted)
            }
            SnapshotCommand::Prune { dry_run, explain } => {
                let mut plan = self.owner()?.ask(&Request::SnapshotPrune { dry_run })?;
                plan["dry_run"] = json!(dry_run);
                plan["explain"] = json!(explain);
                self.tell(&plan, View::Pruned)
            }
            SnapshotCommand::Pin { id } => {
                self.change(&Request::SnapshotPin { id, pinned: true }, View::Pinned)
            }
            SnapshotCommand::Unpin { id } => {
                self.change(&Request::SnapshotPin { id, pinned: false }, View::Pinned)
            }
        }
    }

    /// The node if it runs, or else its files.
    fn reader(&self, source: Source) -> Result<Asker<'_>, Failure> {
        self.asker(source).or_else(|failure| match failure.exit {
            exit::NOT_RUNNING => Ok(Asker::Files(&self.directory)),
            _ => Err(failure),
        })
    }

    fn change(&self, request: &Request, view: View) -> Result<(), Failure> {
        self.tell(&self.owner()?.ask(request)?, view)
    }

    /// Always from the files: a node's state may be larger than a line of its socket.
    fn export(&self, moment: Option<Moment>, to: Option<&Path>) -> Result<(), Failure> {
        let disk = datadir::read_only(&self.directory)?;
        let at = moment.map_or(Ok(PointInTime::Latest), |moment| moment.at())?;
        let past = state_at::<Machine, _>(&disk, at)?;
        let Some(path) = to else {
            let mut out = BufWriter::new(io::stdout().lock());
            let written = past.state.0.export(&mut out).and_then(|()| out.flush());
            return written.map_err(|error| unwritable(&error));
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
        let told = json!({ "file": path, "lsn": past.lsn });
        self.tell(&told, View::Exported)
    }

    /// Everything is read, checked and told before anybody is asked.
    fn restore(&self, to: Moment, dry_run: bool, yes: bool) -> Result<(), Failure> {
        let preview =
            |asker: &mut Asker<'_>| asker.ask(&Request::SnapshotPreview { to: to.clone() });
        if dry_run {
            return self.tell(&preview(&mut self.reader(ONLINE)?)?, View::Diff);
        }
        let mut owner = self.owner()?;
        if !yes {
            let told = preview(&mut owner)?;
            if !self.as_json {
                self.tell(&told, View::Diff)?;
            }
            let lsn = &told["to"]["lsn"];
            confirm(
                false,
                &format!("set the node back to its state of #{lsn}, as a step forward"),
            )?;
        }
        self.tell(&owner.ask(&Request::SnapshotRestore { to })?, View::Restored)
    }

    fn verify_all(&self, asker: &mut Asker<'_>) -> Result<(), Failure> {
        let mut found = Vec::new();
        for snapshot in all(asker)? {
            let id = snapshot["id"].as_str().unwrap_or_default().to_owned();
            found.push(match asker.ask(&Request::SnapshotVerify { id: id.clone() }) {
                Ok(_) => json!({ "id": id, "verified": true }),
                Err(failure) if failure.exit == exit::DAMAGE => {
                    json!({ "id": id, "verified": false, "why": failure.message })
                }
                Err(failure) => return Err(failure),
            });
        }
        let damaged = found.iter().filter(|one| one["verified"] == false).count();
        if damaged == 0 || !self.as_json {
            self.tell(&json!({ "snapshots": found }), View::AllVerified)?;
        }
        if damaged == 0 {
            return Ok(());
        }
        let message = format!("{damaged} of {} snapshots cannot be used.", found.len());
        Err(Failure::new(codes::SNAPSHOTS_DAMAGED, message))
    }
}

fn moment(id: Option<String>, lsn: Option<u64>, time: Option<u64>) -> Option<Moment> {
    id.map(Moment::Id).or(lsn.map(Moment::Lsn)).or(time.map(Moment::Time))
}

fn all(asker: &mut Asker<'_>) -> Result<Vec<Value>, Failure> {
    let mut told = asker.ask(&Request::SnapshotList)?;
    Ok(told["snapshots"].as_array_mut().map(std::mem::take).unwrap_or_default())
}
