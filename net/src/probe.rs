//! The probe of a link after this machine was suspended.
//!
//! Timers of QUIC and of the runtime stand still while the machine is suspended. A link that died
//! meanwhile would stay up for the idle timeout after the resume.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::close_reason::CLOSE_UNANSWERED;
use crate::context::Context;
use crate::limits::ANSWER_TIME_MAX;
use crate::link::Link;

/// How long packets from before the suspension may take to be read. They are no answer.
const STALE_TIME: Duration = Duration::from_millis(100);

/// Closes a link whose peer does not answer a probe.
pub(crate) async fn probe(context: Arc<Context>, link: Arc<Link>) {
    let answered = async {
        sleep(STALE_TIME).await;
        timeout(ANSWER_TIME_MAX, link.answered()).await.is_ok()
    };
    tokio::select! {
        () = context.stopping.cancelled() => {}
        () = link.gone() => {}
        answered = answered => if !answered {
            link.close(CLOSE_UNANSWERED, "no answer after the machine was suspended");
        },
    }
}
