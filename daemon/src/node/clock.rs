//! The node's clock: the time that has passed, also over restarts, which no wrong wall clock moves.
//!
//! While the process runs, the node's clock follows the elapsed time of the machine. Over a restart it
//! advances by the difference of the wall clock, if that is plausible. Everything that expires by age,
//! and every deadline, uses it. Invariant: it never goes back.

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
    /// The node's clock and the elapsed time of the machine at the start.
    start_ms: u64,
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
    /// The last LSN when the clock was stamped, and the node's clock then.
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
        let unstamped = |last: u64| ClockStamp { node_ms: last.min(now.wall_ms), wall_ms: last };
        let is_stamped = last_run.is_some();
        let last_run = last_run.or_else(|| last_ms.map(unstamped));
        let start_ms = match last_run {
            None => now.wall_ms,
            Some(stamp) if is_stamped => stamp.node_ms.max(last_ms.unwrap_or(0)),
            Some(stamp) => stamp.node_ms,
        };
        let mut clock = Self {
            start_ms,
            start_elapsed_ms: now.elapsed_ms,
            added_ms: 0,
            wall_offset_ms: last_run.is_none().then(|| offset_ms(now)),
            compared_ms: now.elapsed_ms,
            last_run,
            doubt: None,
            stamped: (lsn, start_ms),
        };
        clock.observe(now);
        clock
    }

    /// A reading of the machine's clocks in the terms of the node: its elapsed time is the node's clock.
    pub(super) fn read(&self, now: Now) -> Now {
        let since = now.elapsed_ms.saturating_sub(self.start_elapsed_ms);
        let elapsed_ms = self.start_ms.saturating_add(self.added_ms).saturating_add(since);
        Now { wall_ms: now.wall_ms, elapsed_ms }
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
        ClockStamp { node_ms: self.read(now).elapsed_ms, wall_ms }
    }

    /// Whether a stamp is due: after records now and then, and without records rarely.
    pub(super) fn is_stamp_due(&self, now: Now, lsn: u64) -> bool {
        let (stamped_lsn, stamped_ms) = self.stamped;
        let pause_ms = if lsn == stamped_lsn { STAMP_IDLE_MS } else { STAMP_MS };
        self.read(now).elapsed_ms >= stamped_ms.saturating_add(pause_ms)
    }

    /// The clock was stamped with the record of this LSN.
    pub(super) fn stamped(&mut self, now: Now, lsn: u64) {
        self.stamped = (lsn, self.read(now).elapsed_ms);
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
        let Now { wall_ms: wall, elapsed_ms: node } = self.clock.read(self.machine);
        let doubt = self.clock.doubt();
        let held_back = self.held_back();
        let peers_apart = self.peers_apart();
        Clock { lsn: self.store.lsn(), wall, node, doubt, held_back, peers_apart }
    }

    fn peers_apart(&self) -> u64 {
        let ahead = self.mesh.links().filter_map(|(_, link)| link.clock_ahead_ms);
        ahead.filter(|ahead| ahead.unsigned_abs() > DRIFT_MAX_MS).count() as u64
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
mod tests {
    use icn_wal::disk::SimDisk;

    use super::*;
    use crate::control::request::Request;
    use crate::node::{Inputs, simulated};

    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    const WALL_MS: u64 = 20_000 * DAY_MS;

    /// Both clocks after so many ms of running, with the wall clock moved by `moved_ms`.
    fn at(run_ms: u64, moved_ms: i64) -> Now {
        let wall_ms = (WALL_MS + run_ms).saturating_add_signed(moved_ms);
        Now { wall_ms, elapsed_ms: 500 + run_ms }
    }

    fn days(days: i64) -> i64 {
        days * to_i64(DAY_MS)
    }

    /// The clock of a new node that starts at 0.
    fn new_node() -> NodeClock {
        NodeClock::start(at(0, 0), None, None, 1)
    }

    #[test]
    fn a_moved_wall_clock_moves_nothing_and_is_in_doubt_until_it_is_back_or_confirmed() {
        let mut clock = new_node();
        assert_eq!(clock.read(at(0, 0)).elapsed_ms, WALL_MS);
        for moved in [days(40), -days(40), 61_000, -61_000] {
            clock.observe(at(1000, moved));
            assert_eq!(clock.doubt(), Some(ClockDoubt::Moved(moved)));
            assert_eq!(clock.read(at(1000, moved)).elapsed_ms, WALL_MS + 1000);
            // A stamp keeps to the wall clock that was trusted.
            let stamp = ClockStamp { node_ms: WALL_MS + 1000, wall_ms: WALL_MS + 1000 };
            assert_eq!(clock.stamp(at(1000, moved)), stamp);
            clock.observe(at(2000, 0));
            assert_eq!(clock.doubt(), None);
        }
        let confirmed = clock.confirmed(at(3000, days(3)));
        assert_eq!(confirmed.doubt(), None);
        let mut later = confirmed;
        later.observe(at(DAY_MS, days(3)));
        assert_eq!(later.doubt(), None);
    }

    #[test]
    fn a_slewed_wall_clock_is_followed_and_one_that_runs_away_is_in_doubt() {
        for (ms_per_minute, is_doubtful) in [(5000, false), (-5000, false), (20_000, true)] {
            let mut clock = new_node();
            for minute in 1..60 {
                clock.observe(at(60_000 * minute, ms_per_minute * to_i64(minute)));
            }
            assert_eq!(clock.doubt().is_some(), is_doubtful, "{ms_per_minute}");
        }
    }

    #[test]
    fn a_plausible_time_between_runs_counts_and_any_other_waits_to_be_confirmed() {
        let stamp = ClockStamp { node_ms: WALL_MS - 5, wall_ms: WALL_MS };
        for (down, counted) in [(0, 0), (days(7), days(7)), (-50_000, 0)] {
            let clock = NodeClock::start(at(0, down), Some(stamp), None, 1);
            assert_eq!(clock.doubt(), None, "{down}");
            let expected = stamp.node_ms.saturating_add_signed(counted);
            assert_eq!(clock.read(at(0, down)).elapsed_ms, expected);
        }
        for down in [days(8), -days(1), days(3650)] {
            let mut clock = NodeClock::start(at(0, down), Some(stamp), None, 1);
            assert_eq!(clock.doubt(), Some(ClockDoubt::Down(down)));
            assert_eq!(clock.read(at(0, down)).elapsed_ms, stamp.node_ms);
            // A stamp in doubt leaves the question to the next start.
            let again =
                NodeClock::start(at(5000, down), Some(clock.stamp(at(5000, down))), None, 1);
            assert_eq!(again.doubt(), Some(ClockDoubt::Down(down)));
            let confirmed = clock.confirmed(at(0, down));
            assert_eq!(confirmed.doubt(), None);
            let counted = stamp.node_ms.saturating_add_signed(down.max(0));
            assert_eq!(confirmed.read(at(0, down)).elapsed_ms, counted);
            // The wall clock is put right while the node runs.
            clock.observe(at(1000, days(2)));
            assert_eq!(clock.doubt(), None);
            assert_eq!(clock.read(at(1000, days(2))).elapsed_ms, stamp.node_ms + 2 * DAY_MS + 1000);
        }
    }

    #[test]
    fn a_wall_clock_that_the_network_sets_after_the_start_shows_how_long_the_node_was_down() {
        let stamp = ClockStamp { node_ms: WALL_MS, wall_ms: WALL_MS };
        // Without a battery, the machine starts with the time of its last stop.
        let mut clock = NodeClock::start(at(0, 0), Some(stamp), None, 1);
        assert_eq!(clock.doubt(), None);
        clock.observe(at(5000, days(3)));
        assert_eq!(clock.doubt(), None);
        assert_eq!(clock.read(at(5000, days(3))).elapsed_ms, WALL_MS + 3 * DAY_MS + 5000);
        clock.observe(at(SETTLES_MS + 1, days(5)));
        assert_eq!(clock.doubt(), Some(ClockDoubt::Moved(days(2))), "too late for that");
    }

    #[test]
    fn a_node_without_a_stamp_starts_at_its_last_entry_and_believes_no_far_wall_clock() {
        for (last, down, node, is_doubtful) in [
            (WALL_MS, days(1), WALL_MS + DAY_MS, false),
            (WALL_MS, days(40), WALL_MS, true),
            // The last entry was written with a clock that was ahead, or the present one is behind.
            (WALL_MS + 3650 * DAY_MS, 0, WALL_MS, true),
        ] {
            let clock = NodeClock::start(at(0, down), None, Some(last), 1);
            assert_eq!(clock.read(at(0, down)).elapsed_ms, node, "{last} {down}");
            assert_eq!(clock.doubt().is_some(), is_doubtful, "{last} {down}");
        }
    }

    #[test]
    fn a_clock_is_stamped_hourly_after_records_and_rarely_without() {
        let mut clock = new_node();
        assert!(!clock.is_stamp_due(at(STAMP_MS, 0), 1), "nothing was recorded");
        assert!(!clock.is_stamp_due(at(STAMP_MS - 1, 0), 2), "too early");
        assert!(clock.is_stamp_due(at(STAMP_MS, 0), 2));
        clock.stamped(at(STAMP_MS, 0), 3);
        assert!(!clock.is_stamp_due(at(STAMP_MS * 2, 0), 3), "the stamp is the last record");
        assert!(clock.is_stamp_due(at(STAMP_MS * 2, 0), 4));
        assert!(clock.is_stamp_due(at(STAMP_MS + STAMP_IDLE_MS, 0), 3));
    }

    #[test]
    fn while_the_wall_clock_is_in_doubt_no_entry_expires_by_age() {
        let mut node = simulated::node(&SimDisk::new(1));
        let mut step = |now: Now, lines: &[&str]| {
            let request = |line: &&str| ((), Request::from_line(line.as_bytes()).expect("request"));
            let requests = lines.iter().map(request).collect();
            drop(node.step(now, Inputs { requests, tick: true, ..Inputs::default() }));
            node.state().counts().entries
        };
        let create = r#"{"v":1,"cmd":"topic_create","name":"a","retention_days":1}"#;
        let publish = r#"{"v":1,"cmd":"publish","topic":"a","text":"one"}"#;
        assert_eq!(step(Now::at(1), &[create, publish]), 1);
        let moved = Now { wall_ms: 40 * DAY_MS, elapsed_ms: 2 * DAY_MS };
        assert_eq!(step(moved, &[]), 1, "its day is over, and the wall clock was set");
        assert_eq!(step(Now::at(2 * DAY_MS), &[]), 0, "the wall clock is right again");
    }
}
