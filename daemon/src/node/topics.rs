//! Topics: publish, create, delete.

use bytes::Bytes;
use data_encoding::BASE64;
use icn_gossip::limits::{PARTICIPANTS_MAX, PAYLOAD_BYTES_MAX, TRUST_MAX};
use icn_gossip::{
    Access, Did, Entry, Genesis, LogKey, Mutation, Now, Outcome, Position, Reject, Scope, TopicId,
    TopicRef, TopicSpec,
};
use icn_wal::disk::Disk;

use super::{Node, bad_did, describe};
use crate::control::codes;
use crate::control::reply::{Published, Reply, TopicCreated, TopicDeleted};
use crate::control::request::Request;
use crate::failure::Failure;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

impl<D: Disk> Node<D> {
    pub(super) fn publish(
        &mut self,
        now: Now,
        topic: &str,
        text: Option<String>,
        base64: Option<&str>,
        describe: bool,
    ) -> Reply {
        let payload = match (text, base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(base64)) => BASE64.decode(base64.as_bytes()).map_err(|error| {
                Failure::new(
                    codes::BAD_MESSAGE,
                    format!("The message is not valid base64: {error}."),
                )
            })?,
            _ => {
                let message = "A request to publish has either text or base64.";
                return Err(Failure::new(codes::BAD_MESSAGE, message));
            }
        };
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Reject::TooLarge { bytes: payload.len() }.into());
        }
        let node = self.node_id()?;
        let id = self.bound(topic, describe)?;
        self.state().may_write(&id, &node.did)?;
        let entry = self.next_entry(now, id, now.wall_ms, payload.into())?;
        let (lsn, outcome) =
            self.commit(now, Mutation::Append { entry, received_ms: now.node_ms })?;
        match outcome {
            Outcome::Appended { seq, arrival } => {
                let topic = describe.then(|| describe::brief(self.state(), &id)).flatten();
                let held_back = if describe { self.held_back() } else { None };
                Ok(Published { lsn, seq, arrival, topic, held_back }.into())
            }
            _ => Err(Reject::OutOfOrder.into()),
        }
    }

    /// Signs the next own entry of a topic. One that would be rejected is refused before it reaches the log.
    pub(super) fn next_entry(
        &mut self,
        now: Now,
        topic: TopicId,
        time_ms: u64,
        payload: Bytes,
    ) -> Result<Entry, Failure> {
        let node = self.in_own_epoch(now, &topic)?;
        let state = self.state();
        let head = state.head(&LogKey { topic, author: node.did, epoch: node.epoch });
        let position = Position {
            network: node.network,
            topic,
            epoch: node.epoch,
            seq: head.head + 1,
            previous: head.head_hash,
            access_version: state.topic(&topic).map_or(0, |topic| topic.access_version),
            time_ms,
        };
        let entry = Entry::sign(&self.keypair, &position, payload);
        self.state().admit(&entry)?;
        Ok(entry)
    }

    /// The topic that a message is published to: one that was created or joined here. `list` says whether
    /// a refusal lists the known candidates.
    fn bound(&self, topic: &str, list: bool) -> Result<TopicId, Failure> {
        self.state().resolve(topic).map_err(|reject| match (&reject, TopicRef::parse(topic)) {
            (Reject::UnknownTopic { .. }, Some(reference)) => {
                let failure = self.unbound(reference);
                if list { failure } else { Failure { candidates: Vec::new(), ..failure } }
            }
            _ => reject.into(),
        })
    }

    pub(super) fn topic_create(&mut self, now: Now, request: Request) -> Reply {
        let Request::TopicCreate {
            name,
            public,
            private,
            members,
            min_trust,
            scope,
            max_entries,
            retention_days,
        } = request
        else {
            return Err(Reject::BadName.into());
        };
        let node = self.node_id()?;
        let access = match (public, min_trust) {
            (false, None) => Access::participants(with_creator(node.did, &members)?),
            (false, Some(trust)) if !private && members.is_empty() => least_trust(trust)?,
            (true, None) if !private && members.is_empty() => Access::public(),
            _ => return Err(two_access_rules(public)),
        };
        if !icn_gossip::name_is_valid(&name) {
            return Err(Reject::BadName.into());
        }
        // Topics of one name may be joined; this node creates no second one.
        match self.state().resolve(&name) {
            Ok(id) => return Err(Reject::TopicExists { id }.into()),
            Err(Reject::UnknownTopic { .. }) => {}
            Err(reject) => return Err(reject.into()),
        }
        let mut spec = TopicSpec::new(name, access.encode(), now.wall_ms);
        spec.scope = match scope.as_deref() {
            None | Some("global") => Scope::Global,
            Some("regional") => Scope::Regional,
            Some("local") => Scope::Local,
            Some(other) => {
                let message =
                    format!("{other:?} is not a scope; there are local, regional and global.");
                return Err(Failure::new(codes::BAD_SCOPE, message));
            }
        };
        spec.max_entries = max_entries.unwrap_or(spec.max_entries);
        spec.retention_ms =
            retention_days.map_or(spec.retention_ms, |days| u64::from(days) * DAY_MS);
        let genesis = Genesis::sign(&self.keypair, node.network, spec, self.rng.next());
        let id = genesis.id();
        let (lsn, _) = self.commit(now, Mutation::CreateTopic(genesis))?;
        let topic = self.state().topic(&id).ok_or_else(|| unknown(&id))?;
        Ok(TopicCreated { lsn, topic: describe::topic(self.state(), &id, topic) }.into())
    }

    pub(super) fn topic_delete(&mut self, now: Now, topic: &str) -> Reply {
        let id = self.state().resolve(topic)?;
        let (lsn, _) = self.commit(now, Mutation::DeleteTopic(id))?;
        Ok(TopicDeleted { lsn, deleted: id.to_string() }.into())
    }
}

