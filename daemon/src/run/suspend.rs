//! Notices that the machine was suspended, and has the transport catch up.

use std::time::Duration;

use icn_net::Transport;
use tokio::time::sleep;

use crate::clock;
use crate::text::duration;

/// How often the clocks are compared.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The shortest suspension that is acted on. A shorter one is far below every timeout of a link.
const SUSPENDED_MS_MIN: u64 = 1000;

/// Reports each resume of the machine to the transport, for as long as it is polled.
pub(super) async fn watch(transport: Transport) {
    let mut before_ms = clock::suspended_ms();
    loop {
        sleep(LOOK_INTERVAL).await;
        let now_ms = clock::suspended_ms();
        let suspended_ms = now_ms.saturating_sub(before_ms);
        if suspended_ms >= SUSPENDED_MS_MIN {
            tracing::info!(
                "The machine was suspended for {}; every link is probed",
                duration(suspended_ms)
            );
            transport.resumed();
        }
        before_ms = before_ms.max(now_ms);
    }
}
