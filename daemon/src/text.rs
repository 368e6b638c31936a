//! Counts, sizes, durations and moments as text for people.

pub(crate) mod clock;
pub(crate) mod command;
pub(crate) mod log_end;
pub(crate) mod status;
pub(crate) mod topics;
pub(crate) mod window;

/// `1 record`, `2 records`.
#[must_use]
pub(crate) fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// `1 entry`, `2 entries`.
#[must_use]
pub(crate) fn entries(count: u64) -> String {
    format!("{count} {}", if count == 1 { "entry" } else { "entries" })
}

/// A size for people.
#[must_use]
pub(crate) fn bytes(count: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, unit)| count >= *unit) {
        Some((name, unit)) => format!("{}.{} {name}", count / unit, count % unit * 10 / unit),
        None => format!("{count} B"),
    }
}

/// A duration for people.
#[must_use]
pub(crate) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A moment for people: UTC to the second.
#[must_use]
pub(crate) fn moment(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms)
        .map_or_else(|_| "?".into(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// The end of a DID, which is what people compare.
#[must_use]
pub(crate) fn short_did(did: &str) -> String {
    let tail = did.get(did.len().saturating_sub(6)..).unwrap_or(did);
    format!("…{tail}")
}

/// A text that cannot steer the terminal of its reader.
#[must_use]
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn a_message_cannot_steer_a_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
    }
}
