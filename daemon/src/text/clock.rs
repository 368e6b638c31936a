//! A clock in doubt, in words.

use super::{counted, duration, moment};
use crate::control::reply::Clock;
use crate::control::reply::clock::{ClockDoubt, HeldBack};

/// That peers hold back messages of this node, and what to do.
pub(crate) fn held_back(held: HeldBack) -> String {
    let HeldBack { peers, ahead_ms } = held;
    let peers = counted(peers, "peer");
    let ahead = about(ahead_ms);
    format!(
        "By the clock of {peers}, messages of this node are up to {ahead} ahead, and wait there. \
         Compare its wall clock with yours: icnctl clock show"
    )
}

/// That messages of an earlier time arrive later.
pub(crate) fn held_earlier(held: HeldBack) -> String {
    let HeldBack { peers, ahead_ms } = held;
    let peers = counted(peers, "peer");
    let ahead = about(ahead_ms);
    format!(
        "Messages that this node wrote while its clock was ahead wait at {peers}, and arrive within {ahead}"
    )
}

/// Why the wall clock is in doubt, what that means, and how it ends.
pub(crate) fn doubt(doubt: ClockDoubt) -> String {
    let what = match doubt {
        ClockDoubt::Moved(ms) => {
            let way = if ms < 0 { "back" } else { "forward" };
            format!("was set {way} by {} while the node ran", about(ms.unsigned_abs()))
        }
        ClockDoubt::Down(ms) if ms < 0 => {
            format!("shows {} before the last run", about(ms.unsigned_abs()))
        }
        ClockDoubt::Down(ms) => format!("shows {} since the last run", about(ms.unsigned_abs())),
    };
    format!(
        "The wall clock {what}. While it is in doubt, no message expires by age. Set it right, or confirm \
         that it is right: icnctl clock confirm"
    )
}

/// What a confirmation of the wall clock would let expire, if anything.
pub(crate) fn expiry(clock: &Clock) -> Option<String> {
    let Clock { wall, would_expire, peers_apart, .. } = *clock;
    let messages = (would_expire > 0).then(|| counted(would_expire, "message"))?;
    let peers = match peers_apart {
        0 => String::new(),
        peers => format!(" (the clock of {} differs)", counted(peers, "peer")),
    };
    Some(format!("let {messages} expire for good, since it is {} now{peers}", moment(wall)))
}

/// Two clocks that differ by less are in step: a time needs a while to reach the other node.
const IN_STEP_MS: u64 = 2000;

/// How far the clock of a peer is ahead of this node's.
pub(crate) fn ahead(ms: i64) -> String {
    match ms.unsigned_abs() {
        ..IN_STEP_MS => "in step".into(),
        off if ms < 0 => format!("-{}", about(off)),
        off => format!("+{}", about(off)),
    }
}

/// How many peers have another time than this node, if any.
pub(crate) fn apart(peers: u64) -> Option<String> {
    let peers = (peers > 0).then(|| counted(peers, "peer"))?;
    Some(format!("The clock of {peers} differs by more than a minute: icnctl peer list"))
}

/// A duration to the nearest second: both clocks are read one after the other.
fn about(ms: u64) -> String {
    duration(ms.saturating_add(500) / 1000 * 1000)
}
