//! Decides which topics are shared with a peer: those that it subscribes to and may read.

use std::collections::BTreeSet;

use super::message::{Interest, Message, StopReason};
use super::{Changed, LinkError, LinkId, Mesh};
use crate::limits::INTERESTS_MAX;
use crate::log::LogKey;
use crate::mutation::{Mutation, Provenance};
use crate::state::State;
use crate::topic::TopicId;

/// The least time between two commits of a peer's subscriptions.
const PERSIST_PAUSE_MS: u64 = 10_000;

impl Mesh {
    /// Brings every link up to date with what has changed; false if nothing has.
    pub(super) fn settle(&mut self, state: &State, now_ms: u64) -> bool {
        let Some(changed) = self.changed.take() else { return false };
        if changed == Changed::Rights {
            self.links.values_mut().for_each(|link| link.refresh_rights(state, &self.closed));
        }
        self.follow_interests(state, now_ms);
        if changed == Changed::Rights {
            let ids: Vec<LinkId> = self.links.keys().copied().collect();
            for id in ids {
                if let Some(link) = self.links.get_mut(&id) {
                    link.interests_unpersisted = true;
                }
                self.persist_interests(state, now_ms, id);
                self.share(state, id);
            }
        }
        true
    }

    /// Announces the operator's interests, and receives the topics of new ones and no others.
    fn follow_interests(&mut self, state: &State, now_ms: u64) {
        let own = state.subscriptions().filter(|(_, by, _)| *by == Provenance::Local);
        let topics = own.filter_map(|(_, _, subscription)| subscription.topic);
        let wanted: BTreeSet<TopicId> =
            topics.filter(|topic| !self.closed.contains(topic)).collect();
        let given_up: Vec<LogKey> =
            self.sources.keys().filter(|key| !wanted.contains(&key.topic)).copied().collect();
        let new: Vec<TopicId> = wanted.difference(&self.wanted).copied().collect();
        self.wanted = wanted;
        given_up.into_iter().for_each(|key| self.cease(now_ms, key, true));
        self.links.values_mut().for_each(|link| link.wanting.retain_topics(&self.wanted));
        let ids: Vec<LinkId> = self.links.keys().copied().collect();
        for id in ids {
            self.announce_interests(state, now_ms, id);
            self.find_joins(state, id, false);
        }
        for topic in new {
            let keys: Vec<LogKey> = state.heads(topic).map(|(key, _)| *key).collect();
            keys.into_iter().for_each(|key| self.choose_source(state, now_ms, key));
        }
    }

    pub(super) fn receive_interests(
        &mut self,
        state: &State,
        now_ms: u64,
        id: LinkId,
        more: bool,
        list: Vec<Interest>,
    ) -> Result<(), LinkError> {
        self.charge(now_ms, id)?;
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        link.incoming_interests.extend(list);
        if link.incoming_interests.len() > INTERESTS_MAX {
            return Err(LinkError::TooMany);
        }
        if !more {
            link.interests = std::mem::take(&mut link.incoming_interests);
            link.has_announced = true;
            link.interests_unpersisted = true;
            let missing = link.interests.iter().filter(|interest| interest.missing);
            let missing = missing.filter_map(|interest| link.tags.get(&interest.tag));
            let missing = missing.filter(|topic| !self.closed.contains(topic));
            link.serving.offers.extend(missing.copied());
            self.persist_interests(state, now_ms, id);
            self.share(state, id);
        }
        Ok(())
    }

    /// Commits the peer's subscriptions, which outlive its link. The rate of commits is limited.
    pub(super) fn persist_interests(&mut self, state: &State, now_ms: u64, id: LinkId) {
        let time_ms = self.wall_ms;
        let Some(link) = self.links.get_mut(&id) else { return };
        let early = link.persisted_ms.is_some_and(|last| now_ms < last + PERSIST_PAUSE_MS);
        if early || !std::mem::take(&mut link.interests_unpersisted) {
            return;
        }
        let by = Provenance::Peer(link.peer);
        let tags = link.interests.iter().filter_map(|interest| link.tags.get(&interest.tag));
        let wanted: BTreeSet<TopicId> = tags.copied().collect();
        let wanted = wanted.into_iter().filter(|topic| state.may_read(topic, &link.peer).is_ok());
        let wanted: BTreeSet<String> = wanted.map(|topic| topic.to_string()).collect();
        let known: BTreeSet<String> = state
            .subscriptions()
            .filter(|(_, whose, _)| *whose == by)
            .map(|(topic, ..)| topic.to_owned())
            .collect();
        if wanted != known {
            link.persisted_ms = Some(now_ms);
        }
        for topic in wanted.difference(&known).cloned() {
            self.commit(Mutation::Subscribe { topic, by, time_ms });
        }
        for topic in known.difference(&wanted).cloned() {
            self.commit(Mutation::Unsubscribe { topic, by });
        }
    }

    /// Recomputes which topics are shared with the peer.
    pub(super) fn share(&mut self, state: &State, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let mut shared = BTreeSet::new();
        for interest in &link.interests {
            let topic = link.tags.get(&interest.tag).copied();
            // A peer that may not read a topic must not learn that it exists.
            let topic = topic.filter(|topic| !self.closed.contains(topic));
            let Some(topic) = topic.filter(|topic| state.may_read(topic, &link.peer).is_ok())
            else {
                continue;
            };
            if !interest.missing {
                shared.insert(topic);
            }
        }
        let new: Vec<TopicId> = shared.difference(&link.shared).copied().collect();
        let gone: Vec<u64> = link
            .serving
            .cursors
            .iter()
            .filter(|(_, cursor)| !shared.contains(&cursor.key.topic))
            .map(|(handle, _)| *handle)
            .collect();
        // Rights that ended within this turn did not keep heads from being queued.
        link.serving.new_logs.retain(|key| shared.contains(&key.topic));
        link.shared = shared;
        for handle in gone {
            link.serving.drop_cursor(handle);
            link.outbox.push_back(Message::Stop { handle, reason: StopReason::NotServed });
        }
        link.serving.roots.extend(new);
        if link.has_announced {
            let open = link.tags.values().filter(|topic| !self.closed.contains(topic));
            let unshared = open.filter(|topic| !link.shared.contains(topic));
            let unoffered = unshared.filter(|topic| !link.offered.contains(topic)).copied();
            link.serving.unoffered = unoffered.collect();
        }
        self.awake.insert(id);
    }
}
