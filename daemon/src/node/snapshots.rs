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
mod tests {
    use bytes::Bytes;
    use icn_gossip::{Entry, Mutation, Position};
    use icn_snapshot::Weakness;
    use icn_wal::disk::SimDisk;
    use serde_json::{Value, json};

    use super::*;
    use crate::node::{Effect, Inputs, simulated};

    fn ask(node: &mut Node<SimDisk>, request: Value) -> Result<Value, Failure> {
        let request = serde_json::from_value(request).expect("a request");
        let turn = node.step(Now::at(2), Inputs::requests(vec![((), request)]));
        let output = turn.outputs.into_iter().next().expect("an output");
        let compactor = node.store().compactor().clone();
        let reply = match output.effect {
            Effect::Reply((), reply) => reply,
            effect @ (Effect::Save(..) | Effect::Send { .. } | Effect::Close { .. }) => {
                panic!("no request asks for {effect:?}")
            }
            Effect::Work(work, _) => {
                work.perform(&compactor, |prepared| node.settle(Now::at(3), prepared).1)
            }
        };
        reply.map(|data| data.to_value())
    }

    #[test]
    fn a_topic_closed_by_the_guard_stays_closed_until_a_restore() {
        let mut node = simulated::node(&SimDisk::new(1));
        let created = ask(&mut node, json!({ "cmd": "topic_create", "name": "a" }));
        let lsn = created.expect("a topic")["lsn"].clone();
        let entries = json!({ "cmd": "entries", "topic": "a" });
        ask(&mut node, entries.clone()).expect("open");
        let id = *node.state().topics().next().expect("a topic").0;
        let text = "the access rule of topic a is another one".to_owned();
        node.guard = Guard::new(&[Weakness { subject: id.as_bytes().to_vec(), text }]);
        for closed in [
            entries.clone(),
            json!({ "cmd": "publish", "topic": "a", "text": "x" }),
            json!({ "cmd": "subscribe", "topic": "a" }),
        ] {
            assert_eq!(ask(&mut node, closed).expect_err("closed").code, "ICN-E0313");
        }
        let status = ask(&mut node, json!({ "cmd": "status" })).expect("a status");
        assert_eq!(status["last_start"]["weaker"].as_array().map(Vec::len), Some(1));
        let restore = json!({ "cmd": "snapshot_restore", "to": { "lsn": lsn } });
        ask(&mut node, restore).expect("a person has chosen");
        ask(&mut node, entries).expect("open again");
    }

    #[test]
    fn a_restored_entry_of_the_future_expires_like_one_received_now() {
        let mut node = simulated::node(&SimDisk::new(1));
        let create = json!({ "cmd": "topic_create", "name": "a", "retention_days": 1 });
        ask(&mut node, create).expect("a topic");
        let publish = json!({ "cmd": "publish", "topic": "a", "text": "x" });
        ask(&mut node, publish).expect("an entry");
        let id = *node.state().topics().next().expect("a topic").0;
        // As if another node had received the next one.
        let position = Position {
            network: [9; 32],
            topic: id,
            epoch: 77,
            seq: 1,
            previous: [0; 32],
            access_version: 1,
            time_ms: 1,
        };
        let entry = Entry::sign(&node.keypair, &position, Bytes::new());
        let append = Mutation::Append { entry, received_ms: 1 << 50 };
        let (lsn, _) = node.commit(Now::at(2), append).expect("an entry");
        let restore = json!({ "cmd": "snapshot_restore", "to": { "lsn": lsn } });
        ask(&mut node, restore).expect("a restore");
        let ages: Vec<u64> =
            node.state().entries(id, 0).map(|(_, stored)| stored.received_ms).collect();
        assert_eq!(ages, [2, 3], "the node's clock at the restore");
    }

