//! Readmission: pruned entries that a refetch brings back.
//!
//! Invariant: only an entry that was accepted before can be readmitted. The hash chain leads to it from the
//! head of its log, or from the first retained entry.

use super::{Outcome, State, Stored};
use crate::entry::Entry;
use crate::limits::TOPIC_BYTES_MAX;
use crate::log::LogKey;
use crate::reject::{BoundedList, Reject};

impl State {
    /// The position before the retained entries of a log, and the hash of the entry that was accepted there.
    /// `None` if nothing before them was accepted, or the log is frozen.
    #[must_use]
    pub fn pruned_before(&self, key: &LogKey) -> Option<(u64, [u8; 32])> {
        let log = self.logs.get(key).filter(|log| log.proof.is_none())?;
        let (seq, hash) = match self.next_entry(key, 0).map(Entry::header) {
            Some(first) => (first.seq.checked_sub(1)?, first.previous),
            None => (log.head, log.head_hash),
        };
        (seq > log.base).then_some((seq, hash))
    }

    /// Whether `entry` may be readmitted, and the topic has room for it. Changes nothing; the signature is
    /// not checked.
    ///
    /// # Errors
    /// The [`Reject`] with which the entry would be refused.
    pub fn admit_readmission(&self, entry: &Entry) -> Result<(), Reject> {
        self.readmission_arrival(entry)?;
        let id = entry.header().topic;
        let unknown = || Reject::UnknownTopic { name: id.to_string() };
        let topic = self.topics.get(&id).ok_or_else(unknown)?;
        let bytes = entry.encoded_bytes() as u64;
        let is_full = topic.entries >= u64::from(topic.genesis.spec.max_entries);
        if is_full || topic.bytes + bytes > TOPIC_BYTES_MAX {
            // It would be pruned again at once.
            return Err(Reject::Full { what: BoundedList::Entries });
        }
        self.room().admits_again(topic, bytes).then_some(()).ok_or(Reject::NoRoom)
    }

    /// The arrival for a readmitted entry: the one before all retained entries. Its former entry is pruned,
    /// since pruning removes entries from the lowest arrival on. An entry that a restore has undone may have
    /// none: its own arrival is after those that the restore kept.
    fn readmission_arrival(&self, entry: &Entry) -> Result<u64, Reject> {
        self.admit_anywhere(entry)?;
        let header = entry.header();
        if self.pruned_before(&LogKey::of(entry)) != Some((header.seq, entry.hash())) {
            return Err(Reject::OutOfOrder);
        }
        let first = self.entries(header.topic, 0).next().map(|(arrival, _)| arrival);
        match first.map_or(self.last_arrival(&header.topic), |first| first - 1) {
            0 => Err(Reject::OutOfOrder),
            arrival => Ok(arrival),
        }
    }

    pub(super) fn readmit(
        &mut self,
        lsn: u64,
        entry: Entry,
        received_ms: u64,
    ) -> Result<Outcome, Reject> {
        let arrival = self.readmission_arrival(&entry)?;
        if let Some(topic) = self.topics.get_mut(&entry.header().topic) {
            topic.readmitted = topic.readmitted.max(arrival);
        }
        self.retain(arrival, Stored { lsn, received_ms, entry });
        Ok(Outcome::Done)
    }
}
