//! What no snapshot holds yet, and so whether another one is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::policy::Due;

/// What the log has taken since a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Since {
    pub(crate) log_bytes: u64,
    pub(crate) records: u64,
    /// The time of the first record since then.
    first_ms: Option<u64>,
    /// The state was restored: until a snapshot holds it, every replay needs that of the restore too.
    pub(crate) restored: bool,
}

impl Since {
    pub(crate) fn add(&mut self, bytes: usize, time_ms: u64) {
        self.log_bytes += bytes as u64;
        self.records += 1;
        self.first_ms.get_or_insert(time_ms);
    }

    /// Puts in front what came before.
    fn follow(&mut self, before: Self) {
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
    /// Since the last image.
    pub(crate) since: Since,
    /// What became of the images that were taken, and what had come before each; oldest first. The
    /// settled ones are let go with the next.
    images: Vec<(Since, Arc<AtomicU8>)>,
}

const UNDER_WAY: u8 = 0;
const SAVED: u8 = 1;
const LOST: u8 = 2;

/// What an image owes the store that it was taken of. Dropped unkept, it says that the image is lost.
#[derive(Debug)]
pub(crate) struct Promise(Arc<AtomicU8>);

impl Promise {
    /// The image is saved.
    pub(crate) fn keep(self) {
        self.0.store(SAVED, Ordering::Relaxed);
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        // Kept, it stays so.
        let _ = self.0.compare_exchange(UNDER_WAY, LOST, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl Backlog {
    pub(crate) fn new(since: Since) -> Self {
        Self { since, images: Vec::new() }
    }

    /// An image is taken now.
    pub(crate) fn image(&mut self) -> Promise {
        self.settle();
        let fate = Arc::new(AtomicU8::new(UNDER_WAY));
        self.images.push((std::mem::take(&mut self.since), Arc::clone(&fate)));
        Promise(fate)
    }

    /// What no image holds that is saved or may still be.
    pub(crate) fn due_since(&self) -> Since {
        let mut since = self.since;
        for (before, fate) in self.images.iter().rev() {
            if fate.load(Ordering::Relaxed) != LOST {
                break;
            }
            since.follow(*before);
        }
        since
    }

    pub(crate) fn is_due(&self, due: &Due, now_ms: u64) -> bool {
        let since = self.due_since();
        since.restored
            || since.log_bytes >= due.log_bytes
            || since.records >= due.records
            || since.first_ms.is_some_and(|first| now_ms.saturating_sub(first) >= due.age_ms)
    }

    /// Only images that are under way are kept in mind: a saved one holds what all before it held, and
    /// what a lost one held is left to the next.
    fn settle(&mut self) {
        let mut carried = Since::default();
        let images = std::mem::take(&mut self.images);
        for (mut before, fate) in images {
            before.follow(std::mem::take(&mut carried));
            match fate.load(Ordering::Relaxed) {
                LOST => carried = before,
                SAVED => self.images.clear(),
                _ => self.images.push((before, fate)),
            }
        }
        self.since.follow(carried);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog() -> Backlog {
        Backlog::new(Since::default())
    }

    fn add(backlog: &mut Backlog, records: u64) {
        (0..records).for_each(|record| backlog.since.add(10, record));
    }

    #[test]
    fn what_a_lost_image_held_is_due_again() {
        let mut backlog = backlog();
        add(&mut backlog, 3);
        backlog.since.restored = true;
        let image = backlog.image();
        add(&mut backlog, 1);
        let due = Due { log_bytes: 20, ..Due::default() };
        assert!(!backlog.is_due(&due, 0), "it is on its way");
        drop(image);
        let since = backlog.due_since();
        assert_eq!((since.records, since.log_bytes, since.first_ms), (4, 40, Some(0)));
        assert!(since.restored && backlog.is_due(&due, 0));
        backlog.image().keep();
        assert_eq!(backlog.due_since().records, 0);
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
                let fate = |number: usize| fates / PLACES[number] % 3;
                for turn in 0..IMAGES {
                    let number = (turn + order) % IMAGES;
                    match fate(number) {
                        0 => images[number].take().expect("an image").keep(),
                        1 => drop(images[number].take()),
                        _ => {}
                    }
                    // Also with what is settled let go in between.
                    if turn == 1 && order % 2 == 1 {
                        backlog.settle();
                    }
                }
                let held = (0..IMAGES).rev().find(|number| fate(*number) != 1);
                let expected: u64 =
                    (held.map_or(0, |number| number + 1)..=IMAGES).map(|number| 1 << number).sum();
                assert_eq!(backlog.due_since().records, expected, "{fates} {order}");
                // Those that were under way come to nothing in the end.
                drop(images);
                let saved = (0..IMAGES).rev().find(|number| fate(*number) == 0);
                let expected: u64 =
                    (saved.map_or(0, |number| number + 1)..=IMAGES).map(|number| 1 << number).sum();
                assert_eq!(backlog.due_since().records, expected, "{fates} {order}");
                backlog.settle();
                assert_eq!(backlog.due_since().records, expected, "{fates} {order}");
                assert!(backlog.images.is_empty());
            }
        }
    }
}
