//! What can still be read of a damaged log.

use std::io::{self, Write};

use super::{Show, hint};
use crate::cli::documents::salvage::{Fit, Salvaged};
use crate::text::moment;

impl Show for Salvaged {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        for skipped in &self.skipped {
            writeln!(
                out,
                "Skipped  {} bytes at byte {} of {}: {}",
                skipped.bytes, skipped.offset, skipped.file, skipped.why
            )?;
        }
        for missing in &self.missing {
            let first = missing.first_lsn;
            match missing.last_lsn {
                Some(last) => writeln!(out, "Missing  #{first} to #{last}")?,
                None => writeln!(out, "Missing  whatever came from #{first} on")?,
            }
        }
        for run in &self.runs {
            let mark = if self.kept.as_ref() == Some(run) { "Kept" } else { "Readable" };
            let from = moment(run.first_time);
            let to = moment(run.last_time);
            writeln!(
                out,
                "{mark:<8} #{} to #{}, {} records, {from} to {to}",
                run.first_lsn, run.last_lsn, run.records
            )?;
        }
        match &self.kept {
            None => writeln!(out, "Nothing can be read, and nothing was written.")?,
            Some(kept) if kept.records == 0 => {
                let after = kept.after;
                writeln!(
                    out,
                    "Kept     no record: the new log is empty and continues after #{after}"
                )?;
            }
            Some(_) => {}
        }
        self.snapshot.show(out)?;
        match self.to.as_ref().filter(|_| self.kept.is_some()) {
            None if self.whole => writeln!(out, "Everything can be read. Nothing was written."),
            None => writeln!(out, "Nothing was written: --to DIR writes what is kept."),
            Some(to) => advice(to, self.whole, out),
        }
    }
}

fn advice(to: &str, whole: bool, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "The new log is in {to}.")?;
    writeln!(out, "To use it: stop the node, move its wal directory away (keep it), and put")?;
    writeln!(out, "this one in its place. The node refuses a snapshot that does not fit.")?;
    if !whole {
        writeln!(
            out,
            "Others may have seen what is lost. So once the node runs, begin a new epoch:"
        )?;
        hint(out, "  icnctl snapshot create")?;
        hint(out, "  icnctl snapshot restore ID --yes")?;
    }
    Ok(())
}

impl Show for Fit {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        match (&self.newest, self.fits) {
            (None, true) => writeln!(out, "Fits     from the beginning, without a snapshot"),
            (Some(id), true) => writeln!(out, "Fits     snapshot {id}, the newest"),
            (None, false) => {
                writeln!(out, "Fits     nothing: it does not begin at #1, and there is no snapshot")
            }
            (Some(id), false) => {
                writeln!(out, "Fits     not snapshot {id}, the newest. What continues that one:")?;
                hint(out, &format!("           icnctl wal salvage --to DIR --from {}", self.from))?;
                match &self.fitting {
                    None => Ok(()),
                    Some(older) => writeln!(
                        out,
                        "         It fits {older}: move the newer ones out of snapshots to go back to that"
                    ),
                }
            }
        }
    }
}
