//! Where the threads of one group commit wait for it.

use crate::sync::SetOnce;

const REACHED: u32 = 1;
const FAILED: u32 = 2;

/// One group. Its first thread leads it, and waits for the group before to end; the others wait for
/// its own end. They learn the outcome without taking a lock, so that they do not queue up again.
#[derive(Debug, Default)]
pub(crate) struct Group {
    lead: SetOnce,
    end: SetOnce,
}

impl Group {
    /// Blocks until this group may be written, or until it never will be.
    pub(crate) fn await_lead(&self) {
        self.lead.get();
    }

    /// Blocks until the group is durable; `false` when it never will be.
    pub(crate) fn await_end(&self) -> bool {
        self.end.get() == REACHED
    }

    /// Lets the leader of this group proceed.
    pub(crate) fn hand_over_lead(&self) {
        self.lead.set(REACHED);
    }

    /// Wakes the followers of this group.
    pub(crate) fn end(&self, durable: bool) {
        self.end.set(if durable { REACHED } else { FAILED });
    }
}
