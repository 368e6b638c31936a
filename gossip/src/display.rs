//! Words for people: times, durations, and text that came from elsewhere.

/// About how many bytes of somebody else's text a message repeats.
const QUOTED_BYTES_MAX: usize = 200;

/// A moment in ms since 1970, in UTC.
pub(crate) fn moment(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(
        || "after the year 9999".into(),
        |at| at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
    )
}

/// A duration in ms, exactly.
pub(crate) fn duration(ms: u64) -> String {
    let parts = [
        (ms / 86_400_000, "d"),
        (ms / 3_600_000 % 24, "h"),
        (ms / 60_000 % 60, "min"),
        (ms / 1000 % 60, "s"),
        (ms % 1000, "ms"),
    ];
    let told = parts.iter().filter(|(count, _)| *count > 0);
    let words: Vec<String> = told.map(|(count, unit)| format!("{count} {unit}")).collect();
    if words.is_empty() { "0 s".into() } else { words.join(" ") }
}

/// Whether a character is one that a terminal may obey, or that hides what stands beside it.
pub(crate) fn is_tricky(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}')
        || matches!(character, '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// Text from elsewhere as it may be shown: without tricks and not too long.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        if out.len() >= QUOTED_BYTES_MAX {
            out.push('…');
            break;
        }
        if is_tricky(character) {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_exactly_as_far_as_there_are_words() {
        assert_eq!(moment(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(moment(1_764_070_000_123), "2025-11-25T11:26:40.123Z");
        assert_eq!(moment(u64::MAX), "after the year 9999");
        assert_eq!(duration(0), "0 s");
        assert_eq!(duration(30 * 86_400_000), "30 d");
        assert_eq!(duration(3_661_002), "1 h 1 min 1 s 2 ms");
    }

    #[test]
    fn nothing_a_terminal_obeys_is_repeated() {
        assert_eq!(quoted("a\u{1b}[2J\u{202e}b"), "a\\u{1b}[2J\\u{202e}b");
        assert_eq!(quoted(&"x".repeat(1000)).chars().count(), QUOTED_BYTES_MAX + 1);
    }
}
