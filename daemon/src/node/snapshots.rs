//! Snapshots of a node: take, scrub, restore, import.

use icn_gossip::legacy::{self, Importer};
use icn_gossip::{Counts, Did, Now, Reject};
use icn_snapshot::{Due, Image, Integrity, Labels, RestoreTarget, Snapshot, SnapshotId};
use icn_wal::Lsn;
use icn_wal::disk::Disk;

use super::{Node, bad_did, query};
use crate::control::codes;
use crate::control::reply::import::{Fate, FieldReport, LegacyImport};
use crate::control::reply::{Imported, Reply, Restored};
use crate::control::request::{Moment, Request, snapshot_id};
use crate::failure::Failure;
use crate::node::guard::Guard;
use crate::node::import::Legacy;
use crate::node::machine::Machine;
use crate::node::work::{Prepared, Side, Work};

/// The interval of the scrub: bytes on a disk go bad without being read.
pub(super) const SCRUB_MS: u64 = 60 * 60 * 1000;

/// The pause before a failed snapshot is tried again.
const RETRY_MS: u64 = 30_000;

/// The newest whole snapshot, and since when it is the newest.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewestSnapshot {
    id: Option<SnapshotId>,
    /// The elapsed time of the machine when it was first seen.
    seen_ms: u64,
    /// After how many ms with changes a snapshot is due.
    pub(super) every_ms: u64,
    /// How many of the kept snapshots are damaged.
    pub(super) damaged: usize,
}

impl NewestSnapshot {
    /// The newest of those that a start has found.
    pub(super) fn new(every_ms: u64, kept: &[Snapshot], machine: Now) -> Self {
        let mut newest = Self { id: None, seen_ms: machine.elapsed_ms, every_ms, damaged: 0 };
        newest.see(kept, machine);
        newest
    }

    pub(super) fn see(&mut self, kept: &[Snapshot], machine: Now) {
        self.damaged = kept.iter().filter(|kept| kept.integrity == Integrity::Damaged).count();
        let whole = kept.iter().rfind(|kept| kept.integrity == Integrity::Whole);
        let id = whole.map(|kept| kept.id);
        if self.id != id {
            (self.id, self.seen_ms) = (id, machine.elapsed_ms);
        }
    }

    /// Its age at this elapsed time. A snapshot of an earlier run counts from the start.
    pub(super) fn age_ms(&self, elapsed_ms: u64) -> u64 {
        elapsed_ms.saturating_sub(self.seen_ms)
    }
}

/// A snapshot to write.
#[derive(Debug)]
pub struct Draft {
    /// The image of the state.
    pub image: Image<Machine>,
    /// The counts of the state, for metrics.
    pub counts: Counts,
}

impl<D: Disk> Node<D> {
    /// Changes when a snapshot is due, from now on.
    pub fn set_due(&mut self, due: Due) {
        self.newest.every_ms = due.age_ms;
        self.store.set_due(due);
    }

    /// The next snapshot to scrub: from the oldest to the newest and over again, without damaged ones.
    pub(super) fn next_to_scrub(&self) -> Option<SnapshotId> {
        let kept = self.store.compactor().list();
        let sound =
            kept.iter().filter(|kept| kept.integrity != Integrity::Damaged).map(|kept| kept.id);
        sound.clone().find(|id| Some(*id) > self.scrubbed).or_else(|| sound.clone().next())
    }

    /// Takes a snapshot at the next tick, in place of one that was found damaged. Meanwhile the log and the
    /// other snapshots replace it.
    pub fn found_damage(&mut self, machine: Now) {
        self.retry_ms = Some(machine.elapsed_ms);
    }

    /// The last image before an orderly stop, if the state has changed since the previous one.
    pub fn last_draft(&mut self, now: Now) -> Option<Box<Draft>> {
        if self.store.changed() || self.retry_ms.is_some() { self.draft(now) } else { None }
    }

    /// An image to save before the node is ready, if the last run ended without a stop and the log is long. In a loop of crashes no run may last long enough to save one later, and the log
    /// would fill the disk. [`saved`](Self::saved) takes the outcome.
    pub fn draft_after_crash(&mut self, machine: Now) -> Option<Box<Draft>> {
        let is_long = !self.recovery.log.clean && self.store.replay_is_long();
        // The state that the guard has found weaker is looked at first.
        if !is_long || !self.guard.findings().is_empty() {
            return None;
        }
        let now = self.clock.read(machine);
        let draft = self.draft(now)?;
        self.saves += 1;
        Some(draft)
    }

    pub(super) fn draft(&mut self, now: Now) -> Option<Box<Draft>> {
        let counts = self.state().counts();
        let ran_ms = self.ran_ms();
        self.store.image(now.wall_ms, ran_ms).map(|image| Box::new(Draft { image, counts }))
    }

    /// Reports the outcome of an [`Effect::Save`](super::Effect::Save), with the reason of a failure. A
    /// failed snapshot is tried again after a pause.
    pub fn saved(&mut self, machine: Now, outcome: Result<(), String>) {
        self.saves = self.saves.saturating_sub(1);
        self.save_failure = outcome.err();
        self.retry_ms = self.save_failure.as_ref().map(|_| machine.elapsed_ms + RETRY_MS);
    }

