//! The node's clock: the time that has passed, also over restarts, which no wrong wall clock moves.
//!
//! While the process runs, the node's clock follows the elapsed time of the machine. Over a restart it
//! advances by the difference of the wall clock, if that is plausible. Everything that expires by age,
//! and every deadline, uses it. Invariant: it never goes back.

use icn_gossip::{ClockStamp, Now};

use crate::control::reply::clock::ClockDoubt;

/// How far the wall clock may move against the elapsed time before it is in doubt. Leap seconds and slow
/// corrections are far below it.
const DRIFT_MAX_MS: u64 = 60_000;

/// The longest time between two runs that needs no confirmation: 7 days.
const DOWN_MAX_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// The least time between two stamps.
const STAMP_MS: u64 = 60 * 60 * 1000;

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
    /// The last stamp of an earlier run.
    last_run: Option<ClockStamp>,
    doubt: Option<ClockDoubt>,
    /// The last LSN when the clock was stamped, and the node's clock then.
    stamped: (u64, u64),
}

impl NodeClock {
    /// The clock of a node that starts now after the LSN `lsn`. `last_run` is the stamp of an earlier run;
    /// without one, the clock starts at `newest_ms`, the newest time in the state, or later.
    pub(super) fn start(now: Now, last_run: Option<ClockStamp>, newest_ms: u64, lsn: u64) -> Self {
        let start_ms = last_run.map_or(now.wall_ms.max(newest_ms), |stamp| stamp.node_ms);
        let mut clock = Self {
            start_ms,
            start_elapsed_ms: now.elapsed_ms,
            added_ms: 0,
            wall_offset_ms: last_run.is_none().then(|| offset_ms(now)),
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
        Now { wall_ms: now.wall_ms, elapsed_ms: self.start_ms + self.added_ms + since }
    }

    /// Compares the wall clock with the elapsed time.
    pub(super) fn observe(&mut self, now: Now) {
        self.doubt = match (self.wall_offset_ms, self.last_run) {
            (Some(trusted), _) => {
                let moved = offset_ms(now) - trusted;
                if moved.unsigned_abs() <= DRIFT_MAX_MS {
                    self.wall_offset_ms = Some(offset_ms(now));
                    None
                } else {
                    Some(ClockDoubt::Moved(moved))
                }
            }
            (None, Some(stamp)) => {
                let down = self.down_ms(now, stamp);
                let is_plausible = (-to_i64(DRIFT_MAX_MS)..=to_i64(DOWN_MAX_MS)).contains(&down);
                if is_plausible {
                    self.accept(now, down);
                    None
                } else {
                    Some(ClockDoubt::Down(down))
                }
            }
            (None, None) => None,
        };
    }

    /// Why the wall clock is in doubt, if it is.
    pub(super) fn doubt(&self) -> Option<ClockDoubt> {
        self.doubt
    }

    /// The operator confirms that the wall clock is right. Returns the stamp to record.
    pub(super) fn confirm(&mut self, now: Now) -> ClockStamp {
        match (self.wall_offset_ms, self.last_run) {
            (None, Some(stamp)) => self.accept(now, self.down_ms(now, stamp)),
            _ => self.wall_offset_ms = Some(offset_ms(now)),
        }
        self.doubt = None;
        let Now { wall_ms, elapsed_ms: node_ms } = self.read(now);
        ClockStamp { node_ms, wall_ms }
    }

    /// The stamp that is due, if records followed the last one. The wall clock is not stamped while it is in
    /// doubt: the next start would believe it.
    pub(super) fn stamp(&mut self, now: Now, lsn: u64) -> Option<ClockStamp> {
        let Now { wall_ms, elapsed_ms: node_ms } = self.read(now);
        let (stamped_lsn, stamped_ms) = self.stamped;
        if self.doubt.is_some() || lsn == stamped_lsn || node_ms < stamped_ms + STAMP_MS {
            return None;
        }
        // The stamp is a record of its own.
        self.stamped = (lsn + 1, node_ms);
        Some(ClockStamp { node_ms, wall_ms })
    }

    /// The time since the last run as the wall clock shows it, in ms.
    fn down_ms(&self, now: Now, stamp: ClockStamp) -> i64 {
        let run = now.elapsed_ms.saturating_sub(self.start_elapsed_ms);
        to_i64(now.wall_ms) - to_i64(run) - to_i64(stamp.wall_ms)
    }

    fn accept(&mut self, now: Now, down_ms: i64) {
        self.added_ms += u64::try_from(down_ms).unwrap_or(0);
        self.wall_offset_ms = Some(offset_ms(now));
    }
}

fn offset_ms(now: Now) -> i64 {
    to_i64(now.wall_ms) - to_i64(now.elapsed_ms)
}

fn to_i64(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_moved_wall_clock_moves_nothing_and_is_in_doubt_until_it_is_back_or_confirmed() {
        let mut clock = NodeClock::start(at(0, 0), None, 7, 1);
        assert_eq!(clock.read(at(0, 0)).elapsed_ms, WALL_MS);
        for moved in [days(40), -days(40), 61_000, -61_000] {
            clock.observe(at(1000, moved));
            assert_eq!(clock.doubt(), Some(ClockDoubt::Moved(moved)));
            assert_eq!(clock.read(at(1000, moved)).elapsed_ms, WALL_MS + 1000);
            assert_eq!(clock.stamp(at(STAMP_MS * 2, moved), 9), None);
            clock.observe(at(2000, 0));
            assert_eq!(clock.doubt(), None);
        }
        // A slow correction is followed.
        for minute in 1..60 {
            clock.observe(at(60_000 * minute, 50_000 * to_i64(minute)));
            assert_eq!(clock.doubt(), None);
        }
        clock.observe(at(0, days(3)));
        clock.confirm(at(0, days(3)));
        assert_eq!(clock.doubt(), None);
        clock.observe(at(DAY_MS, days(3)));
        assert_eq!(clock.doubt(), None);
    }

    #[test]
    fn a_plausible_time_between_runs_counts_and_any_other_waits_to_be_confirmed() {
        let stamp = ClockStamp { node_ms: WALL_MS - 5, wall_ms: WALL_MS };
        for (down, counted) in [(0, 0), (days(7), days(7)), (-50_000, 0)] {
            let clock = NodeClock::start(at(0, down), Some(stamp), 0, 1);
            assert_eq!(clock.doubt(), None, "{down}");
            let expected = stamp.node_ms.saturating_add_signed(counted);
            assert_eq!(clock.read(at(0, down)).elapsed_ms, expected);
        }
        for down in [days(8), -days(1), days(3650)] {
            let mut clock = NodeClock::start(at(0, down), Some(stamp), 0, 1);
            assert_eq!(clock.doubt(), Some(ClockDoubt::Down(down)));
            assert_eq!(clock.read(at(0, down)).elapsed_ms, stamp.node_ms);
            // The wall clock is put right while the node runs, or the operator confirms it.
            let mut confirmed = clock;
            clock.observe(at(1000, days(2)));
            assert_eq!(clock.doubt(), None);
            assert_eq!(clock.read(at(1000, days(2))).elapsed_ms, stamp.node_ms + 2 * DAY_MS + 1000);
            confirmed.confirm(at(0, down));
            assert_eq!(confirmed.doubt(), None);
            let counted = stamp.node_ms.saturating_add_signed(down.max(0));
            assert_eq!(confirmed.read(at(0, down)).elapsed_ms, counted);
        }
    }

    #[test]
    fn a_clock_is_stamped_hourly_while_there_are_records() {
        let mut clock = NodeClock::start(at(0, 0), None, 0, 1);
        assert_eq!(clock.stamp(at(STAMP_MS, 0), 1), None, "nothing was recorded");
        assert_eq!(clock.stamp(at(STAMP_MS - 1, 0), 2), None, "too early");
        let stamp = ClockStamp { node_ms: WALL_MS + STAMP_MS, wall_ms: WALL_MS + STAMP_MS };
        assert_eq!(clock.stamp(at(STAMP_MS, 0), 2), Some(stamp));
        assert_eq!(clock.stamp(at(STAMP_MS * 2, 0), 3), None, "the stamp is the last record");
        assert!(clock.stamp(at(STAMP_MS * 2, 0), 4).is_some());
    }
}
