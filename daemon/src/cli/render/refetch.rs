//! What a refetch has brought back.

use std::io::{self, Write};

use super::{Show, hint};
use crate::control::reply::TopicRefetch;
use crate::control::reply::refetch::RefetchEnd;
use crate::text::{bytes, counted, entries, moment};

impl Show for TopicRefetch {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        let name = &self.topic.name;
        match self.oldest {
            Some(oldest) => {
                let entries = entries(self.entries);
                let size = bytes(self.bytes);
                let authors = counted(self.authors, "author");
                let oldest = moment(oldest);
                writeln!(
                    out,
                    "{entries} of {name} came back ({size}, {authors}), back to {oldest}"
                )?;
            }
            None => writeln!(out, "No entry of {name} came back.")?,
        }
        match self.end {
            None => writeln!(out, "More may follow: peers are being asked.")?,
            Some(RefetchEnd::Done) if self.logs == 0 => writeln!(out, "Nothing was pruned here.")?,
            Some(RefetchEnd::Done) if self.refused > 0 => {
                let logs = counted(self.refused, "log");
                writeln!(
                    out,
                    "Entries of {logs} cannot come back: a rule of the topic refuses them, or a restore has \
                     undone them."
                )?;
            }
            Some(RefetchEnd::Done) if self.unavailable > 0 => {
                let logs = counted(self.unavailable, "log");
                writeln!(
                    out,
                    "Entries of {logs} are still missing: no connected peer retains them."
                )?;
            }
            Some(RefetchEnd::Done) => match self.since {
                Some(since) => writeln!(out, "Nothing since {} is missing.", moment(since))?,
                None => writeln!(out, "Nothing is missing any more.")?,
            },
            Some(RefetchEnd::NoRoom) => {
                writeln!(
                    out,
                    "There is no room for more: some stays free for new messages. What is kept, and how much:"
                )?;
                hint(out, &format!("  The topic:  icnctl topic show {name}"))?;
                hint(out, "  The node:   icnctl status")?;
            }
            Some(RefetchEnd::NoPeer) => {
                hint(out, "No connected peer has the topic: icnctl peer list")?;
            }
            Some(RefetchEnd::Stopped) => writeln!(
                out,
                "It was stopped: the state was restored, or the topic deleted, closed or unsubscribed."
            )?,
        }
        if self.unanswered > 0 {
            let peers = counted(self.unanswered, "peer");
            writeln!(
                out,
                "{peers} with the topic did not answer: of an older build, or too slow."
            )?;
        }
        Ok(())
    }
}
