//! Queries of the state.

use super::{NodeId, Peer, State, Stored, Subscription, Topic, UnsignedKey};
use crate::access::{Policy, View};
use crate::clock_stamp::ClockStamp;
use crate::did::Did;
use crate::entry::Entry;
use crate::limits::TOPIC_BYTES_MAX;
use crate::log::{Log, LogKey};
use crate::mutation::Provenance;
use crate::reject::Reject;
use crate::topic::TopicId;
use crate::topic_ref::TopicRef;

/// The number of items of each kind in a state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Known topics.
    pub topics: usize,
    /// Topics that only some identities may read.
    pub private_topics: usize,
    /// Topics that no identity may read, since this build cannot decode their access rule.
    pub sealed_topics: usize,
    /// Author logs, which are the components of the vector clocks.
    pub logs: usize,
    /// Retained entries.
    pub entries: usize,
    /// Subscriptions of the operator and of peers.
    pub subscriptions: usize,
    /// Cursors of consumers.
    pub cursors: usize,
    /// Peers whose signed key is known.
    pub peers: usize,
    /// Unsigned keys of peers.
    pub unsigned_keys: usize,
    /// Bytes of the retained entries.
    pub bytes: u64,
}

impl State {
    /// The node's identity, network and epoch; `None` before the first record.
    #[must_use]
    pub fn node(&self) -> Option<NodeId> {
        self.node
    }

    /// The entered topic that `text` refers to, as a [`TopicRef`].
    ///
    /// # Errors
    /// [`Reject::UnknownTopic`] for no such topic, [`Reject::Ambiguous`] for several with this name.
    pub fn resolve(&self, text: &str) -> Result<TopicId, Reject> {
        let unknown = || Reject::UnknownTopic { name: text.into() };
        let reference = TopicRef::parse(text).ok_or_else(unknown)?;
        if let TopicRef::Id(id) = reference {
            return self.topics.contains_key(&id).then_some(id).ok_or_else(unknown);
        }
        let named = self.topics.iter().filter(|(_, topic)| reference.matches(&topic.genesis));
        let ids: Vec<TopicId> = named.map(|(id, _)| *id).collect();
        match ids.as_slice() {
            [] => Err(unknown()),
            [id] => Ok(*id),
            _ => Err(Reject::Ambiguous { name: text.into(), ids }),
        }
    }

    /// The names under which the operator waits for topics of this creator.
    pub fn joined_names(&self, creator: &Did) -> impl Iterator<Item = &str> {
        let suffix = TopicRef::NameBy("", *creator).to_string();
        let own = self.subscriptions.iter().filter(|((_, by), _)| *by == Provenance::Local);
        let pending = own.filter(|(_, subscription)| subscription.topic.is_none());
        pending.filter_map(move |((text, _), _)| text.strip_suffix(&suffix))
    }

    /// The operator's subscription with this text, if there is one.
    #[must_use]
    pub fn own_subscription(&self, text: &str) -> Option<&Subscription> {
        self.subscriptions.get(&(text.to_owned(), Provenance::Local))
    }

    /// Whether the operator has joined a topic by exactly this reference, and its genesis is missing.
    #[must_use]
    pub fn awaits(&self, reference: TopicRef<'_>) -> bool {
        let own = self.subscriptions.get(&(reference.to_string(), Provenance::Local));
        let pending = own.is_some_and(|subscription| subscription.topic.is_none());
        pending && !matches!(reference, TopicRef::Name(_))
    }

    /// All known topics.
    pub fn topics(&self) -> impl Iterator<Item = (&TopicId, &Topic)> {
        self.topics.iter()
    }

    /// The topic with this id, if it is known.
    #[must_use]
    pub fn topic(&self, id: &TopicId) -> Option<&Topic> {
        self.topics.get(id)
    }

    /// The retained entries of a topic that arrived after `arrival`, in the order of delivery, each
    /// with its arrival.
    pub fn entries(&self, id: TopicId, arrival: u64) -> impl Iterator<Item = (u64, &Stored)> {
        let range = (id, arrival.saturating_add(1))..=(id, u64::MAX);
        self.entries.range(range).map(|((_, arrival), stored)| (*arrival, stored))
    }

    /// The last arrival in a topic, 0 for none.
    #[must_use]
    pub fn last_arrival(&self, id: &TopicId) -> u64 {
        self.next_arrivals.get(id).copied().unwrap_or(0)
    }

    /// The vector clock of a topic: the heads of its author logs.
    pub fn heads(&self, id: TopicId) -> impl Iterator<Item = (&LogKey, &Log)> {
        self.logs.range(LogKey::all_of(id))
    }

    /// The [`shared_head`](Log::shared_head) of each author log of a topic that has one.
    pub(crate) fn shared_heads(
        &self,
        id: TopicId,
    ) -> impl Iterator<Item = (&LogKey, u64, [u8; 32])> {
        let shared = self.heads(id).map(|(key, log)| {
            let (head, hash) = log.shared_head();
            (key, head, hash)
        });
        shared.filter(|(_, head, _)| *head > 0)
    }

