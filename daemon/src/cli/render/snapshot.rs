//! Snapshots for people.

use std::io::{self, Write};

use serde_json::Value;

use super::{Table, list as items, printable, text};
use crate::clock::now_ms;
use crate::report::{bytes, counted, duration, moment};

pub(super) fn list(data: &Value, out: &mut impl Write) -> io::Result<()> {
    let mut table =
        Table::new(&["ID", "LSN", "SIZE", "TAKEN", "AGE", "VERIFIED", "KEPT BECAUSE", "LABELS"]);
    let (mut damaged, mut unchecked) = (false, false);
    for snapshot in items(data, "snapshots") {
        let created = snapshot["created"].as_u64().unwrap_or(0);
        let check = text(snapshot, "check");
        damaged |= check == "damaged";
        unchecked |= check == "unchecked";
        table.row([
            text(snapshot, "id"),
            snapshot["lsn"].to_string(),
            bytes(snapshot["bytes"].as_u64().unwrap_or(0)),
            moment(created),
            duration(now_ms().saturating_sub(created)),
            verdict(&check).into(),
            reason(snapshot),
            labels(snapshot),
        ]);
    }
    if table.rows.len() == 1 {
        return writeln!(out, "No snapshots yet. Take one: icnctl snapshot create");
    }
    table.write(out)?;
    let window = &data["window"];
    writeln!(
        out,
        "Every state from #{} to #{} can be restored: icnctl snapshot restore --lsn N",
        window["first"], window["last"]
    )?;
    if damaged {
        writeln!(out, "One is damaged; the others and the log replace it. Check the disk, then:")?;
        writeln!(out, "  icnctl snapshot create")?;
    } else if unchecked {
        writeln!(out, "The list was lost and is made anew. Check what it lists:")?;
        writeln!(out, "  icnctl snapshot verify --all")?;
    }
    Ok(())
}

pub(super) fn one(snapshot: &Value, out: &mut impl Write) -> io::Result<()> {
    let number = |key: &str| snapshot[key].as_u64().unwrap_or(0);
    writeln!(out, "Snapshot {}", text(snapshot, "id"))?;
    writeln!(out, "  covers    everything up to #{}", snapshot["lsn"])?;
    writeln!(out, "  taken     {}", moment(number("created")))?;
    writeln!(out, "  size      {}", bytes(number("bytes")))?;
    writeln!(out, "  verified  {}", verdict(&text(snapshot, "check")))?;
    writeln!(out, "  timeline  {}", snapshot["timeline"])?;
    writeln!(out, "  origin    {}", text(snapshot, "origin"))?;
    writeln!(out, "  kept      {}", reason(snapshot))?;
    match labels(snapshot).as_str() {
        "" => Ok(()),
        labels => writeln!(out, "  labels    {labels}"),
    }
}

pub(super) fn verified(data: &Value, out: &mut impl Write) -> io::Result<()> {
    for one in items(data, "snapshots") {
        let id = text(one, "id");
        if one["verified"] == true {
            writeln!(out, "{id}  whole")?;
        } else {
            writeln!(out, "{id}  DAMAGED: {}", text(one, "why"))?;
        }
    }
    Ok(())
}

pub(super) fn pruned(data: &Value, out: &mut impl Write) -> io::Result<()> {
    let dry_run = data["dry_run"] == true;
    let (mut gone, mut freed) = (0, 0);
    for one in items(data, "snapshots") {
        let stays = one["stays"] == true;
        if !stays {
            gone += 1;
            freed += one["bytes"].as_u64().unwrap_or(0);
        }
        if data["explain"] == true || !stays {
            let what = if stays { "stays" } else { "goes " };
            writeln!(out, "{}  {what}  {}", text(one, "id"), text(one, "because"))?;
        }
    }
    match (gone, dry_run) {
        (0, _) => writeln!(out, "The rules keep every snapshot."),
        (_, true) => {
            let gone = counted(gone, "snapshot");
            writeln!(out, "{gone} with {} would go; nothing was done.", bytes(freed))
        }
        (_, false) => {
            let gone = counted(gone, "snapshot");
            let freed = bytes(freed);
            writeln!(out, "{gone} went; {freed} are free after the next one is taken or pruned.")
        }
    }
}

