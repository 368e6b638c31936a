//! Which snapshots and how much of the log are kept, and why: the one place that decides it.

mod window;

use std::fmt;

use icn_wal::{LogSize, Lsn};

use self::window::Window;
use crate::id::SnapshotId;
use crate::integrity::Integrity;
use crate::manifest::{Manifest, ManifestEntry};
use crate::origin::Origin;
use crate::policy::Retention;

/// Why a snapshot is kept or retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetentionReason {
    /// Kept: the newest whole snapshot.
    Newest,
    /// Kept: one of the newest whole snapshots, so many of which are always kept.
    Floor(usize),
    /// Kept: the restore window begins with it.
    OpensWindow,
    /// Kept: it shortens replays within the restore window.
    ShortensReplays,
    /// Kept: pinned.
    Pinned,
    /// Kept: the log may be replayed over the RESTORE record at this LSN, which names the snapshot.
    RestoredAt(u64),
    /// Kept: it undoes the last restore, whose RESTORE record is at this LSN.
    Undoes(u64),
    /// Kept: damaged, for inspection while too few snapshots are whole.
    Damaged,
    /// Kept: not verified yet.
    Unchecked,
    /// Retired: another one, taken shortly before it, shortens the same replays.
    Crowded,
    /// Retired: older than the restore window.
    BeforeWindow,
    /// Retired: with it, the restore window would take more bytes than it may.
    NoRoom,
    /// Retired: damaged, while enough snapshots are whole.
    Expendable,
    /// Retired: no restore needs the state that was saved for it.
    NotNeeded,
}

impl RetentionReason {
    /// Whether the snapshot is kept.
    #[must_use]
    pub fn stays(self) -> bool {
        !matches!(
            self,
            Self::Crowded | Self::BeforeWindow | Self::NoRoom | Self::Expendable | Self::NotNeeded
        )
    }

    /// Whether the snapshot is kept for the restore window, and takes some of its bytes.
    pub(crate) fn spans_the_window(self) -> bool {
        matches!(self, Self::Newest | Self::Floor(_) | Self::OpensWindow | Self::ShortensReplays)
    }
}

impl fmt::Display for RetentionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("newest"),
            Self::Floor(keep) => write!(f, "one of the newest {keep}"),
            Self::OpensWindow => f.write_str("the restore window begins with it"),
            Self::ShortensReplays => f.write_str("shortens replays in the restore window"),
            Self::Pinned => f.write_str("pinned"),
            Self::RestoredAt(lsn) => write!(f, "the restore at #{lsn} needs it"),
            Self::Undoes(lsn) => write!(f, "undoes the restore at #{lsn}"),
            Self::Damaged => f.write_str("damaged, kept to be looked at"),
            Self::Unchecked => f.write_str("not checked yet"),
            Self::Crowded => f.write_str("one taken shortly before it stays"),
            Self::BeforeWindow => f.write_str("older than the restore window"),
            Self::NoRoom => f.write_str("the restore window has no room for it"),
            Self::Expendable => f.write_str("damaged, and there are whole ones enough"),
            Self::NotNeeded => f.write_str("no restore needs it any more"),
        }
    }
}

/// The retention decision about one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The id of the snapshot.
    pub id: SnapshotId,
    /// The size of its file, in bytes.
    pub bytes: u64,
    /// Why the snapshot is kept or retired.
    pub reason: RetentionReason,
}

/// What is kept.
pub(crate) struct Plan {
    /// The decision about each snapshot, in the order of the list.
    pub(crate) decisions: Vec<Decision>,
    /// The LSN up to which no state of the restore window needs the log. `None` while all of it is needed.
    pub(crate) log_after: Option<Lsn>,
    /// Whether the restore window is shorter than it should be, since it had no room.
    pub(crate) is_shortened: bool,
}

