//! The node's clock: the time that has passed, also over restarts, which no wrong wall clock moves.
//!
//! The node's clock follows the elapsed time of the machine, also over a restart within one boot. Over
//! another boot it advances by the difference of the wall clock, if that is plausible. Everything that
//! expires by age uses it. Invariant: it never goes back.

mod budget;

use icn_gossip::{Boot, BootId, ClockStamp, Now};

use self::budget::Budget;
use crate::control::reply::clock::ClockDoubt;
use crate::limits::DRIFT_MAX_MS;

/// The least time between two stamps after records, and the longest without any.
const STAMP_MS: u64 = 60 * 60 * 1000;
const STAMP_IDLE_MS: u64 = 3 * 24 * 60 * 60 * 1000;

/// How long after a start a wall clock may be set and still show how long the node was down. A machine
/// without a battery gets the time over the network.
const SETTLES_MS: u64 = 10 * 60 * 1000;

/// How long after a start a stamp names another boot: before, the wall clock may still be set.
const BOOT_STAMP_MS: u64 = SETTLES_MS;

/// No node is older: 2024-01-01. A wall clock before it is wrong, like that of a machine without a battery.
const FIRST_NODE_MS: u64 = 1_704_067_200_000;

/// A wall clock that is slewed gains or loses at most this part of the time that passes.
const SLEW: i64 = 10;

/// Between two runs, a wall clock may be corrected by this part of the time in addition.
const DRIFT_PARTS: u64 = 1000;

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
    /// How much more the wall clock may add in this boot.
    budget: Budget,
    /// The wall clock minus the elapsed time, when the wall clock was last plausible; `None` while the
    /// time since the last run is in doubt.
    wall_offset_ms: Option<i64>,
    /// The elapsed time of the machine when the wall clock was last compared.
    compared_ms: u64,
    /// The boot of the machine, if it is known.
    boot: Option<BootId>,
    /// The stamp of a run before, if only the wall clock shows how long ago it was.
    last_run: Option<ClockStamp>,
    doubt: Option<ClockDoubt>,
    last_stamp: LastStamp,
}

/// The last stamp: the LSN, the elapsed time of the machine then, the boot that it names, and whether all
/// budget was there.
#[derive(Clone, Copy, Debug)]
struct LastStamp {
    lsn: u64,
    elapsed_ms: u64,
    boot: Option<BootId>,
    has_whole_budget: bool,
}

/// The last moment that is known of the runs before.
#[derive(Clone, Copy)]
pub(super) struct LastRun {
    /// The last stamp.
    pub(super) stamp: Option<ClockStamp>,
    /// When the last entry was received, by the node's clock in ms.
    pub(super) received_ms: Option<u64>,
    /// The last LSN.
    pub(super) lsn: u64,
    /// How long the node had run when its last snapshot was taken, in ms.
    pub(super) ran_ms: u64,
}

