//! Whether an entry may be appended: the rules of admission, which change nothing.

use super::State;
use crate::entry::Entry;
use crate::limits::{
    LOGS_PER_AUTHOR_MAX, LOGS_PER_TOPIC_MAX, NODE_BYTES_MAX, PAYLOAD_BYTES_MAX, SEQ_MAX,
};
use crate::log::{Log, LogKey, Relation};
use crate::reject::{BoundedList, Reject};

impl State {
    /// Whether `entry` may follow a gap in its author log. Changes nothing; the signature is not checked.
    ///
    /// # Errors
    /// The [`Reject`] with which the entry is to be refused.
    pub fn admit_after_gap(&self, entry: &Entry) -> Result<(), Reject> {
        self.relate_after_gap(entry)?;
        self.check_share(entry)
    }

    /// Whether `entry` is to be appended. Changes nothing; the signature is not checked.
    ///
    /// # Errors
    /// The [`Reject`] with which the entry is to be refused.
    pub fn admit(&self, entry: &Entry) -> Result<Relation, Reject> {
        let relation = self.relate(entry)?;
        if relation == Relation::Next {
            self.check_share(entry)?;
        }
        Ok(relation)
    }

    /// Whether the topic of `entry` has room for it. Applying a record does not ask: how topics divide the
    /// room may change between two builds, and a replay must not.
    fn check_share(&self, entry: &Entry) -> Result<(), Reject> {
        let bytes = entry.encoded_bytes() as u64;
        match self.topics.get(&entry.header().topic) {
            Some(topic) if !self.room().admits(topic, bytes) => Err(Reject::NoRoom),
            _ => Ok(()),
        }
    }

    /// As [`admit_after_gap`](Self::admit_after_gap), by the rules that a replay applies.
    pub(super) fn relate_after_gap(&self, entry: &Entry) -> Result<(), Reject> {
        let header = entry.header();
        let log = self.logs.get(&LogKey::of(entry));
        let after = log.map_or(0, |log| log.head) + 1;
        let fork = log.and_then(Log::fork).unwrap_or(SEQ_MAX);
        if header.seq <= after || header.seq > SEQ_MAX || header.seq >= fork {
            return Err(Reject::OutOfOrder);
        }
        self.admit_anywhere(entry)
    }

    /// As [`admit`](Self::admit), by the rules that a replay applies.
    pub(super) fn relate(&self, entry: &Entry) -> Result<Relation, Reject> {
        let key = LogKey::of(entry);
        let here = self.entry_at(&key, entry.header().seq);
        let none = Log::default();
        let log = self.logs.get(&key).unwrap_or(&none);
        let relation = log.classify(entry, here.map(|stored| &stored.entry));
        match self.admit_anywhere(entry) {
            // A duplicate needs no room.
            Err(Reject::NoRoom | Reject::Full { .. }) if relation != Relation::Next => {}
            other => other?,
        }
        match relation {
            Relation::Gap => Err(Reject::OutOfOrder),
            Relation::Frozen => Err(Reject::Equivocation),
            relation => Ok(relation),
        }
    }

    /// The checks that do not depend on the entry's position.
    pub(super) fn admit_anywhere(&self, entry: &Entry) -> Result<(), Reject> {
        let header = entry.header();
        let bytes = entry.payload().len();
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(Reject::TooLarge { bytes });
        }
        if self.node.is_none_or(|node| node.network != header.network) {
            return Err(Reject::WrongNetwork);
        }
        self.may_write(&header.topic, &header.author)?;
        if self.bytes + entry.encoded_bytes() as u64 > NODE_BYTES_MAX {
            return Err(Reject::NoRoom);
        }
        self.check_log_count(&LogKey::of(entry))
    }

    /// Whether the log is here, or there is room for another one of its author and topic.
    pub(super) fn check_log_count(&self, key: &LogKey) -> Result<(), Reject> {
        let ours = self.node.is_some_and(|node| node.did == key.author);
        if !ours && !self.logs.contains_key(key) {
            // Heads are kept for ever: no author may fill the memory with them.
            let of_topic = self.heads(key.topic).take(LOGS_PER_TOPIC_MAX).count();
            let of_author = self.heads(key.topic).filter(|(other, _)| other.author == key.author);
            if of_topic >= LOGS_PER_TOPIC_MAX || of_author.count() >= LOGS_PER_AUTHOR_MAX {
                return Err(Reject::Full { what: BoundedList::Logs });
            }
        }
        Ok(())
    }
}
