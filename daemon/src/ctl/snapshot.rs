//! `icnctl snapshot`.

use serde_json::{Value, json};

use super::args::SnapshotCommand;
use super::render::View;
use super::{Asker, Ctl, ONLINE, confirm};
use crate::failure::{Failure, exit};
use crate::request::{Moment, Request};

impl Ctl {
    pub(super) fn snapshot(&self, command: SnapshotCommand) -> Result<(), Failure> {
        match command {
            SnapshotCommand::Create { pin, labels } => {
                self.change(&Request::SnapshotCreate { pin, labels }, View::SnapshotCreated)
            }
            SnapshotCommand::List(source) => {
                self.show(source, &Request::SnapshotList, View::Snapshots)
            }
            SnapshotCommand::Show { id, source } => {
                let found = all(&mut self.asker(source)?)?;
                let snapshot = found.iter().find(|snapshot| snapshot["id"] == id.as_str());
                let snapshot = snapshot.ok_or_else(|| {
                    let message = format!("There is no snapshot {id:?}.");
                    let advice = "icnctl snapshot list shows those there are.";
                    Failure::new("ICN-E0212", exit::FAILED, message, advice)
                })?;
                self.tell(snapshot, View::Snapshot)
            }
            SnapshotCommand::Verify { id: Some(id), source, .. } => {
                self.show(source, &Request::SnapshotVerify { id }, View::Verified)
            }
            SnapshotCommand::Verify { id: None, source, .. } => {
                self.verify_all(&mut self.asker(source)?)
            }
            SnapshotCommand::Diff { from, to, source } => {
                let (from, to) = (Some(Moment::Id(from)), to.map(Moment::Id));
                self.show(source, &Request::SnapshotDiff { from, to }, View::Diff)
            }
            SnapshotCommand::Restore { id, lsn, time, dry_run, yes } => {
                let moment = match (id, lsn, time) {
                    (Some(id), ..) => Moment::Id(id),
                    (_, Some(lsn), _) => Moment::Lsn(lsn),
                    (.., time) => Moment::Time(time.unwrap_or_default()),
                };
                self.restore(moment, dry_run, yes)
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

    fn change(&self, request: &Request, view: View) -> Result<(), Failure> {
        self.tell(&self.owner()?.ask(request)?, view)
    }

    /// Everything is read, checked and told before anybody is asked.
    fn restore(&self, to: Moment, dry_run: bool, yes: bool) -> Result<(), Failure> {
        let preview =
            |asker: &mut Asker<'_>| asker.ask(&Request::SnapshotPreview { to: to.clone() });
        if dry_run {
            let mut asker = self.asker(ONLINE).or_else(|failure| match failure.exit {
                exit::NOT_RUNNING => Ok(Asker::Files(&self.directory)),
                _ => Err(failure),
            })?;
            return self.tell(&preview(&mut asker)?, View::Diff);
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
        let advice = "The others and the log replace them. Check the disk, then take a new one: \
                      icnctl snapshot create";
        Err(Failure::new("ICN-E0219", exit::DAMAGE, message, advice))
    }
}

fn all(asker: &mut Asker<'_>) -> Result<Vec<Value>, Failure> {
    let mut told = asker.ask(&Request::SnapshotList)?;
    Ok(told["snapshots"].as_array_mut().map(std::mem::take).unwrap_or_default())
}
