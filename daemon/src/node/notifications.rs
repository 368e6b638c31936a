//! Notifications of what arrived, for subscribers.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use icn_gossip::{State, Stored, TopicId};

/// A notification carries the new entries of a topic up to these limits; beyond them a subscriber asks
/// for a page.
const FRESH_ENTRIES_MAX: u64 = 8;
const FRESH_BYTES_MAX: usize = 4096;

/// What arrived during one turn. Like every output it leaves once everything up to `after` is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notifications {
    /// The last LSN that the notifications depend on.
    pub after: u64,
    /// New entries by topic; also a topic that lost entries to retention.
    pub deliveries: BTreeMap<TopicId, TopicDelivery>,
    /// Whether topics were created or deleted, or the whole state was replaced.
    pub topics_changed: bool,
}

/// What arrived in one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicDelivery {
    /// The index of the last arrival.
    pub last: u64,
    /// All new entries, each with its arrival index; empty when they exceed the limits.
    pub fresh: Vec<(u64, Stored)>,
}

/// Notifications of a turn that is not over.
#[derive(Debug, Default)]
pub(super) struct PendingNotifications {
    /// The first and the last arrival of each topic.
    arrivals: BTreeMap<TopicId, (u64, u64)>,
    /// Topics that lost entries: fresh entries of an earlier notification must not be delivered.
    pruned: BTreeSet<TopicId>,
    topics_changed: bool,
}

impl PendingNotifications {
    /// An entry of `topic` was appended.
    pub(super) fn entry_arrived(&mut self, topic: TopicId, arrival: u64) {
        let (_, last) = self.arrivals.entry(topic).or_insert((arrival, arrival));
        *last = arrival;
    }

    /// Entries of `topic` were pruned.
    pub(super) fn entries_pruned(&mut self, topic: TopicId) {
        self.pruned.insert(topic);
    }

    /// Topics were created or deleted, or the whole state was replaced.
    pub(super) fn topics_changed(&mut self) {
        self.topics_changed = true;
    }

    /// The notifications of the turn that ends with `state` at LSN `after`, if there are any.
    pub(super) fn take(&mut self, state: &State, after: u64) -> Option<Notifications> {
        let Self { arrivals, pruned, topics_changed } = mem::take(self);
        if arrivals.is_empty() && pruned.is_empty() && !topics_changed {
            return None;
        }
        let delivery = |(topic, (first, last))| {
            let fresh = fresh(state, topic, first, last).unwrap_or_default();
            (topic, TopicDelivery { last, fresh })
        };
        let mut deliveries: BTreeMap<_, _> = arrivals.into_iter().map(delivery).collect();
        for topic in pruned {
            deliveries.entry(topic).or_insert_with(|| {
                let last = state.last_arrival(&topic);
                TopicDelivery { last, fresh: Vec::new() }
            });
        }
        Some(Notifications { after, deliveries, topics_changed })
    }
}

/// The entries from `first` to `last`, if they are within the limits, all retained, and readable here.
fn fresh(state: &State, topic: TopicId, first: u64, last: u64) -> Option<Vec<(u64, Stored)>> {
    let count = last - first + 1;
    let may_read = state.may_read(&topic, &state.node()?.did).is_ok();
    if first <= state.topic(&topic)?.readmitted {
        // Pruned already, and its index was given to a readmitted entry.
        return None;
    }
    if count > FRESH_ENTRIES_MAX || !may_read {
        return None;
    }
    let entries = state.entries(topic, first - 1).map(|(at, stored)| (at, stored.clone()));
    let entries: Vec<_> = entries.collect();
    let bytes: usize = entries.iter().map(|(_, stored)| stored.entry.encoded_bytes()).sum();
    (entries.len() as u64 == count && bytes <= FRESH_BYTES_MAX).then_some(entries)
}

#[cfg(test)]
mod tests {
    use icn_gossip::{Entry, Keypair, LogKey, Mutation, Now, Position};
    use icn_wal::disk::SimDisk;

    use super::*;
    use crate::control::request::Request;
    use crate::node::{Inputs, Node, simulated};

    fn entry(topic: TopicId, seq: u64) -> Entry {
        let position = Position {
            network: [9; 32],
            topic,
            epoch: 3,
            seq,
            previous: [0; 32],
            access_version: 1,
            time_ms: 5,
        };
        Entry::sign(&Keypair::from_seed([5; 32]), &position, "text".into())
    }

