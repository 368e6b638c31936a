//! The node's clock: the time that has passed, also over restarts, which no wrong wall clock moves.
//!
//! While the process runs, the node's clock follows the elapsed time of the machine. Over a restart it
//! advances by the difference of the wall clock, if that is plausible. Everything that expires by age uses
//! it. Invariant: it never goes back.

use icn_gossip::{ClockStamp, Mutation, Now};
use icn_wal::disk::Disk;

use super::Node;
use crate::control::reply::clock::{ClockDoubt, HeldBack};
use crate::control::reply::{Clock, Reply};
use crate::limits::{DOWN_MAX_MS, DRIFT_MAX_MS};

/// The least time between two stamps after records, and the longest without any.
const STAMP_MS: u64 = 60 * 60 * 1000;
const STAMP_IDLE_MS: u64 = 3 * 24 * 60 * 60 * 1000;

/// How long after a start a wall clock may be set and still show how long the node was down. A machine
/// without a battery gets the time over the network.
const SETTLES_MS: u64 = 10 * 60 * 1000;

/// A wall clock that is slewed gains or loses at most this part of the time that passes.
const SLEW: i64 = 10;

/// The clock of a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeClock {
    /// The node's clock, how long the node had run, and the elapsed time of the machine at the start.
    start_ms: u64,
    start_ran_ms: u64,
    start_elapsed_ms: u64,
    /// What the clock is ahead of the elapsed time since the start, in addition: time between two runs
    /// that became plausible later.
    added_ms: u64,
    /// The wall clock minus the elapsed time, when the wall clock was last plausible; `None` while the
    /// time since the last run is in doubt.
    wall_offset_ms: Option<i64>,
    /// The elapsed time of the machine when the wall clock was last compared.
    compared_ms: u64,
    /// The last stamp of an earlier run.
    last_run: Option<ClockStamp>,
    doubt: Option<ClockDoubt>,
    /// The last LSN when the clock was stamped, and the elapsed time of the machine then.
    stamped: (u64, u64),
}

impl NodeClock {
    /// The clock of a node that starts now after the LSN `lsn`. `last_run` is the stamp of an earlier run,
    /// and `last_ms` the time of the last entry, by the node's clock; `None` for a new node. A node without
    /// a stamp took its times from the wall clock.
    pub(super) fn start(
        now: Now,
        last_run: Option<ClockStamp>,
        last_ms: Option<u64>,
        lsn: u64,
    ) -> Self {
        let unstamped =
            |last: u64| ClockStamp { node_ms: last.min(now.wall_ms), wall_ms: last, ran_ms: 0 };
        let is_stamped = last_run.is_some();
        let last_run = last_run.or_else(|| last_ms.map(unstamped));
        let start_ms = match last_run {
            None => now.wall_ms,
            Some(stamp) if is_stamped => stamp.node_ms.max(last_ms.unwrap_or(0)),
            Some(stamp) => stamp.node_ms,
        };
        let mut clock = Self {
            start_ms,
            start_ran_ms: last_run.map_or(0, |stamp| stamp.ran_ms),
            start_elapsed_ms: now.elapsed_ms,
            added_ms: 0,
            wall_offset_ms: last_run.is_none().then(|| offset_ms(now)),
            compared_ms: now.elapsed_ms,
            last_run,
            doubt: None,
            stamped: (lsn, now.elapsed_ms),
        };
        clock.observe(now);
        clock
    }

    /// A reading of the machine's clocks with the node's clock.
    pub(super) fn read(&self, now: Now) -> Now {
        let since = now.elapsed_ms.saturating_sub(self.start_elapsed_ms);
        let node_ms = self.start_ms.saturating_add(self.added_ms).saturating_add(since);
        Now { node_ms, ..now }
    }

    /// How long the node has run over all its lives, in ms.
    pub(super) fn ran_ms(&self, now: Now) -> u64 {
        self.start_ran_ms.saturating_add(now.elapsed_ms.saturating_sub(self.start_elapsed_ms))
    }

    /// Compares the wall clock with the elapsed time.
    pub(super) fn observe(&mut self, now: Now) {
        self.doubt = match (self.wall_offset_ms, self.last_run) {
            (Some(trusted), _) => {
                let moved = offset_ms(now) - trusted;
                let slewed = self.run_ms_since(self.compared_ms, now) / SLEW;
                self.compared_ms = now.elapsed_ms;
                if moved.unsigned_abs() <= DRIFT_MAX_MS {
                    self.wall_offset_ms = Some(trusted + moved.clamp(-slewed, slewed));
                    None
                } else if self.is_set_after_start(now) {
                    None
                } else {
                    Some(ClockDoubt::Moved(moved))
                }
            }
            (None, Some(stamp)) => {
                let down = self.down_ms(now, stamp);
                if is_plausible(down) {
                    self.accept(now, down);
                    None
                } else {
                    Some(ClockDoubt::Down(down))
                }
            }
            (None, None) => None,
        };
    }

    /// Whether the wall clock was set soon after the start, and shows a plausible time since the last run,
    /// which then counts.
    fn is_set_after_start(&mut self, now: Now) -> bool {
        let Some(stamp) = self.last_run else { return false };
        let down = self.down_ms(now, stamp);
        let is_soon = self.run_ms_since(self.start_elapsed_ms, now) <= to_i64(SETTLES_MS);
        if !is_soon || !is_plausible(down) {
            return false;
        }
        self.added_ms = self.added_ms.max(u64::try_from(down).unwrap_or(0));
        self.wall_offset_ms = Some(offset_ms(now));
        true
    }

