//! The streams that follow topics: what wakes them, and how many there may be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use icn_gossip::{Stored, TopicId};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::control::codes;
use crate::failure::Failure;
use crate::files::Budget;
use crate::node::{Notifications, TopicDelivery};

/// How long a new consumer waits for the cursor of one that has just died.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(1);

/// Durable arrivals that a stream may still wait for.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    last: BTreeMap<TopicId, TopicDelivery>,
    changes: u64,
}

impl Arrivals {
    /// Adds notifications that have become durable.
    pub(crate) fn add(&mut self, notifications: Notifications) {
        if notifications.topics_changed {
            // Every stream requests a page again, which covers earlier arrivals.
            self.last.clear();
            self.changes += 1;
        }
        self.last.extend(notifications.deliveries);
    }

    /// How often the set of topics has changed.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether entries arrived in a topic after `position`.
    pub(crate) fn beyond(&self, topic: &TopicId, position: u64) -> bool {
        self.last.get(topic).is_some_and(|arrived| arrived.last > position)
    }

    /// All entries that arrived in a topic after `position`, if the last notification carried them.
    pub(crate) fn fresh(&self, topic: &TopicId, position: u64) -> Option<Vec<(u64, Stored)>> {
        let fresh = &self.last.get(topic)?.fresh;
        let next = fresh.first().is_some_and(|(arrival, _)| *arrival == position + 1);
        next.then(|| fresh.clone())
    }
}

/// The streams of a node.
#[derive(Clone)]
pub(crate) struct Subscribers {
    arrivals: watch::Receiver<Arrivals>,
    streams_max: usize,
    registry: Arc<Registry>,
}

#[derive(Default)]
struct Registry {
    claims: Mutex<Claims>,
    released: Notify,
}

#[derive(Default)]
struct Claims {
    streams: usize,
    cursors: BTreeSet<Cursor>,
}

/// A topic, by name or id, and a cursor.
type Cursor = (String, String);

/// The right to one stream, with exclusive use of its cursors; dropping it releases both.
pub(crate) struct Slot {
    registry: Arc<Registry>,
    cursors: Vec<Cursor>,
}

impl Subscribers {
    /// No streams yet; `arrivals` wakes them.
    pub(crate) fn new(arrivals: watch::Receiver<Arrivals>) -> Self {
        Self { arrivals, streams_max: Budget::of_process().streams, registry: Arc::default() }
    }

    /// The durable arrivals.
    pub(crate) fn arrivals(&self) -> watch::Receiver<Arrivals> {
        self.arrivals.clone()
    }

    /// A slot for one more stream.
    ///
    /// # Errors
    /// `ICN-E0334` when all slots are in use.
    pub(crate) fn register(&self) -> Result<Slot, Failure> {
        let mut claims = self.registry.claims.lock();
        let most = self.streams_max;
        if claims.streams >= most {
            let message = format!("{most} consumers follow topics of this node already.");
            return Err(Failure::new(codes::TOO_MANY_CONSUMERS, message));
        }
        claims.streams += 1;
        Ok(Slot { registry: Arc::clone(&self.registry), cursors: Vec::new() })
    }
}

impl Slot {
    /// Claims a cursor for the life of this slot. A cursor in use is waited for during a second: a new
    /// consumer may start before the death of the old one is noticed.
    ///
    /// # Errors
    /// `ICN-E0333` when it is in use.
    pub(crate) async fn claim_cursor(&mut self, topic: &str, cursor: &str) -> Result<(), Failure> {
        let wanted = (topic.to_owned(), cursor.to_owned());
        if self.cursors.contains(&wanted) {
            return Ok(());
        }
        let registry = Arc::clone(&self.registry);
        let claimed = tokio::time::timeout(HANDOVER_TIMEOUT, async {
            loop {
                let released = registry.released.notified();
                tokio::pin!(released);
                // From here on no release is missed.
                released.as_mut().enable();
                if registry.claims.lock().cursors.insert(wanted.clone()) {
                    return;
                }
                released.await;
            }
        });
        claimed.await.map_err(|_| {
            let message =
                format!("The cursor {cursor:?} in {topic} is in use by another consumer.");
            Failure::new(codes::CURSOR_IN_USE, message)
        })?;
        self.cursors.push(wanted);
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut claims = self.registry.claims.lock();
        claims.streams -= 1;
        for cursor in &self.cursors {
            claims.cursors.remove(cursor);
        }
        drop(claims);
        self.registry.released.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscribers() -> Subscribers {
        Subscribers::new(watch::channel(Arrivals::default()).1)
    }

    #[test]
    fn carried_entries_serve_only_a_stream_positioned_right_before_them() {
        let topic = TopicId::from_bytes([1; 32]);
        let position = icn_gossip::Position {
            network: [0; 32],
            topic,
            epoch: 1,
            seq: 1,
            previous: [0; 32],
            access_version: 1,
            time_ms: 1,
        };
        let keypair = icn_gossip::Keypair::from_seed([1; 32]);
        let entry = icn_gossip::Entry::sign(&keypair, &position, "text".into());
        let stored = Stored { lsn: 9, received_ms: 1, entry };
        let fresh = vec![(6, stored.clone()), (7, stored)];
        let mut arrivals = Arrivals::default();
        let of = |last, fresh| BTreeMap::from([(topic, TopicDelivery { last, fresh })]);
        arrivals.add(Notifications {
            after: 9,
            deliveries: of(7, fresh.clone()),
            topics_changed: false,
        });
        assert_eq!(arrivals.fresh(&topic, 5), Some(fresh));
        for position in [4, 6, 7] {
            assert_eq!(arrivals.fresh(&topic, position), None, "{position}");
        }
        arrivals.add(Notifications {
            after: 10,
            deliveries: of(20, Vec::new()),
            topics_changed: false,
        });
        assert_eq!(arrivals.fresh(&topic, 7), None);
        assert!(arrivals.beyond(&topic, 7));
    }

    #[tokio::test]
    async fn a_cursor_has_one_consumer_at_a_time() {
        let subscribers = subscribers();
        let mut one = subscribers.register().unwrap();
        let mut other = subscribers.register().unwrap();
        one.claim_cursor("a", "app").await.unwrap();
        one.claim_cursor("a", "app").await.unwrap();
        other.claim_cursor("b", "app").await.unwrap();
        assert_eq!(other.claim_cursor("a", "app").await.unwrap_err().code, "ICN-E0333");
        // `other` is still waiting when `one` ends.
        let waiting = tokio::spawn(async move { other.claim_cursor("a", "app").await });
        tokio::task::yield_now().await;
        drop(one);
        waiting.await.unwrap().unwrap();
    }

    #[test]
    fn streams_beyond_the_limit_are_refused() {
        let subscribers = subscribers();
        let most = subscribers.streams_max;
        let mut slots: Vec<_> = (0..most).map(|_| subscribers.register().unwrap()).collect();
        assert_eq!(subscribers.register().map(drop).unwrap_err().code, "ICN-E0334");
        slots.pop();
        subscribers.register().map(drop).unwrap();
    }
}
