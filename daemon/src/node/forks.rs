//! Forks of author logs: what they show, and messages of this node that it publishes again after one.

use std::collections::BTreeMap;

use icn_gossip::{Did, Entry, LogKey, Mutation, Now, State, TopicId};
use icn_wal::disk::Disk;

use super::Node;
use crate::exit;
use crate::failure::Failure;
use crate::text::counted;

/// How long after the last fork of an author the check warns: a day.
const WARN_MS: u64 = 24 * 60 * 60 * 1000;

/// How long a fork is searched for a lower one before messages are published again. A peer answers at once.
const SEARCH_MS: u64 = 30_000;

/// The most messages that a tick publishes again, so that no turn becomes long.
const AGAIN_PER_TICK: usize = 64;

/// The most authors whose forks are remembered.
const AUTHORS_MAX: usize = 64;

/// The forks of the last day, and what is to be done about those of this node.
#[derive(Default)]
pub(super) struct Forks {
    /// Forked logs of this node, of which messages are to be published again, with the time of the first proof.
    due: BTreeMap<LogKey, u64>,
    /// The last fork of each author.
    seen: BTreeMap<Did, Seen>,
}

struct Seen {
    topic: TopicId,
    until_ms: u64,
}

impl Forks {
    /// The forks that a state holds. They are as old as their newer entry says.
    pub(super) fn of(state: &State, machine: Now) -> Self {
        let mut forks = Self::default();
        for (key, log) in state.forks() {
            let Some(proof) = &log.proof else { continue };
            let newer_ms = proof.0.header().time_ms.max(proof.1.header().time_ms);
            let age_ms = machine.wall_ms.saturating_sub(newer_ms);
            forks.see(state, key, machine.elapsed_ms + WARN_MS.saturating_sub(age_ms));
            if state.next_again(key).is_some() {
                forks.due.insert(*key, machine.elapsed_ms);
            }
        }
        forks
    }

    /// A log was frozen, or a lower fork of it was found.
    pub(super) fn found(&mut self, state: &State, now: Now, key: LogKey) {
        self.see(state, &key, now.elapsed_ms + WARN_MS);
        if state.next_again(&key).is_some() {
            self.due.entry(key).or_insert(now.elapsed_ms);
        }
    }

    /// Another process writes in this node's present epoch.
    pub(super) fn shared(&mut self, now: Now, key: &LogKey) {
        let seen = Seen { topic: key.topic, until_ms: now.elapsed_ms + WARN_MS };
        self.seen.insert(key.author, seen);
    }

    fn see(&mut self, state: &State, key: &LogKey, until_ms: u64) {
        let ours = state.node().map(|node| node.did);
        let others = self.seen.iter().filter(|(did, _)| Some(**did) != ours);
        if self.seen.len() >= AUTHORS_MAX
            && !self.seen.contains_key(&key.author)
            && let Some((oldest, _)) = others.min_by_key(|(_, seen)| seen.until_ms)
        {
            let oldest = *oldest;
            self.seen.remove(&oldest);
        }
        let known_ms = self.seen.get(&key.author).map_or(0, |seen| seen.until_ms);
        if until_ms > known_ms {
            self.seen.insert(key.author, Seen { topic: key.topic, until_ms });
        }
    }

    /// What the operator is to know of the forks of the last day.
    pub(super) fn warning(&self, state: &State, machine: Now) -> Option<String> {
        let name = |id: &TopicId| {
            let topic = state.topic(id).map(|topic| topic.genesis.spec.name.clone());
            topic.unwrap_or_else(|| id.to_string())
        };
        let ours = state.node().map(|node| node.did);
        let recent = || self.seen.iter().filter(|(_, seen)| machine.elapsed_ms < seen.until_ms);
        if let Some((_, seen)) = recent().find(|(did, _)| Some(**did) == ours) {
            let rest = if self.due.is_empty() {
                String::new()
            } else {
                let logs = counted(self.due.len() as u64, "author log");
                format!(" Messages of {logs} are being published again.")
            };
            return Some(format!(
                "another process signs messages as this node, the last in {}: it is a clone of this machine, or \
                 uses a copy of identity.key. End one of them; the check identity shows where it runs, if that is \
                 known. Both go on in epochs of their own, and consumers may get messages of the time before twice.{rest}",
                name(&seen.topic)
            ));
        }
        let (did, seen) = recent().max_by_key(|(_, seen)| seen.until_ms)?;
        let authors = counted(recent().count() as u64, "author");
        Some(format!(
            "{authors} signed two messages for one place, the last {did} in {}: two processes use one identity.key. \
             Ask its operator to end one. What an honest node wrote arrives again in a new epoch, and consumers \
             may get it twice",
            name(&seen.topic)
        ))
    }
}

impl<D: Disk> Node<D> {
    /// Publishes again what peers do not accept, since this node's log is forked.
    pub(super) fn publish_again(&mut self, now: Now) {
        let mut left = AGAIN_PER_TICK;
        for (key, since_ms) in self.forks.due.clone() {
            let may_begin = now.elapsed_ms >= since_ms + SEARCH_MS;
            if !may_begin && !self.state().head(&key).is_fork_exact() {
                continue;
            }
            while let Some(entry) = self.state().next_again(&key).cloned() {
                if left == 0 {
                    return;
                }
                left -= 1;
                match self.publish_entry_again(now, &entry) {
                    Ok(()) => {}
                    // Once there is room, it goes on.
                    Err(failure) if failure.exit == exit::NO_SPACE => return,
                    // The topic was deleted, or its rule no longer lets this node write.
                    Err(_) => break,
                }
            }
            self.forks.due.remove(&key);
        }
    }

    fn publish_entry_again(&mut self, now: Now, before: &Entry) -> Result<(), Failure> {
        let header = *before.header();
        // The time of the message, unless the clock was ahead.
        let time_ms = header.time_ms.min(now.wall_ms);
        let entry = self.next_entry(now, header.topic, time_ms, before.payload().clone())?;
        let (received_ms, epoch, seq) = (now.node_ms, header.epoch, header.seq);
        self.commit(now, Mutation::PublishAgain { entry, received_ms, epoch, seq }).map(drop)
    }
}
