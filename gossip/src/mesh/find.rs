//! Finds topics by their name: asks known peers and creators, and answers peers.

use std::collections::{BTreeMap, BTreeSet};

use super::join::{admits, is_joined};
use super::link::{Find, Link};
use super::message::Message;
use super::tag::Tag;
use super::{Counter, LinkError, LinkId, Mesh, Step};
use crate::did::Did;
use crate::limits::{FOUND_MAX, PARTICIPANTS_MAX, TRUST_MAX};
use crate::now::Now;
use crate::state::State;
use crate::topic::{Genesis, TopicId};

/// The bytes after which a FOUND takes no further genesis: two of the largest always fit, so that the
/// receiver sees that there are several.
const FOUND_BYTES: usize = 200 << 10;

const _: () = assert!(2 * (1024 + 2 * 32 * PARTICIPANTS_MAX) < FOUND_BYTES);

/// The most FIND on one link that wait for their answer.
const FINDS_MAX: usize = 64;

impl Mesh {
    /// Asks a creator at once for a name, and keeps its answer for the operator.
    pub fn ask_creator(&mut self, now: Now, name: &str, creator: &Did) {
        self.ask_links(now, name, |link| link.peer == *creator);
    }

    /// Searches for topics of a name: asks every known peer, also those that have answered before.
    pub fn search(&mut self, now: Now, name: &str) {
        self.ask_links(now, name, |link| link.known);
    }

    fn ask_links(&mut self, now: Now, name: &str, is_asked: impl Fn(&Link) -> bool) {
        let now_ms = self.advance_clock(now);
        self.candidates.search(name, now_ms);
        for (id, link) in self.links.iter_mut().filter(|(_, link)| is_asked(link)) {
            link.find(name);
            self.awake.insert(*id);
        }
    }

    pub(super) fn receive_find(
        &mut self,
        now_ms: u64,
        id: LinkId,
        tag: Tag,
    ) -> Result<(), LinkError> {
        self.charge(now_ms, id)?;
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        link.serving.finds.insert(tag);
        if link.serving.finds.len() > FINDS_MAX {
            return Err(LinkError::TooMany);
        }
        self.awake.insert(id);
        Ok(())
    }

    pub(super) fn receive_found(
        &mut self,
        state: &State,
        now_ms: u64,
        id: LinkId,
        tag: Tag,
        list: Vec<Genesis>,
    ) -> Result<(), LinkError> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        let Some(name) = link.answered(tag) else {
            // The search may be forgotten meanwhile.
            return self.charge(now_ms, id);
        };
        let peer = link.peer;
        let Some(node) = state.node() else { return Ok(()) };
        for genesis in &list {
            if genesis.spec.name != name || genesis.network != node.network {
                return Err(LinkError::Unasked);
            }
            genesis.verify().map_err(|_| LinkError::BadSignature)?;
        }
        // The answer is complete: the peer offers nothing else under this name any more.
        self.candidates.withdraw(&name, &peer);
        for genesis in &list {
            let admits_us = admits(genesis, &node.did, TRUST_MAX);
            if !self.candidates.add(&name, genesis, admits_us, peer) {
                self.count(Counter::CandidateLeftOut);
            }
        }
        let mut unique: BTreeMap<TopicId, Genesis> =
            list.into_iter().map(|genesis| (genesis.id(), genesis)).collect();
        unique.retain(|_, genesis| genesis.creator == peer && is_joined(state, genesis));
        // Any peer can repeat an old topic of the creator, so only the creator says which one is meant.
        if unique.len() > 1 {
            self.count(Counter::AmbiguousJoin);
        } else if let Some((_, genesis)) = unique.pop_first() {
            self.steps.push_back(Step::AddTopic(Box::new(genesis)));
        }
        Ok(())
    }

    /// Forgets old searches, also on the links.
    pub(super) fn forget_searches(&mut self, state: &State, now_ms: u64) {
        self.candidates.forget(now_ms);
        for link in self.links.values_mut().filter(|link| !link.finds.is_empty()) {
            let joined: BTreeSet<&str> = state.joined_names(&link.peer).collect();
            // A question stays until it is answered: the peer counts it, too.
            link.finds.retain(|name, find| {
                *find == Find::Asked
                    || self.candidates.contains(name)
                    || joined.contains(name.as_str())
            });
        }
    }
}

impl Link {
    /// Asks the peer for a name, also if it has answered before.
    pub(super) fn find(&mut self, name: &str) {
        let find = self.finds.entry(name.to_owned()).or_insert(Find::Due);
        if *find == Find::Answered {
            *find = Find::Due;
        }
    }

    /// The name whose FIND has this tag, which is answered now.
    fn answered(&mut self, tag: Tag) -> Option<String> {
        let binding = self.binding;
        let mut asked = self.finds.iter_mut().filter(|(_, find)| **find == Find::Asked);
        let (name, find) = asked.find(|(name, _)| Tag::of_name(&binding, name) == tag)?;
        *find = Find::Answered;
        Some(name.clone())
    }

    /// The next FIND, if one is due and not too many wait for their answer.
    pub(super) fn next_find(&mut self) -> Option<Message> {
        let asked = self.finds.values().filter(|find| **find == Find::Asked).count();
        let due = self.finds.iter_mut().find(|(_, find)| **find == Find::Due);
        let (name, find) = due.filter(|_| asked < FINDS_MAX)?;
        *find = Find::Asked;
        Some(Message::Find(Tag::of_name(&self.binding, name)))
    }

    pub(super) fn is_find_due(&self) -> bool {
        self.finds.values().any(|find| *find == Find::Due)
    }

    /// The next answer to a FIND of the peer: topics of that name that it may read.
    pub(super) fn next_found(
        &mut self,
        state: &State,
        closed: &BTreeSet<TopicId>,
    ) -> Option<Message> {
        let tag = self.serving.finds.pop_first()?;
        let named = self.name_tags(state).get(&tag).into_iter().flatten();
        let open = named.filter(|id| !closed.contains(id));
        let named = open.filter_map(|id| state.topic(id)).map(|topic| &topic.genesis);
        let mut bytes = 0;
        let fitting = named.take(FOUND_MAX).take_while(|genesis| {
            bytes += genesis.encode().len();
            bytes <= FOUND_BYTES
        });
        Some(Message::Found { tag, list: fitting.cloned().collect() })
    }

    /// The readable topics by the tag of their name, computed when the peer first asks for one.
    fn name_tags(&mut self, state: &State) -> &BTreeMap<Tag, Vec<TopicId>> {
        self.name_tags.get_or_insert_with(|| {
            let mut tags: BTreeMap<Tag, Vec<TopicId>> = BTreeMap::new();
            for id in self.tags.values() {
                if let Some(topic) = state.topic(id) {
                    let tag = Tag::of_name(&self.binding, &topic.genesis.spec.name);
                    tags.entry(tag).or_default().push(*id);
                }
            }
            tags
        })
    }
}
