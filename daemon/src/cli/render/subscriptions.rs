//! Subscriptions, and cursors of consumers.

use std::io::{self, Write};

use super::Show;
use crate::cli::table::Table;
use crate::control::reply::{CursorDeleted, Subscribed, Subscriptions, Unsubscribed};
use crate::text::moment;

impl Show for Subscribed {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        let pending =
            "Subscribed, pending: no such topic is known here yet; it begins when one is.";
        let text = match (self.already, self.pending) {
            (true, _) => "Already subscribed.",
            (false, true) => pending,
            (false, false) => "Subscribed.",
        };
        writeln!(out, "{text}")
    }
}

impl Show for Unsubscribed {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        let text =
            if self.was_subscribed { "Unsubscribed." } else { "There was no such subscription." };
        writeln!(out, "{text}")
    }
}

impl Show for Subscriptions {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        let mut wishes = Table::new(&["TOPIC", "BY", "SINCE", "STATE"]);
        for wish in &self.subscriptions {
            let state = if wish.pending { "pending" } else { "active" };
            wishes.row([wish.topic.clone(), wish.by.clone(), moment(wish.since), state.into()]);
        }
        if wishes.is_empty() {
            writeln!(out, "No subscriptions yet.")?;
        } else {
            wishes.write(out)?;
        }
        let mut cursors = Table::new(&["TOPIC", "CURSOR", "AT", "BEHIND"]);
        for cursor in &self.cursors {
            // A topic that is not known here has no name.
            let topic = cursor.topic.clone().unwrap_or_else(|| cursor.id.clone());
            let at = cursor.at.to_string();
            let behind = cursor.behind.to_string();
            cursors.row([topic, cursor.cursor.clone(), at, behind]);
        }
        if cursors.is_empty() { Ok(()) } else { cursors.write(out) }
    }
}

impl Show for CursorDeleted {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "Deleted cursor {}.", self.deleted)
    }
}
