//! Consumers of a topic and their cursors.

use icn_gossip::{Mutation, Now, Provenance, Reject, TopicId, TopicRef, name_is_valid};
use icn_wal::disk::Disk;

use super::Node;
use crate::control::reply::{Begun, CursorDeleted, CursorMoved, Reply};
use crate::failure::Failure;

impl<D: Disk> Node<D> {
    /// Where a consumer starts: after its cursor, which is created if it is new, or after `after`.
    pub(super) fn follow(
        &mut self,
        now: Now,
        topic: String,
        cursor: Option<String>,
        after: Option<u64>,
    ) -> Reply {
        if cursor.as_ref().is_some_and(|name| !name_is_valid(name)) {
            return Err(Reject::BadCursor.into());
        }
        let id = match self.state().resolve(&topic) {
            Ok(id) => id,
            Err(Reject::UnknownTopic { .. }) if TopicRef::parse(&topic).is_some() => {
                let pending = |(name, by, _)| name == topic && by == Provenance::Local;
                if !self.state().subscriptions().any(pending) {
                    self.subscribe(now, topic)?;
                }
                let lsn = self.store.lsn();
                return Ok(Begun { lsn, topic: None, pending: true, after: None }.into());
            }
            Err(reject) => return Err(reject.into()),
        };
        let state = self.state();
        state.may_read(&id, &self.did())?;
        let last = state.last_arrival(&id);
        let position = cursor.as_ref().and_then(|name| state.cursor(id, name));
        let subscribed = state
            .subscriptions()
            .any(|(_, by, wish)| by == Provenance::Local && wish.topic == Some(id));
        let after = match (&cursor, position, after) {
            (_, Some(position), _) => position,
            (Some(_), None, Some(arrival)) if arrival > last => {
                return Err(Reject::CursorAhead { arrival, last }.into());
            }
            (_, None, after) => after.unwrap_or(last),
        };
        if !subscribed {
            self.subscribe(now, topic)?;
        }
        if let (Some(name), None) = (cursor, position) {
            self.commit(now, Mutation::MoveCursor { topic: id, name, arrival: after })?;
        }
        let lsn = self.store.lsn();
        let topic = Some(id.to_string());
        Ok(Begun { lsn, topic, pending: false, after: Some(after) }.into())
    }

    pub(super) fn cursor_move(
        &mut self,
        now: Now,
        topic: &str,
        name: String,
        arrival: u64,
    ) -> Reply {
        let topic = self.cursor_topic(topic)?;
        // A consumer does not re-create a cursor that was deleted meanwhile.
        let position = self.state().cursor(topic, &name);
        let position = position.ok_or_else(|| Reject::NoCursor { name: name.clone() })?;
        if position < arrival {
            // A move that would be rejected is refused before it reaches the log.
            let last = self.state().last_arrival(&topic);
            if arrival > last {
                return Err(Reject::CursorAhead { arrival, last }.into());
            }
            self.commit(now, Mutation::MoveCursor { topic, name, arrival })?;
        }
        Ok(CursorMoved { lsn: self.store.lsn(), arrival: position.max(arrival) }.into())
    }

    pub(super) fn cursor_delete(&mut self, now: Now, topic: &str, name: String) -> Reply {
        let topic = self.cursor_topic(topic)?;
        if self.state().cursor(topic, &name).is_none() {
            return Err(Reject::NoCursor { name }.into());
        }
        let deleted = name.clone();
        let (lsn, _) = self.commit(now, Mutation::DeleteCursor { topic, name })?;
        Ok(CursorDeleted { lsn, topic: topic.to_string(), deleted }.into())
    }

    /// A restore may have removed the topic of a cursor; then only its id names it.
    fn cursor_topic(&self, topic: &str) -> Result<TopicId, Failure> {
        let id = self.state().resolve(topic);
        id.or_else(|reject| topic.parse().map_err(|_| reject.into()))
    }
}
