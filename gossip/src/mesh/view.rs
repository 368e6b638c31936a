//! What a mesh shows of itself: links, counters and candidates.

use std::collections::BTreeSet;

use super::candidates::Candidate;
use super::link::Find;
use super::{Counter, LinkId, Mesh};
use crate::did::Did;
use crate::limits::WANTS_MAX;
use crate::topic::TopicId;

/// A snapshot of a link's figures, for status, metrics and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkView<'a> {
    /// The peer's identity.
    pub peer: Did,
    /// Topics that this node serves to the peer.
    pub shared: &'a BTreeSet<TopicId>,
    /// Topics that the peer serves.
    pub serves: &'a BTreeSet<TopicId>,
    /// Logs that the peer receives from this node.
    pub cursors: usize,
    /// Logs that this node receives from the peer.
    pub wants: usize,
    /// How far the peer's wall clock is ahead of this node's, in ms. It is negative if this node's is ahead,
    /// and `None` if it is unknown. The peer may send any time.
    pub clock_ahead_ms: Option<i64>,
    /// Bytes of frames that were not yet handed to the network.
    pub in_flight: usize,
    /// Items of any kind kept in memory for the link.
    pub tracked_items: usize,
}

impl Mesh {
    /// All links with their figures.
    pub fn links(&self) -> impl Iterator<Item = (LinkId, LinkView<'_>)> {
        self.links.iter().map(|(id, link)| {
            let view = LinkView {
                peer: link.peer,
                shared: &link.shared,
                serves: &link.serves,
                cursors: link.serving.cursors.len(),
                wants: link.wanting.wants.len(),
                clock_ahead_ms: self.clock_ahead_ms(link),
                in_flight: link.in_flight,
                tracked_items: link.tracked_items(),
            };
            (*id, view)
        })
    }

    /// How many logs are paused or wait at a gap, or did so recently.
    #[must_use]
    pub fn paused_logs(&self) -> usize {
        self.paused.len() + self.gaps.len()
    }

    /// The topics of which a log is paused, or was until recently, since there was no room for an entry.
    #[must_use]
    pub fn topics_without_room(&self) -> BTreeSet<TopicId> {
        let paused = self.paused.iter().filter(|(_, pause)| pause.without_room);
        paused.map(|(key, _)| key.topic).collect()
    }

    /// How many subscribed topics are beyond the limit of what is announced to a peer; of the peer to which
    /// the most are. They get no entries from it.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.links.values().map(|link| link.left_out).max().unwrap_or(0)
    }

    /// How many links carry as many wanted logs as the limit allows. Further logs get no entries from them.
    #[must_use]
    pub fn full_links(&self) -> usize {
        self.links.values().filter(|link| link.wanting.wants.len() >= WANTS_MAX).count()
    }

    /// The candidates for a name that was searched for, by id.
    pub fn candidates(&self, name: &str) -> impl Iterator<Item = &Candidate> {
        self.candidates.of(name)
    }

    /// How many connected peers are asked for a name, and how many of them have answered.
    #[must_use]
    pub fn asked_for(&self, name: &str) -> (usize, usize) {
        let asked = || self.links.values().filter_map(|link| link.finds.get(name));
        (asked().count(), asked().filter(|find| **find == Find::Answered).count())
    }

    /// All counters, by name.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Counter::ALL.iter().map(|count| (count.name(), self.counts[*count as usize]))
    }
}
