//! Enters the topics that the operator has joined: what is offered, asked and accepted.
//!
//! Invariant: an unknown peer receives the same messages whatever the operator has joined or searches for.
//! Only a peer that has proven to read a topic, or that created it, is asked for it.

use std::collections::{BTreeMap, BTreeSet};

use super::link::{Find, Link};
use super::message::{Interest, Message};
use super::tag::Tag;
use super::{Counter, LinkError, LinkId, Mesh, Step};
use crate::did::Did;
use crate::limits::{
    BATCH_BYTES_MAX, IN_FLIGHT_BYTES_MAX, INTERESTS_MAX, INTERESTS_PER_MESSAGE, PROVEN_MAX,
    TRUST_MAX,
};
use crate::mutation::Provenance;
use crate::state::State;
use crate::topic::{Genesis, TopicId, name_is_valid};
use crate::topic_ref::TopicRef;

/// Whether the operator has joined this topic, and it can be entered.
pub(super) fn is_joined(state: &State, genesis: &Genesis) -> bool {
    let by_name = TopicRef::NameBy(&genesis.spec.name, genesis.creator);
    (state.awaits(TopicRef::Id(genesis.id())) || state.awaits(by_name)) && can_enter(state, genesis)
}

/// Whether the topic is missing, the state accepts it, and this node may read it. A genesis that the state
/// refuses would be logged each time that it is offered.
fn can_enter(state: &State, genesis: &Genesis) -> bool {
    let Some(node) = state.node() else { return false };
    state.topic(&genesis.id()).is_none()
        && genesis.network == node.network
        && name_is_valid(&genesis.spec.name)
        && admits(genesis, &node.did, TRUST_MAX)
}

/// Whether the topic lets `did`, trusted `trust` of 1000, read.
pub(super) fn admits(genesis: &Genesis, did: &Did, trust: u16) -> bool {
    let access = genesis.spec.access.view();
    access.admits(did, trust) || (access.is_open() && genesis.creator == *did)
}

/// Whether the topic lets a peer read. A list of members is decoded only if it can contain the peer.
fn lets_read(genesis: &Genesis, peer: &Did, trust: u16) -> bool {
    let access = genesis.spec.access.as_bytes();
    let is_list = access.len() > peer.key().len();
    let is_listed = || access.windows(peer.key().len()).any(|key| key == peer.key());
    (!is_list || genesis.creator == *peer || is_listed()) && admits(genesis, peer, trust)
}

/// The most answers with the genesis of one topic that may be in flight.
const ANSWERS_MAX: u8 = 100;

/// The number of messages that carry a list of interests. An empty list is sent as well.
fn message_count(list: &[Interest]) -> usize {
    list.len().div_ceil(INTERESTS_PER_MESSAGE).max(1)
}

impl Mesh {
    /// Announces the topics that the operator subscribes to and the peer may know of, if the list has
    /// changed. Defers it if the peer would get too many lists.
    pub(super) fn announce_interests(&mut self, state: &State, now_ms: u64, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        // The new list has about as many messages as the last one. Making it visits every subscription.
        let before = link.announced.as_ref().map_or(1, |list| message_count(list));
        let full = link.in_flight >= IN_FLIGHT_BYTES_MAX;
        link.interests_stale = full || !link.interests_budget.has(now_ms, before);
        if link.interests_stale {
            return;
        }
        let (mut list, asked) = link.interests_to_announce(state, &self.closed);
        link.left_out = list.len().saturating_sub(INTERESTS_MAX);
        list.truncate(INTERESTS_MAX);
        if link.announced.as_ref() == Some(&list) {
            return;
        }
        link.interests_stale = !link.interests_budget.take_many(now_ms, message_count(&list));
        if link.interests_stale {
            return;
        }
        if link.asked.len() > INTERESTS_MAX {
            link.asked.retain(|topic, _| asked.contains(topic));
        }
        for topic in asked {
            let answers = link.asked.entry(topic).or_default();
            *answers = (*answers + 1).min(ANSWERS_MAX);
        }
        let messages = message_count(&list);
        for at in 1..=messages {
            let page = list.iter().skip((at - 1) * INTERESTS_PER_MESSAGE);
            let page = page.take(INTERESTS_PER_MESSAGE).copied().collect();
            link.outbox.push_back(Message::Interests { more: at < messages, list: page });
        }
        link.announced = Some(list);
        self.awake.insert(id);
        if link.left_out > 0 {
            self.count(Counter::InterestsLeftOut);
        }
    }

    /// Asks peers again for what is missing: they may have had nothing to offer, or this node no room.
    pub(super) fn repeat_joins(&mut self, state: &State, now_ms: u64) {
        let ids: Vec<LinkId> = self.links.keys().copied().collect();
        for id in ids {
            let Some(link) = self.links.get_mut(&id) else { continue };
            let is_missing = |list: &Vec<Interest>| list.iter().any(|interest| interest.missing);
            if link.announced.as_ref().is_some_and(is_missing) {
                link.announced = None;
            }
            self.announce_interests(state, now_ms, id);
            self.find_joins(state, id, true);
        }
    }

