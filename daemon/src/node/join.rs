//! Joining topics, and what peers offer under a name.

use icn_gossip::{Did, Mutation, Provenance, Reject, TopicRef, name_is_valid};
use icn_wal::disk::Disk;

use super::{Node, bad_did, describe};
use crate::control::codes;
use crate::control::reply::join::Candidate;
use crate::control::reply::{Reply, TopicCandidates, TopicJoined};
use crate::failure::Failure;

impl<D: Disk> Node<D> {
    /// Joins a topic by its id, or by its name and creator, and subscribes to it.
    pub(super) fn topic_join(&mut self, now_ms: u64, topic: &str, creator: Option<&str>) -> Reply {
        let creator: Option<Did> =
            creator.map(|did| did.parse().map_err(|error| bad_did(did, &error))).transpose()?;
        let joined = match (TopicRef::parse(topic).ok_or(Reject::BadName)?, creator) {
            (TopicRef::Name(name), Some(creator)) => TopicRef::NameBy(name, creator),
            (_, Some(_)) => {
                let message = "Only a name is joined with --creator; an id says it already.";
                return Err(Failure::new(codes::BAD_TOPIC_NAME, message));
            }
            (TopicRef::Name(name), None) if self.state().resolve(name).is_err() => {
                let message = format!("The name {name} alone joins no topic: any peer may use it.");
                return Err(self.name_alone(name, message));
            }
            (reference, None) => reference,
        };
        let text = joined.to_string();
        let already = self.is_joined(&text);
        if !already {
            let by = Provenance::Local;
            let topic = text.clone();
            self.commit(now_ms, Mutation::Subscribe { topic, by, time_ms: now_ms })?;
        }
        let state = self.state();
        let entered = state.resolve(&text).ok();
        let candidates = match (joined, entered) {
            (TopicRef::NameBy(name, creator), None) => {
                self.candidates(name, |candidate| candidate == creator)
            }
            _ => Vec::new(),
        };
        let joined = TopicJoined {
            lsn: self.store.lsn(),
            reference: text,
            pending: entered.is_none(),
            already,
            connected: self.mesh.links().count() as u64,
            topic: entered.and_then(|id| describe::brief(state, &id)),
            candidates,
        };
        Ok(joined.into())
    }

    /// Lists the candidates for a name, and asks the known peers for more if `search`.
    pub(super) fn topic_candidates(&mut self, now_ms: u64, name: String, search: bool) -> Reply {
        if !name_is_valid(&name) {
            return Err(Reject::BadName.into());
        }
        if search {
            self.mesh.search(now_ms, &name);
        }
        let (asked, answered) = self.mesh.asked_for(&name);
        let candidates = self.candidates(&name, |_| true);
        let (asked, answered) = (asked as u64, answered as u64);
        Ok(TopicCandidates { name, asked, answered, candidates }.into())
    }

    /// Ends every subscription of the operator to a topic, however it was referred to.
    pub(super) fn unsubscribe(&mut self, now_ms: u64, topic: &str) -> Result<(u64, bool), Failure> {
        let state = self.state();
        let id = state.resolve(topic).ok();
        let own = state.subscriptions().filter(|(_, by, _)| *by == Provenance::Local);
        let meant = own.filter(|(text, _, subscription)| {
            *text == topic || (id.is_some() && subscription.topic == id)
        });
        let meant: Vec<String> = meant.map(|(text, ..)| text.to_owned()).collect();
        for topic in &meant {
            let by = Provenance::Local;
            let topic = topic.clone();
            self.commit(now_ms, Mutation::Unsubscribe { topic, by })?;
        }
        Ok((self.store.lsn(), !meant.is_empty()))
    }

    /// Whether the operator is subscribed to the topic, or waits for it, however it was referred to.
    fn is_joined(&self, text: &str) -> bool {
        let state = self.state();
        let id = state.resolve(text).ok();
        let mut own = state.subscriptions().filter(|(_, by, _)| *by == Provenance::Local);
        own.any(|(other, _, subscription)| {
            other == text || (id.is_some() && subscription.topic == id)
        })
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
        Failure { candidates: self.candidates(name, |_| true), ..failure }
    }

    fn candidates(&self, name: &str, is_meant: impl Fn(Did) -> bool) -> Vec<Candidate> {
        let candidates = self.mesh.candidates(name);
        let meant = candidates.filter(|candidate| is_meant(candidate.creator));
        meant.map(describe::candidate).collect()
    }
}
