//! Which snapshots are kept, and why: the one place that decides it.

use std::fmt;

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
    /// Kept: within the age limit and the size limit.
    WithinLimits,
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
    /// Retired: enough newer snapshots are whole, and there is no age limit to keep more.
    Superseded,
    /// Retired: beyond the age limit.
    TooOld,
    /// Retired: together with the newer ones it is beyond the size limit.
    OverSize,
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
            Self::Superseded | Self::TooOld | Self::OverSize | Self::Expendable | Self::NotNeeded
        )
    }

    /// Whether the log is kept back to the snapshot.
    pub(crate) fn spans_the_window(self) -> bool {
        matches!(self, Self::Newest | Self::Floor(_) | Self::WithinLimits)
    }
}

impl fmt::Display for RetentionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("newest"),
            Self::Floor(keep) => write!(f, "one of the newest {keep}"),
            Self::WithinLimits => f.write_str("young enough"),
            Self::Pinned => f.write_str("pinned"),
            Self::RestoredAt(lsn) => write!(f, "the restore at #{lsn} needs it"),
            Self::Undoes(lsn) => write!(f, "undoes the restore at #{lsn}"),
            Self::Damaged => f.write_str("damaged, kept to be looked at"),
            Self::Unchecked => f.write_str("not checked yet"),
            Self::Superseded => f.write_str("newer ones have taken its place"),
            Self::TooOld => f.write_str("older than the age limit"),
            Self::OverSize => f.write_str("beyond the size limit"),
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

/// Decides about each snapshot, in the order of the list.
pub(crate) fn plan(manifest: &Manifest, retention: &Retention) -> Vec<Decision> {
    let entries = &manifest.entries;
    let keep = retention.floor();
    let counts = |entry: &&ManifestEntry| {
        entry.integrity == Integrity::Whole && entry.origin == Origin::Taken
    };
    let whole = entries.iter().filter(counts).count();
    let newest_ms = entries.iter().filter(counts).map(|entry| entry.time_ms).max().unwrap_or(0);
    let last_restore = entries.iter().map(|entry| entry.undoes).max().unwrap_or(0);

    let mut rank = 0;
    let mut bytes = 0_u64;
    let mut full = false;
    let mut by_rules: Vec<RetentionReason> = Vec::with_capacity(entries.len());
    for entry in entries.iter().rev() {
        by_rules.push(if !counts(&entry) {
            match (entry.integrity, entry.origin) {
                (Integrity::Damaged, _) if whole < keep => RetentionReason::Damaged,
                (Integrity::Damaged, _) => RetentionReason::Expendable,
                (Integrity::Unchecked, _) => RetentionReason::Unchecked,
                (Integrity::Whole, _) => RetentionReason::NotNeeded,
            }
        } else {
            rank += 1;
            bytes = bytes.saturating_add(entry.bytes);
            if rank == 1 {
                RetentionReason::Newest
            } else if rank <= keep {
                RetentionReason::Floor(keep)
            } else if retention.age_ms == 0 {
                RetentionReason::Superseded
            } else if newest_ms.saturating_sub(entry.time_ms) > retention.age_ms {
                RetentionReason::TooOld
            } else {
                // Once a snapshot exceeds the size, all older ones are retired too, however small: keeping
                // one would leave a hole in the window.
                full |= bytes > retention.bytes;
                if full { RetentionReason::OverSize } else { RetentionReason::WithinLimits }
            }
        });
    }
    by_rules.reverse();

    let decide = |(entry, reason): (&ManifestEntry, RetentionReason)| {
        let reason = if reason.spans_the_window() {
            reason
        } else if manifest.may_replay(entry.restored_at) {
            RetentionReason::RestoredAt(entry.restored_at)
        } else if entry.undoes > 0 && entry.undoes == last_restore {
            RetentionReason::Undoes(entry.undoes)
        } else if entry.pinned {
            RetentionReason::Pinned
        } else {
            reason
        };
        Decision { id: entry.id(), bytes: entry.bytes, reason }
    };
    entries.iter().zip(by_rules).map(decide).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::Labels;

    /// The reasons for a list of snapshots, oldest first.
    fn reasons(
        entries: &[(u64, Integrity, Origin)],
        retention: &Retention,
    ) -> Vec<RetentionReason> {
        let mut manifest = Manifest::default();
        for (lsn, &(time_ms, integrity, origin)) in (1..).zip(entries) {
            manifest.insert(ManifestEntry {
                lsn,
                generation: lsn,
                timeline: 0,
                bytes: 10,
                created_ms: 0,
                time_ms,
                integrity,
                origin,
                pinned: false,
                labels: Labels::default(),
                restored_at: 0,
                undoes: 0,
            });
        }
        plan(&manifest, retention).iter().map(|decision| decision.reason).collect()
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

    #[test]
    fn a_snapshot_exactly_as_old_as_the_limit_is_kept() {
        let retention = Retention { keep: 2, age_ms: 100, bytes: u64::MAX };
        let entries = [799, 800, 801, 850, 900].map(|time| (time, Integrity::Whole, Origin::Taken));
        let young = RetentionReason::WithinLimits;
        let floor = RetentionReason::Floor(2);
        let expected = [RetentionReason::TooOld, young, young, floor, RetentionReason::Newest];
        assert_eq!(reasons(&entries, &retention), expected);
    }
}
