//! Forks: the proofs that freeze author logs, and messages of this node that it publishes again.

use super::{Outcome, State};
use crate::entry::Entry;
use crate::log::{Log, LogKey};
use crate::now::Now;
use crate::reject::Reject;

impl State {
    /// All frozen author logs. Visits every author log.
    pub fn forks(&self) -> impl Iterator<Item = (&LogKey, &Log)> {
        self.logs.iter().filter(|(_, log)| log.proof.is_some())
    }

    /// A new epoch for this node. Two copies of a running node may draw the same random number. So the time and
    /// the heads of its present logs count, too: after a fork, the copies differ in one of them.
    #[must_use]
    pub fn new_epoch(&self, random: u64, now: Now) -> u64 {
        let mut hasher = blake3::Hasher::new();
        for number in [random, now.wall_ms, now.elapsed_ms, now.node_ms] {
            hasher.update(&number.to_le_bytes());
        }
        if let Some(node) = self.node {
            for topic in self.topics.keys() {
                let key = LogKey { topic: *topic, author: node.did, epoch: node.epoch };
                if let Some(log) = self.logs.get(&key) {
                    hasher.update(&log.head_hash);
                }
            }
        }
        let hash = hasher.finalize();
        hash.as_bytes().first_chunk().map_or(random, |first| u64::from_le_bytes(*first))
    }

    /// The next entry of a forked log of this node whose message is to be published again. Retained entries from
    /// the fork on are, in order. A lower fork, found later, adds entries before them, which follow in reverse.
    #[must_use]
    pub fn next_again(&self, key: &LogKey) -> Option<&Entry> {
        let log = self.logs.get(key)?;
        let fork = log.fork().filter(|_| self.node.is_some_and(|node| node.did == key.author))?;
        let (first, last) = log.again.unwrap_or((fork, fork.saturating_sub(1)));
        self.next_entry(key, last + 1).or_else(|| {
            let before = self.arrivals.range((*key, fork)..(*key, first.max(fork))).next_back();
            let (_, arrival) = before?;
            self.entries.get(&(key.topic, *arrival)).map(|stored| &stored.entry)
        })
    }

    /// The rule of older builds, by which their records are replayed.
    pub(super) fn freeze(&mut self, (one, other): (Entry, Entry)) -> Result<Outcome, Reject> {
        let key = self.check_proof(&one, &other)?;
        let Some(log) = self.logs.get_mut(&key) else { return Err(Reject::OutOfOrder) };
        if log.proof.is_some() {
            return Ok(Outcome::Duplicate);
        }
        log.proof = Some(Box::new((one, other)));
        Ok(Outcome::Done)
    }

    pub(super) fn fork(&mut self, (one, other): (Entry, Entry)) -> Result<Outcome, Reject> {
        let key = self.check_proof(&one, &other)?;
        let seq = one.header().seq;
        if seq == 0 {
            return Err(Reject::OutOfOrder);
        }
        if self.logs.get(&key).and_then(Log::fork).is_some_and(|known| known <= seq) {
            return Ok(Outcome::Duplicate);
        }
        // A node that missed the whole log still gets what is before the fork.
        self.check_log_count(&key)?;
        let log = self.logs.get(&key);
        let head = log.filter(|log| log.head == seq).map(|log| log.head_hash);
        let here = self.entry_at(&key, seq).map(|stored| stored.entry.hash()).or(head);
        let proof = if here == Some(other.hash()) { (other, one) } else { (one, other) };
        self.logs.entry(key).or_default().proof = Some(Box::new(proof));
        // A document lists the logs of topics that have arrivals, even if there are 0.
        self.next_arrivals.entry(key.topic).or_insert(0);
        Ok(Outcome::Done)
    }

    fn check_proof(&self, one: &Entry, other: &Entry) -> Result<LogKey, Reject> {
        let key = LogKey::of(one);
        let alike = key == LogKey::of(other) && one.header().seq == other.header().seq;
        if !alike || one.hash() == other.hash() || !self.topics.contains_key(&key.topic) {
            return Err(Reject::OutOfOrder);
        }
        self.may_write(&key.topic, &key.author)?;
        Ok(key)
    }

    pub(super) fn publish_again(
        &mut self,
        lsn: u64,
        entry: Entry,
        received_ms: u64,
        epoch: u64,
        seq: u64,
    ) -> Result<Outcome, Reject> {
        let outcome = self.append(lsn, entry.clone(), received_ms)?;
        let forked = LogKey { epoch, ..LogKey::of(&entry) };
        if let (Outcome::Appended { .. }, Some(log)) = (&outcome, self.logs.get_mut(&forked))
            && log.fork().is_some_and(|fork| (fork..=log.head).contains(&seq))
        {
            let (first, last) = log.again.unwrap_or((seq, seq));
            log.again = Some((first.min(seq), last.max(seq)));
        }
        Ok(outcome)
    }
}

impl Log {
    /// Keeps the lower of two proofs, and all that was published again.
    pub(super) fn keep_fork_of(&mut self, other: &Self) {
        if let Some(fork) = other.fork()
            && self.fork().is_none_or(|known| fork < known)
        {
            self.proof.clone_from(&other.proof);
        }
        self.again = match (self.again, other.again) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (one, other) => one.or(other),
        };
    }
}
