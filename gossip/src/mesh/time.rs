//! Timers: rounds of roots, ends of pauses, stalled sources, and the clock.

use std::collections::BTreeSet;

use super::link::{Link, Pause};
use super::{Counter, LinkId, Mesh};
use crate::log::LogKey;
use crate::now::Now;
use crate::state::State;

/// The mean interval at which roots are announced again, to one link in turn.
const ROUND_MS: u64 = 10_000;

/// How long a source may send nothing while another peer has announced more entries.
const STALL_MS: u64 = 2000;

/// How long a source may take to catch up with a head that another peer has announced.
const SLOW_SOURCE_MS: u64 = 30_000;

impl Mesh {
    /// Runs all timers that are due. `jitter` is random and spreads the rounds of different nodes.
    pub fn tick(&mut self, state: &State, now: Now, jitter: u64) {
        let now_ms = self.advance_clock(now);
        self.settle(state, now_ms);
        let over = |until_ms: u64| until_ms > self.ticked_ms && until_ms <= now_ms;
        let paused =
            self.paused.iter().filter(|(_, pause)| over(pause.until_ms)).map(|(key, _)| *key);
        let gaps = self.gaps.iter().filter(|(_, until)| over(**until)).map(|(key, _)| *key);
        let due: BTreeSet<LogKey> = paused.chain(gaps).collect();
        self.ticked_ms = now_ms;
        // Old records are removed, since peers can name any number of logs.
        self.paused.retain(|_, pause| now_ms < pause.until_ms.saturating_add(Pause::MOST_MS));
        self.gaps.retain(|_, until_ms| now_ms < until_ms.saturating_add(Pause::MOST_MS));
        due.into_iter().for_each(|key| self.choose_source(state, now_ms, key));
        self.drop_stalled_sources(state, now_ms);
        self.forget_searches(state, now_ms);
        self.tick_refetches(state, now_ms);
        let stale = self.links.iter().filter(|(_, link)| link.interests_stale);
        let stale: Vec<LinkId> = stale.map(|(id, _)| *id).collect();
        stale.into_iter().for_each(|id| self.announce_interests(state, now_ms, id));
        let paced = |link: &Link| {
            let topics = !link.wanting.asking.is_empty() || !link.serving.roots.is_empty();
            topics
                || link.is_find_due()
                || link.is_clock_due(now_ms)
                || !link.wanting.fetches.is_empty()
                || !link.serving.held.is_empty()
                || !link.serving.unoffered.is_empty()
        };
        let paced = self.links.iter().filter(|(_, link)| paced(link));
        self.awake.extend(paced.map(|(id, _)| *id));
        let ids: Vec<LinkId> = self.links.keys().copied().collect();
        ids.iter().for_each(|id| self.persist_interests(state, now_ms, *id));
        if now_ms < self.round_ms {
            return;
        }
        self.round_ms = now_ms + ROUND_MS / 2 + jitter % ROUND_MS;
        self.round += 1;
        self.repeat_joins(state, now_ms);
        let Some(id) = ids.get(self.round % ids.len().max(1)).copied() else { return };
        let Some(link) = self.links.get_mut(&id) else { return };
        link.serving.roots.extend(link.shared.iter().copied());
        self.awake.insert(id);
    }

    /// Takes a reading of the clocks, and returns the elapsed time, which all timers use.
    pub(super) fn advance_clock(&mut self, now: Now) -> u64 {
        self.wall_ms = now.wall_ms;
        self.node_ms = now.node_ms;
        self.now_ms = self.now_ms.max(now.elapsed_ms);
        self.now_ms
    }

    /// Replaces sources that are silent or slow while another peer has announced more entries, and those
    /// that do not answer CEASE.
    fn drop_stalled_sources(&mut self, state: &State, now_ms: u64) {
        self.drop_unresponsive_sources(state, now_ms);
        let mut stalled = Vec::new();
        for (id, link) in &self.links {
            for (key, announced) in &link.wanting.announced {
                let Some(source) = self.sources.get(key).filter(|source| *source != id) else {
                    continue;
                };
                let Some(other) = self.links.get(source) else { continue };
                let progress = other.wanting.handles.get(key);
                let progress = progress.and_then(|handle| other.wanting.wants.get(handle));
                let slow = progress.is_some_and(|wanted| {
                    let idle = now_ms.saturating_sub(wanted.progress_ms) >= STALL_MS;
                    let late = now_ms.saturating_sub(wanted.since_ms) >= SLOW_SOURCE_MS;
                    wanted.ceased_ms.is_none() && (idle || late)
                });
                if slow && *announced > state.head(key).head && !self.pending.contains_key(key) {
                    stalled.push((*source, *key));
                }
            }
        }
        for (source, key) in stalled {
            self.count(Counter::Stalled);
            if let Some(link) = self.links.get_mut(&source) {
                link.wanting.exclude(key);
            }
            self.cease(now_ms, key, false);
        }
    }

    fn drop_unresponsive_sources(&mut self, state: &State, now_ms: u64) {
        let mut left = Vec::new();
        for link in self.links.values_mut() {
            let wants = &link.wanting.wants;
            let is_overdue = |ceased: u64| now_ms >= ceased + STALL_MS;
            let keys = link.wanting.handles.iter().filter(|(_, handle)| {
                wants.get(handle).and_then(|wanted| wanted.ceased_ms).is_some_and(is_overdue)
            });
            let keys: Vec<LogKey> = keys.map(|(key, _)| *key).collect();
            for key in keys {
                // The handle stays valid until STOP: entries still in flight are no fault.
                if let Some(handle) = link.wanting.handles.remove(&key)
                    && let Some(wanted) = link.wanting.wants.get_mut(&handle)
                {
                    wanted.discarded = true;
                }
                link.wanting.exclude(key);
                left.push(key);
            }
        }
        for key in left {
            self.count(Counter::NeverStopped);
            self.sources.remove(&key);
            self.choose_source(state, now_ms, key);
        }
    }
}