    /// Asks the creator of a topic that the operator has joined by name. Other peers do not learn the name.
    pub(super) fn find_joins(&mut self, state: &State, id: LinkId, again: bool) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let creator = link.peer;
        for name in state.joined_names(&creator) {
            if again {
                link.find(name);
            } else {
                link.finds.entry(name.to_owned()).or_insert(Find::Due);
            }
            self.awake.insert(id);
        }
    }

    pub(super) fn receive_topics(
        &mut self,
        state: &State,
        now_ms: u64,
        id: LinkId,
        list: Vec<Genesis>,
    ) -> Result<(), LinkError> {
        let mut by_creator = false;
        let mut ignored = false;
        for genesis in list {
            let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
            let topic = genesis.id();
            let was_asked = link.take_answer(&topic);
            // An unasked genesis is handled alike whether it is joined, known or neither, unless the peer may
            // read it: what is joined and was not heeded is asked for, since a peer offers each topic once.
            if !was_asked && !link.offers_budget.take_many(now_ms, genesis.encode().len()) {
                self.count(Counter::OfferIgnored);
                ignored = true;
                let is_missed =
                    state.awaits(TopicRef::Id(topic)) && self.prove_reader(state, id, &genesis);
                if let Some(link) = self.links.get_mut(&id) {
                    link.interests_stale |= is_missed;
                }
                continue;
            }
            by_creator |= genesis.creator == link.peer;
            self.prove_reader(state, id, &genesis);
            if !state.awaits(TopicRef::Id(topic)) || !can_enter(state, &genesis) {
                continue;
            }
            match genesis.verify() {
                Ok(()) => self.steps.push_back(Step::AddTopic(Box::new(genesis))),
                Err(_) if was_asked => return Err(LinkError::BadSignature),
                // A link that ends would show that the topic is joined.
                Err(_) => self.count(Counter::OfferIgnored),
            }
        }
        if ignored {
            self.charge(now_ms, id)?;
        }
        if by_creator {
            // The creator may have just made the topic that is joined by its name.
            self.find_joins(state, id, true);
        }
        Ok(())
    }

    /// Notes that the peer has proven to read a topic, if the rule lets it; true if that is new. The id is a
    /// hash of the rule: a peer that shows the genesis of a joined id has the real one. Its signature matters
    /// only once the topic is entered.
    fn prove_reader(&mut self, state: &State, id: LinkId, genesis: &Genesis) -> bool {
        let Some(link) = self.links.get_mut(&id) else { return false };
        let topic = genesis.id();
        let trust = state.peer(&link.peer).map_or(0, |peer| peer.trust);
        if link.proven.contains(&topic) || !lets_read(genesis, &link.peer, trust) {
            return false;
        }
        if link.proven.len() >= PROVEN_MAX {
            self.count(Counter::OfferIgnored);
            return false;
        }
        link.proven.insert(topic)
    }
}

impl Link {
    /// Whether a genesis answers a list of interests; each one does once.
    fn take_answer(&mut self, topic: &TopicId) -> bool {
        let Some(answers) = self.asked.get_mut(topic) else { return false };
        *answers -= 1;
        if *answers == 0 {
            self.asked.remove(topic);
        }
        true
    }

    /// The interests that this peer may know of, and those of which it is asked for the genesis. The peer
    /// may read each topic, or has proven that it does where the genesis is missing. Sorted by tag, so
    /// that the order shows nothing.
    fn interests_to_announce(
        &self,
        state: &State,
        closed: &BTreeSet<TopicId>,
    ) -> (Vec<Interest>, BTreeSet<TopicId>) {
        let own = state.subscriptions().filter(|(_, by, _)| *by == Provenance::Local);
        let mut interests: BTreeMap<Tag, Interest> = BTreeMap::new();
        let mut asked = BTreeSet::new();
        for (text, _, subscription) in own {
            let (topic, missing) = match (subscription.topic, text.parse()) {
                (Some(topic), _) => (topic, false),
                (None, Ok(topic)) => (topic, true),
                (None, Err(_)) => continue,
            };
            let may_know = if missing {
                self.proven.contains(&topic)
            } else {
                !closed.contains(&topic) && state.may_read(&topic, &self.peer).is_ok()
            };
            if may_know {
                let tag = self.tag(&topic);
                interests.insert(tag, Interest { tag, missing });
                if missing {
                    asked.insert(topic);
                }
            }
        }
        (interests.into_values().collect(), asked)
    }

    /// The next offers: topics that the peer may read and has announced no interest in. The peer may have
    /// joined one, and reveals that only to a peer that has shown the genesis.
    pub(super) fn next_offer(&mut self, state: &State, now_ms: u64) -> Option<Message> {
        let mut list = Vec::new();
        let mut bytes = 0;
        while let Some(id) = self.serving.unoffered.first().copied() {
            if let Some(topic) = state.topic(&id) {
                let more = topic.genesis.encode().len();
                let is_full = !list.is_empty() && bytes + more > BATCH_BYTES_MAX;
                if is_full || !self.offering_budget.take_many(now_ms, more) {
                    break;
                }
                bytes += more;
                list.push(topic.genesis.clone());
            }
            self.serving.unoffered.remove(&id);
            self.offered.insert(id);
        }
        (!list.is_empty()).then_some(Message::Topics(list))
    }

    /// The next geneses that the peer has asked for.
    pub(super) fn next_asked(&mut self, state: &State) -> Option<Message> {
        let mut list = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH_BYTES_MAX
            && let Some(id) = self.serving.offers.pop_first()
        {
            if let Some(topic) = state.topic(&id) {
                bytes += topic.genesis.encode().len();
                list.push(topic.genesis.clone());
            }
        }
        (!list.is_empty()).then_some(Message::Topics(list))
    }
}
