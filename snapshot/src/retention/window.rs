//! The restore window as it is planned: where it begins, and which snapshots shorten replays within it.

use icn_wal::LogSize;

use super::RetentionReason;
use crate::manifest::ManifestEntry;
use crate::policy::Retention;

/// The most snapshots that shorten replays, evenly spaced over the window.
const SPACED_MAX: u64 = 24;

/// How many times wider the spacing becomes when the snapshots that shorten replays take too much.
const WIDENINGS: [u64; 4] = [1, 2, 4, 8];

/// The part of the room that snapshots that shorten replays may take before their spacing becomes wider.
const SPACED_PART: u64 = 4;

/// The plan of the restore window.
pub(super) struct Window {
    /// One reason for each snapshot above the floor, in order.
    pub(super) reasons: Vec<RetentionReason>,
    /// The LSN of the snapshot that the window begins with, 0 for the beginning of the log.
    pub(super) first: u64,
    /// Whether the window should begin earlier and has no room to. `None`: it begins as early as it can, and
    /// an earlier plan may have shortened it.
    pub(super) is_shortened: Option<bool>,
}

impl Window {
    /// Plans the window over the whole snapshots: those in `above` may go, those in `floor` stay. Both are in
    /// order. The log begins after `log_after`, and `log_size` gives its size after an LSN, by its files.
    ///
    /// The window begins with the newest snapshot that is old enough, or as early as it can. Without room it
    /// begins later, at the floor at the latest.
    pub(super) fn plan(
        retention: &Retention,
        above: &[&ManifestEntry],
        floor: &[&ManifestEntry],
        log_after: u64,
        log_size: impl Fn(u64) -> LogSize,
    ) -> Self {
        // Without the log behind it, an older snapshot is a restore point only.
        let before = above.partition_point(|entry| entry.lsn < log_after);
        let starts: Vec<_> = above[before..].iter().chain(floor.first()).copied().collect();
        let Some(last) = starts.len().checked_sub(1) else {
            return Self { reasons: Vec::new(), first: log_after, is_shortened: None };
        };
        let newest_ms = floor.last().map_or(0, |entry| entry.ran_ms);
        let is_old =
            |entry: &&ManifestEntry| newest_ms.saturating_sub(entry.ran_ms) >= retention.window_ms;
        let old_enough = starts.iter().rposition(is_old);
        // `None` is the beginning of the log.
        let wanted = old_enough.or((log_after > 0).then_some(0));

        let floor_bytes: u64 = floor.iter().map(|entry| entry.bytes).sum();
        let fits = |start: Option<usize>, spaced_bytes: u64| {
            let (lsn, bytes) = match start {
                None => (0, 0),
                Some(at) if at == last => (starts[at].lsn, 0),
                Some(at) => (starts[at].lsn, starts[at].bytes),
            };
            let log = log_size(lsn);
            floor_bytes + bytes + spaced_bytes + log.bytes <= retention.window_bytes
                && log.segments <= retention.window_segments
        };
        let with_room = |mut start: Option<usize>, spaced_bytes: &dyn Fn(Option<usize>) -> u64| {
            while start != Some(last) && !fits(start, spaced_bytes(start)) {
                start = Some(start.map_or(0, |at| at + 1));
            }
            start
        };
        // The log decides where the window can begin at all, and has no say in the spacing. Otherwise a busy
        // log would retire the snapshots that the window could begin with next, and it would lose hours at once.
        let earliest = with_room(wanted, &|_| 0);
        let spacings = WIDENINGS.map(|widening| Spaced::new(retention, widening, &starts[..last]));
        let spaced_max = retention.window_bytes / SPACED_PART;
        let is_sparse = |spaced: &&Spaced| spaced.bytes_after(earliest) <= spaced_max;
        let [.., widest] = &spacings;
        let spaced = spacings.iter().find(is_sparse).unwrap_or(widest);
        let start = with_room(earliest, &|start| spaced.bytes_after(start));

        // An index without a start, that of a restore point, is less than every index with one.
        let reason = |at: usize| match at.checked_sub(before) {
            at if at < wanted => RetentionReason::BeforeWindow,
            at if at < start => RetentionReason::NoRoom,
            at if at == start => RetentionReason::OpensWindow,
            Some(at) if spaced.is_first[at] => RetentionReason::ShortensReplays,
            _ => RetentionReason::Crowded,
        };
        Self {
            reasons: (0..above.len()).map(reason).collect(),
            first: start.map_or(0, |at| starts[at].lsn),
            is_shortened: match (start == wanted, old_enough) {
                (false, _) => Some(true),
                (true, None) if log_after > 0 => None,
                (true, _) => Some(false),
            },
        }
    }
}

/// The snapshots that stay at one spacing: the oldest of each span of running time, so that the choice
/// never changes. A wider spacing chooses among those of a narrower one.
struct Spaced {
    is_first: Vec<bool>,
    /// The size of those from an index on, in bytes.
    bytes_from: Vec<u64>,
}

