//! How far back a node can go, in words.

use super::{bytes, duration, moment};
use crate::control::reply::snapshots::Window;
use crate::limits::is_near;

/// How the window becomes longer.
const KEEP_MORE: &str = "Keep more: [snapshot] keep_hours, keep_mib in icn.toml";

/// How far back the node can go.
#[must_use]
pub(crate) fn reach(window: &Window, now_ms: u64) -> String {
    let Window { first, since, .. } = window;
    if *since == 0 || *since > now_ms {
        return format!("You can go back to #{first}");
    }
    let ago = duration(now_ms.saturating_sub(*since));
    format!("You can go back to {} ({ago} ago, #{first})", moment(*since))
}

/// What the window takes, and what shortens it.
#[must_use]
pub(crate) fn limits(window: &Window) -> String {
    let Window { hours_wanted, bytes: taken, bytes_max, .. } = *window;
    let taken = bytes(taken);
    if hours_wanted == 0 {
        return format!("It takes {taken}, for the newest snapshots only. {KEEP_MORE}");
    }
    let room = bytes(bytes_max);
    format!(
        "It takes {taken} of {room}; above that it shortens. What is older than {hours_wanted} h of \
         running time goes as well. {KEEP_MORE}"
    )
}

/// That the window is, or will soon be, shorter than it should be, and what to do; `None` while it is well.
#[must_use]
pub(crate) fn warning(window: &Window) -> Option<String> {
    let Window { hours_wanted, bytes: taken, bytes_max, shortened, .. } = *window;
    if hours_wanted == 0 {
        return None;
    }
    let (takes, room) = (bytes(taken), bytes(bytes_max));
    let what = match (shortened, is_near(taken, bytes_max)) {
        (true, true) => format!(
            "was shortened to less than {hours_wanted} h, since it may take {room} and takes {takes}"
        ),
        // The room was made larger, or the log that filled it is gone.
        (true, false) => format!(
            "was shortened to less than {hours_wanted} h for want of room. It takes {takes} of {room}, and \
             grows back to {hours_wanted} h while the node runs"
        ),
        (false, true) => format!("takes {takes} of {room}; above that it shortens"),
        (false, false) => return None,
    };
    Some(format!("the restore window {what}. {KEEP_MORE}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_reported_from_80_percent_on_and_once_it_was_shortened() {
        let window = Window { hours_wanted: 24, bytes: 799, bytes_max: 1000, ..Window::default() };
        assert_eq!(warning(&window), None);
        let near = warning(&Window { bytes: 800, ..window }).expect("near its limit");
        assert!(near.contains("takes 800 B of 1000 B") && near.contains("keep_mib"), "{near}");
        let full = warning(&Window { shortened: true, bytes: 800, ..window }).expect("shortened");
        assert!(
            full.contains("less than 24 h, since it may take 1000 B and takes 800 B"),
            "{full}"
        );
        let roomy = warning(&Window { shortened: true, ..window }).expect("shortened");
        assert!(
            roomy.contains("for want of room. It takes 799 B of 1000 B, and grows back to 24 h"),
            "{roomy}"
        );
        // Without hours there is nothing that shortens.
        assert_eq!(warning(&Window { hours_wanted: 0, bytes: 999, ..window }), None);
    }
}
