//! An author log, the entries of one author in one topic and epoch: its head, and what may follow.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::did::Did;
use crate::entry::Entry;
use crate::topic::TopicId;

/// Names one author log. An author starts a new epoch in every run, so no position is used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogKey {
    /// The topic.
    pub topic: TopicId,
    /// The author.
    pub author: Did,
    /// The author's epoch: random, one for each run of the author's node.
    pub epoch: u64,
}

impl LogKey {
    /// The author log that `entry` belongs to.
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        let header = entry.header();
        Self { topic: header.topic, author: header.author, epoch: header.epoch }
    }

    /// The range of all author logs of a topic.
    pub(crate) fn all_of(topic: TopicId) -> RangeInclusive<Self> {
        let log = |key, epoch| Self { topic, author: Did::from_trusted(key), epoch };
        log([0; 32], 0)..=log([0xFF; 32], u64::MAX)
    }
}

/// The head of an author log. It outlives the log's entries, so that a replay of any age is refused by
/// its position alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// The sequence number of the last accepted entry, 0 for none.
    pub head: u64,
    /// The hash of the last accepted entry.
    #[serde(with = "serde_bytes")]
    pub head_hash: [u8; 32],
    /// Two entries that the author signed for one position. They prove why the log is frozen. The first one is
    /// this node's, if it has accepted one of them.
    pub proof: Option<Box<(Entry, Entry)>>,
    /// The sequence number after which this node's copy begins, 0 for the start. No peer had the entries
    /// up to it any more when this node first received from the log.
    #[serde(default)]
    pub base: u64,
    /// The first and the last position of which this node has published the message again. Only a forked log
    /// of its own has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<(u64, u64)>,
}

/// How an entry relates to its author log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The entry follows the head.
    Next,
    /// The log holds the entry, or held it before it was pruned.
    Duplicate,
    /// The log holds a different entry by the same author at this position.
    Equivocation,
    /// Entries between the head and this one are missing.
    Gap,
    /// The log is frozen and accepts no entry from its fork on.
    Frozen,
}

impl Log {
    /// The position of the fork: the lowest one at which two different entries are known.
    #[must_use]
    pub fn fork(&self) -> Option<u64> {
        self.proof.as_ref().map(|proof| proof.0.header().seq)
    }

    /// Whether the histories are known to part exactly at the fork: both name the same entry before it.
    #[must_use]
    pub fn is_fork_exact(&self) -> bool {
        self.proof
            .as_ref()
            .is_some_and(|proof| proof.0.header().previous == proof.1.header().previous)
    }

    /// The last entry that is exchanged with peers, and its hash: the head, or the last one before the fork.
    /// Position 0 for none.
    #[must_use]
    pub fn shared_head(&self) -> (u64, [u8; 32]) {
        match self.proof.as_ref().map(|proof| proof.0.header()) {
            Some(forked) if forked.seq <= self.head => {
                (forked.seq.saturating_sub(1), forked.previous)
            }
            _ => (self.head, self.head_hash),
        }
    }

    /// Whether entries before the fork, or after the head of a log without one, may still be received.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.fork().is_none_or(|fork| self.head + 1 < fork)
    }

    /// Classifies a correctly signed entry by its position alone. `here` is the retained entry at that
    /// position, if there is one.
    #[must_use]
    pub fn classify(&self, entry: &Entry, here: Option<&Entry>) -> Relation {
        let header = entry.header();
        if self.fork().is_some_and(|fork| header.seq >= fork) {
            Relation::Frozen
        } else if header.seq == 0 {
            Relation::Gap
        } else if header.seq <= self.head {
            match here {
                Some(here) if here.hash() != entry.hash() => Relation::Equivocation,
                _ => Relation::Duplicate,
            }
        } else if header.seq == self.head + 1 && header.previous == self.head_hash {
            Relation::Next
        } else {
            // With the next position but another previous hash, the author has two histories. Only the
            // other previous entry can prove it; until it is received, the entry is treated as a gap.
            Relation::Gap
        }
    }
}
