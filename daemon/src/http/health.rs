//! Whether the node lives, is ready, and is well.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

use crate::control::codes;
use crate::control::reply::check::{Check, Level};
use crate::failure::Failure;
use crate::text::counted;

/// The core takes a turn twice a second at least; one without a turn for this long hangs.
const HANGS_AFTER_MS: u64 = 30_000;

/// The check of the core thread, which cannot check itself.
pub(crate) const LOOPS: &str = "loops";

/// The shortest pause between two lines about one check. A check that goes back and forth does not fill
/// the log.
const LINE_PAUSE_MS: u64 = 10_000;

/// The phases of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub(crate) enum Phase {
    /// Recovering.
    Starting,
    /// Taking requests.
    Ready,
    /// Saving the last snapshot and sealing the log.
    Stopping,
    /// The log has failed; the process is about to exit.
    Failed,
}

/// The shortest pause before a further line about a check that goes on to warn, of something else.
const OTHER_PAUSE_MS: u64 = 10 * 60 * 1000;

/// The health of a node.
pub(crate) struct Health {
    phase: AtomicU8,
    /// When the core last took a turn, in elapsed ms.
    turned_ms: AtomicU64,
    /// Records that the recovery has replayed.
    replayed: AtomicU64,
    checks: Mutex<Vec<Reported>>,
}

/// A check of the last turn, and what the log says of it.
struct Reported {
    check: Check,
    logged: Level,
    logged_subject: String,
    logged_ms: Option<u64>,
}

impl Health {
    /// The health of a node that starts at `elapsed_ms`.
    #[must_use]
    pub(crate) fn new(elapsed_ms: u64) -> Self {
        Self {
            phase: AtomicU8::new(Phase::Starting as u8),
            turned_ms: AtomicU64::new(elapsed_ms),
            replayed: AtomicU64::new(0),
            checks: Mutex::default(),
        }
    }

    /// Records that the recovery has replayed so many records.
    pub(crate) fn replayed(&self, records: u64) {
        self.replayed.store(records, Ordering::Relaxed);
    }

    /// Why the node takes no requests now.
    #[must_use]
    pub(crate) fn not_ready(&self) -> Failure {
        if self.phase() == Phase::Starting {
            let records = counted(self.replayed.load(Ordering::Relaxed), "record");
            return Failure::new(
                codes::STARTING,
                format!("The node is starting: it has replayed {records} of its log."),
            );
        }
        Failure::new(codes::STOPPING, "The node is stopping.")
    }

    /// Sets the phase.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// The phase.
    #[must_use]
    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            2 => Phase::Stopping,
            _ => Phase::Failed,
        }
    }

    /// Records a turn of the core with these results of all checks. A log line reports when a warning
    /// begins and when it ends.
    pub(crate) fn turned(&self, elapsed_ms: u64, checks: Vec<Check>) {
        self.turned_ms.store(elapsed_ms, Ordering::Release);
        for line in self.due_lines(elapsed_ms, checks) {
            match line.level {
                Level::Ok => tracing::info!("Over: {line}"),
                Level::Warn => tracing::warn!("{line}"),
                Level::Fail => tracing::error!("{line}"),
            }
        }
    }

    /// Keeps the checks, and returns those of which the log has to say something.
    fn due_lines(&self, elapsed_ms: u64, checks: Vec<Check>) -> Vec<Check> {
        let mut reported = self.checks.lock();
        let mut lines = Vec::new();
        for check in checks {
            let known = reported.iter().position(|known| known.check.name == check.name);
            let at = known.unwrap_or_else(|| {
                reported.push(Reported::new(check.clone()));
                reported.len() - 1
            });
            let known = &mut reported[at];
            known.check = check;
            lines.extend(known.due_line(elapsed_ms));
        }
        lines
    }

    /// Whether the core hangs, so that a restart could help. A full disk, a long recovery and a lack of
    /// peers do not count.
    #[must_use]
    pub(crate) fn hangs(&self, elapsed_ms: u64) -> bool {
        let since = elapsed_ms.saturating_sub(self.turned_ms.load(Ordering::Acquire));
        self.phase() == Phase::Ready && since > HANGS_AFTER_MS
    }

    /// All checks; none before recovery has ended.
    #[must_use]
    pub(crate) fn checks(&self, elapsed_ms: u64) -> Vec<Check> {
        let mut checks: Vec<Check> =
            self.checks.lock().iter().map(|reported| reported.check.clone()).collect();
        let mut fail = |name: &str, text: &str| {
            checks.retain(|check| check.name != name);
            checks.insert(0, Check { name: name.into(), level: Level::Fail, text: text.into() });
        };
        if self.phase() == Phase::Failed {
            fail("log", "a write or sync failed; the node stops");
        }
        if self.hangs(elapsed_ms) {
            fail(LOOPS, "the core loop does not run");
        }
        checks
    }
}

