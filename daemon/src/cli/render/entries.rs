//! Entries, published and delivered.

use std::io::{self, Write};

use super::Show;
use crate::cli::documents::AllEntries;
use crate::control::reply::Published;
use crate::control::reply::entries::{Entry, Payload};
use crate::control::reply::stream::StreamLine;
use crate::text::clock::held_back;
use crate::text::topics::brief;
use crate::text::{moment, printable, short_did};

impl Show for AllEntries {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{}", brief(&self.topic))?;
        for arrival in &self.entries {
            writeln!(out, "#{:<7} {}", arrival.entry.lsn, line(&arrival.entry))?;
        }
        Ok(())
    }
}

impl Show for Published {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        write!(out, "Published as message {}, durable at #{}", self.seq, self.lsn)?;
        match &self.topic {
            Some(topic) => writeln!(out, ", in {}", brief(topic))?,
            None => writeln!(out)?,
        }
        match self.held_back {
            Some(held) => writeln!(out, "{}", held_back(held)),
            None => Ok(()),
        }
    }
}

impl Show for StreamLine {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Arrived(delivery) => {
                writeln!(out, "{:<7} {}", delivery.index, line(&delivery.entry))
            }
            Self::Pruned { pruned } => {
                let why = "pruned, or taken back by a restore";
                writeln!(out, "! {} to {} are gone: {why}", pruned.from, pruned.through)
            }
            Self::Acknowledged { .. } => Ok(()),
        }
    }
}

/// An entry without its number on this node.
fn line(entry: &Entry) -> String {
    let time = moment(entry.time);
    let author = short_did(&entry.author);
    let what = match &entry.payload {
        Payload::Text(text) => printable(text),
        Payload::Base64(base64) => format!("base64 {base64}"),
    };
    format!("{time}  {author} #{:<6} {what}", entry.seq)
}
