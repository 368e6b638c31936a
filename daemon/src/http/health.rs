//! Whether the node lives, is ready, and is well.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use icn_gossip::limits::{INTERESTS_MAX, WANTS_MAX};
use parking_lot::Mutex;
use serde::Serialize;

use icn_gossip::Now;

use crate::control::reply::clock::{ClockDoubt, HeldBack};
use crate::failure::Failure;
use crate::text::clock::{doubt as doubt_text, held_back as held_back_text};

/// The core takes a turn twice a second at least; one without a turn for this long hangs.
const HANGS_AFTER_MS: u64 = 30_000;

/// What the check of the subscriptions says when it is well.
const ALL_ANNOUNCED: &str = "every one is announced";

/// Which subscriptions get no entries because of a limit, and what to do.
fn left_out(facts: Facts) -> Option<String> {
    let what = match facts {
        Facts { left_out: 0, full_links: 0, .. } => return None,
        Facts { left_out: 0, full_links, .. } => {
            format!("a link carries {WANTS_MAX} author logs at most, and {full_links} are full")
        }
        Facts { left_out, .. } => {
            format!("{left_out} get no entries, since at most {INTERESTS_MAX} are announced")
        }
    };
    Some(format!("{what}. End some: icnctl gossip unsubscribe TOPIC"))
}

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

/// The severity of a check; that of the node is the worst one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Well.
    Ok,
    /// Works, but the operator should look.
    Warn,
    /// Does not work.
    Fail,
}

/// One check and its result.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    /// The name of the check.
    pub(crate) name: &'static str,
    /// Its severity.
    pub(crate) level: Level,
    /// The result in words.
    pub(crate) text: String,
}

/// What the core observed at its last tick.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    /// The time of the tick.
    pub(crate) now: Now,
    /// Why the wall clock is in doubt, if it is.
    pub(crate) clock_doubt: Option<ClockDoubt>,
    /// Messages of this node that peers hold back.
    pub(crate) held_back: Option<HeldBack>,
    /// Whether the state has changed since the newest snapshot.
    pub(crate) changed: bool,
    /// When the newest whole snapshot was taken.
    pub(crate) newest_snapshot_ms: Option<u64>,
    /// Retained snapshots that failed their check.
    pub(crate) damaged_snapshots: usize,
    /// Findings of the state guard.
    pub(crate) weaknesses: usize,
    /// Topics with an access rule that this version does not understand.
    pub(crate) sealed_topics: usize,
    /// Subscriptions beyond the limit of what is announced to a peer.
    pub(crate) left_out: usize,
    /// Links that carry as many author logs as the limit allows.
    pub(crate) full_links: usize,
    /// Whether the disk has no room for the next segment of the log.
    pub(crate) no_room: bool,
}

/// The health of a node.
pub(crate) struct Health {
    phase: AtomicU8,
    /// When the core last took a turn, and when the newest snapshot was first seen, in elapsed ms.
    turned_ms: AtomicU64,
    snapshot_seen_ms: AtomicU64,
    snapshot_every_ms: u64,
    facts: Mutex<Facts>,
    save_failure: Mutex<Option<String>>,
}

