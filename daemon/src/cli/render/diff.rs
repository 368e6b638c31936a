//! What lies between two states.

use std::io::{self, Write};

use super::Show;
use super::topics::{access, members};
use crate::control::reply::Diff;
use crate::control::reply::diff::{Change, Edit, Side, TopicRules};
use crate::control::reply::topics::Access;
use crate::text::{moment, printable, short_did};

impl Show for Diff {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "From {}", side(&self.from))?;
        writeln!(out, "to   {}:", side(&self.to))?;
        if self.same {
            writeln!(out, "  topics, subscriptions, peers and clocks are the same")?;
        }
        for change in &self.topics {
            topic(change, out)?;
        }
        for change in &self.subscriptions {
            other("subscription", change, "", out)?;
        }
        for change in &self.peers {
            other("peer", change, "", out)?;
        }
        for change in &self.clocks {
            let heads = match (change.from, change.to) {
                (Some(from), Some(to)) => format!(": {from} becomes {to}"),
                _ => String::new(),
            };
            other("clock", change, &heads, out)?;
        }
        let entries = self.entries;
        if entries.from != entries.to {
            writeln!(out, "  ~ {} entries become {}", entries.from, entries.to)?;
        }
        Ok(())
    }
}

fn side(side: &Side) -> String {
    if side.now {
        return format!("the present state, #{}", side.lsn);
    }
    let time = moment(side.time.unwrap_or(0));
    format!("the state of #{}, {time}, timeline {}", side.lsn, side.timeline.unwrap_or(0))
}

fn topic(change: &Change<TopicRules>, out: &mut impl Write) -> io::Result<()> {
    match (&change.from, &change.to) {
        (None, None) => Ok(()),
        (None, Some(new)) => writeln!(out, "  + topic {}, {}", new.name, rule(&new.access)),
        (Some(old), None) => writeln!(out, "  - topic {}, {}", old.name, rule(&old.access)),
        (Some(old), Some(new)) if old.access != new.access => {
            let from = rule(&old.access);
            let to = rule(&new.access);
            writeln!(out, "  ! topic {}: {from} becomes {to}", new.name)
        }
        (Some(_), Some(new)) => writeln!(out, "  ~ topic {}", new.name),
    }
}

fn other<T>(noun: &str, change: &Change<T>, more: &str, out: &mut impl Write) -> io::Result<()> {
    let mark = match change.change {
        Edit::Added => "+",
        Edit::Removed => "-",
        Edit::Changed => "~",
    };
    writeln!(out, "  {mark} {noun} {}{more}", printable(&change.what))
}

/// The rule, and for members who they are: a restore may change them unnoticed.
fn rule(rule: &Access) -> String {
    match members(rule) {
        [] => access(rule),
        members => {
            let members: Vec<_> = members.iter().map(|member| short_did(member)).collect();
            format!("members {}", members.join(" "))
        }
    }
}
