//! Joining topics, and what peers offer under a name.

use std::collections::BTreeSet;

use icn_gossip::mesh;
use icn_gossip::{Did, Mutation, Now, Provenance, Reject, TopicRef, name_is_valid};
use icn_wal::disk::Disk;

use super::{Node, bad_did, describe};
use crate::control::codes;
use crate::control::reply::join::Candidate;
use crate::control::reply::{Reply, TopicCandidates, TopicJoined};
use crate::failure::Failure;

impl<D: Disk> Node<D> {
    /// Joins a topic by its id, or by its name and creator, and subscribes to it.
    pub(super) fn topic_join(&mut self, now: Now, topic: &str, creator: Option<&str>) -> Reply {
        let creator: Option<Did> =
            creator.map(|did| did.parse().map_err(|error| bad_did(did, &error))).transpose()?;
        let joined = match (TopicRef::parse(topic).ok_or_else(|| bad_reference(topic))?, creator) {
            (TopicRef::Name(name), Some(creator)) => TopicRef::NameBy(name, creator),
            (_, Some(_)) => {
                let message = "An id names one topic by itself, so it is joined without --creator.";
                return Err(Failure::new(codes::BAD_REFERENCE, message));
            }
            (TopicRef::Name(name), None) => match self.state().resolve(name) {
                Err(Reject::UnknownTopic { .. }) => {
                    let message =
                        format!("The name {name} alone joins no topic: any peer may use it.");
                    return Err(self.name_alone(name, message));
                }
                Err(reject) => return Err(reject.into()),
                Ok(_) => TopicRef::Name(name),
            },
            (reference, None) => reference,
        };
        let text = joined.to_string();
        let already = self.is_subscribed(&text)?;
        if !already {
            let by = Provenance::Local;
            let topic = text.clone();
            self.commit(now, Mutation::Subscribe { topic, by, time_ms: now.wall_ms })?;
        }
        if let TopicRef::NameBy(name, creator) = joined
            && self.pending_join(&text)
            && !already
        {
            self.mesh.ask_creator(now, name, &creator);
        }
        let state = self.state();
        let own = state.own_subscription(&text).and_then(|subscription| subscription.topic);
        let topic = own.or_else(|| state.resolve(&text).ok());
        let candidates = match (joined, topic) {
            (TopicRef::NameBy(name, creator), None) => {
                let by_creator = |one: &&mesh::Candidate| {
                    one.admits_us && one.creator == creator && one.offered_by.contains(&creator)
                };
                let offered = self.mesh.candidates(name).filter(by_creator);
                offered.map(describe::candidate).collect()
            }
            _ => Vec::new(),
        };
        let reply = TopicJoined {
            lsn: self.store.lsn(),
            reference: text,
            pending: topic.is_none(),
            already,
            connected: self.mesh.links().count() as u64,
            topic: topic.and_then(|id| describe::brief(state, &id)),
            candidates,
        };
        Ok(reply.into())
    }

    /// Lists the candidates for a name, and asks the known peers for more if `search`.
    pub(super) fn topic_candidates(&mut self, now: Now, name: String, search: bool) -> Reply {
        if !name_is_valid(&name) {
            return Err(Reject::BadName.into());
        }
        if search {
            self.mesh.search(now, &name);
        }
        let (asked, answered) = self.mesh.asked_for(&name);
        let candidates = self.candidates(&name);
        let (asked, answered) = (asked as u64, answered as u64);
        Ok(TopicCandidates { name, asked, answered, candidates }.into())
    }

    /// Ends every subscription of the operator to a topic, however it was referred to.
    pub(super) fn unsubscribe(&mut self, now: Now, topic: &str) -> Result<(u64, bool), Failure> {
        let meant = self.own_subscriptions(topic)?;
        for topic in &meant {
            let by = Provenance::Local;
            let topic = topic.clone();
            self.commit(now, Mutation::Unsubscribe { topic, by })?;
        }
        Ok((self.store.lsn(), !meant.is_empty()))
    }

    /// Whether the operator is subscribed to the topic, or waits for it, however it was referred to.
    pub(super) fn is_subscribed(&self, text: &str) -> Result<bool, Failure> {
        Ok(!self.own_subscriptions(text)?.is_empty())
    }

    /// The operator's subscriptions with this text or to the topic that it means.
    fn own_subscriptions(&self, text: &str) -> Result<BTreeSet<String>, Failure> {
        let state = self.state();
        let id = match state.resolve(text) {
            Ok(id) => Some(id),
            // A join by name and creator means the one topic that it has entered.
            Err(Reject::Ambiguous { .. }) if state.own_subscription(text).is_some() => None,
            Err(reject @ Reject::Ambiguous { .. }) => return Err(reject.into()),
            Err(_) => None,
        };
        let topic = id.and_then(|id| state.topic(&id));
        let texts = topic.map_or_else(Default::default, |topic| TopicRef::texts(&topic.genesis));
        let mut meant: BTreeSet<String> = texts
            .into_iter()
            .filter(|other| state.own_subscription(other).is_some_and(|one| one.topic == id))
            .collect();
        meant.extend(state.own_subscription(text).map(|_| text.to_owned()));
        Ok(meant)
    }

    fn pending_join(&self, text: &str) -> bool {
        let own = self.state().own_subscription(text);
        own.is_some_and(|subscription| subscription.topic.is_none())
    }

    /// The refusal to publish to a name that is bound to no topic here, with the known candidates.
    pub(super) fn unbound(&self, reference: TopicRef<'_>) -> Failure {
        let (TopicRef::Name(name) | TopicRef::NameBy(name, _)) = reference else {
            return Reject::UnknownTopic { name: reference.to_string() }.into();
        };
        self.name_alone(name, format!("No topic named {reference} was created or joined here."))
    }

    fn name_alone(&self, name: &str, message: String) -> Failure {
        let advice = format!(
            "See what peers offer: icnctl topic candidates {name}. Then join one: \
             icnctl topic join ID, or icnctl topic join {name} --creator DID"
        );
        let failure = Failure::new(codes::UNBOUND_NAME, message).with_advice(advice);
        Failure { candidates: self.candidates(name), ..failure }
    }

    fn candidates(&self, name: &str) -> Vec<Candidate> {
        self.mesh.candidates(name).map(describe::candidate).collect()
    }
}

fn bad_reference(text: &str) -> Failure {
    let message = format!("{text:?} is neither the id nor the name of a topic.");
    Failure::new(codes::BAD_REFERENCE, message)
}
