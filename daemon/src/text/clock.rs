//! A clock in doubt, in words.

use super::{counted, duration};
use crate::control::reply::clock::{ClockDoubt, HeldBack};

/// That peers hold back messages of this node, and what to do.
pub(crate) fn held_back(held: HeldBack) -> String {
    let HeldBack { peers, ahead_ms } = held;
    let peers = counted(peers, "peer");
    let ahead = about(ahead_ms);
    format!(
        "By the clock of {peers}, messages of this node are up to {ahead} ahead, and wait there. \
         Set the wall clock right: icnctl clock show"
    )
}

/// Why the wall clock is in doubt, what that means, and how it ends.
pub(crate) fn doubt(doubt: ClockDoubt) -> String {
    let (what, how) = match doubt {
        ClockDoubt::Moved(ms) => {
            let way = if ms < 0 { "back" } else { "forward" };
            let by = about(ms.unsigned_abs());
            (format!("was set {way} by {by} while the node ran"), "Nothing expires by it.")
        }
        ClockDoubt::Down(ms) if ms < 0 => {
            let by = about(ms.unsigned_abs());
            (format!("shows {by} before the last run"), "The time since then does not count.")
        }
        ClockDoubt::Down(ms) => {
            let by = about(ms.unsigned_abs());
            (format!("shows {by} since the last run"), "The time since then does not count.")
        }
    };
    format!("The wall clock {what}. {how} Set it right, or confirm it: icnctl clock confirm")
}

/// A duration to the nearest second: both clocks are read one after the other.
fn about(ms: u64) -> String {
    duration((ms + 500) / 1000 * 1000)
}
