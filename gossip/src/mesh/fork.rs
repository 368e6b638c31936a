//! Forks, two histories by one author: their detection, proof and announcement.

use super::link::Link;
use super::message::Message;
use super::{Action, Batch, Counter, LinkError, LinkId, Mesh, Purpose};
use crate::entry::Entry;
use crate::log::LogKey;
use crate::mutation::Mutation;
use crate::now::Now;
use crate::state::State;

/// The most disputes and proofs of one peer that wait to be checked.
const EVIDENCE_MAX: usize = 256;

impl Mesh {
    /// Sends a peer this node's entry at a position where the peer has a different one.
    pub(super) fn dispute(&mut self, state: &State, id: LinkId, key: &LogKey, seq: u64) {
        self.count(Counter::Disputed);
        let Some(link) = self.links.get_mut(&id) else { return };
        if state.entry_at(key, seq).is_some() && link.disputed.insert(*key) {
            link.serving.disputes.insert(*key, seq);
            self.awake.insert(id);
        }
    }

    /// Sends a peer the proof by which a log is frozen.
    pub(super) fn prove(&mut self, state: &State, id: LinkId, key: LogKey) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if state.head(&key).proof.is_some() && link.proved.insert(key) {
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
        let here = state.entry_at(&key, entry.header().seq);
        let differs = here.is_some_and(|stored| stored.entry.hash() != entry.hash());
        if differs && self.is_open(state, id, &key) {
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
        let same = key == LogKey::of(&other) && one.header().seq == other.header().seq;
        if same && one.hash() != other.hash() && self.is_open(state, id, &key) {
            return self.queue_evidence(id, Purpose::Proof, vec![one, other]);
        }
        self.count(Counter::ProofWithoutEffect);
        self.charge_unless_frozen(state, now_ms, id, &key)
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

    /// Whether evidence by this peer can freeze the log: both nodes share its topic.
    fn is_open(&self, state: &State, id: LinkId, key: &LogKey) -> bool {
        let common = self.links.get(&id).is_some_and(|link| {
            link.shared.contains(&key.topic) || link.serves.contains(&key.topic)
        });
        common && state.head(key).proof.is_none()
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
                Action::Commit(Box::new(Mutation::Freeze(Box::new((one, other)))))
            }
            _ => return,
        };
        self.emit(action);
    }

    /// A log was frozen: every peer that shares its topic is sent the proof.
    pub fn frozen(&mut self, state: &State, now: Now, key: LogKey) {
        let now_ms = self.advance_clock(now);
        self.count(Counter::Frozen);
        self.cease(now_ms, key, true);
        let concerned: Vec<LinkId> = self
            .links
            .iter_mut()
            .filter(|(_, link)| {
                link.shared.contains(&key.topic) || link.serves.contains(&key.topic)
            })
            .map(|(id, link)| {
                let handle = link.serving.handles.get(&key).copied();
                if let Some(handle) = handle {
                    link.serving.drop_cursor(handle);
                    let reason = super::StopReason::Frozen;
                    link.outbox.push_back(Message::Stop { handle, reason });
                }
                link.wanting.announced.remove(&key);
                *id
            })
            .collect();
        concerned.into_iter().for_each(|id| self.prove(state, id, key));
        if state.node().is_some_and(|node| (node.did, node.epoch) == (key.author, key.epoch)) {
            self.emit(Action::BeginEpoch);
        }
    }
}
