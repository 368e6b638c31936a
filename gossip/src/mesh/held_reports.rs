//! What a peer reports of entries of this node that it holds back.

use std::collections::BTreeMap;

/// The most that is believed of a report: about a century.
const AHEAD_MAX_MS: u64 = 1 << 42;

/// How long the report of a peer stands: it repeats it at least every 10 min.
const STANDS_MS: u64 = 15 * 60 * 1000;

/// The most epochs of which a report is kept: the present one and a few before it.
const EPOCHS_MAX: usize = 4;

/// The last report of a peer about each of this node's epochs.
#[derive(Default)]
pub(super) struct HeldReports(BTreeMap<u64, Report>);

struct Report {
    ahead_ms: u64,
    since_ms: u64,
}

impl HeldReports {
    /// The peer reports that an entry of this epoch is so far ahead of its clock.
    pub(super) fn add(&mut self, epoch: u64, ahead_ms: u64, now_ms: u64) {
        let report = Report { ahead_ms: ahead_ms.min(AHEAD_MAX_MS), since_ms: now_ms };
        self.0.insert(epoch, report);
        if self.0.len() > EPOCHS_MAX {
            let oldest = self.0.iter().min_by_key(|(_, report)| report.since_ms);
            if let Some(epoch) = oldest.map(|(epoch, _)| *epoch) {
                self.0.remove(&epoch);
            }
        }
    }

    /// The furthest that an entry of these epochs is ahead, in ms; `None` if no report stands.
    pub(super) fn furthest(&self, now_ms: u64, is_meant: impl Fn(u64) -> bool) -> Option<u64> {
        let meant = self.0.iter().filter(|(epoch, _)| is_meant(**epoch));
        let standing = meant.filter(|(_, report)| now_ms < report.since_ms + STANDS_MS);
        standing.map(|(_, report)| report.ahead_ms).max()
    }
}
