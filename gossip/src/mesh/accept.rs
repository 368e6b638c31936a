//! Accepts received entries: signature check, append, refusal.

use super::action::{Action, Batch, LinkError, PauseReason, Purpose};
use super::counter::Counter;
use super::{IDLE_MS, Mesh, Step};
use crate::limits::FUTURE_MS_MAX;
use crate::log::LogKey;
use crate::now::Now;
use crate::state::State;

impl Mesh {
    /// The signatures of a batch were checked; `valid` iff all of them match.
    pub fn verified(&mut self, state: &State, now: Now, batch: Batch, valid: bool) {
        let now_ms = self.advance_clock(now);
        self.settle(state, now_ms);
        let Batch { link: id, purpose, entries } = batch;
        match purpose {
            Purpose::Append { key, .. } if !valid || self.is_paused(&key, now_ms) => {
                self.resolve_pending(key, entries.len());
            }
            Purpose::Append { after_gap, .. } => {
                for (index, entry) in entries.into_iter().enumerate() {
                    let after_gap = after_gap && index == 0;
                    self.emit(Action::Append { entry: Box::new(entry), after_gap });
                }
            }
            Purpose::Dispute | Purpose::Proof if valid => {
                self.evidence_checked(id, purpose, entries);
            }
            Purpose::Dispute | Purpose::Proof => {}
            Purpose::Readmit { key, handle } => {
                // A bad signature is no fault of the peer: the hash asked for exactly these entries. Only
                // an imported document that was edited can name such a hash.
                let entries = if valid { entries } else { Vec::new() };
                return self.fetched_checked(state, now_ms, key, handle, entries);
            }
        }
        if !valid {
            self.close(state, now_ms, id, LinkError::BadSignature);
        }
    }

    /// Removes `count` entries of a log from the pending ones: they were appended or refused.
    pub(super) fn resolve_pending(&mut self, key: LogKey, count: usize) {
        let Some(pending) = self.pending.get_mut(&key) else { return };
        *pending = pending.saturating_sub(count);
        if *pending > 0 {
            return;
        }
        self.pending.remove(&key);
        // Meanwhile the source may have disconnected, or the author connected.
        let source = self.sources.get(&key).and_then(|id| self.links.get(id));
        if source.is_none_or(|link| link.peer != key.author) {
            self.steps.push_back(Step::ChooseSource(key));
        }
    }

    /// A received entry was a duplicate.
    pub fn duplicate(&mut self) {
        self.count(Counter::Duplicate);
    }

    /// An entry was appended to this log.
    pub fn appended(&mut self, state: &State, key: LogKey) {
        let log = state.head(&key);
        self.paused.remove(&key);
        self.gaps.remove(&key);
        if !log.is_open() {
            self.cease(self.now_ms, key, true);
        }
        // After an idle time no peer follows the log, so its growth is announced.
        let before = state.arrived_ms(&key, log.head - 1);
        let now = state.arrived_ms(&key, log.head);
        let new = before.is_none_or(|before| now.is_some_and(|now| now > before + IDLE_MS / 2));
        let source = self.sources.get(&key).copied();
        for (id, link) in &mut self.links {
            if source == Some(*id) {
                // The source has the entries from here on.
                link.wanting.gaps.remove(&key);
            }
            if link.wanting.announced.get(&key).is_some_and(|&announced| announced <= log.head) {
                link.wanting.announced.remove(&key);
            }
            if !link.shared.contains(&key.topic) {
                continue;
            }
            if link.serving.wake(&key) {
                self.awake.insert(*id);
            } else if source != Some(*id) && (new || link.serving.declined.contains(&key)) {
                link.serving.declined.remove(&key);
                link.serving.new_logs.insert(key);
                self.awake.insert(*id);
            }
        }
    }

    /// An entry was refused: its log is paused for a while and keeps its head.
    pub fn refused(&mut self, now: Now, key: LogKey, refusal: PauseReason) {
        let latest_ms = now.latest_ms();
        let now_ms = self.advance_clock(now);
        let pause = self.paused.entry(key).or_default();
        pause.begin(now_ms);
        pause.without_room = refusal == PauseReason::NoRoom;
        if let PauseReason::Future { time_ms } = refusal {
            // At most 10 min, however far ahead the entry is: this node's clock may be set right.
            let early_ms = time_ms.saturating_sub(FUTURE_MS_MAX).saturating_sub(latest_ms);
            pause.until_ms = now_ms + early_ms.clamp(1000, 600_000);
            self.notify_author(key, time_ms.saturating_sub(latest_ms));
        }
        self.count(refusal.into());
        // The entries after the refused one cannot be appended either.
        let before = self.steps.len();
        self.steps.retain(|step| {
            !matches!(step, Step::Emit(Action::Append { entry, .. }) if LogKey::of(entry) == key)
        });
        self.resolve_pending(key, before - self.steps.len());
        self.cease(now_ms, key, true);
    }

    pub(super) fn is_paused(&self, key: &LogKey, now_ms: u64) -> bool {
        self.paused.get(key).is_some_and(|pause| now_ms < pause.until_ms)
    }
}
