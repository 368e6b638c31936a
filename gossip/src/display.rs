//! Text for people: times, durations, and quoted foreign text.

/// About how many bytes of a foreign text an error message repeats.
const QUOTED_BYTES_MAX: usize = 200;

/// Formats ms since 1970 as a UTC timestamp.
pub(crate) fn moment(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(
        || "after the year 9999".into(),
        |at| at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
    )
}

/// Formats a duration in ms without rounding.
pub(crate) fn duration(ms: u64) -> String {
    let parts = [
        (ms / 86_400_000, "d"),
        (ms / 3_600_000 % 24, "h"),
        (ms / 60_000 % 60, "min"),
        (ms / 1000 % 60, "s"),
        (ms % 1000, "ms"),
    ];
    let nonzero = parts.iter().filter(|(count, _)| *count > 0);
    let words: Vec<String> = nonzero.map(|(count, unit)| format!("{count} {unit}")).collect();
    if words.is_empty() { "0 s".into() } else { words.join(" ") }
}

/// Whether a terminal may obey the character, or the character hides or reorders its neighbours.
pub(crate) fn is_tricky(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}')
        || matches!(character, '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// Makes a foreign text safe to show: tricky characters escaped, cut after 200 bytes.
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
    fn times_and_durations_are_formatted_exactly() {
        assert_eq!(moment(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(moment(1_764_070_000_123), "2025-11-25T11:26:40.123Z");
        assert_eq!(moment(u64::MAX), "after the year 9999");
        assert_eq!(duration(0), "0 s");
        assert_eq!(duration(30 * 86_400_000), "30 d");
        assert_eq!(duration(3_661_002), "1 h 1 min 1 s 2 ms");
    }

    #[test]
    fn a_quoted_text_holds_no_character_that_a_terminal_obeys() {
        assert_eq!(quoted("a\u{1b}[2J\u{202e}b"), "a\\u{1b}[2J\\u{202e}b");
        assert_eq!(quoted(&"x".repeat(1000)).chars().count(), QUOTED_BYTES_MAX + 1);
    }
}