    pub(super) fn snapshot_create(
        &mut self,
        now: Now,
        pin: bool,
        labels: &[String],
    ) -> Result<Box<Draft>, Failure> {
        let mut wanted = Labels::default();
        for pair in labels {
            wanted.set_pair(pair).map_err(|error| {
                Failure::new(codes::BAD_LABEL, format!("The label {pair:?} is refused: {error}."))
            })?;
        }
        let mut draft = self.draft(now).ok_or(Reject::Identity)?;
        *draft.image.labels() = wanted;
        if pin {
            draft.image.pin();
        }
        self.saves += 1;
        Ok(draft)
    }

    pub(super) fn work(&mut self, now: Now, request: Request) -> Result<Work, Failure> {
        let side = |node: &Self, moment: Option<&Moment>| match moment {
            Some(moment) => Ok(Side::Then(moment.at()?)),
            None => Ok::<_, Failure>(Side::Now(Box::new(node.state().clone()), node.store.lsn())),
        };
        Ok(match request {
            Request::SnapshotVerify { id } => Work::Verify(snapshot_id(&id)?),
            Request::SnapshotDelete { id } => Work::Delete(snapshot_id(&id)?),
            Request::SnapshotPin { id, pinned } => Work::Pin(snapshot_id(&id)?, pinned),
            Request::SnapshotPrune { dry_run } => Work::Prune { dry_run },
            Request::SnapshotDiff { from, to } => {
                Work::Diff(side(self, from.as_ref())?, side(self, to.as_ref())?)
            }
            Request::SnapshotPreview { to } => {
                Work::Preview(Box::new(self.state().clone()), self.store.lsn(), to.at()?)
            }
            Request::SnapshotRestore { to } => {
                let at = to.at()?;
                let ran_ms = self.ran_ms();
                let present = self.store.image(now.wall_ms, ran_ms).ok_or(Reject::Identity)?;
                Work::Restore(at, Box::new(present))
            }
            Request::SnapshotImport { path, dry_run, formerly } => {
                let formerly =
                    formerly.map(|did| did.parse::<Did>().map_err(|error| bad_did(&did, &error)));
                let now_ms = Some(now.wall_ms).filter(|_| !dry_run);
                let node = self.node_id()?;
                Work::Import { path, node, now_ms, formerly: formerly.transpose()? }
            }
            Request::Digest { lsn } => match lsn.and_then(Lsn::new) {
                Some(lsn) if lsn.get() != self.store.lsn() => Work::DigestAt(lsn),
                _ => Work::Digest(Box::new(self.state().clone()), self.store.lsn()),
            },
            other => return Err(query::cannot(&other)),
        })
    }

    /// Commits what [`Work`] has prepared. The reply, also a refusal, may leave the node once the returned
    /// LSN is durable.
    pub fn settle(&mut self, machine: Now, prepared: Prepared) -> (u64, Reply) {
        let now = self.clock.read(machine);
        let reply = match prepared {
            Prepared::Restore(target) => self.restore(now, *target),
            Prepared::Legacy(legacy) => self.import_legacy(now, &legacy),
        };
        (self.store.lsn(), reply)
    }

    fn import_legacy(&mut self, now: Now, legacy: &Legacy) -> Reply {
        let importer = Importer {
            keypair: &self.keypair,
            formerly: legacy.formerly,
            now_ms: now.wall_ms,
            nonce: &mut || self.rng.next(),
        };
        let state = &self.store.state().0;
        let import = legacy::import(&legacy.document, legacy.checksum.as_deref(), state, importer)
            .map_err(|error| {
                let message =
                    format!("The file {} cannot be imported: {error}.", legacy.path.display());
                Failure::new(codes::IMPORT_REFUSED, message)
            })?;
        let total = import.mutations.len();
        if !legacy.dry_run {
            for (taken, mutation) in import.mutations.into_iter().enumerate() {
                self.commit(now, mutation).map_err(|failure| Failure {
                    message: format!("{} {taken} of {total} changes were made.", failure.message),
                    advice: format!("{} Importing again makes the others.", failure.advice),
                    ..failure
                })?;
            }
        }
        let refused = import.report.count(legacy::Fate::Refused) as u64;
        let report = import.report.lines.into_iter().map(field_report).collect();
        let dry_run = legacy.dry_run;
        let lsn = self.store.lsn();
        let mutations = total as u64;
        let told = LegacyImport { legacy: true, dry_run, lsn, mutations, refused, report };
        Ok(Imported::Legacy(told).into())
    }

    fn restore(&mut self, now: Now, target: RestoreTarget<Machine>) -> Reply {
        let id = target.id();
        let undo = target.undo();
        // By this stamp, the restore knows which entries of another node's image are of the future.
        self.stamp_clock(now)?;
        let before = self.store.lsn();
        let branch = self.rng.next();
        let lsn = self.store.restore(self.clock.log_ms(now), target, branch)?;
        self.pending.topics_changed();
        // The restored state was compared with its own summary, and an operator has chosen it.
        self.guard = Guard::default();
        self.mesh.restored();
        self.mesh.set_closed(self.guard.closed().clone());
        let restored = Restored {
            lsn: lsn.get(),
            restored: id.to_string(),
            restored_lsn: id.lsn,
            timeline: self.store.timeline(),
            undo: undo.to_string(),
            before,
        };
        Ok(restored.into())
    }
}

fn field_report(line: legacy::Line) -> FieldReport {
    let fate = match line.fate {
        legacy::Fate::Taken => Fate::Taken,
        legacy::Fate::Default => Fate::Default,
        legacy::Fate::NotNeeded => Fate::NotNeeded,
        legacy::Fate::Refused => Fate::Refused,
    };
    FieldReport { fate, field: line.field, why: line.why }
}

#[cfg(test)]
mod tests;
