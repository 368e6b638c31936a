//! The records that no snapshot holds yet, and so whether another snapshot is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use icn_wal::LogSize;

use crate::policy::Due;

/// How much the log has grown in a span, such as between two images.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LogGrowth {
    /// The last LSN before the span.
    pub(crate) after: u64,
    pub(crate) log_bytes: u64,
    pub(crate) records: u64,
    /// The age of the span before `since_ms`, and when it was first seen, by the clock of elapsed time.
    aged_ms: u64,
    since_ms: Option<u64>,
    /// The time of the first record, ms since 1970, if the opening has replayed it.
    replayed_ms: Option<u64>,
    /// Whether the state was restored. Until a snapshot holds it, every replay needs the snapshot that the
    /// RESTORE record names.
    pub(crate) restored: bool,
}

impl LogGrowth {
    /// No growth since the record `after`.
    pub(crate) fn since(after: u64) -> Self {
        Self { after, ..Self::default() }
    }

    pub(crate) fn add(&mut self, bytes: usize) {
        self.log_bytes += bytes as u64;
        self.records += 1;
    }

    /// Adds a record that the opening has replayed.
    pub(crate) fn add_replayed(&mut self, bytes: usize, time_ms: u64) {
        self.replayed_ms.get_or_insert(time_ms);
        self.add(bytes);
    }

    /// Adds the span before this one.
    fn prepend(&mut self, before: Self) {
        self.after = before.after;
        self.log_bytes += before.log_bytes;
        self.restored |= before.restored;
        if before.records > 0 {
            self.records += before.records;
            self.aged_ms = before.aged_ms;
            self.since_ms = before.since_ms;
            self.replayed_ms = before.replayed_ms;
        }
    }

    /// Begins to count the age of the span, if it has records and was not seen before. A replayed span may
    /// be as old as `age_max_ms`, whatever the wall clock says.
    fn see(&mut self, wall_ms: u64, elapsed_ms: u64, age_max_ms: u64) {
        if self.records > 0 && self.since_ms.is_none() {
            self.since_ms = Some(elapsed_ms);
            let replayed = self.replayed_ms.map(|first| wall_ms.saturating_sub(first));
            self.aged_ms = replayed.unwrap_or(0).min(age_max_ms);
        }
    }

    fn age_ms(&self, elapsed_ms: u64) -> u64 {
        let since = self.since_ms.map_or(0, |since| elapsed_ms.saturating_sub(since));
        self.aged_ms + since
    }
}

/// How much the log has grown since the last image that is saved or in flight. A dropped image counts as
/// never taken.
#[derive(Debug)]
pub(crate) struct Backlog {
    /// The growth since the last image.
    pub(crate) growth: LogGrowth,
    /// The images taken, oldest first: the growth that each holds, and its status. Settled ones are
    /// removed when the next image is taken.
    images: Vec<(LogGrowth, Arc<AtomicU8>)>,
}

const IN_FLIGHT: u8 = 0;
const SAVED: u8 = 1;
const DROPPED: u8 = 2;

/// Reports to the store whether an image was saved. Dropped without [`mark_saved`](Self::mark_saved), it
/// reports that the image was dropped.
#[derive(Debug)]
pub(crate) struct SaveGuard(Arc<AtomicU8>);

impl SaveGuard {
    /// Reports that a published snapshot holds the image.
    pub(crate) fn mark_saved(self) {
        self.0.store(SAVED, Ordering::Relaxed);
    }
}

