//! The task of a target. It does nothing while there is a link to the identity behind the target, unless
//! the local network says that this is elsewhere by now, or has heard of it here while it does not answer
//! on the link: a node that has moved does not answer where it was, nor hears an answer that comes from
//! elsewhere, and the link would be dead until the silence is too long. What the local network said before
//! can hold for two minutes more. Otherwise it dials: at once at first, within [`PROMPT`] after a link that
//! ended by nobody's fault, and after a failure with growing pauses, of which a random part is left out so
//! that nodes that lost each other together do not meet at the same moment for ever.

use std::sync::Arc;
use std::time::Duration;

use icn_gossip::Did;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::Dialler;
use crate::context::Context;
use crate::handshake::{self, Dialled, Failure};
use crate::limits::ADDRESSES_MAX;
use crate::link::Link;
use crate::stats::Count;
use crate::target::Target;
use crate::why::{CLOSE_REPLACED, Why};

/// The longest pause after a link that ended by nobody's fault.
const PROMPT: Duration = Duration::from_millis(250);
/// The first pause after a failure, and the longest.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// A link that lived this long is a success; one shorter than that is no reason to hurry.
const SUCCESS: Duration = Duration::from_secs(30);
const HURRY: Duration = Duration::from_secs(1);

/// Keeps a link to a target until it is dropped.
pub(super) async fn keep(dialler: &Dialler, target: &Target, wake: &Notify) {
    let context = &dialler.context;
    let mut declined = 0;
    // The link beside which this was dialled: once is enough, until there is news.
    let mut beside = None;
    loop {
        let expected = dialler.expected(target);
        let link = expected.and_then(|did| context.table.of(&did));
        let dialled = match &link {
            None => dial(context, target, expected).await,
            Some(link) => {
                declined = 0;
                dialler.connected(target);
                match turn(dialler, target, link, wake, beside == Some(link.id())).await {
                    Turn::Gone => {
                        rest(after(dialler, target, link), wake).await;
                        continue;
                    }
                    Turn::News => {
                        beside = None;
                        continue;
                    }
                    Turn::Elsewhere => {}
                }
                beside = Some(link.id());
                tokio::select! {
                    dialled = dial(context, target, expected) => dialled,
                    // A newer link, or the one there is, makes this one needless.
                    () = link.gone() => continue,
                    () = link.answers(), if !dialler.has_moved(target, link) => continue,
                }
            }
        };
        let failures = match dialled {
            Dialled::Up(link) => {
                dialler.pin(target, link.peer());
                continue;
            }
            Dialled::Busy(peer) => {
                dialler.pin(target, peer);
                context.stats.add(Count::DialDeclined, 1);
                declined += 1;
                declined
            }
            Dialled::Ourselves => {
                tracing::info!(%target, "this is the node itself: not dialled again");
                return dialler.never_again(target);
            }
            Dialled::Failed(Failure { count, text }) => {
                tracing::info!(%target, why = text, "not connected");
                context.stats.add(count, 1);
                dialler.failed(target, Some(text))
            }
        };
        // Beside a link it waits for news of that.
        if link.is_none() {
            rest(pause(failures), wake).await;
        }
    }
}

/// What may happen while there is a link to the peer.
enum Turn {
    /// The link has gone.
    Gone,
    /// What is known of the peer, or of the link, is no longer what it was.
    News,
    /// It is worth a dial beside the link.
    Elsewhere,
}

async fn turn(
    dialler: &Dialler,
    target: &Target,
    link: &Link,
    wake: &Notify,
    was_dialled: bool,
) -> Turn {
    let moved = dialler.has_moved(target, link);
    if moved && !was_dialled {
        return Turn::Elsewhere;
    }
    tokio::select! {
        () = link.gone() => Turn::Gone,
        () = wake.notified() => Turn::News,
        () = link.answers(), if was_dialled && !moved => Turn::News,
        () = link.overdue(), if !was_dialled && dialler.is_hinted(target) => Turn::Elsewhere,
    }
}

async fn rest(pause: Duration, wake: &Notify) {
    tokio::select! {
        () = sleep(pause) => {}
        () = wake.notified() => {}
    }
}

/// Dials the addresses of a target, one after the other, until somebody is there.
async fn dial(context: &Arc<Context>, target: &Target, expected: Option<Did>) -> Dialled {
    let addresses = target.resolve().await.unwrap_or_default();
    let mut dialled = Dialled::Failed(Failure {
        count: Count::DialResolve,
        text: "the name of the host is not known".into(),
    });
    for address in addresses.into_iter().take(ADDRESSES_MAX) {
        dialled = handshake::dial(context, address, expected).await;
        match &dialled {
            Dialled::Failed(failure)
                if matches!(failure.count, Count::DialUnreachable | Count::DialTransport) => {}
            _ => break,
        }
    }
    dialled
}

/// How long to wait after the end of a link.
fn after(dialler: &Dialler, target: &Target, link: &Link) -> Duration {
    let lived = link.age();
    if lived >= SUCCESS {
        dialler.held(target);
    }
    let hurry = match link.ended() {
        // Without a newer link here it was somebody else with the same key.
        Some(Why::Theirs { code: CLOSE_REPLACED, .. }) | None => false,
        Some(why) => why.ordinary(),
    };
    if hurry && lived >= HURRY {
        return some_of(PROMPT);
    }
    pause(dialler.failed(target, None))
}

/// The pause after so many failures in a row: twice the one before, of which up to half is left out.
fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let pause = PAUSE.saturating_mul(1 << doublings).min(PAUSE_MAX);
    pause / 2 + some_of(pause / 2)
}

/// A random part of it.
fn some_of(duration: Duration) -> Duration {
    // Without randomness the pause is only less well spread.
    let chance = getrandom::u32().unwrap_or(u32::MAX);
    duration.mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
