//! Which snapshots stay, and why: the one place that decides it.

use std::fmt;

use crate::check::Check;
use crate::id::SnapshotId;
use crate::manifest::{Manifest, ManifestEntry};
use crate::origin::Origin;
use crate::policy::Rotation;

/// Why a snapshot stays or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Stays: the newest whole one.
    Newest,
    /// Stays: one of the newest whole ones, so many of which always stay.
    Floor(usize),
    /// Stays: young enough, and there is room for it.
    Young,
    /// Stays: somebody has pinned it.
    Pinned,
    /// Stays: the log may be replayed over the restore at this LSN, which names it.
    RestoredAt(u64),
    /// Stays: it was taken before the restore at this LSN, the last one, and undoes it.
    Undoes(u64),
    /// Stays: damaged, to be looked at while there are too few whole ones.
    Damaged,
    /// Stays: nobody has checked it yet.
    Unchecked,
    /// Goes: newer whole ones have taken its place.
    Replaced,
    /// Goes: too old.
    Old,
    /// Goes: the others fill what room there is.
    Large,
    /// Goes: damaged, and there are whole ones enough.
    Useless,
    /// Goes: the restore that it was made for needs it no longer.
    Served,
}

impl Reason {
    /// Whether the snapshot stays.
    #[must_use]
    pub fn stays(self) -> bool {
        !matches!(self, Self::Replaced | Self::Old | Self::Large | Self::Useless | Self::Served)
    }

    /// Whether the log is kept back to it.
    pub(crate) fn spans_the_window(self) -> bool {
        matches!(self, Self::Newest | Self::Floor(_) | Self::Young)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("newest"),
            Self::Floor(keep) => write!(f, "one of the newest {keep}"),
            Self::Young => f.write_str("young enough"),
            Self::Pinned => f.write_str("pinned"),
            Self::RestoredAt(lsn) => write!(f, "the restore at #{lsn} needs it"),
            Self::Undoes(lsn) => write!(f, "undoes the restore at #{lsn}"),
            Self::Damaged => f.write_str("damaged, kept to be looked at"),
            Self::Unchecked => f.write_str("not checked yet"),
            Self::Replaced => f.write_str("newer ones have taken its place"),
            Self::Old => f.write_str("older than the age limit"),
            Self::Large => f.write_str("beyond the size limit"),
            Self::Useless => f.write_str("damaged, and there are whole ones enough"),
            Self::Served => f.write_str("no restore needs it any more"),
        }
    }
}

/// What the rules say about one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The snapshot.
    pub id: SnapshotId,
    /// Its bytes.
    pub bytes: u64,
    /// Why it stays or goes.
    pub reason: Reason,
}

/// Looks at all snapshots and gives each a verdict, in the order of the list.
pub(crate) fn plan(manifest: &Manifest, rotation: &Rotation) -> Vec<Verdict> {
    let entries = &manifest.entries;
    let keep = rotation.floor();
    let counts =
        |entry: &&ManifestEntry| entry.check == Check::Whole && entry.origin == Origin::Taken;
    let whole = entries.iter().filter(counts).count();
    let newest_ms = entries.iter().filter(counts).map(|entry| entry.time_ms).max().unwrap_or(0);
    let last_restore = entries.iter().map(|entry| entry.undoes).max().unwrap_or(0);

    let (mut rank, mut bytes, mut full) = (0, 0_u64, false);
    let mut by_rules: Vec<Reason> = Vec::with_capacity(entries.len());
    for entry in entries.iter().rev() {
        by_rules.push(if !counts(&entry) {
            match (entry.check, entry.origin) {
                (Check::Damaged, _) if whole < keep => Reason::Damaged,
                (Check::Damaged, _) => Reason::Useless,
                (Check::Unchecked, _) => Reason::Unchecked,
                (Check::Whole, _) => Reason::Served,
            }
        } else {
            rank += 1;
            bytes = bytes.saturating_add(entry.bytes);
            if rank == 1 {
                Reason::Newest
            } else if rank <= keep {
                Reason::Floor(keep)
            } else if rotation.age_ms == 0 {
                Reason::Replaced
            } else if newest_ms.saturating_sub(entry.time_ms) > rotation.age_ms {
                Reason::Old
            } else {
                // A smaller, older one does not slip in behind one that had no room: the window
                // would have a hole where it seems to have none.
                full |= bytes > rotation.bytes;
                if full { Reason::Large } else { Reason::Young }
            }
        });
    }
    by_rules.reverse();

    let judge = |(entry, reason): (&ManifestEntry, Reason)| {
        let reason = if reason.spans_the_window() {
            reason
        } else if manifest.may_replay(entry.restored_at) {
            Reason::RestoredAt(entry.restored_at)
        } else if entry.undoes > 0 && entry.undoes == last_restore {
            Reason::Undoes(entry.undoes)
        } else if entry.pinned {
            Reason::Pinned
        } else {
            reason
        };
        Verdict { id: entry.id(), bytes: entry.bytes, reason }
    };
    entries.iter().zip(by_rules).map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::Labels;

    /// By age, oldest first.
    fn reasons(entries: &[(u64, Check, Origin)], rotation: &Rotation) -> Vec<Reason> {
        let mut manifest = Manifest::default();
        for (lsn, &(time_ms, check, origin)) in (1..).zip(entries) {
            manifest.insert(ManifestEntry {
                lsn,
                generation: lsn,
                timeline: 0,
                bytes: 10,
                created_ms: 0,
                time_ms,
                check,
                origin,
                pinned: false,
                labels: Labels::default(),
                restored_at: 0,
                undoes: 0,
            });
        }
        plan(&manifest, rotation).iter().map(|verdict| verdict.reason).collect()
    }

    #[test]
    fn a_damaged_one_stays_while_there_are_too_few_whole_ones() {
        let damaged = (1, Check::Damaged, Origin::Taken);
        let whole = (2, Check::Whole, Origin::Taken);
        let rotation = Rotation::default();
        for (count, reason) in
            [(1, Reason::Damaged), (2, Reason::Damaged), (3, Reason::Useless), (4, Reason::Useless)]
        {
            let entries = [&[damaged][..], &vec![whole; count]].concat();
            assert_eq!(reasons(&entries, &rotation)[0], reason, "{count} whole ones");
        }
    }

    #[test]
    fn only_whole_ones_of_what_was_then_take_a_place() {
        let entries = [
            (1, Check::Whole, Origin::Taken),
            (2, Check::Unchecked, Origin::Taken),
            (3, Check::Whole, Origin::Target),
            (4, Check::Whole, Origin::Imported),
        ];
        let served = Reason::Served;
        let expected = [Reason::Newest, Reason::Unchecked, served, served];
        assert_eq!(reasons(&entries, &Rotation::default()), expected);
    }

    #[test]
    fn what_is_as_old_as_the_limit_is_young_enough() {
        let rotation = Rotation { keep: 2, age_ms: 100, bytes: u64::MAX };
        let entries = [799, 800, 801, 850, 900].map(|time| (time, Check::Whole, Origin::Taken));
        let (young, floor) = (Reason::Young, Reason::Floor(2));
        let expected = [Reason::Old, young, young, floor, Reason::Newest];
        assert_eq!(reasons(&entries, &rotation), expected);
    }
}
