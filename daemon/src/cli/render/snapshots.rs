//! Snapshots, and what was done with one.

use std::io::{self, Write};

use super::{Show, hint};
use crate::cli::documents::{Checked, Exported, Pruned, Taken};
use crate::cli::table::Table;
use crate::clock::now_ms;
use crate::control::reply::snapshots::{Integrity, Origin};
use crate::control::reply::{Deleted, Pinned, Restored, Snapshot, Snapshots, Verified};
use crate::failure::sentence;
use crate::text::{bytes, counted, duration, moment, printable, window};

impl Show for Taken {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        let Self(snapshot) = self;
        let size = bytes(snapshot.bytes);
        writeln!(out, "Saved and verified snapshot {} ({size})", snapshot.id)
    }
}

impl Show for Snapshots {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        let mut table = Table::new(&[
            "ID",
            "LSN",
            "SIZE",
            "TAKEN",
            "AGE",
            "VERIFIED",
            "KEPT BECAUSE",
            "LABELS",
        ]);
        for snapshot in &self.snapshots {
            table.row([
                snapshot.id.clone(),
                snapshot.lsn.to_string(),
                bytes(snapshot.bytes),
                moment(snapshot.created),
                duration(now_ms().saturating_sub(snapshot.created)),
                verdict(snapshot.check).into(),
                reason(snapshot),
                labels(snapshot),
            ]);
        }
        if table.is_empty() {
            return hint(out, "No snapshots yet. Take one: icnctl snapshot create");
        }
        table.write(out)?;
        hint(
            out,
            &format!(
                "Every state from #{} to #{} can be restored: icnctl snapshot restore --lsn N",
                self.window.first, self.window.last
            ),
        )?;
        writeln!(
            out,
            "{}. {}",
            window::reach(&self.window, now_ms()),
            window::limits(&self.window)
        )?;
        if let Some(warning) = window::warning(&self.window) {
            writeln!(out, "{}", sentence(&warning))?;
        }
        let any = |check| self.snapshots.iter().any(|snapshot| snapshot.check == check);
        if any(Integrity::Damaged) {
            writeln!(
                out,
                "One is damaged; the others and the log replace it. Check the disk, then:"
            )?;
            hint(out, "  icnctl snapshot create")?;
        } else if any(Integrity::Unchecked) {
            writeln!(out, "The list was lost and is made anew. Check what it lists:")?;
            hint(out, "  icnctl snapshot verify --all")?;
        }
        Ok(())
    }
}

impl Show for Snapshot {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        let origin = match self.origin {
            Origin::Taken => "taken",
            Origin::Target => "target of a restore",
            Origin::Imported => "imported",
        };
        writeln!(out, "Snapshot {}", self.id)?;
        writeln!(out, "  covers    everything up to #{}", self.lsn)?;
        writeln!(out, "  taken     {}", moment(self.created))?;
        writeln!(out, "  size      {}", bytes(self.bytes))?;
        writeln!(out, "  verified  {}", verdict(self.check))?;
        writeln!(out, "  timeline  {}", self.timeline)?;
        writeln!(out, "  origin    {origin}")?;
        writeln!(out, "  kept      {}", reason(self))?;
        match labels(self).as_str() {
            "" => Ok(()),
            labels => writeln!(out, "  labels    {labels}"),
        }
    }
}

impl Show for Verified {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "Snapshot {} is whole.", self.id)
    }
}

impl Show for Checked {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        for snapshot in &self.snapshots {
            match &snapshot.why {
                None => writeln!(out, "{}  whole", snapshot.id)?,
                Some(why) => writeln!(out, "{}  DAMAGED: {why}", snapshot.id)?,
            }
        }
        Ok(())
    }
}

impl Show for Pinned {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        if self.pinned {
            writeln!(out, "Snapshot {} stays until it is unpinned.", self.id)
        } else {
            writeln!(out, "The rules decide about {} again.", self.id)
        }
    }
}

impl Show for Pruned {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        let mut gone = 0;
        let mut freed = 0;
        for planned in &self.plan.snapshots {
            if !planned.stays {
                gone += 1;
                freed += planned.bytes;
            }
            if self.explain || !planned.stays {
                let what = if planned.stays { "stays" } else { "goes " };
                writeln!(out, "{}  {what}  {}", planned.id, planned.because)?;
            }
        }
        let snapshots = counted(gone, "snapshot");
        let freed = bytes(freed);
        match (gone, self.dry_run) {
            (0, _) => writeln!(out, "The rules keep every snapshot."),
            (_, true) => writeln!(out, "{snapshots} with {freed} would go; nothing was done."),
            (_, false) => writeln!(
                out,
                "{snapshots} went; {freed} are free after the next one is taken or pruned."
            ),
        }
    }
}

impl Show for Exported {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "Wrote the state of #{} to {}", self.lsn, self.file.display())
    }
}

impl Show for Restored {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "Restored the state of #{} as #{} on timeline {}.",
            self.restored_lsn, self.lsn, self.timeline
        )?;
        // By the log it is exact: others may have published while the snapshot was written.
        hint(out, &format!("To undo it: icnctl snapshot restore --lsn {}", self.before))?;
        hint(
            out,
            &format!(
                "Once the log does not reach back that far: icnctl snapshot restore {}",
                self.undo
            ),
        )
    }
}

impl Show for Deleted {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "Deleted snapshot {}; its file goes with the next one that is taken.",
            self.deleted
        )
    }
}

fn verdict(check: Integrity) -> &'static str {
    match check {
        Integrity::Whole => "yes",
        Integrity::Unchecked => "not yet",
        Integrity::Damaged => "NO",
    }
}

fn reason(snapshot: &Snapshot) -> String {
    let because = &snapshot.kept_because;
    if snapshot.pinned && because != "pinned" {
        return format!("{because}, pinned");
    }
    because.clone()
}

fn labels(snapshot: &Snapshot) -> String {
    let pairs = snapshot.labels.iter().map(|(key, value)| format!("{key}={value}"));
    printable(&pairs.collect::<Vec<_>>().join(", "))
}
