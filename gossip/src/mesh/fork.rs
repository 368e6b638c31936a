//! Forks, two histories by one author: their detection, proof and announcement.

use super::link::Link;
use super::message::Message;
use super::{Action, Batch, Counter, LinkError, LinkId, Mesh, Purpose, Step};
use crate::entry::Entry;
use crate::log::LogKey;
use crate::mutation::Mutation;
use crate::now::Now;
use crate::state::State;

/// The most disputes and proofs of one peer that wait to be checked.
const EVIDENCE_MAX: usize = 256;

/// The most searches for the lowest fork of a log on one link: enough for two histories of 65 536 entries each.
/// An author that proves ever lower forks makes no more.
const SEARCHES_MAX: u8 = 16;

impl Mesh {
    /// Sends a peer this node's entry at a position where the peer has a different one. A later one follows
    /// only for a lower position.
    pub(super) fn dispute(&mut self, state: &State, id: LinkId, key: &LogKey, seq: u64) {
        self.count(Counter::Disputed);
        let Some(link) = self.links.get_mut(&id) else { return };
        let is_new = link.forks.disputed.get(key).is_none_or(|lowest| seq < *lowest);
        if is_new && state.entry_at(key, seq).is_some() {
            link.forks.disputed.insert(*key, seq);
            link.serving.disputes.insert((*key, seq));
            self.awake.insert(id);
        }
    }

