//! The wall clocks of peers. People compare them; the node decides nothing by them.

use super::link::Link;
use super::message::Message;
use super::{LinkError, LinkId, Mesh};

/// How often each end of a link sends its wall time.
const CLOCK_INTERVAL_MS: u64 = 10 * 60 * 1000;

/// How long a received time is shown. A connected peer sends a newer one before that.
const STANDS_MS: u64 = 15 * 60 * 1000;

/// The largest difference of two clocks that is shown: about a century.
const AHEAD_MAX_MS: i64 = 1 << 42;

impl Mesh {
    pub(super) fn receive_clock(
        &mut self,
        now_ms: u64,
        id: LinkId,
        wall_ms: u64,
    ) -> Result<(), LinkError> {
        self.charge(now_ms, id)?;
        if let Some(link) = self.links.get_mut(&id) {
            link.clock = Some((wall_ms, now_ms));
        }
        Ok(())
    }

    /// How far the wall clock of a peer is ahead of this node's, in ms. It is negative if this node's is
    /// ahead, and `None` unless the peer has sent its time in the last 15 min. The time that the message
    /// took makes it smaller.
    pub(super) fn clock_ahead_ms(&self, link: &Link) -> Option<i64> {
        let (wall_ms, received_ms) = link.clock?;
        let age_ms = self.now_ms.saturating_sub(received_ms);
        if age_ms > STANDS_MS {
            return None;
        }
        let ahead = i128::from(wall_ms) + i128::from(age_ms) - i128::from(self.wall_ms);
        Some(i64::try_from(ahead).unwrap_or(AHEAD_MAX_MS).clamp(-AHEAD_MAX_MS, AHEAD_MAX_MS))
    }
}

impl Link {
    pub(super) fn is_clock_due(&self, now_ms: u64) -> bool {
        now_ms >= self.clock_due_ms
    }

    /// This node's wall time for the peer.
    pub(super) fn next_clock(&mut self, now_ms: u64, wall_ms: u64) -> Message {
        self.clock_due_ms = now_ms + CLOCK_INTERVAL_MS;
        Message::Clock(wall_ms)
    }
}
