//! Times on the command line.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::clock::now_ms;

/// Parses an RFC 3339 time, or a duration before now, to ms since 1970.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    parse_at(text, now_ms())
}

fn parse_at(text: &str, now_ms: u64) -> Result<u64, String> {
    let moment = text.parse::<Timestamp>().ok().or_else(|| ago(text, now_ms));
    moment
        .and_then(|moment| u64::try_from(moment.as_millisecond()).ok())
        .ok_or_else(|| "write 2026-11-24T15:00:00Z, or an age: 15m, 2h or 3d".into())
}

fn ago(text: &str, now_ms: u64) -> Option<Timestamp> {
    let span = text.parse::<Span>().ok()?.abs();
    let now = Timestamp::from_millisecond(i64::try_from(now_ms).ok()?).ok()?;
    Some(now.to_zoned_datetime(TimeZone::UTC).checked_sub(span).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::parse_at;

    #[test]
    fn absolute_and_relative_times_parse_and_other_texts_are_refused() {
        let now = 1_800_000_000_000;
        for (text, ms) in [
            ("2027-01-15T08:00:00Z", now),
            ("2027-01-15T10:00:00.250+02:00", now + 250),
            ("15m", now - 15 * 60_000),
            ("1h30m ago", now - 90 * 60_000),
            ("2d", now - 2 * 86_400_000),
            ("0s", now),
        ] {
            assert_eq!(parse_at(text, now), Ok(ms), "{text}");
        }
        for text in ["", "yesterday", "15", "2027-01-15", "1900-01-01T00:00:00Z", "900y"] {
            assert!(parse_at(text, now).is_err(), "{text}");
        }
    }
}
