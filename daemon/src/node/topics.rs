//! Topics: publish, create, delete.

use bytes::Bytes;
use data_encoding::BASE64;
use icn_gossip::limits::PAYLOAD_BYTES_MAX;
use icn_gossip::{
    Access, Entry, Genesis, LogKey, Mutation, Outcome, Position, Reject, Scope, TopicId, TopicSpec,
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
        now_ms: u64,
        topic: &str,
        text: Option<String>,
        base64: Option<&str>,
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
        let id = self.state().resolve(topic)?;
        self.state().may_write(&id, &node.did)?;
        let node = self.in_own_epoch(now_ms, &id)?;
        let state = self.state();
        let head = state.head(&LogKey { topic: id, author: node.did, epoch: node.epoch });
        let position = Position {
            network: node.network,
            topic: id,
            epoch: node.epoch,
            seq: head.head + 1,
            previous: head.head_hash,
            access_version: state.topic(&id).map_or(0, |topic| topic.access_version),
            time_ms: now_ms,
        };
        let entry = Entry::sign(&self.keypair, &position, Bytes::from(payload));
        // An entry that would be rejected is refused before it reaches the log.
        self.state().admit(&entry)?;
        let (lsn, outcome) =
            self.commit(now_ms, Mutation::Append { entry, received_ms: now_ms })?;
        match outcome {
            Outcome::Appended { seq, arrival } => Ok(Published { lsn, seq, arrival }.into()),
            _ => Err(Reject::OutOfOrder.into()),
        }
    }

    pub(super) fn topic_create(&mut self, now_ms: u64, request: Request) -> Reply {
        let Request::TopicCreate {
            name,
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
        let mut dids = vec![node.did];
        for member in &members {
            dids.push(member.parse().map_err(|error| bad_did(member, &error))?);
        }
        let access = match min_trust {
            Some(_) if private || !members.is_empty() => {
                let message = "A topic admits its members or DIDs of enough trust, not both.";
                return Err(Failure::new(codes::TWO_ACCESS_RULES, message));
            }
            Some(trust) => Access::min_trust(trust),
            None if private || !members.is_empty() => Access::participants(dids),
            None => Access::public(),
        };
        if !icn_gossip::name_is_valid(&name) {
            return Err(Reject::BadName.into());
        }
        // Two topics of one name may come from peers; this node creates none.
        match self.state().resolve(&name) {
            Ok(id) => return Err(Reject::TopicExists { id }.into()),
            Err(Reject::UnknownTopic { .. }) => {}
            Err(reject) => return Err(reject.into()),
        }
        let mut spec = TopicSpec::new(name, access.encode(), now_ms);
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
        let (lsn, _) = self.commit(now_ms, Mutation::CreateTopic(genesis))?;
        let topic = self.state().topic(&id).ok_or_else(|| unknown(&id))?;
        Ok(TopicCreated { lsn, topic: describe::topic(&id, topic) }.into())
    }

    pub(super) fn topic_delete(&mut self, now_ms: u64, topic: &str) -> Reply {
        let id = self.state().resolve(topic)?;
        let (lsn, _) = self.commit(now_ms, Mutation::DeleteTopic(id))?;
        Ok(TopicDeleted { lsn, deleted: id.to_string() }.into())
    }
}

fn unknown(id: &TopicId) -> Reject {
    Reject::UnknownTopic { name: id.to_string() }
}
