//! Entries that are held back because their time is too far ahead, and their authors' notice of it.

use super::message::Message;
use super::tag::Tag;
use super::{LinkError, LinkId, Mesh};
use crate::limits::FUTURE_MS_MAX;
use crate::log::LogKey;
use crate::now::Now;
use crate::state::State;

/// What peers report of this node's own entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldBack {
    /// How many connected peers hold back an entry.
    pub peers: usize,
    /// The most that an entry is ahead of a peer's clock, in ms.
    pub ahead_ms: u64,
}

impl Mesh {
    /// Has the author of a log notified, if it is linked and may read the topic.
    pub(super) fn notify_author(&mut self, key: LogKey, ahead_ms: u64) {
        for (id, link) in &mut self.links {
            if link.peer == key.author && link.tags.contains_key(&link.tag(&key.topic)) {
                link.serving.held.insert(key, ahead_ms);
                self.awake.insert(*id);
            }
        }
    }

    pub(super) fn receive_held(
        &mut self,
        state: &State,
        now_ms: u64,
        id: LinkId,
        tag: Tag,
        epoch: u64,
        ahead_ms: u64,
    ) -> Result<(), LinkError> {
        self.charge(now_ms, id)?;
        let Some((link, node)) = self.links.get_mut(&id).zip(state.node()) else { return Ok(()) };
        let is_own = link.tags.get(&tag).is_some_and(|&topic| {
            let key = LogKey { topic, author: node.did, epoch };
            state.head(&key).head > 0
        });
        if is_own && ahead_ms > FUTURE_MS_MAX {
            link.holds_back.add(epoch, ahead_ms, now_ms);
        }
        Ok(())
    }

    /// What connected peers report of this node's present epoch; `None` if they hold back nothing.
    #[must_use]
    pub fn held_back(&self, state: &State, now: Now) -> Option<HeldBack> {
        let present = state.node()?.epoch;
        self.held_in(now, |epoch| epoch == present)
    }

    /// The same of earlier epochs. Their entries arrive when their time has come, and nothing else helps.
    #[must_use]
    pub fn held_earlier(&self, state: &State, now: Now) -> Option<HeldBack> {
        let present = state.node()?.epoch;
        self.held_in(now, |epoch| epoch != present)
    }

    fn held_in(&self, now: Now, is_meant: impl Fn(u64) -> bool) -> Option<HeldBack> {
        let reports = self.links.values().map(|link| &link.holds_back);
        let ahead = reports.filter_map(|reports| reports.furthest(now.elapsed_ms, &is_meant));
        let ahead: Vec<u64> = ahead.collect();
        Some(HeldBack { peers: ahead.len(), ahead_ms: *ahead.iter().max()? })
    }
}

impl super::link::Link {
    /// The next notice to the peer that an entry of it is held back.
    pub(super) fn next_held(&mut self) -> Option<Message> {
        let (key, ahead_ms) = self.serving.held.pop_first()?;
        Some(Message::Held { tag: self.tag(&key.topic), epoch: key.epoch, ahead_ms })
    }
}
