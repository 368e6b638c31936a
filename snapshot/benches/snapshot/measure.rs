//! The clock, medians and percentiles.

use std::time::{Duration, Instant};

pub(crate) fn clock() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
    Instant::now()
}

pub(crate) fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}

pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The value below which `rank` of 1000 values lie.
pub(crate) fn per_mille(sorted: &[Duration], rank: usize) -> Duration {
    let at = (sorted.len() * rank / 1000).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or_default()
}
