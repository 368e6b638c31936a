//! The state guard: topics whose access rule a recovery found weaker stay closed.

use std::collections::BTreeSet;

use icn_gossip::{State, TopicId};
use icn_snapshot::Weakness;

use crate::control::codes;
use crate::control::request::Request;
use crate::failure::Failure;

/// The findings of the last start; a restore clears them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    findings: Vec<String>,
    closed: BTreeSet<TopicId>,
}

impl Guard {
    /// Closes the topics whose access rule differs from the one in the snapshots.
    #[must_use]
    pub fn new(weaker: &[Weakness]) -> Self {
        let id = |weakness: &Weakness| {
            let bytes: Result<[u8; 32], _> = weakness.subject.as_slice().try_into();
            bytes.ok().map(TopicId::from_bytes)
        };
        Self {
            findings: weaker.iter().map(|weakness| weakness.text.clone()).collect(),
            closed: weaker.iter().filter_map(id).collect(),
        }
    }

    /// The findings in words.
    #[must_use]
    pub fn findings(&self) -> &[String] {
        &self.findings
    }

    /// The closed topics.
    #[must_use]
    pub fn closed(&self) -> &BTreeSet<TopicId> {
        &self.closed
    }

    /// Refuses a request about a closed topic.
    ///
    /// # Errors
    /// `ICN-E0313`.
    pub(crate) fn check(&self, state: &State, request: &Request) -> Result<(), Failure> {
        let (Request::Publish { topic, .. }
        | Request::Subscribe { topic }
        | Request::TopicJoin { topic, creator: None }
        | Request::TopicRefetch { topic, .. }
        | Request::Follow { topic, .. }
        | Request::Entries { topic, .. }) = request
        else {
            return Ok(());
        };
        if self.closed.is_empty() {
            return Ok(());
        }
        match state.resolve(topic) {
            Ok(id) if self.closed.contains(&id) => Err(Failure::new(
                codes::TOPIC_CLOSED,
                format!(
                    "Topic {topic} is closed: since the last start its access rule is not the one \
                     that the snapshots know."
                ),
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use icn_gossip::{Access, Genesis, Keypair, Mutation, TopicSpec};

    use super::*;

    #[test]
    fn a_topic_with_a_changed_access_rule_is_closed_and_others_stay_open() {
        let keypair = Keypair::from_seed([1; 32]);
        let did = keypair.did();
        let network = [2; 32];
        let mut state = State::default();
        state.apply(1, Mutation::Init { did, network, epoch: 3, clock: None });
        let [_, b] = ["a", "b"].map(|name| {
            let spec = TopicSpec::new(name.into(), Access::public().encode(), 1);
            let genesis = Genesis::sign(&keypair, network, spec, 4);
            let id = genesis.id();
            state.apply(2, Mutation::CreateTopic(genesis));
            id
        });
        let finding = |subject: &[u8], text: &str| Weakness {
            subject: subject.to_vec(),
            text: text.to_owned(),
        };
        let guard = Guard::new(&[finding(b.as_bytes(), "b"), finding(&[], "gone")]);
        assert_eq!(guard.findings(), ["b", "gone"]);
        let entries = |topic: &str| Request::Entries { topic: topic.into(), after: 0, limit: None };
        let publish = |topic: &str| Request::Publish {
            topic: topic.into(),
            text: Some(String::new()),
            base64: None,
            describe: false,
        };
        assert_eq!(guard.check(&state, &entries("a")), Ok(()));
        assert_eq!(guard.check(&state, &publish("a")), Ok(()));
        for request in [entries("b"), publish("b"), entries(&b.to_string())] {
            let refused = guard.check(&state, &request).expect_err("closed");
            assert_eq!(refused.code, codes::TOPIC_CLOSED.code);
        }
        assert_eq!(Guard::default().check(&state, &entries("b")), Ok(()));
    }
}
