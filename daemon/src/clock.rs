//! The one place that reads clocks: the wall clock, the time that has passed, and since which boot.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use icn_gossip::{BootId, Now};
use rustix::time::{ClockId, clock_gettime};

/// Wall-clock time in ms since 1970, 0 for a clock before that. It may jump: no order and no deadline
/// depends on it.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the shell reads the clock; everything else takes the time as an argument"
)]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The time since the machine has started, in ms. It counts suspended time, and no operator can set it.
#[must_use]
pub fn elapsed_ms() -> u64 {
    read_ms(ClockId::Boottime)
}

/// How long the machine was suspended since it has started, in ms. A reading may be too small, never too
/// large.
#[must_use]
pub fn suspended_ms() -> u64 {
    // A pause between the two readings makes the difference smaller.
    let elapsed_ms = elapsed_ms();
    elapsed_ms.saturating_sub(read_ms(ClockId::Monotonic))
}

fn read_ms(clock: ClockId) -> u64 {
    let since = clock_gettime(clock);
    let seconds = u64::try_from(since.tv_sec).unwrap_or(0);
    seconds * 1000 + u64::try_from(since.tv_nsec).unwrap_or(0) / 1_000_000
}

/// The present boot of the machine, in which [`elapsed_ms`] counts; `None` if the kernel names none. So it is
/// in a time namespace, which shares the name of the boot and counts from another start.
#[must_use]
pub fn boot() -> Option<BootId> {
    let offsets = fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
    if has_own_start(&offsets) {
        return None;
    }
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim_end().parse().ok()
}

/// Whether the time namespace with these offsets counts the elapsed time from a start of its own.
fn has_own_start(offsets: &str) -> bool {
    let boottime = offsets.lines().filter(|line| line.starts_with("boottime"));
    boottime.flat_map(|line| line.split_whitespace().skip(1)).any(|number| number != "0")
}

/// Both clocks.
#[must_use]
pub fn now() -> Now {
    Now::of_machine(now_ms(), elapsed_ms())
}

#[cfg(test)]
mod tests {
    use super::has_own_start;

    #[test]
    fn a_time_namespace_with_a_start_of_its_own_is_found() {
        assert!(!has_own_start(""), "an older kernel");
        let offsets = |seconds: i64| format!("monotonic  7  0\nboottime  {seconds}  0\n");
        assert!(!has_own_start(&offsets(0)));
        assert!(has_own_start(&offsets(-3_456_000)));
    }
}