    #[test]
    fn a_refused_create_or_restore_leaves_the_last_snapshot_due() {
        let mut node = simulated::node(&SimDisk::new(1));
        assert!(node.store.changed());
        let create = json!({ "cmd": "snapshot_create", "labels": ["no label"] });
        assert_eq!(ask(&mut node, create).expect_err("no label").code, "ICN-E0223");
        assert!(node.last_draft(Now::at(3)).is_some());
        let restore = json!({ "cmd": "snapshot_restore", "to": { "lsn": 4000 } });
        assert_eq!(ask(&mut node, restore).expect_err("beyond").code, "ICN-E0214");
        assert!(node.last_draft(Now::at(3)).is_some(), "the image of the present was not written");
    }

    #[test]
    fn a_start_after_a_crash_saves_a_long_log_before_the_node_is_ready() {
        let mut disk = SimDisk::new(1);
        let due = Due { segments: 5, ..Due::default() };
        let policy = icn_snapshot::Policy { due, ..icn_snapshot::Policy::default() };
        let mut saved = Vec::new();
        for life in 1..=20 {
            let mut node = simulated::node_by(&disk, policy);
            let draft = node.draft_after_crash(Now::at(life));
            if let Some(draft) = draft {
                node.store.compactor().save(draft.image).expect("save");
                node.saved(Now::at(life), Ok(()));
                saved.push(life);
            }
            assert_eq!(node.saves, 0);
            // What each life commits, even if it is killed at once.
            let create = json!({ "cmd": "topic_create", "name": format!("t{life}") });
            ask(&mut node, create).expect("a topic");
            node.store.wal().wait(Lsn::new(node.store.lsn()).expect("an LSN")).expect("durable");
            drop(node);
            disk = disk.kill();
        }
        // Of the segments since a snapshot, the newest does not count; nor does the first of all.
        assert_eq!(saved, [8, 14, 20]);
        for life in 21..40 {
            let mut node = simulated::node_by(&disk, policy);
            assert!(node.draft_after_crash(Now::at(life)).is_none(), "{life}: it was stopped");
            let create = json!({ "cmd": "topic_create", "name": format!("t{life}") });
            ask(&mut node, create).expect("a topic");
            node.close().expect("close");
        }
        let weaker = Weakness { subject: Vec::new(), text: "a key is gone".into() };
        let mut node = simulated::node_by(&disk, policy);
        node.recovery.log.clean = false;
        node.guard = Guard::new(&[weaker]);
        assert!(node.draft_after_crash(Now::at(50)).is_none(), "an operator decides first");
        node.guard = Guard::default();
        assert!(node.draft_after_crash(Now::at(50)).is_some());
    }

    #[test]
    fn a_failed_snapshot_is_retried_only_after_the_retry_interval() {
        fn draft(node: &mut Node<SimDisk>, now_ms: u64) -> Option<Box<Draft>> {
            node.step::<()>(Now::at(now_ms), Inputs::tick()).outputs.into_iter().find_map(
                |output| match output.effect {
                    Effect::Save(draft, None) => Some(draft),
                    _ => None,
                },
            )
        }
        let mut node = simulated::node(&SimDisk::new(1));
        let due = 1 + Due::default().age_ms;
        assert!(draft(&mut node, 1).is_none(), "the first record is new");
        let failed = draft(&mut node, due).expect("it is due");
        assert!(draft(&mut node, due).is_none(), "it is under way");
        drop(failed);
        node.saved(Now::at(due), Err("no disk".into()));
        assert!(draft(&mut node, due + RETRY_MS - 1).is_none(), "the disk has just failed");
        let again = draft(&mut node, due + RETRY_MS).expect("it is still due");
        node.store().compactor().save(again.image).expect("save");
        node.saved(Now::at(due + RETRY_MS), Ok(()));
        assert!(draft(&mut node, 2 * due).is_none(), "nothing has changed");
        node.found_damage(Now::at(due));
        assert!(draft(&mut node, due).is_some(), "another one is to take its place");
    }
}
