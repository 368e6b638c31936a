//! How long the bounded lists of a state are.

use std::collections::BTreeMap;

use super::State;
use crate::mutation::Provenance;

/// The lengths of the bounded lists; of lists of one kind, that of the longest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Cursors, see [`CURSORS_MAX`](crate::limits::CURSORS_MAX).
    pub cursors: usize,
    /// Pending subscriptions of the operator, or of all peers together, see
    /// [`PENDING_MAX`](crate::limits::PENDING_MAX).
    pub pending: usize,
    /// Subscriptions of one topic, see [`SUBSCRIBERS_MAX`](crate::limits::SUBSCRIBERS_MAX).
    pub subscribers: usize,
    /// Author logs of one topic, see [`LOGS_PER_TOPIC_MAX`](crate::limits::LOGS_PER_TOPIC_MAX).
    pub topic_logs: usize,
    /// Author logs of one author in one topic, see
    /// [`LOGS_PER_AUTHOR_MAX`](crate::limits::LOGS_PER_AUTHOR_MAX).
    pub author_logs: usize,
}

impl State {
    /// How long the bounded lists are. Visits every subscription and author log.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let mut usage = Usage { cursors: self.cursors.len(), ..Usage::default() };
        let mut pending = [0; 2];
        let mut subscribers: BTreeMap<_, usize> = BTreeMap::new();
        for ((_, by), subscription) in &self.subscriptions {
            let is_own = *by == Provenance::Local;
            match subscription.topic {
                None => pending[usize::from(is_own)] += 1,
                Some(topic) => *subscribers.entry((topic, is_own)).or_default() += 1,
            }
        }
        usage.pending = pending[0].max(pending[1]);
        usage.subscribers = subscribers.into_values().max().unwrap_or(0);
        // Logs are sorted by topic and author. Those of deleted topics stay, and take no further entry.
        let (mut of_topic, mut of_author) = (0, 0);
        let mut before = None;
        for key in self.logs.keys().filter(|key| self.topics.contains_key(&key.topic)) {
            let is_same_topic = before.is_some_and(|(topic, _)| topic == key.topic);
            of_topic = if is_same_topic { of_topic + 1 } else { 1 };
            of_author = if before == Some((key.topic, key.author)) { of_author + 1 } else { 1 };
            usage.topic_logs = usage.topic_logs.max(of_topic);
            usage.author_logs = usage.author_logs.max(of_author);
            before = Some((key.topic, key.author));
        }
        usage
    }
}
