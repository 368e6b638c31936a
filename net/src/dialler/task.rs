//! The task of a target. It does nothing while there is a link to the identity behind the target, unless
//! the local network says that this is elsewhere by now, or has heard of it here while it does not answer
//! on the link: a node that has moved does not answer where it was, nor hears an answer that comes from
//! elsewhere, and the link would be dead until the silence is too long. What the local network said before
//! can hold for two minutes more. Otherwise it dials: at once at first, within [`RECONNECT_DELAY_MAX`] after a link that
//! ended by nobody's fault, and after a failure with growing pauses, of which a random part is left out so
//! that nodes that lost each other together do not meet at the same moment for ever.

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

/// The longest pause after a link that ended by nobody's fault.
const RECONNECT_DELAY_MAX: Duration = Duration::from_millis(250);
/// The first pause after a failure, and the longest.
const BACKOFF_MIN: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// A link that lived this long is a success; one shorter than that is no reason to hurry.
const STABLE_AGE: Duration = Duration::from_secs(30);
const PROMPT_AGE_MIN: Duration = Duration::from_secs(1);

/// Keeps a link to a target until it is dropped.
pub(super) async fn maintain(dialler: &Dialler, target: &Target, wake: &Notify) {
    let context = &dialler.context;
    let mut declined = 0;
    // The link beside which this was dialled: once is enough, until there is news.
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
                    // A newer link, or the one there is, makes this one needless.
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
                tracing::info!(%target, "this is the node itself: not dialled again");
                return dialler.mark_own(target);
            }
            DialOutcome::Failed(DialFailure { count, text }) => {
                tracing::info!(%target, why = text, "not connected");
                context.stats.add(count, 1);
                dialler.record_failure(target, Some(text))
            }
        };
        // Beside a link it waits for news of that.
        if link.is_none() {
            sleep_or_wake(backoff(failures), wake).await;
        }
    }
}

/// What may happen while there is a link to the peer.
enum LinkedEvent {
    /// The link has gone.
    Ended,
    /// What is known of the peer, or of the link, is no longer what it was.
    Changed,
    /// It is worth a dial beside the link.
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
        () = link.overdue(), if !was_dialled && dialler.is_hinted(target) => LinkedEvent::DialElsewhere,
    }
}

async fn sleep_or_wake(pause: Duration, wake: &Notify) {
    tokio::select! {
        () = sleep(pause) => {}
        () = wake.notified() => {}
    }
}

/// Dials the addresses of a target, one after the other, until somebody is there.
async fn dial(context: &Arc<Context>, target: &Target, expected: Option<Did>) -> DialOutcome {
    let addresses = target.resolve().await.unwrap_or_default();
    let mut dialled = DialOutcome::Failed(DialFailure {
        count: Stat::DialResolve,
        text: "the name of the host is not known".into(),
    });
    for address in addresses.into_iter().take(ADDRESSES_MAX) {
        dialled = handshake::dial(context, address, expected).await;
        match &dialled {
            DialOutcome::Failed(failure)
                if matches!(failure.count, Stat::DialUnreachable | Stat::DialTransport) => {}
            _ => break,
        }
    }
    dialled
}

/// How long to wait after the end of a link.
fn backoff_after(dialler: &Dialler, target: &Target, link: &Link) -> Duration {
    let lived = link.age();
    if lived >= STABLE_AGE {
        dialler.reset_failures(target);
    }
    let hurry = match link.close_reason() {
        // Without a newer link here it was somebody else with the same key.
        Some(CloseReason::Theirs { code: CLOSE_REPLACED, .. }) | None => false,
        Some(reason) => reason.is_ordinary(),
    };
    if hurry && lived >= PROMPT_AGE_MIN {
        return jitter(RECONNECT_DELAY_MAX);
    }
    backoff(dialler.record_failure(target, None))
}

/// The pause after so many failures in a row: twice the one before, of which up to half is left out.
fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let pause = BACKOFF_MIN.saturating_mul(1 << doublings).min(BACKOFF_MAX);
    pause / 2 + jitter(pause / 2)
}

/// A random part of it.
fn jitter(duration: Duration) -> Duration {
    // Without randomness the pause is only less well spread.
    let chance = getrandom::u32().unwrap_or(u32::MAX);
    duration.mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
