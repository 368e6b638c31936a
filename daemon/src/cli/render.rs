//! Answers for people.

mod snapshot;

use std::io::{self, Write};

use serde_json::Value;

use crate::clock::now_ms;
use crate::report::{bytes, counted, moment, status_rows};

/// Columns that line up.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(ToString::to_string).collect()] }
    }

    fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let columns = self.rows[0].len();
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        for row in &self.rows {
            let cells: Vec<_> = row.iter().map(String::as_str).collect();
            writeln!(out, "{}", Self::line(&widths, &cells))?;
        }
        Ok(())
    }

    /// One line of cells, each at least as wide as its column.
    pub(super) fn line(widths: &[usize], cells: &[&str]) -> String {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        line.trim_end().to_owned()
    }
}

/// How an answer is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Status,
    TopicCreated,
    Topics,
    Topic,
    TopicDeleted,
    Published,
    Subscribed,
    Unsubscribed,
    Subscriptions,
    CursorDeleted,
    Entries,
    Peers,
    PeerAdded,
    PeerRemoved,
    SnapshotCreated,
    Snapshots,
    Snapshot,
    Verified,
    AllVerified,
    Diff,
    Pruned,
    Imported,
    Exported,
    Pinned,
    Restored,
    Deleted,
    Segments,
    LogVerified,
    Salvaged,
    Digest,
    Identity,
}

impl View {
    /// Writes `data`.
    pub(super) fn write(self, data: &Value, out: &mut impl Write) -> io::Result<()> {
        let number = |key: &str| data[key].as_u64().unwrap_or(0);
        let truth = |key: &str| data[key].as_bool().unwrap_or(false);
        match self {
            Self::Status => status(data, out),
            Self::TopicCreated => {
                writeln!(out, "Created {}", text(&data["topic"], "name"))?;
                topic(&data["topic"], out)
            }
            Self::Topics => topics(data, out),
            Self::Topic => {
                topic(&data["topic"], out)?;
                for log in list(data, "clock") {
                    let frozen = if log["frozen"] == true { ", frozen" } else { "" };
                    let (author, head) = (text(log, "author"), &log["head"]);
                    writeln!(out, "  clock    {author} is at {head}{frozen}")?;
                }
                Ok(())
            }
            Self::TopicDeleted => writeln!(out, "Forgot topic {}", text(data, "deleted")),
            Self::Published => {
                writeln!(out, "Published as message {}, durable at #{}", data["seq"], data["lsn"])
            }
            Self::Subscribed if truth("already") => writeln!(out, "Already subscribed."),
            Self::Subscribed if truth("pending") => writeln!(
                out,
                "Subscribed, pending: no such topic is known here yet; it begins when one is."
            ),
            Self::Subscribed => writeln!(out, "Subscribed."),
            Self::Unsubscribed if truth("was_subscribed") => writeln!(out, "Unsubscribed."),
            Self::Unsubscribed => writeln!(out, "There was no such subscription."),
            Self::Subscriptions => {
                subscriptions(data, out)?;
                cursors(data, out)
            }
            Self::CursorDeleted => writeln!(out, "Deleted cursor {}.", text(data, "deleted")),
            Self::Entries => {
                for entry in list(data, "entries") {
                    writeln!(out, "#{:<7} {}", entry["lsn"].to_string(), entry_line(entry))?;
                }
                Ok(())
            }
            Self::Peers => peers(data, out),
            Self::PeerAdded if truth("already") => writeln!(out, "That key is known already."),
            Self::PeerAdded => writeln!(out, "Added {}", text(data, "did")),
            Self::PeerRemoved if truth("was_known") && truth("connected") => writeln!(
                out,
                "Removed. It is connected, and will be known again with its next connection."
            ),
            Self::PeerRemoved if truth("was_known") => writeln!(out, "Removed."),
            Self::PeerRemoved => writeln!(out, "There was no such peer."),
            Self::SnapshotCreated => writeln!(
                out,
                "Saved and verified snapshot {} ({})",
                text(data, "id"),
                bytes(number("bytes"))
            ),
            Self::Snapshots => snapshot::list(data, out),
            Self::Snapshot => snapshot::one(data, out),
            Self::Verified => writeln!(out, "Snapshot {} is whole.", text(data, "id")),
            Self::AllVerified => snapshot::verified(data, out),
            Self::Diff => snapshot::diff(data, out),
            Self::Pruned => snapshot::pruned(data, out),
            Self::Imported => snapshot::imported(data, out),
            Self::Exported => {
                writeln!(out, "Wrote the state of #{} to {}", data["lsn"], text(data, "file"))
            }
            Self::Pinned if truth("pinned") => {
                writeln!(out, "Snapshot {} stays until it is unpinned.", text(data, "id"))
            }
            Self::Pinned => writeln!(out, "The rules decide about {} again.", text(data, "id")),
            Self::Restored => {
                writeln!(
                    out,
                    "Restored the state of #{} as #{} on timeline {}.",
                    data["restored_lsn"], data["lsn"], data["timeline"]
                )?;
                // By the log it is exact: others may have published while the snapshot was written.
                writeln!(out, "To undo it: icnctl snapshot restore --lsn {}", data["before"])?;
                writeln!(
                    out,
                    "Once the log does not reach back that far: icnctl snapshot restore {}",
                    text(data, "undo")
                )
            }
            Self::Deleted => writeln!(
                out,
                "Deleted snapshot {}; its file goes with the next one that is taken.",
                text(data, "deleted")
            ),
            Self::Segments => segments(data, out),
            Self::Salvaged => super::salvage::write(data, out),
            Self::LogVerified => {
                let records = counted(number("records"), "record");
                let segments = counted(number("segments"), "segment");
                writeln!(
                    out,
                    "The log is whole: {records} up to #{} in {segments}, every checksum good.",
                    data["last_lsn"]
                )?;
                match number("torn_bytes") {
                    0 => Ok(()),
                    torn => writeln!(out, "{torn} bytes behind its end were never acknowledged."),
                }
            }
            Self::Digest => writeln!(out, "{}  #{}", text(data, "digest"), data["lsn"]),
            Self::Identity => {
                writeln!(out, "{}", text(data, "did"))?;
                writeln!(out, "Peers add this node with:")?;
                writeln!(out, "  icnctl peer add {}", text(data, "card"))
            }
        }
    }
}

