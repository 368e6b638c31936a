//! The checks of a node: what an operator should look at, and what to do about it.
//!
//! Invariant: a check that is added here is shown by `icnctl status`, `/healthz`, the first page, the metrics
//! and the log.

use icn_gossip::limits::{ENTRY_BYTES_MAX, INTERESTS_MAX, WANTS_MAX};
use icn_gossip::{Counts, Now, State, Usage};
use icn_wal::disk::Disk;

use super::Node;
use super::snapshots::NewestSnapshot;
use crate::control::reply::check::{Check, Level};
use crate::files::{self, Budget, FILES_WANTED};
use crate::limits::{self, Limit};
use crate::output::LineCounts;
use crate::text::clock::{doubt as doubt_text, held_back as held_back_text, held_earlier};
use crate::text::command::located;
use crate::text::window::warning as window_warning;
use crate::text::{bytes, counted};

/// The names of the checks.
pub const CHECKS: [&str; 15] = [
    "log",
    "files",
    "snapshot",
    "window",
    "topics",
    "room",
    "waiting",
    "subscriptions",
    "limits",
    "guard",
    "messages",
    "clock",
    "output",
    "forks",
    "identity",
];

/// How many topics a warning about room names.
const NAMED_TOPICS: usize = 3;

/// How often the bounded lists are measured: that visits every subscription and author log.
const MEASURE_MS: u64 = 5000;

/// How long the bounded lists are, as they were last measured.
#[derive(Debug)]
pub(super) struct Lists {
    usage: Usage,
    /// Peers with a known address, which the node dials.
    targets: usize,
    due_ms: u64,
}

impl Lists {
    pub(super) fn of(state: &State, machine: Now) -> Self {
        let targets = state.peers().filter(|(_, peer)| peer.address.is_some()).count();
        let due_ms = machine.elapsed_ms + MEASURE_MS;
        Self { usage: state.usage(), targets, due_ms }
    }

    /// Measures the lists again if that is due.
    pub(super) fn measure(&mut self, state: &State, machine: Now) {
        if machine.elapsed_ms >= self.due_ms {
            *self = Self::of(state, machine);
        }
    }
}

pub(super) type Outcome = Result<String, (Level, String)>;

pub(super) fn warn(text: String) -> Outcome {
    Err((Level::Warn, text))
}

fn check_topics(sealed: usize) -> Outcome {
    if sealed == 0 {
        return Ok("every access rule is understood".into());
    }
    warn(format!(
        "{sealed} sealed: their access rule is of a newer version. Update icnd, or see which: \
         icnctl topic list"
    ))
}

impl<D: Disk> Node<D> {
    /// All checks, in the order of [`CHECKS`], of a node whose state has these counts.
    #[must_use]
    pub fn checks(&self, counts: &Counts) -> Vec<Check> {
        let outcomes: [Outcome; CHECKS.len()] = [
            self.check_log(),
            self.check_files(),
            self.check_snapshot(),
            self.check_window(),
            check_topics(counts.sealed_topics),
            self.check_room(),
            self.check_waiting(),
            self.check_subscriptions(),
            self.check_limits(),
            self.check_guard(),
            self.check_messages(),
            self.check_clock(),
            self.check_output(),
            self.check_forks(),
            self.identities.check(),
        ];
        let check = |(name, outcome): (&str, Outcome)| {
            let (level, text) = outcome.map_or_else(|worse| worse, |text| (Level::Ok, text));
            Check { name: name.to_owned(), level, text: located(&text) }
        };
        CHECKS.into_iter().zip(outcomes).map(check).collect()
    }

    /// The lines of the process's log that were dropped.
    pub fn set_log_lines(&mut self, counts: LineCounts) {
        self.log_lines = counts;
    }

    /// The node may have so many connections open, as far as it is not simulated.
    pub fn limit_connections(&mut self, budget: Budget) {
        self.budget = Some(budget);
    }

    fn check_files(&self) -> Outcome {
        match self.budget {
            Some(Budget { files, http, control, .. }) if files < FILES_WANTED => warn(format!(
                "the process may have only {files} files open, so at most {http} connections for HTTP and \
                 {control} to the control socket. {}",
                files::how_to_raise()
            )),
            _ => Ok("the process may have enough files open".into()),
        }
    }

    fn check_log(&self) -> Outcome {
        if self.store.wal().stats().no_room {
            let text = "the disk is full: reads go on, and every write is refused. Free some of it";
            return warn(text.into());
        }
        match self.recovery.log.missing_through {
            0 => Ok("every write has reached the disk".into()),
            missing => warn(format!(
                "at the start, a part of the log up to #{missing} was missing, as in a copy of a running node. A \
                 snapshot covers it; states before that snapshot cannot be restored. If this is no copy, check \
                 the disk: dmesg"
            )),
        }
    }

