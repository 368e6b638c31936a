//! What has happened that somebody may be waiting for.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use icn_gossip::{Mutation, Outcome, State, Stored, TopicId};
use icn_wal::disk::Disk;

use super::Node;

/// So few entries of one topic, and bytes of them, are told with the news: whoever follows need not
/// ask for them.
const FRESH_ENTRIES: u64 = 8;
const FRESH_BYTES: usize = 4096;

/// What has arrived since it was asked for last. Like every output it may leave the node once
/// everything up to `after` is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The last LSN whose durability it depends on.
    pub after: u64,
    /// The topics in which entries have arrived.
    pub arrivals: BTreeMap<TopicId, Arrived>,
    /// Topics have come or gone, or everything may have.
    pub topics: bool,
}

/// What has arrived in a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// The last arrival.
    pub last: u64,
    /// All that has arrived, in order and each with its arrival; nothing if that is much.
    pub fresh: Vec<(u64, Stored)>,
}

/// What there is to tell next time.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// The first arrival and the last.
    arrivals: BTreeMap<TopicId, (u64, u64)>,
    /// Where entries were let go: what was told of them before is to be told no more.
    pruned: BTreeSet<TopicId>,
    topics: bool,
}

impl Noted {
    /// The topic that `mutation` may bring something to.
    pub(super) fn topic_of(mutation: &Mutation) -> Option<TopicId> {
        match mutation {
            Mutation::Append { entry, .. } | Mutation::AppendAfterGap { entry, .. } => {
                Some(entry.header().topic)
            }
            Mutation::DeleteTopic(topic) => Some(*topic),
            _ => None,
        }
    }

    /// A mutation about `topic` came to this.
    pub(super) fn note(&mut self, topic: Option<TopicId>, outcome: &Outcome) {
        match (topic, outcome) {
            (Some(topic), Outcome::Appended { arrival, .. }) => {
                let (_, last) = self.arrivals.entry(topic).or_insert((*arrival, *arrival));
                *last = *arrival;
            }
            (Some(_), Outcome::Done) | (_, Outcome::TopicCreated(_)) => self.topics = true,
            _ => {}
        }
    }

    /// Entries of this topic were let go.
    pub(super) fn prune(&mut self, topic: TopicId) {
        self.pruned.insert(topic);
    }

    /// Everything may be another.
    pub(super) fn everything(&mut self) {
        self.topics = true;
    }
}

impl<D: Disk> Node<D> {
    /// The news since the last call, if there are any.
    pub fn news(&mut self) -> Option<News> {
        let Noted { arrivals, pruned, topics } = mem::take(&mut self.noted);
        if arrivals.is_empty() && pruned.is_empty() && !topics {
            return None;
        }
        let state = self.state();
        let arrived = |(topic, (first, last))| {
            let fresh = fresh(state, topic, first, last).unwrap_or_default();
            (topic, Arrived { last, fresh })
        };
        let mut arrivals: BTreeMap<_, _> = arrivals.into_iter().map(arrived).collect();
        for topic in pruned {
            arrivals.entry(topic).or_insert_with(|| {
                let last = state.last_arrival(&topic);
                Arrived { last, fresh: Vec::new() }
            });
        }
        Some(News { after: self.store.lsn(), arrivals, topics })
    }
}

/// The entries that have arrived, if they are few, small, all there and may be read here.
fn fresh(state: &State, topic: TopicId, first: u64, last: u64) -> Option<Vec<(u64, Stored)>> {
    let count = last - first + 1;
    let may_read = state.may_read(&topic, &state.node()?.did).is_ok();
    if count > FRESH_ENTRIES || !may_read {
        return None;
    }
    let entries = state.entries(topic, first - 1).map(|(at, stored)| (at, stored.clone()));
    let entries: Vec<_> = entries.collect();
    let bytes: usize = entries.iter().map(|(_, stored)| stored.entry.encoded_bytes()).sum();
    (entries.len() as u64 == count && bytes <= FRESH_BYTES).then_some(entries)
}

#[cfg(test)]
mod tests {
    use icn_gossip::{Entry, Keypair, LogKey, Position};
    use icn_wal::disk::SimDisk;

    use super::*;
    use crate::control::request::Request;
    use crate::node::simulated;

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

    #[test]
    fn what_is_little_is_told_whole_and_what_is_much_by_its_end() {
        let mut node = simulated::node(&SimDisk::new(1));
        let line = r#"{"v":1,"cmd":"topic_create","name":"a"}"#;
        let request = Request::from_line(line.as_bytes()).expect("a request");
        let outputs = node.step::<()>(1, Vec::new(), vec![((), request)]);
        assert_eq!(outputs.len(), 1);
        let topic = *node.state().topics().next().expect("a topic").0;
        assert_eq!(node.news().expect("news").arrivals, BTreeMap::new());
        let publish = |node: &mut Node<SimDisk>, text: String| {
            let request = Request::Publish { topic: "a".into(), text: Some(text), base64: None };
            node.step(1, Vec::new(), vec![((), request)]);
        };
        let arrived = |node: &mut Node<SimDisk>, texts: &[&str]| {
            texts.iter().for_each(|text| publish(node, (*text).to_owned()));
            let news = node.news().expect("news");
            assert_eq!(news.after, node.store().lsn());
            news.arrivals[&topic].clone()
        };
        let few = arrived(&mut node, &["one", "two"]);
        let fresh: Vec<_> =
            few.fresh.iter().map(|(at, stored)| (*at, &stored.entry.payload()[..])).collect();
        assert_eq!((few.last, &fresh[..]), (2, &[(1, &b"one"[..]), (2, b"two")][..]));
        let many = arrived(&mut node, &["x"; 9]);
        assert_eq!((many.last, many.fresh.len()), (11, 0));
        let large = arrived(&mut node, &[&"x".repeat(5000)]);
        assert_eq!((large.last, large.fresh.len()), (12, 0));
        assert_eq!(node.news(), None);

        // What comes after a gap comes, too.
        let entry = entry(topic, 7);
        let key = LogKey::of(&entry);
        node.commit(1, Mutation::AppendAfterGap { entry, received_ms: 1 }).expect("a gap");
        assert_eq!(node.state().head(&key).head, 7);
        let news = node.news().expect("news");
        assert_eq!((news.arrivals[&topic].last, news.arrivals[&topic].fresh.len()), (13, 1));
    }

    #[test]
    fn what_was_let_go_is_told_no_more() {
        let mut node = simulated::node(&SimDisk::new(1));
        let ask = |node: &mut Node<SimDisk>, line: &str| {
            let request = Request::from_line(line.as_bytes()).expect("a request");
            node.step(1, Vec::new(), vec![((), request)]);
            node.news().expect("news")
        };
        ask(&mut node, r#"{"v":1,"cmd":"topic_create","name":"a","max_entries":1}"#);
        let topic = *node.state().topics().next().expect("a topic").0;
        for fresh in 1..3 {
            let line = r#"{"v":1,"cmd":"publish","topic":"a","text":"one"}"#;
            let news = ask(&mut node, line);
            assert_eq!((news.arrivals[&topic].last, news.arrivals[&topic].fresh.len()), (fresh, 1));
        }
        node.tick::<()>(2);
        assert_eq!(node.state().entries(topic, 0).count(), 1);
        let news = node.news().expect("news");
        assert_eq!((news.after, news.topics), (node.store().lsn(), false));
        assert_eq!(news.arrivals[&topic], Arrived { last: 2, fresh: Vec::new() });
        node.tick::<()>(3);
        assert_eq!(node.news(), None);
    }
}