fn status(data: &Value, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "ICN node, {}", text(&data["node"], "state"))?;
    for (name, text) in status_rows(data, now_ms()) {
        writeln!(out, "  {name:<12}{text}")?;
    }
    if data["last_start"]["passed_over"].as_u64() > Some(0) {
        writeln!(out, "! A snapshot could not be used at the last start: icnctl snapshot list")?;
    }
    for finding in list(&data["last_start"], "weaker") {
        let finding = printable(finding.as_str().unwrap_or("?"));
        writeln!(out, "! The last start found less than was kept: {finding}")?;
    }
    if data["gossip"]["sealed_topics"].as_u64() > Some(0) {
        writeln!(out, "! A topic is sealed, its rule is of a newer version: icnctl topic list")?;
    }
    Ok(())
}

fn topics(data: &Value, out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new(&["NAME", "ACCESS", "ENTRIES", "ID"]);
    for topic in list(data, "topics") {
        let name = text(topic, "name");
        table.row([name, access(topic), topic["entries"].to_string(), text(topic, "id")]);
    }
    if table.rows.len() == 1 {
        return writeln!(out, "No topics yet. Make one: icnctl topic create coop:ledger --private");
    }
    table.write(out)
}

fn topic(topic: &Value, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "  name     {}", text(topic, "name"))?;
    writeln!(out, "  id       {}", text(topic, "id"))?;
    writeln!(out, "  creator  {}", text(topic, "creator"))?;
    writeln!(out, "  access   {}", access(topic))?;
    for member in list(&topic["access"], "members") {
        writeln!(out, "           {}", member.as_str().unwrap_or("?"))?;
    }
    writeln!(out, "  scope    {}", text(topic, "scope"))?;
    let days = topic["retention_ms"].as_u64().unwrap_or(0) / 86_400_000;
    writeln!(out, "  keeps    {} entries, {}", topic["max_entries"], counted(days, "day"))?;
    let held = bytes(topic["bytes"].as_u64().unwrap_or(0));
    writeln!(out, "  holds    {} entries, {held}", topic["entries"])
}

fn access(topic: &Value) -> String {
    let access = &topic["access"];
    match text(access, "kind").as_str() {
        "participants" => counted(list(access, "members").len() as u64, "member"),
        "min_trust" => format!("trust of {} or more", access["min_trust"]),
        "sealed" => "SEALED: its rule is of a newer version".into(),
        other => other.to_owned(),
    }
}

