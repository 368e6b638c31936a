//! The node's room for entries: a share for each topic, and a common part for what exceeds the shares.

use std::sync::OnceLock;

use super::{State, Topic};
use crate::access::{Policy, View};
use crate::limits::{
    NODE_BYTES_MAX, REFETCH_ROOM_PERCENT, SHARE_BYTES, SHARED_BYTES_MAX, SHARED_TOPICS_MIN,
};

/// How the topics divide the node's room for entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Bytes of entries that each private topic may retain, whatever the other topics retain.
    pub private_share: u64,
    /// Bytes of entries that each public topic may retain likewise. Private topics get their shares first.
    pub public_share: u64,
    /// Bytes that the topics may retain beyond their shares, all of them together.
    pub common: u64,
    /// Bytes that the topics retain beyond their shares.
    pub common_used: u64,
}

impl Room {
    fn of(state: &State) -> Self {
        let topics = state.topics.len() as u64;
        let private = state.topics.values().filter(|topic| is_private(topic)).count() as u64;
        let private_share = SHARE_BYTES.min(SHARED_BYTES_MAX / private.max(1));
        let left = SHARED_BYTES_MAX - private * private_share;
        let public_share = SHARE_BYTES.min(left / (topics - private).max(1));
        // Shares are set aside for some topics in advance: a new one finds its share while the node is full.
        let shares = private * private_share + (topics - private) * public_share;
        let common = NODE_BYTES_MAX - shares.max(SHARED_TOPICS_MIN * SHARE_BYTES);
        let mut room = Self { private_share, public_share, common, common_used: 0 };
        room.common_used = state.topics.values().map(|topic| room.excess(topic, 0)).sum();
        room
    }

    /// The bytes that a topic retains beyond its share once it retains `more` bytes.
    fn excess(&self, topic: &Topic, more: u64) -> u64 {
        let share = if is_private(topic) { self.private_share } else { self.public_share };
        (topic.bytes + more).saturating_sub(share)
    }

    /// Whether the topic has room for `more` bytes.
    pub(super) fn admits(&self, topic: &Topic, more: u64) -> bool {
        self.fits(topic, more, self.common)
    }

    /// Whether the topic has room for `more` bytes that a refetch brings back.
    pub(super) fn admits_again(&self, topic: &Topic, more: u64) -> bool {
        self.fits(topic, more, self.common * REFETCH_ROOM_PERCENT / 100)
    }

    fn fits(&self, topic: &Topic, more: u64, common: u64) -> bool {
        let exceeds = self.excess(topic, more) - self.excess(topic, 0);
        exceeds == 0 || self.common_used + exceeds <= common
    }
}

/// A topic that not everybody may read, or whose rule this build cannot decode.
fn is_private(topic: &Topic) -> bool {
    !matches!(topic.genesis.spec.access.view(), View::Open(access) if access.read == Policy::Public)
}

/// The room as it was last computed. It follows from the topics, so it is no part of the state's value.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownRoom(OnceLock<Room>);

impl PartialEq for KnownRoom {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for KnownRoom {}

impl KnownRoom {
    /// Topics were added or removed, or retain fewer bytes.
    pub(super) fn forget(&mut self) {
        self.0.take();
    }

    /// `topic` is about to retain `more` bytes.
    pub(super) fn grow(&mut self, topic: &Topic, more: u64) {
        if let Some(room) = self.0.get_mut() {
            room.common_used += room.excess(topic, more) - room.excess(topic, 0);
        }
    }
}

impl State {
    /// How the topics divide the node's room for entries.
    #[must_use]
    pub fn room(&self) -> Room {
        *self.room.0.get_or_init(|| Room::of(self))
    }
}
