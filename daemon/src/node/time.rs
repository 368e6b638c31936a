//! What the node does with its clock: it stamps it, shows it, and has the operator confirm it.

use icn_gossip::{Mutation, Now};
use icn_wal::disk::Disk;

use super::Node;
use crate::control::reply::clock::{ClockDoubt, HeldBack};
use crate::control::reply::{Clock, Reply};
use crate::failure::Failure;
use crate::limits::DRIFT_MAX_MS;

impl<D: Disk> Node<D> {
    /// Why the wall clock is in doubt, if it is.
    pub fn clock_doubt(&self) -> Option<ClockDoubt> {
        self.clock.doubt()
    }

    /// Stamps the clock if that is due. Without room it is stamped later.
    pub(super) fn stamp_clock_if_due(&mut self, now: Now) {
        let is_first = self.state().clock().is_none() && self.clock.doubt().is_none();
        if is_first || self.clock.is_stamp_due(self.machine, self.store.lsn()) {
            let _ = self.stamp_clock(now);
        }
    }

    /// Stamps the clock.
    ///
    /// # Errors
    /// That there is no room.
    pub(super) fn stamp_clock(&mut self, now: Now) -> Result<(), Failure> {
        let stamp = self.clock.stamp(now);
        let (lsn, _) = self.commit(now, Mutation::StampClock(stamp))?;
        self.clock.stamped(now, lsn);
        Ok(())
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
        let held_earlier = self.held_earlier();
        let peers_apart = self.peers_apart();
        let would_expire = if doubt.is_some() { self.would_expire() } else { 0 };
        let lsn = self.store.lsn();
        Clock { lsn, wall, node, doubt, would_expire, held_back, held_earlier, peers_apart }
    }

    /// How many entries expire at once if the wall clock is confirmed.
    fn would_expire(&self) -> u64 {
        let confirmed = self.clock.confirmed(self.machine);
        let Now { node_ms, .. } = confirmed.read(self.machine);
        let state = self.state();
        let expire = |id| {
            let through = state.prunable(id, node_ms)?;
            Some(state.entries(*id, 0).take_while(|(arrival, _)| *arrival <= through).count())
        };
        state.topics().filter_map(|(id, _)| expire(id)).sum::<usize>() as u64
    }

    fn peers_apart(&self) -> u64 {
        let ahead = self.mesh.links().filter_map(|(_, link)| link.clock_ahead_ms);
        ahead.filter(|ahead| ahead.unsigned_abs() > DRIFT_MAX_MS).count() as u64
    }

    /// How long the node has run over all its lives at this turn, in ms. A life that ends without a stamp or
    /// a snapshot of its last hour is counted without that hour.
    pub fn ran_ms(&self) -> u64 {
        self.clock.ran_ms(self.machine)
    }

    /// Messages that this node wrote while its clock was ahead, and that peers still hold back.
    pub fn held_earlier(&self) -> Option<HeldBack> {
        let held = self.mesh.held_earlier(self.state(), self.clock.read(self.machine))?;
        Some(HeldBack { peers: held.peers as u64, ahead_ms: held.ahead_ms })
    }

    /// Messages of this node that peers hold back.
    pub fn held_back(&self) -> Option<HeldBack> {
        let held = self.mesh.held_back(self.state(), self.clock.read(self.machine))?;
        Some(HeldBack { peers: held.peers as u64, ahead_ms: held.ahead_ms })
    }
}