pub(super) fn imported(data: &Value, out: &mut impl Write) -> io::Result<()> {
    let dry_run = data["dry_run"] == true;
    if data["legacy"] == false {
        if dry_run {
            return writeln!(out, "It is whole, and of this node; nothing was done.");
        }
        let id = text(data, "id");
        writeln!(out, "Imported as snapshot {id}. What restoring it would change:")?;
        return writeln!(out, "  icnctl snapshot restore {id} --dry-run");
    }
    for line in items(data, "report") {
        let fate = text(line, "fate");
        writeln!(out, "{fate:<11} {}: {}", text(line, "field"), text(line, "why"))?;
    }
    let taken = counted(data["mutations"].as_u64().unwrap_or(0), "change");
    if dry_run {
        return writeln!(out, "{taken} would be made; nothing was done.");
    }
    writeln!(out, "{taken} made, durable at #{}.", data["lsn"])
}

pub(super) fn diff(data: &Value, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "From {}", side(&data["from"]))?;
    writeln!(out, "to   {}:", side(&data["to"]))?;
    if data["same"] == true {
        writeln!(out, "  topics, subscriptions, peers and clocks are the same")?;
    }
    for topic in items(data, "topics") {
        let (old, new) = (&topic["from"], &topic["to"]);
        match text(topic, "change").as_str() {
            "added" => writeln!(out, "  + topic {}, {}", text(new, "name"), access(new))?,
            "removed" => writeln!(out, "  - topic {}, {}", text(old, "name"), access(old))?,
            _ if old["access"] != new["access"] => {
                let name = text(new, "name");
                writeln!(out, "  ! topic {name}: {} becomes {}", access(old), access(new))?;
            }
            _ => writeln!(out, "  ~ topic {}", text(new, "name"))?,
        }
    }
    for (key, noun) in [("subscriptions", "subscription"), ("peers", "peer"), ("clocks", "clock")] {
        for one in items(data, key) {
            let what = printable(&text(one, "what"));
            let change = match text(one, "change").as_str() {
                "added" => "+",
                "removed" => "-",
                _ => "~",
            };
            let heads = match (&one["from"], &one["to"]) {
                (Value::Number(from), Value::Number(to)) => format!(": {from} becomes {to}"),
                _ => String::new(),
            };
            writeln!(out, "  {change} {noun} {what}{heads}")?;
        }
    }
    let entries = &data["entries"];
    if entries["from"] != entries["to"] {
        writeln!(out, "  ~ {} entries become {}", entries["from"], entries["to"])?;
    }
    Ok(())
}

fn side(side: &Value) -> String {
    if side["now"] == true {
        return format!("the present state, #{}", side["lsn"]);
    }
    let time = moment(side["time"].as_u64().unwrap_or(0));
    format!("the state of #{}, {time}, timeline {}", side["lsn"], side["timeline"])
}

/// The rule, and for members who they are: that is what a restore may change behind one's back.
fn access(topic: &Value) -> String {
    let members: Vec<_> = items(&topic["access"], "members")
        .iter()
        .map(|member| super::short(member.as_str().unwrap_or("?")))
        .collect();
    match members.as_slice() {
        [] => super::access(topic),
        members => format!("members {}", members.join(" ")),
    }
}

fn verdict(check: &str) -> &'static str {
    match check {
        "whole" => "yes",
        "unchecked" => "not yet",
        _ => "NO",
    }
}

fn reason(snapshot: &Value) -> String {
    let because = text(snapshot, "kept_because");
    if snapshot["pinned"] == true && because != "pinned" {
        return format!("{because}, pinned");
    }
    because
}

fn labels(snapshot: &Value) -> String {
    let Some(labels) = snapshot["labels"].as_object() else { return String::new() };
    let pairs = labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or("")));
    printable(&pairs.collect::<Vec<_>>().join(", "))
}