/// Decides what is kept. `log_size` gives the size of the log after an LSN, by its files.
pub(crate) fn plan(
    manifest: &Manifest,
    retention: &Retention,
    log_size: impl Fn(u64) -> LogSize,
) -> Plan {
    let entries = &manifest.entries;
    let keep = retention.floor();
    let whole: Vec<&ManifestEntry> = entries.iter().filter(|entry| counts(entry)).collect();
    let (above, floor) = whole.split_at(whole.len().saturating_sub(keep));
    let window = Window::plan(retention, above, floor, manifest.log_after, log_size);
    let enough = floor.len() == keep;
    let last_restore = entries.iter().map(|entry| entry.undoes).max().unwrap_or(0);

    let floor_reasons = (1..=floor.len()).rev().map(|rank| match rank {
        1 => RetentionReason::Newest,
        _ => RetentionReason::Floor(keep),
    });
    let mut whole_reasons = window.reasons.into_iter().chain(floor_reasons);
    let decide = |entry: &ManifestEntry| {
        let by_rules = match (entry.integrity, entry.origin) {
            (Integrity::Damaged, _) if !enough => RetentionReason::Damaged,
            (Integrity::Damaged, _) => RetentionReason::Expendable,
            (Integrity::Unchecked, _) => RetentionReason::Unchecked,
            (Integrity::Whole, Origin::Taken) => {
                whole_reasons.next().unwrap_or(RetentionReason::Newest)
            }
            (Integrity::Whole, _) => RetentionReason::NotNeeded,
        };
        let reason = if by_rules.spans_the_window() {
            by_rules
        } else if manifest.may_replay(entry.restored_at) {
            RetentionReason::RestoredAt(entry.restored_at)
        } else if entry.undoes > 0 && entry.undoes == last_restore {
            RetentionReason::Undoes(entry.undoes)
        } else if entry.pinned {
            RetentionReason::Pinned
        } else {
            by_rules
        };
        Decision { id: entry.id(), bytes: entry.bytes, reason }
    };
    // Only the log can rebuild a damaged snapshot that a RESTORE record in the window names.
    let irreplaceable = |entry: &ManifestEntry| {
        entry.integrity == Integrity::Damaged && entry.restored_at > window.first
    };
    let may_go = enough && !entries.iter().any(irreplaceable);
    Plan {
        decisions: entries.iter().map(decide).collect(),
        log_after: Lsn::new(window.first).filter(|_| may_go),
        is_shortened: window.is_shortened.filter(|_| enough).unwrap_or(manifest.is_shortened),
    }
}

/// Whether a snapshot counts towards the floor, and may open the restore window.
fn counts(entry: &ManifestEntry) -> bool {
    entry.integrity == Integrity::Whole && entry.origin == Origin::Taken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reasons for a list of snapshots, oldest first.
    fn reasons(
        entries: &[(u64, Integrity, Origin)],
        retention: &Retention,
    ) -> Vec<RetentionReason> {
        let mut manifest = Manifest::default();
        for (lsn, &(ran_ms, integrity, origin)) in (1..).zip(entries) {
            let taken = ManifestEntry::taken(lsn, ran_ms);
            manifest.insert(ManifestEntry { integrity, origin, ..taken });
        }
        plan(&manifest, retention, |_| LogSize::default())
            .decisions
            .iter()
            .map(|decision| decision.reason)
            .collect()
    }

    #[test]
    fn a_damaged_snapshot_is_kept_while_too_few_are_whole() {
        let damaged = (1, Integrity::Damaged, Origin::Taken);
        let whole = (2, Integrity::Whole, Origin::Taken);
        let retention = Retention::default();
        for (count, reason) in [
            (1, RetentionReason::Damaged),
            (2, RetentionReason::Damaged),
            (3, RetentionReason::Expendable),
            (4, RetentionReason::Expendable),
        ] {
            let entries = [&[damaged][..], &vec![whole; count]].concat();
            assert_eq!(reasons(&entries, &retention)[0], reason, "{count} whole ones");
        }
    }

    #[test]
    fn only_whole_snapshots_of_the_state_when_saved_count_towards_the_floor() {
        let entries = [
            (1, Integrity::Whole, Origin::Taken),
            (2, Integrity::Unchecked, Origin::Taken),
            (3, Integrity::Whole, Origin::Target),
            (4, Integrity::Whole, Origin::Imported),
        ];
        let not_needed = RetentionReason::NotNeeded;
        let expected =
            [RetentionReason::Newest, RetentionReason::Unchecked, not_needed, not_needed];
        assert_eq!(reasons(&entries, &Retention::default()), expected);
    }
}
