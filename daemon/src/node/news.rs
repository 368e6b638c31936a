//! What has happened that somebody may be waiting for.

use std::collections::BTreeMap;
use std::mem;

use icn_gossip::{Mutation, Outcome, TopicId};
use icn_wal::Disk;

use super::Node;

/// What has arrived since it was asked for last. Like every output it may leave the node once
/// everything up to `after` is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The last LSN whose durability it depends on.
    pub after: u64,
    /// The topics in which entries have arrived, each with its last arrival.
    pub arrivals: BTreeMap<TopicId, u64>,
    /// Topics have come or gone, or everything may have.
    pub topics: bool,
}

impl News {
    /// The topic that `mutation` may bring something to.
    pub(super) fn topic_of(mutation: &Mutation) -> Option<TopicId> {
        match mutation {
            Mutation::Append { entry, .. } => Some(entry.header().topic),
            Mutation::DeleteTopic(topic) => Some(*topic),
            _ => None,
        }
    }

    /// A mutation about `topic` came to this.
    pub(super) fn note(&mut self, topic: Option<TopicId>, outcome: &Outcome) {
        match (topic, outcome) {
            (Some(topic), Outcome::Appended { arrival, .. }) => {
                self.arrivals.insert(topic, *arrival);
            }
            (Some(_), Outcome::Done) | (_, Outcome::TopicCreated(_)) => self.topics = true,
            _ => {}
        }
    }

    /// Everything may be another.
    pub(super) fn everything(&mut self) {
        self.topics = true;
    }
}

impl<D: Disk> Node<D> {
    /// The news since the last call, if there are any.
    pub fn news(&mut self) -> Option<News> {
        if self.news.arrivals.is_empty() && !self.news.topics {
            return None;
        }
        Some(News { after: self.store.lsn(), ..mem::take(&mut self.news) })
    }
}
