//! The task of one target: dials, backs off after failures, and watches the link.
//!
//! | there is a link to the peer | the task |
//! |---|---|
//! | no, none was up before | dials at once |
//! | no, the last one ended without a fault | dials within [`RECONNECT_DELAY_MAX`] |
//! | no, the last dial or link failed | dials after a growing, jittered backoff |
//! | yes | waits |
//! | yes, and the local network advertises the peer here and no longer at the link's address | dials |
//! | yes, the peer is overdue on it, and the local network advertises the peer here | dials |
//!
//! The last two rows serve a peer that has moved. A node that has moved neither answers at its old
//! address nor accepts an answer from an unknown one. Its link would be dead until the idle timeout. An old advertisement can stay valid for two minutes more, hence the last row.
//!
//! The jitter keeps nodes that lost each other at the same moment from retrying at the same
//! moments.

use std::sync::Arc;
use std::time::Duration;

use icn_gossip::Did;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::Dialler;
use crate::close_reason::{CLOSE_REPLACED, CloseReason};
use crate::context::Context;
use crate::handshake::{self, DialFailure, DialOutcome};
use crate::limits::ADDRESSES_MAX;
use crate::link::Link;
use crate::stats::Stat;
use crate::target::Target;

/// The longest delay before a reconnect after a link that ended without a fault.
const RECONNECT_DELAY_MAX: Duration = Duration::from_millis(250);
/// The longest first backoff after a failure, and the longest backoff.
const BACKOFF_MIN: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// The age of a link that resets the count of failures.
const STABLE_AGE: Duration = Duration::from_secs(30);
/// The age below which even a faultless end of a link counts as a failure.
const PROMPT_AGE_MIN: Duration = Duration::from_secs(1);

/// Maintains a link to a target until the future is dropped.
pub(super) async fn maintain(dialler: &Dialler, target: &Target, wake: &Notify) {
    let context = &dialler.context;
    let mut declined = 0;
    // The link during which the target was already dialled: one dial is enough until an event.
    let mut alongside = None;
    loop {
        let expected = dialler.expected(target);
        let link = expected.and_then(|did| context.table.link_of(&did));
        let dialled = match &link {
            None => dial(context, target, expected).await,
            Some(link) => {
                declined = 0;
                dialler.clear_failure(target);
                match next_event(dialler, target, link, wake, alongside == Some(link.id())).await {
                    LinkedEvent::Ended => {
                        sleep_or_wake(backoff_after(dialler, target, link), wake).await;
                        continue;
                    }
                    LinkedEvent::Changed => {
                        alongside = None;
                        continue;
                    }
                    LinkedEvent::DialElsewhere => {}
                }
                alongside = Some(link.id());
                tokio::select! {
                    dialled = dial(context, target, expected) => dialled,
                    // A newer link, or an answer on this one, makes the dial needless.
                    () = link.gone() => continue,
                    () = link.packet_received(), if !dialler.has_moved(target, link) => continue,
                }
            }
        };
        let failures = match dialled {
            DialOutcome::Up(link) => {
                dialler.pin(target, link.peer());
                continue;
            }
            DialOutcome::Declined(peer) => {
                dialler.pin(target, peer);
                context.stats.add(Stat::DialDeclined, 1);
                declined += 1;
                declined
            }
            DialOutcome::Ourselves => {
                tracing::info!(%target, "the target is this node itself; it is not dialled again");
                return dialler.mark_own(target);
            }
            DialOutcome::Failed(DialFailure { stat, text }) => {
                tracing::info!(%target, reason = text, "not connected");
                let failures = dialler.record_failure(target, Some(text));
                context.stats.add(stat, 1);
                failures
            }
        };
        // With a link, the next event decides, not the backoff.
        if link.is_none() {
            sleep_or_wake(backoff(failures), wake).await;
        }
    }
}

/// What ends the wait while there is a link to the peer.
enum LinkedEvent {
    /// The link has ended.
    Ended,
    /// The advertisements of the peer changed, or the link answers again.
    Changed,
    /// The peer has moved or is overdue: dial this target, too.
    DialElsewhere,
}

async fn next_event(
    dialler: &Dialler,
    target: &Target,
    link: &Link,
    wake: &Notify,
    was_dialled: bool,
) -> LinkedEvent {
    let moved = dialler.has_moved(target, link);
    if moved && !was_dialled {
        return LinkedEvent::DialElsewhere;
    }
    tokio::select! {
        () = link.gone() => LinkedEvent::Ended,
        () = wake.notified() => LinkedEvent::Changed,
        () = link.packet_received(), if was_dialled && !moved => LinkedEvent::Changed,
        () = link.overdue(), if !was_dialled && dialler.is_hinted(target) => {
            LinkedEvent::DialElsewhere
        }
    }
}

async fn sleep_or_wake(pause: Duration, wake: &Notify) {
    tokio::select! {
        () = sleep(pause) => {}
        () = wake.notified() => {}
    }
}

/// Dials the addresses of a target in turn, until a node answers.
async fn dial(context: &Arc<Context>, target: &Target, expected: Option<Did>) -> DialOutcome {
    let addresses = target.resolve().await.unwrap_or_default();
    let mut dialled = DialOutcome::Failed(DialFailure {
        stat: Stat::DialResolve,
        text: "the host name does not resolve".into(),
    });
    for address in addresses.into_iter().take(ADDRESSES_MAX) {
        dialled = handshake::dial(context, address, expected).await;
        match &dialled {
            DialOutcome::Failed(failure)
                if matches!(failure.stat, Stat::DialUnreachable | Stat::DialTransport) => {}
            _ => break,
        }
    }
    dialled
}

/// How long to wait after the end of a link before the next dial.
fn backoff_after(dialler: &Dialler, target: &Target, link: &Link) -> Duration {
    let lived = link.age();
    if lived >= STABLE_AGE {
        dialler.reset_failures(target);
    }
    let faultless = match link.close_reason() {
        // The newer link is not here: another process with this node's key has it.
        Some(CloseReason::Theirs { code: CLOSE_REPLACED, .. }) | None => false,
        Some(reason) => reason.is_ordinary(),
    };
    if faultless && lived >= PROMPT_AGE_MIN {
        return jitter(RECONNECT_DELAY_MAX);
    }
    backoff(dialler.record_failure(target, None))
}

/// The backoff after this many failures in a row: twice the one before, less up to half of it.
fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let longest = BACKOFF_MIN.saturating_mul(1 << doublings).min(BACKOFF_MAX);
    longest / 2 + jitter(longest / 2)
}

/// A random duration of at most `duration`.
fn jitter(duration: Duration) -> Duration {
    // Without randomness the backoff is merely not spread.
    let random = getrandom::u32().unwrap_or(u32::MAX);
    duration.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