impl Spaced {
    fn new(retention: &Retention, widening: u64, snapshots: &[&ManifestEntry]) -> Self {
        let span_ms = (retention.window_ms / SPACED_MAX).saturating_mul(widening).max(1);
        let span = |at: usize| snapshots[at].ran_ms / span_ms;
        let is_first: Vec<bool> =
            (0..snapshots.len()).map(|at| at == 0 || span(at - 1) != span(at)).collect();
        let mut bytes_from = vec![0; snapshots.len() + 1];
        for at in (0..snapshots.len()).rev() {
            let bytes = if is_first[at] { snapshots[at].bytes } else { 0 };
            bytes_from[at] = bytes_from[at + 1] + bytes;
        }
        Self { is_first, bytes_from }
    }

    /// The size of those after a start of the window, in bytes. `None` is the beginning of the log.
    fn bytes_after(&self, start: Option<usize>) -> u64 {
        let next = start.map_or(0, |at| at + 1);
        self.bytes_from.get(next).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: Retention =
        Retention { keep: 2, window_ms: 24, window_bytes: u64::MAX, window_segments: u64::MAX };

    /// A log of one segment.
    fn one_segment(bytes: u64) -> LogSize {
        LogSize { segments: 1, bytes }
    }

    /// Snapshots of 10 bytes after each LSN, taken at these running times.
    fn entries(ran_ms: &[u64]) -> Vec<ManifestEntry> {
        (1..).zip(ran_ms).map(|(lsn, ran_ms)| ManifestEntry::taken(lsn, *ran_ms)).collect()
    }

    /// The plan for a log with records of `record_bytes`.
    fn planned(ran_ms: &[u64], log_after: u64, retention: &Retention, record_bytes: u64) -> Window {
        let entries = entries(ran_ms);
        let entries: Vec<_> = entries.iter().collect();
        let last = entries.len() as u64;
        let (above, floor) = entries.split_at(entries.len() - retention.keep);
        Window::plan(retention, above, floor, log_after, |lsn| {
            one_segment(record_bytes * (last - lsn))
        })
    }

    /// One letter for each reason.
    fn letters(window: &Window) -> String {
        let letter = |reason: &RetentionReason| match reason {
            RetentionReason::OpensWindow => 'O',
            RetentionReason::ShortensReplays => 's',
            RetentionReason::Crowded => 'c',
            RetentionReason::BeforeWindow => 'b',
            RetentionReason::NoRoom => 'n',
            other => panic!("{other}"),
        };
        window.reasons.iter().map(letter).collect()
    }

    #[test]
    fn the_window_begins_with_the_newest_snapshot_that_is_old_enough() {
        for (ran_ms, log_after, reasons, first) in [
            // While none is old enough, it begins with the log, or with the oldest that has a log.
            (&[0, 1, 23, 23][..], 0, "ss", 0),
            (&[0, 1, 23, 23], 1, "Os", 1),
            (&[0, 1, 23, 23], 2, "bO", 2),
            (&[0, 1, 2, 24, 24], 0, "Oss", 1),
            (&[0, 1, 2, 25, 26], 1, "bbO", 3),
            // The floor is always a part of it.
            (&[0, 1, 50, 99], 1, "bb", 3),
            (&[0, 1, 99, 99], 1, "bO", 2),
            (&[0, 1, 2, 99], 1, "bb", 3),
            (&[0, 1], 0, "", 0),
        ] {
            let window = planned(ran_ms, log_after, &DAY, 100);
            assert_eq!((letters(&window).as_str(), window.first), (reasons, first), "{ran_ms:?}");
            assert_ne!(window.is_shortened, Some(true));
        }
        let floor_only = planned(&[0, 1, 2, 2], 0, &Retention { window_ms: 0, ..DAY }, 100);
        assert_eq!((letters(&floor_only).as_str(), floor_only.first), ("bb", 3));
    }

    #[test]
    fn snapshots_that_take_over_a_quarter_are_spaced_wider_whatever_the_log_takes() {
        let ran_ms = [0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10];
        // The floor takes 20 bytes, and the opener 10.
        for (record_bytes, window_bytes, reasons, first) in [
            (1, u64::MAX, "Oscsssssssss", 1),
            (1, 400, "Oscsssssssss", 1),
            (1, 399, "Occscscscscs", 1),
            (1, 200, "Occscscscscs", 1),
            (1, 199, "Occccscccscc", 1),
            (1, 80, "Occccscccscc", 1),
            (1, 79, "Occccccccscc", 1),
            (1, 53, "Occccccccscc", 1),
            (1, 52, "nOcccccccscc", 2),
            (1, 0, "nnnnnnnnnnnn", 13),
            (100, 1430, "Oscsssssssss", 1),
            (100, 1429, "nOcsssssssss", 2),
            (100, 1319, "nnOsssssssss", 3),
            (80, 399, "nnnnnnnnnOss", 10),
        ] {
            let retention = Retention { window_bytes, ..DAY };
            let window = planned(&ran_ms, 1, &retention, record_bytes);
            assert_eq!(
                (letters(&window).as_str(), window.first),
                (reasons, first),
                "{window_bytes} with records of {record_bytes}"
            );
            assert_eq!(window.is_shortened == Some(true), first > 1, "{window_bytes}");
        }
        let short = Retention { window_bytes: 1439, ..DAY };
        let from_the_beginning = planned(&ran_ms, 0, &short, 100);
        assert_eq!(from_the_beginning.first, 1, "the beginning of the log has no room either");
    }

    #[test]
    fn a_window_of_too_many_segments_begins_later_at_the_floor_at_the_latest() {
        let kept = entries(&[0, 1, 2, 3, 4, 5]);
        let kept: Vec<_> = kept.iter().collect();
        let (above, floor) = kept.split_at(4);
        // Ten segments between two snapshots.
        let log_size = |lsn: u64| LogSize { segments: 10 * (6 - lsn), bytes: 1 };
        for (window_segments, log_after, reasons, first) in [
            (60, 0, "ssss", 0),
            (59, 0, "Osss", 1),
            (50, 1, "Osss", 1),
            (49, 1, "nOss", 2),
            (20, 1, "nnnO", 4),
            (19, 1, "nnnn", 5),
            (0, 1, "nnnn", 5),
        ] {
            let retention = Retention { window_segments, ..DAY };
            let window = Window::plan(&retention, above, floor, log_after, log_size);
            assert_eq!((letters(&window).as_str(), window.first), (reasons, first));
            assert_eq!(
                window.is_shortened == Some(true),
                window_segments != 60 && first > 1 || log_after == 0 && first == 1
            );
        }
    }

    #[test]
    fn a_window_full_of_log_reaches_back_as_far_as_its_room() {
        // A snapshot every quarter of an hour, and 1000 bytes of log.
        const HOUR_MS: u64 = 4;
        for hours in [2, 3, 7, 12, 20] {
            let window_bytes = hours * HOUR_MS * 1000;
            let retention = Retention { keep: 3, window_ms: 24 * HOUR_MS, window_bytes, ..DAY };
            let mut kept = Vec::new();
            let mut log_after = 0;
            for ran_ms in 1..50 * HOUR_MS {
                kept.extend(entries(&[ran_ms]).into_iter().map(|entry| ManifestEntry {
                    lsn: ran_ms,
                    generation: ran_ms,
                    ..entry
                }));
                let log_size = |lsn| one_segment(1000 * (ran_ms - lsn));
                let window = save(&retention, &mut kept, log_after, log_size);
                log_after = window.first;
                // An hour is the spacing; the snapshots take less than a quarter of an hour of log.
                let reach = ran_ms - log_after;
                assert!(
                    reach >= ran_ms.min((hours - 1) * HOUR_MS - 1),
                    "{hours} h: {reach} of 4 an h"
                );
                assert!(reach <= hours * HOUR_MS, "{hours} h: {reach} of 4 an h");
            }
        }
    }

    /// Retires what the plan for these snapshots retires.
    fn save(
        retention: &Retention,
        kept: &mut Vec<ManifestEntry>,
        log_after: u64,
        log_size: impl Fn(u64) -> LogSize,
    ) -> Window {
        let all: Vec<_> = kept.iter().collect();
        let (above, floor) = all.split_at(all.len().saturating_sub(retention.keep));
        let window = Window::plan(retention, above, floor, log_after, log_size);
        let mut reasons = window.reasons.iter();
        kept.retain(|_| reasons.next().is_none_or(|reason| reason.stays()));
        window
    }

    proptest! {
        #[test]
        fn a_save_moves_the_window_by_no_more_than_the_time_that_has_passed(
            steps in prop::collection::vec(0..9u64, 2..200),
            keep in 2..5usize,
        ) {
            let retention = Retention { keep, ..DAY };
            let mut kept: Vec<ManifestEntry> = Vec::new();
            let mut taken = Vec::new();
            let (mut ran_ms, mut log_after) = (0, 0);
            for (lsn, step) in (1..).zip(steps) {
                // Most snapshots are taken at once, as by an operator.
                ran_ms += step.saturating_sub(5);
                taken.push((lsn, ran_ms));
                let [mut entry] = entries(&[ran_ms]).try_into().expect("one");
                (entry.lsn, entry.generation) = (lsn, lsn);
                kept.push(entry);
                let window = save(&retention, &mut kept, log_after, |_| one_segment(0));
                for (lsn, taken_ms) in &taken {
                    let is_in = *lsn >= window.first;
                    prop_assert!(is_in || ran_ms - taken_ms >= retention.window_ms, "#{lsn}");
                }
                log_after = window.first;
                prop_assert!(kept.len() <= 1 + 25 + keep, "{} are kept", kept.len());
                prop_assert!(log_after == 0 || kept.iter().any(|entry| entry.lsn == log_after));
            }
        }
    }
}