    /// Why the wall clock is in doubt, if it is.
    pub(super) fn doubt(&self) -> Option<ClockDoubt> {
        self.doubt
    }

    /// The clock after the operator has confirmed that the wall clock is right.
    pub(super) fn confirmed(mut self, now: Now) -> Self {
        match (self.wall_offset_ms, self.last_run) {
            (None, Some(stamp)) => self.accept(now, self.down_ms(now, stamp)),
            _ => self.wall_offset_ms = Some(offset_ms(now)),
        }
        self.doubt = None;
        self
    }

    /// A stamp of this moment. It pairs the node's clock with the wall clock as it was last trusted: the next
    /// start must not believe one in doubt.
    pub(super) fn stamp(&self, now: Now) -> ClockStamp {
        let wall_ms = match (self.wall_offset_ms, self.last_run) {
            (None, Some(stamp)) => {
                to_i64(stamp.wall_ms) + self.run_ms_since(self.start_elapsed_ms, now)
            }
            (offset, _) => to_i64(now.elapsed_ms) + offset.unwrap_or(0),
        };
        let wall_ms = u64::try_from(wall_ms).unwrap_or(0);
        ClockStamp { node_ms: self.read(now).node_ms, wall_ms, ran_ms: self.ran_ms(now) }
    }

    /// Whether a stamp is due: after records now and then, and without records rarely.
    pub(super) fn is_stamp_due(&self, now: Now, lsn: u64) -> bool {
        let (stamped_lsn, stamped_ms) = self.stamped;
        let pause_ms = if lsn == stamped_lsn { STAMP_IDLE_MS } else { STAMP_MS };
        now.elapsed_ms >= stamped_ms.saturating_add(pause_ms)
    }

    /// The clock was stamped with the record of this LSN.
    pub(super) fn stamped(&mut self, now: Now, lsn: u64) {
        self.stamped = (lsn, now.elapsed_ms);
    }

    /// The time since the last run as the wall clock shows it, in ms.
    fn down_ms(&self, now: Now, stamp: ClockStamp) -> i64 {
        let run = self.run_ms_since(self.start_elapsed_ms, now);
        to_i64(now.wall_ms) - run - to_i64(stamp.wall_ms)
    }

    fn run_ms_since(&self, elapsed_ms: u64, now: Now) -> i64 {
        to_i64(now.elapsed_ms.saturating_sub(elapsed_ms))
    }

    fn accept(&mut self, now: Now, down_ms: i64) {
        self.added_ms = self.added_ms.saturating_add(u64::try_from(down_ms).unwrap_or(0));
        self.wall_offset_ms = Some(offset_ms(now));
    }
}

impl<D: Disk> Node<D> {
    /// Why the wall clock is in doubt, if it is.
    pub fn clock_doubt(&self) -> Option<ClockDoubt> {
        self.clock.doubt()
    }

    /// Stamps the clock if that is due. Without room it is stamped later.
    pub(super) fn stamp_clock(&mut self, now: Now) {
        let is_first = self.state().clock().is_none() && self.clock.doubt().is_none();
        if is_first || self.clock.is_stamp_due(self.machine, self.store.lsn()) {
            let stamp = self.clock.stamp(self.machine);
            if let Ok((lsn, _)) = self.commit(now, Mutation::StampClock(stamp)) {
                self.clock.stamped(self.machine, lsn);
            }
        }
    }

    /// The operator says that the wall clock is right; the next start relies on it.
    pub(super) fn clock_confirm(&mut self, now: Now) -> Reply {
        let confirmed = self.clock.confirmed(self.machine);
        let stamp = confirmed.stamp(self.machine);
        let (lsn, _) = self.commit(now, Mutation::StampClock(stamp))?;
        self.clock = confirmed;
        self.clock.stamped(self.machine, lsn);
        Ok(self.clocks().into())
    }

    pub(super) fn clocks(&self) -> Clock {
        let Now { wall_ms: wall, node_ms: node, .. } = self.clock.read(self.machine);
        let doubt = self.clock.doubt();
        let held_back = self.held_back();
        let peers_apart = self.peers_apart();
        Clock { lsn: self.store.lsn(), wall, node, doubt, held_back, peers_apart }
    }

    fn peers_apart(&self) -> u64 {
        let ahead = self.mesh.links().filter_map(|(_, link)| link.clock_ahead_ms);
        ahead.filter(|ahead| ahead.unsigned_abs() > DRIFT_MAX_MS).count() as u64
    }

    /// How long the node has run over all its lives at this turn, in ms. It never goes back while the node
    /// runs. A crash loses what ran since the last stamp: up to an hour with records, 3 days without any.
    pub fn ran_ms(&self) -> u64 {
        self.clock.ran_ms(self.machine)
    }

    /// Messages of this node that peers hold back.
    pub fn held_back(&self) -> Option<HeldBack> {
        let held = self.mesh.held_back(self.state(), self.clock.read(self.machine))?;
        Some(HeldBack { peers: held.peers as u64, ahead_ms: held.ahead_ms })
    }

    /// How long the node has run, in ms.
    pub fn ran_ms(&self) -> u64 {
        self.machine.elapsed_ms.saturating_sub(self.clock.start_elapsed_ms)
    }
}

/// Whether a node may have been down for so long without a confirmation.
fn is_plausible(down_ms: i64) -> bool {
    (-to_i64(DRIFT_MAX_MS)..=to_i64(DOWN_MAX_MS)).contains(&down_ms)
}

fn offset_ms(now: Now) -> i64 {
    to_i64(now.wall_ms) - to_i64(now.elapsed_ms)
}

fn to_i64(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
