//! Subscriptions, and cursors of consumers.

use std::io::{self, Write};

use icn_gossip::TopicRef;

use super::{Show, hint};
use crate::cli::table::Table;
use crate::control::reply::{CursorDeleted, Subscribed, Subscriptions, Unsubscribed};
use crate::text::moment;
use crate::text::topics::{access, brief, creator};

impl Show for Subscribed {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        let already = if self.already { "Already subscribed" } else { "Subscribed" };
        let name = &self.name;
        if let Some(topic) = &self.topic {
            return writeln!(out, "{already}: {}", brief(topic));
        }
        if !matches!(TopicRef::parse(name), Some(TopicRef::Name(_))) {
            return writeln!(out, "Joining, pending: no peer has offered {name} yet.");
        }
        writeln!(out, "{already}, pending: no topic {name} was created or joined here.")?;
        writeln!(out, "Nothing is sent to peers because of it. To enter the topic:")?;
        hint(out, "  by its id                 icnctl topic join ID")?;
        hint(out, &format!("  by its name and creator   icnctl topic join {name} --creator DID"))?;
        hint(out, &format!("  see what peers offer      icnctl topic candidates {name}"))
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
        let columns = ["TOPIC", "BY", "SINCE", "STATE", "ACCESS", "CREATOR", "ID"];
        let mut wishes = Table::new(&columns);
        for wish in &self.subscriptions {
            let is_name = matches!(TopicRef::parse(&wish.topic), Some(TopicRef::Name(_)));
            let state = match (wish.pending, is_name) {
                (false, _) => "active",
                (true, true) => "pending",
                (true, false) => "joining",
            };
            let (rule, by) = match &wish.about {
                Some(topic) => (access(topic.access), creator(topic.created_here, &topic.creator)),
                None => Default::default(),
            };
            let since = moment(wish.since);
            let topic = wish.about.as_ref().map_or(&wish.topic, |topic| &topic.name);
            let id = wish.id.clone().unwrap_or_default();
            wishes.row([topic.clone(), wish.by.clone(), since, state.into(), rule, by, id]);
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
