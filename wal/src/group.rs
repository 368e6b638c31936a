//! Where the members of one group commit wait for it.

use std::sync::atomic::{AtomicU32, Ordering};

use atomic_wait::{wait, wake_all};

/// Nothing has happened yet. What a word says afterwards is final.
const PENDING: u32 = 0;
const REACHED: u32 = 1;
const FAILED: u32 = 2;

/// One group. The first to arrive leads it and waits for its turn; the others wait for the end and
/// learn how it went without touching a lock, which is what keeps a herd of them from queueing up
/// again.
#[derive(Debug, Default)]
pub(crate) struct Group {
    turn: AtomicU32,
    end: AtomicU32,
}

impl Group {
    /// Blocks until it is this group's turn, or until there will be none.
    pub(crate) fn await_turn(&self) {
        block_on(&self.turn);
    }

    /// Blocks until the group is durable; `false` when it will never be.
    pub(crate) fn await_end(&self) -> bool {
        block_on(&self.end) == REACHED
    }

    /// Lets the leader go on.
    pub(crate) fn give_turn(&self) {
        release(&self.turn, REACHED);
    }

    /// Lets the others go on.
    pub(crate) fn end(&self, durable: bool) {
        release(&self.end, if durable { REACHED } else { FAILED });
    }
}

fn block_on(word: &AtomicU32) -> u32 {
    loop {
        match word.load(Ordering::Acquire) {
            PENDING => wait(word, PENDING),
            said => return said,
        }
    }
}

fn release(word: &AtomicU32, say: u32) {
    word.store(say, Ordering::Release);
    wake_all(word);
}