/// The members of a topic.
fn with_creator(creator: Did, members: &[String]) -> Result<Vec<Did>, Failure> {
    let member = |text: &String| text.parse().map_err(|error| bad_did(text, &error));
    let mut all: Vec<Did> =
        std::iter::once(Ok(creator)).chain(members.iter().map(member)).collect::<Result<_, _>>()?;
    all.sort_unstable();
    all.dedup();
    if all.len() > PARTICIPANTS_MAX {
        let message = format!("A topic has at most {PARTICIPANTS_MAX} members, not {}.", all.len());
        return Err(Failure::new(codes::TOO_MANY_MEMBERS, message));
    }
    Ok(all)
}

fn least_trust(trust: u16) -> Result<Access, Failure> {
    if (1..=TRUST_MAX).contains(&trust) {
        return Ok(Access::min_trust(trust));
    }
    let message = format!("A topic cannot ask for a trust of {trust}, only for 1 to {TRUST_MAX}.");
    Err(Failure::new(codes::BAD_MIN_TRUST, message))
}

fn two_access_rules(public: bool) -> Failure {
    let message = if public {
        "A public topic admits every DID; it has no members and no least trust."
    } else {
        "A topic admits its members or DIDs of enough trust, not both."
    };
    Failure::new(codes::TWO_ACCESS_RULES, message)
}

fn unknown(id: &TopicId) -> Reject {
    Reject::UnknownTopic { name: id.to_string() }
}

#[cfg(test)]
mod tests {
    use icn_gossip::Keypair;
    use icn_wal::disk::SimDisk;
    use serde_json::{Value, json};

    use super::*;
    use crate::node::{Effect, Inputs, simulated};

    /// The access rule of a topic that is created with these fields.
    fn create(node: &mut Node<SimDisk>, name: &str, fields: &Value) -> Result<Value, Failure> {
        let mut request = json!({ "cmd": "topic_create", "name": name });
        for (key, value) in fields.as_object().expect("fields") {
            request[key] = value.clone();
        }
        let request = serde_json::from_value(request).expect("a request");
        let turn = node.step(Now::at(2), Inputs::requests(vec![((), request)]));
        match turn.outputs.into_iter().next().expect("an output").effect {
            Effect::Reply((), reply) => reply.map(|data| data.to_value()["topic"]["access"].take()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_topic_admits_its_creator_alone_unless_the_request_names_others() {
        let mut node = simulated::node(&SimDisk::new(1));
        let member = Keypair::from_seed([5; 32]).did();
        let mut both = [node.did(), member];
        both.sort_unstable();
        let only = |members: &[Did]| {
            let members: Vec<_> = members.iter().map(Did::to_string).collect();
            json!({ "kind": "participants", "members": members })
        };
        let alone = only(&[node.did()]);
        let member = member.to_string();
        for (name, fields, access, open) in [
            ("a", json!({}), alone.clone(), false),
            ("b", json!({ "public": false }), alone.clone(), false),
            ("c", json!({ "private": true }), alone, false),
            ("d", json!({ "members": [member] }), only(&both), false),
            ("e", json!({ "private": true, "members": [member] }), only(&both), false),
            ("f", json!({ "min_trust": 1 }), json!({ "kind": "min_trust", "min_trust": 1 }), false),
            ("g", json!({ "public": true }), json!({ "kind": "public" }), true),
        ] {
            assert_eq!(create(&mut node, name, &fields), Ok(access), "{fields}");
            let unknown = Keypair::from_seed([6; 32]).did();
            let id = node.state().resolve(name).expect("a topic");
            assert_eq!(node.state().may_read(&id, &unknown).is_ok(), open, "{fields}");
            assert_eq!(node.state().may_write(&id, &unknown).is_ok(), open, "{fields}");
        }
    }

    #[test]
    fn two_access_rules_or_a_least_trust_out_of_range_create_no_topic() {
        let mut node = simulated::node(&SimDisk::new(1));
        let member = Keypair::from_seed([5; 32]).did().to_string();
        for (fields, code) in [
            (json!({ "public": true, "private": true }), "ICN-E0505"),
            (json!({ "public": true, "members": [member] }), "ICN-E0505"),
            (json!({ "public": true, "min_trust": 500 }), "ICN-E0505"),
            (json!({ "public": true, "min_trust": 0 }), "ICN-E0505"),
            (json!({ "private": true, "min_trust": 500 }), "ICN-E0505"),
            (json!({ "members": [member], "min_trust": 500 }), "ICN-E0505"),
            (json!({ "min_trust": 0 }), "ICN-E0515"),
            (json!({ "min_trust": TRUST_MAX + 1 }), "ICN-E0515"),
        ] {
            assert_eq!(
                create(&mut node, "a", &fields).expect_err("refused").code,
                code,
                "{fields}"
            );
        }
        assert_eq!(node.state().counts().topics, 0);
    }
}
