//! How the log ended that a start or a check has found.

use crate::text::counted;

/// What is known of the end. The log says how the last run ended that wrote to it; a later one may have ended
/// without a write.
#[must_use]
pub(crate) fn log_end(clean: bool, torn_bytes: u64, end_proven: bool) -> String {
    match (clean, torn_bytes) {
        (true, _) => "the log ended with an orderly stop".to_owned(),
        (false, 0) if end_proven => "the log ended with a crash or kill; nothing lost".to_owned(),
        (false, 0) => format!("the log ended with a crash or kill; {}", unproven()),
        (false, torn) => format!("the log ended with a crash or kill: {}", left_out(torn)),
    }
}

/// What is known of a torn tail. Nothing proves that it was durable, or that it was not. A crash during a
/// write leaves the same bytes as a disk that damaged them later.
#[must_use]
pub(crate) fn left_out(torn_bytes: u64) -> String {
    let bytes = counted(torn_bytes, "byte");
    format!(
        "{bytes} of an unfinished tail left out; whether a record in them was acknowledged cannot be known"
    )
}

/// What is known of an end that no other block of the log proves.
#[must_use]
pub(crate) fn unproven() -> &'static str {
    "every record found was read; whether the disk has lost a last group cannot be known"
}
