//! Topics and their rules.

use std::io::{self, Write};

use icn_gossip::limits::TOPIC_BYTES_MAX;

use super::{Show, hint};
use crate::cli::table::Table;
use crate::control::reply::topics::{Access, Scope, Topic};
use crate::control::reply::{TopicCreated, TopicDeleted, TopicShown, Topics};
use crate::text::topics::creator;
use crate::text::{bytes, counted};

impl Show for Topics {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        let mut table = Table::new(&["NAME", "ACCESS", "CREATOR", "ENTRIES", "SIZE", "ID"]);
        for topic in &self.topics {
            let name = topic.name.clone();
            let creator = creator(topic.created_here, &topic.creator);
            let entries = topic.entries.to_string();
            let size = bytes(topic.bytes);
            table.row([name, access(&topic.access), creator, entries, size, topic.id.clone()]);
        }
        if table.is_empty() {
            return hint(out, "No topics yet. Make one: icnctl topic create coop:ledger");
        }
        table.write(out)
    }
}

impl Show for TopicCreated {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "Created {}", self.topic.name)?;
        self.topic.show(out)
    }
}

impl Show for TopicShown {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        self.topic.show(out)?;
        for log in &self.clock {
            let frozen = if log.frozen { ", frozen" } else { "" };
            writeln!(out, "  clock    {} is at {}{frozen}", log.author, log.head)?;
        }
        Ok(())
    }
}

impl Show for TopicDeleted {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "Forgot topic {}", self.deleted)
    }
}

impl Show for Topic {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "  name     {}", self.name)?;
        writeln!(out, "  id       {}", self.id)?;
        writeln!(out, "  creator  {}", self.creator)?;
        writeln!(out, "  access   {}", access(&self.access))?;
        for member in members(&self.access) {
            writeln!(out, "           {member}")?;
        }
        let scope = match self.scope {
            Scope::Local => "local",
            Scope::Regional => "regional",
            Scope::Global => "global",
        };
        writeln!(out, "  scope    {scope}")?;
        let days = counted(self.retention_ms / 86_400_000, "day");
        writeln!(
            out,
            "  keeps    {} entries, {}, {days}",
            self.max_entries,
            bytes(TOPIC_BYTES_MAX)
        )?;
        writeln!(out, "  holds    {} entries, {}", self.entries, bytes(self.bytes))
    }
}

/// The rule in a few words.
pub(super) fn access(access: &Access) -> String {
    match access {
        Access::Public => "public".into(),
        Access::Participants { members } => counted(members.len() as u64, "member"),
        Access::MinTrust { min_trust } => format!("trust of {min_trust} or more"),
        Access::Sealed => "SEALED: its rule is of a newer version".into(),
    }
}

/// The members that a rule names.
pub(super) fn members(access: &Access) -> &[String] {
    match access {
        Access::Participants { members } => members,
        _ => &[],
    }
}
