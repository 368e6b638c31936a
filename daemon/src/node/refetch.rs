//! Bringing back what was pruned here and is retained elsewhere.

use icn_gossip::mesh::{self, PauseReason, RefetchProgress, TooManyRefetches};
use icn_gossip::{Entry, LogKey, Mutation, Now, Provenance, Reject};
use icn_wal::disk::Disk;

use super::{Node, describe};
use crate::control::codes;
use crate::control::reply::refetch::RefetchEnd;
use crate::control::reply::{Reply, TopicRefetch};
use crate::exit;
use crate::failure::{Failure, sentence};

impl<D: Disk> Node<D> {
    /// Begins to bring back the pruned entries of a topic, and shows how far this is.
    pub(super) fn topic_refetch(
        &mut self,
        now: Now,
        topic: &str,
        since: Option<u64>,
        again: bool,
    ) -> Reply {
        let state = &self.store.state().0;
        let id = state.resolve(topic)?;
        state.may_read(&id, &self.keypair.did())?;
        let own = |(_, by, wish): (_, _, &icn_gossip::Subscription)| {
            by == Provenance::Local && wish.topic == Some(id)
        };
        if !state.subscriptions().any(own) {
            let message = format!("This node is not subscribed to {topic}: no peer serves it.");
            let advice = format!("Subscribe first: icnctl gossip subscribe {topic}");
            return Err(Failure::new(codes::NOT_SUBSCRIBED, message).with_advice(advice));
        }
        if again || self.mesh.refetch(&id).is_none() {
            self.mesh.begin_refetch(state, now, id, since.unwrap_or(0))?;
        }
        let unknown = || Reject::UnknownTopic { name: topic.to_owned() };
        let topic = describe::brief(state, &id).ok_or_else(unknown)?;
        let none = RefetchProgress::default();
        let progress = self.mesh.refetch(&id).unwrap_or(&none);
        let reply = TopicRefetch {
            topic,
            since: Some(progress.since_ms).filter(|since| *since > 0),
            end: progress.end.map(|end| match end {
                mesh::RefetchEnd::Done => RefetchEnd::Done,
                mesh::RefetchEnd::NoRoom => RefetchEnd::NoRoom,
                mesh::RefetchEnd::NoPeer => RefetchEnd::NoPeer,
                mesh::RefetchEnd::Stopped => RefetchEnd::Stopped,
            }),
            entries: progress.entries,
            bytes: progress.bytes,
            authors: progress.authors.len() as u64,
            oldest: progress.oldest_ms,
            logs: progress.logs,
            unavailable: progress.unavailable,
            refused: progress.refused,
            unanswered: progress.unanswered,
        };
        Ok(reply.into())
    }

    /// Readmits an entry that a peer has sent for a refetch.
    pub(super) fn readmit(&mut self, now: Now, entry: Entry) {
        let key = LogKey::of(&entry);
        let refused = match self.state().admit_readmission(&entry) {
            Ok(()) => {
                let received_ms = now.node_ms;
                let mutation = Mutation::Readmit { entry: entry.clone(), received_ms };
                match self.commit(now, mutation) {
                    Ok(_) => return self.mesh.readmitted(&entry),
                    Err(failure) if failure.exit == exit::NO_SPACE => PauseReason::NoRoom,
                    Err(_) => PauseReason::Rules,
                }
            }
            Err(Reject::NoRoom | Reject::Full { .. }) => PauseReason::NoRoom,
            Err(_) => PauseReason::Rules,
        };
        self.mesh.not_readmitted(now, key, refused);
    }
}

impl From<TooManyRefetches> for Failure {
    fn from(error: TooManyRefetches) -> Self {
        let advice = "Wait until one of them is over, then paste the command again.";
        Self::new(codes::FULL, sentence(&error.to_string())).with_advice(advice)
    }
}
