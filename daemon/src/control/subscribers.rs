//! Who follows, and what wakes them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use icn_gossip::{Stored, TopicId};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::failure::{Failure, exit};
use crate::node::{Notifications, TopicDelivery};

/// Connections that may follow at once. Each holds a page in memory while its consumer does not read.
const FOLLOWERS_MAX: usize = 256;

/// How long to wait for a consumer that has just died to be noticed.
const HANDOVER: Duration = Duration::from_secs(1);

/// What has arrived and is durable, as far as anybody may still wait for it.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    last: BTreeMap<TopicId, TopicDelivery>,
    changes: u64,
}

impl Arrivals {
    /// Takes in what has become durable.
    pub(crate) fn add(&mut self, notifications: Notifications) {
        if notifications.topics_changed {
            // Everybody looks again, so nothing from before is waited for.
            self.last.clear();
            self.changes += 1;
        }
        self.last.extend(notifications.deliveries);
    }

    /// How often topics have come or gone.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether anything has arrived in a topic behind `position`.
    pub(crate) fn beyond(&self, topic: &TopicId, position: u64) -> bool {
        self.last.get(topic).is_some_and(|arrived| arrived.last > position)
    }

    /// All that has arrived in a topic behind `position`, if it is at hand.
    pub(crate) fn fresh(&self, topic: &TopicId, position: u64) -> Option<Vec<(u64, Stored)>> {
        let fresh = &self.last.get(topic)?.fresh;
        let next = fresh.first().is_some_and(|(arrival, _)| *arrival == position + 1);
        next.then(|| fresh.clone())
    }
}

/// All that follow.
#[derive(Clone)]
pub(crate) struct Followers {
    arrivals: watch::Receiver<Arrivals>,
    open: Arc<Open>,
}

#[derive(Default)]
struct Open {
    taken: Mutex<Taken>,
    left: Notify,
}

#[derive(Default)]
struct Taken {
    followers: usize,
    cursors: BTreeSet<Cursor>,
}

/// A topic, by name or id, and a cursor.
type Cursor = (String, String);

/// The right to follow, with the cursors that nobody else may use meanwhile.
pub(crate) struct Place {
    open: Arc<Open>,
    cursors: Vec<Cursor>,
}

impl Followers {
    /// Nobody yet.
    pub(crate) fn new(arrivals: watch::Receiver<Arrivals>) -> Self {
        Self { arrivals, open: Arc::default() }
    }

    /// What wakes a follower.
    pub(crate) fn arrivals(&self) -> watch::Receiver<Arrivals> {
        self.arrivals.clone()
    }

    /// A place for one more.
    ///
    /// # Errors
    /// `ICN-E0334` when there are too many.
    pub(crate) fn enter(&self) -> Result<Place, Failure> {
        let mut taken = self.open.taken.lock();
        if taken.followers >= FOLLOWERS_MAX {
            let message = format!("{FOLLOWERS_MAX} consumers follow already.");
            let advice = "End one of them, or start one that serves several.";
            return Err(Failure::new("ICN-E0334", exit::FAILED, message, advice));
        }
        taken.followers += 1;
        Ok(Place { open: Arc::clone(&self.open), cursors: Vec::new() })
    }
}

impl Place {
    /// Takes a cursor for as long as this lives. One that is in use may be let go within a second:
    /// the death of a consumer shows a little later than the next one starts.
    ///
    /// # Errors
    /// `ICN-E0333` when it is in use.
    pub(crate) async fn take(&mut self, topic: &str, cursor: &str) -> Result<(), Failure> {
        let wanted = (topic.to_owned(), cursor.to_owned());
        if self.cursors.contains(&wanted) {
            return Ok(());
        }
        let open = Arc::clone(&self.open);
        let taken = tokio::time::timeout(HANDOVER, async {
            loop {
                let left = open.left.notified();
                tokio::pin!(left);
                // From here on nobody's leaving is missed.
                left.as_mut().enable();
                if open.taken.lock().cursors.insert(wanted.clone()) {
                    return;
                }
                left.await;
            }
        });
        taken.await.map_err(|_| {
            let message =
                format!("The cursor {cursor:?} in {topic} is in use by another consumer.");
            let advice = "Two would each get a part. End the other one, or choose another name.";
            Failure::new("ICN-E0333", exit::REFUSED, message, advice)
        })?;
        self.cursors.push(wanted);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.open.taken.lock();
        taken.followers -= 1;
        for cursor in &self.cursors {
            taken.cursors.remove(cursor);
        }
        drop(taken);
        self.open.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn followers() -> Followers {
        Followers::new(watch::channel(Arrivals::default()).1)
    }

    #[test]
    fn what_is_at_hand_is_told_only_to_whoever_is_just_before_it() {
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
        let followers = followers();
        let (mut one, mut other) = (followers.enter().unwrap(), followers.enter().unwrap());
        one.take("a", "app").await.unwrap();
        one.take("a", "app").await.unwrap();
        other.take("b", "app").await.unwrap();
        assert_eq!(other.take("a", "app").await.unwrap_err().code, "ICN-E0333");
        // The other one is still waiting when the first one leaves.
        let waiting = tokio::spawn(async move { other.take("a", "app").await });
        tokio::task::yield_now().await;
        drop(one);
        waiting.await.unwrap().unwrap();
    }

    #[test]
    fn so_many_follow_and_no_more() {
        let followers = followers();
        let mut places: Vec<_> = (0..FOLLOWERS_MAX).map(|_| followers.enter().unwrap()).collect();
        assert_eq!(followers.enter().map(drop).unwrap_err().code, "ICN-E0334");
        places.pop();
        followers.enter().map(drop).unwrap();
    }
}