    /// The [`heads`](Self::heads) that follow the author log `after`, or all of them.
    pub fn heads_after(
        &self,
        id: TopicId,
        after: Option<LogKey>,
    ) -> impl Iterator<Item = (&LogKey, &Log)> {
        let all = LogKey::all_of(id);
        let logs = self.logs.range(after.unwrap_or(*all.start())..=*all.end());
        logs.skip_while(move |(key, _)| Some(**key) == after)
    }

    /// The head of an author log.
    #[must_use]
    pub fn head(&self, key: &LogKey) -> Log {
        self.logs.get(key).cloned().unwrap_or_default()
    }

    /// The retained entry at a position.
    #[must_use]
    pub fn entry_at(&self, key: &LogKey, seq: u64) -> Option<&Stored> {
        let arrival = self.arrivals.get(&(*key, seq))?;
        self.entries.get(&(key.topic, *arrival))
    }

    /// When the entry at a position first arrived, by the node's clock in ms; `None` if it is not retained,
    /// or was readmitted.
    pub(crate) fn arrived_ms(&self, key: &LogKey, seq: u64) -> Option<u64> {
        let arrival = self.arrivals.get(&(*key, seq))?;
        let topic = self.topics.get(&key.topic)?;
        let stored = self.entries.get(&(key.topic, *arrival))?;
        (*arrival > topic.readmitted).then_some(stored.received_ms)
    }

    /// The first retained entry of an author log at `seq` or after it.
    #[must_use]
    pub fn next_entry(&self, key: &LogKey, seq: u64) -> Option<&Entry> {
        let (_, arrival) = self.arrivals.range((*key, seq)..=(*key, u64::MAX)).next()?;
        self.entries.get(&(key.topic, *arrival)).map(|stored| &stored.entry)
    }

    /// The subscriptions that were made by exactly this text.
    pub(super) fn subscriptions_by<'a>(
        &'a self,
        text: &str,
    ) -> impl Iterator<Item = (&'a (String, Provenance), &'a Subscription)> + use<'a> {
        let first = (text.to_owned(), Provenance::Local);
        let last = (text.to_owned(), Provenance::Peer(Did::from_trusted([0xFF; 32])));
        self.subscriptions.range(first..=last)
    }

    /// All subscriptions, with the name or id that was subscribed to.
    pub fn subscriptions(&self) -> impl Iterator<Item = (&str, Provenance, &Subscription)> {
        self.subscriptions
            .iter()
            .map(|((name, by), subscription)| (name.as_str(), *by, subscription))
    }

    /// All peers whose signed key is known.
    pub fn peers(&self) -> impl Iterator<Item = (&Did, &Peer)> {
        self.peers.iter()
    }

    /// A peer, if its signed key is known.
    #[must_use]
    pub fn peer(&self, did: &Did) -> Option<&Peer> {
        self.peers.get(did)
    }

    /// The unsigned keys. An identity with one is never among [`peers`](Self::peers).
    pub fn unsigned_keys(&self) -> impl Iterator<Item = (&Did, &UnsignedKey)> {
        self.unsigned_keys.iter()
    }

    /// The last reading of the node's clock and the wall clock; `None` before the first.
    #[must_use]
    pub fn clock(&self) -> Option<ClockStamp> {
        self.clock
    }

    /// When the entry with the last LSN was received, by the node's clock in ms; `None` without an entry.
    #[must_use]
    pub fn last_received_ms(&self) -> Option<u64> {
        let of_topic = |id: &TopicId| self.entries.range((*id, 0)..=(*id, u64::MAX)).next_back();
        let last = self.topics.keys().filter_map(of_topic).map(|(_, stored)| stored);
        last.max_by_key(|stored| stored.lsn).map(|stored| stored.received_ms)
    }

    /// The last arrival of a topic to be pruned at `now_ms` of the node's clock, by bytes, count and age
    /// since reception.
    /// `None` if nothing is to be pruned.
    #[must_use]
    pub fn prunable(&self, id: &TopicId, now_ms: u64) -> Option<u64> {
        let topic = self.topics.get(id)?;
        let spec = &topic.genesis.spec;
        let mut entries = topic.entries;
        let mut bytes = topic.bytes;
        let mut through = None;
        for (arrival, stored) in self.entries(*id, 0) {
            let old = stored.received_ms.saturating_add(spec.retention_ms) < now_ms;
            if !old && entries <= u64::from(spec.max_entries) && bytes <= TOPIC_BYTES_MAX {
                break;
            }
            entries -= 1;
            bytes -= stored.entry.encoded_bytes() as u64;
            through = Some(arrival);
        }
        through
    }

    /// The number of items of each kind.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let topics = self.topics.len();
        let views = || self.topics.values().map(|topic| topic.genesis.spec.access.view());
        let public =
            |view: &View| matches!(view, View::Open(access) if access.read == Policy::Public);
        let sealed = views().filter(|view| **view == View::Sealed).count();
        let open = views().filter(|view| public(view)).count();
        Counts {
            topics,
            private_topics: topics - open - sealed,
            sealed_topics: sealed,
            logs: self.logs.len(),
            entries: self.entries.len(),
            subscriptions: self.subscriptions.len(),
            cursors: self.cursors.len(),
            peers: self.peers.len(),
            unsigned_keys: self.unsigned_keys.len(),
            bytes: self.bytes,
        }
    }
}