impl Reported {
    fn new(check: Check) -> Self {
        Self { check, logged: Level::Ok, logged_subject: String::new(), logged_ms: None }
    }

    /// The check, if its level is not the one that the log says, or it warns of something else.
    fn due_line(&mut self, elapsed_ms: u64) -> Option<Check> {
        let Self { check, logged, logged_subject, logged_ms } = self;
        let is_paused =
            |pause_ms| logged_ms.is_some_and(|logged_ms| elapsed_ms < logged_ms + pause_ms);
        // The numbers of a warning change all the time.
        let subject = || check.text.replace(|c: char| c.is_ascii_digit(), "");
        let is_due = if check.level == *logged {
            check.level > Level::Ok && !is_paused(OTHER_PAUSE_MS) && subject() != *logged_subject
        } else {
            !is_paused(LINE_PAUSE_MS)
        };
        if !is_due {
            return None;
        }
        (*logged, *logged_subject, *logged_ms) = (check.level, subject(), Some(elapsed_ms));
        Some(check.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_reports_the_begin_and_the_end_of_a_warning_at_a_bounded_rate() {
        let health = Health::new(0);
        let turn = |elapsed_ms, level| {
            health.turned(elapsed_ms, vec![Check { name: "room".into(), level, text: "".into() }]);
            assert_eq!(health.checks(elapsed_ms)[0].level, level);
            health.checks.lock()[0].logged
        };
        assert_eq!(turn(20_000, Level::Ok), Level::Ok);
        assert_eq!(turn(20_500, Level::Warn), Level::Warn, "a line at once");
        assert_eq!(turn(21_000, Level::Ok), Level::Warn);
        assert_eq!(turn(21_500, Level::Fail), Level::Warn);
        assert_eq!(turn(30_500, Level::Fail), Level::Fail, "after the pause");
        assert_eq!(turn(60_000, Level::Ok), Level::Ok);
    }

    #[test]
    fn a_second_subject_of_a_warning_is_logged_and_other_numbers_are_not() {
        let health = Health::new(0);
        let turn = |elapsed_ms, text: &str| {
            let text = text.to_owned();
            health.turned(
                elapsed_ms,
                vec![Check { name: "limits".into(), level: Level::Warn, text }],
            );
            health.checks.lock()[0].logged_ms
        };
        assert_eq!(turn(1000, "Cursors: 820 of 1024"), Some(1000));
        let later = 1000 + OTHER_PAUSE_MS;
        assert_eq!(turn(later, "Cursors: 830 of 1024"), Some(1000));
        assert_eq!(turn(later, "Cursors: 830 of 1024; Links: 256 of 256"), Some(later));
    }

    #[test]
    fn a_failed_log_outweighs_what_the_last_turn_found() {
        let health = Health::new(0);
        let level = Level::Ok;
        health.turned(1, vec![Check { name: "log".into(), level, text: "well".into() }]);
        health.enter(Phase::Failed);
        let checks = health.checks(2);
        assert_eq!(checks.len(), 1);
        assert_eq!(checks[0].level, Level::Fail);
    }
}
