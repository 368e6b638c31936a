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
    /// Two entries that the author signed for one position. They prove why the log is frozen.
    pub proof: Option<Box<(Entry, Entry)>>,
    /// The sequence number after which this node's copy begins, 0 for the start. No peer had the entries
    /// up to it any more when this node first received from the log.
    #[serde(default)]
    pub base: u64,
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
    /// The log is frozen and accepts no entry.
    Frozen,
}

impl Log {
    /// Classifies a correctly signed entry by its position alone. `here` is the retained entry at that
    /// position, if there is one.
    #[must_use]
    pub fn classify(&self, entry: &Entry, here: Option<&Entry>) -> Relation {
        let header = entry.header();
        if self.proof.is_some() {
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