impl Drop for SaveGuard {
    fn drop(&mut self) {
        // Changes nothing after `mark_saved`.
        let _ = self.0.compare_exchange(IN_FLIGHT, DROPPED, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl Backlog {
    pub(crate) fn new(growth: LogGrowth) -> Self {
        Self { growth, images: Vec::new() }
    }

    /// Starts a new span at an image taken now, which covers the record `lsn`.
    pub(crate) fn image(&mut self, lsn: u64) -> SaveGuard {
        self.settle();
        let status = Arc::new(AtomicU8::new(IN_FLIGHT));
        let next = LogGrowth::since(lsn);
        self.images.push((std::mem::replace(&mut self.growth, next), Arc::clone(&status)));
        SaveGuard(status)
    }

    /// The growth that no image holds that is saved or in flight.
    pub(crate) fn unsaved(&self) -> LogGrowth {
        let mut unsaved = self.growth;
        for (before, status) in self.images.iter().rev() {
            if status.load(Ordering::Relaxed) != DROPPED {
                break;
            }
            unsaved.prepend(*before);
        }
        unsaved
    }

    /// Whether a limit other than the age is reached. `ended_after` gives the segments that began after an
    /// LSN and have ended.
    pub(crate) fn is_long(&self, due: &Due, ended_after: impl Fn(u64) -> LogSize) -> bool {
        let unsaved = self.unsaved();
        if unsaved.records == 0 {
            // Another snapshot of the same state would not shorten the log.
            return false;
        }
        let ended = ended_after(unsaved.after);
        // A record of 100 bytes takes a segment of its own in the shortest lives.
        unsaved.log_bytes.max(ended.bytes) >= due.log_bytes
            || ended.segments >= due.segments
            || unsaved.records >= due.records
    }

    pub(crate) fn is_due(
        &mut self,
        due: &Due,
        wall_ms: u64,
        elapsed_ms: u64,
        ended_after: impl Fn(u64) -> LogSize,
    ) -> bool {
        let images = self.images.iter_mut().map(|(growth, _)| growth);
        images
            .chain([&mut self.growth])
            .for_each(|growth| growth.see(wall_ms, elapsed_ms, due.age_ms));
        let unsaved = self.unsaved();
        unsaved.restored
            || self.is_long(due, ended_after)
            || (unsaved.records > 0 && unsaved.age_ms(elapsed_ms) >= due.age_ms)
    }

    /// Keeps only images in flight: a saved image holds all growth before it, and the growth of a dropped
    /// one passes to the next.
    fn settle(&mut self) {
        let mut carried: Option<LogGrowth> = None;
        let images = std::mem::take(&mut self.images);
        for (mut before, status) in images {
            carried.take().into_iter().for_each(|carried| before.prepend(carried));
            match status.load(Ordering::Relaxed) {
                DROPPED => carried = Some(before),
                SAVED => self.images.clear(),
                _ => self.images.push((before, status)),
            }
        }
        carried.into_iter().for_each(|carried| self.growth.prepend(carried));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog() -> Backlog {
        Backlog::new(LogGrowth::default())
    }

    fn is_due(backlog: &mut Backlog, due: &Due, elapsed_ms: u64) -> bool {
        backlog.is_due(due, 0, elapsed_ms, |_| LogSize::default())
    }

    #[test]
    fn the_segments_since_the_last_saved_image_count_and_those_of_dropped_ones_do() {
        let mut backlog = backlog();
        let due = Due { segments: 5, ..Due::default() };
        // Each record has a segment of its own.
        let ended_after =
            |last: u64| move |lsn: u64| LogSize { segments: last - lsn, bytes: (last - lsn) << 20 };
        assert!(
            !backlog.is_long(&due, ended_after(9)),
            "without a record, there is nothing to save"
        );
        add(&mut backlog, 4);
        assert!(!backlog.is_long(&due, ended_after(4)));
        drop(backlog.image(4));
        assert!(!backlog.is_long(&due, ended_after(4)));
        add(&mut backlog, 1);
        assert!(backlog.is_long(&due, ended_after(5)), "no snapshot holds the first four");
        backlog.image(5).mark_saved();
        add(&mut backlog, 4);
        assert!(!backlog.is_long(&due, ended_after(9)));
        drop(backlog.image(9));
        add(&mut backlog, 1);
        // The image that was dropped is settled by the next one.
        let image = backlog.image(10);
        assert!(!backlog.is_long(&due, ended_after(10)), "it is in flight");
        drop(image);
        assert!(backlog.is_long(&due, ended_after(10)));
        let by_bytes = Due { log_bytes: 5 << 20, ..Due::default() };
        assert!(backlog.is_long(&by_bytes, ended_after(10)));
        assert!(!backlog.is_long(&Due { log_bytes: (5 << 20) + 1, ..by_bytes }, ended_after(10)));
    }

    fn add(backlog: &mut Backlog, records: u64) {
        (0..records).for_each(|_| backlog.growth.add(10));
    }

    #[test]
    fn the_growth_in_a_dropped_image_is_due_again() {
        let mut backlog = backlog();
        add(&mut backlog, 3);
        backlog.growth.restored = true;
        let image = backlog.image(1);
        add(&mut backlog, 1);
        let due = Due { log_bytes: 20, ..Due::default() };
        assert!(!is_due(&mut backlog, &due, 0), "the image is in flight");
        drop(image);
        let unsaved = backlog.unsaved();
        assert_eq!(unsaved.records, 4);
        assert_eq!(unsaved.log_bytes, 40);
        assert!(unsaved.restored && is_due(&mut backlog, &due, 0));
        backlog.image(1).mark_saved();
        assert_eq!(backlog.unsaved().records, 0);
        assert!(!is_due(&mut backlog, &due, u64::MAX));
    }

    #[test]
    fn the_growth_after_the_newest_saved_image_is_due_in_every_order_of_outcomes() {
        // The values of the digits to the base of 3.
        const PLACES: [u32; 4] = [1, 3, 9, 27];
        const IMAGES: usize = PLACES.len();
        // One digit per image (saved, dropped, in flight), and the order in which they are settled.
        for outcomes in 0..81 {
            for order in 0..IMAGES {
                let mut backlog = backlog();
                let mut images = Vec::new();
                for number in 0..IMAGES {
                    add(&mut backlog, 1 << number);
                    images.push(Some(backlog.image(1)));
                }
                add(&mut backlog, 1 << IMAGES);
                let outcome = |number: usize| outcomes / PLACES[number] % 3;
                for turn in 0..IMAGES {
                    let number = (turn + order) % IMAGES;
                    match outcome(number) {
                        0 => images[number].take().expect("an image").mark_saved(),
                        1 => drop(images[number].take()),
                        _ => {}
                    }
                    // Removing settled images halfway changes nothing.
                    if turn == 1 && order % 2 == 1 {
                        backlog.settle();
                    }
                }
                let held = (0..IMAGES).rev().find(|number| outcome(*number) != 1);
                let expected: u64 =
                    (held.map_or(0, |number| number + 1)..=IMAGES).map(|number| 1 << number).sum();
                assert_eq!(backlog.unsaved().records, expected, "{outcomes} {order}");
                // Drops the images that were in flight.
                drop(images);
                let saved = (0..IMAGES).rev().find(|number| outcome(*number) == 0);
                let expected: u64 =
                    (saved.map_or(0, |number| number + 1)..=IMAGES).map(|number| 1 << number).sum();
                assert_eq!(backlog.unsaved().records, expected, "{outcomes} {order}");
                backlog.settle();
                assert_eq!(backlog.unsaved().records, expected, "{outcomes} {order}");
                assert!(backlog.images.is_empty());
            }
        }
    }
}
