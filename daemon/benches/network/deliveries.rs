//! What was delivered where, and when.

use std::ops::Range;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use crate::meter::clock;

/// The size of a message.
pub(crate) const MESSAGE_BYTES: usize = 256;

/// The number at the beginning of a message, in hexadecimal.
const NUMBER_BYTES: usize = 16;

/// How often to look. What is measured is when a message came, not when that was seen.
const LOOK: Duration = Duration::from_millis(1);

/// A message with its number, as text without anything that JSON would escape.
pub(crate) fn message(number: u64) -> [u8; MESSAGE_BYTES] {
    let mut bytes = *FILLER;
    for (at, byte) in bytes[..NUMBER_BYTES].iter_mut().enumerate() {
        *byte = b"0123456789abcdef"[(number >> (60 - 4 * at)) as usize % 16];
    }
    bytes
}

/// Letters that do not compress.
static FILLER: LazyLock<[u8; MESSAGE_BYTES]> = LazyLock::new(|| {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    [(); MESSAGE_BYTES].map(|()| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        b'a' + (state >> 59) as u8 % 26
    })
});

/// By node, the numbers of the messages it has delivered.
pub(crate) struct Deliveries(Vec<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    numbers: Vec<bool>,
    count: u64,
    last: Option<Instant>,
}

impl Deliveries {
    pub(crate) fn new(nodes: usize) -> Self {
        Self((0..nodes).map(|_| Mutex::default()).collect())
    }

    /// A node has delivered a message. One that it delivered before counts once.
    pub(crate) fn delivered(&self, node: usize, message: &[u8]) {
        let digits = message.get(..NUMBER_BYTES).and_then(|digits| str::from_utf8(digits).ok());
        let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let index = usize::try_from(number.expect("a message of ours")).expect("a small number");
        let mut seen = self.0[node].lock().expect("no panic");
        if seen.numbers.len() <= index {
            seen.numbers.resize(index * 2 + 1, false);
        }
        if !std::mem::replace(&mut seen.numbers[index], true) {
            seen.count += 1;
            seen.last = Some(clock());
        }
    }

    /// How many of the messages with these numbers a node has delivered.
    pub(crate) fn count(&self, node: usize, numbers: &Range<u64>) -> u64 {
        let seen = self.0[node].lock().expect("no panic");
        let within = |number: &u64| seen.numbers.get(*number as usize) == Some(&true);
        numbers.clone().filter(within).count() as u64
    }

    /// Waits until `nodes` have delivered `total` messages each since they were founded, or none
    /// has delivered any for a while. Returns when the last message came, if all did.
    pub(crate) fn wait(
        &self,
        nodes: impl IntoIterator<Item = usize> + Clone,
        total: u64,
        patience: Duration,
    ) -> Option<Instant> {
        let mut before = 0;
        let mut moved = clock();
        loop {
            let mut count = 0;
            let mut whole = true;
            let mut last = None;
            for node in nodes.clone() {
                let seen = self.0[node].lock().expect("no panic");
                count += seen.count;
                whole &= seen.count >= total;
                last = last.max(seen.last);
            }
            if whole {
                return last;
            }
            if count != before {
                (before, moved) = (count, clock());
            }
            if moved.elapsed() > patience {
                return None;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until all nodes but its publisher have delivered a message, and returns when the last
    /// of them did, unless one has not `within` that time.
    pub(crate) fn wait_one(
        &self,
        number: u64,
        publisher: usize,
        within: Duration,
    ) -> Option<Instant> {
        let start = clock();
        let others = || self.0.iter().enumerate().filter(|(node, _)| *node != publisher);
        let index = usize::try_from(number).ok()?;
        let has = |seen: &Mutex<Seen>| {
            let seen = seen.lock().expect("no panic");
            seen.numbers.get(index) == Some(&true)
        };
        while !others().all(|(_, seen)| has(seen)) {
            if start.elapsed() > within {
                return None;
            }
            std::thread::sleep(LOOK);
        }
        others().filter_map(|(node, _)| self.last(node)).max()
    }

    /// When a node delivered its last message.
    pub(crate) fn last(&self, node: usize) -> Option<Instant> {
        self.0[node].lock().expect("no panic").last
    }
}
