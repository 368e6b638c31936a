//! The log of one author in one topic, and what may follow in it.

use serde::{Deserialize, Serialize};

use crate::did::Did;
use crate::entry::Entry;
use crate::topic::TopicId;

/// Names one log. An author starts a new epoch after a restore, so that no place is used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogKey {
    /// The topic.
    pub topic: TopicId,
    /// The author.
    pub author: Did,
    /// The run of the author's log.
    pub epoch: u64,
}

impl LogKey {
    /// The log that `entry` belongs to.
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        let header = entry.header();
        Self { topic: header.topic, author: header.author, epoch: header.epoch }
    }
}

/// How far a log has come. It outlives its entries: whatever is at or before the head is known for
/// ever, so a replay of any age is refused by its position alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// The last entry accepted, 0 for none.
    pub head: u64,
    /// Its hash.
    #[serde(with = "serde_bytes")]
    pub head_hash: [u8; 32],
    /// Two entries by the author for one place: the log is frozen, and this is why.
    pub proof: Option<Box<(Entry, Entry)>>,
    /// The last entry that was gone everywhere when this node first heard of the log, 0 for none: what
    /// it has begins after it.
    #[serde(default)]
    pub base: u64,
}

/// What an entry is to a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// It comes next.
    Next,
    /// It is already there, or was before it was pruned.
    Duplicate,
    /// Another entry by the same author has this place.
    Equivocation,
    /// Something is missing in between.
    Gap,
    /// The log is frozen.
    Frozen,
}

impl Log {
    /// Judges a correctly signed entry by its place alone. `here` is the retained entry at that
    /// place, if there is one.
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
            // The place is next but the entry before is another one: the author has two histories,
            // and only the other entry can prove it. Until it comes, something is missing.
            Relation::Gap
        }
    }
}
