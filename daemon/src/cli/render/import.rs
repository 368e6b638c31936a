//! What an import took from a file.

use std::io::{self, Write};

use super::{Show, hint};
use crate::control::reply::Imported;
use crate::control::reply::import::{Fate, LegacyImport};
use crate::text::counted;

impl Show for Imported {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Legacy(legacy) => legacy.show(out),
            Self::Sound(_) => writeln!(out, "It is whole, and of this node; nothing was done."),
            Self::Kept(kept) => {
                let id = &kept.snapshot.id;
                writeln!(out, "Imported as snapshot {id}. What restoring it would change:")?;
                hint(out, &format!("  icnctl snapshot restore {id} --dry-run"))
            }
        }
    }
}

impl Show for LegacyImport {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        for line in &self.report {
            let fate = match line.fate {
                Fate::Taken => "taken",
                Fate::Default => "default",
                Fate::NotNeeded => "not needed",
                Fate::Refused => "refused",
            };
            writeln!(out, "{fate:<11} {}: {}", line.field, line.why)?;
        }
        let changes = counted(self.mutations, "change");
        if self.dry_run {
            return writeln!(out, "{changes} would be made; nothing was done.");
        }
        writeln!(out, "{changes} made, durable at #{}.", self.lsn)
    }
}