impl Health {
    /// The health of a node that starts at `elapsed_ms` and takes a snapshot every `snapshot_every_ms`.
    #[must_use]
    pub(crate) fn new(elapsed_ms: u64, snapshot_every_ms: u64) -> Self {
        Self {
            phase: AtomicU8::new(Phase::Starting as u8),
            turned_ms: AtomicU64::new(elapsed_ms),
            snapshot_seen_ms: AtomicU64::new(elapsed_ms),
            snapshot_every_ms,
            facts: Mutex::default(),
            save_failure: Mutex::default(),
        }
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

    /// Records a tick of the core. A log line reports when a warning begins and when it ends.
    pub(crate) fn turned(&self, facts: Facts) {
        self.turned_ms.store(facts.now.elapsed_ms, Ordering::Release);
        let before = std::mem::replace(&mut *self.facts.lock(), facts);
        if before.newest_snapshot_ms != facts.newest_snapshot_ms {
            self.snapshot_seen_ms.store(facts.now.elapsed_ms, Ordering::Release);
        }
        match (before.held_back, facts.held_back) {
            (None, Some(held)) => tracing::warn!("{}", held_back_text(held)),
            (Some(_), None) => tracing::info!("No peer holds back a message of this node any more"),
            _ => {}
        }
        match (before.clock_doubt, facts.clock_doubt) {
            (None, Some(doubt)) => tracing::warn!("{}", doubt_text(doubt)),
            (Some(_), None) => tracing::info!("The wall clock is not in doubt any more"),
            _ => {}
        }
        match (left_out(before), left_out(facts)) {
            (None, Some(text)) => tracing::warn!("Subscriptions: {text}"),
            (Some(_), None) => tracing::info!("Subscriptions: {ALL_ANNOUNCED}"),
            _ => {}
        }
    }

    /// Records the outcome of a snapshot.
    pub(crate) fn saved(&self, outcome: Result<(), &Failure>) {
        *self.save_failure.lock() = outcome.err().map(|failure| failure.message.clone());
    }

    /// Whether the core hangs, so that a restart could help. A full disk, a long recovery and a lack of
    /// peers do not count.
    #[must_use]
    pub(crate) fn hangs(&self, elapsed_ms: u64) -> bool {
        let since = elapsed_ms.saturating_sub(self.turned_ms.load(Ordering::Acquire));
        self.phase() == Phase::Ready && since > HANGS_AFTER_MS
    }

    /// All checks.
    #[must_use]
    pub(crate) fn checks(&self, elapsed_ms: u64) -> Vec<Check> {
        let phase = self.phase();
        let facts = *self.facts.lock();
        let check = |name, level, text: String| Check { name, level, text };
        let mut checks = vec![match phase {
            Phase::Failed => {
                check("log", Level::Fail, "a write or sync failed; the node stops".into())
            }
            _ if facts.no_room => {
                let text = "the disk is full: reads go on, and records without room are refused";
                check("log", Level::Warn, text.into())
            }
            _ => check("log", Level::Ok, "every write has reached the disk".into()),
        }];
        let age_ms = elapsed_ms.saturating_sub(self.snapshot_seen_ms.load(Ordering::Acquire));
        checks.push(match &*self.save_failure.lock() {
            Some(why) => check("snapshot", Level::Warn, format!("the last save failed: {why}")),
            None if facts.changed && age_ms > self.snapshot_every_ms.saturating_mul(3) => {
                let minutes = age_ms / 60_000;
                check("snapshot", Level::Warn, format!("the newest snapshot is {minutes} min old"))
            }
            None if facts.damaged_snapshots > 0 => {
                let damaged = facts.damaged_snapshots;
                let text = format!("{damaged} damaged; others replace them: icnctl snapshot list");
                check("snapshot", Level::Warn, text)
            }
            None => check("snapshot", Level::Ok, "the newest snapshot is recent enough".into()),
        });
        checks.push(match facts.sealed_topics {
            0 => check("topics", Level::Ok, "every access rule is understood".into()),
            sealed => {
                let text = format!("{sealed} sealed: their access rule is of a newer version");
                check("topics", Level::Warn, text)
            }
        });
        checks.push(match left_out(facts) {
            None => check("subscriptions", Level::Ok, ALL_ANNOUNCED.into()),
            Some(text) => check("subscriptions", Level::Warn, text),
        });
        checks.push(match facts.weaknesses {
            0 => check("guard", Level::Ok, "the last start found all that was kept".into()),
            found => {
                let text = format!(
                    "the last start found less than was kept, {found} findings: icnctl status"
                );
                check("guard", Level::Fail, text)
            }
        });
        checks.push(match facts.held_back {
            None => check("messages", Level::Ok, "no peer holds back a message".into()),
            Some(held) => check("messages", Level::Warn, held_back_text(held)),
        });
        checks.push(match facts.clock_doubt {
            None => {
                check("clock", Level::Ok, "the wall clock moves like the time that passes".into())
            }
            Some(doubt) => check("clock", Level::Warn, doubt_text(doubt)),
        });
        if self.hangs(elapsed_ms) {
            checks.push(check("loops", Level::Fail, "the core loop does not run".into()));
        }
        checks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_that_get_nothing_are_a_warning_with_what_to_do() {
        let health = Health::new(0, 1000);
        let check = || {
            let mut checks = health.checks(1).into_iter();
            let check = checks.find(|check| check.name == "subscriptions").expect("a check");
            (check.level, check.text)
        };
        for (left_out, full_links, level, text) in [
            (0, 0, Level::Ok, "every one"),
            (7, 0, Level::Warn, "7 get no entries"),
            (9, 1, Level::Warn, "icnctl gossip unsubscribe"),
            (0, 1, Level::Warn, "1 are full"),
            (0, 0, Level::Ok, "every one"),
        ] {
            health.turned(Facts { left_out, full_links, ..Facts::default() });
            let (found, said) = check();
            assert_eq!(found, level, "{left_out} {full_links}");
            assert!(said.contains(text), "{said}");
        }
    }
}