    fn step(node: &mut Node<SimDisk>, lines: &[&str]) -> Option<Notifications> {
        let request = |line: &&str| ((), Request::from_line(line.as_bytes()).expect("a request"));
        let inputs = Inputs::requests(lines.iter().map(request).collect());
        let turn = node.step(Now::at(1), inputs);
        assert_eq!(turn.outputs.len(), lines.len());
        turn.notifications
    }

    #[test]
    fn few_small_arrivals_are_carried_and_many_or_large_ones_only_counted() {
        let mut node = simulated::node(&SimDisk::new(1));
        let created =
            step(&mut node, &[r#"{"v":1,"cmd":"topic_create","name":"a","public":true}"#]);
        assert_eq!(created.expect("a new topic").deliveries, BTreeMap::new());
        let topic = *node.state().topics().next().expect("a topic").0;
        let deliver = |node: &mut Node<SimDisk>, texts: &[&str]| {
            let publish =
                |text: &&str| format!(r#"{{"v":1,"cmd":"publish","topic":"a","text":"{text}"}}"#);
            let lines: Vec<_> = texts.iter().map(publish).collect();
            let lines: Vec<_> = lines.iter().map(String::as_str).collect();
            let notifications = step(node, &lines).expect("arrivals");
            assert_eq!(notifications.after, node.store().lsn());
            notifications.deliveries[&topic].clone()
        };
        let few = deliver(&mut node, &["one", "two"]);
        let fresh: Vec<_> =
            few.fresh.iter().map(|(at, stored)| (*at, &stored.entry.payload()[..])).collect();
        assert_eq!(few.last, 2);
        assert_eq!(fresh, [(1, &b"one"[..]), (2, b"two")]);
        let many = deliver(&mut node, &["x"; 9]);
        assert_eq!(many.last, 11);
        assert_eq!(many.fresh, []);
        let large = deliver(&mut node, &[&"x".repeat(5000)]);
        assert_eq!(large.last, 12);
        assert_eq!(large.fresh, []);
        assert_eq!(step(&mut node, &[]), None);

        // An entry after a gap is an arrival too.
        let entry = entry(topic, 7);
        let key = LogKey::of(&entry);
        node.commit(Now::at(1), Mutation::AppendAfterGap { entry, received_ms: 1 }).expect("a gap");
        assert_eq!(node.state().head(&key).head, 7);
        let delivery = &step(&mut node, &[]).expect("an arrival").deliveries[&topic];
        assert_eq!(delivery.last, 13);
        assert_eq!(delivery.fresh.len(), 1);
    }

    #[test]
    fn pruned_entries_are_not_carried_any_more() {
        let mut node = simulated::node(&SimDisk::new(1));
        step(
            &mut node,
            &[r#"{"v":1,"cmd":"topic_create","name":"a","max_entries":1,"public":true}"#],
        );
        let topic = *node.state().topics().next().expect("a topic").0;
        for last in 1..3 {
            let publish = r#"{"v":1,"cmd":"publish","topic":"a","text":"one"}"#;
            let delivery = &step(&mut node, &[publish]).expect("an arrival").deliveries[&topic];
            assert_eq!(delivery.last, last);
            assert_eq!(delivery.fresh.len(), 1);
        }
        let pruned =
            node.step::<()>(Now::at(2), Inputs::tick()).notifications.expect("a pruned topic");
        assert_eq!(node.state().entries(topic, 0).count(), 1);
        assert_eq!(pruned.after, node.store().lsn());
        assert!(!pruned.topics_changed);
        assert_eq!(pruned.deliveries[&topic], TopicDelivery { last: 2, fresh: Vec::new() });
        assert_eq!(node.step::<()>(Now::at(3), Inputs::tick()).notifications, None);

        // An entry that arrives, is pruned and brought back within one turn is no arrival any more.
        let entry = entry(topic, 1);
        let now = Now::at(4);
        node.commit(now, Mutation::Prune { topic, through: 2 }).expect("pruned");
        for mutation in [
            Mutation::Append { entry: entry.clone(), received_ms: 4 },
            Mutation::Prune { topic, through: 3 },
            Mutation::Readmit { entry, received_ms: 4 },
        ] {
            node.commit(now, mutation).expect("committed");
        }
        let delivery = &step(&mut node, &[]).expect("an arrival").deliveries[&topic];
        assert_eq!(*delivery, TopicDelivery { last: 3, fresh: Vec::new() });
    }
}
