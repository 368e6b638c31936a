//! Where the members of one group commit wait for it.

use std::sync::atomic::{AtomicU32, Ordering};

use atomic_wait::{wait, wake_all};

const WAITING: u32 = 0;
const REACHED: u32 = 1;

/// One group. The first to arrive leads it and waits for its turn; the others wait for the end and
/// then return without touching a lock, which is what keeps a herd of them from queueing up again.
#[derive(Debug, Default)]
pub(crate) struct Group {
    turn: AtomicU32,
    done: AtomicU32,
}

impl Group {
    pub(crate) fn await_turn(&self) {
        block_on(&self.turn);
    }

    pub(crate) fn await_done(&self) {
        block_on(&self.done);
    }

    pub(crate) fn give_turn(&self) {
        release(&self.turn);
    }

    pub(crate) fn finish(&self) {
        release(&self.done);
    }
}

fn block_on(word: &AtomicU32) {
    while word.load(Ordering::Acquire) == WAITING {
        wait(word, WAITING);
    }
}

fn release(word: &AtomicU32) {
    word.store(REACHED, Ordering::Release);
    wake_all(word);
}
