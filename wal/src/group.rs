//! Where the members of one group commit wait for it.

use crate::sync::SetOnce;

const REACHED: u32 = 1;
const FAILED: u32 = 2;

/// One group. The first to arrive leads it and waits for its turn; the others wait for the end and
/// learn how it went without touching a lock, which is what keeps a herd of them from queueing up
/// again.
#[derive(Debug, Default)]
pub(crate) struct Group {
    lead: SetOnce,
    end: SetOnce,
}

impl Group {
    /// Blocks until it is this group's turn, or until there will be none.
    pub(crate) fn await_lead(&self) {
        self.lead.get();
    }

    /// Blocks until the group is durable; `false` when it will never be.
    pub(crate) fn await_end(&self) -> bool {
        self.end.get() == REACHED
    }

    /// Lets the leader go on.
    pub(crate) fn hand_over_lead(&self) {
        self.lead.set(REACHED);
    }

    /// Lets the others go on.
    pub(crate) fn end(&self, durable: bool) {
        self.end.set(if durable { REACHED } else { FAILED });
    }
}
