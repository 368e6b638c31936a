//! What no snapshot holds yet, and so whether another one is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::policy::Due;

/// What the log has taken since a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LogGrowth {
    pub(crate) log_bytes: u64,
    pub(crate) records: u64,
    /// The time of the first record since then.
    first_ms: Option<u64>,
    /// The state was restored: until a snapshot holds it, every replay needs that of the restore too.
    pub(crate) restored: bool,
}

impl LogGrowth {
    pub(crate) fn add(&mut self, bytes: usize, time_ms: u64) {
        self.log_bytes += bytes as u64;
        self.records += 1;
        self.first_ms.get_or_insert(time_ms);
    }

    /// Puts in front what came before.
    fn prepend(&mut self, before: Self) {
        self.log_bytes += before.log_bytes;
        self.records += before.records;
        self.first_ms = before.first_ms.or(self.first_ms);
        self.restored |= before.restored;
    }
}

/// What has come since the last image that is saved or may still be. One that has come to nothing
/// counts as if it had never been taken.
#[derive(Debug)]
pub(crate) struct Backlog {
    /// LogGrowth the last image.
    pub(crate) growth: LogGrowth,
    /// What became of the images that were taken, and what had come before each; oldest first. The
    /// settled ones are let go with the next.
    images: Vec<(LogGrowth, Arc<AtomicU8>)>,
}

const IN_FLIGHT: u8 = 0;
const SAVED: u8 = 1;
const DROPPED: u8 = 2;

/// What an image owes the store that it was taken of. Dropped unkept, it says that the image is lost.
#[derive(Debug)]
pub(crate) struct SaveGuard(Arc<AtomicU8>);

impl SaveGuard {
    /// The image is saved.
    pub(crate) fn mark_saved(self) {
        self.0.store(SAVED, Ordering::Relaxed);
    }
}

impl Drop for SaveGuard {
    fn drop(&mut self) {
        // Kept, it stays so.
        let _ = self.0.compare_exchange(IN_FLIGHT, DROPPED, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl Backlog {
    pub(crate) fn new(growth: LogGrowth) -> Self {
        Self { growth, images: Vec::new() }
    }

    /// An image is taken now.
    pub(crate) fn image(&mut self) -> SaveGuard {
        self.settle();
        let status = Arc::new(AtomicU8::new(IN_FLIGHT));
        self.images.push((std::mem::take(&mut self.growth), Arc::clone(&status)));
        SaveGuard(status)
    }

    /// What no image holds that is saved or may still be.
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

    pub(crate) fn is_due(&self, due: &Due, now_ms: u64) -> bool {
        let unsaved = self.unsaved();
        unsaved.restored
            || unsaved.log_bytes >= due.log_bytes
            || unsaved.records >= due.records
            || unsaved.first_ms.is_some_and(|first| now_ms.saturating_sub(first) >= due.age_ms)
    }

    /// Only images that are under way are kept in mind: a saved one holds what all before it held, and
    /// what a lost one held is left to the next.
    fn settle(&mut self) {
        let mut carried = LogGrowth::default();
        let images = std::mem::take(&mut self.images);
        for (mut before, status) in images {
            before.prepend(std::mem::take(&mut carried));
            match status.load(Ordering::Relaxed) {
                DROPPED => carried = before,
                SAVED => self.images.clear(),
                _ => self.images.push((before, status)),
            }
        }
        self.growth.prepend(carried);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog() -> Backlog {
        Backlog::new(LogGrowth::default())
    }

    fn add(backlog: &mut Backlog, records: u64) {
        (0..records).for_each(|record| backlog.growth.add(10, record));
    }

    #[test]
    fn what_a_lost_image_held_is_due_again() {
        let mut backlog = backlog();
        add(&mut backlog, 3);
        backlog.growth.restored = true;
        let image = backlog.image();
        add(&mut backlog, 1);
        let due = Due { log_bytes: 20, ..Due::default() };
        assert!(!backlog.is_due(&due, 0), "it is on its way");
        drop(image);
        let unsaved = backlog.unsaved();
        assert_eq!((unsaved.records, unsaved.log_bytes, unsaved.first_ms), (4, 40, Some(0)));
        assert!(unsaved.restored && backlog.is_due(&due, 0));
        backlog.image().mark_saved();
        assert_eq!(backlog.unsaved().records, 0);
        assert!(!backlog.is_due(&due, u64::MAX));
    }

    #[test]
    fn every_order_of_fates_leaves_what_the_newest_saved_image_does_not_hold() {
        // The value of each digit to the base of 3.
        const PLACES: [u32; 4] = [1, 3, 9, 27];
        const IMAGES: usize = PLACES.len();
        // One digit per image (kept, lost, still under way), and the order in which they are settled.
        for fates in 0..81 {
            for order in 0..IMAGES {
                let mut backlog = backlog();
                let mut images = Vec::new();
                for number in 0..IMAGES {
                    add(&mut backlog, 1 << number);
                    images.push(Some(backlog.image()));
                }
                add(&mut backlog, 1 << IMAGES);
                let status = |number: usize| fates / PLACES[number] % 3;
                for turn in 0..IMAGES {
                    let number = (turn + order) % IMAGES;
                    match status(number) {
                        0 => images[number].take().expect("an image").mark_saved(),
                        1 => drop(images[number].take()),
                        _ => {}
                    }
                    // Also with what is settled let go in between.
                    if turn == 1 && order % 2 == 1 {
                        backlog.settle();
                    }
                }
                let held = (0..IMAGES).rev().find(|number| status(*number) != 1);
                let expected: u64 =
                    (held.map_or(0, |number| number + 1)..=IMAGES).map(|number| 1 << number).sum();
                assert_eq!(backlog.unsaved().records, expected, "{fates} {order}");
                // Those that were under way come to nothing in the end.
                drop(images);
                let saved = (0..IMAGES).rev().find(|number| status(*number) == 0);
                let expected: u64 =
                    (saved.map_or(0, |number| number + 1)..=IMAGES).map(|number| 1 << number).sum();
                assert_eq!(backlog.unsaved().records, expected, "{fates} {order}");
                backlog.settle();
                assert_eq!(backlog.unsaved().records, expected, "{fates} {order}");
                assert!(backlog.images.is_empty());
            }
        }
    }
}