fn subscriptions(data: &Value, out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new(&["TOPIC", "BY", "SINCE", "STATE"]);
    for wish in list(data, "subscriptions") {
        let since = moment(wish["since"].as_u64().unwrap_or(0));
        let state = if wish["pending"] == true { "pending" } else { "active" };
        table.row([text(wish, "topic"), text(wish, "by"), since, state.into()]);
    }
    if table.rows.len() == 1 {
        return writeln!(out, "No subscriptions yet.");
    }
    table.write(out)
}

/// What an entry is, without its number here.
pub(super) fn entry_line(entry: &Value) -> String {
    let author = short(&text(entry, "author"));
    let what = entry["text"]
        .as_str()
        .map_or_else(|| format!("base64 {}", text(entry, "base64")), printable);
    let time = moment(entry["time"].as_u64().unwrap_or(0));
    format!("{time}  {author} #{:<6} {what}", entry["seq"].to_string())
}

fn cursors(data: &Value, out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new(&["TOPIC", "CURSOR", "AT", "BEHIND"]);
    for cursor in list(data, "cursors") {
        // A topic that is not known here has no name.
        let topic = cursor["topic"].as_str().map_or_else(|| text(cursor, "id"), ToOwned::to_owned);
        let (at, behind) = (cursor["at"].to_string(), cursor["behind"].to_string());
        table.row([topic, text(cursor, "cursor"), at, behind]);
    }
    if table.rows.len() > 1 { table.write(out) } else { Ok(()) }
}

fn peers(data: &Value, out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new(&["DID", "STATE", "ADDRESS", "TOPICS", "LOGS IN", "LOGS OUT"]);
    for peer in list(data, "peers") {
        let state = match text(peer, "state") {
            unsigned if unsigned == "unsigned" => "unsigned: nobody vouches for the key".into(),
            state => state,
        };
        let cell = |key: &str| match &peer[key] {
            Value::Null => "-".into(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let [address, topics, from, to] = ["address", "topics", "logs_from", "logs_to"].map(cell);
        table.row([text(peer, "did"), state, address, topics, from, to]);
    }
    if table.rows.len() > 1 {
        return table.write(out);
    }
    match data["known"].as_u64() {
        None | Some(0) => writeln!(
            out,
            "No peers yet. Nodes of one network find each other on a LAN; elsewhere start \
             icnd with --peer HOST:PORT."
        ),
        Some(known) => {
            writeln!(out, "None connected; {known} known: icnctl peer list --all")
        }
    }
}

fn segments(data: &Value, out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new(&[
        "SEGMENT",
        "STATE",
        "START",
        "FIRST LSN",
        "LAST LSN",
        "RECORDS",
        "FROM",
        "TO",
        "USED",
        "SIZE",
    ]);
    let mut torn = 0;
    for segment in list(data, "segments") {
        let number = |key: &str| segment[key].as_u64().unwrap_or(0);
        // A segment without records has neither numbers nor times.
        let some = |key: &str| match number(key) {
            0 => "-".to_owned(),
            _ if key.ends_with("time") => moment(number(key)),
            count => count.to_string(),
        };
        torn += number("torn_bytes");
        table.row([
            number("segment").to_string(),
            text(segment, "state"),
            number("incarnation").to_string(),
            some("first_lsn"),
            some("last_lsn"),
            number("records").to_string(),
            some("first_time"),
            some("last_time"),
            bytes(number("used_bytes")),
            bytes(number("bytes")),
        ]);
    }
    table.write(out)?;
    match torn {
        0 => Ok(()),
        torn => writeln!(out, "{torn} bytes behind the end were never acknowledged."),
    }
}

fn list<'a>(data: &'a Value, key: &str) -> &'a [Value] {
    data[key].as_array().map_or(&[], Vec::as_slice)
}

fn text(data: &Value, key: &str) -> String {
    data[key].as_str().unwrap_or("?").to_owned()
}

/// The end of a DID is what people compare.
fn short(did: &str) -> String {
    let tail = did.get(did.len().saturating_sub(6)..).unwrap_or(did);
    format!("…{tail}")
}

/// A message must not be able to steer the terminal of whoever reads it.
fn printable(text: &str) -> String {
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