impl NodeClock {
    /// The clock of a node that starts now, in this boot of the machine. Without a stamp and an entry, the
    /// node is new. A node with an entry alone took its times from the wall clock.
    pub(super) fn start(now: Now, boot: Option<BootId>, last: LastRun) -> Self {
        let LastRun { stamp, received_ms, lsn, ran_ms } = last;
        let stamped_boot = stamp.and_then(|stamp| stamp.boot);
        let since_ms = stamped_boot
            .filter(|stamped| boot == Some(stamped.id))
            .and_then(|stamped| now.elapsed_ms.checked_sub(stamped.elapsed_ms));
        let mut clock = Self {
            start_ms: now.wall_ms,
            start_ran_ms: stamp.map_or(0, |stamp| stamp.ran_ms).max(ran_ms),
            start_elapsed_ms: now.elapsed_ms,
            added_ms: 0,
            budget: Budget::new(
                stamp.map_or(ClockStamp::BUDGET_MS_MAX, |stamp| stamp.budget_ms),
                now,
            ),
            wall_offset_ms: Some(offset_ms(now)),
            compared_ms: now.elapsed_ms,
            boot,
            last_run: None,
            doubt: None,
            last_stamp: LastStamp {
                lsn,
                // Short runs in one boot add up to the next stamp.
                elapsed_ms: since_ms.map_or(now.elapsed_ms, |since| now.elapsed_ms - since),
                boot: stamped_boot.map(|stamped| stamped.id),
                has_whole_budget: stamp
                    .is_none_or(|stamp| stamp.budget_ms >= ClockStamp::BUDGET_MS_MAX),
            },
        };
        if let (Some(stamp), Some(since_ms)) = (stamp, since_ms) {
            clock.start_ms = stamp.node_ms.saturating_add(since_ms);
            let expected_ms = stamp.wall_ms.saturating_add(since_ms);
            if now.wall_ms.abs_diff(expected_ms) > DRIFT_MAX_MS + since_ms / DRIFT_PARTS {
                clock.wall_offset_ms = Some(to_i64(expected_ms) - to_i64(now.elapsed_ms));
            }
        } else if let Some(stamp) = stamp
            .map(|stamp| advanced(stamp, received_ms))
            .or_else(|| received_ms.map(|received_ms| unstamped(received_ms, now)))
        {
            clock.start_ms = stamp.node_ms;
            clock.budget = Budget::new(stamp.budget_ms, now);
            clock.wall_offset_ms = None;
            clock.last_run = Some(stamp);
        }
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
                if self.is_plausible(now, down) {
                    self.believe(now, down);
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
        let Some(stamp) = self.last_run else { return self.was_before_all_nodes(now) };
        let down = self.down_ms(now, stamp);
        let is_soon = self.run_ms_since(self.start_elapsed_ms, now) <= to_i64(SETTLES_MS);
        if !is_soon || !self.is_plausible(now, down) {
            return false;
        }
        self.believe(now, down);
        true
    }

    /// Whether a new node has begun with a wall clock from before there were nodes, which is set now.
    fn was_before_all_nodes(&mut self, now: Now) -> bool {
        let was_set = self.trusted_ms(now) < FIRST_NODE_MS && now.wall_ms >= FIRST_NODE_MS;
        if was_set {
            self.wall_offset_ms = Some(offset_ms(now));
        }
        was_set
    }

    /// Whether the node may have been down for so long without a confirmation.
    fn is_plausible(&self, now: Now, down_ms: i64) -> bool {
        let most_ms = self.added_ms.saturating_add(self.budget.ms(now));
        (-to_i64(DRIFT_MAX_MS)..=to_i64(most_ms)).contains(&down_ms)
    }

    /// Counts the time that the node was down as the wall clock shows it, which takes budget.
    fn believe(&mut self, now: Now, down_ms: i64) {
        let before_ms = self.added_ms;
        self.accept(now, down_ms);
        self.budget = self.budget.without(self.added_ms - before_ms, now);
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
        self.last_run = None;
        self.doubt = None;
        self.budget = Budget::new(ClockStamp::BUDGET_MS_MAX, now);
        self
    }

    /// A stamp of this moment. It pairs the node's clock with the wall clock as it was last trusted: the next
    /// start must not believe one in doubt.
    pub(super) fn stamp(&self, now: Now) -> ClockStamp {
        let boot = self.boot_to_stamp().map(|id| Boot { id, elapsed_ms: now.elapsed_ms });
        let node_ms = self.read(now).node_ms;
        ClockStamp {
            node_ms,
            wall_ms: self.trusted_ms(now),
            ran_ms: self.ran_ms(now),
            boot,
            budget_ms: self.budget.ms(now),
        }
    }

    /// The wall clock as it was last trusted, and the time that has passed since, in ms.
    fn trusted_ms(&self, now: Now) -> u64 {
        let wall_ms = match (self.wall_offset_ms, self.last_run) {
            (None, Some(stamp)) => {
                to_i64(stamp.wall_ms) + self.run_ms_since(self.start_elapsed_ms, now)
            }
            (offset, _) => to_i64(now.elapsed_ms) + offset.unwrap_or(0),
        };
        u64::try_from(wall_ms).unwrap_or(0)
    }

    /// The time of records of the log, in ms. It never goes back there, so no wall clock in doubt sets it.
    /// Meanwhile the last trusted one goes on with the time that passes.
    pub(super) fn log_ms(&self, now: Now) -> u64 {
        let trusted_ms = self.trusted_ms(now);
        // The doubt is of the last tick, and the wall clock may have been set since.
        if now.wall_ms.abs_diff(trusted_ms) <= DRIFT_MAX_MS { now.wall_ms } else { trusted_ms }
    }

    /// The boot that a stamp names. While it is unknown for how long the node was down it names none, which
    /// leaves the question to the next start.
    fn boot_to_stamp(&self) -> Option<BootId> {
        self.boot.filter(|_| self.wall_offset_ms.is_some())
    }

    /// Whether a stamp is due: after records now and then, without records rarely, and in every boot. Budget
    /// that has grown outlives the boot only in a stamp.
    pub(super) fn is_stamp_due(&self, now: Now, lsn: u64) -> bool {
        let is_idle = lsn == self.last_stamp.lsn;
        let boot = self.boot_to_stamp();
        let pause_ms = if boot.is_some() && boot != self.last_stamp.boot {
            BOOT_STAMP_MS
        } else if is_idle && self.last_stamp.has_whole_budget {
            STAMP_IDLE_MS
        } else {
            STAMP_MS
        };
        now.elapsed_ms >= self.last_stamp.elapsed_ms.saturating_add(pause_ms)
    }

    /// The clock was stamped with the record of this LSN.
    pub(super) fn stamped(&mut self, now: Now, lsn: u64) {
        let boot = self.boot_to_stamp();
        let has_whole_budget = self.budget.ms(now) == ClockStamp::BUDGET_MS_MAX;
        self.last_stamp = LastStamp { lsn, elapsed_ms: now.elapsed_ms, boot, has_whole_budget };
    }

    /// The time since the last run as the wall clock shows it, in ms. After a run with a wall clock from
    /// before there were nodes it is unknown, and counts as none.
    fn down_ms(&self, now: Now, stamp: ClockStamp) -> i64 {
        if stamp.wall_ms < FIRST_NODE_MS && now.wall_ms >= FIRST_NODE_MS {
            return 0;
        }
        let run = self.run_ms_since(self.start_elapsed_ms, now);
        to_i64(now.wall_ms) - run - to_i64(stamp.wall_ms)
    }

    fn run_ms_since(&self, elapsed_ms: u64, now: Now) -> i64 {
        to_i64(now.elapsed_ms.saturating_sub(elapsed_ms))
    }

    fn accept(&mut self, now: Now, down_ms: i64) {
        self.added_ms = self.added_ms.max(u64::try_from(down_ms).unwrap_or(0));
        self.wall_offset_ms = Some(offset_ms(now));
    }
}

/// A stamp at the time of an entry that was received after it: both clocks had advanced alike. The wall
/// clock may have added that time, so it takes budget.
fn advanced(stamp: ClockStamp, received_ms: Option<u64>) -> ClockStamp {
    let since_ms = received_ms.unwrap_or(0).saturating_sub(stamp.node_ms);
    ClockStamp {
        node_ms: stamp.node_ms + since_ms,
        wall_ms: stamp.wall_ms.saturating_add(since_ms),
        budget_ms: stamp.budget_ms.saturating_sub(since_ms),
        ..stamp
    }
}

/// In place of a stamp: the last entry of an older build, whose times are those of its wall clock.
fn unstamped(received_ms: u64, now: Now) -> ClockStamp {
    let node_ms = received_ms.min(now.wall_ms);
    let budget_ms = ClockStamp::BUDGET_MS_MAX;
    ClockStamp { node_ms, wall_ms: received_ms, ran_ms: 0, boot: None, budget_ms }
}

fn offset_ms(now: Now) -> i64 {
    to_i64(now.wall_ms) - to_i64(now.elapsed_ms)
}

fn to_i64(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
