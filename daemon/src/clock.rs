//! The one place that reads the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970. A clock before that, or one that jumps back, is raised by whoever needs
/// order: no order depends on it.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the shell's clock; everything else is told the time"
)]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
