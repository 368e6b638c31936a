//! The one place that reads the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Wall-clock time in ms since 1970, 0 for a clock before that. It may jump: no order depends on it.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the shell reads the clock; everything else takes the time as an argument"
)]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