    fn check_snapshot(&self) -> Outcome {
        let NewestSnapshot { every_ms, damaged, .. } = self.newest;
        let age_ms = self.newest.age_ms(self.machine.elapsed_ms);
        if let Some(why) = &self.save_failure {
            warn(format!("the last save failed, the log keeps every record: {why}"))
        } else if self.store.changed() && age_ms > every_ms.saturating_mul(3) {
            warn(format!(
                "the newest snapshot is {} min old: icnctl snapshot create",
                age_ms / 60_000
            ))
        } else if damaged > 0 {
            warn(format!("{damaged} damaged; others replace them: icnctl snapshot list"))
        } else {
            Ok("the newest snapshot is recent enough".into())
        }
    }

    fn check_window(&self) -> Outcome {
        match window_warning(&self.window()) {
            None => Ok("the restore window has room".into()),
            Some(warning) => warn(warning),
        }
    }

    fn check_room(&self) -> Outcome {
        let room = self.state().room();
        let used = format!(
            "entries use {} of the {} that topics have in common",
            bytes(room.common_used),
            bytes(room.common)
        );
        if !limits::is_near(room.common_used, room.common) {
            return Ok(used);
        }
        let mut topics: Vec<_> = self.state().topics().map(|(_, topic)| topic).collect();
        topics.sort_by_key(|topic| std::cmp::Reverse(topic.bytes));
        let named = topics.into_iter().take(NAMED_TOPICS);
        let largest =
            named.map(|topic| format!("{} {}", topic.genesis.spec.name, bytes(topic.bytes)));
        let largest: Vec<String> = largest.collect();
        let what = if room.common_used + (ENTRY_BYTES_MAX as u64) < room.common {
            "once they are full, messages of large topics are refused"
        } else {
            "messages of large topics are refused, and topics entered now may find no room"
        };
        warn(format!(
            "{used}; {what}. The largest: {}. Delete one that is not needed here: icnctl topic delete TOPIC",
            largest.join(", ")
        ))
    }

    fn check_waiting(&self) -> Outcome {
        match self.mesh.topics_without_room().len() as u64 {
            0 => Ok("no message of a peer waits for room".into()),
            topics => warn(format!(
                "messages of {} wait at peers, since there is no room for them here. The checks log, room and \
                 limits say what is full, and what to do: icnctl status",
                counted(topics, "topic")
            )),
        }
    }

    fn check_subscriptions(&self) -> Outcome {
        let what = match (self.mesh.left_out(), self.mesh.full_links()) {
            (0, 0) => return Ok("every one is announced".into()),
            (0, full) => {
                format!("a link carries {WANTS_MAX} author logs at most, and {full} are full")
            }
            (left_out, _) => {
                format!("{left_out} get no entries, since at most {INTERESTS_MAX} are announced")
            }
        };
        warn(format!("{what}. End some: icnctl gossip unsubscribe TOPIC"))
    }

    fn check_limits(&self) -> Outcome {
        let Lists { usage, targets, .. } = self.lists;
        let lists = [
            (limits::CURSORS, usage.cursors),
            (limits::PENDING, usage.pending),
            (limits::SUBSCRIBERS, usage.subscribers),
            (limits::AUTHOR_LOGS, usage.author_logs),
            (limits::TOPIC_LOGS, usage.topic_logs),
            (limits::TARGETS, targets),
            (limits::LINKS, self.mesh.links().count()),
        ];
        let near = lists.iter().filter(|(limit, used)| limits::is_near(*used as u64, limit.most));
        let near: Vec<String> = near
            .map(|(Limit { what, most, way_out, .. }, used)| {
                format!("{what}: {used} of {most}. {way_out}")
            })
            .collect();
        if near.is_empty() {
            return Ok(format!("no bounded list is filled to {}%", limits::WARN_PERCENT));
        }
        warn(near.join("; "))
    }

    fn check_guard(&self) -> Outcome {
        match self.guard.findings().len() {
            0 => Ok("the last start found all that was kept".into()),
            found => Err((
                Level::Fail,
                format!("the last start found less than was kept, {found} findings: icnctl status"),
            )),
        }
    }

    fn check_messages(&self) -> Outcome {
        match (self.held_back(), self.held_earlier()) {
            (Some(held), _) => warn(held_back_text(held)),
            (None, Some(earlier)) => Ok(held_earlier(earlier)),
            (None, None) => Ok("no peer holds back a message".into()),
        }
    }

    fn check_forks(&self) -> Outcome {
        self.forks.warning(self.state(), self.machine).map_or_else(
            || Ok("no author has signed two messages for one place in the last day".into()),
            warn,
        )
    }

    fn check_clock(&self) -> Outcome {
        match self.clock_doubt() {
            None => Ok("the wall clock moves like the time that passes".into()),
            Some(doubt) => warn(doubt_text(doubt)),
        }
    }

    fn check_output(&self) -> Outcome {
        match self.log_lines {
            LineCounts { dropped: 0, .. } => Ok("every line of the log was written".into()),
            LineCounts { unreported: 0, dropped } => Ok(format!(
                "{} dropped since the start; the log says where",
                counted(dropped, "log line")
            )),
            LineCounts { unreported, .. } => warn(format!(
                "{} dropped, since standard error takes no more. Look at what reads the log of icnd, and \
                 at the disk that it is on",
                counted(unreported, "log line")
            )),
        }
    }
}