    /// Sends a peer the proof by which a log is frozen.
    pub(super) fn prove(&mut self, state: &State, id: LinkId, key: LogKey) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if state.head(&key).proof.is_some() && link.forks.proved.insert(key) {
            link.serving.proofs.insert(key);
            self.awake.insert(id);
        }
    }

    pub(super) fn receive_dispute(
        &mut self,
        state: &State,
        now_ms: u64,
        id: LinkId,
        entry: Entry,
    ) -> Result<(), LinkError> {
        let key = LogKey::of(&entry);
        let seq = entry.header().seq;
        let here = state.entry_at(&key, seq);
        let differs = here.is_some_and(|stored| stored.entry.hash() != entry.hash());
        if differs && self.may_freeze(state, id, &key, seq) {
            return self.queue_evidence(id, Purpose::Dispute, vec![entry]);
        }
        self.count(Counter::DisputeWithoutEffect);
        self.charge_unless_frozen(state, now_ms, id, &key)
    }

    pub(super) fn receive_proof(
        &mut self,
        state: &State,
        now_ms: u64,
        id: LinkId,
        proof: (Entry, Entry),
    ) -> Result<(), LinkError> {
        let (one, other) = proof;
        let key = LogKey::of(&one);
        let seq = one.header().seq;
        let same = key == LogKey::of(&other) && seq == other.header().seq;
        if same && one.hash() != other.hash() && self.may_freeze(state, id, &key, seq) {
            return self.queue_evidence(id, Purpose::Proof, vec![one, other]);
        }
        self.count(Counter::ProofWithoutEffect);
        self.charge_unless_frozen(state, now_ms, id, &key)
    }

    /// Looks for a lower fork: sends the peers this node's entries 1, 2, 4, 8 … positions before the known one. A
    /// peer with another entry at one of them answers with a proof, and the search goes on from there. It ends
    /// at the proof whose two entries have the same one before them.
    fn search_fork(&mut self, state: &State, key: LogKey, peers: &[LinkId]) {
        let log = state.head(&key);
        let Some(fork) = log.fork().filter(|fork| !log.is_fork_exact() && *fork <= log.head) else {
            return;
        };
        let steps = std::iter::successors(Some(1_u64), |step| step.checked_mul(2));
        let probes: Vec<u64> = steps.map_while(|step| fork.checked_sub(step)).collect();
        for id in peers {
            let Some(link) = self.links.get_mut(id) else { continue };
            let searches = link.forks.searches.entry(key).or_default();
            if *searches == SEARCHES_MAX {
                continue;
            }
            *searches += 1;
            let retained = probes.iter().filter(|seq| state.entry_at(&key, **seq).is_some());
            link.serving.disputes.extend(retained.map(|seq| (key, *seq)));
        }
    }

    /// Evidence against a log that is already frozen is late, not a fault. A peer that may not read the
    /// topic is charged, as for an unknown topic.
    fn charge_unless_frozen(
        &mut self,
        state: &State,
        now_ms: u64,
        id: LinkId,
        key: &LogKey,
    ) -> Result<(), LinkError> {
        let may_read = |link: &Link| link.tags.contains_key(&link.tag(&key.topic));
        if state.head(key).proof.is_some() && self.links.get(&id).is_some_and(may_read) {
            return Ok(());
        }
        self.charge(now_ms, id)
    }

    /// Whether evidence by this peer can freeze the log at this position or lower its fork to it: both nodes
    /// share its topic.
    fn may_freeze(&self, state: &State, id: LinkId, key: &LogKey, seq: u64) -> bool {
        let common = self.links.get(&id).is_some_and(|link| {
            link.shared.contains(&key.topic) || link.serves.contains(&key.topic)
        });
        common && state.head(key).fork().is_none_or(|fork| seq < fork)
    }

    fn queue_evidence(
        &mut self,
        id: LinkId,
        purpose: Purpose,
        entries: Vec<Entry>,
    ) -> Result<(), LinkError> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        if link.evidence.len() >= EVIDENCE_MAX {
            return Err(LinkError::TooMany);
        }
        link.evidence.push_back(Batch { link: id, purpose, entries });
        self.check_next_evidence(id);
        Ok(())
    }

    fn check_next_evidence(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if !link.checking_evidence
            && let Some(batch) = link.evidence.pop_front()
        {
            link.checking_evidence = true;
            self.emit(Action::Verify(batch));
        }
    }

    /// The signatures of a dispute or proof were checked and match.
    pub(super) fn evidence_checked(&mut self, id: LinkId, purpose: Purpose, entries: Vec<Entry>) {
        if let Some(link) = self.links.get_mut(&id) {
            link.checking_evidence = false;
        }
        self.check_next_evidence(id);
        let mut entries = entries.into_iter();
        let action = match (purpose, entries.next(), entries.next()) {
            // Appending the entry detects the equivocation and keeps both entries as proof.
            (Purpose::Dispute, Some(entry), None) => {
                *self.pending.entry(LogKey::of(&entry)).or_default() += 1;
                Action::Append { entry: Box::new(entry), after_gap: false }
            }
            (Purpose::Proof, Some(one), Some(other)) => {
                Action::Commit(Box::new(Mutation::Fork(Box::new((one, other)))))
            }
            _ => return,
        };
        self.emit(action);
    }

    /// A log was frozen, or a lower fork of it was found: every peer that shares its topic is sent the proof.
    pub fn frozen(&mut self, state: &State, now: Now, key: LogKey) {
        let now_ms = self.advance_clock(now);
        self.count(Counter::Frozen);
        self.cease(now_ms, key, true);
        let (end, _) = state.head(&key).shared_head();
        let mut concerned = Vec::new();
        for (id, link) in &mut self.links {
            if !link.shared.contains(&key.topic) && !link.serves.contains(&key.topic) {
                continue;
            }
            let serving = &mut link.serving;
            let handle = serving.handles.get(&key).copied();
            let is_over =
                |handle: &u64| serving.cursors.get(handle).is_none_or(|cursor| cursor.sent >= end);
            if let Some(handle) = handle.filter(is_over) {
                serving.drop_cursor(handle);
                let reason = super::StopReason::Frozen;
                link.outbox.push_back(Message::Stop { handle, reason });
            }
            link.wanting.announced.remove(&key);
            // Once more, if it was sent with a higher fork.
            link.forks.proved.remove(&key);
            concerned.push(*id);
        }
        concerned.iter().for_each(|id| self.prove(state, *id, key));
        // What is before the fork may still be missing.
        self.steps.push_back(Step::ChooseSource(key));
        self.search_fork(state, key, &concerned);
        if state.node().is_some_and(|node| (node.did, node.epoch) == (key.author, key.epoch)) {
            // Another process writes in this epoch, in whatever topic.
            self.epoch_is_fresh = false;
            self.emit(Action::BeginEpoch);
        }
    }
}
